"""The look at what processes showed can fail: a leak is planted in each way out of one."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace as Namespace
from typing import cast

import pytest
import requests

from sandbox import (
    API_KEY,
    CLIENT_ID,
    CLIENT_SECRET,
    INTAKE_KEY,
    TOKEN,
    Sandbox,
    generate,
    make_event,
)
from sandbox.connector import ConnectorProcess, wait_for_health
from sandbox.events import MARKER
from sandbox.instants import now_ms
from tests import leaks
from tests.leaks import Channel, Unshown
from tests.process.conftest import _call

pytest_plugins = ["pytester"]

STAND_IN = """
import json, os, pathlib, sys, threading, time, urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer

shown = json.loads(os.environ["SHOWN"])

class Ports(BaseHTTPRequestHandler):
    def do_GET(self):
        body = {
            "/health": "{}", "/status": json.dumps({"said": shown.get("/status", "")}),
            "/metrics": 'lag{intake_key="KEY",x="%s"} 1' % shown.get("/metrics", ""),
        }[self.path].replace("KEY", json.loads(os.environ["CONNECTOR_CONFIGURATION"])["intake_key"])
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())
    def log_message(self, *args): pass

print(shown.get("standard output", "nothing"), flush=True)
print(shown.get("standard error", "nothing"), flush=True, file=sys.stderr)
for name in ("a", "ledger/b", "quarantine/c.json", "quarantine-reasons/c.json"):
    path = pathlib.Path(os.environ["SUB_FOLDER"]) / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("first\\n" + shown.get(name, "nothing"))
line = {"date": "x", "level": "info", "message": shown.get("logs", "nothing")}
headers = {"Authorization": "Bearer " + os.environ["TOKEN"]}
for url, content in (
    (os.environ["URL_LOGS"], {"logs": [line]}),
    (os.environ["URL_CALLBACK"], {"said": shown.get("callback", "nothing")}),
):
    urllib.request.urlopen(urllib.request.Request(url, json.dumps(content).encode(), headers))
for name in ("METRICS_PORT", "LIVENESS_PORT"):
    server = HTTPServer(("", int(os.environ[name])), Ports)
    threading.Thread(target=server.serve_forever, daemon=True).start()
time.sleep(60)
"""
"""Shows what it is told to show, where it is told to."""

PLACES = {
    "standard output": "output, line 1.",
    "standard error": "output, line 2.",
    "logs": "the platform's logs",
    "callback": "the platform's callback",
    "/metrics": "answer to /metrics",
    "/status": "answer to /status",
    "a": "the data folder's a, line 2.",
    "ledger/b": "the data folder's ledger/b",
    "quarantine/c.json": "the data folder's quarantine/c.json",
    "quarantine-reasons/c.json": "the data folder's quarantine-reasons/c.json",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a folder with a main.py that shows what it is told to."""
    (tmp_path / "main.py").write_text(STAND_IN)
    return tmp_path


def run_showing(root: Path, shown: dict[str, str]) -> None:
    """Run a process that shows what it should not, watched as a test is."""
    event = make_event(now_ms(), text='{"a text":"made by hand, without any mark"}')
    with leaks.watching(), Sandbox([event]) as sandbox:
        connector = ConnectorProcess(
            sandbox.addresses, root=root, environment={"SHOWN": json.dumps(shown)}
        )
        with connector:
            wait_for_health(connector)
            connector.metrics()
            connector.doing()


@pytest.mark.parametrize("place", PLACES)
def test_a_key_is_found_in_each_way_out_of_a_process_and_not_repeated(
    root: Path, place: str
) -> None:
    """The test fails that started it, and says where."""
    with pytest.raises(AssertionError) as raised:
        run_showing(root, {place: f"the key is {API_KEY}"})

    assert "The API key stands in " in str(raised.value)
    assert PLACES[place] in str(raised.value)
    assert API_KEY not in str(raised.value)


@pytest.mark.parametrize("place", sorted(PLACES.keys() - {"quarantine/c.json"}))
@pytest.mark.parametrize(
    "text", [f'{{"organization":"{MARKER}"}}', '{"a text":"made by hand, without any mark"}']
)
def test_an_event_is_found_in_each_way_out_but_the_quarantine(
    root: Path, place: str, text: str
) -> None:
    """By the mark that stands in each, or by its text."""
    with pytest.raises(AssertionError, match="An event stands in ") as raised:
        run_showing(root, {place: text})

    assert PLACES[place] in str(raised.value)
    assert MARKER not in str(raised.value)


def test_what_belongs_where_it_is_fails_nothing(root: Path) -> None:
    """An event in the quarantine, and the intake's key as the label of a metric."""
    run_showing(root, {"quarantine/c.json": f'{{"organization":"{MARKER}"}}'})


@pytest.mark.parametrize(
    ("secret", "name"),
    [
        (API_KEY, "The API key"),
        (INTAKE_KEY, "The intake key"),
        (CLIENT_SECRET, "The client secret"),
        (TOKEN, "The platform's token"),
    ],
)
def test_each_secret_of_the_sandbox_is_looked_for(secret: str, name: str) -> None:
    """Also where a test has no sandbox, or gave that one another key."""
    with pytest.raises(AssertionError, match=f"{name} stands in x's standard error"):
        _note_within(lambda: leaks.note("", secret, name="x"))


def test_every_token_that_was_given_is_looked_for() -> None:
    """Not only the last."""

    def show_the_first() -> None:
        with Sandbox() as sandbox:
            for _ in range(2):
                requests.post(
                    f"{sandbox.jumpcloud.url}/oauth2/token",
                    data={"grant_type": "client_credentials", "scope": "api"},
                    auth=(CLIENT_ID, CLIENT_SECRET),
                    timeout=10,
                ).raise_for_status()
            first, _ = sandbox.jumpcloud.tokens.given
            leaks.note(first, name="x")

    with pytest.raises(AssertionError, match="A token of the service account stands in x's"):
        _note_within(show_the_first)


def test_what_a_person_sets_is_looked_for_and_so_is_the_data_folder(tmp_path: Path) -> None:
    """The key of a command may be another one than the sandbox's."""
    (tmp_path / "left").write_text("my own key 1")
    environment = {"JUMPCLOUD_API_KEY": "my own key 1", "DATA_DIR": str(tmp_path)}

    with pytest.raises(AssertionError, match="What JUMPCLOUD_API_KEY holds stands in the data"):
        _note_within(lambda: leaks.note("", environment=environment))


def test_a_preview_may_show_events_and_no_keys() -> None:
    """And on standard output alone."""
    event = generate(1, now_ms() - 1_000, now_ms())[0].text
    _note_within(lambda: leaks.note(event, shows_events=True))

    with pytest.raises(AssertionError, match="An event stands in the command's standard error"):
        _note_within(lambda: leaks.note(event, event, shows_events=True))
    with pytest.raises(AssertionError, match="The API key"):
        _note_within(lambda: leaks.note(API_KEY, shows_events=True))


def test_a_short_secret_and_an_empty_one_are_parts_of_anything() -> None:
    """They are not looked for."""
    channel = Channel("x", b"a short text")

    assert leaks.leaks([channel], Unshown({b"": "nothing", b"short": "something"})) == []


def test_every_event_of_the_sandbox_has_the_mark() -> None:
    """Of whatever service, by hand or not."""
    events = [*generate(2_000, 0, 10_000_000, large_share=0.01), make_event(0)]

    assert [event.service for event in events if MARKER.encode() not in event.text] == []


def test_a_test_that_leaks_fails(pytester: pytest.Pytester) -> None:
    """Through the hook that looks after each one."""
    pytester.makeconftest("from tests.conftest import pytest_pyfunc_call")
    pytester.makepyfile(
        f"""
        import threading
        from tests import leaks

        def test_quiet(): leaks.note("nothing")
        def test_leaking(): leaks.note("{API_KEY[:4]}" + "{API_KEY[4:]}", name="a command")
        def test_beside():
            thread = threading.Thread(target=leaks.note, args=["{INTAKE_KEY}"])
            thread.start()
            thread.join()
        """
    )

    ended = pytester.runpytest_inprocess("-p", "no:cacheprovider")

    ended.assert_outcomes(passed=1, failed=2)
    ended.stdout.fnmatch_lines(["*The API key stands in a command's standard output, line 1.*"])
    ended.stdout.fnmatch_lines(["*The intake key stands in the command's standard output*"])


def test_a_process_test_that_leaks_fails() -> None:
    """It runs in a thread of its own, beside others."""
    item = Namespace(obj=lambda: leaks.note(INTAKE_KEY))

    with pytest.raises(AssertionError, match="The intake key"):
        _call(cast(pytest.Function, item))()


def _note_within(noting: Callable[[], None]) -> None:
    with leaks.watching():
        noting()
