"""How many readers may read at a time: more while the processor is idle, fewer after a 429.

Knows nothing of what is read.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic, process_time

from jumpcloud_modules.errors import Stopped, TryLater

MAX_READERS = 8
"""Readers side by side while the processor has time."""
MIN_READERS = 1
"""Readers at first, and while the processor has no time: a second one would only wait for it."""
SECONDS_TO_ADD_A_SLOT = 60.0
"""The time until one more reader asks, after a 429."""
SECONDS_TO_A_SLOT = 0.1
"""When to come again where no slot was free."""
SECONDS_TO_WATCH = 0.15
BUSY_SHARE = 0.5
"""The share of one core above which there is one reader less."""
IDLE_SHARE = 0.35
"""The share of one core below which there are twice the readers."""


class ConcurrencyLimit:
    """Limit how many threads read at a time: each holds a slot while it reads.

    After a 429 there is one slot, then one more every minute. Otherwise there are as many as the
    processor has time for: where pages wait for the processor and not for the network, one more
    reader makes all of them slower. `processor_seconds` returns what the process has used so far.
    With `waits` false nobody waits for a slot: the thread is another organization's meanwhile.
    """

    def __init__(
        self,
        stop: threading.Event,
        max_slots: int = MAX_READERS,
        clock: Callable[[], float] = monotonic,
        processor_seconds: Callable[[], float] = process_time,
        *,
        waits: bool = True,
    ) -> None:
        self._stop = stop
        self._waits = waits
        self._max_slots = max_slots
        self._clock = clock
        self._processor_seconds = processor_seconds
        self._useful = MIN_READERS
        self._watched_since = 0.0
        self._used_before = 0.0
        self._taken = 0
        self._lowered_at: float | None = None
        self._changed = threading.Condition()

    def lower(self) -> None:
        """Go down to one slot."""
        with self._changed:
            self._lowered_at = self._clock()

    @property
    def slots(self) -> int:
        """Return how many slots there are now."""
        if self._lowered_at is None:
            return self._useful
        added = int((self._clock() - self._lowered_at) / SECONDS_TO_ADD_A_SLOT)
        return min(self._useful, 1 + added)

    @contextmanager
    def slot(self) -> Iterator["Slot"]:
        """Hold a slot.

        Raises Stopped when asked to stop while waiting for it, or TryLater instead of waiting.
        """
        with self._changed:
            # Nobody has read for a while: how idle the processor was says nothing of reading.
            if not self._taken:
                self._watch_from_now()
            self._watch_processor()
            while self._taken >= self.slots:
                if self._stop.is_set():
                    raise Stopped("stopped while waiting for a slot")
                if not self._waits:
                    raise TryLater(SECONDS_TO_A_SLOT)
                # With a timeout: neither the stop event nor time that passes wakes who waits here.
                self._changed.wait(0.25)
                self._watch_processor()
            self._taken += 1
        slot = Slot(self)
        try:
            yield slot
        finally:
            slot.give_back()

    def take_back_one_too_many(self) -> bool:
        """Take a slot back if more are held than there are now, and return whether it was taken."""
        with self._changed:
            self._watch_processor()
            if self._taken <= self.slots:
                return False
            self._taken -= 1
            return True

    def take_back(self) -> None:
        """Take a slot back, for the next that waits."""
        with self._changed:
            self._taken -= 1
            self._changed.notify()

    def _watch_from_now(self) -> None:
        self._watched_since, self._used_before = self._clock(), self._processor_seconds()

    def _watch_processor(self) -> None:
        seconds = self._clock() - self._watched_since
        if seconds < SECONDS_TO_WATCH:
            return
        share = (self._processor_seconds() - self._used_before) / seconds
        self._watch_from_now()
        # Between the two shares the number stays as it is, or it would swing.
        if share > BUSY_SHARE:
            self._useful = max(self._useful - 1, MIN_READERS)
        elif share < IDLE_SHARE:
            self._useful = min(2 * self._useful, self._max_slots)


class Slot:
    """The right to read. A reader asks `keep` after each page: the limit may be lower by then."""

    def __init__(self, concurrency: ConcurrencyLimit) -> None:
        self._concurrency = concurrency
        self._is_held = True

    def keep(self) -> bool:
        """Return whether to go on reading; if not, the slot has been given back."""
        if self._is_held and self._concurrency.take_back_one_too_many():
            self._is_held = False
        return self._is_held

    def give_back(self) -> None:
        """Give the slot to the next that waits."""
        if self._is_held:
            self._is_held = False
            self._concurrency.take_back()
