"""What the ledger may forget: what no audit will ask for any more.

Measured by the watermark and the last audit, never by the machine's clock.
"""

from collections.abc import Iterator
from dataclasses import replace

from jumpcloud_modules.checkpoint import Checkpoint
from jumpcloud_modules.collecting.delivery_record import DeliveryRecord
from jumpcloud_modules.collecting.dependencies import OtherStreams
from jumpcloud_modules.collecting.late_events import LateEvents
from jumpcloud_modules.collecting.plan import Plan
from jumpcloud_modules.collecting.protocols import Clock
from jumpcloud_modules.collecting.tail import Tail
from jumpcloud_modules.collecting.tracker import CheckpointTracker
from jumpcloud_modules.instants import HOUR_MS, RETENTION_MS, floor

MIN_REMEMBERED_MS = 2 * HOUR_MS
"""How far back the ledger remembers at least, however short `audit_hours` is."""
FORGET_EVERY_MS = HOUR_MS
"""The time between two looks for what may be forgotten."""


class Forgetting:
    """Keep in the ledger only what an audit may still ask for, so that it stays small."""

    def __init__(
        self,
        plan: Plan,
        clock: Clock,
        tracker: CheckpointTracker,
        record: DeliveryRecord,
        late_events: LateEvents,
        tail: Tail,
        others: OtherStreams,
    ) -> None:
        self._plan = plan
        self._clock = clock
        self._tracker = tracker
        self._record = record
        self._late_events = late_events
        self._tail = tail
        self._others = others
        self._done_at_ms: int | None = None

    def do_where_due(self) -> None:
        """Forget what no audit will ask for, once an hour.

        The time comes from a start that JumpCloud accepted: a watermark may be in its future.
        """
        span_ms, accepted_start_ms = self._clock.span_ms(), self._tail.accepted_start_ms
        is_done = self._done_at_ms is not None and span_ms - self._done_at_ms < FORGET_EVERY_MS
        if is_done or accepted_start_ms is None:
            return
        before_ms = self._unneeded_before_ms(accepted_start_ms)
        for needed_from_ms in self._others.needed_from_ms():
            # A stream that has not begun yet may still need all of it.
            if needed_from_ms is None:
                return
            before_ms = min(before_ms, needed_from_ms)
        self._forget_before(floor(before_ms - HOUR_MS, HOUR_MS))
        self._done_at_ms = span_ms

    @property
    def needed_from_ms(self) -> int | None:
        """Return the instant before which nothing is read again, None before it is known."""
        accepted_start_ms = self._tail.accepted_start_ms
        if accepted_start_ms is None:
            return None
        return min(
            self._unneeded_before_ms(accepted_start_ms), self._tracker.checkpoint.oldest_open_ms
        )

    def _unneeded_before_ms(self, accepted_start_ms: int) -> int:
        """Return the instant before which the next audit does not look.

        It is counted from the last audit, but is never earlier than what JumpCloud still keeps.
        """
        checkpoint = self._tracker.checkpoint
        measured_ms = watermark_ms = min(checkpoint.watermark_ms, accepted_start_ms)
        if self._plan.audit_ms:
            measured_ms = min(measured_ms, checkpoint.audit_from_ms)
        return max(
            measured_ms - max(self._plan.audit_ms, MIN_REMEMBERED_MS),
            watermark_ms - RETENTION_MS,
        )

    def _forget_before(self, before_ms: int) -> None:
        # The checkpoint first, the reverse of what is added: a crash in between must not lead back
        # to what is forgotten.
        self._tracker.change(lambda checkpoint: _with_beginning_at(checkpoint, before_ms))
        self._record.commit()
        in_use = [self._tracker.checkpoint.watermark_ms, *self._open_hours()]
        self._record.forget_before(before_ms, in_use)
        self._late_events.forget_before(before_ms)

    def _open_hours(self) -> Iterator[int]:
        for window in self._tracker.being_read():
            yield from range(floor(window.start_ms, HOUR_MS), (window.end_ms or 0) + 1, HOUR_MS)


def _with_beginning_at(checkpoint: Checkpoint, forgotten_ms: int) -> Checkpoint:
    """Let no audit look where the ledger forgets: it would deliver all events there again."""
    beginning_ms = min(checkpoint.watermark_ms - 1, forgotten_ms)
    if beginning_ms <= checkpoint.beginning_ms:
        return checkpoint
    return replace(checkpoint, beginning_ms=beginning_ms)
