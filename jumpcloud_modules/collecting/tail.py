"""The tail: what is new since the watermark, and what is still to come.

Knows nothing of the backfill. Where counts fail, it reads the last minutes again.
"""

from contextlib import closing

from jumpcloud_modules.checkpoint import Window
from jumpcloud_modules.collecting.backfilling import BACKFILL_AFTER_MS
from jumpcloud_modules.collecting.delivery_record import DeliveryRecord
from jumpcloud_modules.collecting.late_events import REREAD_WITHOUT_COUNTS_MS, LateEvents
from jumpcloud_modules.collecting.page_delivery import PageDelivery
from jumpcloud_modules.collecting.page_room import PageLoan
from jumpcloud_modules.collecting.pager import Pages
from jumpcloud_modules.collecting.protocols import Clock
from jumpcloud_modules.collecting.slicing import MIN_EVENTS_A_SLICE
from jumpcloud_modules.collecting.tracker import CheckpointTracker
from jumpcloud_modules.collecting.window_position import WindowPosition
from jumpcloud_modules.errors import CollectorError, Refused
from jumpcloud_modules.instants import FOREVER_MS, MINUTE_MS, ceil
from jumpcloud_modules.queries import time_ms_of

BAD_REQUEST = 400


class Tail:
    """Read what is new, poll by poll; `looks` reads pages of a few events."""

    def __init__(
        self,
        pages: Pages,
        looks: Pages,
        clock: Clock,
        tracker: CheckpointTracker,
        record: DeliveryRecord,
        deliveries: PageDelivery,
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
        self.accepted_start_ms: int | None = None
        """The latest start that JumpCloud accepted: until then it surely was that late there."""

    def read(self) -> bool:
        """Read what is new; of known events with future times, only the first few.

        Returns False where it stopped early because a long span follows, which a backfill should
        read.
        """
        start_ms, ahead_from_ms = self._start_ms(), self._ahead_from_ms()
        # The tail has no end, so events with future times come at each poll. Once they are known, a
        # few of them are enough to see that nothing else is new.
        if not self._is_future_read:
            is_read = self._read_new(Window(start_ms))
            is_dated = is_read and self._clock.is_known
            self._is_future_read = is_dated and self._is_anything_ahead(ahead_from_ms)
        else:
            is_read = self._look(Window(start_ms), ahead_from_ms) or self._read_new(
                Window(start_ms, ahead_from_ms)
            )
        if is_read:
            self.caught_up_ms = self._clock.now_ms()
        return is_read

    def was_refused(self) -> None:
        """Go back to the last start that JumpCloud accepted, unless a date told its time."""
        accepted_start_ms = self.accepted_start_ms
        if accepted_start_ms is not None and not self._clock.is_known:
            self._tracker.change(lambda checkpoint: checkpoint.back_at(accepted_start_ms))

    def mind_what_is_ahead(self) -> None:
        """Read events with future times again where JumpCloud counts more of them than before."""
        if self._is_future_read and self._late_events.finds_more_ahead(self._ahead_from_ms()):
            self._is_future_read = False

    def _look(self, tail: Window, ahead_from_ms: int) -> bool:
        """Read the first few events, and tell whether all that follow have future times."""
        position = WindowPosition(tail)
        with closing(self._looks.read(position)) as loans:
            loan = next(loans, None)
            if loan is None:
                return False
            self._take(loan, position)
        # By the index, which keeps the order: an event's own text may claim any time.
        return not position.has_more or (time_ms_of(loan.cursor) or 0) >= ahead_from_ms

    def _read_new(self, tail: Window) -> bool:
        """Read to the end, or until it turns out that a long span is still to be read."""
        position, events = WindowPosition(tail), 0
        with closing(self._pages.read(position)) as loans:
            for loan in loans:
                events += self._take(loan, position)
                # Counts may be wrong, so the tail notices for itself that it is far behind.
                if events > MIN_EVENTS_A_SLICE and self._is_far_behind(position):
                    return False
        return True

    def _is_far_behind(self, position: WindowPosition) -> bool:
        """Tell whether what is left is long, and whether a backfill of it would help."""
        position_ms = position.rest.start_ms
        is_long = self._clock.now_ms() - position_ms > BACKFILL_AFTER_MS
        return is_long and position.has_more and position_ms > position.window.start_ms

    def _take(self, loan: PageLoan, position: WindowPosition) -> int:
        """Deliver a page, and return how many events it held."""
        # A page came, so JumpCloud has accepted this start: it is not in its future.
        self.accepted_start_ms = max(self.accepted_start_ms or 0, position.window.start_ms)
        with loan:
            events = len(loan.page.events)
            self._deliveries.deliver(loan.page, position.window)
        self._advance(position)
        return events

    def _advance(self, position: WindowPosition) -> None:
        position_ms, is_read = position.rest.start_ms, not position.has_more
        self._record.advance(
            lambda checkpoint: checkpoint.with_tail_at(position_ms, is_read=is_read)
        )

    def _start_ms(self) -> int:
        """Return where to start: some minutes earlier where the last minutes cannot be counted."""
        checkpoint = self._tracker.checkpoint
        start_ms = checkpoint.watermark_ms
        if not self._late_events.cannot_count_minutes:
            return start_ms
        earlier_ms = max(checkpoint.beginning_ms, start_ms - REREAD_WITHOUT_COUNTS_MS)
        is_being_read = any(w.overlaps(earlier_ms, start_ms) for w in self._tracker.being_read())
        return start_ms if is_being_read else min(start_ms, earlier_ms)

    def _ahead_from_ms(self) -> int:
        return ceil(self._clock.now_ms() + MINUTE_MS, MINUTE_MS)

    def _is_anything_ahead(self, from_ms: int) -> bool:
        return self._record.count(from_ms, FOREVER_MS) > 0


def is_refused_start(error: CollectorError) -> bool:
    """Tell whether JumpCloud answered 400, as it does where the span starts in its future."""
    return isinstance(error, Refused) and error.status == BAD_REQUEST
