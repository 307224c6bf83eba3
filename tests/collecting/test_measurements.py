"""What a process counts of itself."""

from hypothesis import given
from hypothesis import strategies as st

from jumpcloud_modules.collecting.measurements import Histogram, Measurements
from jumpcloud_modules.collecting.stats import Counts, Stats

SECONDS = st.floats(0, 100, allow_nan=False)


@given(st.lists(SECONDS))
def test_a_histogram_counts_what_is_at_most_each_bound(values: list[float]) -> None:
    """A value that is equal to a bound is within it, as Prometheus has it."""
    histogram = Histogram((0.5, 5.0, 50.0))
    for value in values:
        histogram.observe(value)

    seen = histogram.distribution()

    assert seen.at_most == tuple(
        (bound, sum(value <= bound for value in values)) for bound in (0.5, 5.0, 50.0)
    )
    assert seen.count == len(values)
    assert seen.sum == sum(values)


def test_requests_are_counted_by_what_was_asked_and_what_came_back() -> None:
    """One without an answer has a status of its own; how long it took counts all the same."""
    measurements = Measurements()

    measurements.traffic.answered("jumpcloud", "events", 200, 0.1)
    measurements.traffic.answered("jumpcloud", "events", 200, 0.3)
    measurements.traffic.answered("jumpcloud", "events", None, 10.0)
    measurements.traffic.answered("intake", "batch", 401, 0.1)

    assert measurements.traffic.requests() == {
        ("jumpcloud", "events", "200"): 2,
        ("jumpcloud", "events", "none"): 1,
        ("intake", "batch", "401"): 1,
    }
    assert measurements.traffic.request_seconds()["jumpcloud", "events"].count == 3
    assert measurements.traffic.request_seconds()["jumpcloud", "events"].sum == 10.4


def test_the_whole_keeps_what_its_parts_have_handed_over() -> None:
    """A counter that Prometheus reads never goes down when a poll takes its counts."""
    whole = Stats()
    parts = [Stats(whole), Stats(whole)]

    for part in parts:
        part.count_late(2)
        assert part.take() == Counts(late=2)
        part.count_late(1)

    assert whole.peek() == Counts(late=6)
