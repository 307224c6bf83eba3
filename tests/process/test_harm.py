"""Each harm that a person may do, done to the real process over the sandbox's HTTP API."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests

from sandbox import Sandbox, dealt, generate, many, wait_until
from sandbox.connector import ConnectorProcess, Settings
from sandbox.faketime import LIBRARY, MISSING
from sandbox.guard import guarded
from sandbox.harm import HARMS
from sandbox.harm_to_one import HARMS_TO_ONE
from sandbox.http import RequestLog, Server
from sandbox.instants import now_ms
from sandbox.live import Live
from sandbox.scene import Scene
from sandbox.self_hosted import ManyConnectorProcess

DAY_MS = 86_400_000
SETTLE_SECONDS = 100.0

TOLD = {
    "jumpcloud-outage": "JumpCloud could not be reached",
    "rate-limit": " with 429",
    "slow-pages": "everything had arrived",
    "broken-bodies": "everything had arrived",
    "refused-key": " with 401",
    "late-events": "It found 6",
    "burst": "everything had arrived",
    "future-events": "everything had arrived",
    "poison-event": "It set 1 event aside, in its quarantine.",
    "intake-outage": "The Sekoia intake could not be reached",
    "refused-intake-key": "with 401",
    "full-disk": "could not be written",
    "clock-jump": "This machine's clock is 7200 s ahead of JumpCloud's",
    "kill": "Its process was started again",
    "stop": "Stopped: ",
}
"""What is told of each, among other sentences."""
AMOUNTS: dict[str, float] = {
    "late-events": 86_400,
    "burst": 3_000,
    "future-events": 600,
    "clock-jump": 7_200,
}
AMOUNTS |= {"poison-event": 1, "kill": 0.5, "stop": 0.5}
AMOUNTS |= dict.fromkeys(("jumpcloud-outage", "intake-outage", "full-disk"), 8)
USUALLY_SECONDS = 3

needs_faketime = pytest.mark.skipif(LIBRARY is None, reason=MISSING)


@contextmanager
def _api() -> Iterator[str]:
    """Give the API's address of a run that has caught up and goes on."""
    now = now_ms()
    settings = Settings(history_hours=72)
    with (
        Sandbox(generate(2_000, now - DAY_MS, now, seed=1), keep_texts=False) as sandbox,
        ConnectorProcess(sandbox.addresses, settings) as connector,
        Scene(sandbox, connector) as scene,
        Live(sandbox.jumpcloud, per_second=10, late_share=0.0),
    ):
        door = Server("api", guarded(scene.api.answer), RequestLog(), sandbox.errors)
        door.start()
        assert wait_until(lambda: sandbox.intake.count > 2_000, timeout_seconds=60)
        yield f"{door.url}/api"
        door.stop()


TOLD_OF_ONE = {
    "one-expired-key": "JumpCloud (customer-0020) was tried",
    "one-hangs": "customer-0019: JumpCloud hung.",
    "one-refused-intake-key": "The intake answered",
    "list-change": "2 added (customer-0021, customer-0022), 1 changed",
}
"""What is told of those to one organization among twenty."""


@contextmanager
def _api_of_several() -> Iterator[str]:
    """Give the API's address of a run with twenty organizations."""
    now, organizations = now_ms(), many(20, own_key_every=10)
    ids = [one.id for one in organizations]
    events = dealt(generate(1_000, now - DAY_MS, now, seed=1), ids)
    settings = Settings(history_hours=72)
    with (
        Sandbox(events, organizations=organizations, keep_texts=False) as sandbox,
        ManyConnectorProcess(sandbox.addresses, organizations, settings) as connector,
        Scene(sandbox, connector, organizations) as scene,
        Live(sandbox.jumpcloud, per_second=20, organizations=scene.target.live),
    ):
        door = Server("api", guarded(scene.api.answer), RequestLog(), sandbox.errors)
        door.start()
        assert wait_until(lambda: sandbox.intake.count > 1_000, timeout_seconds=60)
        yield f"{door.url}/api"
        door.stop()


def test_every_harm_is_tried_here() -> None:
    """None is offered that nobody has seen."""
    assert TOLD.keys() == {harm.name for harm in HARMS}
    assert TOLD_OF_ONE.keys() == {harm.name for harm in HARMS_TO_ONE}


@pytest.mark.parametrize("name", TOLD_OF_ONE)
def test_harm_to_one_organization_is_told_and_is_no_other_s(name: str) -> None:
    """Nothing is lost, and what the others did meanwhile is told, too."""
    wish = {"amount": 2 if name == "list-change" else USUALLY_SECONDS}
    with _api_of_several() as api:
        begun = requests.post(f"{api}/harms/{name}", json=wish, timeout=10)
        assert begun.status_code == 201, begun.text
        incident = _settled(api, begun.json()["number"])
        each = requests.get(f"{api}/state", timeout=10).json()["organizations"]

    told = "\n".join(incident["told"])
    assert incident["state"] == "recovered", told
    assert TOLD_OF_ONE[name] in told
    assert "An event of any other took" in told
    assert incident["clean"], told
    assert len(each) == (22 if name == "list-change" else 20)
    assert not any(one["so_far"]["misdelivered"] for one in each)


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=needs_faketime) if name == "clock-jump" else name for name in TOLD],
)
def test_harm_is_done_and_what_the_connector_did_about_it_is_told(name: str) -> None:
    """Nothing is lost or altered; only a kill may let come twice what was in flight."""
    wish = {"amount": AMOUNTS.get(name, USUALLY_SECONDS)}
    with _api() as api:
        begun = requests.post(f"{api}/harms/{name}", json=wish, timeout=10)
        assert begun.status_code == 201, begun.text
        incident = _settled(api, begun.json()["number"])

    told = "\n".join(incident["told"])
    assert incident["state"] == "recovered", told
    assert TOLD[name] in told
    assert " 0 lost, " in told
    assert " 0 altered" in told
    assert incident["clean"] or name == "kill", told


def test_harm_may_end_before_its_time() -> None:
    """Meanwhile it is not begun a second time."""
    with _api() as api:
        begun = requests.post(f"{api}/harms/slow-pages", json={"amount": 600}, timeout=10).json()
        again = requests.post(f"{api}/harms/slow-pages", timeout=10)
        requests.delete(f"{api}/incidents/{begun['number']}", timeout=10)
        incident = _settled(api, begun["number"])

    assert again.status_code == 409
    assert "under way already" in again.json()["message"]
    assert incident["state"] == "recovered"


def _settled(api: str, number: int) -> dict[str, Any]:
    deadline = time.monotonic() + SETTLE_SECONDS
    while time.monotonic() < deadline:
        incident: dict[str, Any] = requests.get(f"{api}/incidents/{number}", timeout=10).json()
        if incident["told"]:
            return incident
        time.sleep(0.1)
    raise AssertionError(f"incident {number} is not over")
