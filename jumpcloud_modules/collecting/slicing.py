"""Cut a long span of time into windows with about as many events each, to be read side by side.

Values and arithmetic; counts come from JumpCloud where it gives them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from jumpcloud_modules.checkpoint import Window
from jumpcloud_modules.collecting.audit import Bucket
from jumpcloud_modules.instants import MINUTE_MS

MIN_EVENTS_A_SLICE = 2_000
"""A span with fewer events is not cut."""
MAX_EVENTS_A_SLICE = 100_000
"""A slice with more is cut: a large backlog has more slices."""
SLICES_AIMED_AT = 8
"""The number of slices of a backlog of medium size."""
MIN_SLICE_MS = MINUTE_MS


def slices(buckets: list[Bucket], start_ms: int, end_ms: int) -> list[Window]:
    """Cut a span by the counts of its buckets; empty buckets and gaps are part of the slices.

    A span with few events stays whole.
    """
    total = sum(bucket.count for bucket in buckets)
    aim = min(MAX_EVENTS_A_SLICE, max(MIN_EVENTS_A_SLICE, total // SLICES_AIMED_AT))
    cuts = [start_ms]
    filled = 0.0
    for piece in _pieces(buckets, aim):
        if filled and filled + piece.count > aim:
            cuts.append(piece.start_ms)
            filled = 0
        filled += piece.count
    cuts.append(end_ms)
    return [Window(a, b) for a, b in pairwise(cuts) if a < b]


def even_slices(start_ms: int, end_ms: int) -> list[Window]:
    """Cut a span whose counts are not known into equal parts."""
    part_ms = max(MIN_SLICE_MS, -(-(end_ms - start_ms) // SLICES_AIMED_AT))
    return [Window(a, min(a + part_ms, end_ms)) for a in range(start_ms, end_ms, part_ms)]


@dataclass(frozen=True, slots=True)
class _Piece:
    start_ms: int
    count: float


def _pieces(buckets: list[Bucket], aim: int) -> Iterator[_Piece]:
    """Divide a bucket that is larger than a slice into equal spans of time."""
    for bucket in buckets:
        parts = max(1, -(-bucket.count // aim))
        span_ms = bucket.end_ms - bucket.start_ms
        parts = min(parts, max(1, span_ms // MIN_SLICE_MS))
        for part in range(parts):
            yield _Piece(bucket.start_ms + part * span_ms // parts, bucket.count / parts)
