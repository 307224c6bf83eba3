"""The same connector without the platform: configured by module.json and the environment.

State goes to DATA_DIR, logs to standard output. No playbook API is asked or told anything, and
/symphony is not read.
"""

import json
import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError
from sekoia_automation.configuration.base import Configuration
from sekoia_automation.configuration.exception import MissingConfigurationError

from jumpcloud_modules.commands import data_folder, environment, logs, many
from jumpcloud_modules.commands.fingerprint import fingerprint
from jumpcloud_modules.commands.module_json import (
    WRONG_CONFIGURATION,
    ConfigurationError,
    read_document,
)
from jumpcloud_modules.commands.organization_list import names_a_list
from jumpcloud_modules.errors import CannotWork
from jumpcloud_modules.sekoia.configuration import ConnectorConfiguration, ModuleConfiguration
from jumpcloud_modules.sekoia.connector import PORTS, JumpcloudDirectoryInsightsConnector
from jumpcloud_modules.sekoia.form_faults import explain
from jumpcloud_modules.sekoia.module import JumpcloudDirectoryInsightsModule
from jumpcloud_modules.sekoia.monitoring import Monitoring
from jumpcloud_modules.sekoia.spelling import PARTS, unknown_keys

LOOPBACK: Final = "127.0.0.1"


class Environment(Configuration):
    """Answer the SDK from the environment alone, with ports that are its own defaults."""

    def load(self, name: str, type_: str = "str", non_exist_ok: bool = False) -> Any:
        """Return a setting, or None where it is optional and missing."""
        value = os.environ.get(name.upper()) if name in {*PORTS, "sentry_dsn"} else None
        if value or non_exist_ok:
            return json.loads(value) if value and type_ == "json" else value
        raise MissingConfigurationError(f"{name.upper()} is not set.")

    def __hash__(self) -> int:
        return hash(type(self))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Environment)


class SelfHostedModule(JumpcloudDirectoryInsightsModule):
    """Be the module with no platform to ask."""

    def init_sentry(self) -> None:
        """Look for settings in the environment only, from the first one on."""
        self._config = Environment()
        super().init_sentry()


class SelfHostedConnector(JumpcloudDirectoryInsightsConnector):
    """Be the connector with no platform to tell."""

    def _get_secrets_from_server(  # type: ignore[override]
        self,
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        return {}, {}

    def start_monitoring(self) -> None:
        """Open the ports. Raises ConfigurationError where they cannot be opened."""
        _open_ports(self._monitoring)

    @property
    def key_label(self) -> str:
        """Return a fingerprint of the intake key: whoever reads metrics need not have the key."""
        return fingerprint(super().key_label)

    def _send_logs_to_api(self) -> None:  # type: ignore[override]
        self._logs.clear()  # they stand in standard output


def faults_of(document: Mapping[str, dict[str, Any]]) -> list[str]:
    """Return a sentence for each key that there is not and each bad value, of both parts."""
    faults = [sentence for part in PARTS for sentence in unknown_keys(document[part], part)]
    organization_id = None
    try:
        connector = ConnectorConfiguration.model_validate(document["connector"])
    except ValidationError as error:
        faults += explain(error)
    else:
        organization_id = connector.organization_id
        if not connector.intake_server:
            faults.append("intake_server: is missing; give your Sekoia region's address.")
    try:
        account = ModuleConfiguration.model_validate(document["module"])
    except ValidationError as error:
        return [*explain(error), *faults]
    organization_id = organization_id or account.organization_id
    of_account = [*account.faults_of_credentials, *account.faults_of_organization(organization_id)]
    return [*of_account, *faults]


def build(document: Mapping[str, dict[str, Any]], folder: Path) -> SelfHostedConnector:
    """Return the connector that a document describes.

    Raises ConfigurationError with a sentence for all that cannot work.
    """
    if faults := faults_of(document):
        raise ConfigurationError(" ".join(faults))
    module = SelfHostedModule()
    module.configuration = document["module"]
    connector = SelfHostedConnector(module, data_path=folder)
    connector.configuration = document["connector"]  # type: ignore[assignment]
    try:
        connector.prepare()
    except CannotWork as error:
        raise ConfigurationError(str(error)) from None
    return connector


def run() -> int:
    """Collect until asked to stop, and return the exit status.

    That is 2 where the configuration cannot work, which only the start finds out; else 0.
    """
    try:
        logs.set_up(os.environ)
        path = Path(os.environ.get("MODULE_JSON") or "module.json")
        for warning in environment.warnings_for(path, os.environ):
            logging.getLogger(__name__).warning(warning)
        folder = data_folder.find(os.environ)
        is_list = names_a_list(path)
        if not is_list:
            document = read_document(path, os.environ)
        data_folder.make(folder)
        if is_list:
            return _run_many(path, folder)
        connector = build(document, folder)
        connector.start_monitoring()
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        return WRONG_CONFIGURATION
    try:
        connector.execute()
    finally:
        connector.stop_monitoring()
    return 0


def _run_many(path: Path, folder: Path) -> int:
    """Collect from all organizations of a list, until asked to stop."""
    module = SelfHostedModule()  # for the version, and for Sentry where SENTRY_DSN is set
    version = str(module.manifest.get("version", ""))
    agent = f"sekoiaio-connector/{module.manifest.get('slug')}-{version}"
    process = many.build(path, folder, os.environ, version, agent)
    monitoring = Monitoring({"/health": process.health, "/status": process.status})
    _open_ports(monitoring)
    many.collect(process, monitoring)
    return 0


def _open_ports(monitoring: Monitoring) -> None:
    """Open the ports, for this machine alone unless MONITORING_ADDRESS names another."""
    named = {name: os.environ.get(name.upper()) or port for name, port in PORTS.items()}
    try:
        address = os.environ.get("MONITORING_ADDRESS") or LOOPBACK
        monitoring.open(address, *(int(port) for port in named.values()))
    except (OSError, OverflowError, ValueError) as error:
        ports = " and ".join(f"{name.upper()} {port}" for name, port in named.items())
        reason = error.strerror if isinstance(error, OSError) else error
        monitoring.close()
        raise ConfigurationError(
            f"The ports for health and metrics ({ports}) cannot be opened: {reason};"
            " set LIVENESS_PORT and METRICS_PORT to free ones, and MONITORING_ADDRESS to an address"
            " of this machine."
        ) from None
