"""Which windows to read once more for events that JumpCloud published late.

By its counts, bucket by bucket; where it cannot count, the last minutes as they are. It asks for
counts only: the collector has the windows read.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from jumpcloud_modules.api import UNIT_MS, Unit
from jumpcloud_modules.audit import Audit, Bucket, buckets_of, joined
from jumpcloud_modules.errors import Refused, TryAgain
from jumpcloud_modules.instants import HOUR_MS, MINUTE_MS, RETENTION_MS, SECOND_MS, ceil, floor
from jumpcloud_modules.progress import Progress, Window
from jumpcloud_modules.retry import LONGEST_RETRY_AFTER_SECONDS

RECENT_MS = 15 * MINUTE_MS
REREAD_WITHOUT_COUNTS_MS = 5 * MINUTE_MS
COUNT_FAILURES_BEFORE_REREADING = 2
LIMITED_COUNTS_REST_SECONDS = 60.0
MOST_COUNTS_REST_SECONDS = 300.0
HOURS_COUNTED_BY_MINUTE_AT_ONCE = 24

BeingRead = Callable[[], Iterable[Window]]


class Counting(Protocol):
    """Count events, as JumpCloudApi does."""

    def buckets(self, start_ms: int, end_ms: int, unit: Unit) -> dict[int, int]:
        """Return counts by the start of their minute or hour, or raise TryAgain or Refused."""


class LateEvents:
    """Compare JumpCloud's counts with what is `known` to be delivered in a span of epoch ms.

    The last minutes at each poll, and every `every_ms` all of `audit_ms`, which 0 turns off.
    """

    def __init__(
        self,
        source: Counting,
        known: Callable[[int, int], int],
        *,
        audit_ms: int,
        every_ms: int,
        on_limited: Callable[[], None],
        now_ms: Callable[[], int],
        tell: Callable[[str], None],
        warn: Callable[[str], None],
    ) -> None:
        self._source = source
        self._audit = Audit(known)
        self._audit_ms = audit_ms
        self._every_ms = every_ms
        self._on_limited = on_limited
        self._now_ms = now_ms
        self._tell = tell
        self._warn = warn
        self._audited_by_hour_ms: int | None = None
        self._failures = 0
        self._not_before_ms = 0

    def windows(self, progress: Progress, being_read: BeingRead) -> Iterator[list[Window]]:
        """Yield windows to read, some at a time, that overlap none of those that are being read.

        Counts are asked for once, not waited for: the tail must not wait for an audit.
        """
        now_ms, end_ms = self._now_ms(), progress.watermark_ms + 1
        by_hour = self._is_hour_audit_due(now_ms)
        start_ms = max(
            progress.beginning_ms,
            floor(now_ms - self._audit_ms, HOUR_MS),
            ceil(now_ms - RETENTION_MS, HOUR_MS),
            0 if by_hour else floor(now_ms - RECENT_MS, MINUTE_MS),
        )
        if not self._audit_ms or end_ms <= start_ms:
            return
        if not self._is_resting(now_ms):
            find = self._short_by_hour if by_hour else self._short_by_minute
            try:
                for short in find(start_ms, end_ms, being_read):
                    yield joined(short)
            except (TryAgain, Refused) as error:
                self._note_failure(error)
            else:
                self._note_success()
                self._audited_by_hour_ms = now_ms if by_hour else self._audited_by_hour_ms
        if self._failures >= COUNT_FAILURES_BEFORE_REREADING:
            yield self._last_minutes(progress, being_read)

    def forget_before(self, instant_ms: int) -> None:
        """Drop what is remembered of the time before an instant."""
        self._audit.forget_before(instant_ms)

    def _is_hour_audit_due(self, now_ms: int) -> bool:
        last_ms = self._audited_by_hour_ms
        return last_ms is None or not 0 <= now_ms - last_ms < self._every_ms

    def _short_by_minute(
        self, start_ms: int, end_ms: int, being_read: BeingRead
    ) -> Iterator[list[Bucket]]:
        lacking = self._lacking(start_ms, end_ms, "m", being_read)
        short = self._audit.worth_a_try(lacking, self._now_ms())
        self._audit.note_tries(short, self._now_ms())
        yield short

    def _short_by_hour(
        self, start_ms: int, end_ms: int, being_read: BeingRead
    ) -> Iterator[list[Bucket]]:
        """Find the short minutes of the short hours, so that only those are read again."""
        lacking = self._lacking(start_ms, end_ms, "h", being_read)
        hours = self._audit.worth_a_try(lacking, self._now_ms())
        for first in range(0, len(hours), HOURS_COUNTED_BY_MINUTE_AT_ONCE):
            some = hours[first : first + HOURS_COUNTED_BY_MINUTE_AT_ONCE]
            minutes: list[Bucket] = []
            for span in joined(some):
                minutes += self._lacking(span.start_ms, span.end_ms or end_ms, "m", being_read)
            self._audit.note_tries(some, self._now_ms())
            yield minutes

    def _lacking(
        self, start_ms: int, end_ms: int, unit: Unit, being_read: BeingRead
    ) -> list[Bucket]:
        counts = self._source.buckets(start_ms, end_ms, unit)
        found = buckets_of(counts, UNIT_MS[unit], start_ms, end_ms)
        return self._audit.lacking(found, being_read())

    def _last_minutes(self, progress: Progress, being_read: BeingRead) -> list[Window]:
        end_ms = progress.watermark_ms
        start_ms = max(progress.beginning_ms, end_ms - REREAD_WITHOUT_COUNTS_MS)
        if start_ms >= end_ms or any(w.overlaps(start_ms, end_ms) for w in being_read()):
            return []
        return [Window(start_ms, end_ms)]

    # Counts that fail

    def _is_resting(self, now_ms: int) -> bool:
        """Tell whether counts are not to be asked for yet; a clock that jumped is not heard."""
        return 0 < self._not_before_ms - now_ms <= LONGEST_RETRY_AFTER_SECONDS * SECOND_MS

    def _note_failure(self, error: TryAgain | Refused) -> None:
        self._failures += 1
        self._not_before_ms = self._now_ms() + int(self._rest_seconds(error) * SECOND_MS)
        if self._failures == COUNT_FAILURES_BEFORE_REREADING:
            self._warn(
                f"{error} Late events cannot be counted: until they can, the last"
                f" {REREAD_WITHOUT_COUNTS_MS // MINUTE_MS} minutes are read again at each poll."
            )

    def _rest_seconds(self, error: TryAgain | Refused) -> float:
        if isinstance(error, TryAgain) and error.limited:
            self._on_limited()
            asked = error.retry_after_seconds or LIMITED_COUNTS_REST_SECONDS
            return min(asked, LONGEST_RETRY_AFTER_SECONDS)
        if self._failures < COUNT_FAILURES_BEFORE_REREADING:
            return 0.0
        return min(2.0 ** min(self._failures, 10), MOST_COUNTS_REST_SECONDS)

    def _note_success(self) -> None:
        if self._failures >= COUNT_FAILURES_BEFORE_REREADING:
            self._tell("Late events can be counted again.")
        self._failures = 0
