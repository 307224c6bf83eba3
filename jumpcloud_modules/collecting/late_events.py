"""Which windows to read once more for events that JumpCloud published late, by its counts.

Counts are a witness, not a judge: they lag, fail by the hour and work by the minute, or say
nothing. They may only ever cause a window to be read; that they are silent proves nothing.
Questions by the minute and by the hour fail, rest and recover apart from each other. Asks for
counts only: the collector has the windows read.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain

from jumpcloud_modules.collecting.audit import Audit, Bucket, buckets_of, joined
from jumpcloud_modules.collecting.ends import JumpCloud, Process
from jumpcloud_modules.collecting.protocols import Counting
from jumpcloud_modules.errors import Refused, TryAgain
from jumpcloud_modules.http.backoff import LONGEST_RETRY_AFTER_SECONDS
from jumpcloud_modules.instants import (
    DAY_MS,
    FOREVER_MS,
    HOUR_MS,
    MINUTE_MS,
    RETENTION_MS,
    SECOND_MS,
    ceil,
    floor,
    to_rfc3339,
)
from jumpcloud_modules.progress import Progress, Window
from jumpcloud_modules.queries import UNIT_MS, Unit

RECENT_MS = 15 * MINUTE_MS
"""How far back events are counted by the minute after each poll."""
REREAD_WITHOUT_COUNTS_MS = 5 * MINUTE_MS
"""How far back is read again at each poll while there are no counts."""
COUNT_FAILURES_BEFORE_SAYING_SO = 2
"""Failures to count in a row before one is logged."""
LIMITED_COUNTS_REST_SECONDS = 60.0
MOST_COUNTS_REST_SECONDS = 300.0
"""The time between two questions for counts that fail, at most."""
HOURS_COUNTED_BY_MINUTE_AT_ONCE = 24
"""Short hours that one question counts by the minute, at most."""
COUNTS_LAG_MS = MINUTE_MS
"""The end of a span that JumpCloud's counts may not show yet."""
SURELY_RETAINED_MS = 14 * DAY_MS
"""The lowest plan keeps 15 days: of what is older, JumpCloud may hold less than was delivered."""

BeingRead = Callable[[], Iterable[Window]]


class Questions:
    """One kind of question for counts: how often it failed in a row, and when it may come again."""

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
        """Rest, the longer the more have failed, or for as long as JumpCloud asks."""
        self.failures += 1
        self._not_before_ms = self._span_ms() + int(self._rest_seconds(error) * SECOND_MS)

    def worked(self) -> None:
        """Take note that an answer was usable."""
        self.failures = 0

    def _rest_seconds(self, error: TryAgain | Refused) -> float:
        if isinstance(error, TryAgain) and error.limited:
            self._on_limited()
            asked = error.retry_after_seconds or LIMITED_COUNTS_REST_SECONDS
            return min(asked, LONGEST_RETRY_AFTER_SECONDS)
        if not self.are_failing:
            return 0.0
        return min(2.0 ** min(self.failures, 10), MOST_COUNTS_REST_SECONDS)


class SpanAtOnce:
    """How much time one question of the long audit covers: half of it after each failure.

    By the hour down to a day, then by the minute, which may work where hours do not. After a day,
    all is tried at once again.
    """

    def __init__(self, span_ms: Callable[[], int]) -> None:
        self._span_ms = span_ms
        self._since_ms = 0
        self.unit: Unit = "h"
        self.most_ms: int | None = None

    def pieces(self, start_ms: int, end_ms: int) -> Iterator[tuple[int, int]]:
        """Cut a span into what one question covers, the latest first."""
        if self._span_ms() - self._since_ms > DAY_MS:
            self.unit, self.most_ms = "h", None
        while end_ms > start_ms:
            first_ms = start_ms
            if self.most_ms:
                first_ms = max(start_ms, ceil(end_ms, HOUR_MS) - self.most_ms)
            yield first_ms, end_ms
            end_ms = first_ms

    def halve(self, asked_ms: int) -> None:
        """Ask for less at once, after a question for so much failed."""
        self._since_ms = self._span_ms()
        half_ms = max(HOUR_MS, ceil(min(asked_ms, self.most_ms or asked_ms) // 2, HOUR_MS))
        if self.unit == "h" and half_ms < DAY_MS:
            self.unit, half_ms = "m", HOURS_COUNTED_BY_MINUTE_AT_ONCE * HOUR_MS
        self.most_ms = half_ms


class LateEvents:
    """Compare JumpCloud's counts with what is `known` to be delivered in a span of epoch ms.

    The last minutes at each poll, and every `every_ms` all that `audit_ms` reaches; 0 turns it off.
    """

    def __init__(
        self,
        jumpcloud: JumpCloud,
        process: Process,
        known: Callable[[int, int], int],
        audit_ms: int,
        every_ms: int,
    ) -> None:
        clock, on_limited = jumpcloud.clock, jumpcloud.lanes.narrow
        self._source: Counting = jumpcloud.source
        self._known = known
        self._audit = Audit(known)
        self._audit_ms = audit_ms
        self._every_ms = every_ms
        self._clock = clock
        self._tell = process.tell
        self._warn = process.warn
        self._by_minute = Questions(clock.span_ms, on_limited)
        self._by_hour = Questions(clock.span_ms, on_limited)
        self._ahead = Questions(clock.span_ms, on_limited)
        self._at_once = SpanAtOnce(clock.span_ms)
        self._audited_at_ms: int | None = None
        self._counted_ahead_at_ms: int | None = None
        self._looked_ahead_at_ms: int | None = None
        self._is_silent = False
        self._audited_ms: int | None = None

    @property
    def is_without_witness(self) -> bool:
        """Tell whether the last minutes have to be read again, since counts say nothing of them."""
        return bool(self._audit_ms) and (self._is_silent or self._by_minute.are_failing)

    def windows(self, progress: Progress, being_read: BeingRead) -> Iterator[list[Window]]:
        """Yield windows to read, some at a time, that overlap none of those that are being read."""
        if not self._audit_ms:
            return
        end_ms, is_done = progress.watermark_ms + 1, False
        if self._is_whole_audit_due:
            yield from self._whole_audit(self._reach_ms(progress), end_ms, being_read)
            is_done = not self._is_whole_audit_due
        if not is_done:
            recent_ms = floor(self._clock.now_ms() - RECENT_MS, MINUTE_MS)
            start_ms = max(self._reach_ms(progress), recent_ms)
            yield from self._recent_audit(start_ms, end_ms, being_read)

    def take_audited_ms(self) -> int | None:
        """Return JumpCloud's time at a whole audit that ended, once, or None.

        What it found may still be being read.
        """
        audited_ms, self._audited_ms = self._audited_ms, None
        return audited_ms

    def is_more_ahead(self, from_ms: int) -> bool:
        """Tell whether to read once more what is still to come, from an instant on.

        JumpCloud counts nothing that begins in its future: two counts that begin now differ by it.
        """
        span_ms = self._clock.span_ms()
        if not self._ahead.may_be_asked or not _is_over(
            self._counted_ahead_at_ms, MINUTE_MS, span_ms
        ):
            return False
        self._counted_ahead_at_ms = span_ms
        since_ms = self._clock.now_ms() - SECOND_MS
        try:
            held = self._source.count(since_ms, None) - self._source.count(since_ms, from_ms)
        except (TryAgain, Refused) as error:
            self._ahead.failed(error)
            return self._is_look_ahead_due(span_ms)
        self._ahead.worked()
        bucket = Bucket(FOREVER_MS, from_ms, FOREVER_MS, held)
        more = self._audit.worth_a_try(self._audit.lacking([bucket], []), span_ms)
        self._audit.note_tries(more, span_ms)
        return bool(more)

    def _is_look_ahead_due(self, span_ms: int) -> bool:
        """Tell whether to read what is to come without a count, which is done now and then."""
        is_due = _is_over(self._looked_ahead_at_ms, self._every_ms, span_ms)
        if is_due:
            self._looked_ahead_at_ms = span_ms
        return is_due

    def forget_before(self, instant_ms: int) -> None:
        """Drop what is remembered of the time before an instant."""
        self._audit.forget_before(instant_ms)

    def _reach_ms(self, progress: Progress) -> int:
        """Return where the audit begins: what the last one could not see is still looked for."""
        now_ms = self._clock.now_ms()
        return max(
            progress.beginning_ms,
            floor(min(now_ms, progress.audit_from_ms) - self._audit_ms, HOUR_MS),
            ceil(now_ms - RETENTION_MS, HOUR_MS),
        )

    @property
    def _is_whole_audit_due(self) -> bool:
        return _is_over(self._audited_at_ms, self._every_ms, self._clock.span_ms())

    # The last minutes

    def _recent_audit(
        self, start_ms: int, end_ms: int, being_read: BeingRead
    ) -> Iterator[list[Window]]:
        if end_ms <= start_ms or not self._by_minute.may_be_asked:
            return
        try:
            counts = self._counts(start_ms, end_ms, "m")
        except (TryAgain, Refused) as error:
            self._by_minute.failed(error)
            self._say_failure(self._by_minute, str(error))
            return
        self._by_minute.worked()
        self._say_recovery(self._by_minute, "Late events can be counted again.")
        self._is_silent = not any(counts.values())
        lacking = self._lacking(counts, start_ms, end_ms, "m", being_read)
        short = self._audit.worth_a_try(lacking, self._clock.span_ms())
        self._audit.note_tries(short, self._clock.span_ms())
        yield joined(short)

    # All that is in reach

    def _whole_audit(
        self, start_ms: int, end_ms: int, being_read: BeingRead
    ) -> Iterator[list[Window]]:
        if end_ms <= start_ms or not self._by_hour.may_be_asked:
            return
        now_ms, is_whole = self._clock.now_ms(), not list(being_read())
        asked_ms = end_ms - start_ms
        try:
            for first_ms, last_ms in self._at_once.pieces(start_ms, end_ms):
                asked_ms = last_ms - first_ms
                yield from map(joined, self._short_of_piece(first_ms, last_ms, being_read))
        except (TryAgain, Refused) as error:
            self._by_hour.failed(error)
            if isinstance(error, TryAgain) and error.burdened:
                self._at_once.halve(asked_ms)
            if not self._by_minute.failures:  # otherwise that is said, of all counts
                self._say_failure(self._by_hour, str(error))
            return
        self._by_hour.worked()
        self._say_recovery(self._by_hour, "Late events can be counted by the hour again.")
        self._audited_at_ms = self._clock.span_ms()
        if is_whole:
            self._audited_ms = now_ms

    def _short_of_piece(
        self, start_ms: int, end_ms: int, being_read: BeingRead
    ) -> Iterator[list[Bucket]]:
        """Find the short minutes of the short hours, so that only those are read again."""
        unit = self._at_once.unit
        lacking = self._lacking(
            self._counts(start_ms, end_ms, unit), start_ms, end_ms, unit, being_read
        )
        short = self._audit.worth_a_try(lacking, self._clock.span_ms())
        for first in range(0, len(short), HOURS_COUNTED_BY_MINUTE_AT_ONCE):
            some = short[first : first + HOURS_COUNTED_BY_MINUTE_AT_ONCE]
            minutes = some if unit == "m" else self._short_minutes(some, being_read)
            self._audit.note_tries(some, self._clock.span_ms())
            yield minutes

    def _short_minutes(self, hours: list[Bucket], being_read: BeingRead) -> list[Bucket]:
        spans = [(window.start_ms, window.end_ms or FOREVER_MS) for window in joined(hours)]
        return list(
            chain.from_iterable(
                self._lacking(self._counts(*span, "m"), *span, "m", being_read) for span in spans
            )
        )

    # Counts

    def _counts(self, start_ms: int, end_ms: int, unit: Unit) -> dict[int, int]:
        """Ask for counts. Raises TryAgain where they deny what was delivered, beside the rest."""
        counts = self._source.buckets(start_ms, end_ms, unit)
        held = sum(counts.values())
        since_ms = max(start_ms, self._clock.now_ms() - SURELY_RETAINED_MS)
        known = (
            self._known(since_ms, end_ms - COUNTS_LAG_MS)
            if end_ms - COUNTS_LAG_MS > since_ms
            else 0
        )
        if held < known:
            raise TryAgain(
                f"JumpCloud counts {held} events between {to_rfc3339(start_ms)} and"
                f" {to_rfc3339(end_ms)}, where it gave {known}."
            )
        return counts

    def _lacking(
        self,
        counts: dict[int, int],
        start_ms: int,
        end_ms: int,
        unit: Unit,
        being_read: BeingRead,
    ) -> list[Bucket]:
        found = buckets_of(counts, UNIT_MS[unit], start_ms, end_ms)
        return self._audit.lacking(found, being_read())

    # What is told

    def _say_failure(self, questions: Questions, why: str) -> None:
        if questions.is_told or not questions.are_failing:
            return
        questions.is_told = True
        if questions is self._by_minute:
            self._warn(
                f"{why} Late events cannot be counted: until they can, the last"
                f" {REREAD_WITHOUT_COUNTS_MS // MINUTE_MS} minutes are read again at each poll."
            )
        else:
            self._warn(
                f"{why} Late events cannot be counted by the hour: until they can, only those of"
                f" the last {RECENT_MS // MINUTE_MS} minutes are found."
            )

    def _say_recovery(self, questions: Questions, message: str) -> None:
        if questions.is_told:
            questions.is_told = False
            self._tell(message)


def _is_over(since_ms: int | None, wait_ms: int, span_ms: int) -> bool:
    return since_ms is None or span_ms - since_ms >= wait_ms
