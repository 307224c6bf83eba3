"""The organizations that module.json lists, each with both forms as they count for it.

A list stands in module.json itself, or in a .json or .csv file that it names. All that is wrong
with any organization is told at once.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from jumpcloud_modules.commands import organization_file
from jumpcloud_modules.commands.document import (
    LIST,
    PARTS,
    ConfigurationError,
    fill_in,
    read_text,
    read_whole,
)
from jumpcloud_modules.commands.organization_names import NAME
from jumpcloud_modules.sekoia.configuration import ConnectorConfiguration, ModuleConfiguration
from jumpcloud_modules.sekoia.form_faults import explain
from jumpcloud_modules.sekoia.spelling import nearest

OF_KEY: Final = frozenset({"apikey"})
OF_SERVICE_ACCOUNT: Final = frozenset({"client_id", "client_secret"})
OF_ANOTHER_ACCOUNT: Final = OF_KEY | OF_SERVICE_ACCOUNT | {"base_url", "provider_id"}
KEY_FILE: Final = "intake_key_file"
OF_ENTRY: Final = ("name", KEY_FILE)
KEYS: Final = (
    *OF_ENTRY,
    *sorted({*ModuleConfiguration.model_fields, *ConnectorConfiguration.model_fields}),
)
"""What an entry may hold."""

Form = TypeVar("Form", bound=BaseModel)
Given = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Entry:
    """Hold one organization: its name, and both forms as they count for it."""

    name: str
    account: ModuleConfiguration
    connector: ConnectorConfiguration = field(repr=False)


@dataclass(frozen=True, slots=True)
class Named:
    """Say what an entry is called, and which organization it names; neither is known to be right.

    `is_reached_otherwise`: it has credentials or a region of its own.
    """

    name: str
    organization_id: str
    is_reached_otherwise: bool


@dataclass(frozen=True, slots=True)
class Fault:
    """Say what is wrong with an entry: by its name, or by its place where it has none."""

    who: str
    said: str

    def __str__(self) -> str:
        """Write it as a sentence."""
        return f"{self.who}: {self.said}"


@dataclass(frozen=True, slots=True)
class Listed:
    """Hold what a list says, and what is wrong with it; `place` is where it stands."""

    place: str
    entries: tuple[Entry, ...]
    faults: tuple[Fault, ...]


class _FaultyError(Exception):
    """Carry the sentences on what is wrong with one entry."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__(*faults)
        self.faults = list(faults)


def names_a_list(path: Path) -> bool:
    """Tell whether a module.json lists organizations. Raises ConfigurationError."""
    return LIST in read_whole(path)


def files_of(path: Path) -> list[Path]:
    """Return the files that a list is read from, as far as they can be read."""
    try:
        listed = read_whole(path)[LIST]
        if isinstance(listed, str):
            file = path.parent / listed
            return [path, file, *_key_files(organization_file.read(file), path.parent)]
    except (ConfigurationError, KeyError):
        return [path]
    return [path, *_key_files(listed, path.parent)]


def _key_files(listed: Any, folder: Path) -> Iterator[Path]:
    for given in listed if isinstance(listed, list) else ():
        if isinstance(given, dict) and isinstance(given.get(KEY_FILE), str):
            yield folder / given[KEY_FILE]


def read_organizations(path: Path, environment: Mapping[str, str]) -> list[Entry]:
    """Return the organizations in the order of the list.

    Raises ConfigurationError with a sentence for each thing that is wrong, led by the name of the
    organization that it is wrong with.
    """
    listed = examine(path, environment)
    if listed.faults:
        raise ConfigurationError(f"{listed.place}: {' '.join(map(str, listed.faults))}")
    return list(listed.entries)


def examine(path: Path, environment: Mapping[str, str]) -> Listed:
    """Return what can be collected of a list, and what is wrong with the rest, by whom.

    Raises ConfigurationError where there is no list, or what counts for all cannot be read.
    """
    document = read_whole(path)
    listed, place = _raw(document, path)
    if not listed:  # a file that somebody is just writing must not end them all
        raise ConfigurationError(f"{place}: lists no organization; name one at least.")
    try:
        shared = fill_in({part: document[part] for part in PARTS}, environment)
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from None
    entries, faults = _entries(listed, _Shared(shared, environment, path.parent))
    return Listed(place, tuple(entries), (*faults, *_faults_of_all(entries)))


def named(path: Path, environment: Mapping[str, str]) -> list[Named]:
    """Return what each entry with a possible name is called and collects, each name once.

    No value needs to be possible, and no key to be there. Raises ConfigurationError where there is
    no list.
    """
    document = read_whole(path)
    found: dict[str, Named] = {}
    for given in _raw(document, path)[0]:
        if isinstance(given, dict):
            name, identifier = (
                _filled(given.get(key), environment) for key in ("name", "organization_id")
            )
            if NAME.fullmatch(name):
                found.setdefault(name, Named(name, identifier, _is_reached_otherwise(given)))
    return list(found.values())


def _raw(document: Given, path: Path) -> tuple[list[Any], str]:
    """Return the list as it stands, and where that is."""
    listed, place = document.get(LIST), str(path)
    if isinstance(listed, str):
        place = str(path.parent / listed)
        listed = organization_file.read(path.parent / listed)
    if not isinstance(listed, list):
        raise ConfigurationError(f"{path}: {LIST} is neither a list nor the name of a file.")
    return listed, place


def _filled(value: Any, environment: Mapping[str, str]) -> str:
    try:
        return str(fill_in(value or "", environment)).strip()
    except ConfigurationError:  # a variable that is not set
        return ""


def _is_reached_otherwise(given: Given) -> bool:
    return not OF_ANOTHER_ACCOUNT.isdisjoint(_not_blank(given))


@dataclass(frozen=True, slots=True)
class _Shared:
    """Hold what counts for all entries that do not say otherwise."""

    parts: dict[str, Given]
    environment: Mapping[str, str]
    folder: Path


def _entries(listed: list[Any], shared: _Shared) -> tuple[list[Entry], list[Fault]]:
    entries, faults = list[Entry](), list[Fault]()
    for number, given in enumerate(listed, 1):
        try:
            entries.append(_entry(given, shared))
        except _FaultyError as error:
            who = _who(given, number)
            faults += [Fault(who, fault) for fault in error.faults]
    return entries, faults


def _who(given: Any, number: int) -> str:
    name = given.get("name") if isinstance(given, dict) else None
    return name if isinstance(name, str) and NAME.fullmatch(name) else f"organization {number}"


def _entry(given: Any, shared: _Shared) -> Entry:
    if not isinstance(given, dict):
        raise _FaultyError(["is no object with a name and keys; write it so."])
    try:
        filled: Given = fill_in(given, shared.environment)
    except ConfigurationError as error:
        raise _FaultyError([str(error)]) from None
    faults = [_unknown(str(key)) for key in filled if key not in KEYS]
    name = filled.get("name")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        faults.append(
            "name: give one of small letters a to z, digits and hyphens, of 63 characters at most;"
            " it names the folder of its state."
        )
    try:
        own = _with_its_key(_not_blank(filled), shared.folder)
    except _FaultyError as error:
        raise _FaultyError([*faults, *error.faults]) from None
    connector, of_connector = _form(ConnectorConfiguration, _connector(own, shared))
    account, of_account = _form(ModuleConfiguration, _account(own, shared))
    faults += [*of_account, *of_connector]
    if account and connector:
        faults += account.faults_of_credentials
        chosen = connector.organization_id or account.organization_id
        faults += account.faults_of_organization(chosen)
        if not connector.intake_server:
            faults.append("intake_server: is missing; give your Sekoia region's address.")
    if faults or not account or not connector:
        raise _FaultyError(faults)
    return Entry(str(name), account, connector)


def _unknown(key: str) -> str:
    near = nearest(key, KEYS)
    meant = f"did you mean {near}?" if near else f"there are {', '.join(KEYS)}."
    return f"{key[:60]}: there is no such key; {meant}"


def _not_blank(given: Given) -> Given:
    """Leave out what is not given: a table has a cell for each key."""
    return {
        key: value
        for key, value in given.items()
        if value is not None and not (isinstance(value, str) and not value.strip())
    }


def _with_its_key(own: Given, folder: Path) -> Given:
    """Put what its file holds in the place of an intake key. Raises _FaultyError."""
    if KEY_FILE not in own:
        return own
    if "intake_key" in own:
        raise _FaultyError([f"intake_key and {KEY_FILE}: both are given; leave one of them out."])
    named = own[KEY_FILE]
    if not isinstance(named, str):
        raise _FaultyError([f"{KEY_FILE}: is not the name of a file."])
    try:
        key = read_text(folder / named).strip()
    except ConfigurationError as error:
        raise _FaultyError([f"{KEY_FILE}: {error}"]) from None
    if not key:
        raise _FaultyError([f"{KEY_FILE}: {folder / named} is empty; write the key into it."])
    return {**own, "intake_key": key}


def _connector(own: Given, shared: _Shared) -> Given:
    return {
        **shared.parts["connector"],
        **{key: own[key] for key in own.keys() & ConnectorConfiguration.model_fields.keys()},
    }


def _account(own: Given, shared: _Shared) -> Given:
    """Return an account's form: credentials of its own replace the others, of either kind."""
    form = dict(shared.parts["module"])
    for these, others in ((OF_KEY, OF_SERVICE_ACCOUNT), (OF_SERVICE_ACCOUNT, OF_KEY)):
        if own.keys() & these and not own.keys() & others:
            form = {key: value for key, value in form.items() if key not in others}
    return form | {key: own[key] for key in own.keys() & ModuleConfiguration.model_fields.keys()}


def _form(model: type[Form], given: Given) -> tuple[Form | None, list[str]]:
    try:
        return model.model_validate(given), []
    except ValidationError as error:
        return None, explain(error)


def _faults_of_all(entries: Sequence[Entry]) -> Iterator[Fault]:
    """Yield what is wrong between entries: names that are not theirs alone, or the same twice."""
    names = Counter(entry.name for entry in entries)
    for name, times in names.items():
        if times > 1:
            yield Fault(name, f"{times} organizations have this name; give each its own.")
    collected: dict[tuple[object, ...], str] = {}
    for entry in entries:
        first = collected.setdefault(_what(entry), entry.name)
        if first != entry.name:
            yield Fault(
                entry.name,
                f"collects the same as {first} into the same intake, so each event would arrive"
                " twice; leave one of them out.",
            )


def _what(entry: Entry) -> tuple[object, ...]:
    """Return what two entries must not have in common."""
    account, connector = entry.account, entry.connector
    return (
        account.base_url,
        connector.organization_id or account.organization_id,
        account.provider_id,
        # Without a named organization it is the only one of the credentials.
        None
        if connector.organization_id or account.organization_id
        else (account.apikey.get_secret_value(), account.client_id),
        connector.intake_server,
        connector.intake_key,
        tuple(sorted(connector.services)),
    )
