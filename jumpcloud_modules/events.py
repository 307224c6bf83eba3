"""Cut a page's bytes into events without decoding them.

An event stays the exact slice of the page it came in; only its identity and its time are read.
Knows nothing of HTTP, of windows, or of what an event means.
"""

import json
import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import blake2b
from typing import overload

import msgspec
from msgspec import Raw
from xxhash import xxh3_64_intdigest

from jumpcloud_modules.instants import EPOCH, from_iso8601, to_ms

UNDATED = EPOCH
"""Stands for the time of an event that carries no readable timestamp."""


@dataclass(frozen=True, slots=True)
class Event:
    """Hold one event: its text as it came, its identity, and when it happened.

    `key` is a 64-bit hash of `id` and `timestamp`, or of the whole text where either is missing.
    """

    raw: Raw
    key: int
    time: datetime

    @property
    def time_ms(self) -> int | None:
        """Return epoch milliseconds, the resolution of JumpCloud's index, rounded down."""
        return None if self.time == UNDATED else to_ms(self.time)


@dataclass(slots=True)
class Events(Sequence[Event]):
    """Hold events as columns, each as long as the others: an object for each would cost more.

    Times are in UTC.
    """

    raws: list[Raw] = field(default_factory=list)
    keys: list[int] = field(default_factory=list)
    times: list[datetime] = field(default_factory=list)

    def __len__(self) -> int:
        """Count the events."""
        return len(self.keys)

    @overload
    def __getitem__(self, place: int) -> Event: ...

    @overload
    def __getitem__(self, place: slice) -> "Events": ...

    def __getitem__(self, place: int | slice) -> "Event | Events":
        """Return one event, or several."""
        if isinstance(place, slice):
            return Events(self.raws[place], self.keys[place], self.times[place])
        return Event(self.raws[place], self.keys[place], self.times[place])

    def extend(self, more: "Events") -> None:
        """Append events."""
        self.raws += more.raws
        self.keys += more.keys
        self.times += more.times

    def at(self, places: Sequence[int]) -> "Events":
        """Return the events at these places."""
        return Events(
            [self.raws[place] for place in places],
            [self.keys[place] for place in places],
            [self.times[place] for place in places],
        )

    def by_time(self) -> "Events":
        """Return the events in the order of their times, those without a time first."""
        return self.at(sorted(range(len(self)), key=self.times.__getitem__))

    def divided_at(self, instant: datetime) -> tuple["Events", "Events"]:
        """Return the events before an instant, and all others."""
        if not self or min(self.times) >= instant:
            return Events(), self
        ordered = self.by_time()
        first = bisect_left(ordered.times, instant)
        return ordered[:first], ordered[first:]


@dataclass(frozen=True, slots=True)
class Cut:
    """Hold what a page was cut into, in its order; `non_objects` are no JSON objects."""

    events: Events
    non_objects: Events


# Texts cannot form cycles, so the garbage collector need not visit thousands of these.
class _Identity(msgspec.Struct, gc=False):
    id: str = ""
    timestamp: str = ""


_cut_array = msgspec.json.Decoder(list[Raw]).decode
_read_identities = msgspec.json.Decoder(list[_Identity]).decode
_MAX_IDENTIFIER_CHARACTERS = 100


def cut(page: bytes | memoryview) -> Cut:
    """Cut a JSON array into events.

    Raises ValueError where the text is no JSON array.
    """
    try:
        # Two passes in C are faster than one in Python: one finds where each event begins and ends,
        # the other reads two fields of each.
        raws, identities = _cut_array(page), _read_identities(page)
    except (msgspec.DecodeError, RecursionError):
        return _cut_unusual(bytes(page))
    return Cut(_events(raws, identities), Events())


def identifier(event: Event) -> str:
    """Return the event's own id for a log line, or its key in hexadecimal where it has none."""
    event_id = _item(event.raw).get("id")
    usable = isinstance(event_id, str) and 0 < len(event_id) <= _MAX_IDENTIFIER_CHARACTERS
    return str(event_id) if usable else f"{event.key:016x}"


def from_texts(texts: Sequence[str]) -> Events:
    """Make events of texts that came without a page; each is its own identity."""
    return _without_identity([Raw(text.encode()) for text in texts])


def parse_time(timestamp: str) -> datetime | None:
    """Read an RFC 3339 timestamp, in UTC, or return None where it is not one.

    JumpCloud writes UTC with 0 to 9 fractional digits, mixed in one stream.
    """
    if timestamp[4:5] != "-":  # other forms of ISO 8601 are no RFC 3339
        return None
    try:
        return from_iso8601(timestamp)
    except (ValueError, OverflowError):
        return None


def _events(raws: list[Raw], identities: list[_Identity]) -> Events:
    ids = [identity.id for identity in identities]
    timestamps = [identity.timestamp for identity in identities]
    keys = [
        # With a NUL between, or two pairs could join to the same text.
        xxh3_64_intdigest(f"{event_id}\0{timestamp}".encode())
        for event_id, timestamp in zip(ids, timestamps, strict=True)
    ]
    if not (all(ids) and all(timestamps)):
        for place, raw in enumerate(raws):
            if not (ids[place] and timestamps[place]):
                keys[place] = _key_of_text(raw)
    return Events(raws, keys, _times(timestamps))


def _without_identity(raws: list[Raw]) -> Events:
    return _events(raws, [_Identity()] * len(raws))


def _times(timestamps: list[str]) -> list[datetime]:
    """Do what `parse_time` does, faster where all are as JumpCloud writes them."""
    try:
        times = list(map(datetime.fromisoformat, timestamps))
    except ValueError:
        times = []
    # fromisoformat reads more than RFC 3339, such as 20261101T000000Z: the fifth letter tells.
    is_usual = {time.tzinfo for time in times} == {UTC} and {t[4] for t in timestamps} == {"-"}
    return times if is_usual else [parse_time(timestamp) or UNDATED for timestamp in timestamps]


def _key_of_text(raw: Raw) -> int:
    """Hash a text that users can influence, with a hash for which nobody can construct a clash."""
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
    # Bytes that are no UTF-8 come back as they were when the slices are encoded again.
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
