"""Ownership of a state on a disk: the operating system's lock on a file beside it.

The system releases it when its process ends, however it ends, so the next process can go on at
once. A process that is suspended keeps it. On a network file system the server may release the lock
of a client that it has lost; nothing here can notice that.
"""

import contextlib
import errno
import fcntl
import os
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from time import monotonic

from jumpcloud_modules.errors import CannotWork, OwnershipLost
from jumpcloud_modules.state import forks, open_files, storage
from jumpcloud_modules.state.owners import (
    Record,
    Waiting,
    from_json,
    this_process,
    to_json,
    wait_for,
)

FILE_NAME = "owner.lock"
SECONDS_BETWEEN_TRIES = 1.0
TOO_MANY = (
    "this process may not have as many files open as there are organizations: raise its limit"
    " (ulimit -n, LimitNOFILE) or the number of shards."
)
WITHOUT_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS}

Identity = tuple[int, int]


class DiskLock:
    """Own the state in a folder of a local disk, by a lock that ends with the process."""

    look_every_seconds = SECONDS_BETWEEN_TRIES

    def __init__(
        self,
        folder: Path,
        now_ms: Callable[[], int],
        clock: Callable[[], float] = monotonic,
        are_too_many: Callable[[int], bool] = lambda _: False,
    ) -> None:
        self._path = folder / FILE_NAME
        self._now_ms = now_ms
        self._are_too_many = are_too_many
        # A first look that fails may have met who_owns(), so the second one speaks.
        quiet_seconds = SECONDS_BETWEEN_TRIES / 2
        self._waiting = Waiting(folder, "until that process ends", quiet_seconds, clock)
        self._descriptor: int | None = None
        self._locked: Identity | None = None
        self._is_unguarded = False
        self._was_held = False
        # flock belongs to the open file, which a child inherits: the lock would outlive this
        # process for as long as the child lives.
        forks.let_go_in_children(self)

    def acquire(self, stop: threading.Event, tell: Callable[[str], None]) -> None:
        """Return once this process owns the state; tell for whom it waits.

        Raises StateUnavailable where the lock's file cannot be opened, Stopped, and OwnershipLost
        where it was owned before.
        """
        wait_for(self, stop, tell)

    def try_acquire(self, tell: Callable[[str], None]) -> bool:
        """Take the state if nobody has it, without waiting; tell who has it.

        Raises StateUnavailable and OwnershipLost as `acquire` does, and CannotWork where too many
        files are open.
        """
        if self._was_held:
            self.check()
            return True
        if not self._take(tell):
            self._waiting.goes_on(_record_in(self._path), tell)
            return False
        self._was_held = True
        self._waiting.ends(tell)
        return True

    def check(self) -> None:
        """Raise OwnershipLost unless this process owns the state."""
        if not self._is_owner():
            raise OwnershipLost(
                f"This process does not own the state in {self._path.parent}: its lock"
                f" {self._path.name} was given back, or removed by somebody. The state is loaded"
                " again by itself."
            )

    def release(self) -> None:
        """Let the next process have the state."""
        if self._descriptor is not None:
            with contextlib.suppress(OSError):  # the lock counts, and closing gives it back
                os.ftruncate(self._descriptor, 0)
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)  # also for a child that has a copy
        self._close()

    def _is_owner(self) -> bool:
        if self._is_unguarded:
            return True
        if self._locked is None:
            return False
        # Somebody may have removed the file, and another process may hold a new one of this name:
        # then the lock on the old file guards nothing.
        with storage.unavailable_unless("looked at", self._path):
            try:
                return self._locked == _identity(self._path.stat())
            except FileNotFoundError:
                return False

    def _take(self, tell: Callable[[str], None]) -> bool:
        self._close()
        with storage.unavailable_unless("locked", self._path):
            descriptor = _opened(self._path)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                os.close(descriptor)
                return self._is_without_locks(error, tell)
        if self._are_too_many(descriptor):
            os.close(descriptor)
            raise CannotWork(TOO_MANY)
        self._descriptor, self._locked = descriptor, _identity(os.fstat(descriptor))
        self._write_record(descriptor)
        return self._is_owner()  # or the file was removed before it was locked

    def _is_without_locks(self, error: OSError, tell: Callable[[str], None]) -> bool:
        if isinstance(error, BlockingIOError):
            return False
        if error.errno not in WITHOUT_LOCKS:
            raise error
        self._is_unguarded = True
        tell(
            f"The file system of {self._path.parent} has no locks ({error.strerror}), so nothing"
            " keeps a second connector off this data folder; make sure that only one runs."
        )
        return True

    def _write_record(self, descriptor: int) -> None:
        record = to_json(this_process(self._now_ms()))
        with contextlib.suppress(OSError):  # a full disk: the lock holds, and the state will say so
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, record, 0)

    def let_go_in_child(self) -> None:
        """Close the child's copy of the file, which leaves the parent's lock alone."""
        self._close()

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        self._locked, self._is_unguarded = None, False
        if descriptor is not None:
            os.close(descriptor)


class DiskLocks:
    """Own any of the states in the folders of a local disk, by a lock for each."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._locks: weakref.WeakSet[DiskLock] = weakref.WeakSet()

    def of(self, folder: Path) -> DiskLock:
        """Return what owns the state in a folder."""
        lock = DiskLock(folder, self._now_ms, are_too_many=open_files.are_too_many)
        self._locks.add(lock)
        return lock

    def release(self) -> None:
        """Give back what is still owned."""
        for lock in list(self._locks):
            lock.release()


def owner_on_disk(folder: Path) -> Record | None:
    """Return who owns the state in a folder, None for nobody. Raises StateUnavailable.

    A process that tries to lock it in this instant tries again a second later.
    """
    path = folder / FILE_NAME
    with storage.unavailable_unless("read", path):
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _record_in(path)
        except OSError as error:
            if error.errno not in WITHOUT_LOCKS:
                raise
        finally:
            os.close(descriptor)
    return None


def _opened(path: Path) -> int:
    storage.make_folder(path.parent)
    return storage.open_private(path, os.O_RDWR | os.O_CREAT)  # Python opens it close-on-exec


def _identity(status: os.stat_result) -> Identity:
    return status.st_dev, status.st_ino


def _record_in(path: Path) -> Record:
    try:
        return from_json(path.read_bytes())[0]
    except OSError:
        return Record()
