"""Processes: the connector under test, the sandbox apart, and the run that a person starts."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import termios
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import pytest
import requests

from sandbox import API_KEY, INTAKE_KEY, Answers, Sandbox, faults, make_event, wait_until
from sandbox.__main__ import main
from sandbox.apart import SandboxProcess
from sandbox.connector import (
    ROOT,
    ConnectorProcess,
    Settings,
    platform_variables,
    wait_for_health,
)
from sandbox.display import Display, Figures, OrganizationFigures
from sandbox.instants import instant_text, now_ms
from sandbox.live import Live
from sandbox.real import arrived_table
from sandbox.running_verdict import SoFar
from sandbox.scenarios import EVERYDAY
from sandbox.standings import Reported, standings
from tests import leaks

STAND_IN = """
import json, os, pathlib, signal, sys, threading, time, urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer

class Ports(BaseHTTPRequestHandler):
    def do_GET(self):
        body = b'{"ok": 1}' if self.path == "/health" else b'# TYPE x\\nlag{a="b"} 2.0\\nlag 1.0\\n'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args): pass

def call(url, content=None, headers={}):
    data = None if content is None else json.dumps(content).encode()
    return urllib.request.urlopen(urllib.request.Request(url, data, headers))

stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
if "STUBBORN" in os.environ:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
token = {"Authorization": "Bearer " + os.environ["TOKEN"]}
key = json.load(call(os.environ["URL_SECRETS"], headers=token))["value"]["apikey"]
module = json.loads(os.environ["MODULE_CONFIGURATION"])
connector = json.loads(os.environ["CONNECTOR_CONFIGURATION"])
folder = pathlib.Path(os.environ["SUB_FOLDER"])
print("started", *sys.argv[1:], sorted(os.environ), flush=True)
for name in ("LIVENESS_PORT", "METRICS_PORT"):
    server = HTTPServer(("", int(os.environ[name])), Ports)
    threading.Thread(target=server.serve_forever, daemon=True).start()
seen = set()
while not stop.wait(0.1):
    start = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 86000))
    page = call(module["base_url"] + "/insights/directory/v1/events",
                {"service": ["all"], "start_time": start, "limit": 10000}, {"x-api-key": key})
    text, place, fresh = page.read().decode(), 1, []
    while text != "[]":
        event, end = json.JSONDecoder().raw_decode(text, place)
        if event["id"] not in seen:
            seen.add(event["id"])
            fresh.append(text[place:end])
        place = end + 1
        if text[end] == "]":
            break
    if fresh:
        call(os.environ["INTAKE_URL"] + "/batch",
             {"intake_key": connector["intake_key"], "jsons": fresh})
        (folder / "state").write_text(str(len(seen)))
"""


@pytest.fixture
def stand_in(tmp_path: Path) -> Path:
    """Return a folder with a main.py that behaves like a simple connector."""
    (tmp_path / "main.py").write_text(textwrap.dedent(STAND_IN))
    return tmp_path


def test_the_connector_is_told_what_the_platform_tells_and_no_key(stand_in: Path) -> None:
    """The API key comes from the secrets alone, and state goes to the data folder."""
    event = make_event(now_ms() - 5_000)
    settings = Settings(service="sso, radius", more={"chunk_size": 5})
    with (
        Sandbox([event]) as sandbox,
        ConnectorProcess(sandbox.addresses, settings, root=stand_in) as connector,
    ):
        assert wait_until(lambda: sandbox.verdict().clean)
        state = connector.data_folder / "state"
        assert wait_until(state.exists)
        variables = Path(f"/proc/{connector.pid}/environ").read_text()
        assert connector.stop() == 0

    assert "started JumpcloudDirectoryInsightsConnector" in connector.output
    assert "CONNECTOR_CONFIGURATION" in connector.output
    assert "PYTEST_CURRENT_TEST" not in connector.output
    assert "CONNECTOR_CONFIGURATION" in variables
    assert API_KEY not in variables


def test_settings_become_the_connectors_form(stand_in: Path) -> None:
    """Unset ones are left out, and `more` has the last word."""
    with Sandbox() as sandbox:
        connector = ConnectorProcess(
            sandbox.addresses, Settings(more={"chunk_size": 5}), root=stand_in
        )
        variables = platform_variables(connector)

    form = json.loads(variables["CONNECTOR_CONFIGURATION"])
    assert form["chunk_size"] == 5
    assert form["intake_key"] == INTAKE_KEY
    assert "organization_id" not in form
    assert API_KEY not in json.dumps(variables)


def test_health_metrics_and_usage_can_be_read_while_it_runs(stand_in: Path) -> None:
    """Metrics with the same name are added up."""
    with (
        Sandbox() as sandbox,
        ConnectorProcess(sandbox.addresses, root=stand_in) as connector,
    ):
        health = wait_for_health(connector)
        time.sleep(0.15)

        assert (health.status, dict(health.content)) == (200, {"ok": 1})
        assert connector.metrics() == {'lag{a="b"}': 2.0, "lag": 1.0}
        assert connector.metric("lag") == 3.0
        assert connector.metric("other") is None
        assert connector.usage().peak_rss_bytes > 1_000_000


def test_a_killed_connector_can_be_started_again_on_its_state(stand_in: Path) -> None:
    """The status says which signal it was, and the usage stays."""
    with Sandbox() as sandbox:
        connector = ConnectorProcess(sandbox.addresses, root=stand_in).start()
        wait_for_health(connector)
        connector.kill()
        killed, usage = connector.status, connector.usage()
        connector.start()
        wait_for_health(connector)

        assert killed == -signal.SIGKILL
        assert usage.cpu_seconds > 0
        assert connector.status is None
        assert connector.stop() == 0
        assert connector.output.count("started") == 2


def test_a_connector_that_does_not_obey_is_killed(stand_in: Path) -> None:
    """The caller is told by an error, which shows where it hung."""
    with Sandbox() as sandbox:
        connector = ConnectorProcess(
            sandbox.addresses, root=stand_in, environment={"STUBBORN": "1"}
        ).start()
        wait_for_health(connector)
        assert wait_until(lambda: "started" in connector.output)
        time.sleep(0.1)

        with pytest.raises(TimeoutError, match="most recent call first"):
            connector.stop(timeout_seconds=0.3)

        assert connector.status == -signal.SIGABRT


def test_a_sandbox_apart_is_steered_and_judged_from_here() -> None:
    """Events, faults, answers, figures and the verdict cross its control port."""
    now = now_ms()
    with SandboxProcess() as sandbox:
        sandbox.generate(200, now - 60_000, now - 1_000, seed=1)
        odd = make_event(now - 500, text=b'{"id":"odd","half":"\\ud800"}')
        sandbox.publish([odd])
        rule = sandbox.add_fault("jumpcloud", faults.Status(503), endpoint="events", times=1)
        sandbox.set_answers(Answers(limit_above_maximum="clamped"))

        statuses = [_page(sandbox, now, limit=99_999).status_code for _ in range(2)]
        page = _page(sandbox, now, limit=200)
        texts = [json.dumps(event, ensure_ascii=False) for event in page.json()[:3]]
        _push(sandbox, [*texts, odd.text.decode()])
        verdict = sandbox.verdict()

        assert statuses == [503, 200]
        assert sandbox.switch_fault(rule, on=False) == 1
        assert sandbox.statistics()["jumpcloud"]["statuses"] == {"503": 1, "200": 2}
        assert (verdict.produced, verdict.accepted, verdict.altered) == (201, 4, 3)
        assert verdict.lost == 201 - 4
        assert len(sandbox.delays_ms()) == 1


def test_a_sandbox_apart_publishes_live_events_and_chaos() -> None:
    """Both can be switched on and off."""
    with SandboxProcess() as sandbox:
        sandbox.go_live(per_second=100, late_share=0.0)
        assert wait_until(lambda: sandbox.statistics()["published"] > 10)
        sandbox.end_live()
        published = sandbox.statistics()["published"]
        time.sleep(0.3)
        sandbox.chaos(seed=1, rate=1.0)
        sandbox.clear_faults()

        assert sandbox.statistics()["published"] == published
        assert _page(sandbox, now_ms(), limit=10).status_code == 200


def test_live_events_are_visible_the_moment_they_happen_or_late() -> None:
    """None is visible before it is published."""
    with Sandbox() as sandbox:
        with Live(sandbox.jumpcloud, per_second=200, late_share=0.5, latest_ms=2_000):
            started_ms = now_ms()
            wait_until(lambda: len(sandbox.jumpcloud.published) > 60)
        events = sandbox.jumpcloud.published

    delays = [event.visible_ms - event.time_ms for event in events]
    assert all(event.time_ms >= started_ms - 50 for event in events)
    assert 0.2 < sum(1 for delay in delays if delay == 0) / len(delays) < 0.8
    assert max(delays) <= 2_000


@pytest.mark.parametrize("with_faults", [False, True])
def test_a_run_ends_with_the_verdict_and_status_zero(
    stand_in: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    with_faults: bool,
) -> None:
    """With faults, the stand-in dies of them, and the run says so."""
    _use(monkeypatch, stand_in)

    status = main(["run", "--seconds", "1", "--events", "300"] + ["--faults"] * with_faults)

    output = capsys.readouterr().out
    leaks.note(output, name="make run")
    if with_faults and status:
        assert "The connector's last words" in output
    else:
        assert status == 0, output
        assert "verdict          clean" in output
    assert ("kinds did not happen" in output) == with_faults
    if with_faults:
        counts = re.findall(
            r"^ +(\d+)  (?:jumpcloud|intake|platform) +\w+\(.*\)$", output, re.MULTILINE
        )
        assert sum(map(int, counts)) == int(re.findall(r"(\d+)  faults; ", output)[0]) > 0


def test_with_a_key_the_run_reads_the_jumpcloud_it_names(
    stand_in: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What arrived at the emulated intake is listed, and the key is not."""
    _use(monkeypatch, stand_in)
    event = make_event(now_ms() - 5_000)
    with Sandbox([event], api_key="jca_the_real_one") as elsewhere:
        monkeypatch.setenv("JUMPCLOUD_API_KEY", "jca_the_real_one")
        monkeypatch.setenv("JUMPCLOUD_BASE_URL", elsewhere.jumpcloud.url)

        status = main(["run", "--seconds", "1"])

    output = capsys.readouterr().out
    leaks.note(output, environment={"JUMPCLOUD_API_KEY": "jca_the_real_one"}, name="make run")
    assert status == 0, output
    assert re.search(r"directory +user_update +1", output)
    assert re.search(r"of these repeated +0", output)


def test_with_both_keys_the_run_is_the_self_hosted_connector(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """It starts main.py without a command, and ends it after the seconds asked for."""
    _use(monkeypatch, tmp_path)
    (tmp_path / "main.py").write_text(
        "import sys, time; print(sys.argv, flush=True); time.sleep(60)"
    )
    monkeypatch.setenv("JUMPCLOUD_API_KEY", "jca_the_real_one")
    monkeypatch.setenv("SEKOIA_INTAKE_KEY", "the real intake")

    status = main(["run", "--seconds", "0.5"])

    assert status == -signal.SIGTERM
    assert "['./main.py']" in capfd.readouterr().out


def test_a_run_whose_connector_dies_is_not_clean(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It ends at once, with what the connector wrote."""
    (tmp_path / "main.py").write_text("raise SystemExit('no good today')")
    _use(monkeypatch, tmp_path)

    status = main(["run", "--seconds", "20", "--events", "10"])

    output = capsys.readouterr().out
    assert status == 1
    assert "no good today" in output
    assert re.search(r"lost +1\d", output)


FIGURES = Figures(1.0, 20_000, 5, 2, 1, None, state="starting", late=3, rss_bytes=90_000_000)


OF_SEVERAL = replace(
    FIGURES,
    organizations=OrganizationFigures(
        tuple(
            standings(
                {str(number): f"customer-{number:04}" for number in range(40)},
                {"7": SoFar(12_345, 12_000, 345, 0, 0)},
                {f"customer-{number:04}": Reported("collecting", 3.0) for number in range(39)}
                | {"customer-0007": Reported("collecting", 90.0, ("JumpCloud",))},
            )
        )
    ),
)


@pytest.mark.parametrize("columns", [40, 78])
def test_of_several_organizations_a_line_says_how_many_are_well(columns: int) -> None:
    """And a terminal shows the worst of them, each with a sign and a word."""
    plain, terminal = io.StringIO(), _Terminal()

    Display(plain).show(OF_SEVERAL)
    display = Display(terminal, columns=lambda _: columns)
    display.show(OF_SEVERAL)
    display.leave()

    written = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue())
    lines = written.replace("\r", "\n").splitlines()
    assert plain.getvalue().endswith(" | lag - | 39 of 40 well\n")
    assert any(re.match(r"together +39 of 40 well", line) for line in lines)
    shown = [line for line in lines if line.startswith("customer-")]
    assert shown[0].startswith("customer-0007  … waits for")
    assert len(set(shown)) == 6
    assert max(map(len, lines)) <= columns
    if columns == 78:
        assert shown[0].endswith("… waits for JumpCloud  12,000 of 12,345  lag 90 s")


def test_a_file_gets_plain_lines() -> None:
    """They come every two seconds at most."""
    clock, plain = [0.0], io.StringIO()

    display = Display(plain, clock=lambda: clock[0])
    for clock[0] in (0.0, 1.0, 2.5):
        display.show(FIGURES)
    display.say("done")

    line = "  1.0 s | produced 20,000 | accepted 5 | requests 2 in, 1 out | lag -"
    assert plain.getvalue() == f"{line}\n{line}\ndone\n"


@pytest.mark.parametrize("columns", [30, 100])
def test_a_terminal_gets_a_table_that_is_written_over(
    monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    """What is said stands above it; no line is wider than the terminal; the cursor comes back."""
    monkeypatch.setenv("TERM", "xterm")
    terminal = _Terminal()

    display = Display(terminal, columns=lambda _: columns)
    for _ in range(2):
        display.show(FIGURES)
    display.say("[harm] is done")
    display.leave()
    display.say("the end")

    written = terminal.getvalue()
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written).replace("\r", "\n").splitlines()
    assert max(map(len, lines)) <= columns
    assert any(line.startswith("1.0 s") for line in lines)
    assert any("connector  starting" in line for line in lines)
    assert ("90 MB" in written) == (columns == 100)
    assert lines.index("[harm] is done") < len(lines) - 4
    assert lines[-1] == "the end"
    assert written.count("\x1b[?25h") == written.count("\x1b[?25l") == 1


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_on_a_terminal_gives_a_verdict(times: int) -> None:
    """The first waits for what is late and then judges, the second does not wait.

    Although the window is narrow, each update keeps to its lines.
    """
    leader, terminal = os.openpty()
    termios.tcsetwinsize(terminal, (24, 45))
    command = [sys.executable, "-m", "sandbox", "run", "--seconds", "60", "--events", "500"]
    run = subprocess.Popen(command, cwd=ROOT, stdout=terminal, stderr=terminal)
    os.close(terminal)
    seen = _seen(leader, "accepted 5")
    for _ in range(times):
        run.send_signal(signal.SIGINT)
        seen += _seen(leader, "Ctrl-C again")
    seen += _seen(leader, None)
    os.close(leader)
    leaks.note(seen, name="make run")
    seen = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen)

    assert run.wait(30) == 0 or (times, run.returncode) == (2, 130)
    assert "No more events come" in seen
    assert re.search(r"produced +5\d\d", seen)
    assert "Traceback" not in seen
    updates = re.findall(r"(?:[\d.]+ s  accepted|JumpCloud  |connector  |intake  )[^\r\n]*", seen)
    assert updates
    assert max(map(len, updates)) <= 45
    assert ("NOT CLEAN" in seen) == ("what is missing may only be late" in seen)


def _seen(terminal: int, text: str | None) -> str:
    """Read what a terminal shows until a text is there, or to its end."""
    seen = ""
    while text is None or text not in seen:
        try:
            piece = os.read(terminal, 4096).decode()
        except OSError:  # the other side is closed
            break
        seen += piece
        if not piece:
            break
    return seen


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--seconds", "-1"], "'-1' is not possible; give seconds, 0 or more"),
        (["--seconds=nan"], "'nan' is not possible"),
        (["--seconds", "inf"], "'inf' is not possible"),
        (["--seconds", "soon"], "'soon' is not possible"),
        (["--late-share", "1.5"], "'1.5' is not possible; give a number from 0 to 1"),
        (["--events", "-5"], "'-5' is not possible; give a whole number, 0 or more"),
    ],
)
def test_what_cannot_be_run_is_refused_with_a_sentence(
    capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    """And status 2."""
    with pytest.raises(SystemExit) as ended:
        main(["run", *arguments])

    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_a_share_of_late_events_can_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a plain run and of a scenario."""
    shares = []
    monkeypatch.setattr(
        "sandbox.__main__.run", lambda plan: shares.append(plan.scenario.late_share)
    )

    for more in (["--late-share", "0"], ["--late-share", "0.5", "--scenario", "bad-network"], []):
        main(["run", *more])

    assert shares == [0.0, 0.5, EVERYDAY.late_share]


def test_what_arrived_is_listed_by_service_and_type() -> None:
    """Repeats are counted, and strange texts have a line too."""
    texts = [b'{"service":"sso","event_type":"sso_auth"}'] * 2 + [b"[1]", b"?"]

    lines = [line.split() for line in arrived_table(texts).splitlines()]

    assert ["sso", "sso_auth", "2"] in lines
    assert ["in", "all", "4"] in lines
    assert ["of", "these", "repeated", "1"] in lines


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _use(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    """Let the run start the main.py of a folder, settle soon, and see no real key."""

    def start(*args: object, **options: object) -> ConnectorProcess:
        return ConnectorProcess(*args, root=root, **options)  # type: ignore[arg-type]

    monkeypatch.setattr("sandbox.run.ConnectorProcess", start)
    monkeypatch.setattr("sandbox.real.ConnectorProcess", start)
    monkeypatch.setattr("sandbox.real.ROOT", root)
    monkeypatch.setattr("sandbox.run._AUDIT_SECONDS", 0)
    monkeypatch.setattr("sandbox.run._SETTLE_SECONDS", 10)
    for name in ("JUMPCLOUD_API_KEY", "SEKOIA_INTAKE_KEY"):
        monkeypatch.delenv(name, raising=False)


def _page(sandbox: SandboxProcess, now: int, *, limit: int) -> requests.Response:
    return requests.post(
        f"{sandbox.addresses.jumpcloud_url}/insights/directory/v1/events",
        json={"service": ["all"], "start_time": instant_text(now - 60_000), "limit": limit},
        headers={"x-api-key": sandbox.addresses.api_key},
        timeout=5,
    )


def _push(sandbox: SandboxProcess, texts: list[str]) -> None:
    requests.post(
        f"{sandbox.addresses.intake_url}/batch",
        json={"intake_key": sandbox.addresses.intake_key, "jsons": texts},
        timeout=5,
    ).raise_for_status()
