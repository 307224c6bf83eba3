"""The state document, `context.json`, also as 1.8.2 left it: how far collecting got.

It carries a version and a checksum, and its previous good copy is kept beside it. Its
`most_recent_date_seen` is what module 1.8.2 reads and writes; where it differs from what was
written here, 1.8.2 (or a person) has changed it, and collecting goes on from there.
"""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any

import orjson

from jumpcloud_modules.checkpoint import Checkpoint, Found, Window
from jumpcloud_modules.instants import (
    SECOND_MS,
    from_iso8601,
    to_ms,
    to_rfc3339,
    to_text,
)
from jumpcloud_modules.state import storage

VERSION = 2
RESET = "reset"
"""Stands for the version of a document that only names an instant to start over from."""
FILE_NAME = "context.json"
PREVIOUS_FILE_NAME = "context.previous.json"
COPY_EVERY_SECONDS = 60.0
"""The time between two copies of the document before, at least."""
SAVE_EVERY_SECONDS = 1.0
"""The time between two saves while pages follow each other, at least."""
_OVERLAP_MS = SECOND_MS
"""How far before 1.8.2's instant a takeover begins: 1.8.2 skips what shares its last second."""


class CheckpointStore:
    """Read and write the checkpoint in a data folder, local or on S3."""

    def __init__(self, folder: Path, clock: Callable[[], float] = monotonic) -> None:
        self._path = folder / FILE_NAME
        self._previous_path = folder / PREVIOUS_FILE_NAME
        self._clock = clock
        self._written: bytes | None = None
        self._saved_at = float("-inf")
        self._copied_at = float("-inf")

    def load(self) -> Found:
        """Return what is on the disk, whatever it is.

        Tries the document, the instant that 1.8.2 or a person left in it, and for a damaged one its
        previous copy and the instant that it still names, in this order.
        Raises StateUnavailable.
        """
        content = storage.read(self._path)
        previous = storage.read(self._previous_path)
        if content is None and previous is None:
            return Found(None)
        document = _parsed(content)
        found = _resumed(document) or _taken_over(document)
        if found is not None:
            self._written = content
            return found
        return _recovered(document, _parsed(previous), self._path)

    @property
    def is_save_due(self) -> bool:
        """Tell whether the last save is more than a moment ago."""
        return self._clock() - self._saved_at >= SAVE_EVERY_SECONDS

    def save(self, checkpoint: Checkpoint) -> None:
        """Write the checkpoint, so that a crash leaves it or what was there before.

        Raises StateUnavailable.
        """
        content = _document(checkpoint)
        if content != self._written:
            self._write(content)
        self._saved_at = self._clock()

    def _write(self, content: bytes) -> None:
        if self._written and self._clock() - self._copied_at >= COPY_EVERY_SECONDS:
            # The copy first: at every moment one of the two files is whole.
            storage.write_atomically(self._previous_path, self._written)
            self._copied_at = self._clock()
        storage.write_atomically(self._path, content)
        self._written = content


def _document(checkpoint: Checkpoint) -> bytes:
    seen = to_rfc3339(checkpoint.most_recent_date_seen_ms)
    body = {
        "most_recent_date_seen": seen,
        "beginning_ms": checkpoint.beginning_ms,
        "watermark_ms": checkpoint.watermark_ms,
        "windows": [[window.start_ms, window.end_ms] for window in checkpoint.windows],
        "scope": checkpoint.scope,
        "audited_ms": checkpoint.audited_ms,
        "is_provisional": checkpoint.is_provisional,
    }
    return orjson.dumps(
        {
            # Outside of the checksum as well: 1.8.2 and people change this one. While it equals the
            # one inside, nobody has.
            "most_recent_date_seen": seen,
            "version": VERSION,
            "progress": body,
            "checksum": _checksum(body),
        },
        option=orjson.OPT_INDENT_2,
    )


def reset_document(since_ms: int, at_ms: int) -> bytes:
    """Return the document of a state that starts over from an instant, reset at another.

    Module 1.8.2 would start there, too.
    """
    document = {
        "most_recent_date_seen": to_rfc3339(since_ms),
        "version": RESET,
        "reset_at": to_rfc3339(at_ms),
    }
    return orjson.dumps(document, option=orjson.OPT_INDENT_2)


def _checksum(body: object) -> str:
    # Sorted, so that a document that a tool has only laid out anew is still intact.
    text = orjson.dumps(body, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(text).hexdigest()[:16]


def _parsed(content: bytes | None) -> dict[str, Any] | None:
    try:
        document = orjson.loads(content or b"")
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def _resumed(document: dict[str, Any] | None) -> Found | None:
    """Read an intact document of this version, unless 1.8.2 has moved on from it."""
    if not document or not _is_intact(document):
        return None
    body = document["progress"]
    if document.get("most_recent_date_seen") != body["most_recent_date_seen"]:
        return None
    return Found(
        Checkpoint(
            beginning_ms=body["beginning_ms"],
            watermark_ms=body["watermark_ms"],
            windows=tuple(Window(start, end) for start, end in body["windows"]),
            scope=body["scope"],
            audited_ms=body.get("audited_ms"),
            is_provisional=body.get("is_provisional", False),
            # Nobody knows any more; so what is written for 1.8.2 leaves nothing unread.
            is_tail_read=False,
        )
    )


def _is_intact(document: dict[str, Any]) -> bool:
    body = document.get("progress")
    return (
        document.get("version") == VERSION
        and isinstance(body, dict)
        and document.get("checksum") == _checksum(body)
    )


def _taken_over(document: dict[str, Any] | None) -> Found | None:
    """Go on from `most_recent_date_seen`, as 1.8.2, a newer version or a person wrote it."""
    if not document or (document.get("version") == VERSION and not _is_intact(document)):
        return None
    return _from_date_seen(document, _reason_for_takeover(document))


def _recovered(
    document: dict[str, Any] | None, previous: dict[str, Any] | None, path: Path
) -> Found:
    """Make the best of a damaged document: its previous copy, or else its date seen."""
    if copy := _resumed(previous) or _taken_over(previous):
        return replace(
            copy, message="", warning=f"The state in {path} is damaged; its last copy is used."
        )
    damage = f"The state in {path} is damaged and goes on from the date it names"
    if document and (found := _from_date_seen(document, damage)):
        return replace(found, message="", warning=found.message, is_beginning_lost=True)
    return Found(None, warning=f"The state in {path} does not say how far collecting got:")


def _from_date_seen(document: dict[str, Any], why: str) -> Found | None:
    seen = document.get("most_recent_date_seen")
    overlap_ms = 0 if document.get("version") == RESET else _OVERLAP_MS
    try:
        start_ms = to_ms(from_iso8601(seen)) - overlap_ms if isinstance(seen, str) else None
    except (ValueError, OverflowError):
        return None
    if start_ms is None:
        return None
    message = f"{why}: collecting events since {to_text(start_ms)}."
    return Found(Checkpoint(start_ms, start_ms), message, is_takeover=True)


def _reason_for_takeover(document: dict[str, Any]) -> str:
    if document.get("version") == VERSION:
        return "most_recent_date_seen was changed since, by version 1.8.2 or by hand"
    if document.get("version") == RESET:
        return f"The state was reset at {document.get('reset_at')}"
    return f"Taking over the state of version {document.get('version', '1.8.2')}"
