"""Output of commands: colours and tables on a terminal, plain lines in a pipe.

rich is loaded for a terminal only. Knows nothing of what is shown.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TextIO

if TYPE_CHECKING:
    from rich.console import Console

Tone = Literal["good", "bad", "dim", "plain"]
_COLOURS: dict[Tone, str] = {"good": "green", "bad": "bold red", "dim": "dim", "plain": ""}


@dataclass(frozen=True, slots=True)
class Cell:
    """Hold a table's text and how it is meant."""

    text: str
    tone: Tone = "plain"


class Terminal:
    """Write to one stream, whatever it is."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._console = _console(self._stream) if self._stream.isatty() else None

    @property
    def is_a_terminal(self) -> bool:
        """Tell whether a person looks at it."""
        return self._console is not None

    def say(self, text: str, tone: Tone = "plain") -> None:
        """Write a line."""
        if self._console is None:
            self._stream.write(f"{text}\n")
        else:
            self._console.print(text, style=_COLOURS[tone], markup=False, highlight=False)

    def table(self, rows: Sequence[Sequence[Cell]], columns: Sequence[str] = ()) -> None:
        """Write rows under each other: on a terminal each cell is wrapped within its column."""
        if self._console is None:
            self._plain_table(rows, columns)
        else:
            self._rich_table(self._console, rows, columns)

    def _plain_table(self, rows: Sequence[Sequence[Cell]], columns: Sequence[str]) -> None:
        lines = [*([tuple(columns)] if columns else []), *(tuple(c.text for c in r) for r in rows)]
        if not lines:
            return
        widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
        for line in lines:
            cells = (f"{cell:{width}}" for cell, width in zip(line, widths, strict=True))
            self._stream.write("  ".join(cells).rstrip() + "\n")

    @staticmethod
    def _rich_table(
        console: "Console", rows: Sequence[Sequence[Cell]], columns: Sequence[str]
    ) -> None:
        from rich.box import SIMPLE_HEAD  # noqa: PLC0415 -- on a terminal only
        from rich.table import Table  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415

        table = Table(*columns, box=SIMPLE_HEAD if columns else None, show_header=bool(columns))
        for row in rows:
            table.add_row(*(Text(cell.text, style=_COLOURS[cell.tone]) for cell in row))
        console.print(table)

    @contextmanager
    def waiting(self, text: str) -> Iterator[None]:
        """Show on a terminal that something is awaited."""
        with self._console.status(text) if self._console else nullcontext():
            yield

    def clear(self) -> None:
        """Begin a new picture: on a terminal in the place of the last one."""
        if self._console is not None:
            self._console.clear()


def _console(stream: TextIO) -> "Console":
    from rich.console import Console  # noqa: PLC0415 -- on a terminal only

    return Console(file=stream, no_color="NO_COLOR" in os.environ or None)
