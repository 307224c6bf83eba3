"""The figures as tables and as JSON; tools/documents.py puts them into the documents."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.contraptions import Worth
from benchmarks.figures import Figure, Limit, Point
from benchmarks.steps import Step
from sandbox.connector import ROOT

RESULTS_PATH = ROOT / "benchmarks" / "results.json"
PLOT_PATH = ROOT / "docs" / "performance.svg"

_HEADINGS = ("figure", "ours", "reference", "ratio", "limit", "holds")
_HEADINGS_OF_MANY = ("figure", "measured", "otherwise", "ratio", "limit", "holds")


@dataclass(frozen=True, slots=True)
class Results:
    """All that one run of the benchmark found out."""

    machine: dict[str, Any]
    runs: int
    figures: tuple[Figure, ...] = ()
    points: tuple[Point, ...] = ()
    steps: tuple[Step, ...] = ()
    organizations: tuple[Figure, ...] = ()

    def figure(self, title: str) -> Figure:
        """Return the figure of a title. Raises StopIteration where there is none."""
        return next(figure for figure in self.figures if figure.title == title)

    def of_many(self, title: str) -> Figure:
        """Return the figure of many organizations of a title. Raises StopIteration."""
        return next(figure for figure in self.organizations if figure.title == title)


def this_machine() -> dict[str, Any]:
    """Tell what the numbers depend on, and nothing that names the machine."""
    return {
        "python": platform.python_version(),
        "system": platform.system(),
        "architecture": platform.machine(),
        "cores": os.cpu_count(),
    }


def to_json(results: Results) -> str:
    """Write results as JSON; ratio and verdict stand there for the reader."""
    document = asdict(results)
    for name in ("figures", "organizations"):
        for figure, fields in zip(getattr(results, name), document[name], strict=True):
            fields |= {"ratio": figure.ratio, "holds": figure.holds}
    return json.dumps(document, indent=2) + "\n"


def from_json(text: str) -> Results:
    """Read results back."""
    document = json.loads(text)
    return Results(
        machine=document["machine"],
        runs=document["runs"],
        figures=tuple(_figure(fields) for fields in document["figures"]),
        points=tuple(Point(**fields) for fields in document["points"]),
        steps=tuple(Step(**fields) for fields in document["steps"]),
        organizations=tuple(_figure(fields) for fields in document["organizations"]),
    )


def figures_table(figures: Iterable[Figure]) -> str:
    """Lay the figures out as a Markdown table."""
    return _table(_HEADINGS, [_row(figure) for figure in figures])


def organizations_table(figures: Iterable[Figure]) -> str:
    """Lay the figures of many organizations out as a Markdown table."""
    return _table(_HEADINGS_OF_MANY, [_row(figure) for figure in figures])


def steps_table(steps: Sequence[Step]) -> str:
    """Lay out where each microsecond goes."""
    rows = [(s.name, f"{s.microseconds:.2f}", "yes" if s.is_floor else "") for s in steps]
    rows.append(("all", f"{sum(s.microseconds for s in steps):.2f}", ""))
    floor = sum(s.microseconds for s in steps if s.is_floor)
    rows.append(("the floor", f"{floor:.2f}", "yes"))
    return _table(("step", "µs an event", "floor"), rows)


def worths_table(worths: Iterable[Worth]) -> str:
    """Lay out as a Markdown table what each contraption is worth."""
    headings = ("without", "µs an event", "peak", "from afar")
    rows = [
        (
            worth.without,
            _quantity(worth.microseconds, ""),
            _quantity(worth.peak_megabytes, "MB"),
            _quantity(worth.distant_events_a_second, "events/s"),
        )
        for worth in worths
    ]
    return _table(headings, rows)


def figures_part(results: Results) -> str:
    """Return what docs/performance.md shows of the figures."""
    return f"{_measured_on(results)}\n\n{figures_table(results.figures)}"


def organizations_part(results: Results) -> str:
    """Return what docs/performance.md shows of many organizations."""
    return organizations_table(results.organizations)


def _measured_on(results: Results) -> str:
    machine = results.machine
    return (
        f"Medians of {results.runs} runs of each in turn, on Python {machine['python']},"
        f" {machine['system']}, {machine['cores']} cores."
    )


def _figure(fields: dict[str, Any]) -> Figure:
    kept = {name: value for name, value in fields.items() if name not in ("ratio", "holds")}
    return Figure(**{**kept, "limit": Limit(**fields["limit"])})


def _row(figure: Figure) -> tuple[str, ...]:
    limit = figure.limit
    unit = "" if limit.of == "ratio" else figure.unit
    return (
        figure.title,
        _quantity(figure.ours, figure.unit),
        "–" if figure.reference is None else _quantity(figure.reference, figure.unit),
        "–" if figure.ratio is None else _number(figure.ratio),
        f"{limit.sense} {_quantity(limit.value, unit)}",
        "yes" if figure.holds else "NO",
    )


def _quantity(value: float, unit: str) -> str:
    return f"{_number(value)} {unit}".rstrip()


def _number(value: float) -> str:
    if value == int(value) or value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    lines = [headings, ["-" * width for width in widths], *rows]
    return "\n".join("| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in lines)
