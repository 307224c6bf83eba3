"""module.json, the self-hosted configuration: read, and filled in from the environment.

Knows nothing of what its values mean.
"""

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

VARIABLE: Final = re.compile(r"\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}")
PARTS: Final = ("module", "connector")
LIST: Final = "organizations"
"""Where a list of organizations stands, or the name of its file."""
TOO_DEEP: Final = "lists and objects stand too deep in each other; write it flat."
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
    try:
        filled = _filled(document, environment, place, missing)
    except RecursionError:
        raise ConfigurationError(f"{place or 'a value'}: {TOO_DEEP}") from None
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
    document = read_whole(path)
    try:
        filled: dict[str, dict[str, Any]] = fill_in(
            {part: document[part] for part in parts}, environment
        )
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from None
    return filled


def read_whole(path: Path) -> dict[str, Any]:
    """Return a module.json as it stands, with all that is in it.

    Raises ConfigurationError that names the file.
    """
    document = read_json(path)
    if not isinstance(document, dict) or not all(
        isinstance(document.get(part), dict) for part in PARTS
    ):
        raise ConfigurationError(
            f'{path} needs the form {{"module": {{…}}, "connector": {{…}}}}; write it so.'
        )
    for key in document.keys() - {*PARTS, LIST}:
        # Others are left alone, a comment say; a list that is not read would be a silent loss.
        if difflib.get_close_matches(key.lower(), [LIST]):
            raise ConfigurationError(f"{path}: {key}: there is no such key; did you mean {LIST}?")
    return document


def read_json(path: Path) -> Any:
    """Return what a JSON file holds. Raises ConfigurationError that names the file."""
    try:
        return json.loads(read_text(path))
    except ValueError as error:
        raise ConfigurationError(f"{path} is not JSON: {error}.") from None
    except RecursionError:
        raise ConfigurationError(f"{path}: {TOO_DEEP}") from None


def read_text(path: Path) -> str:
    """Return what a file holds. Raises ConfigurationError that names the file."""
    try:
        if may_never_end(path):
            raise ConfigurationError(f"{path} is a pipe or a device; name a file.")
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path} is not UTF-8; save it so.") from None
    except ValueError:  # a null in it, or half of a surrogate pair
        raise ConfigurationError(f"{str(path)!a} cannot name a file; correct it.") from None


def may_never_end(path: Path) -> bool:
    """Tell whether a path is a pipe or a device: who reads it may wait for ever.

    Raises OSError.
    """
    return path.exists() and not (path.is_file() or path.is_dir())
