"""Throughput and peak memory against the size of the backlog, drawn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.figures import Point


def draw(points: Sequence[Point], path: Path) -> bool:
    """Draw the points; return False where matplotlib is missing."""
    try:
        import matplotlib as mpl  # noqa: PLC0415 -- optional: in the bench group only
    except ModuleNotFoundError:
        return False
    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "performance"  # equal points make an equal file
    from matplotlib import pyplot as plt  # noqa: PLC0415 -- after the choice of the back end

    figure, (speed, memory) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for name in dict.fromkeys(point.contender for point in points):
        mine = [point for point in points if point.contender == name]
        sizes = [point.events for point in mine]
        speed.plot(sizes, [p.events_a_second for p in mine], marker="o", label=name)
        memory.plot(sizes, [p.peak_megabytes for p in mine], marker="o", label=name)
    every_size = sorted({point.events for point in points})
    _label(speed, "Events a second", every_size)
    _label(memory, "Peak memory, MB", every_size)
    speed.legend()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
    return True


def _label(axes: Any, title: str, sizes: Sequence[int]) -> None:
    axes.set_title(title)
    axes.set_xlabel("events in the backlog")
    axes.set_xscale("log")
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.grid(visible=True, alpha=0.3)
