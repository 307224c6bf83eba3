"""What each contraption is worth: runs without it, in turn with runs that leave everything in.

Nothing here is a limit; a contraption that these numbers do not show should go.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from benchmarks.contenders import OURS, Contender
from benchmarks.runs import DISTANT, Backlog, CaughtUp, catch_up
from sandbox.connector import ROOT

NAMES = (
    "nothing",
    "buffers used again",
    "watching the processor for the number of readers",
    "freezing what was imported",
    "asking for the next page ahead",
)
EVENTS = 100_000


@dataclass(frozen=True, slots=True)
class Worth:
    """Medians without one contraption.

    Processor time (start and end included) and peak with a near JumpCloud, speed from a distant
    one.
    """

    without: str
    microseconds: float
    peak_megabytes: float
    distant_events_a_second: float


def measure(runs: int, events: int = EVENTS) -> list[Worth]:
    """Catch up without each, near and far, `runs` times in turn."""
    near: dict[str, list[CaughtUp]] = {name: [] for name in NAMES}
    far: dict[str, list[CaughtUp]] = {name: [] for name in NAMES}
    for _ in range(runs):
        for name in NAMES:
            near[name].append(catch_up(_without(name), Backlog(events)))
            far[name].append(catch_up(_without(name), Backlog(events, network=DISTANT)))
    return [
        Worth(
            name,
            median(run.cpu_seconds for run in near[name]) / events * 1e6,
            median(run.peak_bytes for run in near[name]) / 1e6,
            events / median(run.seconds for run in far[name]),
        )
        for name in NAMES
    ]


def _without(name: str) -> Contender:
    return Contender(
        f"ours without {name}",
        ROOT / "benchmarks" / "without",
        OURS.command,
        is_verbatim=True,
        always_stops=True,
        environment={"WITHOUT": name},
    )
