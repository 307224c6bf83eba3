"""The page's server, without a browser: its files, its stream, its wishes, and the runs behind."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import requests

from sandbox import Sandbox, make_event, many, wait_until
from sandbox import run as running
from sandbox.http import Reply, RequestLog, Server
from sandbox.instants import now_ms
from sandbox.page import server as serving
from sandbox.page.server import Page
from sandbox.page.view import lag_text, view
from sandbox.run import Plan, run
from sandbox.scenarios import BY_NAME, EVERYDAY, Scenario, Step
from sandbox.scene import Scene
from tests import leaks

TINY = Scenario("tiny", "A tiny story", "Little happens.", events=50, steps=(Step("burst", 30),))


@pytest.fixture
def page() -> Iterator[Page]:
    """Return the page of a sandbox without a connector."""
    events = [make_event(now_ms() - 5_000) for _ in range(3)]
    with Sandbox(events) as sandbox, Scene(sandbox) as scene:
        page = Page(sandbox.errors)
        page.start()
        page.show(scene, EVERYDAY)
        yield page
        page.stop()


def _first(page: Page) -> dict[str, Any]:
    """Return what the stream says first."""
    return next(_contents(page))


def _contents(page: Page) -> Iterator[dict[str, Any]]:
    with requests.get(f"{page.url}/stream", stream=True, timeout=10) as answer:
        assert answer.headers["Content-Type"] == "text/event-stream"
        for line in answer.iter_lines():
            if line:
                yield json.loads(line.removeprefix(b"data: "))


def _status_of_a_stream(page: Page) -> int:
    """Return a status without reading on: one that is let in has no end."""
    with requests.get(f"{page.url}/stream", stream=True, timeout=10) as answer:
        return answer.status_code


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/", "text/html"), ("/style.css", "text/css"), ("/page.js", "text/javascript")],
)
def test_the_page_asks_for_nothing_from_outside(page: Page, path: str, kind: str) -> None:
    """It could not: only what comes from here is allowed, and no script within the text."""
    answer = requests.get(page.url + path, timeout=10)

    policy = answer.headers["Content-Security-Policy"]
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith(kind)
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert not re.search(r"https?://(?!127\.0\.0\.1)", answer.text)


@pytest.mark.parametrize("path", ["/../run.py", "/server.py", "/reports/x.html", "/reports/"])
def test_nothing_else_is_served(page: Page, path: str) -> None:
    """Neither the code beside it, nor a report that this process did not write."""
    assert requests.get(page.url + path, timeout=10).status_code == 404


def test_the_stream_says_how_it_stands_and_what_became_of_the_run(
    page: Page, tmp_path: Path
) -> None:
    """Ready to be shown; after the run its outcome, and the report for the asking."""
    contents = _contents(page)
    first = next(contents)
    report = tmp_path / "everyday.html"
    report.write_text("a report")
    page.show_outcome("All is well.", is_good=True, report=report)
    last = next(content for content in contents if content["outcome"])
    found = requests.get(f"{page.url}/reports/{last['report']}", timeout=10)
    harm = requests.post(f"{page.url}/api/harms/burst", timeout=10)

    assert first["figures"]["published"] == "3"
    assert first["verdict"]["word"] == "Nothing is lost, nothing altered"
    assert first["title"] == EVERYDAY.title
    assert first["charts"][0]["name"] == "events"
    assert (last["outcome"], last["good"]) == ("All is well.", True)
    assert (found.status_code, found.text) == (200, "a report")
    assert (harm.status_code, harm.json()["message"]) == (409, "The run is over.")


def test_another_run_takes_the_place_of_the_one_before(page: Page) -> None:
    """Who looks is told by its number."""
    with Sandbox() as sandbox, Scene(sandbox) as scene:
        contents = _contents(page)
        first = next(contents)
        page.show(scene, TINY)
        second = next(content for content in contents if content["run"] != first["run"])

    assert (first["run"], second["run"]) == (1, 2)
    assert second["title"] == "A tiny story"
    assert second["figures"]["published"] == "0"


def test_several_organizations_are_shown_the_worst_first() -> None:
    """With how many are well; of a single one there is nothing to show."""
    organizations = many(14)
    events = [make_event(now_ms() - 5_000, organization=one.id) for one in organizations]
    with Sandbox(events, organizations=organizations) as sandbox:
        of_last = {"intake_key": organizations[-1].intake_key, "jsons": [events[0].text.decode()]}
        requests.post(f"{sandbox.intake.url}/batch", json=of_last, timeout=10).raise_for_status()
        with Scene(sandbox, organizations=organizations) as scene:
            shown = view(scene)
    with Sandbox() as sandbox, Scene(sandbox) as scene:
        single = view(scene)

    told = shown["organizations"]
    assert single["organizations"] is None
    assert (told["tone"], told["word"]) == ("ill", "0 of 14 are well")
    assert told["rows"][0] == {
        "name": "customer-0001",
        "tone": "ill",
        "word": "1 misdelivered",
        "published": "1",
        "accepted": "0",
        "lag": "not known",
    }
    assert (len(told["rows"]), told["more"]) == (10, "4 more, 0 of them well.")
    assert shown["verdict"]["word"] == "Not as promised"
    assert "1 came with another organization's intake key" in shown["verdict"]["detail"]
    assert "one-hangs" in shown["missing"]
    assert "one-hangs" not in single["missing"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "not known"),
        (0.0, "0 s"),
        (119.0, "119 s"),
        (120.0, "2 min"),
        (7_200.0, "2 h"),
        (604_800.0, "7 days"),
    ],
)
def test_a_lag_is_told_in_a_unit_that_is_read_at_once(seconds: float | None, text: str) -> None:
    """A first start is behind by all the history that it collects."""
    assert lag_text(seconds) == text


def test_the_page_is_not_open_without_end(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each costs a thread; one that is closed makes room."""
    monkeypatch.setattr(serving, "_MOST_STREAMS", 1)
    with requests.get(f"{page.url}/stream", stream=True, timeout=10):
        assert wait_until(lambda: _status_of_a_stream(page) == 503)

    assert wait_until(lambda: page._streams == 0)
    assert _first(page)["run"] == 1


def test_wishes_are_kept_for_whoever_runs_the_runs(page: Page) -> None:
    """A name that there is not is refused, and so is a page from elsewhere."""
    said = [
        requests.post(f"{page.url}/wishes/{name}", timeout=10).status_code
        for name in ("stay", "weekend-laptop", "earthquake")
    ]
    elsewhere = requests.post(
        f"{page.url}/wishes/bad-network", headers={"Origin": "http://x.example"}, timeout=10
    )

    assert said == [202, 202, 404]
    assert elsewhere.status_code == 403
    assert page.wishes.stay
    assert page.wishes.scenario == BY_NAME["weekend-laptop"]


def test_offers_name_each_harm_scenario_and_chart(page: Page) -> None:
    """What the page makes its buttons of."""
    offers = requests.get(f"{page.url}/offers", timeout=10).json()

    assert [one["name"] for one in offers["scenarios"]] == list(BY_NAME)
    assert {chart["name"] for chart in offers["charts"]} == {
        chart["name"] for chart in _first(page)["charts"]
    }
    assert {harm["place"] for harm in offers["harms"]} == {
        "JumpCloud",
        "events",
        "intake",
        "connector",
    }


def test_a_body_without_an_end_ends_with_its_client_or_with_the_server() -> None:
    """And whoever makes its pieces is told."""
    ended: list[str] = []

    def pieces(name: str) -> Any:
        try:
            while True:
                yield b"x" * 1000
                time.sleep(0.01)
        finally:
            ended.append(name)

    server = Server("endless", lambda r: Reply(200, pieces=pieces(r.endpoint)), RequestLog(), [])
    server.start()
    with requests.get(f"{server.url}/client", stream=True, timeout=10) as answer:
        first = answer.raw.read(1000)
    assert wait_until(lambda: ended == ["client"])
    with requests.get(f"{server.url}/server", stream=True, timeout=10) as answer:
        answer.raw.read(1000)
        server.stop()

        assert wait_until(lambda: ended == ["client", "server"])
    assert first == b"x" * 1000


def test_a_run_goes_on_with_the_scenario_that_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The first is judged, too; the process ends with the second."""
    monkeypatch.setitem(BY_NAME, TINY.name, TINY)
    monkeypatch.delenv("JUMPCLOUD_API_KEY", raising=False)
    monkeypatch.setattr(running, "_CALM_SECONDS", 0.0)
    pages: list[Page] = []
    streamed: list[str] = []

    class Seen(Page):
        def start(self) -> None:
            super().start()
            pages.append(self)

    def ask() -> None:
        assert wait_until(lambda: pages and pages[0]._shown)
        streamed.extend(map(json.dumps, islice(_contents(pages[0]), 4)))
        assert requests.post(f"{pages[0].url}/wishes/tiny", timeout=10).status_code == 202

    monkeypatch.setattr(running, "Page", Seen)
    asking = threading.Thread(target=ask)
    asking.start()
    status = run(Plan(EVERYDAY, reports=tmp_path, seed=3))
    asking.join()

    output = capsys.readouterr().out
    leaks.note("".join(streamed), name="the page")
    assert status == 0, output
    assert streamed
    assert output.count("verdict          clean") == 2
    assert re.search(r"Burst, 30 events\..*Burst: recovered\.", output, re.DOTALL)
    assert len(list(tmp_path.glob("tiny-*.html"))) == 1
    assert pages[0].url in output


def test_without_a_page_nothing_listens_for_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The terminal shows the same run."""
    monkeypatch.setattr(running, "Page", None)

    status = run(Plan(EVERYDAY, live_seconds=0.5, with_page=False))

    output = capsys.readouterr().out
    assert status == 0, output
    assert "Watch it" not in output
