"""Files that are whole or absent, on a local disk and on S3 alike.

Everything goes through the `Path` interface, which the platform's S3 paths share. Knows nothing
of what the files hold.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from jumpcloud_modules.errors import StateUnavailable

_UNFINISHED = ".unfinished"


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that a crash leaves either its old content or its new.

    Raises StateUnavailable.
    """
    unfinished = path.with_name(path.name + _UNFINISHED)
    with unavailable_unless("written", path):
        _write(unfinished, content)
        unfinished.replace(path)
        _sync_folder(path.parent)


def write_once(path: Path, content: bytes) -> None:
    """Write a file that carries its own checksum and is never rewritten.

    It survives a kill at once, and on a disk a power cut after `sync`. Either may leave it
    incomplete before, which its reader notices. Raises StateUnavailable.
    """
    with unavailable_unless("written", path), _opened(path, "wb") as file:
        file.write(content)


def sync(path: Path) -> None:
    """Have what was written once survive a power cut, too, if it is still needed.

    Raises StateUnavailable.
    """
    if not _is_local(path):
        return
    with unavailable_unless("written", path), suppress(FileNotFoundError), path.open("rb") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Have a power cut survived by which files a folder holds, too. Raises StateUnavailable."""
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
        if path.name.endswith(_UNFINISHED):
            remove(path)
        else:
            yield path


def size(path: Path) -> int:
    """Return a file's size in bytes. Raises StateUnavailable."""
    with unavailable_unless("read", path):
        return path.stat().st_size


@contextmanager
def unavailable_unless(done: str, path: Path) -> Iterator[None]:
    """Give whatever fails one name: each S3 client raises a family of its own."""
    try:
        yield
    except Exception as error:
        raise _unavailable(done, path, error) from error


def _opened(path: Path, mode: str) -> IO[bytes]:
    try:
        return path.open(mode)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open(mode)


def _write(path: Path, content: bytes) -> None:
    with _opened(path, "wb") as file:
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
    return type(path) is type(Path())


def _unavailable(done: str, path: Path, error: Exception) -> StateUnavailable:
    return StateUnavailable(
        f"The state file {path} could not be {done} ({type(error).__name__}: {error}). "
        "Collecting waits until it can: check the disk's space and rights, or the object storage."
    )
