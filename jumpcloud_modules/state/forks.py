"""What a forked child must let go of: it has the memory of its parent, and none of its threads.

Python's own list (`os.register_at_fork`) cannot be shortened, and would keep each owner that was
ever made. This one forgets what nobody uses any more.
"""

import os
import weakref
from typing import Protocol


class Owned(Protocol):
    """Something that one process has, and no other."""

    def let_go_in_child(self) -> None:
        """Be nobody's from now on, in this process; the parent keeps what it has."""


_owned: "weakref.WeakSet[Owned]" = weakref.WeakSet()


def let_go_in_children(owned: Owned) -> None:
    """Have each child that is forked from now on let go of this, for as long as it is in use."""
    _owned.add(owned)


def _let_go() -> None:
    for owned in list(_owned):
        owned.let_go_in_child()


os.register_at_fork(after_in_child=_let_go)
