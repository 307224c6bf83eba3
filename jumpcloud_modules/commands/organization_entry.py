"""One organization of a list: what the list says of it, laid over the two forms of all.

All that is wrong with it is told at once, without any value that may be a secret.
"""

import re
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from jumpcloud_modules.commands.module_json import (
    PARTS,
    ConfigurationError,
    fill_in,
    may_never_end,
)
from jumpcloud_modules.commands.organization_names import NAME
from jumpcloud_modules.sekoia.configuration import ConnectorConfiguration, ModuleConfiguration
from jumpcloud_modules.sekoia.form_faults import explain
from jumpcloud_modules.sekoia.form_values import quoted
from jumpcloud_modules.sekoia.spelling import nearest, unknown_keys
from jumpcloud_modules.state.inspection import LEDGER, NAMED_BESIDE_ALL, QUARANTINE, REASONS

KEY_FILE: Final = "intake_key_file"
OF_ACCOUNT: Final = frozenset(ModuleConfiguration.model_fields)
OF_CONNECTOR: Final = frozenset(ConnectorConfiguration.model_fields)
KEYS: Final = ("name", KEY_FILE, *sorted(OF_ACCOUNT | OF_CONNECTOR))
"""What a list may say of an organization."""
OF_KEY: Final = frozenset({"apikey"})
OF_SERVICE_ACCOUNT: Final = frozenset({"client_id", "client_secret"})
CREDENTIALS: Final = OF_KEY | OF_SERVICE_ACCOUNT
BAD_NAME: Final = (
    "name: give one of small letters a to z, digits and hyphens, of 63 characters at most; it names"
    " the folder of its state."
)
OF_A_STATE: Final = frozenset({LEDGER, QUARANTINE, REASONS, *NAMED_BESIDE_ALL.partition("/")[:1]})
"""Folders that a single connector has in the data folder, where one collected before."""
TAKEN_NAME: Final = (
    "name: is that of a folder in a single connector's state, which may be in the data folder yet;"
    " give another one."
)

Form = TypeVar("Form", bound=BaseModel)
Given = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Entry:
    """Hold one organization: its name, and both forms as they count for it."""

    name: str
    account: ModuleConfiguration
    connector: ConnectorConfiguration = field(repr=False)


class FaultyEntryError(Exception):
    """Carry the sentences on what is wrong: with the organization, and with what counts for all."""

    def __init__(self, own: Iterable[str], of_all: Iterable[str] = ()) -> None:
        super().__init__()
        self.own = list(dict.fromkeys(own))
        self.of_all = list(dict.fromkeys(of_all))


@dataclass(frozen=True, slots=True)
class Filled:
    """Hold what is given, filled in; what is blank is not given.

    `missing` says of each key that could not be filled in why so.
    """

    given: Given
    missing: dict[str, str]

    @property
    def keys(self) -> Set[str]:
        """Return the keys that somebody gave."""
        return self.given.keys() | self.missing.keys()

    def only(self, keys: Set[str]) -> "Filled":
        """Return what is given of these keys."""
        return Filled(
            {key: value for key, value in self.given.items() if key in keys},
            {key: why for key, why in self.missing.items() if key in keys},
        )

    def over(self, other: "Filled") -> "Filled":
        """Return this laid over another one."""
        below = other.only(other.keys - self.keys)
        return Filled(below.given | self.given, below.missing | self.missing)


def filled(given: Mapping[str, Any], environment: Mapping[str, str], place: str = "") -> Filled:
    """Fill in what is given, key by key."""
    found, missing = Given(), dict[str, str]()
    for key, value in given.items():
        try:
            text = fill_in(value, environment, f"{place}{key}")
        except ConfigurationError as error:
            missing[key] = str(error)
            continue
        if text is not None and not (isinstance(text, str) and not text.strip()):
            found[key] = text
    return Filled(found, missing)


class Forms:
    """Hold both forms, as they count for all organizations that do not say otherwise."""

    def __init__(
        self, document: Mapping[str, Given], environment: Mapping[str, str], folder: Path
    ) -> None:
        self._environment = environment
        self._folder = folder
        account, connector = PARTS
        self._account = filled(document[account], environment, f"{account}.")
        self._connector = filled(document[connector], environment, f"{connector}.")
        self.faults = [said for part in PARTS for said in unknown_keys(document[part], part)]

    def entry(self, given: Any) -> Entry:
        """Return an organization, with what counts for all. Raises FaultyEntryError."""
        if not isinstance(given, dict):
            raise FaultyEntryError(["is no object with a name and keys; write it so."])
        own = _with_its_key(filled(given, self._environment), self._folder)
        account = own.only(OF_ACCOUNT).over(_but_other_credentials(self._account, own))
        connector = own.only(OF_CONNECTOR).over(self._connector)
        forms, said = _checked(account.given, connector.given)
        faults = [*map(_unknown, given.keys() - KEYS), *_name(own), *own.missing.values()]
        missing, of_all = account.missing | connector.missing, list[str]()
        of_all += [missing[key] for key in missing.keys() - own.keys]
        for sentence in said:
            keys = _keys_of(sentence)
            if not keys & missing.keys():
                is_own = keys & own.keys or not keys & (account.keys | connector.keys)
                (faults if is_own else of_all).append(sentence)
        if faults or of_all or forms is None:
            raise FaultyEntryError(faults, of_all)
        return Entry(own.given["name"], *forms)


def _with_its_key(own: Filled, folder: Path) -> Filled:
    """Put what its file holds in the place of an intake key."""
    if KEY_FILE not in own.given:
        return own
    if "intake_key" in own.keys:
        fault = f"intake_key and {KEY_FILE}: both are given; leave one of them out."
        return Filled(own.given, own.missing | {"intake_key": fault})
    try:
        key = _key_in(own.given[KEY_FILE], folder)
    except ConfigurationError as error:
        return Filled(own.given, own.missing | {"intake_key": str(error)})
    return Filled(own.given | {"intake_key": key}, own.missing)


def _key_in(named: object, folder: Path) -> str:
    """Return the key that a file holds. The name is not shown: it may be the key itself."""
    wanted = "give the path of a file that holds the key alone"
    if not isinstance(named, str):
        raise ConfigurationError(f"{KEY_FILE}: is not a text; {wanted}.")
    try:
        file = folder / named.strip()
        if may_never_end(file):
            raise ConfigurationError(f"{KEY_FILE}: is a pipe or a device; {wanted}.")
        key = file.read_text(encoding="utf-8-sig").strip()
    except OSError as error:
        why = f"cannot be read from {folder} ({error.strerror})"
        raise ConfigurationError(f"{KEY_FILE}: {why}; {wanted}.") from None
    except ValueError:  # also a name with a null in it
        raise ConfigurationError(f"{KEY_FILE}: is no file of UTF-8; {wanted}.") from None
    if not key:
        raise ConfigurationError(f"{KEY_FILE}: the file is empty; write the key into it.")
    return key


def _but_other_credentials(account: Filled, own: Filled) -> Filled:
    """Leave out the credentials of all where an organization has its own, of either kind."""
    if own.keys & OF_KEY and not own.keys & OF_SERVICE_ACCOUNT:
        return account.only(account.keys - OF_SERVICE_ACCOUNT)
    if own.keys & OF_SERVICE_ACCOUNT and not own.keys & OF_KEY:
        return account.only(account.keys - OF_KEY)
    return account


def _checked(
    account: Given, connector: Given
) -> tuple[tuple[ModuleConfiguration, ConnectorConfiguration] | None, list[str]]:
    """Return both forms where each can be read, and a sentence for each thing that is wrong."""
    of_account, faults = _form(ModuleConfiguration, account)
    of_connector, more = _form(ConnectorConfiguration, connector)
    faults += more
    if of_account:
        faults += of_account.faults_of_credentials
        chosen = connector.get("organization_id") or of_account.organization_id
        faults += of_account.faults_of_organization(chosen)
    if "intake_server" not in connector:
        faults.append("intake_server: is missing; give your Sekoia region's address.")
    return (of_account, of_connector) if of_account and of_connector else None, faults


def _form(model: type[Form], given: Given) -> tuple[Form | None, list[str]]:
    try:
        return model.model_validate(given), []
    except ValidationError as error:
        return None, explain(error)


def _keys_of(sentence: str) -> set[str]:
    """Return the keys that a sentence begins with, before its colon."""
    return set(re.split(r", | and ", sentence.partition(":")[0]))


def _name(own: Filled) -> list[str]:
    """Say what is wrong with a name. It is not shown: a table's columns may be out of order."""
    name = own.given.get("name")
    if "name" in own.missing:
        return []
    if not (isinstance(name, str) and NAME.fullmatch(name)):
        return [BAD_NAME]
    return [TAKEN_NAME] if name in OF_A_STATE else []


@cache  # a table says it of each row
def _unknown(key: str) -> str:
    near = nearest(key, KEYS)
    meant = f"did you mean {near}?" if near else f"there are {', '.join(KEYS)}."
    shown = key[:60] if key.isprintable() else quoted(key)
    return f"{shown}: there is no such key; {meant}"
