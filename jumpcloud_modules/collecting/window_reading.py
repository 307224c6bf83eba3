"""Windows read beside the tail: slices of a backlog, and those of late events.

Knows nothing of why a window is read; `readers` are the threads that do it.
"""

from contextlib import closing

from jumpcloud_modules.collecting.backlog import Backlog
from jumpcloud_modules.collecting.concurrency import Lanes
from jumpcloud_modules.collecting.delivering import Deliveries
from jumpcloud_modules.collecting.page_room import PageLease
from jumpcloud_modules.collecting.pager import Pages
from jumpcloud_modules.collecting.reading import Reading
from jumpcloud_modules.collecting.record import DeliveryRecord
from jumpcloud_modules.collecting.stats import Tally
from jumpcloud_modules.collecting.tracker import ProgressTracker
from jumpcloud_modules.progress import Window


class WindowReading:
    """Read windows to their ends, in whatever thread, as long as there is a lane for it."""

    def __init__(
        self,
        pages: Pages,
        lanes: Lanes,
        backlog: Backlog,
        tracker: ProgressTracker,
        record: DeliveryRecord,
        deliveries: Deliveries,
        tally: Tally,
    ) -> None:
        self._pages = pages
        self._lanes = lanes
        self._backlog = backlog
        self._tracker = tracker
        self._record = record
        self._deliveries = deliveries
        self._tally = tally

    def read(self, window: Window) -> None:
        """Read a window of the backlog or of late events to its end, and close it."""
        self._record.check_owner()  # when it is lost, nothing more is read
        window = self._backlog.cut(window)
        rest, new_events = self._read_to_its_end(self._tracker.progress.rest_of(window))
        if self._tracker.close(window, rest):
            self._tally.count_late(new_events)
        self._record.commit()

    def _read_to_its_end(self, window: Window) -> tuple[Window, int]:
        """Return what is left of the window then, and how many of its events were new.

        An empty span is left, or one without more events.
        """
        reading, new_events = Reading(window), 0
        while not reading.is_over:
            with (
                self._lanes.one() as lane,
                closing(self._pages.read(reading, lane.keep)) as leases,
            ):
                for lease in leases:
                    new_events += self._take(lease, reading)
        return reading.rest, new_events

    def _take(self, lease: PageLease, reading: Reading) -> int:
        before = reading.rest
        with lease:
            new_events = self._deliveries.deliver(lease.page, reading.window)
        rest = reading.rest
        self._record.advance(lambda progress: progress.with_rest(before, rest))
        return new_events
