"""JumpCloud's time, learnt from the `Date` header of its answers.

All instants that are saved (watermark, beginning, what is forgotten) go by it: the machine's clock
may be wrong, or be set while the process runs. It is used until an answer carried a date, and for
as long as it agrees with what the answers say. Spans are measured by the monotonic clock.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from jumpcloud_modules.instants import MINUTE_MS, SECOND_MS, to_ms

TOLERATED_DIFFERENCE_MS = MINUTE_MS
"""A larger difference from the machine's clock is logged."""


def machine_ms() -> int:
    """Return the machine's time in epoch milliseconds."""
    return time.time_ns() // 1_000_000


def span_ms() -> int:
    """Return milliseconds since some instant; nobody sets this clock."""
    return time.monotonic_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class _Offset:
    """Bound the difference between JumpCloud's time and the monotonic clock."""

    min_ms: int
    max_ms: int

    def overlaps(self, other: "_Offset") -> bool:
        return self.min_ms <= other.max_ms and other.min_ms <= self.max_ms

    def holds(self, offset_ms: int) -> bool:
        return self.min_ms <= offset_ms <= self.max_ms

    def narrowed_by(self, other: "_Offset") -> "_Offset":
        return _Offset(
            max(self.min_ms, other.min_ms),
            min(self.max_ms, other.max_ms),
        )


class JumpCloudClock:
    """Tell JumpCloud's time between its answers, never later than it may be.

    A date has whole seconds and was written between question and answer; many of them narrow
    JumpCloud's time down to milliseconds. Within these bounds the machine's clock is believed:
    polls that always come in the same part of a second would narrow nothing. One date that
    contradicts those before is not believed until the next one agrees with it: a proxy may have
    written it. Nor is the first of all, where it contradicts the machine's clock.
    `tell` is called when the machine's clock differs by more than a minute, and when that is over.
    """

    def __init__(
        self,
        tell: Callable[[str], None] = lambda _: None,
        machine: Callable[[], int] = machine_ms,
        span: Callable[[], int] = span_ms,
    ) -> None:
        self._tell = tell
        self.machine_ms = machine
        self.span_ms = span
        self._offset: _Offset | None = None
        self._doubted: _Offset | None = None
        self._told_ms = 0
        self._lock = threading.Lock()

    @property
    def is_known(self) -> bool:
        """Tell whether an answer carried a date that was believed."""
        return self._offset is not None

    @property
    def is_in_doubt(self) -> bool:
        """Tell whether the only date so far contradicts the machine's clock."""
        return self._offset is None and self._doubted is not None

    @property
    def ahead_of_machine_ms(self) -> int:
        """Return by how much JumpCloud's time is later than the machine's, at the least.

        Negative where it is earlier, 0 where both agree as far as is known.
        """
        offset = self._offset
        if offset is None:
            return 0
        machine_offset_ms = self.machine_ms() - self.span_ms()
        if offset.holds(machine_offset_ms):
            return 0
        return offset.min_ms - machine_offset_ms

    def now_ms(self) -> int:
        """Return JumpCloud's time: the machine's where nothing is known that contradicts it."""
        # Without the lock: an offset is replaced as a whole and never changed.
        offset, machine_ms, span_ms = self._offset, self.machine_ms(), self.span_ms()
        if offset is None or offset.holds(machine_ms - span_ms):
            return machine_ms
        # The earliest that it can be, since JumpCloud refuses what begins in its future.
        return span_ms + offset.min_ms

    def learn(self, date: str | None, asked_ms: int) -> None:
        """Take note of an answer's `Date` header; `asked_ms` is the `span_ms` of the question."""
        written_ms = _written_ms(date)
        if written_ms is None:
            return
        # The date was written when the question was sent, at the earliest, and now, at the latest.
        # It stands for a whole second.
        answer = _Offset(written_ms - self.span_ms(), written_ms + SECOND_MS - asked_ms)
        with self._lock:
            self._offset = self._believed(answer)
            message = self._message()
        if message:
            self._tell(message)

    def _believed(self, answer: _Offset) -> _Offset | None:
        known, doubted = self._offset, self._doubted
        self._doubted = None
        if known is None and self._is_the_machines(answer):
            return answer
        if known and known.overlaps(answer):
            return known.narrowed_by(answer)
        if doubted and doubted.overlaps(answer):
            return doubted.narrowed_by(answer)
        self._doubted = answer
        return known

    def _is_the_machines(self, answer: _Offset) -> bool:
        machine_offset_ms = self.machine_ms() - self.span_ms()
        tolerated = _Offset(
            machine_offset_ms - TOLERATED_DIFFERENCE_MS,
            machine_offset_ms + TOLERATED_DIFFERENCE_MS,
        )
        return tolerated.overlaps(answer)

    def _message(self) -> str | None:
        """Return a message where the two clocks have begun to differ, or to agree."""
        machine_ahead_ms = -self.ahead_of_machine_ms
        change_ms = abs(machine_ahead_ms - self._told_ms)
        if abs(machine_ahead_ms) <= TOLERATED_DIFFERENCE_MS:
            if not self._told_ms or change_ms <= TOLERATED_DIFFERENCE_MS // 2:
                return None
            self._told_ms = 0
            return "This machine's clock agrees with JumpCloud's again."
        if change_ms <= TOLERATED_DIFFERENCE_MS:
            return None
        self._told_ms = machine_ahead_ms
        direction = "ahead of" if machine_ahead_ms > 0 else "behind"
        return (
            f"This machine's clock is {abs(machine_ahead_ms) // SECOND_MS} s {direction}"
            " JumpCloud's. Collecting goes by JumpCloud's; set the machine's (NTP), so that the"
            " times of the log are right."
        )


def _written_ms(date: str | None) -> int | None:
    try:
        instant = parsedate_to_datetime(date or "")
        return to_ms(instant) if instant.tzinfo else None
    except (ValueError, OverflowError, TypeError, IndexError):
        return None
