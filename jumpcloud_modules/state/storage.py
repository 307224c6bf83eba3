"""Files that are whole or absent, on a local disk and on S3 alike.

Everything goes through the `Path` interface, which the platform's S3 paths share. On a disk only
this process's user may read what is written. S3 is bounded by botocore's defaults: 60 s to connect,
60 s without a piece of an answer, and up to five tries. Knows nothing of what the files hold.
"""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from jumpcloud_modules.errors import CannotWork, StateUnavailable

_UNFINISHED = ".unfinished"
_FILE_MODE = 0o600
_FOLDER_MODE = 0o700
_OF_OTHERS = 0o077
_FOR_GOOD = frozenset(
    {errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST, errno.ENOENT}
)
"""What no waiting mends. A full disk and one that fails are not among them."""
_USER_IN_ADDRESS = re.compile(r"//[^/@\s]*@")


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that a crash leaves either its old content or its new.

    Raises StateUnavailable.
    """
    unfinished = path.with_name(path.name + _UNFINISHED)
    with unavailable_unless("written", path):
        # In this order: the content is synced before a name leads to it, and the name before the
        # caller goes on. Otherwise a power cut could leave the new name with an empty file.
        _write(unfinished, content)
        unfinished.replace(path)
        _sync_folder(path.parent)


def write_once(path: Path, content: bytes) -> None:
    """Write a file that carries its own checksum and is never rewritten.

    It survives a kill at once, and on a disk a power cut after `sync`. Before that, it may be
    incomplete, which its reader notices. Raises StateUnavailable.
    """
    # Not synced, which would cost milliseconds for each page: what was written outlives a kill, and
    # `sync` makes it outlive a power cut before the checkpoint passes it.
    with unavailable_unless("written", path), _opened(path) as file:
        file.write(content)


def sync(path: Path) -> None:
    """Make a file that was written once survive a power cut, if it still exists.

    Raises StateUnavailable.
    """
    if not _is_local(path):
        return
    # A compaction may have removed it meanwhile: what it held is in a file that was synced.
    with unavailable_unless("written", path), suppress(FileNotFoundError), path.open("rb") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Make the list of a folder's files survive a power cut. Raises StateUnavailable."""
    with unavailable_unless("written", folder), suppress(FileNotFoundError):
        _sync_folder(folder)


def read(path: Path) -> bytes | None:
    """Return a file's content, or None where there is no such file.

    Raises StateUnavailable.
    """
    with unavailable_unless("read", path):
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError:  # S3 paths say so when there is no such file, too
            if path.exists():
                raise
            return None


def remove(path: Path) -> None:
    """Delete a file, if it is there. Raises StateUnavailable."""
    with unavailable_unless("removed", path):
        path.unlink(missing_ok=True)


def files(folder: Path) -> Iterator[Path]:
    """Name the files of a folder, and remove what a crash left unfinished.

    Raises StateUnavailable.
    """
    with unavailable_unless("listed", folder):
        found = list(folder.iterdir()) if folder.exists() else []
    for path in found:
        # It was never renamed, so no reader relies on it; left alone, they would pile up.
        if path.name.endswith(_UNFINISHED):
            remove(path)
        else:
            yield path


def size(path: Path) -> int:
    """Return a file's size in bytes. Raises StateUnavailable."""
    with unavailable_unless("read", path):
        return path.stat().st_size


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it that are missing, for this process's user alone."""
    if not _is_local(folder):
        folder.mkdir(parents=True, exist_ok=True)
        return
    if not folder.parent.exists():  # mkdir's own `parents` would leave those open to all
        make_folder(folder.parent)
    folder.mkdir(mode=_FOLDER_MODE, exist_ok=True)


def check_writable(folder: Path, *names: str) -> None:
    """Raise CannotWork where a folder of a disk, or what of its `names` exists, is read-only.

    A full disk does not raise: writing the state waits until there is room.
    """
    if not _is_local(folder):
        return
    try:
        make_folder(folder)
        _write_nothing(folder / f"writable{_UNFINISHED}")
        for path in (folder / name for name in names):
            if path.exists() and not os.access(path, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
    except OSError as error:
        if error.errno in _FOR_GOOD:
            raise _read_only(folder, error) from None


def _write_nothing(path: Path) -> None:
    os.close(open_private(path, os.O_WRONLY | os.O_CREAT))
    path.unlink(missing_ok=True)


def _read_only(folder: Path, error: OSError) -> CannotWork:
    return CannotWork(
        f"The data folder {folder} cannot be written ({error.strerror}: {error.filename}): give it"
        f" to the user {os.geteuid()}, mount it writable, or name another one."
    )


def keep_private(folder: Path) -> None:
    """Close a folder of ours, and those in it, to other users, as an older version left them."""
    if not _is_local(folder) or not folder.is_dir():
        return
    for path in (folder, *filter(Path.is_dir, folder.iterdir())):
        # What is another user's cannot be changed, and whoever shares a volume so has chosen it.
        with suppress(OSError):
            if path.stat().st_mode & _OF_OTHERS:
                path.chmod(_FOLDER_MODE)


def open_private(path: Path | str, flags: int) -> int:
    """Open a file of a disk for this process's user alone, also one that others could read."""
    descriptor = os.open(path, flags, _FILE_MODE)
    with suppress(OSError):  # another user's file, or a file system without modes
        # The mode given to open counts only where the file is new.
        os.fchmod(descriptor, _FILE_MODE)
    return descriptor


@contextmanager
def unavailable_unless(done: str, path: Path) -> Iterator[None]:
    """Raise StateUnavailable for whatever fails: each S3 client has errors of its own."""
    try:
        yield
    except Exception as error:
        raise _unavailable(done, path, error) from error


def _opened(path: Path) -> IO[bytes]:
    try:
        return _open(path)
    except FileNotFoundError:
        # Only once it is missed: to look for it before each write would cost a call for each page,
        # and on S3 a request.
        make_folder(path.parent)
        return _open(path)


def _open(path: Path) -> IO[bytes]:
    if _is_local(path):
        return open(path, "wb", opener=open_private)
    return path.open("wb")


def _write(path: Path, content: bytes) -> None:
    with _opened(path) as file:
        file.write(content)
        if _is_local(path):
            file.flush()
            os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """POSIX promises that a new name lasts only once its folder was synced."""
    if not _is_local(folder):
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems cannot
            raise
    finally:
        os.close(descriptor)


def _is_local(path: Path) -> bool:
    # S3Path is a subclass of Path, so isinstance would take both for a disk's.
    return type(path) is type(Path())


def _unavailable(done: str, path: Path, error: Exception) -> StateUnavailable:
    # An error of the network names the address, and somebody may have put a password there.
    reason = _USER_IN_ADDRESS.sub("//", str(error))
    return StateUnavailable(
        f"The state file {path} could not be {done} ({type(error).__name__}: {reason}). "
        "Collecting waits until it can: check the disk's space and rights, or the object storage."
    )
