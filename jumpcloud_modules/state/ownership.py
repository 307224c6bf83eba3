"""A state has one owner: two processes on one data folder would deliver everything twice.

    owner = ownership(folder)
    owner.acquire(stop, tell)   before the state is loaded; waits while another process owns it
    owner.try_acquire(tell)     the same without waiting: look again after `look_every_seconds`
    owner.check()               before each commit and each delivery
    owner.release()             once nothing writes any more

Who owns many states has one `ownerships(root)`, whose `of(folder)` is the owner of each, and whose
`release()` gives all of them back at the end.

An ownership that was lost or released stays lost, so that a thread that was left behind with old
data in memory cannot write: make a new one, and load the state anew. How long a write may go on
after the ownership was lost is described in `disk_lock`, `s3_lease` and `s3_sessions`.
"""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from s3path import S3Path

from jumpcloud_modules.state.disk_lock import DiskLock, DiskLocks, owner_on_disk
from jumpcloud_modules.state.owners import Record
from jumpcloud_modules.state.s3_lease import S3Lease, owner_on_s3
from jumpcloud_modules.state.s3_sessions import S3Sessions


class Owner(Protocol):
    """Own the state in one data folder; each method may be called again."""

    @property
    def look_every_seconds(self) -> float:
        """How long to wait before the next look, while another process owns the state."""

    def try_acquire(self, tell: Callable[[str], None]) -> bool:
        """Take the state if it may be taken now; tell for whom it waits, now and then, if not.

        Raises StateUnavailable, to be tried again, and OwnershipLost for a second life.
        """

    def acquire(self, stop: threading.Event, tell: Callable[[str], None]) -> None:
        """Return once this process owns the state, and tell for whom it waits until then.

        Raises StateUnavailable, to be tried again, Stopped, and OwnershipLost for a second life.
        """

    def check(self) -> None:
        """Raise OwnershipLost where the state may be another's, StateUnavailable in doubt."""

    def release(self) -> None:
        """Let the next process have the state."""


class Ownerships(Protocol):
    """Own the states in many folders, all of them right below one root."""

    def of(self, folder: Path) -> Owner:
        """Return what owns the state in a folder; a new one for each life."""

    def release(self) -> None:
        """Let the next processes have all that is still owned, once nothing writes any more."""


def wall_clock_ms() -> int:
    """Return the instant for a record."""
    return time.time_ns() // 1_000_000


def ownership(folder: Path, now_ms: Callable[[], int] = wall_clock_ms) -> Owner:
    """Return what owns the state in a folder, on a disk or on S3."""
    if isinstance(folder, S3Path):
        return S3Lease(folder, now_ms)
    return DiskLock(folder, now_ms)


def ownerships(root: Path, now_ms: Callable[[], int] = wall_clock_ms) -> Ownerships:
    """Return what owns the states in the folders below a root, on a disk or on S3."""
    if isinstance(root, S3Path):
        return S3Sessions(root, now_ms)
    return DiskLocks(now_ms)


def who_owns(folder: Path) -> Record | None:
    """Return who owns the state in a folder now, without taking it; None for nobody.

    Raises StateUnavailable.
    """
    return owner_on_s3(folder) if isinstance(folder, S3Path) else owner_on_disk(folder)
