"""Files that are whole or absent, on a local disk and on S3 alike.

Where a file is, its path tells: on S3 it is an object, which `objects` writes and reads. On a disk
only this process's user may read what is written. Knows nothing of what the files hold.
"""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from s3path import S3Path

from jumpcloud_modules.errors import CannotWork, StateUnavailable
from jumpcloud_modules.state import objects

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
    with unavailable_unless("written", path):
        if isinstance(path, S3Path):
            objects.write(path, content)
            return
        unfinished = path.with_name(path.name + _UNFINISHED)
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
    with unavailable_unless("written", path):
        if isinstance(path, S3Path):
            # Under no condition: where the answer to a write was lost, it is written once more.
            objects.write(path, content)
            return
        with _opened(path) as file:
            file.write(content)


def sync(path: Path) -> None:
    """Make a file that was written once survive a power cut, if it still exists.

    Raises StateUnavailable.
    """
    if isinstance(path, S3Path):
        return
    # A compaction may have removed it meanwhile: what it held is in a file that was synced.
    with unavailable_unless("written", path), suppress(FileNotFoundError), path.open("rb") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Make the list of a folder's files survive a power cut. Raises StateUnavailable."""
    if isinstance(folder, S3Path):
        return
    with unavailable_unless("written", folder), suppress(FileNotFoundError):
        _sync_folder(folder)


def read(path: Path) -> bytes | None:
    """Return a file's content, or None where there is no such file.

    Raises StateUnavailable.
    """
    with unavailable_unless("read", path):
        if isinstance(path, S3Path):
            found = objects.read(path)
            return found.content if found else None
        with suppress(FileNotFoundError):
            return path.read_bytes()
        return None


def remove(path: Path) -> None:
    """Delete a file, if it is there. Raises StateUnavailable."""
    with unavailable_unless("removed", path):
        if isinstance(path, S3Path):
            objects.remove(path)
        else:
            path.unlink(missing_ok=True)


def files(folder: Path) -> dict[Path, int]:
    """Return the files of a folder with their sizes, and remove what a crash left unfinished.

    Raises StateUnavailable.
    """
    with unavailable_unless("listed", folder):
        found = objects.within(folder)[0] if isinstance(folder, S3Path) else _sizes(folder)
    # It was never renamed, so no reader relies on it; left alone, they would pile up.
    for path in [path for path in found if path.name.endswith(_UNFINISHED)]:
        remove(path)
        del found[path]
    return found


def files_below(folder: Path) -> dict[Path, int]:
    """Return the files of a folder and of those below it with their sizes, as they are just now.

    Raises StateUnavailable.
    """
    with unavailable_unless("listed", folder):
        return objects.below(folder) if isinstance(folder, S3Path) else dict(_walked(folder))


def names(folder: Path) -> set[str]:
    """Return the names of the files and folders in a folder. Raises StateUnavailable."""
    with unavailable_unless("listed", folder):
        if isinstance(folder, S3Path):
            sizes, folders = objects.within(folder)
            return {path.name for path in sizes} | folders
        return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


def make_folder(folder: Path) -> None:
    """Make a folder of a disk, and those that are missing above, for this process's user alone."""
    if not folder.parent.exists():  # mkdir's own `parents` would leave those open to all
        make_folder(folder.parent)
    folder.mkdir(mode=_FOLDER_MODE, exist_ok=True)


def check_writable(folder: Path, *names: str) -> None:
    """Raise CannotWork where a folder of a disk, or what of its `names` exists, is read-only.

    A full disk does not raise: writing the state waits until there is room.
    """
    if isinstance(folder, S3Path):
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
    if isinstance(folder, S3Path) or not folder.is_dir():
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
        # Only once it is missed: to look for it before each write would cost a call for each page.
        make_folder(path.parent)
        return _open(path)


def _open(path: Path) -> IO[bytes]:
    return open(path, "wb", opener=open_private)


def _write(path: Path, content: bytes) -> None:
    with _opened(path) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """POSIX promises that a new name lasts only once its folder was synced."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems cannot
            raise
    finally:
        os.close(descriptor)


def _sizes(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_size for path in folder.iterdir()} if folder.exists() else {}


def _walked(folder: Path) -> Iterator[tuple[Path, int]]:
    for path in list(folder.iterdir()) if folder.exists() else ():
        if path.is_dir():
            yield from _walked(path)
        else:
            with suppress(OSError):  # its owner has removed it meanwhile
                yield path, path.stat().st_size


def _unavailable(done: str, path: Path, error: Exception) -> StateUnavailable:
    # An error of the network names the address, and somebody may have put a password there.
    reason = _USER_IN_ADDRESS.sub("//", str(error))
    return StateUnavailable(
        f"The state file {path} could not be {done} ({type(error).__name__}: {reason}). "
        "Collecting waits until it can: check the disk's space and rights, or the object storage."
    )
