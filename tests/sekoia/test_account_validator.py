"""The account form's test of the connection: what it asks, what it says, and how long it takes."""

import json
import logging
import time
from collections.abc import Sequence
from typing import Any

import pytest

from jumpcloud_modules.jumpcloud import diagnosis
from jumpcloud_modules.jumpcloud.regions import Region
from jumpcloud_modules.sekoia.account_validator import JumpcloudDirectoryInsightsValidator
from jumpcloud_modules.sekoia.module import JumpcloudDirectoryInsightsModule
from sandbox import CLIENT_ID, CLIENT_SECRET, Sandbox, faults, generate
from sandbox.instants import now_ms

HOUR_MS = 3_600_000
TWO = {"a": "Customer A", "b": "Customer B"}


def validate(
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    *,
    regions: Sequence[Region] = (),
    seconds: float = 10.0,
    **configuration: Any,
) -> dict[str, Any]:
    """Validate an account as the platform asks for it, and return the last callback."""
    given = {"base_url": sandbox.addresses.jumpcloud_url, "apikey": "a placeholder"}
    monkeypatch.setenv("MODULE_CONFIGURATION", json.dumps(given | configuration))
    monkeypatch.setenv("TOKEN", sandbox.addresses.token)
    monkeypatch.setenv("URL_CALLBACK", f"{sandbox.addresses.platform_url}/callback")
    validator = JumpcloudDirectoryInsightsValidator(JumpcloudDirectoryInsightsModule())
    validator.regions, validator.seconds_to_answer = regions, seconds
    validator.execute()
    return sandbox.platform.callbacks[-1]


def as_service_account(sandbox: Sandbox, secret: str = CLIENT_SECRET) -> dict[str, Any]:
    """Have the platform deliver a service account's secret, and return the rest of its form."""
    sandbox.platform.secrets = {"client_secret": secret}
    return {"client_id": CLIENT_ID}


def error_of(told: dict[str, Any]) -> str:
    """Return what a person reads of a failure."""
    assert told["status"] == "finished"
    assert told["results"] == {"success": False}
    return str(told["error"])


def test_a_key_that_works_is_a_success(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An event is asked for and a day is counted, with the key that the platform's answer has."""
    events = generate(1_234, now_ms() - 20 * HOUR_MS, now_ms() - 1_000)
    caplog.set_level(logging.INFO)
    with Sandbox(events) as sandbox:
        told = validate(sandbox, monkeypatch)

        assert told == {"status": "finished", "results": {"success": True}}
        (page,) = sandbox.jumpcloud.requests.entries("events")
        assert (page.body["limit"], page.events) == (1, 1)
        assert sandbox.jumpcloud.requests.statuses() == {200: 2}
    assert "JumpCloud holds 1,234 events of the last 24 hours." in caplog.text


def test_a_directory_without_events_is_a_success(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new one has none."""
    with Sandbox() as sandbox:
        assert validate(sandbox, monkeypatch)["results"] == {"success": True}


def test_a_service_account_that_works_is_a_success(monkeypatch: pytest.MonkeyPatch) -> None:
    """The API key's placeholder is none."""
    with Sandbox(organizations=TWO) as sandbox:
        form = as_service_account(sandbox)
        told = validate(sandbox, monkeypatch, **form, organization_id="b")

        assert told == {"status": "finished", "results": {"success": True}}
        assert len(sandbox.jumpcloud.tokens.given) == 1


def test_a_key_that_is_refused_is_told_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The person sees what came back and what to do, and no key."""
    with Sandbox() as sandbox:
        sandbox.platform.secrets["apikey"] = "hunter2"
        said = error_of(validate(sandbox, monkeypatch))

    assert "401" in said
    assert "API key" in said
    assert "hunter2" not in said


def test_a_service_account_that_is_refused_is_told_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its fields are named, and its secret is not shown."""
    with Sandbox() as sandbox:
        form = as_service_account(sandbox, "hunter2")
        said = error_of(validate(sandbox, monkeypatch, **form, organization_id="x"))

    assert "Check client_id and client_secret" in said
    assert "hunter2" not in said


@pytest.mark.parametrize("is_service_account", [False, True])
def test_the_region_of_the_credentials_is_named(
    monkeypatch: pytest.MonkeyPatch, is_service_account: bool
) -> None:
    """Whoever signs in at console.eu.jumpcloud.com has left the default as it was."""
    with Sandbox(api_key="another") as us, Sandbox(organizations=TWO) as eu:
        us.platform.secrets = {"apikey": eu.addresses.api_key}
        us.jumpcloud.tokens.client_secret = "another"
        regions = [
            Region("US", us.jumpcloud.url + "/", "", ""),
            Region("EU", eu.jumpcloud.url + "/", "", ""),
        ]
        form = as_service_account(us) if is_service_account else {}
        said = error_of(validate(us, monkeypatch, regions=regions, **form, organization_id="a"))

    assert said.endswith(f"region EU: set base_url to {eu.jumpcloud.url}/")


@pytest.mark.parametrize("is_service_account", [False, True])
def test_the_organizations_to_choose_from_are_listed(
    monkeypatch: pytest.MonkeyPatch, is_service_account: bool
) -> None:
    """By name and ID."""
    with Sandbox(organizations=TWO) as sandbox:
        form = as_service_account(sandbox) if is_service_account else {}
        said = error_of(validate(sandbox, monkeypatch, **form))

    assert "No organization is chosen" in said
    assert said.endswith("one of them: Customer A (a), Customer B (b).")


def test_an_organization_that_is_unknown_is_told_with_those_that_are_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """JumpCloud says only that the request is bad."""
    with Sandbox(organizations=TWO) as sandbox:
        said = error_of(validate(sandbox, monkeypatch, organization_id="c"))

    assert "answered 400" in said
    assert "The organization c is none of those" in said
    assert said.endswith("Customer A (a), Customer B (b).")


def test_a_plan_without_directory_insights_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The credentials are right, so nobody else is asked."""
    with Sandbox() as sandbox:
        sandbox.jumpcloud.insights_enabled = False
        said = error_of(validate(sandbox, monkeypatch))

        assert "Directory Insights is not enabled" in said
        assert sandbox.jumpcloud.requests.count("organizations") == 0


@pytest.mark.parametrize("status", [403, 500])
def test_counts_that_fail_are_no_failure(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    """Events are collected without them."""
    with Sandbox() as sandbox:
        sandbox.jumpcloud.faults.add(faults.Status(status), endpoint="count")
        told = validate(sandbox, monkeypatch)

    assert told["results"] == {"success": True}
    assert "Events can be read, but not counted: JumpCloud answered" in caplog.text


def test_both_questions_and_looking_for_a_cause_take_less_than_twenty_seconds() -> None:
    """Each ends by itself, whatever the other end does."""
    assert JumpcloudDirectoryInsightsValidator.seconds_to_answer + diagnosis.SECONDS < 20


@pytest.mark.parametrize("fault", [faults.Hang(60), faults.HangMidBody(60)])
def test_a_person_is_answered_in_time_whatever_hangs(
    monkeypatch: pytest.MonkeyPatch, fault: faults.Fault
) -> None:
    """The platform would give up."""
    events = generate(10, now_ms() - HOUR_MS, now_ms() - 1_000)
    with Sandbox(events) as sandbox:
        sandbox.jumpcloud.faults.add(fault)
        began = time.monotonic()
        said = error_of(validate(sandbox, monkeypatch, seconds=1.0))

        assert time.monotonic() - began < 6
        assert "did not answer within 1 s" in said
        assert "can be reached from here" in said


@pytest.mark.parametrize(
    ("configuration", "said"),
    [
        ({"base_url": "http://api.jumpcloud.com"}, "base_url: begins with http://"),
        ({"base_url": "http://127.0.0.1:9/"}, "JumpCloud"),
        ({"organization_id": "two words"}, "organization_id: holds a space"),
        ({"client_id": "x"}, "an API key and a service account are given"),
    ],
)
def test_an_account_that_cannot_work_is_told(
    monkeypatch: pytest.MonkeyPatch, configuration: dict[str, Any], said: str
) -> None:
    """The platform hears of it, also when there is nothing to ask JumpCloud with."""
    with Sandbox() as sandbox:
        assert said in error_of(validate(sandbox, monkeypatch, **configuration))
