"""What is measured, and what it may be at most (or must be at least).

Each function here measures one thing with both connectors in turn and returns its figures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import median
from typing import Literal, TypeVar

from benchmarks import runs
from benchmarks.contenders import OURS, REFERENCE, Contender
from benchmarks.runs import DISTANT, Backlog, CaughtUp

Measured = TypeVar("Measured")

FEW_EVENTS = 10
MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True)
class Effort:
    """How much to measure.

    `at_once` figures, and connectors of each, run side by side: 1, or the numbers are no use.
    """

    runs: int
    at_once: int
    processor_events: int
    catching_up_events: int
    small_backlog: int
    large_backlog: int
    few_large_events: int
    many_large_events: int
    settle_seconds: float
    live_seconds: float
    idle_seconds: float
    plotted: tuple[int, ...]


FULL = Effort(
    runs=5,
    at_once=1,
    processor_events=100_000,
    catching_up_events=150_000,
    small_backlog=10_000,
    large_backlog=300_000,
    few_large_events=300,
    many_large_events=3_000,
    settle_seconds=5.0,
    live_seconds=30.0,
    idle_seconds=60.0,
    plotted=(10_000, 30_000, 100_000, 300_000),
)
QUICK = Effort(
    runs=1,
    at_once=3,
    processor_events=1_000,
    catching_up_events=1_000,
    small_backlog=20,
    large_backlog=500,
    few_large_events=2,
    many_large_events=20,
    settle_seconds=0.2,
    live_seconds=2.0,
    idle_seconds=1.0,
    plotted=(100,),
)
"""Enough to see that everything runs; its numbers say nothing."""

LIVE_EVENTS_A_SECOND = 50.0
POLLS_BETWEEN_AUDITS = 10


@dataclass(frozen=True, slots=True)
class Limit:
    """A bound on a figure's ratio, or on our own number."""

    sense: Literal["at most", "at least"]
    value: float
    of: Literal["ratio", "ours"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table.

    `ratio` is ours over `against`, which is the reference's number or what the title names.
    """

    title: str
    unit: str
    ours: float
    reference: float | None
    against: float | None
    limit: Limit

    @property
    def ratio(self) -> float | None:
        """Return ours over what it is held against."""
        return self.ours / self.against if self.against else None

    @property
    def holds(self) -> bool:
        """Tell whether the limit is kept."""
        value = self.ours if self.limit.of == "ours" else self.ratio
        if value is None:
            return False
        if self.limit.sense == "at most":
            return value <= self.limit.value
        return value >= self.limit.value


@dataclass(frozen=True, slots=True)
class Point:
    """Throughput and peak memory at one size of the backlog."""

    contender: str
    events: int
    events_a_second: float
    peak_megabytes: float


def processor_time(effort: Effort) -> list[Figure]:
    """Compare what an event costs the processor, without what every start costs."""

    def measure(contender: Contender) -> float:
        started = runs.catch_up(contender, Backlog(FEW_EVENTS))
        full = runs.catch_up(contender, Backlog(FEW_EVENTS + effort.processor_events))
        spent = full.cpu_seconds - started.cpu_seconds
        return spent / effort.processor_events * 1e6

    ours, reference = _medians(effort, measure)
    title = "Processor time of an event of 1.2 kB, over the reference's"
    return [Figure(title, "µs", ours, reference, reference, Limit("at most", 0.3, "ratio"))]


def catching_up(effort: Effort) -> list[Figure]:
    """Compare how fast a backlog is read from afar."""
    events = effort.catching_up_events

    def measure(contender: Contender) -> float:
        backlog = Backlog(events, network=DISTANT)
        return events / runs.catch_up(contender, backlog).seconds

    ours, reference = _medians(effort, measure)
    title = f"Catching up {events:,} events, over the reference's speed"
    return [Figure(title, "events/s", ours, reference, reference, Limit("at least", 10, "ratio"))]


def memory(effort: Effort) -> list[Figure]:
    """Compare the peaks of a long backlog and of a short one."""
    return _peaks(effort, Backlog(effort.small_backlog), Backlog(effort.large_backlog))


def large_events(effort: Effort) -> list[Figure]:
    """Compare the peaks of many events of 70 kB and of few."""
    few, many = effort.few_large_events, effort.many_large_events
    return _peaks(effort, Backlog(few, large_share=1.0), Backlog(many, large_share=1.0))


def live(effort: Effort) -> list[Figure]:
    """See how fast live events come through, and what looking for them costs JumpCloud."""

    def measure(contender: Contender) -> runs.Lived:
        return runs.live(
            contender,
            effort.live_seconds,
            effort.settle_seconds,
            LIVE_EVENTS_A_SECOND,
            POLLS_BETWEEN_AUDITS,
        )

    ours, reference = _alternately(effort, measure, (OURS, REFERENCE))

    def both(read: Callable[[runs.Lived], float]) -> tuple[float, float]:
        return median(map(read, ours)), median(map(read, reference))

    delays = both(lambda lived: lived.median_delay_seconds)
    requests = both(lambda lived: lived.requests_a_poll)
    volumes = both(lambda lived: lived.read_by_delivered)
    half_a_poll = 0.5
    return [
        Figure(
            "Median delay of live events polled every second, over half a poll",
            "s",
            *delays,
            half_a_poll,
            Limit("at most", 1.2, "ratio"),
        ),
        Figure("Requests a poll, nothing late", "", *requests, None, Limit("at most", 2, "ours")),
        Figure(
            "Events read for each delivered, nothing late",
            "",
            *volumes,
            None,
            Limit("at most", 1.5, "ours"),
        ),
    ]


def idle(effort: Effort) -> list[Figure]:
    """See what doing nothing costs."""

    def measure(contender: Contender) -> float:
        return 100 * runs.idle(contender, effort.idle_seconds, effort.settle_seconds)

    ours, reference = _medians(effort, measure)
    title = "Idle at the default frequency, of one core"
    return [Figure(title, "%", ours, reference, None, Limit("at most", 0.5, "ours"))]


def start(effort: Effort) -> list[Figure]:
    """See what the way to the first request costs the processor."""
    ours, reference = _medians(effort, runs.start)
    title = "Processor time from start to first request"
    return [Figure(title, "s", ours, reference, reference, Limit("at most", 1, "ours"))]


FIGURES: Mapping[str, Callable[[Effort], list[Figure]]] = {
    "processor-time": processor_time,
    "catching-up": catching_up,
    "memory": memory,
    "large-events": large_events,
    "live": live,
    "idle": idle,
    "start": start,
}


def by_backlog(effort: Effort) -> list[Point]:
    """Measure throughput and peak memory at several sizes, once each, from afar."""
    measured = [(contender, events) for events in effort.plotted for contender in (OURS, REFERENCE)]
    with ThreadPoolExecutor(effort.at_once) as pool:
        return list(pool.map(_point, measured))


def _point(measured: tuple[Contender, int]) -> Point:
    contender, events = measured
    caught_up = runs.catch_up(contender, Backlog(events, network=DISTANT))
    return Point(
        contender.name,
        events,
        events / caught_up.seconds,
        _megabytes(caught_up),
    )


def _peaks(effort: Effort, small: Backlog, large: Backlog) -> list[Figure]:
    ours_small, _ = _medians(effort, lambda contender: _peak(contender, small))
    ours, reference = _medians(effort, lambda contender: _peak(contender, large))
    size = "70 kB" if large.large_share else "1.2 kB"
    title = f"Peak memory, {large.events:,} events of {size} behind"
    over = f"{title}, over that of {small.events:,}"
    return [
        Figure(over, "MB", ours, reference, ours_small, Limit("at most", 1.25, "ratio")),
        Figure(title, "MB", ours, reference, reference, Limit("at most", 150, "ours")),
    ]


def _peak(contender: Contender, backlog: Backlog) -> float:
    return _megabytes(runs.catch_up(contender, backlog))


def _megabytes(caught_up: CaughtUp) -> float:
    return caught_up.peak_bytes / MEGABYTE


def _medians(effort: Effort, measure: Callable[[Contender], float]) -> tuple[float, float]:
    ours, reference = _alternately(effort, measure, (OURS, REFERENCE))
    return median(ours), median(reference)


def _alternately(
    effort: Effort, measure: Callable[[Contender], Measured], contenders: Sequence[Contender]
) -> list[list[Measured]]:
    """Measure the contenders in turn, `effort.runs` times each; return each one's numbers."""
    turns = list(contenders) * effort.runs
    with ThreadPoolExecutor(effort.at_once) as pool:
        numbers = list(pool.map(measure, turns))
    return [numbers[place :: len(contenders)] for place in range(len(contenders))]
