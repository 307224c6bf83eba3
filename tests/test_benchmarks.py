"""The benchmark works and its page is up to date; how fast the machine is does not matter."""

from __future__ import annotations

import json
from dataclasses import replace
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from benchmarks import contenders, contraptions, organizations, plot, results, runs, steps
from benchmarks.__main__ import CHOICES, main
from benchmarks.figures import FIGURES, QUICK, Figure, Limit, Point
from benchmarks.results import RESULTS_PATH, Results

if TYPE_CHECKING:
    from sandbox.connector import ConnectorProcess

A_LIMIT = Limit("at most", 0.3, "ratio")
A_FIGURE = Figure("cost", "µs", ours=6.0, reference=30.0, against=30.0, limit=A_LIMIT)
POINTS = (Point("ours", 10, 100.0, 50.0), Point("reference", 10, 10.0, 60.0))
STEPS = (steps.Step("fetch", 1.5, is_floor=True), steps.Step("record", 0.5, is_floor=False))
OF_MANY = (
    Figure(
        "memory",
        "MB",
        ours=120.0,
        reference=None,
        against=None,
        limit=Limit("at most", 300, "ours"),
    ),
)
SOME_RESULTS = Results(
    {"python": "3", "system": "Linux", "cores": 2}, 5, (A_FIGURE,), POINTS, STEPS, OF_MANY
)
OF_ORGANIZATIONS = 7
"""Memory, processor, start, requests; delays beside a backfill, refusals and silence."""


def test_a_quick_run_measures_everything_and_keeps_it(tmp_path: Path) -> None:
    """Every figure, the plot's points and the profile come out of real processes."""
    kept = tmp_path / "results.json"

    status = main(["--quick", "--json", str(kept)])

    found = results.from_json(kept.read_text())
    assert status == 0
    assert len(found.figures) == len(FIGURES) + 4  # memory twice, large events twice, live thrice
    assert len(found.organizations) == OF_ORGANIZATIONS
    assert all(isfinite(figure.ours) for figure in (*found.figures, *found.organizations))
    assert {point.contender for point in found.points} == {"ours", "reference"}
    assert [step.name for step in found.steps] == list(steps.ORDER)


def test_a_connector_that_does_not_collect_fails_the_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What ends before its work is done has no figures."""
    (tmp_path / "main.py").write_text("print('I give up')")
    broken = replace(contenders.OURS, root=tmp_path)
    monkeypatch.setattr("benchmarks.figures.OURS", broken)

    status = main(["--quick", "--only", "start"])

    assert status == 2
    assert "I give up" in capsys.readouterr().err


class _Deaf:
    """A process that does not end when it is asked to."""

    def stop(self, timeout_seconds: float) -> int:
        raise TimeoutError(f"it still runs after {timeout_seconds} s")


def test_only_the_reference_may_be_deaf_to_a_stop() -> None:
    """The SDK's stop sometimes waits for itself; ours never may."""
    deaf = cast("ConnectorProcess", _Deaf())

    contenders.REFERENCE.stop(deaf)
    with pytest.raises(TimeoutError):
        contenders.OURS.stop(deaf)


def test_events_that_are_altered_fail_the_run() -> None:
    """A figure over events that did not arrive as they were would be worthless."""
    pretender = replace(contenders.REFERENCE, is_verbatim=True)

    with pytest.raises(runs.RunFailed, match="are not right"):
        runs.catch_up(pretender, runs.Backlog(20))


@pytest.mark.parametrize(
    ("limit", "holds"),
    [
        (Limit("at most", 0.2, "ratio"), True),
        (Limit("at most", 0.19, "ratio"), False),
        (Limit("at least", 0.2, "ratio"), True),
        (Limit("at least", 0.21, "ratio"), False),
        (Limit("at most", 6.0, "ours"), True),
        (Limit("at most", 5.9, "ours"), False),
    ],
)
def test_a_limit_holds_up_to_its_value(limit: Limit, holds: bool) -> None:
    """The bound itself is allowed, on the ratio or on our own number."""
    assert replace(A_FIGURE, limit=limit).holds is holds


def test_a_ratio_without_a_base_breaks_its_limit() -> None:
    """Nothing to hold it against is no success."""
    assert not replace(A_FIGURE, against=None).holds


def test_a_broken_limit_ends_a_full_run_with_status_1(monkeypatch: pytest.MonkeyPatch) -> None:
    """CI and people alike see it; a quick run says nothing of limits."""
    broken = replace(A_FIGURE, ours=29.0)
    monkeypatch.setattr("benchmarks.__main__.FIGURES", {"start": lambda _: [broken]})

    assert main(["--only", "start"]) == 1
    assert main(["--only", "start", "--quick"]) == 0


def test_results_survive_being_written() -> None:
    """What is read back is what was measured."""
    text = results.to_json(SOME_RESULTS)

    assert results.from_json(text) == SOME_RESULTS
    assert json.loads(text)["figures"][0]["holds"] is True
    assert json.loads(text)["organizations"][0]["holds"] is True


def test_the_figures_are_laid_out_with_what_they_were_measured_on() -> None:
    """As docs/performance.md shows them."""
    part = results.figures_part(SOME_RESULTS)

    assert part.startswith("Medians of 5 runs of each in turn, on Python 3, Linux, 2 cores.")
    assert "| cost   | 6 µs | 30 µs     | 0.20  | at most 0.30 | yes   |" in part


def test_a_broken_limit_of_many_organizations_ends_a_run_with_status_1(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They have limits as the others have."""
    broken = replace(OF_MANY[0], ours=301.0)
    monkeypatch.setattr(organizations, "figures", lambda _, _at_once: iter([[broken]]))

    assert main(["--only", "organizations"]) == 1
    assert main(["--only", "organizations", "--quick"]) == 0


def test_the_figures_of_many_organizations_name_what_they_are_held_against() -> None:
    """Not the plain reference, which collects one organization."""
    part = results.organizations_part(SOME_RESULTS)

    assert "| figure | measured | otherwise | ratio |" in part
    assert "| memory | 120 MB   | –         | –     | at most 300 MB | yes   |" in part


def test_the_committed_results_come_from_a_full_run() -> None:
    """Five runs at least, of every figure."""
    committed = results.from_json(RESULTS_PATH.read_text())

    assert committed.runs >= 5
    assert len(committed.figures) == len(FIGURES) + 4
    assert len(committed.organizations) == OF_ORGANIZATIONS
    assert committed.points
    assert committed.steps
    assert set(CHOICES) == {*FIGURES, "organizations", "plot", "profile"}


def test_the_plot_is_drawn_where_matplotlib_is_there(tmp_path: Path) -> None:
    """Without it the benchmark goes on."""
    drawn = plot.draw(POINTS, tmp_path / "plot.svg")

    assert (tmp_path / "plot.svg").exists() is drawn


def test_quick_is_no_measurement() -> None:
    """Its processes run side by side, which no figure could be trusted from."""
    assert QUICK.at_once > 1


def test_the_connector_runs_without_each_contraption() -> None:
    """It delivers the same; the run itself compares what arrived."""
    worths = contraptions.measure(runs=1, events=20)

    assert [worth.without for worth in worths] == list(contraptions.NAMES)
    assert "| nothing" in results.worths_table(worths)
