"""Keys that are refused, and keys that must not be shown, by the real process."""

import time
from pathlib import Path

import pytest

from sandbox import API_KEY, INTAKE_KEY, Request, faults, make_event
from sandbox.connector import Settings
from sandbox.instants import now_ms
from tests.process.scene import history, scene


@pytest.mark.lengthy
@pytest.mark.parametrize("status", [401, 403])
def test_refused_credentials_cost_few_requests_one_message_and_no_restart(status: int) -> None:
    """At most six requests in eight seconds; collecting again by itself within a minute."""
    with scene(history(300)) as on:
        on.delivers_all()
        rule = on.sandbox.jumpcloud.faults.add(faults.Status(status))
        requests = on.sandbox.jumpcloud.requests
        on.sees(lambda: requests.statuses()[status], 1)
        refused_at = next(e.ended for e in requests.entries() if e.status == status)
        on.is_told(f"answered {status}", "error", "critical")
        on.sees(lambda: int(requests.entries()[-1].ended - refused_at), 8, timeout_seconds=40)
        started = [e.started - refused_at for e in requests.entries() if e.status == status]
        rule.on = False
        on.sandbox.jumpcloud.publish([make_event(now_ms())])
        on.delivers_all(timeout_seconds=60)

        assert sum(1 for seconds in started if seconds < 8) <= 6
        on.is_told("JumpCloud answers again")
        assert len(on.told(f"answered {status}")) == 1


@pytest.mark.lengthy
def test_a_key_that_is_wrong_from_the_start_costs_few_requests_too() -> None:
    """Although a backlog waits for many readers."""
    with scene(
        history(6_000, minutes=600),
        before=lambda sandbox, _: setattr(sandbox.jumpcloud, "api_key", "another"),
    ) as on:
        requests = on.sandbox.jumpcloud.requests
        on.sees(lambda: requests.statuses()[401], 1)
        refused_at = min(e.ended for e in requests.entries())
        time.sleep(8)
        started = [e.started for e in requests.entries()]
        on.sandbox.jumpcloud.api_key = API_KEY

        assert sum(1 for instant in started if instant < refused_at + 8) <= 6
        on.delivers_all(timeout_seconds=60)
        assert len(on.told("answered 401")) == 1
        assert on.judgement == "clean"


def test_a_key_that_is_revoked_amid_a_backlog_stops_all_readers_at_once() -> None:
    """However many pages were on their way."""
    with scene(history(12_000), Settings(chunk_size=50)) as on:
        on.delivers(500)
        key, on.sandbox.jumpcloud.api_key = on.sandbox.jumpcloud.api_key, "another"
        requests = on.sandbox.jumpcloud.requests
        on.sees(lambda: requests.statuses()[401], 1)
        assert on.sandbox.intake.count < 12_000
        time.sleep(8)
        refused_at = min(e.ended for e in requests.entries() if e.status == 401)
        started = [e.started for e in requests.entries() if e.status == 401]
        on.sandbox.jumpcloud.api_key = key

        # What was on its way when the refusal came is answered too, within a second or two.
        assert sum(1 for instant in started if refused_at + 2 < instant < refused_at + 8) <= 4
        assert sum(1 for instant in started if refused_at < instant < refused_at + 8) <= 16
        on.delivers_all(timeout_seconds=60)
        assert on.judgement == "clean"
        assert len(on.told("answered 401")) == 1


def test_no_key_is_ever_shown_even_where_a_server_repeats_it() -> None:
    """Nor in the list of processes; all else is looked through after every test."""
    with scene(
        history(50),
        before=lambda sandbox, _: (
            sandbox.jumpcloud.faults.add(faults.EchoKey(401), times=1),
            sandbox.jumpcloud.faults.add(faults.EchoKey(500), times=3),
            sandbox.jumpcloud.faults.add(faults.EchoKey(403), endpoint="interval", times=2),
            sandbox.intake.faults.add(faults.EchoKey(403), times=1),
            sandbox.intake.faults.add(faults.EchoKey(400), times=1, when=_holds_one_event),
            sandbox.intake.faults.add(faults.EchoKey(400), times=1),
        ),
    ) as on:
        on.delivers(50 - 1)  # one is set aside
        rules = (*on.sandbox.jumpcloud.faults.rules, *on.sandbox.intake.faults.rules)
        on.sees(lambda: min(rule.fired for rule in rules), 1)
        on.is_told("[redacted]", "error")
        on.polls()

        command_line = Path(f"/proc/{on.connector.pid}/cmdline").read_text()
        assert "main.py" in command_line
        assert API_KEY not in command_line
        assert INTAKE_KEY not in command_line


def _holds_one_event(request: Request) -> bool:
    return len(request.json()["jsons"]) == 1
