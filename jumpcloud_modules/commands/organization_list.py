"""The organizations that module.json lists, each with both forms as they count for it.

All that is wrong with any of them is told at once, a line for each fault, which names those that
have it.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from jumpcloud_modules.commands import organization_file
from jumpcloud_modules.commands.module_json import LIST, ConfigurationError, fill_in, read_whole
from jumpcloud_modules.commands.organization_entry import (
    CREDENTIALS,
    KEY_FILE,
    Entry,
    FaultyEntryError,
    Forms,
)
from jumpcloud_modules.commands.organization_file import Row
from jumpcloud_modules.commands.organization_names import NAME

__all__ = [
    "Entry",
    "Fault",
    "Listed",
    "Named",
    "examine",
    "files_of",
    "named",
    "names_a_list",
    "read_organizations",
]

OF_ANOTHER_ACCOUNT: Final = CREDENTIALS | {"base_url", "provider_id"}
MAX_NAMED: Final = 50
"""Where more than so many have one fault, and these are all that there are, they are not named."""
TWICE: Final = (
    "collects the same as {first} into the same intake, so each event would arrive twice; leave one"
    " of them out."
)
FORGOTTEN: Final = (
    "names no organization_id, and neither does {first} with the same credentials, so both would"
    " collect the same organization; give each its own."
)


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
    """Say what is wrong with an entry: by its name, or by its place where it has none.

    `who` is empty for what is wrong with the two forms, and so with all organizations.
    """

    who: str
    said: str

    def __str__(self) -> str:
        """Write it as a sentence."""
        return f"{self.who}: {self.said}" if self.who else self.said


@dataclass(frozen=True, slots=True)
class Listed:
    """Hold what a list says, and what is wrong with it; `place` is where it stands."""

    place: str
    entries: tuple[Entry, ...]
    faults: tuple[Fault, ...]

    def faults_of(self, name: str) -> list[str]:
        """Return what keeps one organization from being collected."""
        return [fault.said for fault in self.faults if fault.who in ("", name)]


@dataclass(frozen=True, slots=True)
class _Place:
    """Hold an entry as it stands; a name that cannot be one is None."""

    row: Row
    name: str | None
    organization_id: str

    @property
    def who(self) -> str:
        return self.name or self.row.place


def names_a_list(path: Path) -> bool:
    """Tell whether a module.json lists organizations. Raises ConfigurationError."""
    return LIST in read_whole(path)


def files_of(path: Path, environment: Mapping[str, str]) -> list[Path]:
    """Return the files that a list is read from, as far as they can be told."""
    files = [path]
    try:
        if file := organization_file.file_of(path, environment):
            files.append(file)
        rows = organization_file.read(path, environment).rows
    except ConfigurationError:
        return files
    names = (_text(row.given, KEY_FILE, environment) for row in rows)
    return [*files, *(path.parent / name for name in names if name)]


def named(path: Path, environment: Mapping[str, str]) -> list[Named]:
    """Return what each entry with a possible name is called and collects, each name once.

    No value needs to be possible, and no key to be there. Raises ConfigurationError where there is
    no list.
    """
    found: dict[str, Named] = {}
    for row in organization_file.read(path, environment).rows:
        place = _place(row, environment)
        if place.name:
            is_reached_otherwise = any(
                str(row.given.get(key) or "").strip() for key in OF_ANOTHER_ACCOUNT
            )
            one = Named(place.name, place.organization_id, is_reached_otherwise)
            found.setdefault(place.name, one)
    return list(found.values())


def read_organizations(path: Path, environment: Mapping[str, str]) -> list[Entry]:
    """Return the organizations in the order of the list.

    Raises ConfigurationError with a line for each thing that is wrong.
    """
    listed = examine(path, environment)
    if listed.faults:
        raise ConfigurationError("\n".join(_lines(path, listed)))
    return list(listed.entries)


def examine(path: Path, environment: Mapping[str, str]) -> Listed:
    """Return what can be collected of a list, and what is wrong with the rest, by whom.

    Raises ConfigurationError where there is no list.
    """
    written = organization_file.read(path, environment)
    if not written.rows and not written.faults:  # a file being written must not end them all
        raise ConfigurationError(f"{written.path}: lists no organization; name one at least.")
    places = [_place(row, environment) for row in written.rows]
    forms = Forms(read_whole(path), environment, path.parent)
    entries, faults = _entries(places, forms)
    faults += [Fault(place, said) for place, said in written.faults]
    faults += _faults_of_names(places)
    faults += _faults_between(entries)
    return Listed(
        str(written.path),
        tuple(entry for _, entry in entries),
        tuple(dict.fromkeys(faults)),
    )


def _place(row: Row, environment: Mapping[str, str]) -> _Place:
    name = _text(row.given, "name", environment)
    return _Place(
        row,
        name if NAME.fullmatch(name) else None,
        _text(row.given, "organization_id", environment),
    )


def _text(given: Any, key: str, environment: Mapping[str, str]) -> str:
    """Return what is given as a text; nothing where it is none, or cannot be filled in."""
    value = given.get(key) if isinstance(given, dict) else None
    try:
        filled: str = fill_in(value, environment) if isinstance(value, str) else ""
    except ConfigurationError:
        return ""
    return filled.strip()


Entries = list[tuple[_Place, Entry]]


def _entries(places: Iterable[_Place], forms: Forms) -> tuple[Entries, list[Fault]]:
    """Return the entries that can be used, and the faults of the forms and of the others."""
    entries, faults, of_all = Entries(), list[Fault](), list(forms.faults)
    for place in places:
        try:
            entries.append((place, forms.entry(place.row.given)))
        except FaultyEntryError as error:
            faults += [Fault(place.who, sentence) for sentence in error.own]
            of_all += error.of_all
    return entries, [*(Fault("", sentence) for sentence in of_all), *faults]


def _faults_of_names(places: Iterable[_Place]) -> Iterator[Fault]:
    found: dict[str, list[str]] = {}
    for place in places:
        if place.name:
            found.setdefault(place.name, []).append(place.row.place)
    for name, where in found.items():
        if len(where) > 1:
            yield Fault(name, f"{' and '.join(where)} have this name; give each its own.")


def _faults_between(entries: Entries) -> Iterator[Fault]:
    """Yield where two would collect the same: a line was copied, or an ID forgotten."""
    seen: dict[tuple[object, ...], str] = {}
    for place, entry in entries:
        first = seen.setdefault(_collected_into(entry), entry.name)
        if first != entry.name:
            yield Fault(entry.name, TWICE.format(first=first))
        elif not place.organization_id:
            first = seen.setdefault(_reached_by(entry), entry.name)
            if first != entry.name:
                yield Fault(entry.name, FORGOTTEN.format(first=first))


def _collected_into(entry: Entry) -> tuple[object, ...]:
    account, connector = entry.account, entry.connector
    chosen = connector.organization_id or account.organization_id
    # Without a named organization it is the only one that the credentials reach.
    return (
        *((account.base_url, chosen, account.provider_id) if chosen else _reached_by(entry)),
        connector.intake_server,
        connector.intake_key,
        frozenset(connector.services),
    )


def _reached_by(entry: Entry) -> tuple[object, ...]:
    account = entry.account
    return account.base_url, account.apikey, account.client_id, account.provider_id


def _lines(path: Path, listed: Listed) -> Iterator[str]:
    """Yield a line for each sentence, with the names of those that it is about."""
    whose: dict[str, dict[str, None]] = {}
    for fault in listed.faults:
        whose.setdefault(fault.said, {})[fault.who] = None
    everybody = {entry.name for entry in listed.entries} | {fault.who for fault in listed.faults}
    count = len(everybody - {""})
    for said, names in whose.items():
        is_all = len(names) == count > MAX_NAMED
        who = f"all {count:,} organizations" if is_all else ", ".join(names)
        yield f"{listed.place}: {who}: {said}" if who else f"{path}: {said}"
