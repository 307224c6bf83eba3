"""Requests for counts: how often to ask, for how long a span at once, and when after a failure.

They have waits of their own, not `http.backoff`'s: a failed count delays no event. Knows nothing of
what the answers say.
"""

from collections.abc import Callable, Iterator

from jumpcloud_modules.errors import Refused, TryAgain
from jumpcloud_modules.http.backoff import as_asked
from jumpcloud_modules.instants import DAY_MS, HOUR_MS, SECOND_MS, ceil
from jumpcloud_modules.queries import Unit

COUNT_FAILURES_BEFORE_SAYING_SO = 2
"""Failures to count in a row before one is logged."""
LIMITED_COUNTS_REST_SECONDS = 60.0
MAX_COUNTS_REST_SECONDS = 300.0
"""The time between two questions for counts that fail, at most."""
HOURS_COUNTED_BY_MINUTE_AT_ONCE = 24
"""Short hours that one question counts by the minute, at most."""


class Questions:
    """One kind of request for counts: how often it failed in a row, and when to ask again."""

    def __init__(self, span_ms: Callable[[], int], on_limited: Callable[[], None]) -> None:
        self._span_ms = span_ms
        self._on_limited = on_limited
        self._not_before_ms = 0
        self.failures = 0
        self.is_told = False

    @property
    def are_failing(self) -> bool:
        """Tell whether they failed so often that it is no hiccup."""
        return self.failures >= COUNT_FAILURES_BEFORE_SAYING_SO

    @property
    def may_be_asked(self) -> bool:
        """Tell whether the rest after a failure is over."""
        return self._span_ms() >= self._not_before_ms

    def failed(self, error: TryAgain | Refused) -> None:
        """Wait before the next request: longer after each failure, or as long as JumpCloud asks."""
        self.failures += 1
        self._not_before_ms = self._span_ms() + int(self._rest_seconds(error) * SECOND_MS)

    def worked(self) -> None:
        """Take note that an answer was usable."""
        self.failures = 0

    def _rest_seconds(self, error: TryAgain | Refused) -> float:
        if isinstance(error, TryAgain) and error.limited:
            self._on_limited()
            asked = error.retry_after_seconds
            return LIMITED_COUNTS_REST_SECONDS if asked is None else as_asked(asked)
        # One failure may be a hiccup.
        if not self.are_failing:
            return 0.0
        return min(2.0 ** min(self.failures, 10), MAX_COUNTS_REST_SECONDS)


class SpanAtOnce:
    """How long a span one request of the audit counts: half as long after one that was too long.

    Down to a day it counts by the hour, and below by the minute, which may work where hours do not.
    After a day, the whole span is tried again.
    """

    def __init__(self, span_ms: Callable[[], int]) -> None:
        self._span_ms = span_ms
        self._since_ms = 0
        self.unit: Unit = "h"
        self.max_ms: int | None = None

    def pieces(self, start_ms: int, end_ms: int) -> Iterator[tuple[int, int]]:
        """Cut a span into what one question covers, the latest first."""
        if self._span_ms() - self._since_ms > DAY_MS:
            self.unit, self.max_ms = "h", None
        while end_ms > start_ms:
            first_ms = start_ms
            if self.max_ms:
                first_ms = max(start_ms, ceil(end_ms, HOUR_MS) - self.max_ms)
            yield first_ms, end_ms
            end_ms = first_ms

    def halve(self, asked_ms: int) -> None:
        """Ask for less at once, after a question for so much failed."""
        self._since_ms = self._span_ms()
        half_ms = max(HOUR_MS, ceil(min(asked_ms, self.max_ms or asked_ms) // 2, HOUR_MS))
        if self.unit == "h" and half_ms < DAY_MS:
            self.unit, half_ms = "m", HOURS_COUNTED_BY_MINUTE_AT_ONCE * HOUR_MS
        self.max_ms = half_ms
