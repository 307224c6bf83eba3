"""The account form's "test connection" as the platform runs it: a process with a callback."""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from sandbox import CLIENT_ID, CLIENT_SECRET, Sandbox
from sandbox.connector import VALIDATION_COMMAND, ConnectorProcess, Settings
from tests.process.scene import history
from tests.shell import regions_at

SECONDS = 60.0
TWO = {"6490f0f5a2d5398": "Berlin", "6490f0f5a2d5399": "Paris"}
KEY = {"apikey": "placeholder"}


def _result(
    sandbox: Sandbox, account: dict[str, Any], environment: dict[str, str] | None = None
) -> dict[str, Any]:
    """Return what the callback was told at the end, when the process has ended well."""
    with ConnectorProcess(
        sandbox.addresses,
        Settings(account=account),
        command=VALIDATION_COMMAND,
        environment=environment,
    ) as validation:
        assert validation.wait(SECONDS) == 0, validation.output
    return sandbox.platform.callbacks[-1]


@pytest.mark.parametrize("account", [KEY, {"client_id": CLIENT_ID, "organization_id": "org"}])
def test_an_account_that_works_is_a_success(account: dict[str, Any]) -> None:
    """With a key, and as a service account; the last day is counted."""
    with Sandbox(history(30)) as sandbox:
        if "client_id" in account:
            sandbox.platform.secrets = {"client_secret": CLIENT_SECRET}

        told = _result(sandbox, account)

        assert (told["status"], told["results"]) == ("finished", {"success": True})
        assert sandbox.jumpcloud.requests.arrivals("events") == 1
        assert sandbox.jumpcloud.requests.arrivals("count") == 1


def _another_key(sandbox: Sandbox) -> None:
    sandbox.platform.secrets = {"apikey": "jca_another_key"}


def _several_organizations(sandbox: Sandbox) -> None:
    sandbox.jumpcloud.organizations = TWO


def _no_insights(sandbox: Sandbox) -> None:
    sandbox.jumpcloud.insights_enabled = False


@pytest.mark.parametrize(
    ("harm", "account", "said"),
    [
        (_another_key, KEY, "Check that the API key"),
        (_several_organizations, KEY, "Berlin (6490f0f5a2d5398), Paris (6490f0f5a2d5399)"),
        (_several_organizations, KEY | {"organization_id": "x"}, "The organization x is none of"),
        (_no_insights, KEY, "Directory Insights is not enabled"),
    ],
)
def test_what_does_not_work_is_told_to_the_platform(
    harm: Callable[[Sandbox], None], account: dict[str, Any], said: str
) -> None:
    """In a sentence that says what to do."""
    with Sandbox() as sandbox:
        harm(sandbox)

        told = _result(sandbox, account)

    assert told["results"] == {"success": False}
    assert said in told["error"]


def test_a_wrong_region_is_named_with_the_right_one() -> None:
    """Two sandboxes are JumpCloud's regions to it."""
    with Sandbox(api_key="another") as elsewhere, Sandbox() as home:
        elsewhere.platform.secrets = {"apikey": home.jumpcloud.api_key}
        urls = {"US": f"{elsewhere.jumpcloud.url}/", "EU": f"{home.jumpcloud.url}/"}

        with TemporaryDirectory() as folder:
            told = _result(elsewhere, KEY, regions_at(urls, Path(folder)))

    assert told["error"].endswith(f"region EU: set base_url to {urls['EU']}")
