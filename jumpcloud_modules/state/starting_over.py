"""A state that starts over from an instant, with a copy of what was there.

Its owner calls it. What the ledger knows as delivered stays known, unless it is set aside too.
"""

from dataclasses import dataclass
from pathlib import Path

from s3path import S3Path

from jumpcloud_modules.instants import from_ms
from jumpcloud_modules.state import storage
from jumpcloud_modules.state.checkpoint_store import FILE_NAME, PREVIOUS_FILE_NAME, reset_document
from jumpcloud_modules.state.inspection import LEDGER


@dataclass(frozen=True, slots=True)
class Kept:
    """Name the copies that were kept; None where there was nothing to copy."""

    document: Path | None
    ledger: Path | None


def start_over(folder: Path, since_ms: int, now_ms: int, *, again: bool) -> Kept:
    """Have the next start collect from an instant; with `again` also what was delivered since.

    A crash leaves the state as it was, or the new one; the ledger goes last. Raises
    StateUnavailable.
    """
    mark = f"before-{from_ms(now_ms):%Y%m%dT%H%M%SZ}"
    document = _copied(folder, mark)
    storage.write_atomically(folder / FILE_NAME, reset_document(since_ms, now_ms))
    ledger = _set_aside(folder / LEDGER, folder / f"{LEDGER}.{mark}") if again else None
    return Kept(document, ledger)


def _copied(folder: Path, mark: str) -> Path | None:
    for name in (FILE_NAME, PREVIOUS_FILE_NAME):
        content = storage.read(folder / name)
        if content is not None:
            copy = folder / f"context.{mark}.json"
            storage.write_atomically(copy, content)
            return copy
    return None


def _set_aside(ledger: Path, place: Path) -> Path | None:
    """Move a folder: on a disk at once, on S3, where a folder is none, file by file."""
    if not isinstance(ledger, S3Path):
        with storage.unavailable_unless("set aside", ledger):
            return ledger.replace(place) if ledger.exists() else None
    found = storage.files_below(ledger)
    for path in found:
        if (content := storage.read(path)) is not None:
            storage.write_atomically(place / path.relative_to(ledger), content)
            storage.remove(path)
    return place if found else None
