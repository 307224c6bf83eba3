"""How long a lease lasts, the clock that it goes by, and how to notice that it does not change."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Terms:
    """Say how long a lease lasts, and how it is renewed and taken."""

    lease: timedelta = timedelta(seconds=40)
    """Another process may take it when it has not changed for as long."""
    renew_every: timedelta = timedelta(seconds=10)
    look_every: timedelta = timedelta(seconds=2)
    """How often a process that waits looks at it."""
    margin: timedelta = timedelta(seconds=10)
    """Its owner stops relying on it this much earlier."""
    settle: timedelta = timedelta(seconds=3)
    """How long a storage that ignores conditions is given to show who wrote last."""
    confirm_every: timedelta = timedelta(minutes=10)
    """How often the owner of a folder that is not renewed looks whether it is still recorded."""

    @property
    def trusted_seconds(self) -> float:
        """Return how long after a renewal its owner may rely on it."""
        return (self.lease - self.margin).total_seconds()


USUAL = Terms()


def since_boot() -> float:
    """Return seconds that pass while the machine sleeps, too: Linux's monotonic ones do not."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


class Watch:
    """Notice for how long an object has not changed."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._etag: str | None = None
        self._since = 0.0

    def unchanged_seconds(self, etag: str) -> float:
        """Take note of the ETag just read, and return how long it has been the same."""
        if etag != self._etag:
            self._etag, self._since = etag, self._clock()
        return self._clock() - self._since
