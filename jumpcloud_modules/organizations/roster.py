"""The organizations of this process: which there are, and what a new list changes.

One thread calls it. Those that a new list does not change go on as they are. Knows neither where a
list comes from nor how an organization collects.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from jumpcloud_modules.organizations.commons import Commons
from jumpcloud_modules.organizations.member import Definition, Member

GOLDEN_RATIO: Final = 0.618_033_988_749_895
"""Its multiples divide a span evenly, however many there are and whenever more are added."""


@dataclass(frozen=True, slots=True)
class Change:
    """Say what a new list changes, by name."""

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    ended: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Write it as it stands in a sentence."""
        counts = {"added": self.added, "changed": self.changed, "ended": self.ended}
        said = [f"{len(names)} {done} ({_shown(names)})" for done, names in counts.items() if names]
        return ", ".join(said) or "none changed"


def _shown(names: tuple[str, ...], most: int = 5) -> str:
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


class Roster:
    """Let organizations take part, and end those that are no longer named."""

    def __init__(self, commons: Commons) -> None:
        self._commons = commons
        self._members: dict[str, Member] = {}
        self._ending: dict[str, Member] = {}
        self._waiting: dict[str, Definition] = {}
        self._begun = 0

    def __len__(self) -> int:
        return len(self._members) + len(self._waiting)

    def __iter__(self) -> Iterator[Member]:
        """Yield those that collect, also from another thread."""
        return iter(list(self._members.values()))

    def apply(self, definitions: Iterable[Definition]) -> Change:
        """Let these be the organizations from now on, and return what that changes.

        One whose definition is another one ends first, and begins anew after that.
        """
        named = {definition.name: definition for definition in definitions}
        before = {name: member.definition for name, member in self._members.items()} | self._waiting
        added = tuple(name for name in named if name not in before)
        ended = tuple(name for name in before if name not in named)
        changed = tuple(name for name in named if before.get(name, named[name]) != named[name])
        for name in (*ended, *changed):
            self._waiting.pop(name, None)
            if member := self._members.pop(name, None):
                member.end()
                self._ending[name] = member
        for name in (*added, *changed):
            self._waiting[name] = named[name]
        self.tick()
        return Change(added, changed, ended)

    def tick(self) -> None:
        """Let begin what waited for a former organization of the same name to end."""
        for name in [name for name, member in self._ending.items() if member.is_over]:
            del self._ending[name]
        for name in [name for name in self._waiting if name not in self._ending]:
            phase = self._begun * GOLDEN_RATIO % 1
            member = Member(self._waiting.pop(name), self._commons, phase)
            self._members[name] = member
            self._begun += 1
            member.begin()

    def end(self) -> None:
        """End all of them."""
        self._waiting.clear()
        for member in self._members.values():
            member.end()
            self._ending[member.name] = member

    @property
    def is_over(self) -> bool:
        """Tell whether all that were ended have ended."""
        return all(member.is_over for member in self._ending.values())
