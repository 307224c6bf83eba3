"""How long to wait before the next try: as long as the other end asks, or longer each time.

Arithmetic only; `retry` does the waiting. Besides, credentials that many organizations share rest
after a 429 (`throttle`), and so do requests for counts (`collecting.questions`). Knows nothing of
what is tried.
"""

import email.utils
import random
from datetime import UTC, datetime

from jumpcloud_modules.errors import Refused, TryAgain

MAX_TRANSIENT_DELAY_SECONDS = 60.0
"""The wait before a retry, at most, where a failure may pass by itself."""
MIN_RETRY_AFTER_SECONDS = 1.0
MAX_RETRY_AFTER_SECONDS = 3600.0
"""The longest Retry-After that is respected."""
REFUSED_DELAYS_SECONDS = (5.0, 10.0, 20.0, 30.0)
_MAX_DOUBLINGS = 10


def delay_seconds(error: TryAgain | Refused, in_a_row: int) -> float:
    """Return how long to wait after the `in_a_row`-th failure in a row."""
    if isinstance(error, Refused):
        return _after_refusal(in_a_row)
    if error.retry_after_seconds is not None:
        return as_asked(error.retry_after_seconds)
    return _ever_longer(in_a_row)


def _after_refusal(in_a_row: int) -> float:
    # A person has to act: quick at first, for who mends a key and looks; then not in the way.
    step = min(in_a_row, len(REFUSED_DELAYS_SECONDS)) - 1
    return REFUSED_DELAYS_SECONDS[step]


def as_asked(seconds: float) -> float:
    """Return a Retry-After within its bounds."""
    # A 429 or 503 that says "0" would be hammered, and one that says "tomorrow" (some write an
    # instant where seconds belong) would stop collecting until then.
    return min(max(seconds, MIN_RETRY_AFTER_SECONDS), MAX_RETRY_AFTER_SECONDS)


def _ever_longer(in_a_row: int) -> float:
    longest = min(MAX_TRANSIENT_DELAY_SECONDS, 2.0 ** min(in_a_row - 1, _MAX_DOUBLINGS))
    # Never less than half: an end that all its clients lost at once is not to meet them at once.
    return longest * random.uniform(0.5, 1.0)


def retry_after_seconds(header: str | None) -> float | None:
    """Read a Retry-After header, in seconds or as a date; None where it says neither."""
    if header is None:
        return None
    try:
        return max(0.0, float(int(header)))
    except (ValueError, OverflowError):
        return _seconds_until(header)


def _seconds_until(date: str) -> float | None:
    try:
        instant = email.utils.parsedate_to_datetime(date)
    except (ValueError, OverflowError):
        return None
    # HTTP's dates are in UTC; one that names no zone is taken for that, not for local time.
    aware = instant if instant.tzinfo else instant.replace(tzinfo=UTC)
    return max(0.0, (aware - datetime.now(UTC)).total_seconds())
