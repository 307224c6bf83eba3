"""The way through: plan what to read, read it, deliver what is new, commit.

The commit comes after delivery, never before; so a crash repeats what was in flight and loses
nothing. Knows neither the SDK nor HTTP: it speaks to a source, an intake, a ledger and a state.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Protocol

from jumpcloud_modules.api import Page
from jumpcloud_modules.audit import buckets_of
from jumpcloud_modules.backlog import even_slices, slices
from jumpcloud_modules.errors import Refused, TryAgain
from jumpcloud_modules.events import Events
from jumpcloud_modules.instants import (
    HOUR_MS,
    MINUTE_MS,
    SECOND_MS,
    ceil,
    floor,
    to_rfc3339,
)
from jumpcloud_modules.intake import Delivery
from jumpcloud_modules.late_events import Counting, LateEvents
from jumpcloud_modules.ledger import Ledger
from jumpcloud_modules.pages import Pages, Source
from jumpcloud_modules.progress import Progress, Window
from jumpcloud_modules.readers import MOST_READERS, Lanes, Readers
from jumpcloud_modules.retry import Pace
from jumpcloud_modules.sizes import PAGES_IN_MEMORY, PageSize
from jumpcloud_modules.state import State
from jumpcloud_modules.tally import Tally

BACKLOG_AFTER_MS = 5 * MINUTE_MS
BACKLOG_ENDS_BEFORE_NOW_MS = 2 * MINUTE_MS
LEAST_MEMORY_MS = 2 * HOUR_MS
EARLIER_THAN_ASKED_MS = SECOND_MS
"""By how much an event may claim to be older than what was asked for: the index may round."""
PRUNE_EVERY_MS = HOUR_MS


class CountingSource(Source, Counting, Protocol):
    """Give pages and counts of events, as JumpCloudApi does."""


class Deliverer(Protocol):
    """Deliver events, as Intake does."""

    def deliver(self, events: Events, delivery: Delivery) -> None:
        """Return when each event was accepted or set aside; note it as soon as it was."""

    def set_aside(self, events: Events, reason: str, delivery: Delivery) -> None:
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
        self._late_events = LateEvents(
            source,
            self._count_delivered,
            audit_ms=plan.audit_ms,
            every_ms=plan.audit_every_ms,
            on_limited=lanes.narrow,
            now_ms=now_ms,
            tell=tell,
            warn=warn,
        )
        self._readers = Readers(self._read_beside, plan.readers)
        self._lock = threading.RLock()
        self._late: list[Window] = []
        self._caught_up_ms: int | None = None
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
            self._progress = self._known_since(self._scoped(found.progress))
            self._commit()
        self._offer(self._progress.windows)

    def poll(self) -> None:
        """Read what is new, look for what is late, and have a backlog read beside it.

        Raises Stopped when asked to stop.
        """
        try:
            self._plan_backlog()
            self._read_tail()
            self._look_for_late_events()
            self._prune()
        finally:
            with self._lock:
                self._commit()
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

    def _known_since(self, progress: Progress) -> Progress:
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
        delivery, not_before_ms = Delivery(), window.start_ms - EARLIER_THAN_ASKED_MS
        try:
            self._intake.set_aside(odd, "because it is no JSON object", delivery)
            self._intake.deliver(fresh, delivery)
        except Exception:
            with self._lock:
                self._ledger.record(delivery.settled, not_before_ms)
                self._ledger.release(fresh)
                self._ledger.release(odd)
                self._commit()
            raise
        with self._lock:
            self._ledger.record(delivery.settled, not_before_ms)
            advance(page)
            self._commit_page()
        self.tally.count_page(page, delivery)

    def _advance_tail(self, page: Page) -> None:
        self._progress = self._progress.with_tail_at(page.position_ms, is_read=not page.more)

    def _commit(self) -> None:
        """Write what was delivered, then how far that got: never the other way round."""
        self._state_pace.call(self._ledger.commit)
        self._state_pace.call(lambda: self._state.save(self._progress))

    def _commit_page(self) -> None:
        """Write what was delivered; how far that got may wait, since the ledger knows the page."""
        self._state_pace.call(self._ledger.commit)
        self._state_pace.call(lambda: self._state.save_now_and_then(self._progress))

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
        """Have late events read beside the polls; a restart forgets, and finds them again."""
        for windows in self._late_events.windows(self._progress, self._being_read):
            with self._lock:
                self._late += windows
            self._offer(windows)

    def _being_read(self) -> list[Window]:
        return [*self._progress.windows, *self._late]

    def _count_delivered(self, start_ms: int, end_ms: int) -> int:
        return self._state_pace.call(lambda: self._ledger.count(start_ms, end_ms))

    # The ledger's reach

    def _move_beginning(self, before_ms: int) -> None:
        """Have no audit look where the ledger forgets: all it found there would come again."""
        forgotten_ms = min(self._progress.watermark_ms - 1, floor(before_ms, HOUR_MS))
        if forgotten_ms > self._progress.beginning_ms:
            self._progress = replace(self._progress, beginning_ms=forgotten_ms)

    def _open_hours(self) -> Iterator[int]:
        for window in self._being_read():
            yield from range(floor(window.start_ms, HOUR_MS), (window.end_ms or 0) + 1, HOUR_MS)

    def _prune(self) -> None:
        now_ms = self._now_ms()
        if 0 <= now_ms - self._pruned_ms < PRUNE_EVERY_MS:
            return
        before_ms = now_ms - max(self._plan.audit_ms, LEAST_MEMORY_MS) - HOUR_MS
        with self._lock:
            self._move_beginning(before_ms)
            self._commit()  # a crash must not lead back to what the ledger forgets
            in_use = [self._progress.watermark_ms, *self._open_hours()]
            self._state_pace.call(lambda: self._ledger.prune(before_ms, in_use))
        self._late_events.forget_before(before_ms)
        self._pruned_ms = now_ms
