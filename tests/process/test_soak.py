"""A short soak: every fault at both ends, late events, a wrong clock and kills, all together."""

import pytest

from sandbox.faketime import LIBRARY
from tests.soak import MIN_KILLS, Plan, Soak


@pytest.mark.lengthy
def test_a_short_soak_loses_and_alters_nothing_and_repeats_no_more_than_was_in_flight() -> None:
    """`make soak` runs the same for as long as asked."""
    plan = Plan(
        seconds=12, seed=7, history_events=1_500, kill_every_seconds=2.5, late_by_at_most_ms=6_000
    )

    result = Soak(plan).run()

    assert result.kills >= MIN_KILLS
    assert result.faults > 0
    assert result.clock_steps or LIBRARY is None
    assert result.is_good, result.table()
