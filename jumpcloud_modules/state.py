"""The main state document, `context.json`: how far the connector got, across restarts.

It carries a version and a checksum, and its previous good copy is kept beside it. Its
`most_recent_date_seen` is what module 1.8.2 reads and writes; where it differs from what was
written here, 1.8.2 (or a person) has moved on, and its word is taken.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import Any

import orjson

from jumpcloud_modules import storage
from jumpcloud_modules.instants import (
    RETENTION_MS,
    SECOND_MS,
    from_iso8601,
    to_ms,
    to_rfc3339,
)
from jumpcloud_modules.progress import Progress, Window

VERSION = 2
FILE_NAME = "context.json"
PREVIOUS_FILE_NAME = "context.previous.json"
COPY_EVERY_SECONDS = 60.0
SAVE_EVERY_SECONDS = 1.0
_OVERLAP_MS = SECOND_MS
"""How far before 1.8.2's instant a takeover begins: 1.8.2 skips what shares its last second."""


@dataclass(frozen=True, slots=True)
class Found:
    """Say what the state holds at a start, and what there is to tell about it."""

    progress: Progress
    messages: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class State:
    """Read and write the progress in a data folder, local or on S3."""

    def __init__(self, folder: Path, clock: Callable[[], float] = monotonic) -> None:
        self._path = folder / FILE_NAME
        self._previous_path = folder / PREVIOUS_FILE_NAME
        self._clock = clock
        self._written: bytes | None = None
        self._saved_at = float("-inf")
        self._copied_at = float("-inf")

    def load(self, now_ms: int, history_ms: int) -> Found:
        """Return the progress to go on from, whatever is on the disk.

        Tries the document, its previous copy, the instant that 1.8.2 left, and begins anew
        `history_ms` before now, in this order. Raises StateUnavailable.
        """
        content = storage.read(self._path)
        previous = storage.read(self._previous_path)
        fresh = Progress(now_ms - history_ms, now_ms - history_ms)
        since = f"collecting events since {to_rfc3339(fresh.watermark_ms)}"
        if content is None and previous is None:
            return Found(fresh, (f"First start: {since}.",))
        document = _parsed(content)
        found = _resumed(document) or _taken_over(document)
        if found is not None:
            self._written = content
        else:
            found = _recovered(document, _parsed(previous), self._path, fresh)
        if found is None:
            message = (
                f"The state in {self._path} does not say how far collecting got: {since}; what"
                " happened before that and was not delivered yet is not collected. To reach"
                " further back, raise history_hours and remove context.json and"
                " context.previous.json."
            )
            return Found(fresh, warnings=(message,))
        return _within_retention(_not_ahead(found, now_ms, fresh), now_ms)

    def save_now_and_then(self, progress: Progress) -> None:
        """Write the progress unless that was done a moment ago. Raises StateUnavailable."""
        if self._clock() - self._saved_at >= SAVE_EVERY_SECONDS:
            self.save(progress)

    def save(self, progress: Progress) -> None:
        """Write the progress, so that a crash leaves it or what was there before.

        Raises StateUnavailable.
        """
        content = _document(progress)
        if content != self._written:
            self._write(content)
        self._saved_at = self._clock()

    def _write(self, content: bytes) -> None:
        if self._written and self._clock() - self._copied_at >= COPY_EVERY_SECONDS:
            storage.write_atomically(self._previous_path, self._written)
            self._copied_at = self._clock()
        storage.write_atomically(self._path, content)
        self._written = content


def _document(progress: Progress) -> bytes:
    seen = to_rfc3339(progress.most_recent_date_seen_ms)
    body = {
        "most_recent_date_seen": seen,
        "beginning_ms": progress.beginning_ms,
        "watermark_ms": progress.watermark_ms,
        "windows": [[window.start_ms, window.end_ms] for window in progress.windows],
        "scope": progress.scope,
    }
    return orjson.dumps(
        {
            "most_recent_date_seen": seen,
            "version": VERSION,
            "progress": body,
            "checksum": _checksum(body),
        },
        option=orjson.OPT_INDENT_2,
    )


def _checksum(body: object) -> str:
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
        Progress(
            beginning_ms=body["beginning_ms"],
            watermark_ms=body["watermark_ms"],
            windows=tuple(Window(start, end) for start, end in body["windows"]),
            scope=body["scope"],
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
    """Go on from `most_recent_date_seen`: the word of 1.8.2, or of a newer version."""
    if not document or (document.get("version") == VERSION and not _is_intact(document)):
        return None
    return _from_date_seen(document, _reason_for_takeover(document))


def _recovered(
    document: dict[str, Any] | None, previous: dict[str, Any] | None, path: Path, fresh: Progress
) -> Found | None:
    """Make the best of a damaged document: its previous copy, or else its date seen.

    How far back late events are looked for is lost with it: as far as a first start reaches, then.
    """
    if copy := _resumed(previous) or _taken_over(previous):
        damage = f"The state in {path} is damaged; its last copy is used."
        return Found(copy.progress, warnings=(damage,))
    damage = f"The state in {path} is damaged and goes on from the date it names"
    found = _from_date_seen(document, damage) if document else None
    if found is None:
        return None
    beginning_ms = min(found.progress.beginning_ms, fresh.beginning_ms)
    progress = replace(found.progress, beginning_ms=beginning_ms)
    return Found(progress, warnings=found.messages)


def _from_date_seen(document: dict[str, Any], why: str) -> Found | None:
    seen = document.get("most_recent_date_seen")
    try:
        start_ms = to_ms(from_iso8601(seen)) - _OVERLAP_MS if isinstance(seen, str) else None
    except (ValueError, OverflowError):
        return None
    if start_ms is None:
        return None
    return Found(
        Progress(start_ms, start_ms), (f"{why}: collecting events since {_text(start_ms)}.",)
    )


def _reason_for_takeover(document: dict[str, Any]) -> str:
    if document.get("version") == VERSION:
        return "most_recent_date_seen was changed since, by version 1.8.2 or by hand"
    return f"Taking over the state of version {document.get('version', '1.8.2')}"


def _not_ahead(found: Found, now_ms: int, fresh: Progress) -> Found:
    """Read again what a clock that was ahead may have left out, as far as the ledger reaches."""
    if found.progress.watermark_ms <= now_ms + SECOND_MS:
        return found
    known_ms = found.progress.beginning_ms
    beginning_ms = known_ms if known_ms <= now_ms else fresh.beginning_ms
    watermark_ms = max(fresh.watermark_ms, beginning_ms)
    message = (
        f"The state names {_text(found.progress.watermark_ms)}, which is in the future:"
        f" collecting events since {to_rfc3339(watermark_ms)}."
    )
    progress = replace(
        found.progress,
        beginning_ms=beginning_ms,
        watermark_ms=watermark_ms,
        windows=tuple(
            replace(window, end_ms=min(window.end_ms or watermark_ms, watermark_ms))
            for window in found.progress.windows
            if window.start_ms < watermark_ms
        ),
    )
    return Found(progress, found.messages, (*found.warnings, message))


def _within_retention(found: Found, now_ms: int) -> Found:
    limit_ms = now_ms - RETENTION_MS
    progress = found.progress
    if progress.oldest_open_ms >= limit_ms:
        return found
    message = (
        f"Events between {_text(progress.oldest_open_ms)} and {to_rfc3339(limit_ms)} are"
        " beyond JumpCloud's retention and cannot be collected any more."
    )
    windows = tuple(
        window.rest_from(limit_ms)
        for window in progress.windows
        if window.end_ms is None or window.end_ms > limit_ms
    )
    kept = Progress(
        max(progress.beginning_ms, limit_ms),
        max(progress.watermark_ms, limit_ms),
        windows,
        progress.scope,
    )
    return Found(kept, found.messages, (*found.warnings, message))


def _text(instant_ms: int) -> str:
    try:
        return to_rfc3339(instant_ms)
    except OverflowError:
        return f"{instant_ms} ms"
