"""The way through: plan what to read, read it, deliver what is new, commit.

The commit comes after delivery, never before; so a crash repeats what was in flight and loses
nothing. Knows neither the SDK nor HTTP: it speaks to a source, an intake, a ledger and a state.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Protocol

from jumpcloud_modules.api import UNIT_MS, Page, Unit
from jumpcloud_modules.audit import Audit, Bucket, buckets_of, joined
from jumpcloud_modules.backlog import even_slices, slices
from jumpcloud_modules.errors import Refused, Stopped, TryAgain
from jumpcloud_modules.events import Event
from jumpcloud_modules.instants import (
    HOUR_MS,
    MINUTE_MS,
    RETENTION_MS,
    SECOND_MS,
    ceil,
    floor,
    to_rfc3339,
)
from jumpcloud_modules.intake import Delivery
from jumpcloud_modules.ledger import Ledger
from jumpcloud_modules.pages import Pages, Source
from jumpcloud_modules.progress import Progress, Window
from jumpcloud_modules.readers import MOST_READERS, Lanes, Readers
from jumpcloud_modules.retry import LONGEST_RETRY_AFTER_SECONDS, Pace
from jumpcloud_modules.sizes import PAGES_IN_MEMORY, PageSize
from jumpcloud_modules.state import State
from jumpcloud_modules.tally import Tally

BACKLOG_AFTER_MS = 5 * MINUTE_MS
BACKLOG_ENDS_BEFORE_NOW_MS = 2 * MINUTE_MS
RECENT_MS = 15 * MINUTE_MS
REREAD_WITHOUT_COUNTS_MS = 5 * MINUTE_MS
LEAST_MEMORY_MS = 2 * HOUR_MS
COUNT_FAILURES_BEFORE_REREADING = 2
LIMITED_COUNTS_REST_SECONDS = 60.0
MOST_COUNTS_REST_SECONDS = 300.0
HOURS_COUNTED_BY_MINUTE_AT_ONCE = 24
EARLIER_THAN_ASKED_MS = SECOND_MS
"""By how much an event may claim to be older than what was asked for: the index may round."""
PRUNE_EVERY_MS = HOUR_MS


class CountingSource(Source, Protocol):
    """Give pages and counts of events, as JumpCloudApi does."""

    def buckets(self, start_ms: int, end_ms: int, unit: Unit) -> dict[int, int]:
        """Return counts by the start of their minute or hour, or raise TryAgain or Refused."""


class Deliverer(Protocol):
    """Deliver events, as Intake does."""

    def deliver(self, events: Sequence[Event]) -> Delivery:
        """Return when each event was accepted or set aside."""

    def set_aside(self, events: Sequence[Event], reason: str) -> Delivery:
        """Keep what cannot be sent."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Say what to collect: spans in milliseconds; `audit_ms` 0 looks for no late events.

    `scope` names what is asked for (services, organisation, region). `readers` 0 reads the
    backlog in the polling thread.
    """

    history_ms: int
    audit_ms: int
    audit_every_ms: int
    scope: str
    most_rows: int
    readers: int = MOST_READERS


class Collector:
    """Collect one scope's events, poll by poll."""

    def __init__(
        self,
        plan: Plan,
        source: CountingSource,
        intake: Deliverer,
        ledger: Ledger,
        state: State,
        tail_pace: Pace,
        backlog_pace: Pace,
        state_pace: Pace,
        lanes: Lanes,
        stop: threading.Event,
        now_ms: Callable[[], int],
        tell: Callable[[str], None],
        warn: Callable[[str], None],
    ) -> None:
        self._plan = plan
        self._source = source
        self._intake = intake
        self._ledger = ledger
        self._state = state
        self._tail_pace = tail_pace
        self._backlog_pace = backlog_pace
        self._state_pace = state_pace
        self._lanes = lanes
        self._now_ms = now_ms
        self._tell = tell
        self._warn = warn
        size = PageSize(plan.most_rows)
        # Apart, so that a backlog that fails or fills its memory does not keep new events waiting.
        self._tail_pages = Pages(source, size, tail_pace, stop, now_ms, 1)
        self._backlog_pages = Pages(source, size, backlog_pace, stop, now_ms, PAGES_IN_MEMORY - 1)
        self._audit = Audit(ledger.count)
        self._readers = Readers(self._read_beside, plan.readers)
        self._lock = threading.RLock()
        self._late: list[Window] = []
        self._caught_up_ms: int | None = None
        self._audited_by_hour_ms: int | None = None
        self._count_failures = 0
        self._counts_not_before_ms = 0
        self._pruned_ms = 0
        self._progress = Progress(0, 0)
        self.tally = Tally()

    @property
    def progress(self) -> Progress:
        """Return how far collecting got."""
        return self._progress

    @property
    def collected_to_ms(self) -> int:
        """Return the instant up to which everything was collected, as far as is known."""
        progress = self._progress
        if progress.windows:
            return progress.oldest_open_ms
        return self._caught_up_ms or progress.watermark_ms

    def start(self) -> None:
        """Find the state and commit it, before the first page is asked for."""
        now_ms = self._now_ms()
        found = self._state_pace.call(lambda: self._state.load(now_ms, self._plan.history_ms))
        for message in found.messages:
            self._tell(message)
        for warning in found.warnings:
            self._warn(warning)
        with self._lock:
            self._progress = self._known(self._scoped(found.progress))
            self._commit()
        self._offer(self._progress.windows)

    def poll(self) -> None:
        """Read what is new, look for what is late, and have a backlog read beside it.

        Raises Stopped when asked to stop.
        """
        self._plan_backlog()
        self._read_tail()
        self._look_for_late_events()
        self._prune()
        self._readers.check()

    def join(self, timeout_seconds: float) -> None:
        """Wait for readers beside the poll to end after the stop event was set."""
        self._readers.join(timeout_seconds)

    def _scoped(self, progress: Progress) -> Progress:
        if progress.scope not in ("", self._plan.scope):
            self._tell(
                "The configuration asks for other events than before: late events are looked for"
                " from here on."
            )
            progress = replace(progress, beginning_ms=ceil(progress.watermark_ms, MINUTE_MS))
        return replace(progress, scope=self._plan.scope)

    def _known(self, progress: Progress) -> Progress:
        """Look for late events only from here on where nothing is known of what was delivered."""
        has_delivered = progress.watermark_ms > progress.beginning_ms and not progress.windows
        if not has_delivered or not self._state_pace.call(self._ledger.is_missing):
            return progress
        self._warn(
            "The ledger of delivered events is missing: late events from before"
            f" {to_rfc3339(progress.watermark_ms)} are no longer looked for."
        )
        return replace(progress, beginning_ms=progress.watermark_ms)

    # Reading

    def _read_tail(self) -> None:
        tail = self._progress.tail
        with closing(self._tail_pages.read(tail)) as pages:
            for page in pages:
                self._take(page, tail, self._advance_tail)
                del page
        self._caught_up_ms = self._now_ms()

    def _read_beside(self, window: Window) -> None:
        """Read a window of the backlog or of late events to its end, and close it."""
        rest = first = self._progress.rest_of(window)

        def advance(page: Page) -> None:
            nonlocal rest
            self._progress = self._progress.with_window_at(rest, page.position_ms)
            rest = rest.rest_from(page.position_ms)

        more = True
        while more and not rest.is_over:
            with (
                self._lanes.one() as lane,
                closing(self._backlog_pages.read(rest, lane.keep)) as pages,
            ):
                for page in pages:
                    self._take(page, first, advance)
                    more = page.more
                    del page
        with self._lock:
            self._progress = self._progress.without(rest)
            if window in self._late:
                self._late.remove(window)
            self._commit()

    def _take(self, page: Page, window: Window, advance: Callable[[Page], None]) -> None:
        """Deliver what is new of a page, then commit it and the way it moves the window."""
        fresh = self._state_pace.call(lambda: self._ledger.claim(page.events))
        odd = self._state_pace.call(lambda: self._ledger.claim(page.oddities))
        try:
            aside = self._intake.set_aside(odd, "because it is no JSON object")
            delivery = self._intake.deliver(fresh)
        except Stopped as stopped:
            with self._lock:
                self._ledger.record(stopped.settled, window.start_ms - EARLIER_THAN_ASKED_MS)
                self._commit()
            self._ledger.release([*fresh, *odd])
            raise
        except BaseException:
            self._ledger.release([*fresh, *odd])
            raise
        with self._lock:
            self._ledger.record([*fresh, *odd], window.start_ms - EARLIER_THAN_ASKED_MS)
            advance(page)
            self._commit()
        self.tally.count_page(page, len(fresh) + len(odd), delivery, aside)

    def _advance_tail(self, page: Page) -> None:
        self._progress = self._progress.with_tail_at(page.position_ms, is_read=not page.more)

    def _commit(self) -> None:
        """Write what was delivered, then how far that got: never the other way round."""
        self._state_pace.call(self._ledger.commit)
        self._state_pace.call(lambda: self._state.save(self._progress))

    def _offer(self, windows: Sequence[Window]) -> None:
        if self._plan.readers:
            self._readers.offer(windows)
            return
        for window in reversed(windows):
            self._read_beside(window)

    # The backlog

    def _plan_backlog(self) -> None:
        """Cut a long stretch that was not read yet into slices, so that the tail goes first."""
        now_ms, start_ms = self._now_ms(), self._progress.watermark_ms
        end_ms = floor(now_ms - BACKLOG_ENDS_BEFORE_NOW_MS, MINUTE_MS)
        read_to_ms = max(start_ms, self._caught_up_ms or 0)
        if now_ms - read_to_ms <= BACKLOG_AFTER_MS or end_ms <= start_ms:
            return
        windows = self._slices(start_ms, end_ms)
        if len(windows) < 2:  # so little that the tail reads it as it is
            return
        with self._lock:
            self._progress = self._progress.with_backlog(windows, end_ms)
            self._commit()
        self._offer(windows)

    def _slices(self, start_ms: int, end_ms: int) -> list[Window]:
        if self._backlog_pace.is_failing:  # the tail must not wait for it
            return even_slices(start_ms, end_ms)
        try:
            counts = self._paced_counts(start_ms, end_ms)
        except (TryAgain, Refused):
            return even_slices(start_ms, end_ms)
        return slices(buckets_of(counts, HOUR_MS, start_ms, end_ms), start_ms, end_ms)

    def _paced_counts(self, start_ms: int, end_ms: int) -> dict[int, int]:
        """Ask once, and have both paces know of a failure: many readers are about to begin."""

        def ask() -> dict[int, int]:
            return self._source.buckets(start_ms, end_ms, "h")

        return self._tail_pace.call(lambda: self._backlog_pace.call(ask, 1), 1)

    # Late events

    def _look_for_late_events(self) -> None:
        if not self._plan.audit_ms:
            return
        now_ms, end_ms = self._now_ms(), self._progress.watermark_ms + 1
        by_hour = self._is_hour_audit_due(now_ms)
        start_ms = max(
            self._progress.beginning_ms,
            floor(now_ms - self._plan.audit_ms, HOUR_MS),
            ceil(now_ms - RETENTION_MS, HOUR_MS),
            0 if by_hour else floor(now_ms - RECENT_MS, MINUTE_MS),
        )
        if end_ms <= start_ms:
            return
        if 0 < self._counts_not_before_ms - now_ms <= LONGEST_RETRY_AFTER_SECONDS * SECOND_MS:
            if self._count_failures >= COUNT_FAILURES_BEFORE_REREADING:
                self._reread_the_last_minutes()
            return
        try:
            find = self._short_by_hour if by_hour else self._short_by_minute
            for short in find(start_ms, end_ms):
                self._read_late(joined(short))
        except (TryAgain, Refused) as error:
            self._read_without_counts(error)
            return
        self._note_counts_work()
        if by_hour:
            self._audited_by_hour_ms = now_ms

    def _is_hour_audit_due(self, now_ms: int) -> bool:
        last_ms = self._audited_by_hour_ms
        return last_ms is None or not 0 <= now_ms - last_ms < self._plan.audit_every_ms

    def _short_by_minute(self, start_ms: int, end_ms: int) -> Iterator[list[Bucket]]:
        lacking = self._lacking(start_ms, end_ms, "m")
        short = self._audit.worth_a_try(lacking, self._now_ms())
        self._audit.note_tries(short, self._now_ms())
        yield short

    def _short_by_hour(self, start_ms: int, end_ms: int) -> Iterator[list[Bucket]]:
        """Find the short minutes of the short hours, so that only those are read again."""
        lacking = self._lacking(start_ms, end_ms, "h")
        hours = self._audit.worth_a_try(lacking, self._now_ms())
        for first in range(0, len(hours), HOURS_COUNTED_BY_MINUTE_AT_ONCE):
            some = hours[first : first + HOURS_COUNTED_BY_MINUTE_AT_ONCE]
            minutes: list[Bucket] = []
            for span in joined(some):
                minutes += self._lacking(span.start_ms, span.end_ms or end_ms, "m")
            self._audit.note_tries(some, self._now_ms())
            yield minutes

    def _lacking(self, start_ms: int, end_ms: int, unit: Unit) -> list[Bucket]:
        """Compare JumpCloud's counts with the ledger's.

        Counts are asked for once, not waited for: the tail must not wait for an audit.
        """
        counts = self._source.buckets(start_ms, end_ms, unit)
        found = buckets_of(counts, UNIT_MS[unit], start_ms, end_ms)
        still_open = [*self._progress.windows, *self._late]
        return self._state_pace.call(lambda: self._audit.lacking(found, still_open))

    def _read_late(self, windows: list[Window]) -> None:
        """Have late events read beside the polls; a restart forgets, and finds them again."""
        if windows:
            with self._lock:
                self._late += windows
            self._offer(windows)

    def _read_without_counts(self, error: TryAgain | Refused) -> None:
        self._count_failures += 1
        self._put_off_counts(self._seconds_without_counts(error))
        if self._count_failures < COUNT_FAILURES_BEFORE_REREADING:
            return
        if self._count_failures == COUNT_FAILURES_BEFORE_REREADING:
            self._warn(
                f"{error} Late events cannot be counted: until they can, the last"
                f" {REREAD_WITHOUT_COUNTS_MS // MINUTE_MS} minutes are read again at each poll."
            )
        self._reread_the_last_minutes()

    def _seconds_without_counts(self, error: TryAgain | Refused) -> float:
        if isinstance(error, TryAgain) and error.limited:
            self._lanes.narrow()
            asked = error.retry_after_seconds or LIMITED_COUNTS_REST_SECONDS
            return min(asked, LONGEST_RETRY_AFTER_SECONDS)
        if self._count_failures < COUNT_FAILURES_BEFORE_REREADING:
            return 0.0
        return min(2.0 ** min(self._count_failures, 10), MOST_COUNTS_REST_SECONDS)

    def _reread_the_last_minutes(self) -> None:
        end_ms = self._progress.watermark_ms
        start_ms = max(self._progress.beginning_ms, end_ms - REREAD_WITHOUT_COUNTS_MS)
        still_open = (*self._progress.windows, *self._late)
        if start_ms < end_ms and not any(w.overlaps(start_ms, end_ms) for w in still_open):
            self._read_late([Window(start_ms, end_ms)])

    def _put_off_counts(self, seconds: float) -> None:
        self._counts_not_before_ms = self._now_ms() + int(seconds * SECOND_MS)

    def _note_counts_work(self) -> None:
        if self._count_failures >= COUNT_FAILURES_BEFORE_REREADING:
            self._tell("Late events can be counted again.")
        self._count_failures = 0

    def _begin_where_the_ledger_will(self, before_ms: int) -> None:
        """Have no audit look where the ledger forgets: all it found there would come again."""
        forgotten_ms = min(self._progress.watermark_ms - 1, floor(before_ms, HOUR_MS))
        if forgotten_ms > self._progress.beginning_ms:
            self._progress = replace(self._progress, beginning_ms=forgotten_ms)
            self._commit()

    def _open_hours(self) -> Iterator[int]:
        for window in (*self._progress.windows, *self._late):
            yield from range(floor(window.start_ms, HOUR_MS), (window.end_ms or 0) + 1, HOUR_MS)

    def _prune(self) -> None:
        now_ms = self._now_ms()
        if 0 <= now_ms - self._pruned_ms < PRUNE_EVERY_MS:
            return
        before_ms = now_ms - max(self._plan.audit_ms, LEAST_MEMORY_MS) - HOUR_MS
        with self._lock:
            self._begin_where_the_ledger_will(before_ms)
            in_use = [self._progress.watermark_ms, *self._open_hours()]
            self._state_pace.call(lambda: self._ledger.prune(before_ms, in_use))
        self._audit.forget_before(before_ms)
        self._pruned_ms = now_ms
