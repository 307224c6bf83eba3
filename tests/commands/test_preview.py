"""`preview` as the real process: events as they would be forwarded, and nothing else happens."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from jumpcloud_modules.commands.module_json import ConfigurationError
from jumpcloud_modules.commands.spans import instant_before
from jumpcloud_modules.instants import DAY_MS, HOUR_MS
from sandbox import Event, Sandbox, faults, generate, make_event, wait_until
from sandbox.faults import Answer
from sandbox.http import Reply, Request
from sandbox.instants import now_ms
from tests import leaks
from tests.doubles import NOON_MS
from tests.shell import ROOT, Ended, self_hosted


def history(count: int = 50, hours: int = 1) -> list[Event]:
    """Make events of the last hours, in the order that they are asked for in."""
    now = now_ms()
    made = generate(count, now - hours * HOUR_MS + 60_000, now - 1_000, seed=5)
    return sorted(made, key=lambda event: (event.time_ms, event.document_id))


def previewed(sandbox: Sandbox, folder: Path, *arguments: str) -> tuple[Ended, bytes]:
    """Type `preview`, and return its standard output as bytes, too."""
    ended = subprocess.run(
        [sys.executable, "main.py", "preview", *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **self_hosted(sandbox, folder)},
        capture_output=True,
        timeout=60,
        check=False,
    )
    leaks.note(ended.stdout, ended.stderr, name="preview", shows_events=True)
    return Ended(ended.returncode, "", ended.stderr.decode()), ended.stdout


@contextmanager
def begun(sandbox: Sandbox, folder: Path, *arguments: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Type `preview`, and leave it running."""
    with subprocess.Popen(
        [sys.executable, "main.py", "preview", *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **self_hosted(sandbox, folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            yield process
            process.wait(30)
        finally:
            process.kill()


def test_it_shows_the_oldest_ten_byte_for_byte_and_sends_nothing(tmp_path: Path) -> None:
    """One a line; what is to be said of them is on standard error."""
    events = history()
    with Sandbox(events) as sandbox:
        ended, out = previewed(sandbox, tmp_path / "state")

        assert ended.status == 0
        assert out.splitlines(keepends=True) == [event.text + b"\n" for event in events[:10]]
        assert ended.err.startswith("10 events of all since ")
        assert sandbox.intake.requests.arrivals() == 0
    assert list(tmp_path.iterdir()) == []


def test_service_limit_and_since_choose(tmp_path: Path) -> None:
    """More than fit into one page, of one service, from an earlier instant on."""
    events = history(3_000, hours=30)
    wanted = [event.text for event in events if event.service == "sso"]
    with Sandbox(events) as sandbox:
        ended, out = previewed(
            sandbox, tmp_path, "--service", "sso", "--limit", "100000", "--since", "30h"
        )

    assert ended.status == 0
    assert out.split(b"\n")[:-1] == wanted


def test_a_refusal_is_told_on_standard_error(tmp_path: Path) -> None:
    """At once, with what to do, and without the key."""
    with Sandbox(history(5)) as sandbox:
        sandbox.jumpcloud.faults.add(faults.EchoKey(401))

        ended, out = previewed(sandbox, tmp_path)

    assert "[redacted]" in ended.err
    assert (ended.status, out) == (1, b"")
    assert "JumpCloud answered 401" in ended.err
    assert "Check that the API key" in ended.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--since", "yesterday"], "'yesterday' is neither a span nor an instant"),
        (["--limit", "0"], "'0' is not possible; give a whole number, 1 or more"),
        (["--limit", "nan"], "'nan' is not possible; give a whole number, 1 or more"),
    ],
)
def test_what_cannot_be_meant_ends_with_two(
    tmp_path: Path, arguments: list[str], said: str
) -> None:
    """And asks nothing."""
    with Sandbox() as sandbox:
        ended, out = previewed(sandbox, tmp_path, *arguments)

        assert sandbox.jumpcloud.requests.arrivals() == 0
    assert (ended.status, out) == (2, b"")
    assert said in ended.err


class OverSeveralLines:
    """Write pages as a person would read them."""

    def apply(self, request: Request, answer: Answer) -> Reply:
        """Break the lines after each comma outside of texts, which these events have none in."""
        reply = answer(request)
        return Reply(200, reply.body.replace(b'","', b'",\n"'), reply.headers, events=reply.events)


def test_an_event_over_several_lines_is_shown_on_one(tmp_path: Path) -> None:
    """A blank for each break, and a word about it."""
    event = make_event(now_ms() - 60_000)
    with Sandbox([event]) as sandbox:
        sandbox.jumpcloud.faults.add(OverSeveralLines())

        ended, out = previewed(sandbox, tmp_path)

    assert out == event.text.replace(b'","', b'", "') + b"\n"
    assert b'", "' in out
    assert "1 of them came over several lines" in ended.err


def test_a_pipe_that_closes_ends_it_without_a_word(tmp_path: Path) -> None:
    """As `| head -1` does."""
    with (
        Sandbox(history(3_000)) as sandbox,
        begun(sandbox, tmp_path, "--limit", "3000") as process,
    ):
        assert process.stdout is not None
        assert process.stderr is not None
        first = process.stdout.readline()
        process.stdout.close()
        told = process.stderr.read()

    leaks.note(first, told, name="preview", shows_events=True)
    assert first.startswith(b"{")
    assert (process.returncode, told) == (0, b"")


def test_ctrl_c_ends_it_without_a_word(tmp_path: Path) -> None:
    """While it waits for a page."""
    with Sandbox(history(5)) as sandbox:
        sandbox.jumpcloud.faults.add(faults.Hang(seconds=30))
        with begun(sandbox, tmp_path) as process:
            assert wait_until(sandbox.jumpcloud.requests.arrivals, 30)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=15)

    assert (process.returncode, out, err) == (130, b"", b"")


# Spans and instants


@pytest.mark.parametrize(
    ("typed", "instant_ms"),
    [
        ("2h", NOON_MS - 2 * HOUR_MS),
        ("90s", NOON_MS - 90_000),
        ("30m", NOON_MS - 1_800_000),
        (" 7D ", NOON_MS - 7 * DAY_MS),
        ("2025-10-09T11:00:00Z", NOON_MS - HOUR_MS),
        ("2025-10-09T13:00:00+02:00", NOON_MS - HOUR_MS),
        ("2025-10-09", NOON_MS - 12 * HOUR_MS),
    ],
)
def test_a_span_or_an_instant_is_understood(typed: str, instant_ms: int) -> None:
    """In UTC where no zone is named."""
    assert instant_before(typed, NOON_MS) == instant_ms


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("2", "neither a span nor an instant"),
        ("-2h", "neither a span nor an instant"),
        ("2026-01-01T00:00:00Z", "in the future"),
        ("91d", "the 90 days"),
    ],
)
def test_what_jumpcloud_has_nothing_of_is_refused(typed: str, said: str) -> None:
    """With what would be right."""
    with pytest.raises(ConfigurationError, match=said):
        instant_before(typed, NOON_MS)
