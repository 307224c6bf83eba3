"""Events that the intake does not take, kept beside the state until somebody looks.

One file an event, named by the event's key, so that meeting it again changes nothing. Bounded:
past the bound an event is still counted and named, but no longer kept. `docs/operations.md` tells
how to read and replay it.
"""

import threading
from collections.abc import Iterator
from pathlib import Path

from jumpcloud_modules.delivery import Quarantined
from jumpcloud_modules.events import Event, identifier
from jumpcloud_modules.state.storage import files, size, write_atomically

MOST_FILES = 10_000
"""Events that the quarantine holds."""
MOST_BYTES = 1 << 30
"""The size of all that the quarantine holds."""


class Quarantine:
    """Keep refused events in a folder, local or on S3."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._sizes: dict[str, int] | None = None

    def keep(self, event: Event, reason: str) -> Quarantined:
        """Set an event aside and tell where it went. Raises StateUnavailable."""
        content = bytes(event.raw)
        name = f"{event.key:016x}.json"
        with self._lock:
            path = self._place(name, len(content))
            if path is not None:
                write_atomically(path, content)
        return Quarantined(identifier(event), len(content), reason, path)

    def paths(self) -> Iterator[Path]:
        """Name the files of all events set aside. Raises StateUnavailable."""
        yield from sorted(path for path in files(self._folder) if path.name.endswith(".json"))

    def _place(self, name: str, size_bytes: int) -> Path | None:
        if self._sizes is None:
            self._sizes = {path.name: size(path) for path in self.paths()}
        known = name in self._sizes
        full = len(self._sizes) >= MOST_FILES or sum(self._sizes.values()) >= MOST_BYTES
        if full and not known:
            return None
        self._sizes[name] = size_bytes
        return self._folder / name
