"""Claims on events that are being delivered: other threads wait until it is known how that ended.

Shared by ledgers that may hold the same events. Knows keys only.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from jumpcloud_modules.events import Events


class Claims:
    """Hold the keys of events that are being delivered, each by one caller at a time."""

    def __init__(self) -> None:
        self._claimed: set[int] = set()
        self._released = threading.Condition()

    @contextmanager
    def taking(self, keys: Sequence[int], fresh: Callable[[], Events]) -> Iterator[Events]:
        """Claim what `fresh` returns of events with these keys until the end of the block.

        `fresh` is called once none of them is claimed. A thread that waits holds no claims of the
        same page, and one that delivers never waits here, so no two wait for each other.
        """
        with self._released:
            # A position that passed an event in flight would be committed: were the other's
            # delivery to fail, and the process to end, nobody would read the event again.
            while not self._claimed.isdisjoint(keys):
                self._released.wait()
            mine = fresh()
            self._claimed.update(mine.keys)
        try:
            yield mine
        finally:
            with self._released:
                self._claimed.difference_update(mine.keys)
                self._released.notify_all()
