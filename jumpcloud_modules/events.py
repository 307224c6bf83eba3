"""A page's bytes cut into events, undecoded.

An event stays the exact slice of the page it came in; only its identity and its time are read.
Knows nothing of HTTP, of windows, or of what an event means.
"""

import json
import re
from collections.abc import Sequence
from datetime import datetime
from hashlib import blake2b

import msgspec
from msgspec import Raw
from xxhash import xxh3_64_intdigest

from jumpcloud_modules.instants import EPOCH, MILLISECOND, from_iso8601


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
_instant = datetime.fromisoformat
_LONGEST_IDENTIFIER = 100


def cut(page: bytes | memoryview) -> Cut:
    """Cut a JSON array into events.

    Raises ValueError where the text is no JSON array.
    """
    try:
        raws, identities = _cut_array(page), _read_identities(page)
    except (msgspec.DecodeError, RecursionError):
        return _cut_unusual(bytes(page))
    return Cut(_events(raws, identities), [])


def identifier(event: Event) -> str:
    """Return the event's own id for a log line, or its key in hexadecimal where it has none."""
    event_id = _item(event.raw).get("id")
    usable = isinstance(event_id, str) and 0 < len(event_id) <= _LONGEST_IDENTIFIER
    return str(event_id) if usable else f"{event.key:016x}"


def from_texts(texts: Sequence[str]) -> list[Event]:
    """Make events of texts that came without a page; each is its own identity."""
    return _without_identity([Raw(text.encode()) for text in texts])


def parse_time_ms(timestamp: str) -> int | None:
    """Read an RFC 3339 timestamp as epoch milliseconds, or None where it is not one.

    JumpCloud writes UTC with 0 to 9 fractional digits, mixed in one stream.
    """
    if timestamp[4:5] != "-":  # other forms of ISO 8601 are no RFC 3339
        return None
    try:
        return from_iso8601(timestamp)
    except (ValueError, OverflowError):
        return None


def _events(raws: list[Raw], identities: list[_Identity]) -> list[Event]:
    keys = [
        xxh3_64_intdigest(f"{identity.id}\0{identity.timestamp}".encode())
        if identity.id and identity.timestamp
        else _key_of_text(raw)
        for raw, identity in zip(raws, identities, strict=True)
    ]
    return list(map(Event, raws, keys, _times_ms(identities)))


def _without_identity(raws: list[Raw]) -> list[Event]:
    return _events(raws, [_Identity()] * len(raws))


def _times_ms(identities: list[_Identity]) -> list[int | None]:
    """Do what `parse_time_ms` does, faster where all have the form JumpCloud writes."""
    timestamps = [identity.timestamp for identity in identities]
    try:
        return [
            (_instant(timestamp) - EPOCH) // MILLISECOND if timestamp[4] == "-" else None
            for timestamp in timestamps
        ]
    except (ValueError, TypeError, LookupError, OverflowError):
        return [parse_time_ms(timestamp) for timestamp in timestamps]


def _key_of_text(raw: Raw) -> int:
    """Hash a text that other people had a hand in, so that none can be made to equal another."""
    return int.from_bytes(blake2b(raw, digest_size=8).digest(), "big")


def _cut_unusual(page: bytes) -> Cut:
    """Cut a page that holds more than objects with an id and a timestamp in texts."""
    items = [(raw, _identity_of_unusual(raw)) for raw in _slices(page)]
    objects = [(raw, identity) for raw, identity in items if identity]
    found = _events([raw for raw, _ in objects], [identity for _, identity in objects])
    return Cut(found, _without_identity([raw for raw, identity in items if not identity]))


def _slices(page: bytes) -> list[Raw]:
    try:
        return _cut_array(page)
    except msgspec.ValidationError:
        if page.strip() == b"null":  # an empty answer; one public client guards for it
            return []
        raise
    except (msgspec.DecodeError, RecursionError):
        # msgspec refuses a lone surrogate escape, which the standard library reads.
        return list(_slices_of_unusual(page))


def _slices_of_unusual(page: bytes) -> list[Raw]:
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


class _Number(str):
    """A number as it stands: it may be too long to convert."""

    __slots__ = ()


_standard_decoder = json.JSONDecoder(parse_int=_Number, parse_float=_Number, strict=False)
_STRING_OR_BRACKET = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]', re.DOTALL)


def _skip_blanks(text: str, position: int) -> int:
    while text[position : position + 1] in (" ", "\t", "\r", "\n"):
        position += 1
    return position


def _identity_of_unusual(raw: Raw) -> _Identity | None:
    """Return what can be read of an item's identity, or None where it is no object."""
    if bytes(raw)[:1] != b"{":
        return None
    item = _item(raw)
    texts = {name: _encodable(value) for name, value in item.items() if type(value) is str}
    return _Identity(texts.get("id", ""), texts.get("timestamp", ""))


def _encodable(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()


def _item(raw: Raw) -> dict[str, object]:
    try:
        item = _standard_decoder.decode(bytes(raw).decode("utf-8", "surrogateescape"))
    except (ValueError, RecursionError):
        return {}
    return item if isinstance(item, dict) else {}
