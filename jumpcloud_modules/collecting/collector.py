"""One poll after the other: plan the backfill, read the tail, look for late events, forget.

The commit comes after delivery, never before; so a crash repeats what was in flight and loses
nothing. Knows neither the SDK nor HTTP: it speaks to a source, an intake, a ledger and a state.
"""

from collections.abc import Callable, Sequence

from jumpcloud_modules.checkpoint import Checkpoint, Window
from jumpcloud_modules.collecting.backfilling import Backfill
from jumpcloud_modules.collecting.delivery_record import DeliveryRecord
from jumpcloud_modules.collecting.dependencies import (
    ALONE,
    Durable,
    JumpCloud,
    OtherStreams,
    Process,
)
from jumpcloud_modules.collecting.forgetting import Forgetting
from jumpcloud_modules.collecting.late_events import Audited, LateEvents
from jumpcloud_modules.collecting.page_delivery import PageDelivery
from jumpcloud_modules.collecting.page_room import PageRoom
from jumpcloud_modules.collecting.page_size import PageSize
from jumpcloud_modules.collecting.pager import Pages
from jumpcloud_modules.collecting.plan import Plan
from jumpcloud_modules.collecting.protocols import Deliverer
from jumpcloud_modules.collecting.readers import Beside, Readers
from jumpcloud_modules.collecting.startup import Startup
from jumpcloud_modules.collecting.stats import Stats
from jumpcloud_modules.collecting.tail import Tail, is_refused_start
from jumpcloud_modules.collecting.tracker import CheckpointTracker
from jumpcloud_modules.collecting.window_reader import WindowReader
from jumpcloud_modules.errors import CollectorError, Refused
from jumpcloud_modules.events import UNDATED, Events
from jumpcloud_modules.http.retry import Retry
from jumpcloud_modules.instants import to_ms

EVENTS_OF_A_LOOK = 3

IsCallersToHandle = Callable[[CollectorError], bool]


class Collector:
    """Collect one scope's events, poll by poll."""

    def __init__(
        self,
        plan: Plan,
        jumpcloud: JumpCloud,
        durable: Durable,
        intake: Deliverer,
        process: Process,
        others: OtherStreams = ALONE,
    ) -> None:
        self._plan = plan
        self._clock = jumpcloud.clock
        self._tail_retry = jumpcloud.tail_retry
        self._process = process
        self.stats = Stats(process.measurements.stats)
        self._is_started = False
        ledger = durable.ledgers(plan.scope)
        self._startup = Startup(plan, jumpcloud, durable, process, ledger, others)
        self._tracker = tracker = CheckpointTracker()
        self._record = record = DeliveryRecord(
            durable, ledger, tracker, process.measurements.traffic.commits.observe
        )
        deliveries = PageDelivery(intake, record, self.stats)
        self._late_events = LateEvents(
            jumpcloud,
            process,
            record.count,
            plan.audit_ms,
            plan.audit_every_ms,
            plan.first_audit_after_ms,
        )
        tail_pages, looks, pages_beside = _pages(plan, jumpcloud, process)
        self._tail = Tail(
            tail_pages, looks, self._clock, tracker, record, deliveries, self._late_events
        )
        self._backfill = Backfill(
            jumpcloud, tracker, record, self._offer, has_readers=bool(plan.readers)
        )
        self._windows = WindowReader(
            pages_beside,
            jumpcloud.concurrency,
            self._backfill,
            tracker,
            record,
            deliveries,
            self.stats,
            self._measure_late,
        )
        self._forgetting = Forgetting(
            plan, self._clock, tracker, record, self._late_events, self._tail, others
        )
        self._readers = Readers(self._windows.read, plan.readers, process.read_beside)
        self._audit_task = Beside(process.count_beside if plan.readers else None)

    @property
    def checkpoint(self) -> Checkpoint:
        """Return how far collecting got."""
        return self._tracker.checkpoint

    @property
    def collected_to_ms(self) -> int | None:
        """Return the instant up to which everything was collected, None before it is known."""
        checkpoint = self.checkpoint
        if not self._is_started:
            return None
        if checkpoint.windows:
            return checkpoint.oldest_open_ms
        return self._tail.caught_up_ms or checkpoint.watermark_ms

    @property
    def new_events_read_to_ms(self) -> int | None:
        """Return the instant up to which new events were read, None before it is known.

        A backlog before it may still be open.
        """
        if not self._is_started:
            return None
        return self._tail.caught_up_ms or self.checkpoint.watermark_ms

    @property
    def audited(self) -> Audited | None:
        """Return how the search for late events stands, None where it is off."""
        return self._late_events.audited

    @property
    def needed_from_ms(self) -> int | None:
        """Return the instant before which nothing is read again, None before it is known."""
        return self._forgetting.needed_from_ms if self._is_started else None

    def start(self) -> None:
        """Find the state, ask JumpCloud for the time, and commit where to go on from."""
        checkpoint = self._startup.checkpoint()
        self._tracker.change(lambda _: checkpoint)
        self._record.commit()
        self._backfill.resume(checkpoint.windows)
        self._is_started = True

    def poll(self) -> None:
        """Read what is new; a backfill and the search for late events run beside it.

        Raises Stopped when asked to stop.
        """
        try:
            self._mind_the_clock()
            if self._read_tail():
                self._audit_task.do(self._look_for_late_events)
                self._forgetting.do_where_due()
        finally:
            # After a failure, too: what was delivered until then is known after a restart.
            self._record.commit()
        self._readers.check()
        self._audit_task.check()

    @property
    def is_idle(self) -> bool:
        """Tell whether nothing is read or counted beside the polls just now."""
        return not (self._readers.is_at_work or self._audit_task.is_at_work)

    def join(self, timeout_seconds: float) -> None:
        """Wait for readers beside the poll to end after the stop event was set."""
        self._readers.join(timeout_seconds)

    def _read_tail(self) -> bool:
        """Read what is new, and tell whether JumpCloud let it be read.

        Where it turns out to be far behind, a backfill is planned, so that the newest comes first.
        """
        is_all_read = was_left = False
        while not is_all_read:
            if not self._tail_retry.is_failing:  # what cannot be read now would be cut once more
                self._backfill.plan(self._tail.caught_up_ms, is_surely_long=was_left)
            try:
                is_all_read = self._tail.read()
            except Refused as error:
                if not is_refused_start(error):
                    raise
                self._tail.was_refused()
                return False
            was_left = not is_all_read
        return True

    def _mind_the_clock(self) -> None:
        """Take a watermark back that a wrong clock moved into JumpCloud's future."""
        now_ms = self._clock.now_ms()
        self._record.now_is(now_ms)
        was_ahead, message = self._tracker.take_back(
            now_ms, self._plan.reach, self._tail.accepted_start_ms
        )
        if was_ahead:
            self._tail.caught_up_ms = None
        if message:
            self._process.warn(message)

    def _look_for_late_events(self) -> None:
        """Have late events read beside the polls; after a restart they are searched for again."""
        for windows in self._late_events.search(self.checkpoint, self._tracker.being_read):
            self._tracker.add_late(windows)
            self._offer(windows)
        self._tracker.audited(self._late_events.take_audited_ms())
        self._tail.mind_what_is_ahead()

    def _measure_late(self, events: Events) -> None:
        now_ms = self._clock.now_ms()
        for time in events.times:
            if time != UNDATED:
                self._process.measurements.late.observe(max(0, now_ms - to_ms(time)) / 1000)

    def _offer(self, windows: Sequence[Window]) -> None:
        if self._plan.readers:
            self._readers.offer(windows)
            return
        for window in reversed(windows):
            self._windows.read(window)


def _pages(plan: Plan, jumpcloud: JumpCloud, process: Process) -> tuple[Pages, Pages, Pages]:
    """Make the pagers: for the tail, for short looks at it, and for what is read beside it.

    They are separate, so that a backfill that fails or fills its memory does not hold up new
    events.
    """

    def of(
        size: PageSize, retry: Retry, room: PageRoom, is_callers_to_handle: IsCallersToHandle
    ) -> Pages:
        source, now_ms = jumpcloud.source, jumpcloud.clock.now_ms
        return Pages(source, size, retry, process.stop, now_ms, room, is_callers_to_handle)

    size = of_tail = PageSize(plan.max_rows)
    if plan.max_tail_rows < plan.max_rows:
        of_tail = PageSize(plan.max_tail_rows)
    few = PageSize(min(plan.max_rows, EVENTS_OF_A_LOOK))
    return (
        of(of_tail, jumpcloud.tail_retry, PageRoom(1, process.stop), is_refused_start),
        of(few, jumpcloud.tail_retry, PageRoom(1, process.stop), is_refused_start),
        of(size, jumpcloud.backfill_retry, jumpcloud.page_room, lambda _: False),
    )
