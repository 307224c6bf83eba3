"""module.json, the self-hosted configuration: read, and filled in from the environment.

Knows nothing of what its values mean.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

VARIABLE: Final = re.compile(r"\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}")
PARTS: Final = ("module", "connector")
WRONG_CONFIGURATION: Final = 2
"""The exit status where a configuration cannot work; `dispatch` has the others."""


class ConfigurationError(Exception):
    """Report a configuration that cannot work, in sentences for the operator."""


def fill_in(document: Any, environment: Mapping[str, str], place: str = "") -> Any:
    """Return the document with ${VAR} and ${VAR:-default} replaced in its texts.

    An empty variable counts as one that is not set where there is a default, as in a shell.
    Raises ConfigurationError that names each variable that is missing, and its place.
    """
    missing: list[str] = []
    filled = _filled(document, environment, place, missing)
    if missing:
        raise ConfigurationError(" ".join(missing))
    return filled


def _filled(document: Any, environment: Mapping[str, str], place: str, missing: list[str]) -> Any:
    if isinstance(document, dict):
        return {
            name: _filled(value, environment, f"{place}.{name}" if place else str(name), missing)
            for name, value in document.items()
        }
    if isinstance(document, list):
        return [
            _filled(value, environment, f"{place}[{index}]", missing)
            for index, value in enumerate(document)
        ]
    if isinstance(document, str):
        return VARIABLE.sub(lambda found: _value_of(found, environment, place, missing), document)
    return document


def _value_of(
    found: re.Match[str], environment: Mapping[str, str], place: str, missing: list[str]
) -> str:
    name, default = found["name"], found["default"]
    if default is not None:
        return environment.get(name) or default
    if name not in environment:
        missing.append(f"The environment variable {name}, which {place} needs, is not set; set it.")
    return environment.get(name, "")


def read_document(
    path: Path, environment: Mapping[str, str], parts: Sequence[str] = PARTS
) -> dict[str, dict[str, Any]]:
    """Return parts of a module.json, `module` and `connector`, filled in.

    Of other parts no variable needs to be set. Raises ConfigurationError that names the file.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise ConfigurationError(f"{path} is not JSON: {error}.") from None
    if not isinstance(document, dict) or not all(
        isinstance(document.get(part), dict) for part in PARTS
    ):
        raise ConfigurationError(
            f'{path} needs the form {{"module": {{…}}, "connector": {{…}}}}; write it so.'
        )
    try:
        filled: dict[str, dict[str, Any]] = fill_in(
            {part: document[part] for part in parts}, environment
        )
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from None
    return filled
