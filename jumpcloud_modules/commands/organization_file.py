"""A list of organizations as it is written: in module.json, a .json file, or a .csv file.

Knows nothing of what the keys mean.
"""

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from jumpcloud_modules.commands.module_json import (
    LIST,
    ConfigurationError,
    fill_in,
    read_json,
    read_text,
    read_whole,
)

EXAMPLE: Final = "as in name,organization_id,intake_key"
SEPARATORS: Final = {";": "semicolons", "\t": "tabs"}
"""What spreadsheets write in the place of commas."""


@dataclass(frozen=True, slots=True)
class Row:
    """Hold what a list says of one organization, and where, such as `line 4`."""

    place: str
    given: Any


@dataclass(frozen=True, slots=True)
class Written:
    """Hold a list as it is written, in the file of that path.

    `faults` are what is wrong with the rows that cannot be told apart into cells, by their place.
    """

    path: Path
    rows: tuple[Row, ...]
    faults: tuple[tuple[str, str], ...] = ()


def file_of(path: Path, environment: Mapping[str, str]) -> Path | None:
    """Return the file that a module.json names as its list, None where the list stands in it.

    Raises ConfigurationError.
    """
    listed = read_whole(path).get(LIST)
    if not isinstance(listed, str):
        return None
    try:
        return path.parent / str(fill_in(listed, environment, LIST))
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from None


def read(path: Path, environment: Mapping[str, str]) -> Written:
    """Return what a module.json lists. Raises ConfigurationError that names the file."""
    file = file_of(path, environment)
    if file is None:
        wrong = f"{LIST} is neither a list nor the name of a .json or .csv file; write one of them."
        return _of_json(path, read_whole(path).get(LIST), wrong)
    if file.suffix.lower() == ".json":
        return _of_json(
            file, read_json(file), 'is no list; write it as [{"name": …}, {"name": …}].'
        )
    if file.suffix.lower() == ".csv":
        return _of_csv(file, read_text(file))
    raise ConfigurationError(f"{path}: {LIST} names no .json and no .csv file; name one.")


def _of_json(path: Path, listed: Any, otherwise: str) -> Written:
    if not isinstance(listed, list):
        raise ConfigurationError(f"{path}: {otherwise}")
    rows = (Row(f"organization {number}", given) for number, given in enumerate(listed, 1))
    return Written(path, tuple(rows))


def _of_csv(path: Path, text: str) -> Written:
    """Return a row for each line of a table that is not blank, by the names of the columns."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows, faults = list[Row](), list[tuple[str, str]]()
    try:
        columns = _columns(path, next(reader, []))
        for place, cells in _lines(reader):
            if fault := _fault(cells, columns):
                faults.append((place, fault))
            elif any(cells):
                rows.append(Row(place, _by_column(cells, columns)))
    except csv.Error as error:
        raise ConfigurationError(
            f"{path}: line {reader.line_num} cannot be read ({error}); a cell that holds a comma or"
            " a quote stands in quotes, and a quote in it is doubled."
        ) from None
    return Written(path, tuple(rows), tuple(faults))


def _lines(reader: Any) -> Iterator[tuple[str, list[str]]]:
    began = reader.line_num + 1
    for cells in reader:
        yield f"line {began}", [cell.strip() for cell in cells]
        began = reader.line_num + 1  # a cell in quotes may go over several lines


def _columns(path: Path, header: list[str]) -> list[str]:
    columns = [name.strip() for name in header]
    named = [name for name in columns if name]
    if "name" not in named:
        raise ConfigurationError(f"{path}: {_wrong_with(columns)}, {EXAMPLE}.")
    for name in named:
        if named.count(name) > 1:
            raise ConfigurationError(
                f"{path}: two columns have the name {name[:60]}; leave one of them out."
            )
    return columns


def _wrong_with(columns: list[str]) -> str:
    """Say why a first line names no columns. It is not shown: it may be one with a key in it."""
    for separator, named in SEPARATORS.items():
        if len(columns) == 1 and separator in columns[0]:
            return f"its columns are separated by {named}; separate them by commas"
    return "its first line must name the columns, name among them"


def _fault(cells: list[str], columns: list[str]) -> str | None:
    """Say why a row does not fit the columns; what is blank at its end is no cell."""
    written = len(cells)
    while written > len(columns) and not cells[written - 1]:
        written -= 1
    if not any(cells) or written == len(columns):
        blank = any(cell for cell, name in zip(cells, columns, strict=False) if not name)
        return "a cell stands below no column; name the column." if blank else None
    return (
        f"has {written} cells for {len(columns)} columns; a cell that holds a comma stands in"
        " quotes, and a blank one is written too."
    )


def _by_column(cells: list[str], columns: list[str]) -> dict[str, str]:
    return {name: cell for name, cell in zip(columns, cells, strict=False) if name}
