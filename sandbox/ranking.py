"""The verdicts of many organizations as a few rows: the worst, those that something was done to.

Knows verdicts and touches; knows nothing of where a table is shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sandbox.target import Touch
from sandbox.verdict import Verdict, in_all

ROWS = 12
_COLUMNS = ("produced", "accepted", "lost", "duplicated", "altered", "foreign", "misdelivered")


@dataclass(frozen=True, slots=True)
class Row:
    """One organization, or several together: the verdict, and what was done."""

    name: str
    verdict: Verdict
    note: str = ""


def rows_of(
    verdicts: Mapping[str, Verdict], touches: Iterable[Touch] = (), most: int = ROWS
) -> list[Row]:
    """Return the worst, then those that something was done to, then all others together.

    `verdicts` are by name.
    """
    notes: dict[str, list[str]] = {}
    for touch in touches:
        notes.setdefault(touch.organization.name, []).append(touch.what)
    rows = [Row(name, one, "; ".join(notes.get(name, ()))) for name, one in verdicts.items()]
    rows.sort(key=_badness)
    shown = [row for row in rows[:most] if row.note or not row.verdict.clean]
    others = rows[len(shown) :]
    if not others:
        return shown
    clean = sum(row.verdict.clean for row in others)
    note = "all of them clean" if clean == len(others) else f"{clean:,} of them clean"
    name = f"{len(others):,} others" if shown else f"{len(others):,} organizations"
    return [*shown, Row(name, in_all(row.verdict for row in others), note)]


def table(rows: Iterable[Row]) -> str:
    """Write rows as lines for a person."""
    listed = list(rows)
    width = max([len("organization"), *(len(row.name) for row in listed)])
    lines = [_line("organization", width, [heading(name) for name in _COLUMNS], "")]
    for row in listed:
        counts = [f"{getattr(row.verdict, name):,}" for name in _COLUMNS]
        lines.append(_line(row.name, width, counts, row.note))
    return "\n".join(lines)


def heading(name: str) -> str:
    """Return what a count is called in a table."""
    return {"duplicated": "twice", "foreign": "made up"}.get(name, name)


def counts_of(verdict: Verdict) -> list[tuple[str, int]]:
    """List what a row shows of a verdict, each with its heading."""
    return [(heading(name), getattr(verdict, name)) for name in _COLUMNS]


def _line(name: str, width: int, cells: list[str], note: str) -> str:
    columns = [max(8, len(heading(column))) for column in _COLUMNS]
    figures = "  ".join(f"{cell:>{size}}" for cell, size in zip(cells, columns, strict=True))
    return f"{name:<{width}}  {figures}  {note}".rstrip()


def _badness(row: Row) -> tuple[int, int, int, bool, str]:
    one = row.verdict
    return (
        -one.misdelivered,
        -(one.lost + one.altered + one.foreign),
        -one.duplicated,
        not row.note,
        row.name,
    )
