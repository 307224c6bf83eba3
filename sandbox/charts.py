"""Samples drawn as lines: the figures of a run as SVG paths, with words for whoever sees no lines.

Knows numbers; knows neither what they are about nor where they are shown. A page that shows a path
keeps no figures, so that its memory does not grow.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from sandbox.observer import Sample

WIDTH, HEIGHT = 600, 120
_MEGABYTE = 1e6

Figure = Callable[[Sample], float | None]
Points = Sequence[tuple[float, float | None]]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a chart: its name, and its path within 600 by 120."""

    name: str
    path: str


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart; `summary` says in words what it shows."""

    name: str
    title: str
    summary: str
    top: str
    lines: tuple[Line, ...]
    bands: str


@dataclass(frozen=True, slots=True)
class _Plot:
    """What a chart is drawn from: figures by name, as they are or, counted up, their rate.

    Logarithmic, so that a few events a second are seen beside a burst.
    """

    name: str
    title: str
    unit: str
    figures: dict[str, Figure]
    is_rate: bool = False
    is_logarithmic: bool = True


def _requests(end: str, *, good: bool) -> Figure:
    def figure(sample: Sample) -> float:
        counts = sample.statuses[end].items()
        return sum(n for status, n in counts if (200 <= status < 300) == good)

    return figure


def _failed(sample: Sample) -> float:
    ends = ("jumpcloud", "intake")
    return sum(_requests(end, good=False)(sample) or 0 for end in ends)


_PLOTS = (
    _Plot(
        "events",
        "Events",
        "a second",
        {"published": lambda s: s.so_far.published, "accepted": lambda s: s.so_far.accepted},
        is_rate=True,
    ),
    _Plot("waiting", "Not arrived yet", "events", {"waiting": lambda s: s.so_far.waiting}),
    _Plot("lag", "Lag", "s", {"lag": lambda s: s.lag_seconds}),
    _Plot(
        "requests",
        "Requests",
        "a second",
        {
            "JumpCloud": _requests("jumpcloud", good=True),
            "intake": _requests("intake", good=True),
            "failed": _failed,
        },
        is_rate=True,
    ),
    _Plot(
        "memory",
        "Memory",
        "MB",
        {"memory": lambda s: s.rss_bytes / _MEGABYTE or None},
        is_logarithmic=False,
    ),
)


def charts(samples: Sequence[Sample], harm: Sequence[tuple[float, float]] = ()) -> list[Chart]:
    """Draw samples; `harm` names spans of seconds that are shaded."""
    return [_chart(plot, samples, harm) for plot in _PLOTS]


def _chart(plot: _Plot, samples: Sequence[Sample], harm: Sequence[tuple[float, float]]) -> Chart:
    measured: dict[str, Points] = {}
    for name, figure in plot.figures.items():
        points = [(sample.elapsed_seconds, figure(sample)) for sample in samples]
        measured[name] = _rate(points) if plot.is_rate else points
    values = [value for points in measured.values() for _, value in points if value is not None]
    top = _round_up(max(values, default=0))
    since, until = _span(samples)
    scale = math.log1p if plot.is_logarithmic else float

    def share(value: float) -> float:
        return scale(value) / scale(top)

    lines = tuple(Line(name, _path(p, (since, until), share)) for name, p in measured.items())
    return Chart(
        plot.name,
        plot.title,
        _summary(measured, plot.unit),
        f"{top:,.15g} {plot.unit}",
        lines,
        _bands(harm, since, until),
    )


def _rate(points: Points) -> Points:
    """Turn what is counted up into what came a second."""
    rates: list[tuple[float, float | None]] = []
    for (then, before), (now, after) in pairwise(points):
        seconds = now - then
        if before is not None and after is not None and seconds > 0:
            rates.append((now, (after - before) / seconds))
    return rates


def _summary(measured: dict[str, Points], unit: str) -> str:
    told = []
    for name, points in measured.items():
        values = [value for _, value in points if value is not None]
        if values:
            now = "" if points[-1][1] is None else f"{points[-1][1]:,.0f} now, "
            told.append(f"{name}: {now}{max(values):,.0f} at most")
    return f"{'; '.join(told)} ({unit})" if told else "nothing yet"


def _span(samples: Sequence[Sample]) -> tuple[float, float]:
    if len(samples) < 2:
        return 0.0, 1.0
    return samples[0].elapsed_seconds, samples[-1].elapsed_seconds


def _path(points: Points, span: tuple[float, float], share: Callable[[float], float]) -> str:
    """Draw points as a path, each as high as its share; broken where a value is not known."""
    drawn, pen_down = [], False
    for seconds, value in points:
        if value is None:
            pen_down = False
            continue
        x, y = _x(seconds, *span), HEIGHT - HEIGHT * share(max(value, 0.0))
        drawn.append(f"{'L' if pen_down else 'M'}{x:.0f} {y:.1f}")
        pen_down = True
    return "".join(drawn)


def _bands(harm: Sequence[tuple[float, float]], since: float, until: float) -> str:
    shown = [(max(begin, since), min(end, until)) for begin, end in harm if end > since]
    return "".join(
        f"M{_x(begin, since, until):.0f} 0V{HEIGHT}H{max(_x(end, since, until), left + 2):.0f}V0Z"
        for begin, end in shown
        for left in (_x(begin, since, until),)
    )


def _x(seconds: float, since: float, until: float) -> float:
    return WIDTH * (seconds - since) / max(until - since, 1e-9)


def _round_up(value: float) -> float:
    """Return the next of 1, 2, 5, 10, 20, … that is not smaller."""
    size = 1.0
    while size < value:
        for factor in (2, 5, 10):
            if size * factor >= value:
                return size * factor
        size *= 10
    return size
