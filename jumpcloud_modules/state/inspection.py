"""A look at a state from outside, which changes nothing: no file, no folder, no lease.

A connector may be using it meanwhile. Knows nothing of how the result is shown.
"""

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from s3path import S3Path

from jumpcloud_modules.checkpoint import Checkpoint, Found
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
class StreamState:
    """Hold what one stream's folder tells: how far it got, and what it knows as delivered."""

    folder: Path
    found: Found
    ledger: Size

    @property
    def services(self) -> str:
        """Return what is asked for in it, separated by commas; empty where that is not known."""
        checkpoint = self.found.checkpoint
        return services_of(checkpoint.scope) if checkpoint else ""

    @property
    def is_ledger_missing(self) -> bool:
        """Tell whether what was delivered is no longer known, though something was."""
        checkpoint = self.found.checkpoint
        is_begun = checkpoint is not None and not checkpoint.is_provisional
        return is_begun and not self.found.is_takeover and not self.ledger.files


@dataclass(frozen=True, slots=True)
class Inspection:
    """Hold what a data folder tells: how far each stream got, who owns it, what it keeps.

    The first stream is the folder's own; a second one is there where services were named beside
    `all`, now or before.
    """

    streams: tuple[StreamState, ...]
    owner: Record | None
    quarantine: Size

    @property
    def damage(self) -> tuple[str, ...]:
        """Return a sentence for each document that does not say how far collecting got."""
        return tuple(stream.found.warning for stream in self.streams if stream.found.warning)

    @property
    def without_ledger(self) -> tuple[Path, ...]:
        """Return the folders in which what was delivered is no longer known."""
        return tuple(stream.folder for stream in self.streams if stream.is_ledger_missing)

    @property
    def begun(self) -> tuple[tuple[StreamState, Checkpoint], ...]:
        """Return the streams that got anywhere, with how far."""
        found = ((stream, stream.found.checkpoint) for stream in self.streams)
        return tuple((stream, checkpoint) for stream, checkpoint in found if checkpoint is not None)


def services_of(scope: str) -> str:
    """Return the services that a scope names, as `assembly` writes it: after the organization."""
    parts = scope.split(" ")
    return parts[2] if len(parts) > 2 else ""


def inspect(folder: Path) -> Inspection:
    """Look at a data folder, on a disk or on S3. Raises StateUnavailable."""
    return Inspection(
        streams=tuple(_stream(place) for place in folders_of_streams(folder)),
        owner=who_owns(folder),
        quarantine=_quarantine(folder),
    )


def folders_of_streams(folder: Path) -> list[Path]:
    """Return a data folder, and the one below it for what is named beside `all`, if it is there.

    Raises StateUnavailable.
    """
    named = folder / NAMED_BESIDE_ALL
    return [folder, named] if is_of_a_connector(named) else [folder]


def _stream(folder: Path) -> StreamState:
    return StreamState(folder, CheckpointStore(folder).load(), _ledger(folder))


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
    return not storage.names(folder).isdisjoint(_TRACES)


def _ledger(folder: Path) -> Size:
    return _size_of(storage.files_below(folder / LEDGER).values())


def _quarantine(folder: Path) -> Size:
    found = storage.files_below(folder / QUARANTINE).items()
    return _size_of([size for path, size in found if path.name.endswith(".json")])


def _size_of(sizes: Collection[int]) -> Size:
    return Size(len(sizes), sum(sizes))
