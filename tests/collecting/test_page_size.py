"""How many events a page should have."""

from hypothesis import given
from hypothesis import strategies as st

from jumpcloud_modules.collecting.page_size import (
    FIRST_GUESS_EVENT_BYTES,
    MIN_ROWS_UNDER_BURDEN,
    PAGE_BYTES,
    PageSize,
)

_ROWS = st.integers(1, 10_000)


@given(_ROWS, st.lists(st.tuples(st.integers(0, 3), _ROWS, st.integers(2, 10**6)), max_size=20))
def test_a_page_has_at_least_one_event_and_at_most_what_was_configured(
    max_rows: int, story: list[tuple[int, int, int]]
) -> None:
    """Whatever arrives and whatever fails."""
    size = PageSize(max_rows)

    for what, rows, event_bytes in story:
        if what == 0:
            size.learn(rows, rows * event_bytes)
        elif what == 1:
            size.shrink_to_fit(size.rows())
        elif what == 2:
            size.relieve(size.rows())
        else:
            size.learn(0, 2)
        assert 1 <= size.rows() <= max_rows


def test_the_first_page_is_careful_and_the_next_ones_fit_what_was_seen() -> None:
    """Nobody knows how large this tenant's events are."""
    size = PageSize(10_000)
    first = size.rows()

    size.learn(100, 100 * 1_000)

    assert first == PAGE_BYTES // FIRST_GUESS_EVENT_BYTES
    assert size.rows() == PAGE_BYTES // 1_000


def test_larger_events_count_at_once_and_smaller_ones_by_and_by() -> None:
    """A page too large costs more than one too small."""
    size = PageSize(10_000)
    size.learn(100, 100 * 1_000)

    size.learn(100, 100 * 50_000)
    after_large = size.rows()
    size.learn(100, 100 * 1_000)
    after_small = size.rows()

    assert after_large == PAGE_BYTES // 50_000
    assert after_large < after_small < PAGE_BYTES // 1_000


@given(_ROWS)
def test_pages_too_large_shrink_to_a_single_event(max_rows: int) -> None:
    """At least by half each time, so that it takes few tries."""
    size, tries = PageSize(max_rows), 0

    while size.rows() > 1:
        before = size.rows()
        size.shrink_to_fit(before)
        tries += 1
        assert size.rows() <= max(1, before // 2)

    assert tries <= 14


def test_pages_that_fail_under_their_burden_shrink_only_so_far_and_grow_again() -> None:
    """An outage is not a question of size."""
    size = PageSize(10_000)
    size.learn(4_000, 4_000 * 1_000)

    for _ in range(20):
        size.relieve(size.rows())
    lowest = size.rows()
    for _ in range(20):
        size.learn(100, 100 * 1_000)

    assert lowest == MIN_ROWS_UNDER_BURDEN
    assert size.rows() == PAGE_BYTES // 1_000


def test_a_small_limit_is_not_raised_under_a_burden() -> None:
    """What the operator configured holds."""
    size = PageSize(7)

    size.relieve(size.rows())

    assert size.rows() <= 7


@given(_ROWS, st.integers(1, 10_000))
def test_a_page_suits_within_a_factor_of_two(now_right: int, rows: int) -> None:
    """A chain is only broken for a reason."""
    size = PageSize(now_right, page_bytes=1 << 40)

    suits = size.suits(rows)

    assert suits == (rows == now_right or now_right / 2 < rows < now_right * 2)
