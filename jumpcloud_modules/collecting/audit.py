"""Compare JumpCloud's counts with the ledger: which spans hold events that were not delivered.

Remembers what was read again in vain. `late_events` asks for the counts.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from jumpcloud_modules.checkpoint import Window
from jumpcloud_modules.instants import DAY_MS, HOUR_MS, MINUTE_MS

TRIES_AFTER_MS = (MINUTE_MS, 10 * MINUTE_MS, HOUR_MS, 6 * HOUR_MS, DAY_MS)
"""The times between reads of a bucket that stays short; the last one holds on."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """Hold how many events JumpCloud has in a minute or an hour, or in a part of one."""

    unit_ms: int
    start_ms: int
    end_ms: int
    count: int

    @property
    def place(self) -> tuple[int, int]:
        """Return a key for the minute or hour, whichever part of it was counted."""
        return self.unit_ms, self.start_ms // self.unit_ms


class _Counts(NamedTuple):
    """Count a bucket's events at JumpCloud, and those of the ledger."""

    held: int
    known: int


@dataclass(frozen=True, slots=True)
class _Tried:
    counts: _Counts
    tries: int
    last_ms: int


def buckets_of(counts: dict[int, int], unit_ms: int, start_ms: int, end_ms: int) -> list[Bucket]:
    """Make buckets of counts by their starts, cut to the span that was asked for."""
    return [
        Bucket(unit_ms, max(key, start_ms), min(key + unit_ms, end_ms), count)
        for key, count in sorted(counts.items())
        if key < end_ms and start_ms < key + unit_ms and count
    ]


class Audit:
    """Remember which short buckets were read again, so that none is read forever.

    A bucket can stay short: two equal events count twice at JumpCloud and once in the ledger, or
    the search gives an event long after the counts do. It is read ever more seldom until either
    count changes: as many missing as before may be another late event, after the first was
    delivered.
    """

    def __init__(self, known: Callable[[int, int], int]) -> None:
        self._known = known
        self._tried: dict[tuple[int, int], _Tried] = {}

    def lacking(self, buckets: Iterable[Bucket], still_open: Iterable[Window]) -> list[Bucket]:
        """Return the buckets that hold more than was delivered, but for those still being read.

        Of those that hold no more, it is forgotten how often they were read again.
        """
        windows = list(still_open)
        read_through = [
            bucket
            for bucket in buckets
            if not any(w.overlaps(bucket.start_ms, bucket.end_ms) for w in windows)
        ]
        for bucket in read_through:
            if not self._is_short(bucket):
                self._tried.pop(bucket.place, None)
        return [bucket for bucket in read_through if self._is_short(bucket)]

    def worth_a_try(self, lacking: Iterable[Bucket], span_ms: int) -> list[Bucket]:
        """Return the lacking buckets that were not read again too often for what they miss."""
        return [bucket for bucket in lacking if self._is_worth_a_try(bucket, span_ms)]

    def missing_after_tries(self, lacking: Iterable[Bucket]) -> int:
        """Count what lacking buckets miss although they were read again for just that."""
        return sum(self.missing(bucket) for bucket in lacking if self._was_in_vain(bucket))

    def _was_in_vain(self, bucket: Bucket) -> bool:
        tried = self._tried.get(bucket.place)
        return tried is not None and tried.counts == self._counts(bucket)

    def note_tries(self, buckets: Iterable[Bucket], span_ms: int) -> None:
        """Remember that buckets are being read again for what they miss at present."""
        for bucket in buckets:
            counts, tried = self._counts(bucket), self._tried.get(bucket.place)
            tries = tried.tries + 1 if tried and tried.counts == counts else 1
            self._tried[bucket.place] = _Tried(counts, tries, span_ms)

    def forget_before(self, instant_ms: int) -> None:
        """Drop what is remembered of buckets that ended before an instant."""
        # Copied at once: the audit adds to them meanwhile, in a thread of its own.
        for unit_ms, number in list(self._tried):
            if (number + 1) * unit_ms <= instant_ms:
                self._tried.pop((unit_ms, number), None)

    def missing(self, bucket: Bucket) -> int:
        """Return how many more events a bucket holds than were delivered, negative for fewer."""
        counts = self._counts(bucket)
        return counts.held - counts.known

    def _counts(self, bucket: Bucket) -> _Counts:
        return _Counts(bucket.count, self._known(bucket.start_ms, bucket.end_ms))

    def _is_short(self, bucket: Bucket) -> bool:
        return self.missing(bucket) > 0

    def _is_worth_a_try(self, bucket: Bucket, span_ms: int) -> bool:
        tried = self._tried.get(bucket.place)
        if tried is None or tried.counts != self._counts(bucket):
            return True
        wait_ms = TRIES_AFTER_MS[min(tried.tries, len(TRIES_AFTER_MS)) - 1]
        return span_ms - tried.last_ms >= wait_ms


def joined(buckets: Iterable[Bucket]) -> list[Window]:
    """Turn buckets into windows, neighbours into one."""
    windows: list[Window] = []
    for bucket in buckets:
        if windows and windows[-1].end_ms == bucket.start_ms:
            windows[-1] = Window(windows[-1].start_ms, bucket.end_ms)
        else:
            windows.append(Window(bucket.start_ms, bucket.end_ms))
    return windows
