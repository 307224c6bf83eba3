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

import msgspec
from msgspec import Raw

from jumpcloud_modules.instants import from_iso8601


class Event(msgspec.Struct, frozen=True, gc=False):
    """Hold one event: its text as it came, its identity, and when it happened.

    `key` is a 64-bit hash of `id` and `timestamp`, or of the whole text where either is missing.
    `time_ms` is epoch milliseconds (the resolution of JumpCloud's index, rounded down), or None
    where the event carries no readable timestamp.
    """

    raw: Raw
    key: int
    time_ms: int | None


class Cut(msgspec.Struct, frozen=True):
    """Hold what a page was cut into, in its order; `oddities` are items that are no objects."""

    events: list[Event]
    oddities: list[Event]


class _Identity(msgspec.Struct, gc=False):
    id: str = ""
    timestamp: str = ""


_cut_array = msgspec.json.Decoder(list[Raw]).decode
_read_identities = msgspec.json.Decoder(list[_Identity]).decode
_LONGEST_IDENTIFIER = 100


def cut(page: bytes | bytearray) -> Cut:
    """Cut a JSON array into events.

    Raises ValueError where the text is no JSON array.
    """
    try:
        return Cut(list(map(_event, _cut_array(page), _read_identities(page))), [])
    except (msgspec.DecodeError, RecursionError):
        return _cut_unusual(page)


def identifier(event: Event) -> str:
    """Return the event's own id for a log line, or its key in hexadecimal where it has none."""
    identity = _identity_of_unusual(event.raw)
    event_id = identity.id if identity else ""
    return event_id if 0 < len(event_id) <= _LONGEST_IDENTIFIER else f"{event.key:016x}"


def from_texts(texts: Sequence[str]) -> list[Event]:
    """Make events of JSON texts, one object each."""
    return cut(b"[" + ",".join(texts).encode() + b"]").events


def parse_time_ms(timestamp: str) -> int | None:
    """Read an RFC 3339 timestamp as epoch milliseconds, or None where it is not one.

    JumpCloud writes UTC with 0 to 9 fractional digits, mixed in one stream.
    """
    milliseconds = timestamp[17:19] + (timestamp[20:-1] + "000")[:3]
    usual = timestamp[-1:] == "Z" and timestamp[19:20] in {".", "Z"} and milliseconds < "60"
    if not usual or not milliseconds.isdecimal():
        return _parse_unusual_time_ms(timestamp)
    minute_ms = _minute_ms(timestamp[:16])
    return None if minute_ms is None else minute_ms + int(milliseconds)


def _event(raw: Raw, identity: _Identity) -> Event:
    event_id, timestamp = identity.id, identity.timestamp
    if event_id and timestamp:
        text = f"{event_id}\0{timestamp}".encode("utf-8", "surrogatepass")
    else:
        text = bytes(raw)
    key = int.from_bytes(blake2b(text, digest_size=8).digest(), "big")
    return Event(raw, key, parse_time_ms(timestamp))


def _cut_unusual(page: bytes | bytearray) -> Cut:
    """Cut a page that holds more than objects with an id and a timestamp in texts."""
    found: list[Event] = []
    oddities: list[Event] = []
    for raw in _slices(page):
        identity = _identity_of_unusual(raw)
        into = oddities if identity is None else found
        into.append(_event(raw, identity or _Identity()))
    return Cut(found, oddities)


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


def _unread(_: str) -> None:
    """Leave a number out: it is forwarded as it stands, and may be too long to convert."""


_standard_decoder = json.JSONDecoder(parse_int=_unread, parse_float=_unread)
_STRING_OR_BRACKET = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]', re.DOTALL)


def _skip_blanks(text: str, position: int) -> int:
    while text[position : position + 1] in (" ", "\t", "\r", "\n"):
        position += 1
    return position


def _identity_of_unusual(raw: Raw) -> _Identity | None:
    """Return what can be read of an item's identity, or None where it is no object."""
    try:
        item = _standard_decoder.decode(bytes(raw).decode("utf-8", "surrogateescape"))
    except (ValueError, RecursionError):
        return _Identity() if bytes(raw)[:1] == b"{" else None
    if not isinstance(item, dict):
        return None
    event_id, timestamp = item.get("id"), item.get("timestamp")
    return _Identity(
        event_id if isinstance(event_id, str) else "",
        timestamp if isinstance(timestamp, str) else "",
    )


@lru_cache(maxsize=4096)
def _minute_ms(text: str) -> int | None:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        return None
    return int(instant.replace(tzinfo=UTC).timestamp()) * 1000


def _parse_unusual_time_ms(timestamp: str) -> int | None:
    if timestamp[4:5] != "-":  # other forms of ISO 8601 are no RFC 3339
        return None
    try:
        return from_iso8601(timestamp)
    except (ValueError, OverflowError):
        return None
