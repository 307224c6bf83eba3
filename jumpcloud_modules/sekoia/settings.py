"""What the two forms mean for the parts of a connector: plain values for the assembly."""

from pathlib import Path

from jumpcloud_modules.assembly import Settings
from jumpcloud_modules.collecting.plan import Plan
from jumpcloud_modules.instants import HOUR_MS, SECOND_MS
from jumpcloud_modules.intake.client import IntakeOptions
from jumpcloud_modules.jumpcloud.account import Account
from jumpcloud_modules.jumpcloud.client import ClientOptions
from jumpcloud_modules.sekoia.configuration import ConnectorConfiguration, ModuleConfiguration


def account_of(form: ModuleConfiguration, organization_id: str | None = None) -> Account:
    """Return the account that a form describes, for another organization where one is named."""
    return Account(
        base_url=form.base_url,
        api_key=form.apikey.get_secret_value(),
        client_id=form.client_id,
        client_secret=form.client_secret.get_secret_value(),
        organization_id=organization_id or form.organization_id,
        provider_id=form.provider_id,
    )


def settings_of(
    configuration: ConnectorConfiguration,
    *,
    account: Account,
    data_path: Path,
    intake_url: str,
    user_agent: str,
) -> Settings:
    """Return the settings for collecting from an account, with the state in `data_path`."""
    return Settings(
        plan=_plan(configuration),
        data_path=data_path,
        account=account,
        streams=configuration.streams,
        excluded_event_types=configuration.excluded_types,
        jumpcloud=ClientOptions(user_agent),
        intake=IntakeOptions(
            url=intake_url,
            key=configuration.intake_key,
            user_agent=user_agent,
        ),
    )


def _plan(configuration: ConnectorConfiguration) -> Plan:
    return Plan(
        history_ms=configuration.history_hours * HOUR_MS,
        audit_ms=configuration.audit_hours * HOUR_MS,
        # A little less, so that a poll that comes a moment early still looks for late events.
        audit_every_ms=configuration.audit_frequency * SECOND_MS - SECOND_MS // 2,
        scope="",  # completed by each stream's services
        max_rows=configuration.chunk_size,
    )
