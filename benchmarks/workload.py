"""The events that are collected: a mixture of services, 1.2 kB each, that both connectors can read.

The sandbox strews in numbers and escapes that are valid JSON and that fast decoders refuse. The
plain reference would stop at the first of them, so those events are left out here. It also has
names of many scripts in most events, where JumpCloud's own samples hold ASCII only: here a tenth of
the events keep them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache

import orjson

from sandbox.events import Event, generate
from sandbox.instants import now_ms

SERVICES: Mapping[str, float] = {
    "sso": 20.0,
    "directory": 14.0,
    "radius": 20.0,
    "ldap": 14.0,
    "systems": 12.0,
}
"""The services that speak most, in such shares that an event has 1.2 kB on average."""

_SECOND_MS = 1_000
_HOUR_MS = 3_600_000
_SPAN_MS = 22 * _HOUR_MS  # of the last day, however long the benchmark takes
_SPARE = 1.05
_BEYOND_ASCII_EVERY = 10


@lru_cache(maxsize=2)
def past(count: int, large_share: float) -> tuple[Event, ...]:
    """Make events of the last day; `large_share` of them are MDM command results of 70 kB."""
    end_ms = now_ms() - 1_000
    return _readable(count, end_ms - _SPAN_MS, end_ms, 1, large_share)


def future(count: int, start_ms: int, end_ms: int) -> tuple[Event, ...]:
    """Make events of a time to come, each to be visible the moment it happens.

    None happens at a whole second, as many of JumpCloud's do: how long those wait depends on when
    within a second a connector happens to poll, and on nothing else.
    """
    made = _readable(2 * count, start_ms, end_ms, 2, 0.0)
    spread = [event for event in made if event.time_ms % _SECOND_MS]
    return tuple(spread[place * len(spread) // count] for place in range(min(count, len(spread))))


def _readable(
    count: int, start_ms: int, end_ms: int, seed: int, large_share: float
) -> tuple[Event, ...]:
    made = generate(
        int(count * _SPARE) + 10,
        start_ms,
        end_ms,
        seed,
        weights=SERVICES,
        large_share=large_share,
        surrogate_share=0.0,
    )
    readable = [event for event in made if _is_readable(event.text)][:count]
    return tuple(
        event if number % _BEYOND_ASCII_EVERY == 0 else _in_ascii(event)
        for number, event in enumerate(readable)
    )


def _in_ascii(event: Event) -> Event:
    return replace(event, text=event.text.decode().encode("ascii", "replace"))


def _is_readable(text: bytes) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True
