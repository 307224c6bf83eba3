"""Decide which windows to read again: JumpCloud counts more events there than were delivered.

A count can only cause a window to be read again. A low count proves nothing, since counts may be
wrong (`witness`). Counting by the minute and by the hour fail and recover separately, each with its
own backoff (`questions`). Asks for counts only: the collector has the windows read.
"""

from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass

from jumpcloud_modules.checkpoint import Checkpoint, Window
from jumpcloud_modules.collecting.audit import Audit, Bucket, buckets_of, joined
from jumpcloud_modules.collecting.dependencies import JumpCloud, Process
from jumpcloud_modules.collecting.protocols import Counting
from jumpcloud_modules.collecting.questions import (
    HOURS_COUNTED_BY_MINUTE_AT_ONCE,
    Questions,
    SpanAtOnce,
)
from jumpcloud_modules.collecting.witness import Witness
from jumpcloud_modules.errors import Refused, TryAgain
from jumpcloud_modules.instants import (
    FOREVER_MS,
    HOUR_MS,
    MINUTE_MS,
    RETENTION_MS,
    SECOND_MS,
    ceil,
    floor,
)
from jumpcloud_modules.queries import UNIT_MS, Unit

RECENT_MS = 15 * MINUTE_MS
"""How far back events are counted by the minute after each poll."""
REREAD_WITHOUT_COUNTS_MS = 5 * MINUTE_MS
"""How far back is read again at each poll while there are no counts."""

BeingRead = Callable[[], Iterable[Window]]


@dataclass(frozen=True, slots=True)
class Audited:
    """Say how many events JumpCloud counts and does not give, as of the last whole audit.

    What it found for the first time is not among them: that is being read. `seconds_ago` is how
    long ago that audit was, None before the first one.
    """

    shortfall: int
    seconds_ago: float | None


class LateEvents:
    """Compare JumpCloud's counts with how many events are `known` to be delivered in a span.

    Each poll compares the last 15 minutes; every `every_ms` the last `audit_ms` are compared.
    `audit_ms` 0 turns both off. Nothing is compared in the first `first_after_ms`: where many
    organizations start together, their polls come before their counts.
    """

    def __init__(
        self,
        jumpcloud: JumpCloud,
        process: Process,
        known: Callable[[int, int], int],
        audit_ms: int,
        every_ms: int,
        first_after_ms: int = 0,
    ) -> None:
        clock, on_limited = jumpcloud.clock, jumpcloud.concurrency.lower
        self._source: Counting = jumpcloud.source
        self._known = known
        self._audit = Audit(known)
        self._witness = Witness(known, jumpcloud.clock)
        self._audit_ms = audit_ms
        self._every_ms = every_ms
        self._from_span_ms = clock.span_ms() + first_after_ms
        self._clock = clock
        self._tell = process.tell
        self._warn = process.warn
        self._by_minute = Questions(clock.span_ms, on_limited)
        self._by_hour = Questions(clock.span_ms, on_limited)
        self._ahead = Questions(clock.span_ms, on_limited)
        self._at_once = SpanAtOnce(clock.span_ms)
        self._audited_span_ms: int | None = None
        self._counted_ahead_at_ms: int | None = None
        self._looked_ahead_at_ms: int | None = None
        self._is_silent = False
        self._audited_ms: int | None = None
        self._shortfall = self._shortfall_so_far = 0

    @property
    def audited(self) -> Audited | None:
        """Return how the whole audits stand, None where they are off."""
        if not self._audit_ms:
            return None
        at_ms, ago = self._audited_span_ms, None
        if at_ms is not None:
            ago = (self._clock.span_ms() - at_ms) / 1000
        return Audited(self._shortfall, ago)

    @property
    def cannot_count_minutes(self) -> bool:
        """Tell whether the last minutes have to be read again, because they cannot be counted."""
        return bool(self._audit_ms) and (self._is_silent or self._by_minute.are_failing)

    def search(self, checkpoint: Checkpoint, being_read: BeingRead) -> Iterator[list[Window]]:
        """Ask for counts, and yield windows to read, some at a time.

        None overlaps a window that is being read. What is asked again, and when, is noted.
        """
        if not self._audit_ms or self._clock.span_ms() < self._from_span_ms:
            return
        end_ms = checkpoint.watermark_ms + 1
        if self._is_whole_audit_due:
            is_done = yield from self._whole_audit(self._reach_ms(checkpoint), end_ms, being_read)
            if is_done:  # the last minutes, too
                return
        recent_ms = floor(self._clock.now_ms() - RECENT_MS, MINUTE_MS)
        start_ms = max(self._reach_ms(checkpoint), recent_ms)
        yield from self._recent_audit(start_ms, end_ms, being_read)

    def take_audited_ms(self) -> int | None:
        """Return up to when the last whole audit looked, in JumpCloud's time, once; then None.

        The windows that it found may still be being read.
        """
        audited_ms, self._audited_ms = self._audited_ms, None
        return audited_ms

    def finds_more_ahead(self, from_ms: int) -> bool:
        """Ask whether there are more events with future times than before, from an instant on.

        JumpCloud refuses to count a span that begins in its future. So it is asked for two counts:
        what is ahead is all from now on, less what is from now to `from_ms`.
        """
        span_ms = self._clock.span_ms()
        if not self._ahead.may_be_asked or not _is_over(
            self._counted_ahead_at_ms, MINUTE_MS, span_ms
        ):
            return False
        self._counted_ahead_at_ms = span_ms
        # A second early: JumpCloud refuses a start in its future, and its servers' clocks differ.
        since_ms = self._clock.now_ms() - SECOND_MS
        try:
            held = self._source.count(since_ms, None) - self._source.count(since_ms, from_ms)
        except (TryAgain, Refused) as error:
            self._ahead.failed(error)
            return self._is_look_ahead_due(span_ms)
        self._ahead.worked()
        # One bucket that never ends, so that it is read ever more seldom like any other.
        bucket = Bucket(FOREVER_MS, from_ms, FOREVER_MS, held)
        more = self._audit.worth_a_try(self._audit.lacking([bucket], []), span_ms)
        self._audit.note_tries(more, span_ms)
        return bool(more)

    def _is_look_ahead_due(self, span_ms: int) -> bool:
        """Tell whether it is time to read events with future times without counting them."""
        is_due = _is_over(self._looked_ahead_at_ms, self._every_ms, span_ms)
        if is_due:
            self._looked_ahead_at_ms = span_ms
        return is_due

    def forget_before(self, instant_ms: int) -> None:
        """Drop what is remembered of the time before an instant."""
        self._audit.forget_before(instant_ms)

    def _reach_ms(self, checkpoint: Checkpoint) -> int:
        """Return where the audit begins: `audit_ms` before the last complete one.

        So what became late during a pause is looked for after it, too.
        """
        now_ms = self._clock.now_ms()
        return max(
            checkpoint.beginning_ms,
            floor(min(now_ms, checkpoint.audit_from_ms) - self._audit_ms, HOUR_MS),
            ceil(now_ms - RETENTION_MS, HOUR_MS),
        )

    @property
    def _is_whole_audit_due(self) -> bool:
        return _is_over(self._audited_span_ms, self._every_ms, self._clock.span_ms())

    # The last minutes

    def _recent_audit(
        self, start_ms: int, end_ms: int, being_read: BeingRead
    ) -> Iterator[list[Window]]:
        if end_ms <= start_ms or not self._by_minute.may_be_asked:
            return
        try:
            counts = self._counts(start_ms, end_ms, "m")
        except (TryAgain, Refused) as error:
            self._cannot_count_minutes(error)
            return
        self._is_silent = not any(counts.values())
        try:
            self._witness.check_minutes(counts, start_ms, end_ms)
        except TryAgain as error:  # what it says of other minutes is still worth a look
            self._cannot_count_minutes(error)
        else:
            self._by_minute.worked()
            self._say_recovery(self._by_minute, "Late events can be counted again.")
        lacking = self._lacking(counts, start_ms, end_ms, "m", being_read)
        short = self._audit.worth_a_try(lacking, self._clock.span_ms())
        self._audit.note_tries(short, self._clock.span_ms())
        yield joined(short)

    def _cannot_count_minutes(self, error: TryAgain | Refused) -> None:
        self._by_minute.failed(error)
        self._say_failure(self._by_minute, error.told)

    # All that is in reach

    def _whole_audit(
        self, start_ms: int, end_ms: int, being_read: BeingRead
    ) -> Generator[list[Window], None, bool]:
        """Yield windows to read, and return whether all of the span was compared."""
        if end_ms <= start_ms or not self._by_hour.may_be_asked:
            return False
        # Both are taken before counting: what is published meanwhile is the next audit's, and one
        # that began with open windows does not count as complete.
        now_ms, is_whole = self._clock.now_ms(), not list(being_read())
        asked_ms = end_ms - start_ms
        self._shortfall_so_far = 0
        try:
            for first_ms, last_ms in self._at_once.pieces(start_ms, end_ms):
                asked_ms = last_ms - first_ms
                yield from map(joined, self._short_of_piece(first_ms, last_ms, being_read))
        except (TryAgain, Refused) as error:
            self._by_hour.failed(error)
            # A timeout or a 5xx may say that the span was too long to be counted.
            if isinstance(error, TryAgain) and error.burdened:
                self._at_once.halve(asked_ms)
            if not self._by_minute.failures:  # otherwise that is said, of all counts
                self._say_failure(self._by_hour, error.told)
            return False
        self._by_hour.worked()
        self._say_recovery(self._by_hour, "Late events can be counted by the hour again.")
        self._audited_span_ms = self._clock.span_ms()
        self._shortfall = self._shortfall_so_far
        if is_whole:
            self._audited_ms = now_ms
        return True

    def _short_of_piece(
        self, start_ms: int, end_ms: int, being_read: BeingRead
    ) -> Iterator[list[Bucket]]:
        """Find the short minutes of the short hours, so that only those are read again."""
        unit = self._at_once.unit
        counts = self._counts(start_ms, end_ms, unit)
        self._witness.check(counts, start_ms, end_ms)
        lacking = self._lacking(counts, start_ms, end_ms, unit, being_read)
        self._shortfall_so_far += self._audit.missing_after_tries(lacking)
        short = self._audit.worth_a_try(lacking, self._clock.span_ms())
        for first in range(0, len(short), HOURS_COUNTED_BY_MINUTE_AT_ONCE):
            some = short[first : first + HOURS_COUNTED_BY_MINUTE_AT_ONCE]
            found = some if unit == "m" else self._short_within(some, being_read)
            self._audit.note_tries(some, self._clock.span_ms())
            yield found

    def _short_within(self, hours: list[Bucket], being_read: BeingRead) -> list[Bucket]:
        """Return the short minutes that explain all an hour lacks, else the whole hour."""
        minutes = self._short_minutes(hours, being_read)
        found: list[Bucket] = []
        for hour in hours:
            within = [
                minute for minute in minutes if hour.start_ms <= minute.start_ms < hour.end_ms
            ]
            accounted = sum(self._audit.missing(minute) for minute in within)
            found += within if accounted >= self._audit.missing(hour) else [hour]
        return found

    def _short_minutes(self, hours: list[Bucket], being_read: BeingRead) -> list[Bucket]:
        """Return the short minutes, as far as they can be counted."""
        found: list[Bucket] = []
        try:
            for window in joined(hours):
                span = (window.start_ms, window.end_ms or FOREVER_MS)
                found += self._lacking(self._counts(*span, "m"), *span, "m", being_read)
        except (TryAgain, Refused):
            pass
        return found

    # Counts

    def _counts(self, start_ms: int, end_ms: int, unit: Unit) -> dict[int, int]:
        return self._source.buckets(start_ms, end_ms, unit)

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
