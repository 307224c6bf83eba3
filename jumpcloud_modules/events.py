"""A page's bytes cut into events, undecoded.

An event stays the exact slice of the page it came in; only its identity and its time are read.
Knows nothing of HTTP, of windows, or of what an event means.
"""

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import blake2b
from typing import Any

import msgspec
from msgspec import Raw

from jumpcloud_modules.instants import from_iso8601

_ABSENT = (b"", b"null", b'""')
_LONGEST_IDENTIFIER = 100


class Event(msgspec.Struct, frozen=True, gc=False):
    """Hold one event: its text as it came, its identity, and when it happened.

    `key` is a 64-bit hash of the raw `id` and `timestamp`, or of the whole text where either is
    missing. `time_ms` is epoch milliseconds (the resolution of JumpCloud's index, rounded down),
    or None where the event carries no readable timestamp.
    """

    raw: Raw
    key: int
    time_ms: int | None


class Cut(msgspec.Struct, frozen=True):
    """Hold what a page was cut into, in its order; `oddities` are items that are no objects."""

    events: list[Event]
    oddities: list[Event]


class _Identity(msgspec.Struct, gc=False):
    id: Raw = Raw()
    timestamp: Raw = Raw()


_cut_array = msgspec.json.Decoder(list[Raw]).decode
_read_identity = msgspec.json.Decoder(_Identity).decode


def cut(page: bytes | bytearray) -> Cut:
    """Cut a JSON array into events.

    Raises ValueError where the text is no JSON array.
    """
    events, oddities = [], []
    for raw in _slices(page):
        try:
            identity = _read_identity(raw)
        except (msgspec.DecodeError, RecursionError):
            if bytes(memoryview(raw)[:1]) != b"{":
                oddities.append(Event(raw, _hash(bytes(raw)), None))
                continue
            identity = _identity_of_unusual(raw)
        events.append(_event(raw, bytes(identity.id), bytes(identity.timestamp)))
    return Cut(events, oddities)


def identifier(event: Event) -> str:
    """Return the event's own id for a log line, or its key where it has no short one."""
    try:
        identity = _read_identity(event.raw)
    except (msgspec.DecodeError, RecursionError):
        return f"{event.key:016x}"
    raw_id = bytes(identity.id)
    if raw_id in _ABSENT or len(raw_id) > _LONGEST_IDENTIFIER:
        return f"{event.key:016x}"
    return raw_id.decode(errors="replace").strip('"')


def from_texts(texts: Sequence[str]) -> list[Event]:
    """Make events of JSON texts, one object each."""
    return cut(b"[" + ",".join(texts).encode() + b"]").events


def parse_time_ms(timestamp: bytes) -> int | None:
    """Read a quoted RFC 3339 timestamp as epoch milliseconds, or None where it is not one.

    JumpCloud writes UTC with 0 to 9 fractional digits, mixed in one stream.
    """
    fraction = timestamp[20:-1]
    if fraction == b"Z":
        return _second_ms(timestamp[1:20])
    digits = fraction[1:-1]
    if fraction[:1] == b"." and fraction[-1:] == b"Z" and digits.isdigit():
        second_ms = _second_ms(timestamp[1:20])
        return None if second_ms is None else second_ms + int((digits + b"00")[:3])
    return _parse_unusual_time_ms(timestamp)


def _slices(page: bytes | bytearray) -> list[Raw]:
    try:
        return _cut_array(page)
    except msgspec.ValidationError:
        if page.strip() == b"null":  # an empty answer; one public client guards for it
            return []
        raise
    except (msgspec.DecodeError, RecursionError):
        # msgspec refuses a lone surrogate escape, which the standard library reads.
        return list(_slices_of_unusual(page))


def _slices_of_unusual(page: bytes | bytearray) -> list[Raw]:
    text = page.decode("utf-8", "surrogateescape").strip(" \t\r\n")
    if text[:1] != "[":
        raise ValueError("not a JSON array")
    slices: list[Raw] = []
    position = _skip_blanks(text, 1)
    while text[position : position + 1] != "]":
        if slices:
            if text[position : position + 1] != ",":
                raise ValueError(f"not a JSON array: no comma at character {position}")
            position = _skip_blanks(text, position + 1)
        start = position
        position = _end_of_value(text, start)
        slices.append(Raw(text[start:position].encode("utf-8", "surrogateescape")))
        position = _skip_blanks(text, position)
    if position != len(text) - 1:
        raise ValueError(f"not a JSON array: more text after character {position}")
    return slices


def _end_of_value(text: str, start: int) -> int:
    try:
        return _standard_decoder.raw_decode(text, start)[1]
    except RecursionError:  # nested too deeply to be decoded: its brackets are counted
        return _end_of_brackets(text, start)


def _end_of_brackets(text: str, start: int) -> int:
    depth = 0
    for piece in _STRING_OR_BRACKET.finditer(text, start):
        depth += (piece[0] in "[{") - (piece[0] in "]}")
        if not depth and "\x00" not in text[start : piece.end()]:
            return piece.end()
    raise ValueError("not a JSON array: it breaks off")


_standard_decoder = json.JSONDecoder(parse_int=str, parse_float=str)
_STRING_OR_BRACKET = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]', re.DOTALL)


def _skip_blanks(text: str, position: int) -> int:
    while text[position : position + 1] in (" ", "\t", "\r", "\n"):
        position += 1
    return position


def _identity_of_unusual(raw: Raw) -> _Identity:
    try:
        fields: dict[str, Any] = _standard_decoder.decode(
            bytes(raw).decode("utf-8", "surrogateescape")
        )
    except (ValueError, RecursionError):
        return _Identity()
    return _Identity(
        id=Raw(json.dumps(fields.get("id")).encode()),
        timestamp=Raw(json.dumps(fields.get("timestamp")).encode()),
    )


def _event(raw: Raw, raw_id: bytes, raw_timestamp: bytes) -> Event:
    if raw_id in _ABSENT or raw_timestamp in _ABSENT:
        return Event(raw, _hash(bytes(raw)), parse_time_ms(raw_timestamp))
    return Event(raw, _hash(raw_id + raw_timestamp), parse_time_ms(raw_timestamp))


def _hash(text: bytes) -> int:
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "big")


@lru_cache(maxsize=4096)
def _second_ms(text: bytes) -> int | None:
    try:
        instant = datetime.fromisoformat(text.decode("ascii"))
    except ValueError:
        return None
    return int(instant.replace(tzinfo=UTC).timestamp()) * 1000


def _parse_unusual_time_ms(timestamp: bytes) -> int | None:
    if len(timestamp) < 2 or timestamp[:1] != b'"' or timestamp[-1:] != b'"':
        return None
    try:
        return from_iso8601(timestamp[1:-1].decode("ascii"))
    except (ValueError, OverflowError):
        return None
