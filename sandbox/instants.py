"""Instants as epoch milliseconds and as RFC 3339 text. Knows no event and no HTTP."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache
from zoneinfo import ZoneInfo

_RFC3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d+))?([Zz]|[+-]\d\d:\d\d)\Z", re.ASCII
)


def now_ms() -> int:
    """Return the present instant in epoch milliseconds."""
    return time.time_ns() // 1_000_000


def instant_ms(text: str) -> int:
    """Read a strict RFC 3339 instant as epoch milliseconds, cutting what is finer.

    Raises ValueError for anything else, a trailing newline included.
    """
    match = _RFC3339.match(text)
    if match is None:
        raise ValueError(f"not an RFC 3339 instant: {text!r}")
    date, clock, fraction, zone = match.groups()
    offset = "+00:00" if zone in "Zz" else zone
    whole = datetime.fromisoformat(f"{date}T{clock}{offset}")
    return round(whole.timestamp()) * 1000 + int(((fraction or "") + "000")[:3])


@lru_cache(maxsize=65_536)
def second_text(epoch_seconds: int) -> str:
    """Write a whole second as RFC 3339 without its zone."""
    return datetime.fromtimestamp(epoch_seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def instant_text(epoch_ms: int) -> str:
    """Write an instant with three fractional digits and a Z."""
    return f"{second_text(epoch_ms // 1000)}.{epoch_ms % 1000:03d}Z"


def zone_offset(text: str, at_ms: int) -> timedelta:
    """Return how far east of UTC a zone is at an instant: `UTC`, `+0530`, `-05:00` or a name.

    Raises ValueError or KeyError for an unknown one.
    """
    if text in ("", "Z", "UTC"):
        return timedelta()
    match = re.fullmatch(r"([+-])(\d\d):?(\d\d)", text)
    if match:
        sign, hours, minutes = match.groups()
        offset = timedelta(hours=int(hours), minutes=int(minutes))
        return -offset if sign == "-" else offset
    return datetime.fromtimestamp(at_ms / 1000, ZoneInfo(text)).utcoffset() or timedelta()


def zoned_text(epoch_ms: int, offset: timedelta) -> str:
    """Write an instant as the clock of a zone shows it, three fractional digits."""
    if not offset:
        return instant_text(epoch_ms)
    local = datetime.fromtimestamp(epoch_ms / 1000, timezone(offset))
    return local.isoformat(timespec="milliseconds")
