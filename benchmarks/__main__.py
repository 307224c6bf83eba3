"""Measure, print a table, keep the results. Run `python -m benchmarks --help`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from benchmarks import contraptions, organizations, plot, steps
from benchmarks.figures import FIGURES, FULL, QUICK, Effort, Figure, Point, by_backlog
from benchmarks.results import (
    PLOT_PATH,
    RESULTS_PATH,
    Results,
    figures_table,
    from_json,
    organizations_table,
    steps_table,
    this_machine,
    to_json,
    worths_table,
)
from benchmarks.runs import RunFailed
from tools import documents

PLOT, PROFILE, WITHOUT, ORGANIZATIONS = "plot", "profile", "without", "organizations"
CHOICES = (*FIGURES, ORGANIZATIONS, PLOT, PROFILE)
QUICK_EVENTS = 1_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; return 1 where a limit is broken, 2 where a run failed."""
    chosen = _parser().parse_args(arguments)
    try:
        if chosen.what == PROFILE:
            print(steps_table(steps.measure()))
            return 0
        if chosen.what == WITHOUT:
            print(worths_table(contraptions.measure(chosen.runs or FULL.runs)))
            return 0
        if chosen.write_docs:
            _write_docs(from_json(RESULTS_PATH.read_text()))
            return 0
        return _benchmark(chosen)
    except RunFailed as failure:
        print(failure, file=sys.stderr)
        return 2


def _benchmark(chosen: argparse.Namespace) -> int:
    effort = QUICK if chosen.quick else FULL
    effort = replace(effort, runs=chosen.runs or effort.runs)
    names = tuple(chosen.only or CHOICES)
    results = _measured(effort, names)
    if path := _where_to_keep(chosen, names):
        path.write_text(to_json(results))
        print(f"The results are in {path}.")
        if path == RESULTS_PATH:
            _write_docs(results)
    measured = (*results.figures, *results.organizations)
    broken = [figure.title for figure in measured if not figure.holds]
    if chosen.quick:
        print("This was a quick run: its numbers say nothing.")
        return 0
    for title in broken:
        print(f"Broken: {title}", file=sys.stderr)
    return 1 if broken else 0


def _where_to_keep(chosen: argparse.Namespace, names: Sequence[str]) -> Path | None:
    """Keep what was asked to be kept, and a full run, which alone may replace the committed one."""
    if chosen.json is not None:
        return Path(chosen.json)
    is_full = not chosen.quick and set(names) == set(CHOICES)
    return RESULTS_PATH if is_full else None


def _measured(effort: Effort, names: Sequence[str]) -> Results:
    return Results(
        machine=this_machine(),
        runs=effort.runs,
        figures=_figures(effort, [name for name in FIGURES if name in names]),
        organizations=_of_organizations(effort) if ORGANIZATIONS in names else (),
        points=_points(effort) if PLOT in names else (),
        steps=_steps(effort) if PROFILE in names else (),
    )


def _figures(effort: Effort, names: Sequence[str]) -> tuple[Figure, ...]:
    figures: list[Figure] = []
    with ThreadPoolExecutor(effort.at_once) as pool:
        for found in pool.map(lambda name: _figures_of(effort, name), names):
            print(figures_table(found), flush=True)
            figures += found
    return tuple(figures)


def _figures_of(effort: Effort, name: str) -> list[Figure]:
    print(f"Measuring {name} ...", file=sys.stderr, flush=True)
    return FIGURES[name](effort)


def _of_organizations(effort: Effort) -> tuple[Figure, ...]:
    print("Measuring many organizations ...", file=sys.stderr, flush=True)
    scale = organizations.QUICK if effort.at_once > 1 else organizations.FULL
    figures: list[Figure] = []
    for found in organizations.figures(scale, effort.at_once):
        print(organizations_table(found), flush=True)
        figures += found
    return tuple(figures)


def _points(effort: Effort) -> tuple[Point, ...]:
    print("Measuring by size of the backlog ...", file=sys.stderr, flush=True)
    return tuple(by_backlog(effort))


def _steps(effort: Effort) -> tuple[steps.Step, ...]:
    print("Measuring step by step ...", file=sys.stderr, flush=True)
    if effort.at_once > 1:
        return steps.measure(QUICK_EVENTS, rounds=1)
    return steps.measure()


def _write_docs(results: Results) -> None:
    documents.write(documents.ROOT)
    if not plot.draw(results.points, PLOT_PATH):
        print("matplotlib is not installed: the plot stays as it is (make bench installs it).")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "what",
        nargs="?",
        choices=(PROFILE, WITHOUT),
        help="only where the time goes, or what each contraption is worth",
    )
    parser.add_argument("--runs", type=int, help=f"runs of each connector ({FULL.runs})")
    parser.add_argument("--only", action="append", choices=CHOICES, help="measure no others")
    parser.add_argument("--quick", action="store_true", help="see that it works; check no limit")
    parser.add_argument("--json", metavar="PATH", help="where to write the results")
    parser.add_argument(
        "--write-docs", action="store_true", help="bring docs/performance.md up to date, no more"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
