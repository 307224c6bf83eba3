"""JumpCloud's counts against the ledger."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from jumpcloud_modules.checkpoint import Window
from jumpcloud_modules.collecting.audit import (
    Audit,
    Bucket,
    buckets_of,
    joined,
)
from jumpcloud_modules.instants import HOUR_MS, MINUTE_MS
from tests.doubles import NOON_MS


def _minute(number: int, count: int) -> Bucket:
    start_ms = NOON_MS + number * MINUTE_MS
    return Bucket(MINUTE_MS, start_ms, start_ms + MINUTE_MS, count)


class _Known:
    """A ledger that knows so many events of any minute."""

    def __init__(self, count: int = 0) -> None:
        self.count = count

    def __call__(self, start_ms: int, end_ms: int) -> int:
        return self.count * (end_ms - start_ms) // MINUTE_MS


def test_buckets_are_cut_to_the_span_that_was_asked_for() -> None:
    """Those beside it, and empty ones, are left out."""
    counts = {NOON_MS + i * HOUR_MS: i for i in range(-1, 5)}

    buckets = buckets_of(counts, HOUR_MS, NOON_MS + HOUR_MS + 7, NOON_MS + 3 * HOUR_MS + 1)

    assert buckets == [
        Bucket(HOUR_MS, NOON_MS + HOUR_MS + 7, NOON_MS + 2 * HOUR_MS, 1),
        Bucket(HOUR_MS, NOON_MS + 2 * HOUR_MS, NOON_MS + 3 * HOUR_MS, 2),
        Bucket(HOUR_MS, NOON_MS + 3 * HOUR_MS, NOON_MS + 3 * HOUR_MS + 1, 3),
    ]


@given(
    st.dictionaries(st.integers(0, 30), st.integers(0, 3)),
    st.integers(0, 30 * MINUTE_MS),
    st.integers(1, 30 * MINUTE_MS),
)
def test_buckets_lie_in_the_span_in_order_and_apart(
    counts: dict[int, int], start_ms: int, length_ms: int
) -> None:
    """Whatever the server returns."""
    by_start = {number * MINUTE_MS: count for number, count in counts.items()}

    buckets = buckets_of(by_start, MINUTE_MS, start_ms, start_ms + length_ms)

    edges = [edge for bucket in buckets for edge in (bucket.start_ms, bucket.end_ms)]
    assert edges == sorted(edges)
    assert all(bucket.start_ms < bucket.end_ms for bucket in buckets)
    assert all(start_ms <= edge <= start_ms + length_ms for edge in edges)
    assert [b.count for b in buckets] == [
        count
        for key, count in sorted(by_start.items())
        if count and key < start_ms + length_ms and start_ms < key + MINUTE_MS
    ]


def test_a_bucket_lacks_what_jumpcloud_holds_beyond_the_ledger() -> None:
    """Fewer at JumpCloud than delivered is no reason to read: it has forgotten some."""
    audit = Audit(_Known(2))

    lacking = audit.lacking([_minute(0, 3), _minute(1, 2), _minute(2, 1)], [])

    assert lacking == [_minute(0, 3)]


def test_what_is_still_being_read_is_not_audited() -> None:
    """It is short because it is not done."""
    audit = Audit(_Known(0))
    still_open = [Window(NOON_MS + MINUTE_MS, NOON_MS + 2 * MINUTE_MS - 1)]

    lacking = audit.lacking([_minute(number, 1) for number in range(3)], still_open)

    assert lacking == [_minute(0, 1), _minute(2, 1)]


def test_a_bucket_that_stays_short_is_read_ever_more_seldom() -> None:
    """Two equal events count twice at JumpCloud and once in the ledger, for example."""
    audit = Audit(_Known(2))
    read_at: list[int] = []

    for minute in range(7 * 24 * 60):
        now_ms = NOON_MS + minute * MINUTE_MS
        worth = audit.worth_a_try([_minute(0, 3)], now_ms)
        audit.note_tries(worth, now_ms)
        read_at += [minute] * len(worth)

    hour = 60
    assert read_at[:5] == [0, 1, 11, 11 + hour, 11 + 7 * hour]
    assert read_at[5:] == [11 + (7 + 24 * day) * hour for day in range(1, 7)]


def test_the_second_try_of_a_bucket_waits() -> None:
    """An event that was counted before it could be read has time to appear."""
    audit = Audit(_Known(2))
    audit.note_tries([_minute(0, 3)], NOON_MS)

    assert audit.worth_a_try([_minute(0, 3)], NOON_MS + MINUTE_MS - 1) == []
    assert audit.worth_a_try([_minute(0, 3)], NOON_MS + MINUTE_MS) == [_minute(0, 3)]


def test_a_bucket_left_alone_is_read_again_when_its_count_changes() -> None:
    """A late event shows in it like in any other."""
    audit = Audit(_Known(2))
    for _ in range(2):
        audit.note_tries([_minute(0, 3)], NOON_MS)

    assert audit.worth_a_try([_minute(0, 4)], NOON_MS) == [_minute(0, 4)]


def test_another_late_event_is_read_at_once_although_as_many_are_missing_as_before() -> None:
    """The first was delivered meanwhile, and no poll fell between the two."""
    known = _Known(2)
    audit = Audit(known)
    audit.note_tries([_minute(0, 3)], NOON_MS)
    known.count += 1

    assert audit.worth_a_try([_minute(0, 4)], NOON_MS) == [_minute(0, 4)]


def test_a_bucket_at_the_moving_edge_is_remembered_by_its_place() -> None:
    """Its end is another at each poll."""
    audit = Audit(_Known(0))
    growing = [Bucket(HOUR_MS, NOON_MS, NOON_MS + i * MINUTE_MS, 1) for i in (10, 11)]
    audit.note_tries(growing[:1], NOON_MS)

    assert audit.worth_a_try(growing[1:], NOON_MS) == []


def test_minutes_and_hours_are_remembered_apart() -> None:
    """An hour begins with a minute."""
    audit = Audit(_Known(0))
    audit.note_tries([_minute(0, 1)], NOON_MS)
    hour = Bucket(HOUR_MS, NOON_MS, NOON_MS + HOUR_MS, 1)

    assert audit.worth_a_try([hour], NOON_MS) == [hour]


def test_buckets_beyond_the_audits_reach_are_forgotten() -> None:
    """Memory does not grow with the age of the connector."""
    audit = Audit(_Known(0))
    buckets = [_minute(0, 1), _minute(1, 1)]
    audit.note_tries(buckets, NOON_MS)

    audit.forget_before(NOON_MS + MINUTE_MS)

    assert audit.worth_a_try(buckets, NOON_MS) == buckets[:1]


@given(st.sets(st.integers(0, 30)))
def test_neighbouring_buckets_become_one_window(numbers: set[int]) -> None:
    """The windows cover exactly the buckets, and none touches the next."""
    buckets = [_minute(number, 1) for number in sorted(numbers)]

    windows = joined(buckets)

    covered = {
        (start_ms - NOON_MS) // MINUTE_MS
        for window in windows
        for start_ms in range(window.start_ms, window.end_ms or 0, MINUTE_MS)
    }
    assert covered == numbers
    assert all((a.end_ms or 0) < b.start_ms for a, b in pairwise(windows))


def test_what_was_read_again_in_vain_is_a_shortfall() -> None:
    """Found for the first time it is about to be read; once a count changes it is worth a try."""
    known = _Known(2)
    audit = Audit(known)
    minutes = [_minute(0, 2), _minute(1, 5)]

    lacking = audit.lacking(minutes, [])
    assert audit.missing_after_tries(lacking) == 0

    audit.note_tries(lacking, NOON_MS)
    assert audit.missing_after_tries(lacking) == 3

    known.count = 3
    assert audit.missing_after_tries(audit.lacking(minutes, [])) == 0
