"""The page on a port of loopback: its files, a stream of what is shown, harm, and other scenarios.

It outlives a run, so that another one can follow. Knows requests and replies; what a run does
stays in its scene.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from sandbox.api import PREFIX
from sandbox.charts import Chart, charts
from sandbox.guard import guarded
from sandbox.http import Reply, Request, RequestLog, Server, json_reply, message_reply
from sandbox.observer import SECONDS_BETWEEN_SAMPLES, Sample
from sandbox.page.view import line_to_json, view
from sandbox.scenarios import BY_NAME, SCENARIOS, Scenario
from sandbox.scene import Scene

_FOLDER = Path(__file__).resolve().parent
_FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/style.css": ("style.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
}
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
        " img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_OF_A_REPORT = {
    **_HEADERS,
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
}
_MOST_STREAMS = 16
_LINES_AT_FIRST = 60


@dataclass(frozen=True, slots=True)
class Shown:
    """A run as the page knows it: its number, and once it is over, what it came to."""

    number: int
    scenario: Scenario
    scene: Scene
    outcome: str = ""
    is_good: bool = False
    report: str = ""


@dataclass(slots=True)
class Wishes:
    """What a person asked for on the page; whoever runs the runs looks here."""

    scenario: Scenario | None = None
    stay: bool = False


class Page:
    """The page, from `with` to its end."""

    def __init__(self, errors: list[str], port: int = 0) -> None:
        self.wishes = Wishes()
        self.ends_at: float | None = None  # by time.monotonic(), where an end is planned
        self._shown: Shown | None = None
        self._reports: dict[str, Path] = {}
        self._streams = 0
        self._lock = threading.Lock()
        self._cached: tuple[Sample | None, dict[str, Any]] = (None, {})
        self._server = Server("page", guarded(self.answer), RequestLog(), errors, port)

    @property
    def url(self) -> str:
        """Return the address, without a final slash."""
        return self._server.url

    def start(self) -> None:
        """Serve it."""
        self._server.start()

    def stop(self) -> None:
        """Serve it no more; who looks has seen the outcome by then."""
        if self._streams:
            time.sleep(3 * SECONDS_BETWEEN_SAMPLES)
        self._server.stop()

    def show(self, scene: Scene, scenario: Scenario) -> None:
        """Show a run that begins, in the place of the one before."""
        number = self._shown.number + 1 if self._shown else 1
        self.wishes.scenario, self.ends_at = None, None
        self._shown = Shown(number, scenario, scene)

    def show_outcome(self, outcome: str, *, is_good: bool, report: Path | None) -> None:
        """Show what the run came to."""
        if self._shown is None:
            return
        name = report.name if report else ""
        if report:
            self._reports[name] = report
        self._shown = replace(self._shown, outcome=outcome, is_good=is_good, report=name)

    def answer(self, request: Request) -> Reply:
        """Answer a request that the guard let pass."""
        path = request.path.partition("?")[0]
        if request.method == "POST" and path.startswith("/wishes/"):
            return self._wish(path.removeprefix("/wishes/"))
        if path.startswith(PREFIX) and self._shown is not None:
            return self._of_the_api(self._shown, request)
        if request.method != "GET":
            return message_reply(405, "GET only")
        if path in ("/stream", "/offers"):
            return self._stream() if path == "/stream" else self._offers()
        return self._file(path)

    def _file(self, path: str) -> Reply:
        if path in _FILES:
            name, kind = _FILES[path]
            return Reply(200, (_FOLDER / name).read_bytes(), {**_HEADERS, "Content-Type": kind})
        report = self._reports.get(path.removeprefix("/reports/"))
        if report is None:
            return message_reply(404, "There is no such page.")
        return Reply(200, report.read_bytes(), _OF_A_REPORT)

    def _of_the_api(self, shown: Shown, request: Request) -> Reply:
        if shown.outcome and request.method != "GET":
            return message_reply(409, "The run is over.")
        return shown.scene.api.answer(request)

    def _wish(self, name: str) -> Reply:
        if name == "stay":
            self.wishes.stay = True
        elif name in BY_NAME:
            self.wishes.scenario = BY_NAME[name]
        else:
            return message_reply(404, f"There is no scenario of the name {name!r}.")
        return json_reply(202, {"wish": name}, _HEADERS)

    def _offers(self) -> Reply:
        """Answer with what does not change: what may be done, and how the charts are called."""
        scene = self._shown.scene if self._shown else None
        offers = {
            "harms": scene.api.harms() if scene else [],
            "scenarios": [
                {"name": one.name, "title": one.title, "story": one.story} for one in SCENARIOS
            ],
            "charts": [_legend(chart) for chart in charts([])],
        }
        return json_reply(200, offers, _HEADERS)

    def _stream(self) -> Reply:
        if self._streams >= _MOST_STREAMS:
            return message_reply(503, f"The page is open {_MOST_STREAMS} times already.")
        headers = {**_HEADERS, "Content-Type": "text/event-stream"}
        return Reply(200, b"", headers, pieces=self._pieces())

    def _pieces(self) -> Generator[bytes]:
        number, line = 0, 0
        with self._lock:
            self._streams += 1
        try:
            while True:
                shown = self._shown
                if shown is None:
                    time.sleep(SECONDS_BETWEEN_SAMPLES)
                    continue
                lines = shown.scene.observer.lines_after(line if shown.number == number else 0)
                if shown.number != number:
                    lines = lines[-_LINES_AT_FIRST:]
                number, line = shown.number, lines[-1].number if lines else line
                content = self._content(shown) | {"lines": [line_to_json(one) for one in lines]}
                yield b"data: " + orjson.dumps(content) + b"\n\n"
                time.sleep(SECONDS_BETWEEN_SAMPLES)
        finally:
            with self._lock:
                self._streams -= 1

    def _content(self, shown: Shown) -> dict[str, Any]:
        """Return what is the same for all who look; worked out once for each sample."""
        sample, seen = self._cached
        latest = shown.scene.observer.latest
        if sample is not latest:
            seen = view(shown.scene)
            self._cached = (latest, seen)
        return {**seen, **self._course(shown)}

    def _course(self, shown: Shown) -> dict[str, Any]:
        ends_at = self.ends_at
        left = None if ends_at is None else max(0, round(ends_at - time.monotonic()))
        return {
            "run": shown.number,
            "title": shown.scenario.title,
            "story": shown.scenario.story,
            "ends_in_seconds": None if self.wishes.stay or shown.outcome else left,
            "outcome": shown.outcome,
            "good": shown.is_good,
            "report": shown.report,
        }


def _legend(chart: Chart) -> dict[str, Any]:
    return {"name": chart.name, "title": chart.title, "lines": [line.name for line in chart.lines]}
