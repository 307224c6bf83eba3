"""By how much work began late: the most of a last while, whoever asks for it and how often."""

from collections.abc import Callable
from time import monotonic
from typing import Final

WINDOW_SECONDS: Final = 60.0
"""The largest lateness is remembered for one to two of these: longer than a scrape."""


class Lateness:
    """Remember the largest lateness of this window and of the one before it."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._window = 0
        self._most, self._most_before = 0.0, 0.0

    def saw(self, seconds: float) -> None:
        """Take note of something that began late by so much; one thread at a time."""
        self._turn_over()
        self._most = max(self._most, seconds)

    def seconds(self) -> float:
        """Return the largest lateness of the last one to two windows, 0 where nothing began."""
        windows = int(self._clock() // WINDOW_SECONDS) - self._window
        kept = (self._most, self._most_before)[: max(0, 2 - windows)]
        return max(kept, default=0.0)

    def _turn_over(self) -> None:
        window = int(self._clock() // WINDOW_SECONDS)
        if window != self._window:
            self._most_before = self._most if window == self._window + 1 else 0.0
            self._most, self._window = 0.0, window
