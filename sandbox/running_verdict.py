"""The verdict so far, kept while events come: each event costs the same, however many there were.

Knows events and digests; knows no HTTP. `verdict.judge` has the last word.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass

from sandbox.events import Event
from sandbox.instants import now_ms
from sandbox.intake import Intake
from sandbox.jumpcloud import JumpCloud


@dataclass(frozen=True, slots=True)
class SoFar:
    """Counts of events up to now.

    waiting: visible and not accepted yet, which may be lost or only on their way. twice: accepted
    more often than published. strange: accepted and never published with these bytes, so altered
    or made up.
    """

    produced: int
    accepted: int
    waiting: int
    twice: int
    strange: int


class RunningVerdict:
    """Counts what an emulated JumpCloud published and an emulated intake accepted."""

    def __init__(self, jumpcloud: JumpCloud, intake: Intake) -> None:
        self._jumpcloud, self._intake = jumpcloud, intake
        self._lock = threading.Lock()
        self._produced = self._accepted = self._twice = self._strange = 0
        self._owed: dict[bytes, int] = {}
        self._waiting: dict[bytes, int] = {}

    def look(self) -> SoFar:
        """Count what came since the last look, and return all of it."""
        with self._lock:
            self._catch_up()
            now = now_ms()
            waiting = sum(1 for visible_ms in self._waiting.values() if visible_ms <= now)
            return SoFar(self._produced, self._accepted, waiting, self._twice, self._strange)

    def is_owed(self, visible_until_ms: int) -> bool:
        """Tell whether an event that was visible by an instant was not accepted yet."""
        with self._lock:
            self._catch_up()
            return any(visible_ms <= visible_until_ms for visible_ms in self._waiting.values())

    def excuse(self, events: Iterable[Event]) -> None:
        """Wait no longer for events that no intake would take."""
        with self._lock:
            self._catch_up()
            for event in events:
                self._waiting.pop(event.digest(), None)

    def _catch_up(self) -> None:
        # What was accepted is read first: each of those was published before.
        accepted = self._intake.digests_since(self._accepted)
        for event in self._jumpcloud.published_since(self._produced):
            self._produced += 1
            digest = event.digest()
            if digest not in self._owed:
                self._waiting[digest] = event.visible_ms
            owed = self._owed.get(digest, 0)
            self._twice -= owed < 0  # a copy of what had come twice
            self._owed[digest] = owed + 1
        for digest in accepted:
            self._accepted += 1
            if digest not in self._owed:
                self._strange += 1
                continue
            self._owed[digest] -= 1
            self._waiting.pop(digest, None)
            self._twice += self._owed[digest] < 0
