"""The module of the SDK: its configuration, checked, and error reports without keys."""

import sys
from dataclasses import replace
from typing import Any, Final

import sentry_sdk
from pydantic import ValidationError
from sekoia_automation.exceptions import ModuleConfigurationError
from sekoia_automation.module import Module
from sentry_sdk.types import Event, Hint

from jumpcloud_modules.jumpcloud.account import Account
from jumpcloud_modules.sekoia.configuration import SECRETS, ModuleConfiguration
from jumpcloud_modules.sekoia.form_faults import explain
from jumpcloud_modules.sekoia.settings import account_of
from jumpcloud_modules.sekoia.spelling import unknown_keys

SECONDS_TO_SEND_LAST_REPORTS: Final = 0.5
OF_THE_PLATFORM_ONLY: Final = {
    "JumpcloudDirectoryInsightsConnector": (("token",), ("url_secrets", "url_callback")),
    "validate_module_configuration": (("token",), ("url_callback",)),
}
"""What only the platform sets, by command; of alternatives, one is enough."""
WITHHELD: Final = "[withheld]"
SECRET_NAMES: Final = frozenset(
    {
        "apikey",
        "api_key",
        "x-api-key",
        "x_api_key",
        "authorization",
        "intake_key",
        "token",
        "access_token",
        "client_secret",
    }
)


class JumpcloudDirectoryInsightsModule(Module):
    """Hold the configuration of one JumpCloud organization."""

    def __init__(self) -> None:
        # Only typed: the SDK's own is not, and strict type checking refuses calls to it.
        super().__init__()
        self.unread_keys: list[str] = []

    @property
    def configuration(self) -> ModuleConfiguration:
        """Return the module's configuration, read from the platform at first use.

        Raises ModuleConfigurationError with a sentence for each bad value.
        """
        if not isinstance(self._configuration, ModuleConfiguration):
            self.configuration = self._load()
        assert isinstance(self._configuration, ModuleConfiguration)  # noqa: S101 - for mypy
        return self._configuration

    @configuration.setter
    def configuration(self, configuration: Any) -> None:
        # Not the SDK's own setter: that one wants secrets in the file, which arrive later.
        try:
            self._configuration = ModuleConfiguration.model_validate(configuration)
        except ValidationError as error:
            raise ModuleConfigurationError(" ".join(explain(error))) from None
        self.unread_keys = unknown_keys(configuration, "module")
        shown = self._configuration.model_dump(mode="json")
        sentry_sdk.set_context("module_configuration", shown)

    def account(self, organization_id: str | None = None) -> Account:
        """Return the account, for the organization that is named here or else for its own.

        Raises ModuleConfigurationError with a sentence for each reason why they cannot be used.
        """
        form = self.configuration
        chosen = organization_id or form.organization_id
        faults = [*form.faults_of_credentials, *form.faults_of_organization(chosen)]
        if faults:
            raise ModuleConfigurationError(" ".join(faults))
        return replace(self.account_as_given, organization_id=chosen)

    @property
    def account_as_given(self) -> Account:
        """Return the account as the form has it, whether or not it can be used."""
        return account_of(self.configuration)

    @property
    def known_secrets(self) -> list[str]:
        """Return what no message may show, as far as the platform has delivered it."""
        return [getattr(self.configuration, name).get_secret_value() for name in SECRETS]

    def _load(self) -> Any:
        try:
            return self.load_config(self.MODULE_CONFIGURATION_FILE_NAME, "json")
        except ValueError:
            raise ModuleConfigurationError(
                "The module's configuration is not JSON; save the account's form again."
            ) from None

    def set_secrets(self, secrets: dict[str, Any] | None) -> None:
        """Lay the platform's secrets over the configuration; unknown ones are left out.

        Where any secret of an account is delivered, one that is not is none: what stands in its
        place is a placeholder, and would count as a second set of credentials.
        Raises ModuleConfigurationError with a sentence for each bad value.
        """
        delivered = {
            name: value
            for name, value in (secrets or {}).items()
            if name in ModuleConfiguration.model_fields and value is not None
        }
        if not delivered.keys().isdisjoint(SECRETS):
            delivered = dict.fromkeys(SECRETS, "") | delivered
        for name, value in delivered.items():
            try:
                setattr(self.configuration, name, value)
            except ValidationError as error:
                raise ModuleConfigurationError(" ".join(explain(error))) from None

    def run(self) -> None:
        """Run the platform's command; away from the platform, say what there is instead."""
        if missing := self._missing_of_the_platform():
            sys.stderr.write(
                f"{self.command} is started by Sekoia's platform, which sets"
                f" {' and '.join(missing)}. Away from it, python main.py collects and python"
                " main.py check tests the account: see python main.py --help.\n"
            )
            raise SystemExit(2)
        super().run()

    def _missing_of_the_platform(self) -> list[str]:
        needed = OF_THE_PLATFORM_ONLY.get(self.command or "", ())
        return [
            names[0].upper()
            for names in needed
            if not any(self.load_config(name, non_exist_ok=True) for name in names)
        ]

    def init_sentry(self) -> None:
        """Start Sentry where the platform asks for it, and keep keys out of its reports."""
        super().init_sentry()
        client = sentry_sdk.get_client()
        if client.is_active():
            # The SDK offers no way to pass these; both are looked up whenever a report is made.
            client.options["include_local_variables"] = False
            client.options["before_send"] = without_secrets
            client.options["shutdown_timeout"] = SECONDS_TO_SEND_LAST_REPORTS


def without_secrets(event: Event, _hint: Hint) -> Event:
    """Return a report without request, without variables, and with secrets withheld by name."""
    event.pop("request", None)
    return _withheld(event)  # type: ignore[no-any-return]


def _withheld(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: WITHHELD if str(name).lower() in SECRET_NAMES else _withheld(item)
            for name, item in value.items()
            if name != "vars"
        }
    if isinstance(value, list):
        return [_withheld(item) for item in value]
    return value
