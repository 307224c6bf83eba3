"""Whether an answer of counts can be trusted, judged by what is known to be delivered.

A bucket that counts less than was delivered is ignored, and the others stay usable: JumpCloud's
counts lag behind its search, and old events may be gone there. An answer that lacks most of what
was delivered is not used at all. One that lacks some of it in the middle of the last minutes counts
as a failure, and what it says of other minutes is used.
"""

from collections.abc import Callable, Iterator

from jumpcloud_modules.collecting.protocols import Clock
from jumpcloud_modules.errors import TryAgain
from jumpcloud_modules.instants import DAY_MS, MINUTE_MS, ceil, floor, to_rfc3339

COUNTS_LAG_MS = MINUTE_MS
"""The end of a span that JumpCloud's counts may not show yet."""
SURELY_RETAINED_MS = 14 * DAY_MS
"""The lowest plan keeps 15 days: of what is older, JumpCloud may hold less than was delivered."""


class Witness:
    """Check counts against how many events are `known` to be delivered in a span of epoch ms."""

    def __init__(self, known: Callable[[int, int], int], clock: Clock) -> None:
        self._known = known
        self._clock = clock

    def check(self, counts: dict[int, int], start_ms: int, end_ms: int) -> None:
        """Raise TryAgain where counts show less than half of what was delivered in a span."""
        held, known = sum(counts.values()), self._known_within(start_ms, end_ms)
        if 2 * held < known:
            raise _denied(held, known, start_ms, end_ms)

    def check_minutes(self, counts: dict[int, int], start_ms: int, end_ms: int) -> None:
        """Raise TryAgain where counts by the minute lack events that were delivered.

        Minutes at the end may count too few: JumpCloud's counts lag behind.
        """
        held, known = sum(counts.values()), self._known_within(start_ms, end_ms)
        if held < known and self._is_denied(counts, start_ms, end_ms):
            raise _denied(held, known, start_ms, end_ms)

    def _is_denied(self, counts: dict[int, int], start_ms: int, end_ms: int) -> bool:
        if not any(counts.values()):
            return True
        may_lag = True
        for minute_ms in _minutes_backwards(start_ms, end_ms - COUNTS_LAG_MS):
            held = counts.get(minute_ms, 0)
            known = self._known(minute_ms, minute_ms + MINUTE_MS)
            if held < known and not may_lag:
                return True
            has_caught_up = 0 < held >= known
            may_lag = may_lag and not has_caught_up
        return False

    def _known_within(self, start_ms: int, end_ms: int) -> int:
        since_ms = max(start_ms, self._clock.now_ms() - SURELY_RETAINED_MS)
        until_ms = end_ms - COUNTS_LAG_MS
        return self._known(since_ms, until_ms) if since_ms < until_ms else 0


def _minutes_backwards(start_ms: int, end_ms: int) -> Iterator[int]:
    """Yield the minutes that lie fully in a span, the last first: others may be counted in part."""
    first_ms, last_ms = ceil(start_ms, MINUTE_MS), floor(end_ms, MINUTE_MS) - MINUTE_MS
    yield from range(last_ms, first_ms - 1, -MINUTE_MS)


def _denied(held: int, known: int, start_ms: int, end_ms: int) -> TryAgain:
    return TryAgain(
        f"JumpCloud counts {held} events between {to_rfc3339(start_ms)} and"
        f" {to_rfc3339(end_ms)}, although {known} of that time were delivered."
    )
