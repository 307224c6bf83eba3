"""What a collector is built from: JumpCloud, what lasts on the disk, and the process it runs in.

Values that group what belongs together; `assembly` fills them in.
"""

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from jumpcloud_modules.collecting.concurrency import ConcurrencyLimit
from jumpcloud_modules.collecting.measurements import Measurements
from jumpcloud_modules.collecting.page_room import PageRoom
from jumpcloud_modules.collecting.protocols import (
    Checkpoints,
    Clock,
    CountingSource,
    DeliveryLedger,
)
from jumpcloud_modules.collecting.readers import FOR_COUNTS, FOR_WINDOWS, Spawn
from jumpcloud_modules.http.retry import Retry


@dataclass(frozen=True, slots=True)
class JumpCloud:
    """Hold JumpCloud's source of events, its clock, and what limits how it is asked.

    The tail has a backoff apart from the backfill's, so that a backlog that fails keeps no new
    event waiting; `concurrency` limits the readers of the backfill and of late events, and
    `page_room` their pages in memory.
    """

    source: CountingSource
    clock: Clock
    tail_retry: Retry
    backfill_retry: Retry
    concurrency: ConcurrencyLimit
    page_room: PageRoom


def _nobody_else_may() -> None:
    """Check nothing: no other process can reach this state."""


@dataclass(frozen=True, slots=True)
class Durable:
    """Hold what outlasts the process: the checkpoint and each scope's ledger, and their retry.

    `check_owner` raises OwnershipLost where another process may own the state by now.
    """

    state: Checkpoints
    ledgers: Callable[[str], DeliveryLedger]
    retry: Retry
    check_owner: Callable[[], None] = _nobody_else_may


@dataclass(frozen=True, slots=True)
class OtherStreams:
    """Tell what the other streams of the connector know, and what they still need.

    `known_from_ms` returns the instant from which they remember what they delivered; an event from
    before it that both streams read would be delivered twice. `needed_from_ms` returns for each of
    them the instant before which it reads nothing again, None while that is not known: until then
    nothing is forgotten.
    """

    known_from_ms: Callable[[], int] = lambda: 0
    needed_from_ms: Callable[[], Iterable[int | None]] = tuple


ALONE = OtherStreams()
"""A connector of one stream."""


@dataclass(frozen=True, slots=True)
class Process:
    """Hold the stop event, where messages for a person go, and where measurements do.

    `count_beside` has JumpCloud's counts compared beside the polls, `read_beside` windows read.
    """

    stop: threading.Event
    tell: Callable[[str], None]
    warn: Callable[[str], None]
    measurements: Measurements = field(default_factory=Measurements)
    count_beside: Spawn = FOR_COUNTS
    read_beside: Spawn = FOR_WINDOWS
