"""A file of organizations: a .json file holds a list of objects, a .csv file a table with a header.

Knows nothing of what the keys mean.
"""

import csv
from pathlib import Path
from typing import Any

from jumpcloud_modules.commands.document import ConfigurationError, read_json, read_text


def read(path: Path) -> Any:
    """Return what a file lists. Raises ConfigurationError that names the file."""
    if path.suffix == ".json":
        return read_json(path)
    if path.suffix == ".csv":
        return _rows(path)
    raise ConfigurationError(f"{path}: organizations names no .json and no .csv file; name one.")


def _rows(path: Path) -> list[dict[str, str]]:
    """Return a row for each line that is not blank, by the names of the columns."""
    lines = list(csv.reader(read_text(path).splitlines()))
    header = [name.strip() for name in lines[0]] if lines else []
    if "name" not in header:
        wrong = "its columns are separated by semicolons; separate them by commas"
        if not (len(header) == 1 and ";" in header[0]):
            wrong = "its first line must name the columns, name among them"
        raise ConfigurationError(f"{path}: {wrong}, as in name,organization_id,intake_key.")
    if len(set(header)) < len(header):
        raise ConfigurationError(f"{path}: two columns have the same name; leave one of them out.")
    rows = []
    for number, cells in enumerate(lines[1:], 2):
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            raise ConfigurationError(
                f"{path}: line {number} has {len(cells)} cells for {len(header)} columns;"
                " a cell that holds a comma stands in quotes."
            )
        rows.append({name: cell.strip() for name, cell in zip(header, cells, strict=True)})
    return rows
