"""The account form's test of the connection: one question, one sentence in return."""

import json
from typing import Any

import pytest

from jumpcloud_modules.sekoia.account_validator import JumpcloudDirectoryInsightsValidator
from jumpcloud_modules.sekoia.module import JumpcloudDirectoryInsightsModule
from sandbox import Sandbox


def validate(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, **configuration: Any
) -> dict[str, Any]:
    """Validate an account as the platform asks for it, and return the last callback."""
    given = {"base_url": sandbox.addresses.jumpcloud_url, "apikey": "a placeholder"}
    monkeypatch.setenv("MODULE_CONFIGURATION", json.dumps(given | configuration))
    monkeypatch.setenv("TOKEN", sandbox.addresses.token)
    monkeypatch.setenv("URL_CALLBACK", f"{sandbox.addresses.platform_url}/callback")
    JumpcloudDirectoryInsightsValidator(JumpcloudDirectoryInsightsModule()).execute()
    return sandbox.platform.callbacks[-1]


def test_a_key_that_works_is_a_success(monkeypatch: pytest.MonkeyPatch) -> None:
    """JumpCloud is asked once, with the key that the platform's answer carries."""
    with Sandbox() as sandbox:
        told = validate(sandbox, monkeypatch)

        assert told == {"status": "finished", "results": {"success": True}}
        assert sandbox.jumpcloud.requests.count() == 1


def test_a_key_that_is_refused_is_told_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The person sees what came back and what to do, and no key."""
    with Sandbox() as sandbox:
        sandbox.platform.secrets["apikey"] = "hunter2"
        told = validate(sandbox, monkeypatch)

    assert told["results"] == {"success": False}
    assert "401" in told["error"]
    assert "API key" in told["error"]
    assert "hunter2" not in told["error"]


@pytest.mark.parametrize(
    ("configuration", "said"),
    [
        ({"base_url": "http://api.jumpcloud.com"}, "base_url: begins with http://"),
        ({"base_url": "http://127.0.0.1:9/"}, "JumpCloud"),
        ({"organization_id": "two words"}, "organization_id: holds a space"),
    ],
)
def test_an_account_that_cannot_work_is_told(
    monkeypatch: pytest.MonkeyPatch, configuration: dict[str, str], said: str
) -> None:
    """The platform hears of it, also when there is nothing to ask JumpCloud with."""
    with Sandbox() as sandbox:
        told = validate(sandbox, monkeypatch, **configuration)

    assert told["results"] == {"success": False}
    assert said in told["error"]
