"""What many organizations cost in one process, and what they cost each other.

Knows figures and limits; `runs_of_many` knows how they are measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from benchmarks import runs_of_many as runs
from benchmarks.figures import MEGABYTE, Figure, Limit
from benchmarks.runs_of_many import BackfillPlan, Delays, Failing, FailingPlan, QuietPlan

SECONDS_TO_BE_POLLED = 60
REQUESTS_A_SECOND = 50
"""The default of MAX_REQUESTS_PER_SECOND."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How many organizations to measure, and for how long."""

    quiet: QuietPlan
    backfill: BackfillPlan
    failing: FailingPlan


FULL = Scale(
    QuietPlan(organizations=1_000, separate=10, frequency=60, settle_seconds=5.0, seconds=180.0),
    BackfillPlan(
        organizations=1_000,
        frequency=10,
        requests_a_second=300,  # as much more than needed as 50 is at the default frequency
        settle_seconds=15.0,
        window_seconds=36.0,  # an event of each: 100 an hour
        backlog=300_000,
        windows=2,
    ),
    FailingPlan(
        failing=99, frequency=5, settle_seconds=10.0, window_seconds=30.0, events_a_second=20.0
    ),
)
QUICK = Scale(
    QuietPlan(organizations=5, separate=1, frequency=1, settle_seconds=0.0, seconds=0.5),
    BackfillPlan(
        organizations=20,
        frequency=1,
        requests_a_second=300,
        settle_seconds=0.0,
        window_seconds=1.0,
        backlog=1_000,
        windows=1,
    ),
    FailingPlan(
        failing=3, frequency=1, settle_seconds=0.0, window_seconds=1.0, events_a_second=20.0
    ),
)
"""Enough to see that everything runs; its numbers say nothing."""


def figures(scale: Scale, at_once: int) -> Iterator[list[Figure]]:
    """Measure so many things side by side (1, or the numbers are no use), and yield the figures."""
    parts: tuple[Callable[[Scale], list[Figure]], ...] = (
        quiet,
        beside_a_backfill,
        lambda scale: beside_failing(scale, "refused"),
        lambda scale: beside_failing(scale, "hanging"),
    )
    with ThreadPoolExecutor(at_once) as pool:
        yield from pool.map(lambda part: part(scale), parts)


def quiet(scale: Scale) -> list[Figure]:
    """See what organizations cost that have nothing to say, and how they start."""
    found, plan = runs.quiet(scale.quiet), scale.quiet
    quiet = f"{plan.organizations:,} quiet organizations"
    memory, separate = found.peak_bytes / MEGABYTE, found.separate_bytes / MEGABYTE
    share, separate_share = 100 * found.core_share, 100 * found.separate_core_share
    restart = found.restart
    return [
        Figure(
            f"Peak memory, {quiet}",
            "MB",
            memory,
            separate,
            separate,
            Limit("at most", 300, "ours"),
        ),
        Figure(
            f"Processor, {quiet} polled every {plan.frequency} s, of one core",
            "%",
            share,
            separate_share,
            separate_share,
            Limit("at most", 10, "ours"),
        ),
        Figure(
            f"From a restart until each of {plan.organizations:,} is polled",
            "s",
            restart.seconds_to_last,
            None,
            None,
            Limit("at most", SECONDS_TO_BE_POLLED, "ours"),
        ),
        Figure(
            "Requests to JumpCloud in the busiest second, starts included",
            "",
            max(restart.most_in_a_second, found.first_start.most_in_a_second),
            None,
            None,
            Limit("at most", REQUESTS_A_SECOND, "ours"),
        ),
    ]


def beside_a_backfill(scale: Scale) -> list[Figure]:
    """See what a backfill of one organization costs the others."""
    plan = scale.backfill
    title = (
        f"Median delay of {plan.organizations:,} organizations' events, polled every"
        f" {plan.frequency} s, while one more reads {plan.backlog:,} events"
    )
    return [_delay(title, runs.beside_a_backfill(plan))]


def beside_failing(scale: Scale, how: Failing) -> list[Figure]:
    """See what organizations that fail cost one that does not."""
    plan = scale.failing
    what = "are refused (401)" if how == "refused" else "get no answer"
    title = (
        f"Median delay of an organization's events, polled every {plan.frequency} s, while"
        f" {plan.failing} others {what}"
    )
    return [_delay(title, runs.beside_failing(plan, how))]


def _delay(title: str, delays: Delays) -> Figure:
    undisturbed = delays.undisturbed_seconds
    limit = Limit("at most", 1.2, "ratio")
    return Figure(title, "s", delays.disturbed_seconds, undisturbed, undisturbed, limit)
