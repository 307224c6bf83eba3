"""Files that are whole or absent, on a local disk and on S3 alike.

Everything goes through the `Path` interface, which the platform's S3 paths share. Knows nothing
of what the files hold.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from jumpcloud_modules.errors import StateUnavailable

_UNFINISHED = ".unfinished"


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that a crash leaves either its old content or its new.

    Raises StateUnavailable.
    """
    unfinished = path.with_name(path.name + _UNFINISHED)
    try:
        _write(unfinished, content)
        unfinished.replace(path)
    except Exception as error:  # each S3 client raises a family of its own
        raise _unavailable("written", path, error) from error


def write_once(path: Path, content: bytes) -> None:
    """Write a file that carries its own checksum and is never rewritten.

    A crash may leave it incomplete, which its reader notices. Raises StateUnavailable.
    """
    try:
        _write(path, content)
    except Exception as error:  # each S3 client raises a family of its own
        raise _unavailable("written", path, error) from error


def read(path: Path) -> bytes | None:
    """Return a file's content, or None where there is no such file.

    Raises StateUnavailable.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except Exception as error:  # each S3 client raises a family of its own
        if _is_absent(path):
            return None
        raise _unavailable("read", path, error) from error


def remove(path: Path) -> None:
    """Delete a file, if it is there. Raises StateUnavailable."""
    try:
        path.unlink(missing_ok=True)
    except Exception as error:  # each S3 client raises a family of its own
        raise _unavailable("removed", path, error) from error


def files(folder: Path) -> Iterator[Path]:
    """Name the files of a folder, and remove what a crash left unfinished.

    Raises StateUnavailable.
    """
    try:
        found = list(folder.iterdir()) if folder.exists() else []
    except Exception as error:  # each S3 client raises a family of its own
        raise _unavailable("listed", folder, error) from error
    for path in found:
        if path.name.endswith(_UNFINISHED):
            remove(path)
        else:
            yield path


def size(path: Path) -> int:
    """Return a file's size in bytes. Raises StateUnavailable."""
    try:
        return path.stat().st_size
    except Exception as error:  # each S3 client raises a family of its own
        raise _unavailable("read", path, error) from error


def _is_absent(path: Path) -> bool:
    """Tell whether the storage answers that there is no such file: S3 paths raise OSError then."""
    try:
        return not path.exists()
    except Exception:  # noqa: BLE001 -- the error of reading is the one to tell
        return False


def _write(path: Path, content: bytes) -> None:
    try:
        file = path.open("wb")
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("wb")
    with file:
        file.write(content)
        if type(path) is type(Path()):
            file.flush()
            os.fsync(file.fileno())


def _unavailable(done: str, path: Path, error: Exception) -> StateUnavailable:
    return StateUnavailable(
        f"The state file {path} could not be {done} ({type(error).__name__}: {error}). "
        "Collecting waits until it can: check the disk's space and rights, or the object storage."
    )
