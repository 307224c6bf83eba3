"""Draw the dashboard as an SVG, from what it showed of a recorded run.

The run is the one of tests/process/test_prometheus.py; RECORD_DASHBOARD names where it writes.

::

    python -m tools.dashboard_picture [--check]
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any, Final

from tools.dashboard import ROWS, Panel

ROOT: Final = Path(__file__).resolve().parent.parent
RECORDING: Final = ROOT / "deploy/grafana/recording.json"
PICTURE: Final = ROOT / "docs/dashboard.svg"
WIDTH: Final = 1200
GAP: Final = 8
ROW_HEIGHT: Final = 26
NUMBER_HEIGHT: Final = 70
LINES_HEIGHT: Final = 170
LEGEND_LINES: Final = 4
SHADES: Final = ("#fbdcdc", "#fdf0e0")
COLORS: Final = (
    "#1f77b4",
    "#ff7f0e",
    "#2ca02c",
    "#d62728",
    "#9467bd",
    "#8c564b",
    "#17becf",
    "#7f7f7f",
)
UNITS: Final = {"s": " s", "reqps": "/s", "cps": "/s", "short": "", "bytes": " B"}

Points = Sequence[Sequence[float]]


def picture(recording: dict[str, Any]) -> str:
    """Return the SVG of a recording, which is of a single organization."""
    drawn = {panel["title"]: panel["series"] for panel in recording["panels"]}
    parts, top = list[str](), GAP
    for title, every in ROWS:
        panels = [panel for panel in every if not panel.is_of_many]
        if not panels:
            continue
        parts.append(_text(GAP, top + 16, title, "font-weight='bold' font-size='14'"))
        top += ROW_HEIGHT
        width = (WIDTH - GAP) / len(panels)
        height = max(LINES_HEIGHT if panel.kind == "lines" else NUMBER_HEIGHT for panel in panels)
        for place, panel in enumerate(panels):
            box = (GAP + place * width, top, width - GAP, height)
            parts += _panel(panel, drawn[panel.title], box, recording)
        top += height + GAP
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {top}'"
        " font-family='sans-serif' font-size='11'>\n"
        f"<rect width='{WIDTH}' height='{top}' fill='#f4f5f5'/>\n" + "\n".join(parts) + "\n</svg>\n"
    )


Box = tuple[float, float, float, float]


def _panel(
    panel: Panel, series: list[dict[str, Any]], box: Box, recording: dict[str, Any]
) -> Iterator[str]:
    x, y, width, height = box
    yield (
        f"<rect x='{x:.1f}' y='{y}' width='{width:.1f}' height='{height}' fill='white'"
        " stroke='#d8d9da'/>"
    )
    yield _text(x + 8, y + 16, panel.title, "font-weight='bold'")
    if panel.kind == "lines":
        yield from _lines(panel, series, box, recording)
        return
    last = series[-1]
    said = last["name"] if panel.kind == "name" else _number(last["points"][-1][1], panel.unit)
    yield _text(x + 8, y + 54, said, "font-size='28' fill='#2ca02c'")


def _lines(
    panel: Panel, series: list[dict[str, Any]], box: Box, recording: dict[str, Any]
) -> Iterator[str]:
    x, y, width, height = box
    left, right, top, bottom = x + 44, x + width - 8, y + 26, y + height - 12 * LEGEND_LINES - 14
    most = max((value for one in series for _, value in one["points"]), default=0) or 1
    across = (right - left) / recording["seconds"]
    for number, cause in enumerate(recording["causes"]):
        shade = SHADES[number % len(SHADES)]
        yield (
            f"<rect x='{left + cause['from'] * across:.1f}' y='{top:.1f}'"
            f" width='{(cause['to'] - cause['from']) * across:.1f}' height='{bottom - top:.1f}'"
            f" fill='{shade}'><title>{escape(cause['alert'])}</title></rect>"
        )
    yield f"<path d='M{left:.1f},{top:.1f}V{bottom:.1f}H{right:.1f}' fill='none' stroke='#999'/>"
    yield _text(left - 4, top + 8, _number(most, panel.unit), "text-anchor='end' font-size='9'")
    yield _text(left - 4, bottom, "0", "text-anchor='end' font-size='9'")
    shown = sorted(series, key=lambda one: -max((v for _, v in one["points"]), default=0))
    for place, one in enumerate(shown):
        color = COLORS[place % len(COLORS)]
        path = " ".join(_path(one["points"], left, bottom, across, (bottom - top) / most))
        yield f"<path d='{path}' fill='none' stroke='{color}' stroke-width='1.3'/>"
        if place < LEGEND_LINES:
            label = bottom + 14 + 12 * place
            yield (
                f"<rect x='{x + 8:.1f}' y='{label - 7:.1f}' width='10' height='3' fill='{color}'/>"
            )
            yield _text(x + 22, label - 1, one["name"] or panel.title, "font-size='9'")


def _path(points: Points, left: float, bottom: float, across: float, up: float) -> Iterator[str]:
    """Draw a line, broken where Prometheus knew nothing for a while."""
    before = None
    for instant, value in points:
        move = "L" if before is not None and instant - before <= 10 else "M"
        yield f"{move}{left + instant * across:.1f},{bottom - value * up:.1f}"
        before = instant


def _number(value: float, unit: str) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if value >= size:
            return f"{value / (1e3 if letter == 'k' else size):.3g} {letter}{UNITS[unit].strip()}"
    return f"{value:.0f}{UNITS[unit]}" if value >= 100 else f"{value:.3g}{UNITS[unit]}"


def _text(x: float, y: float, text: str, attributes: str = "") -> str:
    return f"<text x='{x:.1f}' y='{y:.1f}' {attributes}>{escape(text)}</text>"


def main(arguments: list[str] | None = None) -> int:
    """Draw or check the picture, and return the exit status."""
    parser = argparse.ArgumentParser(description="Draw the dashboard of a recorded run.")
    parser.add_argument("--check", action="store_true", help="only tell whether it differs")
    drawn = picture(json.loads(RECORDING.read_text(encoding="utf-8")))
    if not parser.parse_args(arguments).check:
        PICTURE.write_text(drawn, encoding="utf-8")
        return 0
    if PICTURE.read_text(encoding="utf-8") == drawn:
        return 0
    sys.stderr.write("docs/dashboard.svg is not of deploy/grafana/recording.json: make docs\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
