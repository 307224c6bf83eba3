"""The two forms that a person fills in, as models of pydantic.

The manifests are written from them (tools/manifests.py). `form_values` checks single values,
`form_faults` explains what is wrong. Nothing here knows where a configuration comes from.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationInfo, field_validator
from pydantic.json_schema import SkipJsonSchema
from sekoia_automation.connector import DefaultConnectorConfiguration

from jumpcloud_modules.instants import RETENTION
from jumpcloud_modules.jumpcloud.insights import SERVICES
from jumpcloud_modules.jumpcloud.regions import REGIONS, places_of
from jumpcloud_modules.sekoia.form_values import (
    Address,
    AddressWithSlash,
    Identifier,
    IntakeKey,
    NameList,
    Secret,
    WholeNumber,
    faults_of_secret,
)

ALL_SERVICES: Final = "all"
MAX_HISTORY_HOURS: Final = RETENTION // timedelta(hours=1)
MAX_SECONDS_BETWEEN: Final = RETENTION // timedelta(seconds=1)
"""Whoever asks less often loses what JumpCloud no longer keeps."""


# The schema of a form


def _form(
    title: str, required: list[str], secrets: list[str] | None = None
) -> Callable[[dict[str, Any]], None]:
    """Return the additions to pydantic's schema that the platform's forms need."""

    def adapt(schema: dict[str, Any]) -> None:
        schema.pop("description", None)
        schema["title"] = title
        schema["required"] = required
        schema["properties"] = dict(
            sorted(schema["properties"].items(), key=lambda item: item[0] not in required)
        )
        if secrets:
            schema["secrets"] = secrets
        for name, field in schema["properties"].items():
            if name in required or field.get("default", "") is None:
                field.pop("default", None)
            if name in (secrets or []):
                for key in ("default", "format", "writeOnly"):
                    field.pop(key, None)

    return adapt


SECRETS: Final = ["apikey", "client_secret"]
NO_CREDENTIALS: Final = (
    "apikey: is empty; give an API key of JumpCloud, or client_id and client_secret of a service"
    " account (self-hosted: JUMPCLOUD_API_KEY, or JUMPCLOUD_CLIENT_ID and"
    " JUMPCLOUD_CLIENT_SECRET)."
)
NO_ORGANIZATION: Final = (
    "organization_id: is empty; a service account needs its organization's, in the account's form"
    " or in the connector's."
)
TWO_CREDENTIALS: Final = (
    "apikey, client_id and client_secret: an API key and a service account are given; leave one"
    " of them empty."
)


class _Form(BaseModel):
    """Take a form's values; one that is left blank means the default."""

    @field_validator("*", mode="before")
    @classmethod
    def _blank_means_default(cls, value: object, info: ValidationInfo) -> object:
        field = cls.model_fields[str(info.field_name)]
        return field.default if _is_blank(value) and not field.is_required() else value


def _is_blank(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


class ModuleConfiguration(_Form):
    """Hold what reaches one JumpCloud organisation.

    Secrets may be absent at first: the platform delivers them after the rest. So whether the
    credentials are complete is told at use.
    """

    model_config = ConfigDict(
        extra="ignore",
        hide_input_in_errors=True,
        validate_assignment=True,  # the platform's secrets are set as plain texts
        json_schema_extra=_form("JumpCloud Directory Insights", [], SECRETS),
    )

    # The form offers JumpCloud's own addresses; the model takes any, for a gateway or an emulator.
    base_url: AddressWithSlash = Field(
        default=REGIONS[0].base_url,
        title="Region",
        json_schema_extra={"enum": [region.base_url for region in REGIONS]},
        description="Address of JumpCloud's API in the region of your organization, which the"
        " address of your admin portal tells: https://api.jumpcloud.com/ (US, where you sign in at"
        " console.jumpcloud.com), https://api.eu.jumpcloud.com/ (EU, console.eu.jumpcloud.com) or"
        " https://api.in.jumpcloud.com/ (India, console.in.jumpcloud.com).",
    )
    apikey: Secret = Field(
        default=SecretStr(""),
        title="API key",
        description="API key of a JumpCloud administrator of the role Read Only or a greater one;"
        " that of a Command Runner is refused. As that administrator, click your initials at the"
        " top right of the admin portal, then My API Key > Generate New API Key"
        " (https://jumpcloud.com/support/jumpcloud-apis). An Administrator With Billing has to"
        " enable API access for it first, in Settings > Administrators. Leave empty where you give"
        " a service account.",
    )
    client_id: Identifier | SkipJsonSchema[None] = Field(
        default=None,
        title="Client ID of a service account",
        description="ID of a JumpCloud service account, in place of an API key. In the admin"
        " portal: Settings > Service Accounts > New, with the role Read Only or a greater one and"
        " the key type Client Secret (https://jumpcloud.com/support/service-account-for-apis).",
    )
    client_secret: Secret = Field(
        default=SecretStr(""),
        title="Client secret of the service account",
        description="Secret of that service account. JumpCloud shows it once, and lets it end"
        " after the lifetime that was chosen for it.",
    )
    organization_id: Identifier | SkipJsonSchema[None] = Field(
        default=None,
        title="Organization ID",
        description="ID of the JumpCloud organization that this account collects from. Needed with"
        " a service account, and where the API key reaches several organizations. A connector"
        " may name another one. In the admin portal: Settings > Organization Profile"
        " (https://jumpcloud.com/support/settings-in-admin-portal).",
    )
    provider_id: Identifier | SkipJsonSchema[None] = Field(
        default=None,
        title="Provider ID",
        description="ID of the provider in JumpCloud's multi-tenant portal, to collect only the"
        " events of that portal itself. Leave empty to collect those of an organization.",
    )

    @property
    def faults_of_credentials(self) -> list[str]:
        """Return a sentence for each reason why nobody can be asked with these credentials."""
        key, secret = self.apikey.get_secret_value(), self.client_secret.get_secret_value()
        if not key and not secret and not self.client_id:
            return [NO_CREDENTIALS]
        if key and (secret or self.client_id):
            return [TWO_CREDENTIALS]
        if key:
            return faults_of_secret("apikey", key)
        return self._faults_of_service_account(secret)

    def faults_of_organization(self, organization_id: str | None) -> list[str]:
        """Return why an organization has to be named; it may be named in either form."""
        if organization_id or not self.client_id:
            return []
        return [NO_ORGANIZATION]

    def _faults_of_service_account(self, secret: str) -> list[str]:
        faults = []
        if not self.client_id:
            faults.append("client_id: is empty; give the ID of the service account.")
        elif ":" in self.client_id:
            faults.append("client_id: holds a colon; paste it again.")
        if not secret:
            faults.append("client_secret: is empty; give the secret of the service account.")
        faults += faults_of_secret("client_secret", secret)
        if places_of(self.base_url).token_url is None:
            faults.append(
                "base_url: is none of JumpCloud's own addresses, where a service account gets its"
                " tokens; give one of them, or an API key."
            )
        return faults


class ConnectorConfiguration(_Form, DefaultConnectorConfiguration):
    """Hold where the events go, which ones are collected, and how often."""

    model_config = ConfigDict(
        extra="ignore",
        hide_input_in_errors=True,
        json_schema_extra=_form("JumpCloud Directory Insights", ["intake_key"]),
    )

    # Left out of every dump: the SDK puts dumps into Sentry's contexts.
    intake_key: IntakeKey = Field(
        exclude=True,
        repr=False,
        title="Intake key",
        description="Key of the Sekoia intake that receives the events; its format is JumpCloud"
        " Directory Insights"
        " (https://docs.sekoia.io/integration/categories/iam/jumpcloud_directory_insights/).",
    )
    intake_server: Address | SkipJsonSchema[None] = Field(
        default=None,
        title="Intake server",
        description="Address of the Sekoia intake, for example https://intake.sekoia.io. Leave"
        " empty for the one of your Sekoia region.",
    )
    service: NameList = Field(
        default=ALL_SERVICES,
        title="Services",
        description="JumpCloud services to collect, separated by commas, for example"
        " directory,sso,radius. all collects present and future ones; it is said to leave some out,"
        " such as pam: all,pam collects both, and each event once. The names that are known:"
        f" {', '.join(SERVICES)}.",
    )
    excluded_event_types: NameList = Field(
        default="",
        title="Event types left out",
        description="Event types that are not collected, separated by commas, for example"
        " ldap_bind,ldap_search. JumpCloud keeps events for 90 days: what is left out for longer"
        " cannot be had back.",
    )
    frequency: WholeNumber = Field(
        default=60,
        ge=1,
        le=MAX_SECONDS_BETWEEN,
        title="Frequency (seconds)",
        description="Seconds between two calls for new events.",
    )
    chunk_size: WholeNumber = Field(
        default=10_000,
        ge=1,
        le=10_000,
        title="Chunk size (events)",
        description="Most events asked for in one call.",
    )
    history_hours: WholeNumber = Field(
        default=24,
        ge=0,
        le=MAX_HISTORY_HOURS,
        title="History (hours)",
        description="Hours of past events that the first start collects. JumpCloud keeps events"
        " for 90 days (2160 hours).",
    )
    audit_hours: WholeNumber = Field(
        default=168,
        ge=0,
        le=MAX_HISTORY_HOURS,
        title="Late events (hours)",
        description="Hours back for which events that JumpCloud publishes late are looked for."
        " 0 turns this off.",
    )
    audit_frequency: WholeNumber = Field(
        default=600,
        ge=5,
        le=MAX_SECONDS_BETWEEN,
        title="Frequency of the search for late events (seconds)",
        description="Seconds between two searches for late events. New events are called for at"
        " each of them, too.",
    )
    organization_id: Identifier | SkipJsonSchema[None] = Field(
        default=None,
        title="Organization ID",
        description="ID of another JumpCloud organization than the account's, to collect from with"
        " the same credentials: so one account serves a connector for each organization. Leave"
        " empty to collect from the account's.",
    )

    @property
    def streams(self) -> list[list[str]]:
        """Return the names to ask for, stream by stream: `all`, and what is named beside it.

        JumpCloud repeats events where `all` and others are asked for in one request.
        """
        others = [name for name in _names(self.service) if name.lower() != ALL_SERVICES]
        has_all = len(others) < len(_names(self.service)) or not others
        return [names for names in ([ALL_SERVICES] if has_all else [], others) if names]

    @property
    def services(self) -> list[str]:
        """Return the names of all streams, each once."""
        return [name for names in self.streams for name in names]

    @property
    def poll_every_seconds(self) -> int:
        """Return the time from one poll to the next, which also looks for late events."""
        return min(self.frequency, self.audit_frequency) if self.audit_hours else self.frequency

    @property
    def excluded_types(self) -> list[str]:
        """Return the event types to leave out, each once."""
        return _names(self.excluded_event_types.lower())


def _names(text: str) -> list[str]:
    """Return the names of a list that is separated by commas, each once."""
    return list(dict.fromkeys(filter(None, (name.strip() for name in text.split(",")))))
