"""What organizations have to say: each with its name, and of very many at once only a few.

When an end that all of them need fails, a thousand organizations say the same within a minute. The
first of them are told as they are; of the others, one message says how many they are. Knows nothing
of what is said.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import Final

from jumpcloud_modules.failure_log import Level

MINUTE_SECONDS: Final = 60.0
TOLD_IN_A_MINUTE: Final = 5
"""Messages of one kind that are told as they are; the others are summed up."""
NAMES_SHOWN: Final = 10

Log = Callable[[str, Level], None]


@dataclass(slots=True)
class _Kind:
    """Hold what was said of one kind in this minute, and by whom it was not told."""

    since: float
    told: int = 0
    untold: list[str] = field(default_factory=list)
    last: str = ""


class Messages:
    """Tell what organizations say; any thread may say something.

    Messages of one kind have the same `topic` and level. `organizations` returns how many there
    are. `sum_up` is to be called every few seconds.
    """

    def __init__(
        self, log: Log, organizations: Callable[[], int], clock: Callable[[], float] = monotonic
    ) -> None:
        self._log = log
        self._organizations = organizations
        self._clock = clock
        self._kinds: dict[tuple[str, Level], _Kind] = {}
        self._lock = threading.Lock()

    def say(self, name: str, topic: str, message: str, level: Level) -> None:
        """Tell a message of the organization of that name, or count it."""
        with self._lock:
            kind = self._kinds.setdefault((topic, level), _Kind(self._clock()))
            if kind.told >= TOLD_IN_A_MINUTE:
                kind.untold.append(name)
                kind.last = message
                return
            kind.told += 1
        self._log(f"{name}: {message}", level)

    def sum_up(self, *, at_once: bool = False) -> None:
        """Tell what was counted, once a minute is over or at once."""
        with self._lock:
            now = self._clock()
            over = [
                (level, self._kinds.pop((topic, level)))
                for (topic, level), kind in list(self._kinds.items())
                if at_once or now - kind.since >= MINUTE_SECONDS
            ]
        for level, kind in over:
            if kind.untold:
                self._log(self._summary(kind), level)

    def _summary(self, kind: _Kind) -> str:
        names = list(dict.fromkeys(kind.untold))
        shown = ", ".join(names[:NAMES_SHOWN]) + (", ..." if len(names) > NAMES_SHOWN else "")
        return (
            f"{len(names)} more of {self._organizations()} organizations say the like of what"
            f" {names[-1]} says: {kind.last} They are {shown}."
        )
