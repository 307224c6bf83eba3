"""What the organizations of one process have in common: threads, connections, messages, numbers.

A place to put things, and the numbers of all together. Knows no single organization.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from jumpcloud_modules.collecting.measurements import Histogram, Traffic
from jumpcloud_modules.collecting.stats import Counts
from jumpcloud_modules.connections import Connections
from jumpcloud_modules.http.redaction import Secrets
from jumpcloud_modules.organizations.messages import Messages
from jumpcloud_modules.organizations.scheduler import Scheduler
from jumpcloud_modules.organizations.turns import Turns
from jumpcloud_modules.state.ledger import KeysInUse
from jumpcloud_modules.state.ownership import Owner

FORWARD_SECONDS_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
KEYS_IN_USE_OF_EACH = KeysInUse(keys=10_000, hours=4)
"""Less than a single organization may have: there are many, and few of them are busy at once."""


class Sums:
    """Add up what all polls did since this was last asked for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts, self._polls = Counts(), 0
        self.polls_in_all = 0

    def polled(self, counts: Counts) -> None:
        """Take note of a poll."""
        with self._lock:
            self._counts += counts
            self._polls += 1
            self.polls_in_all += 1

    def take(self) -> tuple[Counts, int]:
        """Return the counts and how many polls there were, and begin again at nothing."""
        with self._lock:
            taken = self._counts, self._polls
            self._counts, self._polls = Counts(), 0
            return taken


@dataclass(frozen=True, slots=True)
class Commons:
    """Hold what every member uses; `failed_unexpectedly` reports a mistake of the program."""

    version: str
    scheduler: Scheduler
    turns: Turns
    messages: Messages
    secrets: Secrets
    connections: Connections
    traffic: Traffic
    owner_of: Callable[[Path], Owner]
    failed_unexpectedly: Callable[[str, Exception, int], None]
    heartbeat: Callable[[], None] = lambda: None
    sums: Sums = field(default_factory=Sums)
    forward_seconds: Histogram = field(default_factory=lambda: Histogram(FORWARD_SECONDS_BUCKETS))
    keys_in_use: KeysInUse = KEYS_IN_USE_OF_EACH
    began_at: float = field(default_factory=monotonic)
