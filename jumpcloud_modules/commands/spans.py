"""Spans and instants as a person types them: `2h`, `7d`, `2026-11-01T00:00:00Z`."""

import re
from typing import Final

from jumpcloud_modules.commands.module_json import ConfigurationError
from jumpcloud_modules.instants import (
    DAY_MS,
    HOUR_MS,
    MINUTE_MS,
    RETENTION,
    RETENTION_MS,
    SECOND_MS,
    from_iso8601,
    to_ms,
)

UNITS_MS: Final = {"s": SECOND_MS, "m": MINUTE_MS, "h": HOUR_MS, "d": DAY_MS}
_SPAN: Final = re.compile(r"(\d{1,9})([smhd])")


def instant_before(typed: str, now_ms: int) -> int:
    """Return the instant that was typed, or the one that is a span before now.

    Raises ConfigurationError where it is neither, or where JumpCloud has nothing of it.
    """
    instant_ms = _instant(typed, now_ms)
    if instant_ms > now_ms:
        raise ConfigurationError(f"{typed} is in the future; give an instant that has passed.")
    if instant_ms < now_ms - RETENTION_MS:
        raise ConfigurationError(
            f"{typed} is further back than the {RETENTION.days} days that JumpCloud keeps events"
            " for; give a later instant."
        )
    return instant_ms


def _instant(typed: str, now_ms: int) -> int:
    if span := _SPAN.fullmatch(typed.strip().lower()):
        return now_ms - int(span[1]) * UNITS_MS[span[2]]
    try:
        return to_ms(from_iso8601(typed.strip()))
    except (ValueError, OverflowError):
        raise ConfigurationError(
            f"{typed!r} is neither a span nor an instant; give one such as 30m, 2h, 7d or"
            " 2026-11-01T00:00:00Z."
        ) from None
