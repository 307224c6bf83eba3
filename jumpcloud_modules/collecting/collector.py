"""The way through: plan what to read, read it, deliver what is new, commit.

The commit comes after delivery, never before; so a crash repeats what was in flight and loses
nothing. Knows neither the SDK nor HTTP: it speaks to a source, an intake, a ledger and a state.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from contextlib import closing
from dataclasses import dataclass, replace

from jumpcloud_modules.collecting.audit import buckets_of
from jumpcloud_modules.collecting.backfill import even_slices, slices
from jumpcloud_modules.collecting.concurrency import MOST_READERS
from jumpcloud_modules.collecting.ends import Durable, JumpCloud, Process
from jumpcloud_modules.collecting.late_events import REREAD_WITHOUT_COUNTS_MS, LateEvents
from jumpcloud_modules.collecting.page_size import PageSize
from jumpcloud_modules.collecting.pager import Pages
from jumpcloud_modules.collecting.protocols import Deliverer
from jumpcloud_modules.collecting.readers import Beside, Readers
from jumpcloud_modules.collecting.resume import (
    Reach,
    by_jumpclouds_clock,
    first_start,
    not_ahead,
    within_retention,
)
from jumpcloud_modules.collecting.stats import Tally
from jumpcloud_modules.delivery import Delivery
from jumpcloud_modules.errors import Refused, TryAgain
from jumpcloud_modules.http.retry import Pace
from jumpcloud_modules.instants import (
    FOREVER_MS,
    HOUR_MS,
    MINUTE_MS,
    RETENTION_MS,
    SECOND_MS,
    ceil,
    floor,
    to_rfc3339,
)
from jumpcloud_modules.progress import Found, Progress, Window
from jumpcloud_modules.queries import PAGES_IN_MEMORY, Page, Query

BACKLOG_AFTER_MS = 5 * MINUTE_MS
"""A stretch that is longer than this is read beside the polls."""
BACKLOG_ENDS_BEFORE_NOW_MS = 2 * MINUTE_MS
"""What is newer than this is left to the tail."""
SECONDS_TO_WAIT_FOR_COUNTS = 2.0
LEAST_MEMORY_MS = 2 * HOUR_MS
EARLIER_THAN_ASKED_MS = SECOND_MS
"""By how much an event may claim to be older than what was asked for: the index may round."""
EVENTS_OF_A_LOOK = 3
FORGET_EVERY_MS = HOUR_MS
BEFORE_THAT = (
    "what happened before that and was not delivered yet is not collected. To reach further back,"
    " raise history_hours and remove context.json and context.previous.json."
)


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

    @property
    def reach(self) -> Reach:
        """Return how far back anything is looked for."""
        return Reach(self.history_ms, self.audit_ms)


class Collector:
    """Collect one scope's events, poll by poll."""

    def __init__(
        self,
        plan: Plan,
        jumpcloud: JumpCloud,
        durable: Durable,
        intake: Deliverer,
        process: Process,
    ) -> None:
        self._plan = plan
        self._jumpcloud = jumpcloud
        self._source, self._clock = jumpcloud.source, jumpcloud.clock
        self._durable = durable
        self._intake = intake
        self._process = process
        self._ledger = durable.ledgers(plan.scope)
        size = PageSize(plan.most_rows)
        # Apart, so that a backlog that fails or fills its memory does not keep new events waiting.
        self._tail_pages = self._pages(size, jumpcloud.tail_pace, 1)
        self._look_pages = self._pages(
            PageSize(min(plan.most_rows, EVENTS_OF_A_LOOK)), jumpcloud.tail_pace, 1
        )
        self._backlog_pages = self._pages(size, jumpcloud.backlog_pace, PAGES_IN_MEMORY - 1)
        self._late_events = LateEvents(
            self._source,
            self._count_delivered,
            audit_ms=plan.audit_ms,
            every_ms=plan.audit_every_ms,
            on_limited=jumpcloud.lanes.narrow,
            clock=self._clock,
            tell=process.tell,
            warn=process.warn,
        )
        self._readers = Readers(self._read_beside, plan.readers)
        self._audit = Beside(has_thread=bool(plan.readers))
        self._lock = threading.Lock()
        self._commit_lock = threading.Lock()
        self._uncut: set[Window] = set()
        self._late: list[Window] = []
        self._is_future_read = False
        self._caught_up_ms: int | None = None
        self._forgot_at_ms: int | None = None
        self._progress = Progress(0, 0)
        self.tally = Tally()

    def _pages(self, size: PageSize, pace: Pace, pages_in_memory: int) -> Pages:
        stop, now_ms = self._process.stop, self._clock.now_ms
        return Pages(self._source, size, pace, stop, now_ms, pages_in_memory)

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

    # The beginning

    def start(self) -> None:
        """Find the state, ask JumpCloud for the time, and commit where to go on from.

        A first start is committed before anything is asked for: however the process ends before
        JumpCloud answers, the next one begins where this one would have.
        """
        found = self._durable.pace.call(self._durable.state.load)
        progress = found.progress or first_start(self._clock.now_ms(), self._plan.reach)
        if progress.is_provisional:
            self._durable.pace.call(lambda: self._durable.state.save(progress))
        self._learn_the_time(progress.watermark_ms)
        settled = self._settled(found, progress)
        self._progress = self._with_ledger(found, settled)
        self._commit()
        if len(self._progress.windows) == 1:  # it may not have been cut before the process ended
            self._uncut.update(self._progress.windows)
        self._offer(self._progress.windows)

    def _learn_the_time(self, start_ms: int) -> None:
        """Ask for one event from where collecting begins: any answer carries a date."""

        def ask() -> None:
            try:
                self._source.open(Query(asked_ms, None, 1)).close()
            except Refused as error:
                if error.status != 400:  # it begins in JumpCloud's future: that is an answer
                    raise

        now_ms = self._clock.now_ms()
        asked_ms = min(max(start_ms, now_ms - RETENTION_MS), now_ms)
        self._jumpcloud.tail_pace.call(ask)

    def _settled(self, found: Found, progress: Progress) -> Progress:
        """Measure what was found by JumpCloud's time, and tell what follows from that."""
        now_ms, reach = self._clock.now_ms(), self._plan.reach
        self._ledger.now_is(now_ms)
        if found.is_beginning_lost:
            beginning_ms = min(progress.beginning_ms, now_ms - reach.history_ms)
            progress = replace(progress, beginning_ms=beginning_ms)
        is_first = progress.is_provisional
        progress = by_jumpclouds_clock(progress, self._clock.ahead_of_machine_ms)
        progress, of_the_future = not_ahead(progress, now_ms, reach)
        progress, beyond_retention = within_retention(progress, now_ms)
        since = f"collecting events since {to_rfc3339(progress.watermark_ms)}"
        if is_first and not found.warning:
            self._process.tell(f"First start: {since}.")
        if found.progress is None and found.warning:
            self._process.warn(f"{found.warning} {since}; {BEFORE_THAT}")
        elif found.warning:
            self._process.warn(found.warning)
        for message in filter(None, (found.message,)):
            self._process.tell(message)
        for warning in filter(None, (of_the_future, beyond_retention)):
            self._process.warn(warning)
        return progress

    def _with_ledger(self, found: Found, progress: Progress) -> Progress:
        """Begin the search for late events where the ledger of this scope can answer for it."""
        scope = self._plan.scope
        is_other_scope = progress.scope not in ("", scope)
        is_missing = self._durable.pace.call(self._ledger.is_missing)
        if found.is_takeover:
            progress = self._taken_over(progress)
        elif is_other_scope:
            progress = self._with_other_scope(progress)
        elif is_missing and found.progress and not found.progress.is_provisional:
            self._process.warn(
                "The ledger of delivered events is missing: late events from before"
                f" {to_rfc3339(progress.watermark_ms)} are no longer looked for."
            )
            progress = _looked_for_from(progress, progress.watermark_ms)
            # Before a new ledger is begun: it would answer for what only the lost one knew.
            self._durable.pace.call(lambda: self._durable.state.save(progress))
        forgotten_ms = self._durable.pace.call(lambda: self._ledger.forgotten_ms)
        return replace(
            progress,
            beginning_ms=max(progress.beginning_ms, forgotten_ms),
            watermark_ms=max(progress.watermark_ms, forgotten_ms),
            scope=scope,
            audited_ms=progress.audit_from_ms,
        )

    def _taken_over(self, progress: Progress) -> Progress:
        """Go on from an instant that was named, and have the ledger answer for all that follows."""
        start_ms = self._countable_ms(progress.watermark_ms)
        self._durable.pace.call(lambda: self._ledger.remember_from(start_ms))
        return replace(progress, beginning_ms=start_ms, watermark_ms=start_ms)

    def _with_other_scope(self, progress: Progress) -> Progress:
        """Go on with this scope's ledger: the former one knows nothing of what is late here."""
        self._process.tell(
            "The configuration asks for other events than before: late events are looked for"
            " from here on."
        )
        instant_ms = progress.watermark_ms
        former = self._durable.ledgers(progress.scope)
        beginning_ms = self._countable_ms(instant_ms)
        self._durable.pace.call(lambda: self._ledger.know_of(former, instant_ms))
        return _looked_for_from(progress, beginning_ms)

    def _countable_ms(self, instant_ms: int) -> int:
        """Return an instant from which the ledger's counts, which are by the minute, are exact."""
        known = self._count_delivered(instant_ms, instant_ms + 1)
        return floor(instant_ms, MINUTE_MS) if known else instant_ms

    # A poll

    def poll(self) -> None:
        """Read what is new, and have a backlog and what is late looked for beside it.

        Raises Stopped when asked to stop.
        """
        try:
            self._mind_the_clock()
            self._plan_backlog()
            self._read_tail()
            self._audit.do(self._look_for_late_events)
            self._forget()
        finally:
            self._commit()
        self._readers.check()
        self._audit.check()

    def join(self, timeout_seconds: float) -> None:
        """Wait for readers beside the poll to end after the stop event was set."""
        self._readers.join(timeout_seconds)

    def _mind_the_clock(self) -> None:
        """Take a watermark back that a wrong clock moved into JumpCloud's future."""
        now_ms = self._clock.now_ms()
        self._ledger.now_is(now_ms)
        with self._lock:
            self._progress, message = not_ahead(self._progress, now_ms, self._plan.reach)
        if message:
            self._caught_up_ms = None
            self._process.warn(message)

    # Reading

    def _read_tail(self) -> None:
        """Read what is new; of what is still to come and is known, no more than a look meets."""
        start_ms, ahead_from_ms = self._tail_from_ms(), self._ahead_from_ms()
        if not self._is_future_read:
            self._read_new(Window(start_ms))
            self._is_future_read = self._clock.is_known and self._is_anything_ahead(ahead_from_ms)
        elif not self._look(Window(start_ms), ahead_from_ms):
            self._read_new(Window(start_ms, ahead_from_ms))
        self._caught_up_ms = self._clock.now_ms()

    def _look(self, tail: Window, ahead_from_ms: int) -> bool:
        """Read the first few events, and tell whether all others are still to come."""
        with closing(self._look_pages.read(tail)) as pages:
            page = next(pages, None)
            if page is None:
                return False
            self._take(page, tail, self._advance_tail)
        last_ms = page.events[-1].time_ms if page.events else None
        return not page.more or (last_ms or 0) >= ahead_from_ms

    def _read_new(self, tail: Window) -> None:
        with closing(self._tail_pages.read(tail)) as pages:
            for page in pages:
                self._take(page, tail, self._advance_tail)
                del page

    def _tail_from_ms(self) -> int:
        """Return where new events begin: earlier where counts say nothing of the last minutes."""
        progress = self._progress
        start_ms = progress.watermark_ms
        if not self._late_events.is_without_witness:
            return start_ms
        earlier_ms = max(progress.beginning_ms, start_ms - REREAD_WITHOUT_COUNTS_MS)
        is_being_read = any(w.overlaps(earlier_ms, start_ms) for w in self._being_read())
        return start_ms if is_being_read else min(start_ms, earlier_ms)

    def _ahead_from_ms(self) -> int:
        return ceil(self._clock.now_ms() + MINUTE_MS, MINUTE_MS)

    def _is_anything_ahead(self, from_ms: int) -> bool:
        return self._count_delivered(from_ms, FOREVER_MS) > 0

    def _read_beside(self, window: Window) -> None:
        """Read a window of the backlog or of late events to its end, and close it."""
        self._durable.pace.call(self._durable.check_owner)  # when it is lost, nothing more is read
        if window in self._uncut:
            window = self._cut(window)
        rest = first = self._progress.rest_of(window)

        def advance(page: Page) -> None:
            nonlocal rest
            self._progress = self._progress.with_window_at(rest, page.position_ms)
            rest = rest.rest_from(page.position_ms)

        more = True
        while more and not rest.is_over:
            with (
                self._jumpcloud.lanes.one() as lane,
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
            self._note_audited()
        self._commit()

    def _take(self, page: Page, window: Window, advance: Callable[[Page], None]) -> None:
        """Deliver what is new of a page, then commit it and the way it moves the window."""
        fresh = self._durable.pace.call(lambda: self._ledger.claim(page.events))
        odd = self._durable.pace.call(lambda: self._ledger.claim(page.oddities))
        delivery, not_before_ms = Delivery(), window.start_ms - EARLIER_THAN_ASKED_MS
        try:
            self._intake.set_aside(odd, "because it is no JSON object", delivery)
            self._intake.deliver(fresh, delivery)
        except Exception:
            self._settle(delivery, not_before_ms)
            self._ledger.release(fresh)
            self._ledger.release(odd)
            raise
        self._settle(delivery, not_before_ms)
        with self._lock:
            advance(page)
        self._commit_now_and_then()
        self.tally.count_page(page, delivery)

    def _settle(self, delivery: Delivery, not_before_ms: int) -> None:
        """Have what has its receipt survive a kill, before anything else is waited for."""
        self._ledger.record(delivery.settled, not_before_ms)
        self._durable.pace.call(self._durable.check_owner)
        self._durable.pace.call(self._ledger.write)

    def _advance_tail(self, page: Page) -> None:
        self._progress = self._progress.with_tail_at(page.position_ms, is_read=not page.more)

    def _commit(self) -> None:
        """Have a power cut survived, too: what was delivered first, then how far that got."""
        with self._commit_lock:
            self._write_down()

    def _commit_now_and_then(self) -> None:
        """Commit while pages follow each other, unless somebody does so just now."""
        if self._durable.state.is_save_due and self._commit_lock.acquire(blocking=False):
            try:
                self._write_down()
            finally:
                self._commit_lock.release()

    def _write_down(self) -> None:
        progress = self._progress  # of all that it passed, the ledger was written before
        self._durable.pace.call(self._durable.check_owner)
        self._durable.pace.call(self._ledger.commit)
        self._durable.pace.call(lambda: self._durable.state.save(progress))

    def _offer(self, windows: Sequence[Window]) -> None:
        if self._plan.readers:
            self._readers.offer(windows)
            return
        for window in reversed(windows):
            self._read_beside(window)

    # The backlog

    def _plan_backlog(self) -> None:
        """Have a long stretch that was not read yet read beside the tail, which then goes first."""
        now_ms, start_ms = self._clock.now_ms(), self._progress.watermark_ms
        read_to_ms = max(start_ms, self._caught_up_ms or 0)
        if now_ms - read_to_ms <= BACKLOG_AFTER_MS:
            return
        end_ms = self._backlog_end_ms(start_ms, now_ms)
        if end_ms <= start_ms:
            return
        windows = self._slices_at_once(start_ms, end_ms)
        if len(windows) == 1:  # so little that the tail reads it as it is
            return
        with self._lock:
            self._uncut.update([] if windows else [Window(start_ms, end_ms)])
            windows = windows or [Window(start_ms, end_ms)]
            self._progress = self._progress.with_backlog(windows, end_ms)
        self._commit()
        self._offer(windows)

    def _slices_at_once(self, start_ms: int, end_ms: int) -> list[Window]:
        """Return the slices of a backlog, or none where counting takes longer than the tail waits.

        It is cut by the reader that takes it, then.
        """
        if not self._plan.readers:
            return self._slices(start_ms, end_ms)
        counting: Future[list[Window]] = Future()

        def count() -> None:
            try:
                counting.set_result(self._slices(start_ms, end_ms))
            except BaseException as error:  # noqa: BLE001 -- raised where it is waited for
                counting.set_exception(error)

        threading.Thread(target=count, name="counts", daemon=True).start()
        try:
            return counting.result(SECONDS_TO_WAIT_FOR_COUNTS)
        except NotYet:
            return []

    def _backlog_end_ms(self, start_ms: int, now_ms: int) -> int:
        """Return how far a backlog reaches, which must not be into JumpCloud's future.

        Without a date it is tried: JumpCloud refuses what begins in its future.
        """
        end_ms = floor(now_ms - BACKLOG_ENDS_BEFORE_NOW_MS, MINUTE_MS)
        if not self._clock.is_known and end_ms > start_ms:
            try:
                self._source.open(Query(end_ms, None, 1)).close()
            except (TryAgain, Refused):
                return start_ms
        return end_ms

    def _cut(self, backlog: Window) -> Window:
        """Cut a window into slices, have the others read as well, and return the latest."""
        slices = self._slices(backlog.start_ms, backlog.end_ms or backlog.start_ms)
        with self._lock:
            self._uncut.discard(backlog)
            self._progress = self._progress.cut(backlog, slices)
        self._commit()
        self._offer(slices[:-1])
        return slices[-1]

    def _slices(self, start_ms: int, end_ms: int) -> list[Window]:
        if self._jumpcloud.backlog_pace.is_failing:
            return even_slices(start_ms, end_ms)
        try:
            counts = self._jumpcloud.backlog_pace.call(
                lambda: self._source.buckets(start_ms, end_ms, "h"), 1
            )
        except (TryAgain, Refused):
            return even_slices(start_ms, end_ms)
        return slices(buckets_of(counts, HOUR_MS, start_ms, end_ms), start_ms, end_ms)

    # Late events

    def _look_for_late_events(self) -> None:
        """Have late events read beside the polls; a restart forgets, and finds them again."""
        for windows in self._late_events.windows(self._progress, self._being_read):
            with self._lock:
                self._late += windows
            self._offer(windows)
        with self._lock:
            self._note_audited()
        if self._is_future_read and self._late_events.is_more_ahead(self._ahead_from_ms()):
            self._is_future_read = False

    def _note_audited(self) -> None:
        """Let the next audit reach back from the last one, once all that it found has been read."""
        audited_ms = self._late_events.audited_ms
        if audited_ms is not None and not self._late:
            self._progress = replace(self._progress, audited_ms=audited_ms)
            self._late_events.audited_ms = None

    def _being_read(self) -> list[Window]:
        return [*self._progress.windows, *self._late]

    def _count_delivered(self, start_ms: int, end_ms: int) -> int:
        return self._durable.pace.call(lambda: self._ledger.count(start_ms, end_ms))

    # What the ledger forgets

    def _forget(self) -> None:
        """Forget what no audit will ask for: only what was audited since, measured by events.

        The progress is written first: a crash must not lead back to what is forgotten.
        """
        span_ms = self._clock.span_ms()
        if self._forgot_at_ms is not None and span_ms - self._forgot_at_ms < FORGET_EVERY_MS:
            return
        progress = self._progress
        measured_ms = progress.watermark_ms
        if self._plan.audit_ms:
            measured_ms = min(measured_ms, progress.audit_from_ms)
        before_ms = max(
            measured_ms - max(self._plan.audit_ms, LEAST_MEMORY_MS),
            progress.watermark_ms - RETENTION_MS,
        )
        self._forget_before(floor(before_ms - HOUR_MS, HOUR_MS))
        self._forgot_at_ms = span_ms

    def _forget_before(self, before_ms: int) -> None:
        with self._lock:
            self._move_beginning(before_ms)
        self._commit()
        in_use = [self._progress.watermark_ms, *self._open_hours()]
        self._durable.pace.call(lambda: self._ledger.forget_before(before_ms, in_use))
        self._late_events.forget_before(before_ms)

    def _move_beginning(self, forgotten_ms: int) -> None:
        """Have no audit look where the ledger forgets: all it found there would come again."""
        beginning_ms = min(self._progress.watermark_ms - 1, forgotten_ms)
        if beginning_ms > self._progress.beginning_ms:
            self._progress = replace(self._progress, beginning_ms=beginning_ms)

    def _open_hours(self) -> Iterator[int]:
        for window in self._being_read():
            yield from range(floor(window.start_ms, HOUR_MS), (window.end_ms or 0) + 1, HOUR_MS)


def _looked_for_from(progress: Progress, beginning_ms: int) -> Progress:
    return replace(progress, beginning_ms=beginning_ms, audited_ms=progress.watermark_ms)
