"""Scenarios: what is told, that each can be done, and the report that is left of it."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from math import log1p
from pathlib import Path

import pytest

from sandbox.__main__ import main
from sandbox.charts import HEIGHT, WIDTH, charts
from sandbox.harm import BY_NAME as HARMS
from sandbox.incidents import Incident
from sandbox.observer import Line, Sample
from sandbox.report import Report
from sandbox.run import Plan, run
from sandbox.running_verdict import SoFar
from sandbox.scenarios import BY_NAME, EVERYDAY, SCENARIOS, Scenario, Step
from sandbox.verdict import Verdict
from tests import leaks

NOW = datetime(2026, 11, 28, 12, 0, 5, tzinfo=UTC)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: one.name)
def test_the_steps_of_a_scenario_can_be_done(scenario: Scenario) -> None:
    """Each is a harm that there is, within its bounds, and late events are within reach."""
    for step in scenario.steps:
        amount = HARMS[step.harm].amount
        assert amount.least <= step.amount <= amount.most
        if step.harm == "late-events":
            assert step.amount < scenario.history_hours * 3_600
    assert scenario.events_hours <= scenario.history_hours <= 90 * 24


def test_the_scenarios_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """Each on a line, by the name to type."""
    assert main(["run", "--list-scenarios"]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(BY_NAME)


def test_a_scenario_that_there_is_not_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """With the names of those that there are."""
    with pytest.raises(SystemExit) as ended:
        main(["run", "--scenario", "earthquake"])

    assert ended.value.code == 2
    assert "weekend-laptop" in capsys.readouterr().err


def test_a_scenario_ends_with_a_verdict_and_a_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The real connector finds what is three days late; a key of the real one is left alone."""
    monkeypatch.setenv("JUMPCLOUD_API_KEY", "jca_the_real_one")

    status = run(Plan(BY_NAME["weekend-laptop"], live_seconds=1.0, reports=tmp_path))

    output = capsys.readouterr().out
    page, content = sorted(tmp_path.iterdir())
    told = json.loads(content.read_text("utf-8"))
    for path in (page, content):
        leaks.note(path.read_text("utf-8"), name="the report")
    assert status == 0, output
    assert "JUMPCLOUD_API_KEY is not used by a scenario" in output
    assert f"Report: {page}" in output
    assert told["good"] is told["verdict"]["clean"] is True
    assert [one["harm"] for one in told["incidents"]] == ["late-events"]
    assert re.search(r"It found [6-9]\d events late", page.read_text("utf-8"))


def test_a_scenario_of_several_organizations_is_judged_for_each(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those that something was done to have a row of their own, there and in the report."""
    several = Scenario(
        "several",
        "Several",
        "The list changes.",
        events=600,
        organizations=12,
        per_second=10.0,
        steps=(Step("one-refused-intake-key", 3), Step("list-change", 2)),
        live_seconds=1.0,
    )

    status = run(Plan(several, reports=tmp_path, with_page=False))

    output = capsys.readouterr().out
    page, content = sorted(tmp_path.iterdir())
    told = json.loads(content.read_text("utf-8"))
    leaks.note(output, name="make run")
    leaks.note(page.read_text("utf-8"), content.read_bytes(), name="the report")
    rows = re.findall(r"^(\S+(?: others)?)  +[\d,]+ .*  (\S.*)$", output, re.MULTILINE)
    assert status == 0, output
    assert rows == [
        ("customer-0009", "got another intake key"),
        ("customer-0011", "left the list"),
        ("customer-0012", "its intake key was refused"),
        ("customer-0013", "came to the list"),
        ("customer-0014", "came to the list"),
        ("9 others", "all of them clean"),
    ]
    assert re.search(r" \| lag \d+ s \| 12 of 12 well\n", output)
    assert "12 organizations, each with an intake key of its own. 1 with an API key" in output
    assert len(told["organizations"]) == 14
    assert all(verdict["clean"] for verdict in told["organizations"].values())
    assert "got another intake key" in page.read_text("utf-8")


class _Tags(HTMLParser):
    """Collects the tags of a page with their attributes, and what is still open at its end."""

    VOID = frozenset({"meta", "link", "img", "br"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def _sample(seconds: float, accepted: int, **known: float | int | None) -> Sample:
    so_far = SoFar(produced=accepted + 5, accepted=accepted, waiting=5, twice=0, strange=0)
    statuses = {"jumpcloud": {200: accepted, 503: 2}, "intake": {200: accepted}}
    return Sample(seconds, so_far, statuses, **known)  # type: ignore[arg-type]


def _report(*, is_good: bool) -> Report:
    samples = [_sample(n / 2, n * 10, lag_seconds=float(n), rss_bytes=90_000_000) for n in range(9)]
    incident = Incident(1, HARMS["kill"], 3, 1.0, settled_seconds=3.0)
    incident.told = ("It logged: <b>& all that</b>",)
    return Report(
        scenario=EVERYDAY,
        verdict=Verdict(100, 99, int(not is_good), 0, 0, 0, 0, lost_ids=("<lost>",)),
        kills=1,
        samples=samples,
        incidents=[incident],
        lines=[Line(1, 0.5, "info", "Polled in"), Line(2, 0.5, "warning", "<script>")],
        is_good=is_good,
        cpu_seconds=1.25,
        peak_rss_bytes=100_000_000,
    )


@pytest.mark.parametrize("is_good", [True, False])
def test_a_report_is_one_file_that_asks_for_nothing(tmp_path: Path, is_good: bool) -> None:
    """No script, no address, nothing from outside; what was logged is text."""
    page = _report(is_good=is_good).write(tmp_path, NOW)

    text = page.read_text("utf-8")
    tags = _Tags(text)
    assert page.name == "everyday-20261128T120005Z.html"
    assert tags.open == []
    assert not {tag for tag, _ in tags.found} & {"script", "link", "img", "iframe", "b", "lost"}
    assert not any({"src", "href", "srcset"} & attributes.keys() for _, attributes in tags.found)
    assert "url(" not in text
    assert "//" not in text.replace("/*", "")
    assert "&lt;script&gt;" in text
    assert "Polled in" not in text
    assert ("NOT good" in text) != is_good


def test_a_report_s_charts_say_in_words_what_they_show(tmp_path: Path) -> None:
    """For whoever sees no lines."""
    tags = _Tags(_report(is_good=True).write(tmp_path, NOW).read_text("utf-8"))

    told = [more["aria-label"] or "" for tag, more in tags.found if more.get("role") == "img"]
    assert len(told) == 5
    assert "Lag. lag: 8 now, 8 at most (s)" in told
    assert any(text.startswith("Events. published: 20 now") for text in told)


def test_a_chart_stays_within_its_frame_and_is_broken_where_nothing_is_known() -> None:
    """While the connector is away, nobody knows its lag."""
    samples = [_sample(n, n, lag_seconds=None if n == 3 else float(n)) for n in range(7)]

    drawn = {chart.name: chart for chart in charts(samples, [(2.0, 4.0)])}

    points = re.findall(r"[ML](\d+) ([\d.]+)", drawn["lag"].lines[0].path)
    assert points[0] == ("0", f"{HEIGHT}.0")
    assert points[-1] == (f"{WIDTH}", f"{HEIGHT * (1 - log1p(6) / log1p(10)):.1f}")
    assert all(0 <= float(x) <= WIDTH and 0 <= float(y) <= HEIGHT for x, y in points)
    assert drawn["lag"].lines[0].path.count("M") == 2
    assert drawn["lag"].top == "10 s"
    assert drawn["lag"].bands == "M200 0V120H400V0Z"


def test_a_chart_of_nothing_is_drawn() -> None:
    """At the very beginning."""
    assert {chart.summary for chart in charts([_sample(0.0, 0)]) if chart.name != "waiting"} == {
        "nothing yet"
    }
