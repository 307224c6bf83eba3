"""How many read at a time: more of them while the processor is idle, fewer after a 429.

Knows nothing of what is read.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic, process_time

from jumpcloud_modules.errors import Stopped

MOST_READERS = 8
"""Readers side by side while the processor has time."""
FEWEST_READERS = 2
"""Readers at first, and while the processor has no time: one reads, one delivers."""
SECONDS_TO_WIDEN = 60.0
"""The time until one more reader asks, after a 429."""
SECONDS_TO_WATCH = 0.15
BUSY_SHARE = 0.5
"""The share of one core above which there is one reader less."""
IDLE_SHARE = 0.35
"""The share of one core below which there are twice the readers."""


class Lanes:
    """Let a few proceed at a time.

    After a 429 it is one, then one more every minute. Otherwise it is as many as find the
    processor idle: where a page waits for the processor and not for the network, one more reader
    makes all of them slower. `processor_seconds` is what the process has used.
    """

    def __init__(
        self,
        stop: threading.Event,
        most: int = MOST_READERS,
        clock: Callable[[], float] = monotonic,
        processor_seconds: Callable[[], float] = process_time,
    ) -> None:
        self._stop = stop
        self._most = most
        self._clock = clock
        self._processor_seconds = processor_seconds
        self._useful = min(FEWEST_READERS, most)
        self._watched_since = 0.0
        self._used_before = 0.0
        self._taken = 0
        self._narrowed_at: float | None = None
        self._changed = threading.Condition()

    def narrow(self) -> None:
        """Go down to one lane."""
        with self._changed:
            self._narrowed_at = self._clock()

    @property
    def width(self) -> int:
        """Return how many lanes are open now."""
        if self._narrowed_at is None:
            return self._useful
        widened = int((self._clock() - self._narrowed_at) / SECONDS_TO_WIDEN)
        return min(self._useful, 1 + widened)

    @contextmanager
    def one(self) -> Iterator["Lane"]:
        """Hold a lane. Raises Stopped when asked to stop while waiting for it."""
        with self._changed:
            if not self._taken:
                self._watch_from_now()
            self._watch_processor()
            while self._taken >= self.width:
                if self._stop.is_set():
                    raise Stopped("stopped while waiting for a lane")
                self._changed.wait(0.25)
                self._watch_processor()
            self._taken += 1
        lane = Lane(self)
        try:
            yield lane
        finally:
            lane.give_back()

    def take_back_one_too_many(self) -> bool:
        """Take a lane back if more are held than are open; tell whether that was so."""
        with self._changed:
            self._watch_processor()
            if self._taken <= self.width:
                return False
            self._taken -= 1
            return True

    def take_back(self) -> None:
        """Take a lane back, for somebody else."""
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
        if share > BUSY_SHARE:
            self._useful = max(self._useful - 1, min(FEWEST_READERS, self._most))
        elif share < IDLE_SHARE:
            self._useful = min(2 * self._useful, self._most)


class Lane:
    """The right to read; it may have to be given back before its time."""

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes
        self._is_held = True

    def keep(self) -> bool:
        """Tell whether to go on; where not, the lane is given back."""
        if self._is_held and self._lanes.take_back_one_too_many():
            self._is_held = False
        return self._is_held

    def give_back(self) -> None:
        """Let somebody else proceed."""
        if self._is_held:
            self._is_held = False
            self._lanes.take_back()
