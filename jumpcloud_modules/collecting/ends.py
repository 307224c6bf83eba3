"""What a collector is given: JumpCloud, what is durable, and the process it runs in.

Values that group what belongs together; who brings the parts is the assembly's concern.
"""

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from jumpcloud_modules.collecting.concurrency import ConcurrencyLimit
from jumpcloud_modules.collecting.measurements import Measurements
from jumpcloud_modules.collecting.protocols import Checkpoints, Clock, CountingSource, Delivered
from jumpcloud_modules.http.retry import Retry


@dataclass(frozen=True, slots=True)
class JumpCloud:
    """Be asked for events and counts, in JumpCloud's own time and no faster than it can bear.

    The tail has a backoff apart from the backfill's, so that a backlog that fails keeps no new
    event waiting; `concurrency` limits the readers of the backfill and of late events.
    """

    source: CountingSource
    clock: Clock
    tail_retry: Retry
    backfill_retry: Retry
    concurrency: ConcurrencyLimit


def _nobody_else_may() -> None:
    """Own what nothing else can reach."""


@dataclass(frozen=True, slots=True)
class Durable:
    """Outlast the process: how far it got, and each scope's ledger, with the storage's backoff.

    `check_owner` raises OwnershipLost where all of it may be another process's by now.
    """

    state: Checkpoints
    ledgers: Callable[[str], Delivered]
    retry: Retry
    check_owner: Callable[[], None] = _nobody_else_may


@dataclass(frozen=True, slots=True)
class OtherStreams:
    """Tell what the other streams of the connector know, and what they still need.

    `known_from_ms` returns the instant from which they know all that they delivered; before it,
    what both bring would come twice. `needed_from_ms` returns for each of them the instant before
    which it reads nothing again, None while that is not known: until then nothing is forgotten.
    """

    known_from_ms: Callable[[], int] = lambda: 0
    needed_from_ms: Callable[[], Iterable[int | None]] = tuple


ALONE = OtherStreams()
"""A connector of one stream."""


@dataclass(frozen=True, slots=True)
class Process:
    """Say when to stop, pass on what a person should know, or may have to look at, and measure."""

    stop: threading.Event
    tell: Callable[[str], None]
    warn: Callable[[str], None]
    measurements: Measurements = field(default_factory=Measurements)
