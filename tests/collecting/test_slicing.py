"""A long stretch of time cut into slices."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from jumpcloud_modules.checkpoint import Window
from jumpcloud_modules.collecting.audit import Bucket, buckets_of
from jumpcloud_modules.collecting.slicing import (
    MAX_EVENTS_A_SLICE,
    MIN_EVENTS_A_SLICE,
    MIN_SLICE_MS,
    SLICES_AIMED_AT,
    even_slices,
    slices,
)
from jumpcloud_modules.instants import HOUR_MS
from tests.doubles import NOON_MS

_COUNTS = st.dictionaries(
    st.integers(-2, 60), st.one_of(st.integers(0, 100), st.integers(0, 3_000_000)), max_size=40
)
_STARTS = st.integers(0, HOUR_MS)
_LENGTHS = st.integers(1, 50 * HOUR_MS)


def _covers(windows: list[Window], start_ms: int, end_ms: int) -> bool:
    whole = windows[0].start_ms == start_ms and windows[-1].end_ms == end_ms
    sound = all(window.start_ms < (window.end_ms or 0) for window in windows)
    return whole and sound and all(a.end_ms == b.start_ms for a, b in pairwise(windows))


def _hours(counts: list[int]) -> list[Bucket]:
    starts = {NOON_MS + i * HOUR_MS: count for i, count in enumerate(counts)}
    return buckets_of(starts, HOUR_MS, NOON_MS, NOON_MS + len(counts) * HOUR_MS)


@given(_COUNTS, _STARTS, _LENGTHS)
def test_slices_cover_the_span_without_a_gap_or_an_overlap(
    counts: dict[int, int], start_ms: int, length_ms: int
) -> None:
    """Whatever the counts say: an event that they leave out is read all the same."""
    by_start = {number * HOUR_MS: count for number, count in counts.items()}
    end_ms = start_ms + length_ms

    windows = slices(buckets_of(by_start, HOUR_MS, start_ms, end_ms), start_ms, end_ms)

    assert _covers(windows, start_ms, end_ms)


@given(_STARTS, _LENGTHS)
def test_even_slices_cover_the_span_without_a_gap_or_an_overlap(
    start_ms: int, length_ms: int
) -> None:
    """There are as many as aimed at, or as few as their least length allows."""
    windows = even_slices(start_ms, start_ms + length_ms)

    assert _covers(windows, start_ms, start_ms + length_ms)
    assert len(windows) == min(SLICES_AIMED_AT, -(-length_ms // MIN_SLICE_MS)) or (
        len(windows) < SLICES_AIMED_AT and length_ms < SLICES_AIMED_AT**2
    )


def test_few_events_stay_in_one_slice() -> None:
    """However long the time."""
    windows = slices(_hours([MIN_EVENTS_A_SLICE // 100] * 100), NOON_MS, NOON_MS + 100 * HOUR_MS)

    assert windows == [Window(NOON_MS, NOON_MS + 100 * HOUR_MS)]


def test_no_events_stay_in_one_slice() -> None:
    """It is still read: the counts may be behind."""
    assert slices([], NOON_MS, NOON_MS + HOUR_MS) == [Window(NOON_MS, NOON_MS + HOUR_MS)]


def test_slices_hold_similar_numbers_of_events() -> None:
    """So that readers beside each other end together."""
    counts = [20_000] * 80

    windows = slices(_hours(counts), NOON_MS, NOON_MS + 80 * HOUR_MS)

    hours = [((w.end_ms or 0) - w.start_ms) // HOUR_MS for w in windows]
    assert hours == [5] * 16


def test_a_crowded_hour_is_cut_within_itself() -> None:
    """A quiet week with one busy hour is still read side by side."""
    windows = slices(_hours([0, 10 * MAX_EVENTS_A_SLICE, 0]), NOON_MS, NOON_MS + 3 * HOUR_MS)

    assert len(windows) >= 10
    assert windows[0].start_ms == NOON_MS
    assert windows[-1].end_ms == NOON_MS + 3 * HOUR_MS
