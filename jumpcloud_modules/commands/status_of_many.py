"""Show a person how several organizations are doing: a line for each, and their sums.

Knows nothing of where that was asked for.
"""

from typing import Any, Final

from jumpcloud_modules.commands.terminal import Cell, Terminal, Tone

ROWS_SHOWN: Final = 20
KEYS: Final = {"well", "folder", "organizations", "organizations_in_all"}
COLUMNS: Final = ("name", "state", "lag", "backlog left", "delivered", "failing")

Shown = dict[str, Any]


def is_of_many(shown: Shown) -> bool:
    """Tell whether a status is one of several organizations."""
    return shown.keys() >= KEYS


def show(shown: Shown, terminal: Terminal, most: int | None) -> None:
    """Write the organizations, the worst first and so many at most, and their sums."""
    rows, total = shown["organizations"][:most], shown["organizations_in_all"]
    terminal.table([_row(row) for row in rows], COLUMNS)
    if len(rows) < total:
        terminal.say(f"and {total - len(rows):,} more: --all shows them")
    terminal.say("")
    terminal.say(_sums(shown), "good" if shown["well"] else "bad")


def _row(row: Shown) -> list[Cell]:
    tone: Tone = "plain" if row["well"] else "bad"
    return [
        Cell(row["name"], tone),
        Cell(row["state"], "plain" if row["state"] == "collecting" else "bad"),
        Cell(_seconds(row["lag_seconds"])),
        Cell(_hours(row["backlog"])),
        Cell("" if row["delivered"] is None else f"{row['delivered']:,}"),
        Cell(_what_fails(row), "bad"),
    ]


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f} s"


def _hours(backlog: Shown) -> str:
    return f"{backlog['seconds'] / 3600:,.1f} h" if backlog["windows"] else "none"


def _what_fails(row: Shown) -> str:
    """Name in a word what fails; `--organization` tells the rest."""
    ends = (failing["end"] for failing in row["failing"])
    words = [end.removeprefix("The ").removeprefix("Sekoia ") for end in ends]
    return ", ".join(words) or ("warning" if row["warnings"] else "")


def _sums(shown: Shown) -> str:
    version = f", version {shown['version']}" if shown["version"] else ""
    return (
        f"{shown['organizations_in_all']:,} organizations in {shown['folder']}{version}:"
        f" {shown['organizations_well']:,} well, {shown['organizations_collecting']:,} collecting,"
        f" lag at most {_seconds(shown['lag_seconds']) or 'not known'};"
        f" {shown['delivered']:,} events delivered since the start, {shown['late_events']:,} late"
        f" ones found, {shown['withheld']:,} withheld"
    )
