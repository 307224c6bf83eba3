"""Where the configuration and the state are: on the platform, or self-hosted.

The same commands work in the platform's container, where they find what the platform set there,
and beside a module.json. Nothing is read before it is asked for, and nothing is made.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Protocol

import requests
from pydantic import BaseModel, ValidationError
from sekoia_automation.configuration.filesystem import FileSystemConfiguration
from sekoia_automation.storage import get_data_path

from jumpcloud_modules.commands import data_folder, environment
from jumpcloud_modules.commands.module_json import ConfigurationError, read_document
from jumpcloud_modules.commands.organization_list import (
    Entry,
    Listed,
    Named,
    examine,
    named,
    names_a_list,
)
from jumpcloud_modules.commands.organization_source import shard_here
from jumpcloud_modules.commands.run import faults_of
from jumpcloud_modules.organizations.sharding import mine
from jumpcloud_modules.sekoia.configuration import ConnectorConfiguration
from jumpcloud_modules.sekoia.form_faults import explain
from jumpcloud_modules.sekoia.object_storage import bound
from jumpcloud_modules.sekoia.spelling import unknown_keys

SECRETS_TIMEOUT_SECONDS: Final = (3.0, 4.0)
LIVENESS_PORT: Final = 8000
OF_THE_CONNECTOR: Final = ("connector_configuration", "trigger_configuration")


class Installation(Protocol):
    """Where one connector is configured and keeps its state. Raises ConfigurationError."""

    @property
    def name(self) -> str:
        """Return where the configuration stands, for a sentence."""

    @property
    def folder(self) -> Path:
        """Return the data folder, on a disk or on S3; it need not exist."""

    @property
    def liveness_port(self) -> int:
        """Return the port that a running connector answers on."""

    def organizations(self) -> Mapping[str, "Installation"]:
        """Return the organizations of a list, by name; none where there is no list."""

    def of_this_process(self) -> Mapping[str, "Installation"]:
        """Return those of them that a process with this environment collects from."""

    def collected(self) -> list[Named]:
        """Return what a list names, as far as it can be read; nothing where there is no list."""

    def faults(self) -> list[str]:
        """Return a sentence for each thing that would make a start fail."""

    def warnings(self) -> list[str]:
        """Return a sentence for each name that nobody reads."""

    def module(self) -> dict[str, Any]:
        """Return the account's form, with its secrets."""

    def connector(self) -> dict[str, Any]:
        """Return the connector's form."""

    @property
    def intake_url(self) -> str | None:
        """Return the intake of the platform's region, None where there is no platform."""


class _WithoutAList:
    """Have no list: it is one organization of a list itself, or is on the platform."""

    def organizations(self) -> Mapping[str, Installation]:
        """Return none."""
        return {}

    def of_this_process(self) -> Mapping[str, Installation]:
        """Return none."""
        return {}

    def collected(self) -> list[Named]:
        """Return none."""
        return []


@dataclass(frozen=True)
class SelfHosted:
    """Read module.json and the environment."""

    environment: Mapping[str, str]
    data: str | None = None
    intake_url: str | None = None

    @property
    def name(self) -> str:
        """Return the file's path."""
        return self.environment.get("MODULE_JSON") or "module.json"

    @property
    def folder(self) -> Path:
        """Return what DATA_DIR names, or ./data."""
        return data_folder.find(self.environment, self.data)

    @property
    def liveness_port(self) -> int:
        """Return LIVENESS_PORT."""
        return _port(self.environment.get("LIVENESS_PORT"))

    def organizations(self) -> dict[str, "OfOrganization"]:
        """Return those that module.json lists, by name; none where it lists none or is not there.

        Raises ConfigurationError where the list cannot be read.
        """
        path = Path(self.name)
        if not _lists(path):
            return {}
        return {one.name: OfOrganization(self, one.name) for one in named(path, self.environment)}

    def of_this_process(self) -> dict[str, "OfOrganization"]:
        """Return those of this shard where SHARD or SHARDS says so, else all, by name."""
        of_all = self.organizations()
        shard = shard_here(self.environment) if of_all else None
        return {name: of_all[name] for name in mine(of_all, shard)} if shard else of_all

    def collected(self) -> list[Named]:
        """Return what the list names, as far as it can be read: it may just be being written."""
        try:
            return named(Path(self.name), self.environment)
        except ConfigurationError:
            return []

    @cached_property
    def listed(self) -> Listed:
        """Return what can be collected of the list, and what is wrong with the rest.

        Raises ConfigurationError.
        """
        return examine(Path(self.name), self.environment)

    def faults(self) -> list[str]:
        """Return what a start would say of both parts, all at once.

        Of a list, what it would say of entries without a name; each organization says its own.
        """
        if of_all := self.organizations():
            return [str(fault) for fault in self.listed.faults if fault.who not in of_all]
        return faults_of(read_document(Path(self.name), self.environment))

    def warnings(self) -> list[str]:
        """Return what a start would say of the variables."""
        return environment.warnings_for(Path(self.name), self.environment)

    def module(self) -> dict[str, Any]:
        """Return the part `module`."""
        return self._part("module")

    def connector(self) -> dict[str, Any]:
        """Return the part `connector`."""
        return self._part("connector")

    def _part(self, name: str) -> dict[str, Any]:
        return read_document(Path(self.name), self.environment, (name,))[name]


@dataclass(frozen=True)
class OfOrganization(_WithoutAList):
    """Read one organization of the list that module.json has: both forms as they count for it."""

    whole: SelfHosted
    organization: str

    @property
    def name(self) -> str:
        """Return the organization's name and the file's path."""
        return f"{self.organization} in {self.whole.name}"

    @property
    def folder(self) -> Path:
        """Return the organization's folder in the data folder."""
        return self.whole.folder / self.organization

    @property
    def liveness_port(self) -> int:
        """Return the port of the process that collects from all of them."""
        return self.whole.liveness_port

    @property
    def intake_url(self) -> None:
        """Return None: there is no platform."""

    def faults(self) -> list[str]:
        """Return what a start would say of this organization."""
        return self.whole.listed.faults_of(self.organization)

    def warnings(self) -> list[str]:
        """Return what a start would say of the variables."""
        return self.whole.warnings()

    def module(self) -> dict[str, Any]:
        """Return the account's form, its own keys laid over those of all."""
        return _given(self._entry.account)

    def connector(self) -> dict[str, Any]:
        """Return the connector's form, its own keys laid over those of all."""
        return _given(self._entry.connector)

    @property
    def _entry(self) -> Entry:
        entries = (e for e in self.whole.listed.entries if e.name == self.organization)
        if entry := next(entries, None):
            return entry
        raise ConfigurationError(" ".join(self.faults()))


@dataclass(frozen=True)
class OnThePlatform(_WithoutAList):
    """Read what the platform mounted or set, and fetch the secrets as the SDK does."""

    configuration: FileSystemConfiguration
    data: str | None = None

    @property
    def name(self) -> str:
        """Name the platform."""
        return "the platform's configuration"

    @property
    def folder(self) -> Path:
        """Return the SDK's data path. Raises ConfigurationError where S3 is not there."""
        if self.data:
            return Path(self.data).absolute()
        try:
            path = get_data_path()
            bound(path)
            return path
        except Exception as error:  # noqa: BLE001 -- each S3 client raises a family of its own
            raise ConfigurationError(
                f"The object storage cannot be reached ({type(error).__name__}: {error}); check"
                " AWS_S3_ENDPOINT_URL, AWS_BUCKET_NAME and the keys."
            ) from None

    @property
    def liveness_port(self) -> int:
        """Return the platform's port."""
        return _port(self._text("liveness_port"))

    @property
    def intake_url(self) -> str | None:
        """Return the intake of the platform's region."""
        return self._text("intake_url")

    def faults(self) -> list[str]:
        """Return nothing: each form has its own faults, told when it is read."""
        return []

    def warnings(self) -> list[str]:
        """Return the keys that no form has: on the platform, forms may be older or newer."""
        forms = {"module": self._form("module_configuration"), "connector": self.connector()}
        return [said for part, form in forms.items() for said in unknown_keys(form, part)]

    def module(self) -> dict[str, Any]:
        """Return the account's form, the secrets laid over it."""
        return {**(self._form("module_configuration") or {}), **self._secrets}

    def connector(self) -> dict[str, Any]:
        """Return the connector's form."""
        forms = (self._form(name) for name in OF_THE_CONNECTOR)
        return next(filter(None, forms), {})

    def _form(self, name: str) -> dict[str, Any] | None:
        try:
            form = self.configuration.load(name, "json", non_exist_ok=True)
        except ValueError:
            raise ConfigurationError(
                f"{name.upper()} is neither JSON nor JSON in base64; save the form again."
            ) from None
        if form is not None and not isinstance(form, dict):
            raise ConfigurationError(f"{name.upper()} is no JSON object; save the form again.")
        return form

    @cached_property
    def _secrets(self) -> dict[str, Any]:
        url, token = self._secrets_url, self._text("token")
        if not url:
            return {}  # somebody set the forms by hand, the keys in them
        try:
            answer = requests.get(
                url,
                headers={"Authorization": f"Bearer {token}"},
                timeout=SECRETS_TIMEOUT_SECONDS,
                allow_redirects=False,
            )
            answer.raise_for_status()
            secrets = answer.json()["value"]
        except (requests.RequestException, LookupError, TypeError, ValueError) as error:
            raise ConfigurationError(
                f"The platform gives no secrets ({_reason(error)}); check URL_SECRETS and TOKEN."
            ) from None
        return {name: value for name, value in (secrets or {}).items() if value is not None}

    @property
    def _secrets_url(self) -> str | None:
        callback = self._text("url_callback") or ""
        return self._text("url_secrets") or callback.replace("/callback", "/secrets") or None

    def _text(self, name: str) -> str | None:
        value = self.configuration.load(name, non_exist_ok=True)
        return str(value) if value else None


def find(variables: Mapping[str, str] = os.environ, data: str | None = None) -> Installation:
    """Return the platform's installation where its forms are, or else the self-hosted one."""
    configuration = FileSystemConfiguration()
    if any(configuration.load(name, non_exist_ok=True) for name in OF_THE_CONNECTOR):
        return OnThePlatform(configuration, data)
    return SelfHosted(variables, data)


def connector(installation: Installation) -> ConnectorConfiguration:
    """Return the connector's form, with the intake's address.

    Raises ConfigurationError with a sentence for each bad value.
    """
    try:
        configuration = ConnectorConfiguration.model_validate(installation.connector())
    except ValidationError as error:
        raise ConfigurationError(" ".join(explain(error))) from None
    if not (configuration.intake_server or installation.intake_url):
        raise ConfigurationError("intake_server: is missing; give your Sekoia region's address.")
    return configuration


def intake_url(installation: Installation, configuration: ConnectorConfiguration) -> str:
    """Return where events go: the form's address before the platform's."""
    return configuration.intake_server or installation.intake_url or ""


def _given(form: BaseModel) -> dict[str, Any]:
    """Return what was given of a form, keys too, which no dump of it has."""
    return {name: getattr(form, name) for name in form.model_fields_set}


def _lists(path: Path) -> bool:
    try:
        return names_a_list(path)
    except ConfigurationError:  # who needs the file itself says what is wrong with it
        return False


def _port(text: str | None) -> int:
    try:
        return int(text or LIVENESS_PORT)
    except ValueError:
        raise ConfigurationError(f"LIVENESS_PORT {text!r} is no number; give a port.") from None


def _reason(error: Exception) -> str:
    """Name a failure without the address, which requests repeats and which may hold a token."""
    answer = getattr(error, "response", None)
    return f"it answered {answer.status_code}" if answer is not None else type(error).__name__
