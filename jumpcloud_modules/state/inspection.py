"""A look at a state from outside, which changes nothing: no file, no folder, no lease.

A connector may be at work on it meanwhile. Knows nothing of what a person is told about it.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from s3path import S3Path

from jumpcloud_modules.checkpoint import Found
from jumpcloud_modules.state import storage
from jumpcloud_modules.state.checkpoint_store import FILE_NAME, PREVIOUS_FILE_NAME, CheckpointStore
from jumpcloud_modules.state.owners import Record
from jumpcloud_modules.state.ownership import who_owns

LEDGER = "ledger"
QUARANTINE = "quarantine"
NAMED_BESIDE_ALL = "streams/named"
"""Where the state of the services is that are asked for beside `all`, below the data folder."""
REASONS = "quarantine-reasons"
_TRACES = (FILE_NAME, PREVIOUS_FILE_NAME, "owner.lock", "owner.lease", LEDGER, QUARANTINE)


@dataclass(frozen=True, slots=True)
class Size:
    """Count files and what they hold."""

    files: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Inspection:
    """Hold what a data folder tells: how far collecting got, who owns it, what it keeps."""

    found: Found
    owner: Record | None
    ledger: Size
    quarantine: Size

    @property
    def is_empty(self) -> bool:
        """Tell whether nothing was ever collected with this state."""
        return self.found.checkpoint is None and not self.found.warning

    @property
    def is_damaged(self) -> bool:
        """Tell whether the document that says how far collecting got cannot be read."""
        return bool(self.found.warning)

    @property
    def is_ledger_missing(self) -> bool:
        """Tell whether what was delivered is no longer known, though something was."""
        checkpoint = self.found.checkpoint
        is_begun = checkpoint is not None and not checkpoint.is_provisional
        return is_begun and not self.found.is_takeover and not self.ledger.files


def inspect(folder: Path) -> Inspection:
    """Look at a data folder, on a disk or on S3. Raises StateUnavailable."""
    return Inspection(
        found=CheckpointStore(folder).load(),
        owner=who_owns(folder),
        ledger=_size_of(_below(folder / LEDGER)),
        quarantine=_quarantine(folder),
    )


def quarantined(folder: Path) -> int:
    """Count the events in a folder's quarantine. Raises StateUnavailable."""
    return _quarantine(folder).files


def fault_of_folder(folder: Path) -> str | None:
    """Say what keeps a folder of a disk from being written, as far as a look tells; None for S3."""
    if isinstance(folder, S3Path):
        return None
    there = next(place for place in (folder, *folder.parents) if place.exists())
    if not there.is_dir():
        return f"{folder} cannot be the data folder, since {there} is a file; name another one."
    if not os.access(there, os.W_OK | os.X_OK):
        user = f"the user {os.geteuid()}"
        return f"The data folder {folder} cannot be written by {user}; give it to that user."
    return None


def is_of_a_connector(folder: Path) -> bool:
    """Tell whether a folder holds anything of a connector's. Raises StateUnavailable."""
    with storage.unavailable_unless("listed", folder):
        return any((folder / name).exists() for name in _TRACES)


def _quarantine(folder: Path) -> Size:
    return _size_of(p for p in _below(folder / QUARANTINE) if p.name.endswith(".json"))


def _below(folder: Path) -> Iterator[Path]:
    """Name the files of a folder and of those below it, as they are just now."""
    with storage.unavailable_unless("listed", folder):
        if not folder.exists():
            return
        for path in list(folder.iterdir()):
            if path.is_dir():
                yield from _below(path)
            else:
                yield path


def _size_of(paths: Iterator[Path]) -> Size:
    sizes = [size for path in paths if (size := _size(path)) is not None]
    return Size(len(sizes), sum(sizes))


def _size(path: Path) -> int | None:
    """Return a file's size, None where its owner has removed it meanwhile."""
    try:
        return path.stat().st_size
    except OSError:
        return None
