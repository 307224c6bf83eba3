"""The verdict so far, kept while events come: each event costs the same, however many there were.

Knows events and digests; knows no HTTP. `verdict.judge` has the last word.
"""

from __future__ import annotations

import heapq
import threading
from collections import defaultdict
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
    or made up. misdelivered: accepted with the intake key of another organization. hidden: produced
    and neither visible nor accepted yet.
    """

    produced: int
    accepted: int
    waiting: int
    twice: int
    strange: int
    misdelivered: int = 0
    hidden: int = 0

    @property
    def published(self) -> int:
        """Return how many anybody could have read so far."""
        return self.produced - self.hidden


class RunningVerdict:
    """Counts what an emulated JumpCloud published and an emulated intake accepted.

    Organizations without an intake key of their own count as one, of an empty id.
    """

    def __init__(self, jumpcloud: JumpCloud, intake: Intake) -> None:
        self._jumpcloud, self._intake = jumpcloud, intake
        self._lock = threading.Lock()
        self._produced = self._accepted = 0
        self._accounts: defaultdict[str, _Account] = defaultdict(_Account)
        self._holders: dict[bytes, str] = {}
        self._keyed: frozenset[str] = frozenset()

    def look(self) -> SoFar:
        """Count what came since the last look, and return all of it."""
        counts = self.by_organization().values()
        misdelivered = sum(one.misdelivered for one in counts)
        return SoFar(
            produced=sum(one.produced for one in counts),
            accepted=sum(one.accepted for one in counts) + misdelivered,
            waiting=sum(one.waiting for one in counts),
            twice=sum(one.twice for one in counts),
            strange=sum(one.strange for one in counts),
            misdelivered=misdelivered,
            hidden=sum(one.hidden for one in counts),
        )

    def by_organization(self) -> dict[str, SoFar]:
        """Count what came since the last look, and return it by the organization's id.

        What was misdelivered is told of the organization whose events they are.
        """
        with self._lock:
            now = self._catch_up()
            return {name: account.so_far(now) for name, account in self._accounts.items()}

    def is_owed(self, visible_until_ms: int) -> bool:
        """Tell whether an event that was visible by an instant was not accepted yet."""
        with self._lock:
            self._catch_up()
            return any(account.is_owed(visible_until_ms) for account in self._accounts.values())

    def excuse(self, events: Iterable[Event]) -> None:
        """Wait no longer for events that no intake would take."""
        with self._lock:
            self._catch_up()
            for event in events:
                digest = event.digest()
                for account in self._accounts.values():
                    account.wait_no_longer(digest)

    def _catch_up(self) -> int:
        """Count what came since, and return the instant."""
        now = now_ms()
        # What was accepted is read first: each of those was published before.
        accepted = self._intake.accepted_since(self._accepted)
        self._keyed = self._intake.organizations
        for event in self._jumpcloud.published_since(self._produced):
            self._produced += 1
            owner, digest = self._owner_of(event), event.digest()
            self._holders.setdefault(digest, owner)
            self._accounts[owner].publish(digest, event.visible_ms, now)
        for organization, digests in accepted:
            self._accepted += len(digests)
            self._book(organization, digests)
        return now

    def _book(self, organization: str, digests: list[bytes]) -> None:
        account = self._accounts[organization]
        for digest in digests:
            if digest in account.owed:
                account.accept(digest)
            elif (holder := self._holders.get(digest)) is not None:
                self._accounts[holder].misdelivered += 1
            else:
                account.strange += 1

    def _owner_of(self, event: Event) -> str:
        owner = self._jumpcloud.owner_of(event)
        return owner if owner in self._keyed else ""


class _Account:
    """What one intake key was owed and has taken."""

    def __init__(self) -> None:
        self.owed: dict[bytes, int] = {}
        self._waiting: dict[bytes, int] = {}
        self._hidden: list[tuple[int, bytes]] = []  # by when they become visible
        self._hidden_waiting: set[bytes] = set()
        self._produced = self._accepted = self._twice = 0
        self.strange = self.misdelivered = 0

    def publish(self, digest: bytes, visible_ms: int, now_ms: int) -> None:
        self._produced += 1
        if digest not in self.owed:
            self._waiting[digest] = visible_ms
            if visible_ms > now_ms:
                self._hidden_waiting.add(digest)
                heapq.heappush(self._hidden, (visible_ms, digest))
        owed = self.owed.get(digest, 0)
        self._twice -= owed < 0  # a copy of what had come twice
        self.owed[digest] = owed + 1

    def accept(self, digest: bytes) -> None:
        self._accepted += 1
        self.owed[digest] -= 1
        self.wait_no_longer(digest)
        self._twice += self.owed[digest] < 0

    def wait_no_longer(self, digest: bytes) -> None:
        self._waiting.pop(digest, None)
        self._hidden_waiting.discard(digest)

    def is_owed(self, visible_until_ms: int) -> bool:
        return any(visible_ms <= visible_until_ms for visible_ms in self._waiting.values())

    def so_far(self, now_ms: int) -> SoFar:
        while self._hidden and self._hidden[0][0] <= now_ms:
            self._hidden_waiting.discard(heapq.heappop(self._hidden)[1])
        return SoFar(
            self._produced,
            self._accepted + self.strange,
            len(self._waiting) - len(self._hidden_waiting),
            self._twice,
            self.strange,
            self.misdelivered,
            len(self._hidden_waiting),
        )
