"""Instants and spans as integer milliseconds since the epoch, and as text."""

from datetime import UTC, datetime, timedelta

SECOND_MS = 1_000
MINUTE_MS = 60_000
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
FOREVER_MS = 10**9 * HOUR_MS
"""Stands for no end; no calendar reaches it."""

RETENTION = timedelta(days=90)
"""How long JumpCloud keeps events, at most; the lowest plan keeps 15 days."""
RETENTION_MS = int(RETENTION / timedelta(milliseconds=1))

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)


def to_rfc3339(instant_ms: int) -> str:
    """Write an instant as JumpCloud writes it: UTC with `Z`, three fractional digits."""
    return from_ms(instant_ms).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def to_text(instant_ms: int) -> str:
    """Write an instant for a person to read, also one that no calendar reaches."""
    try:
        return to_rfc3339(instant_ms)
    except OverflowError:
        return f"{instant_ms} ms"


def from_iso8601(text: str) -> datetime:
    """Read an ISO 8601 instant, in UTC where it names no zone. Raises ValueError, OverflowError."""
    instant = datetime.fromisoformat(text)
    return instant.astimezone(UTC) if instant.tzinfo else instant.replace(tzinfo=UTC)


def to_ms(instant: datetime) -> int:
    """Return an instant in milliseconds, rounded down."""
    return (instant - EPOCH) // MILLISECOND


def from_ms(instant_ms: int) -> datetime:
    """Return an instant in UTC. Raises OverflowError where no calendar reaches."""
    return EPOCH + instant_ms * MILLISECOND


def floor(instant_ms: int, unit_ms: int) -> int:
    """Return the start of the unit that holds the instant."""
    return instant_ms // unit_ms * unit_ms


def ceil(instant_ms: int, unit_ms: int) -> int:
    """Return the first start of a unit that is not before the instant."""
    return -(-instant_ms // unit_ms) * unit_ms
