"""The backfill: a long span that was not read yet is cut into windows and read beside the tail.

Asks JumpCloud for counts only; `readers` read the windows. `slicing` computes where to cut.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet

from jumpcloud_modules.checkpoint import Window
from jumpcloud_modules.collecting.audit import buckets_of
from jumpcloud_modules.collecting.delivery_record import DeliveryRecord
from jumpcloud_modules.collecting.dependencies import JumpCloud
from jumpcloud_modules.collecting.slicing import even_slices, slices
from jumpcloud_modules.collecting.tracker import CheckpointTracker
from jumpcloud_modules.errors import Refused, TryAgain
from jumpcloud_modules.instants import HOUR_MS, MINUTE_MS, floor
from jumpcloud_modules.queries import Query

BACKFILL_AFTER_MS = 5 * MINUTE_MS
"""A span that is longer than this is read beside the polls."""
BACKFILL_ENDS_BEFORE_NOW_MS = 2 * MINUTE_MS
"""What is newer than this is left to the tail."""
SECONDS_TO_WAIT_FOR_COUNTS = 2.0

Slicing = Callable[[int, int], list[Window]]


class Backfill:
    """Open windows for what is far behind, and give them to `offer`, which has them read."""

    def __init__(
        self,
        jumpcloud: JumpCloud,
        tracker: CheckpointTracker,
        record: DeliveryRecord,
        offer: Callable[[Sequence[Window]], None],
        *,
        has_readers: bool,
    ) -> None:
        self._source, self._clock = jumpcloud.source, jumpcloud.clock
        self._retry = jumpcloud.backfill_retry
        self._tracker = tracker
        self._record = record
        self._offer = offer
        # Without threads beside the poll nobody could go on meanwhile: counts are waited for.
        self._slices_at_once: Slicing = self._slices_soon if has_readers else self._slices
        self._uncut: set[Window] = set()

    def resume(self, windows: Sequence[Window]) -> None:
        """Have the windows that were open before a restart read."""
        if len(windows) == 1:  # it may not have been cut before the process ended
            self._uncut.update(windows)
        self._offer(windows)

    def plan(self, caught_up_ms: int | None, *, is_surely_long: bool = False) -> None:
        """Start a backfill where much is unread, so that the tail can go on with new events.

        `is_surely_long`: the tail has seen many events there, so it is cut whatever the counts say.
        """
        now_ms, start_ms = self._clock.now_ms(), self._tracker.checkpoint.watermark_ms
        if now_ms - max(start_ms, caught_up_ms or 0) <= BACKFILL_AFTER_MS:
            return
        end_ms = self._end_ms(start_ms, now_ms)
        if end_ms <= start_ms:
            return
        windows = self._slices_at_once(start_ms, end_ms)
        if is_surely_long and len(windows) == 1:
            windows = even_slices(start_ms, end_ms)
        if len(windows) != 1:  # otherwise so little that the tail reads it as it is
            self._open(windows or [self._to_be_cut(Window(start_ms, end_ms))], end_ms)

    def cut(self, window: Window) -> Window:
        """Cut a window that was not cut yet, have the other slices read, and return the latest one.

        Any other window is returned as it is.
        """
        if window not in self._uncut:
            return window
        slices = self._slices(window.start_ms, window.end_ms or window.start_ms)
        self._uncut.discard(window)
        self._tracker.change(lambda checkpoint: checkpoint.cut(window, slices))
        self._record.commit()
        self._offer(slices[:-1])
        return slices[-1]

    def _open(self, windows: Sequence[Window], end_ms: int) -> None:
        """Commit the windows before one is read, so that a restart knows what is unread."""
        self._tracker.change(lambda checkpoint: checkpoint.with_backfill(windows, end_ms))
        self._record.commit()
        self._offer(windows)

    def _to_be_cut(self, window: Window) -> Window:
        self._uncut.add(window)
        return window

    def _slices_soon(self, start_ms: int, end_ms: int) -> list[Window]:
        """Return the slices of a span, or none where counting takes too long for the tail.

        Then the reader that takes the window cuts it.
        """
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

    def _end_ms(self, start_ms: int, now_ms: int) -> int:
        """Return where a backfill ends, which must not be in JumpCloud's future.

        Where JumpCloud's time is not known yet, a request tells: it refuses one that starts in its
        future.
        """
        end_ms = floor(now_ms - BACKFILL_ENDS_BEFORE_NOW_MS, MINUTE_MS)
        if not self._clock.is_known and end_ms > start_ms:
            try:
                self._source.open(Query(end_ms, None, 1)).close()
            except (TryAgain, Refused):
                return start_ms
        return end_ms

    def _slices(self, start_ms: int, end_ms: int) -> list[Window]:
        # Counting would wait for its turn, and the tail waits for this.
        if self._retry.is_failing:
            return even_slices(start_ms, end_ms)
        try:
            counts = self._retry.call(lambda: self._source.buckets(start_ms, end_ms, "h"), 1)
        except (TryAgain, Refused):
            return even_slices(start_ms, end_ms)
        return slices(buckets_of(counts, HOUR_MS, start_ms, end_ms), start_ms, end_ms)
