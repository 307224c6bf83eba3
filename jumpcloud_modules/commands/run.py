"""The same connector without the platform: configured by module.json and the environment.

State goes to DATA_DIR, logs to standard output. No playbook API is asked or told anything, and
/symphony is not read.
"""

import json
import logging
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from sekoia_automation.configuration.base import Configuration
from sekoia_automation.configuration.exception import MissingConfigurationError
from sekoia_automation.exceptions import ModuleConfigurationError, TriggerConfigurationError

from jumpcloud_modules.sekoia.connector import JumpcloudDirectoryInsightsConnector
from jumpcloud_modules.sekoia.module import JumpcloudDirectoryInsightsModule

VARIABLE: Final = re.compile(r"\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}")
PORTS: Final = {"liveness_port": 8000, "metrics_port": 8020}
WRONG_CONFIGURATION: Final = 2


class ConfigurationError(Exception):
    """Report a configuration that cannot work, in sentences for the operator."""


def fill_in(document: Any, environment: Mapping[str, str], place: str = "") -> Any:
    """Return the document with ${VAR} and ${VAR:-default} replaced in its texts.

    An empty variable counts as one that is not set where there is a default, as in a shell.
    Raises ConfigurationError that names the variable and its place.
    """
    if isinstance(document, dict):
        return {
            name: fill_in(value, environment, f"{place}.{name}" if place else str(name))
            for name, value in document.items()
        }
    if isinstance(document, list):
        return [
            fill_in(value, environment, f"{place}[{index}]") for index, value in enumerate(document)
        ]
    if isinstance(document, str):
        return VARIABLE.sub(lambda found: _value_of(found, environment, place), document)
    return document


def _value_of(found: re.Match[str], environment: Mapping[str, str], place: str) -> str:
    name, default = found["name"], found["default"]
    if default is not None:
        return environment.get(name) or default
    if name not in environment:
        raise ConfigurationError(
            f"The environment variable {name}, which {place} needs, is not set; set it."
        )
    return environment[name]


def read_document(path: Path, environment: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Return the parts `module` and `connector` of a module.json, filled in.

    Raises ConfigurationError that names the file.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise ConfigurationError(f"{path} is not JSON: {error}.") from None
    if not isinstance(document, dict) or not all(
        isinstance(document.get(part), dict) for part in ("module", "connector")
    ):
        raise ConfigurationError(
            f'{path} needs the form {{"module": {{…}}, "connector": {{…}}}}; write it so.'
        )
    try:
        return {
            part: fill_in(document[part], environment, part) for part in ("module", "connector")
        }
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from None


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

    def _send_logs_to_api(self) -> None:  # type: ignore[override]
        self._logs.clear()  # they stand in standard output


def build(document: Mapping[str, dict[str, Any]], folder: Path) -> SelfHostedConnector:
    """Return the connector that a document describes.

    Raises ConfigurationError with a sentence for each bad value.
    """
    try:
        module = SelfHostedModule()
        module.configuration = document["module"]
        connector = SelfHostedConnector(module, data_path=folder)
        connector.configuration = document["connector"]  # type: ignore[assignment]
        module.account(connector.configuration.organization_id)
    except (ModuleConfigurationError, TriggerConfigurationError) as error:
        raise ConfigurationError(error.args[0]) from None
    if not connector.configuration.intake_server:
        raise ConfigurationError("intake_server: is missing; give your Sekoia region's address.")
    return connector


def run() -> int:
    """Collect until asked to stop, and return the exit status."""
    logging.basicConfig(
        stream=sys.stdout,
        format="%(asctime)s %(levelname)s %(message)s",
        level=logging.INFO,
    )
    try:
        path = Path(os.environ.get("MODULE_JSON") or "module.json")
        document = read_document(path, os.environ)
        connector = build(document, _folder(os.environ.get("DATA_DIR") or "data"))
        _start_monitoring(connector)
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        return WRONG_CONFIGURATION
    try:
        connector.execute()
    finally:
        connector.stop_monitoring()
    return 0


def _folder(name: str) -> Path:
    folder = Path(name).absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"The folder for the state, {folder}, cannot be made: {error.strerror};"
            " name another in DATA_DIR."
        ) from None
    return folder


def _start_monitoring(connector: SelfHostedConnector) -> None:
    try:
        connector.start_monitoring()
    except (OSError, OverflowError, ValueError) as error:
        ports = " and ".join(
            f"{name.upper()} {connector.module.load_config(name, non_exist_ok=True) or port}"
            for name, port in PORTS.items()
        )
        reason = error.strerror if isinstance(error, OSError) else error
        connector.stop_monitoring()
        raise ConfigurationError(
            f"The ports for health and metrics ({ports}) cannot be opened: {reason};"
            " set LIVENESS_PORT and METRICS_PORT to free ones."
        ) from None
