"""Synthetic Directory Insights events, seeded and fast. Knows no API.

Every event is text that was never a Python object: what a careless reader would change
(escapes, odd numbers, spaces, nine-digit fractions) stays what it is.
"""

from __future__ import annotations

import base64
import itertools
import random
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b

import orjson

from sandbox.instants import instant_text, second_text
from sandbox.query import SERVICES
from sandbox.shapes import ORGANIZATION, SHAPES, People

MARKER = ORGANIZATION
"""Stands in every event that is made here, so that one can be found where none belongs."""
_DEFAULT = object()
_HALF_PAIR = rb',"half":"a \ud800 b"}'

WEIGHTS: Mapping[str, float] = {
    **dict.fromkeys(SERVICES, 1.0),
    "sso": 22.0,
    "directory": 18.0,
    "radius": 14.0,
    "ldap": 10.0,
    "systems": 10.0,
    "software": 6.0,
    "mdm": 4.0,
}
"""How often each service speaks, relative to the others."""


@dataclass(frozen=True, slots=True)
class Event:
    """An event as the organisation's index holds it.

    `organization` is the id of whose it is, empty for the sandbox's first one.
    """

    time_ms: int
    document_id: str
    id: str | None
    text: bytes
    visible_ms: int
    service: str
    organization: str = ""

    def digest(self) -> bytes:
        """Reduce the text to 16 bytes."""
        return blake2b(self.text, digest_size=16).digest()

    @property
    def label(self) -> str:
        """Name the event for a person: its id, or the start of its digest."""
        return self.id or f"digest:{self.digest().hex()[:12]}"


def at_once(_chance: random.Random) -> int:
    """Let an event be visible the moment it happens."""
    return 0


def mostly_prompt(late_share: float, latest_ms: int) -> Callable[[random.Random], int]:
    """Return a delay that is zero but for a share of events, late by up to so many ms."""
    if not late_share:
        return at_once

    def delay_ms(chance: random.Random) -> int:
        return chance.randrange(1, latest_ms + 1) if chance.random() < late_share else 0

    return delay_ms


def generate(
    count: int,
    start_ms: int,
    end_ms: int,
    seed: int = 0,
    *,
    weights: Mapping[str, float] = WEIGHTS,
    large_share: float = 0.0,
    large_bytes: int = 70_000,
    surrogate_share: float = 0.0001,
    delay_ms: Callable[[random.Random], int] = at_once,
) -> list[Event]:
    """Make events of every service within `[start_ms, end_ms)`, in the order of the index.

    A third share their second with the one before, a tenth their millisecond. `large_share`
    of them become MDM command results of about `large_bytes`; `surrogate_share` of them hold
    half a surrogate pair as an escape, which JSON allows and some decoders refuse. Equal
    arguments make equal events.
    """
    chance = random.Random(seed)
    people = People(chance)
    blobs = [_blob(chance, large_bytes) for _ in range(4)] if large_share else []
    names = list(weights)
    thresholds = list(itertools.accumulate(weights.values()))
    events = []
    for time_ms in _times(chance, count, start_ms, end_ms):
        service = chance.choices(names, cum_weights=thresholds)[0]
        blob = ""
        if blobs and chance.random() < large_share:
            service, blob = "mdm", chance.choice(blobs)
        event = _event(chance, people, service, blob, (time_ms, start_ms))
        if chance.random() < surrogate_share:
            event = replace(event, text=event.text[:-1] + _HALF_PAIR)
        late_ms = delay_ms(chance)
        events.append(replace(event, visible_ms=event.time_ms + late_ms) if late_ms else event)
    events.sort(key=lambda event: (event.time_ms, event.document_id))
    return events


def dealt(events: Iterable[Event], organizations: Sequence[str]) -> list[Event]:
    """Give each event to one of the organizations (ids), in turn."""
    return [
        replace(event, organization=organization)
        for event, organization in zip(events, itertools.cycle(organizations), strict=False)
    ]


def make_event(
    time_ms: int,
    *,
    id: object = _DEFAULT,  # noqa: A002 - JumpCloud's word
    timestamp: object = _DEFAULT,
    text: bytes | str | None = None,
    visible_ms: int | None = None,
    service: str = "directory",
    document_id: str | None = None,
    extra: Mapping[str, object] | None = None,
    padding_bytes: int = 0,
    organization: str = "",
) -> Event:
    """Make one event by hand.

    `id` and `timestamp` may be any JSON value; None leaves the key out, `...` writes null.
    `text` replaces the whole JSON. `extra` adds keys, `padding_bytes` a long string.
    """
    event_id = uuid.uuid4().hex[:24] if id is _DEFAULT else id
    if timestamp is _DEFAULT:
        timestamp = instant_text(time_ms)
    if text is None:
        text = _hand_made(event_id, timestamp, service, extra or {}, padding_bytes)
    return Event(
        time_ms=time_ms,
        document_id=document_id or uuid.uuid4().hex[:20],
        id=event_id if isinstance(event_id, str) else None,
        text=text.encode() if isinstance(text, str) else text,
        visible_ms=time_ms if visible_ms is None else visible_ms,
        service=service,
        organization=organization,
    )


def _hand_made(
    event_id: object,
    timestamp: object,
    service: str,
    extra: Mapping[str, object],
    padding_bytes: int,
) -> bytes:
    fields: dict[str, object] = {"event_type": "user_update", "service": service}
    fields |= {"organization": MARKER, **extra}
    fields |= {"id": event_id, "timestamp": timestamp}
    fields = {k: (None if v is ... else v) for k, v in fields.items() if v is not None}
    if padding_bytes:
        fields["padding"] = "x" * padding_bytes
    return orjson.dumps(fields)


def _times(chance: random.Random, count: int, start_ms: int, end_ms: int) -> list[int]:
    times: list[int] = []
    last_ms = start_ms
    for _ in range(count):
        luck = chance.random()
        if luck > 0.4:
            last_ms = start_ms + int(chance.random() * (end_ms - start_ms))
        elif luck > 0.1:
            in_second_ms = last_ms // 1000 * 1000 + int(chance.random() * 1000)
            last_ms = min(max(in_second_ms, start_ms), end_ms - 1)
        times.append(last_ms)
    return times


def _event(
    chance: random.Random, people: People, service: str, blob: str, at_ms: tuple[int, int]
) -> Event:
    """Make one event; `at_ms` is its time and the earliest that rounding may make of it."""
    digits = 0 if service == "radius" else int(chance.random() * 10)
    time_ms, timestamp = _stamp(chance, *at_ms, digits)
    event_id = _identity(chance, service)
    shape = SHAPES[service]
    text = shape(chance, people, service, f'"id":"{event_id}","timestamp":"{timestamp}"', blob)
    if chance.random() < 0.05:
        text = text.replace('","', '", "').replace('":', '": ', 6)
    return Event(
        time_ms=time_ms,
        document_id=base64.urlsafe_b64encode(chance.randbytes(15)).decode(),
        id=event_id,
        text=text.encode(),
        visible_ms=time_ms,
        service=service,
    )


def _stamp(chance: random.Random, time_ms: int, earliest_ms: int, digits: int) -> tuple[int, str]:
    """Write a time with so many fractional digits; return the time that then stands there."""
    if digits < 3:
        coarse_ms = time_ms - time_ms % (1000, 100, 10)[digits]
        if coarse_ms < earliest_ms:
            digits = 3
        else:
            time_ms = coarse_ms
    second = second_text(time_ms // 1000)
    if digits == 0:
        return time_ms, second + "Z"
    nanoseconds = f"{time_ms % 1000:03d}{int(chance.random() * 1_000_000):06d}"
    return time_ms, f"{second}.{nanoseconds[:digits]}Z"


def _identity(chance: random.Random, service: str) -> str:
    bits = f"{chance.getrandbits(128):032x}"
    if service == "radius":
        return f"{bits[:8]}-{bits[8:12]}-3{bits[13:16]}-a{bits[17:20]}-{bits[20:]}".upper()
    if service in ("directory", "sso", "ldap", "mdm") or chance.random() < 0.5:
        return bits[:24]
    return f"{bits[:8]}-{bits[8:12]}-4{bits[13:16]}-a{bits[17:20]}-{bits[20:]}"


def _blob(chance: random.Random, size: int) -> str:
    return base64.b64encode(chance.randbytes(size * 3 // 4)).decode()
