"""The folder of events that were set aside, kept beside the state until a person has looked.

One file an event, named by the event's key, so that meeting it again changes nothing. Bounded:
past the bound an event is still counted and named, but no longer kept. Where the files are is not
known here. `docs/operations.md` tells how to read and replay them.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import orjson

from jumpcloud_modules.delivery import Quarantined
from jumpcloud_modules.events import Event, identifier
from jumpcloud_modules.instants import to_rfc3339

MAX_FILES = 10_000
"""Events that the quarantine holds."""
MAX_BYTES = 1 << 30
"""The size of all that the quarantine holds."""
_SUFFIX = ".json"


def _machine_ms() -> int:
    return time.time_ns() // 1_000_000


class Files(Protocol):
    """Keep files by name, as Folder does; each method raises StateUnavailable."""

    def sizes(self) -> dict[str, int]:
        """Return the names of all files, in order, and how many bytes each has."""

    def write(self, name: str, content: bytes) -> Path:
        """Write a file that is whole or absent after a crash, and return where it is."""

    def read(self, name: str) -> bytes | None:
        """Return what a file holds, None where there is none."""

    def remove(self, name: str) -> None:
        """Delete a file, if it is there."""


@dataclass(frozen=True, slots=True)
class Why:
    """Say why and when (RFC 3339) an event was set aside; empty where nobody wrote it down."""

    reason: str = ""
    at: str = ""


def why_of(name: str, reasons: Files) -> Why:
    """Return why an event was set aside. Raises StateUnavailable."""
    try:
        document = orjson.loads(reasons.read(name) or b"{}")
        return Why(str(document.get("reason", "")), str(document.get("at", "")))
    except (ValueError, AttributeError):
        return Why()


class Quarantine:
    """Keep refused events in files, each byte for byte as it came; `reasons` are files apart."""

    def __init__(
        self,
        files: Files,
        reasons: Files | None = None,
        now_ms: Callable[[], int] = _machine_ms,
    ) -> None:
        self._files = files
        self._reasons = reasons
        self._now_ms = now_ms
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
                if self._reasons:
                    self._reasons.write(name, self._why(reason))
                sizes[name] = len(content)
        return Quarantined(identifier(event), len(content), reason, path)

    def release(self, name: str) -> None:
        """Remove an event that went, and why it was set aside. Raises StateUnavailable."""
        with self._lock:
            self._files.remove(name)
            if self._sizes is not None:
                self._sizes.pop(name, None)
            if self._reasons:
                self._reasons.remove(name)

    def _why(self, reason: str) -> bytes:
        at = to_rfc3339(self._now_ms())
        return orjson.dumps({"reason": reason, "at": at})

    def kept(self) -> dict[str, int]:
        """Return the names of all events set aside, and their bytes. Raises StateUnavailable."""
        return {n: size for n, size in self._files.sizes().items() if n.endswith(_SUFFIX)}

    def count(self) -> int | None:
        """Return how many events are kept, as far as is known without asking the storage."""
        return None if self._sizes is None else len(self._sizes)

    def _known_sizes(self) -> dict[str, int]:
        # Looked up once, since on S3 it costs requests. So what another process replays counts as
        # kept until a restart.
        if self._sizes is None:
            self._sizes = self.kept()
        return self._sizes


def _is_full(sizes: dict[str, int]) -> bool:
    return len(sizes) >= MAX_FILES or sum(sizes.values()) >= MAX_BYTES
