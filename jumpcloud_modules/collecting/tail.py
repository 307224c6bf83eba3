"""The tail: what is new since the watermark, and what is still to come.

Knows nothing of the backlog; where counts are silent, it reads the last minutes again.
"""

from contextlib import closing

from jumpcloud_modules.collecting.delivering import Deliveries
from jumpcloud_modules.collecting.late_events import REREAD_WITHOUT_COUNTS_MS, LateEvents
from jumpcloud_modules.collecting.pager import Pages
from jumpcloud_modules.collecting.protocols import Clock
from jumpcloud_modules.collecting.reading import Reading
from jumpcloud_modules.collecting.record import DeliveryRecord
from jumpcloud_modules.collecting.tracker import ProgressTracker
from jumpcloud_modules.instants import FOREVER_MS, MINUTE_MS, ceil
from jumpcloud_modules.progress import Window
from jumpcloud_modules.queries import Page


class Tail:
    """Read what is new, poll by poll; `looks` are pages of a few events."""

    def __init__(
        self,
        pages: Pages,
        looks: Pages,
        clock: Clock,
        tracker: ProgressTracker,
        record: DeliveryRecord,
        deliveries: Deliveries,
        late_events: LateEvents,
    ) -> None:
        self._pages = pages
        self._looks = looks
        self._clock = clock
        self._tracker = tracker
        self._record = record
        self._deliveries = deliveries
        self._late_events = late_events
        self._is_future_read = False
        self.caught_up_ms: int | None = None

    def read(self) -> None:
        """Read what is new; of what is still to come and is known, no more than a look meets."""
        start_ms, ahead_from_ms = self._start_ms(), self._ahead_from_ms()
        if not self._is_future_read:
            self._read_new(Window(start_ms))
            self._is_future_read = self._clock.is_known and self._is_anything_ahead(ahead_from_ms)
        elif not self._look(Window(start_ms), ahead_from_ms):
            self._read_new(Window(start_ms, ahead_from_ms))
        self.caught_up_ms = self._clock.now_ms()

    def mind_what_is_ahead(self) -> None:
        """Have what is still to come read again, where JumpCloud counts more of it by now."""
        if self._is_future_read and self._late_events.is_more_ahead(self._ahead_from_ms()):
            self._is_future_read = False

    def _look(self, tail: Window, ahead_from_ms: int) -> bool:
        """Read the first few events, and tell whether all others are still to come."""
        reading = Reading(tail)
        with closing(self._looks.read(reading)) as leases:
            lease = next(leases, None)
            if lease is None:
                return False
            with lease:
                last_ms = _last_ms(lease.page) or 0
                self._deliveries.deliver(lease.page, tail)
            self._advance(reading)
        return not reading.has_more or last_ms >= ahead_from_ms

    def _read_new(self, tail: Window) -> None:
        reading = Reading(tail)
        with closing(self._pages.read(reading)) as leases:
            for lease in leases:
                with lease:
                    self._deliveries.deliver(lease.page, tail)
                self._advance(reading)

    def _advance(self, reading: Reading) -> None:
        position_ms, is_read = reading.rest.start_ms, not reading.has_more
        self._record.advance(lambda progress: progress.with_tail_at(position_ms, is_read=is_read))

    def _start_ms(self) -> int:
        """Return where new events begin: earlier where counts say nothing of the last minutes."""
        progress = self._tracker.progress
        start_ms = progress.watermark_ms
        if not self._late_events.is_without_witness:
            return start_ms
        earlier_ms = max(progress.beginning_ms, start_ms - REREAD_WITHOUT_COUNTS_MS)
        is_being_read = any(w.overlaps(earlier_ms, start_ms) for w in self._tracker.being_read())
        return start_ms if is_being_read else min(start_ms, earlier_ms)

    def _ahead_from_ms(self) -> int:
        return ceil(self._clock.now_ms() + MINUTE_MS, MINUTE_MS)

    def _is_anything_ahead(self, from_ms: int) -> bool:
        return self._record.count(from_ms, FOREVER_MS) > 0


def _last_ms(page: Page) -> int | None:
    return page.events[-1].time_ms if page.events else None
