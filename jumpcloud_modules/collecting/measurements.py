"""What a process measured since it began, as plain numbers: requests, failures, commits, delays.

Once a request, a page or a commit, never once an event but for late ones, which are few. Knows
nothing of where the numbers go.
"""

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from jumpcloud_modules.collecting.stats import Stats

REQUEST_SECONDS: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
COMMIT_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0)
DELAY_SECONDS: Final = (
    5.0,
    15.0,
    60.0,
    300.0,
    900.0,
    3_600.0,
    21_600.0,
    86_400.0,
    259_200.0,
    604_800.0,
)

End = Literal["jumpcloud", "jumpcloud_backfill", "intake", "state"]
"""What is tried again apart from the others."""
Kind = Literal["refused", "unavailable"]
"""Whether a person is needed, or it may pass by itself."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """Say how many values were at most each bound, how many there were in all, and their sum."""

    at_most: tuple[tuple[float, int], ...]
    count: int
    sum: float


class Histogram:
    """Count values by their size."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0
        self._lock = threading.Lock()

    def observe(self, value: float) -> None:
        """Take note of a value."""
        with self._lock:
            self._counts[bisect_left(self._bounds, value)] += 1
            self._sum += value

    def distribution(self) -> Distribution:
        """Return what was seen so far."""
        with self._lock:
            counts, total = list(self._counts), self._sum
        at_most, seen = [], 0
        for bound, count in zip(self._bounds, counts, strict=False):
            seen += count
            at_most.append((bound, seen))
        return Distribution(tuple(at_most), sum(counts), total)


class Traffic:
    """Count the requests of all organizations of a process, and how long they and commits took."""

    def __init__(self) -> None:
        self.commits = Histogram(COMMIT_SECONDS)
        self._requests = Counter[tuple[str, str, str]]()
        self._request_seconds: dict[tuple[str, str], Histogram] = {}
        self._lock = threading.Lock()

    def answered(self, end: str, endpoint: str, status: int | None, seconds: float) -> None:
        """Take note of a request that took so long; `status` is None where no answer came."""
        with self._lock:
            self._requests[end, endpoint, str(status or "none")] += 1
            histogram = self._request_seconds.setdefault(
                (end, endpoint), Histogram(REQUEST_SECONDS)
            )
        histogram.observe(seconds)

    def requests(self) -> dict[tuple[str, str, str], int]:
        """Return how many requests there were, by end, endpoint and status."""
        with self._lock:
            return dict(self._requests)

    def request_seconds(self) -> dict[tuple[str, str], Distribution]:
        """Return how long requests took, by end and endpoint."""
        with self._lock:
            histograms = dict(self._request_seconds)
        return {key: histogram.distribution() for key, histogram in histograms.items()}


class Measurements:
    """Add up for as long as the process lasts, whatever is assembled anew meanwhile.

    Where a process has several organizations, each has its own, and all have the same `traffic`.
    """

    def __init__(self, traffic: Traffic | None = None) -> None:
        self.traffic = traffic or Traffic()
        self.stats = Stats()
        self.late = Histogram(DELAY_SECONDS)
        self.unexpected = 0
        self._failures = Counter[tuple[End, Kind, str]]()
        self._lock = threading.Lock()

    def failed(self, end: End, kind: Kind, status: int | None) -> None:
        """Take note of a failed try."""
        with self._lock:
            self._failures[end, kind, str(status or "none")] += 1

    def failed_unexpectedly(self) -> None:
        """Take note of a mistake in the program."""
        with self._lock:
            self.unexpected += 1

    def failures(self) -> dict[tuple[End, Kind, str], int]:
        """Return how many tries failed, by end, kind and status."""
        with self._lock:
            return dict(self._failures)
