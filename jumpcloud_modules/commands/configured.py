"""A configuration that can work: where to ask, what for, and where the events go."""

from contextlib import suppress
from dataclasses import dataclass, field, replace

from sekoia_automation.exceptions import ModuleConfigurationError

from jumpcloud_modules.commands import installation as installations
from jumpcloud_modules.commands.installation import Installation
from jumpcloud_modules.commands.module_json import ConfigurationError
from jumpcloud_modules.jumpcloud.account import Account
from jumpcloud_modules.sekoia.configuration import ConnectorConfiguration
from jumpcloud_modules.sekoia.module import JumpcloudDirectoryInsightsModule


@dataclass(frozen=True, slots=True)
class Configured:
    """Hold a configuration that can work."""

    account: Account
    connector: ConnectorConfiguration = field(repr=False)
    intake_url: str


class _Module(JumpcloudDirectoryInsightsModule):
    """Read an account as the connector does, and report to nobody."""

    def init_sentry(self) -> None:
        """Leave Sentry out."""


def read(installation: Installation) -> Configured:
    """Read both forms. Raises ConfigurationError with a sentence for each bad value."""
    if faults := installation.faults():
        raise ConfigurationError(" ".join(faults))
    connector = installations.connector(installation)
    url = installations.intake_url(installation, connector)
    module = _Module()
    try:
        module.configuration = installation.module()
        account = module.account(connector.organization_id)
    except ModuleConfigurationError as error:
        raise ConfigurationError(error.args[0]) from None
    return Configured(account, connector, url)


def account(installation: Installation) -> Account:
    """Read the account alone: an organization need not be chosen yet, nor an intake be there.

    Raises ConfigurationError with a sentence for each bad value.
    """
    module = _Module()
    try:
        module.configuration = installation.module()
    except ModuleConfigurationError as error:
        raise ConfigurationError(error.args[0]) from None
    if faults := module.configuration.faults_of_credentials:
        raise ConfigurationError(" ".join(faults))
    given = module.account_as_given
    with suppress(ConfigurationError):  # a variable of the intake may not be set yet
        chosen = installation.connector().get("organization_id")
        if isinstance(chosen, str) and chosen.strip():
            return replace(given, organization_id=chosen.strip())
    return given
