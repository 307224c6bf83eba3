"""Events that the intake does not take, kept beside the state until somebody looks.

One file an event, named by the event's key, so that meeting it again changes nothing. Bounded:
past the bound an event is still counted and named, but no longer kept. Where the files are is not
known here. `docs/operations.md` tells how to read and replay them.
"""

import threading
from pathlib import Path
from typing import Protocol

from jumpcloud_modules.delivery import Quarantined
from jumpcloud_modules.events import Event, identifier

MOST_FILES = 10_000
"""Events that the quarantine holds."""
MOST_BYTES = 1 << 30
"""The size of all that the quarantine holds."""
_SUFFIX = ".json"


class Files(Protocol):
    """Keep files by name, as Folder does; each method raises StateUnavailable."""

    def sizes(self) -> dict[str, int]:
        """Return the names of all files, in order, and how many bytes each has."""

    def write(self, name: str, content: bytes) -> Path:
        """Write a file that is whole or absent after a crash, and return where it is."""


class Quarantine:
    """Keep refused events in files."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._lock = threading.Lock()
        self._sizes: dict[str, int] | None = None

    def keep(self, event: Event, reason: str) -> Quarantined:
        """Set an event aside and tell where it went. Raises StateUnavailable."""
        content, path = bytes(event.raw), None
        name = f"{event.key:016x}{_SUFFIX}"
        with self._lock:  # while it is written, too: two readers may come for the last place
            sizes = self._known_sizes()
            if name in sizes or not _is_full(sizes):
                path = self._files.write(name, content)
                sizes[name] = len(content)
        return Quarantined(identifier(event), len(content), reason, path)

    def kept(self) -> dict[str, int]:
        """Return the names of all events set aside, and their bytes. Raises StateUnavailable."""
        return {n: size for n, size in self._files.sizes().items() if n.endswith(_SUFFIX)}

    def _known_sizes(self) -> dict[str, int]:
        # Looked up once, since on S3 it costs a request for each file. So what a replay frees
        # counts after a restart.
        if self._sizes is None:
            self._sizes = self.kept()
        return self._sizes


def _is_full(sizes: dict[str, int]) -> bool:
    return len(sizes) >= MOST_FILES or sum(sizes.values()) >= MOST_BYTES
