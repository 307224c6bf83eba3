"""Read windows beside the tail: slices of a backfill, and windows of late events.

Knows nothing of why a window is read; `readers` are the threads that do it.
"""

from collections.abc import Callable
from contextlib import closing

from jumpcloud_modules.checkpoint import Window
from jumpcloud_modules.collecting.backfilling import Backfill
from jumpcloud_modules.collecting.concurrency import ConcurrencyLimit
from jumpcloud_modules.collecting.delivery_record import DeliveryRecord
from jumpcloud_modules.collecting.page_delivery import PageDelivery
from jumpcloud_modules.collecting.page_room import PageLoan
from jumpcloud_modules.collecting.pager import Pages
from jumpcloud_modules.collecting.stats import Stats
from jumpcloud_modules.collecting.tracker import CheckpointTracker
from jumpcloud_modules.collecting.window_position import WindowPosition
from jumpcloud_modules.events import Events
from jumpcloud_modules.queries import Page


class WindowReader:
    """Read windows to their ends, from any thread, while holding a slot.

    `on_late` gets the events that were found late.
    """

    def __init__(
        self,
        pages: Pages,
        concurrency: ConcurrencyLimit,
        backfill: Backfill,
        tracker: CheckpointTracker,
        record: DeliveryRecord,
        deliveries: PageDelivery,
        stats: Stats,
        on_late: Callable[[Events], None] = lambda _: None,
    ) -> None:
        self._pages = pages
        self._concurrency = concurrency
        self._backfill = backfill
        self._tracker = tracker
        self._record = record
        self._deliveries = deliveries
        self._stats = stats
        self._on_late = on_late

    def read(self, window: Window) -> None:
        """Read a window of the backlog or of late events to its end, and close it."""
        self._record.check_owner()  # when it is lost, nothing more is read
        window = self._backfill.cut(window)
        rest, new_events = self._read_to_its_end(
            self._tracker.checkpoint.rest_of(window), is_late=self._tracker.is_late(window)
        )
        if self._tracker.close(window, rest):
            self._stats.count_late(new_events)
        self._record.commit()

    def _read_to_its_end(self, window: Window, *, is_late: bool) -> tuple[Window, int]:
        """Read a window to its end; return what is left of it, and how many events were new.

        What is left is empty, or holds no more events.
        """
        position, new_events = WindowPosition(window), 0
        while not position.is_over:
            with (
                self._concurrency.slot() as slot,
                closing(self._pages.read(position, slot.keep)) as loans,
            ):
                for loan in loans:
                    new_events += self._take(loan, position, is_late=is_late)
        return position.rest, new_events

    def _take(self, loan: PageLoan, position: WindowPosition, *, is_late: bool) -> int:
        before = position.rest
        with loan:
            new_events = self._deliver(loan.page, position.window, is_late=is_late)
        rest = position.rest
        self._record.advance(lambda checkpoint: checkpoint.with_rest(before, rest))
        return new_events

    def _deliver(self, page: Page, window: Window, *, is_late: bool) -> int:
        # What was delivered stays in here: its events would keep the page in memory.
        delivery = self._deliveries.deliver(page, window)
        if is_late:
            self._on_late(delivery.acknowledged)
        return len(delivery.acknowledged) - delivery.elsewhere
