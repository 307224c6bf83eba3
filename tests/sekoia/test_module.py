"""The module on the SDK: configuration from the platform, error reports without keys."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import sentry_sdk
from sekoia_automation.exceptions import ModuleConfigurationError
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport

from jumpcloud_modules.jumpcloud.account import Account
from jumpcloud_modules.sekoia.configuration import ConnectorConfiguration
from jumpcloud_modules.sekoia.module import JumpcloudDirectoryInsightsModule

SECRET = "hunter2"


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Hold the variables that the platform sets."""
    monkeypatch.delenv("SENTRY_DSN", raising=False)
    return monkeypatch


@pytest.fixture
def reports(environment: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Collect what Sentry would be sent."""
    sent: list[str] = []

    class Collecting(Transport):
        def capture_envelope(self, envelope: Envelope) -> None:
            sent.append(envelope.serialize().decode())

    environment.setenv("SENTRY_DSN", "http://key@127.0.0.1:9/1")
    JumpcloudDirectoryInsightsModule()
    client = sentry_sdk.get_client()
    environment.setattr(client, "transport", Collecting({}))
    yield sent
    sentry_sdk.get_global_scope().set_client(None)
    sentry_sdk.get_isolation_scope().clear()


def module_with(environment: pytest.MonkeyPatch, text: str) -> JumpcloudDirectoryInsightsModule:
    """Return the module that the platform configures with a text."""
    environment.setenv("MODULE_CONFIGURATION", text)
    return JumpcloudDirectoryInsightsModule()


def test_the_key_may_be_absent_until_the_platform_delivers_it(
    environment: pytest.MonkeyPatch,
) -> None:
    """The configuration is read before the secrets are asked for."""
    module = module_with(environment, "{}")
    with pytest.raises(ModuleConfigurationError, match="apikey: is empty"):
        module.account()

    module.set_secrets({"apikey": f"{SECRET}\n", "of_tomorrow": "x"})

    assert module.account().api_key == SECRET


def test_a_secret_that_the_platform_lacks_leaves_the_placeholder(
    environment: pytest.MonkeyPatch,
) -> None:
    """A key in the configuration itself still counts."""
    module = module_with(environment, json.dumps({"apikey": SECRET}))

    module.set_secrets({"apikey": None})

    assert module.account().api_key == SECRET


FILE = {"apikey": "a placeholder", "client_secret": "a placeholder"}


@pytest.mark.parametrize("missing", [{}, {"apikey": None}, {"apikey": ""}])
def test_a_placeholder_does_not_count_beside_a_secret_that_came(
    environment: pytest.MonkeyPatch, missing: dict[str, str | None]
) -> None:
    """A service account has no API key, whatever stands in the file for one."""
    text = json.dumps(FILE | {"client_id": "id", "organization_id": "org"})
    module = module_with(environment, text)

    module.set_secrets({"client_secret": SECRET} | missing)

    account = module.account()
    assert (account.client_id, account.client_secret, account.api_key) == ("id", SECRET, "")
    assert SECRET in module.known_secrets


def test_an_api_key_that_came_needs_no_service_account(environment: pytest.MonkeyPatch) -> None:
    """Nor does its placeholder make one."""
    module = module_with(environment, json.dumps(FILE))

    module.set_secrets({"apikey": SECRET})

    assert module.account() == Account("https://api.jumpcloud.com/", api_key=SECRET)


def test_the_connector_s_organization_goes_before_the_account_s(
    environment: pytest.MonkeyPatch,
) -> None:
    """One account serves several connectors."""
    form = {"client_id": "id", "client_secret": SECRET, "provider_id": "provider"}
    module = module_with(environment, json.dumps(form))
    with pytest.raises(ModuleConfigurationError, match="organization_id: is empty"):
        module.account()

    assert module.account("of the connector").organization_id == "of the connector"
    assert module.account("x").provider_id == "provider"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"base_url": "http://api.jumpcloud.com"}', "base_url: begins with http://"),
        ("[]", "not a JSON object"),
        ("{broken", "not JSON"),
        ("\u00e9", "not JSON"),
    ],
)
def test_a_bad_configuration_is_told_in_a_sentence(
    environment: pytest.MonkeyPatch, text: str, said: str
) -> None:
    """No stack of library messages, and nothing of what the text holds."""
    module = module_with(environment, text)

    with pytest.raises(ModuleConfigurationError) as caught:
        _ = module.configuration

    assert said in caught.value.args[0]
    assert "\n" not in caught.value.args[0]


def test_a_bad_secret_is_told_without_its_value(environment: pytest.MonkeyPatch) -> None:
    """What the platform delivers is checked like what a person enters."""
    module = module_with(environment, "{}")

    with pytest.raises(ModuleConfigurationError) as caught:
        module.set_secrets({"apikey": [SECRET]})

    assert "apikey: " in caught.value.args[0]
    assert SECRET not in caught.value.args[0]


def test_error_reports_carry_no_local_variables(reports: list[str]) -> None:
    """A key passes through many functions."""

    def fails(key: str) -> None:
        raise RuntimeError("told")

    try:
        fails(SECRET)
    except RuntimeError as error:
        sentry_sdk.capture_exception(error)
        logging.getLogger("x").exception("also through logging")

    assert sentry_sdk.get_client().options["include_local_variables"] is False
    assert "told" in reports[0]
    assert '"vars"' not in "".join(reports)
    assert SECRET not in "".join(reports)


def test_error_reports_carry_no_headers_and_no_named_secrets(reports: list[str]) -> None:
    """Whatever an integration adds is looked through by name."""
    event: Any = {
        "message": "told",
        "request": {"url": "https://x/", "headers": {"x-api-key": SECRET}},
        "extra": {"answer": [{"Authorization": f"Bearer {SECRET}"}]},
        "contexts": {"state": {"intake_key": SECRET, "access_token": SECRET}},
        "tags": {"Client_Secret": SECRET},
    }

    sentry_sdk.capture_event(event)

    assert "told" in reports[0]
    assert SECRET not in reports[0]


def test_error_reports_show_configurations_without_keys(
    reports: list[str], environment: pytest.MonkeyPatch
) -> None:
    """Support sees the region, and no key."""
    module = module_with(environment, json.dumps({"apikey": SECRET, "client_secret": SECRET}))
    module.set_secrets({"apikey": SECRET, "client_secret": SECRET})
    connector = ConnectorConfiguration(intake_key=SECRET)
    sentry_sdk.set_context("connector_configuration", connector.model_dump())

    sentry_sdk.capture_message("told")

    assert "https://api.jumpcloud.com/" in reports[0]
    assert SECRET not in reports[0]
