"""What a person sees while the connector runs: a table that is written over, or plain lines."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from sandbox.standings import Standing, count_well

_PLAIN_EVERY_SECONDS = 2.0
_COLUMNS = 80
_BAR_SHARE = 3  # of the terminal's width
_FEWEST_BAR_COLUMNS = 20
_NAME_COLUMNS = 9
_ORGANIZATIONS_SHOWN = 6
_FEWEST_COLUMNS_FOR_COUNTS = 70
SIGNS = {"well": "✓", "busy": "…", "ill": "✗"}
"""Beside each word, so that no colour alone tells."""


@dataclass(frozen=True, slots=True)
class Figures:
    """A moment of a run; what comes from the connector itself is None before its first word."""

    elapsed_seconds: float
    produced: int | None
    accepted: int
    jumpcloud_requests: int | None
    intake_requests: int
    lag_seconds: float | None
    state: str = ""
    late: int | None = None
    withheld: int | None = None
    rss_bytes: int = 0
    organizations: OrganizationFigures | None = None


@dataclass(frozen=True, slots=True)
class OrganizationFigures:
    """How several organizations stand, the worst first."""

    standings: tuple[Standing, ...]

    @property
    def sentence(self) -> str:
        """Say how many are well."""
        return f"{count_well(self.standings):,} of {len(self.standings):,} well"

    @property
    def worst(self) -> tuple[Standing, ...]:
        """Return the first ones."""
        return self.standings[:_ORGANIZATIONS_SHOWN]


def columns_of(out: TextIO) -> int:
    """Return how wide a terminal is just now: its window may be drawn narrower at any time."""
    try:
        return os.get_terminal_size(out.fileno()).columns or _COLUMNS
    except (OSError, ValueError):
        return _COLUMNS


class Display:
    """Shows figures on a terminal in place, elsewhere every two seconds on a line of its own."""

    def __init__(
        self,
        out: TextIO,
        clock: Callable[[], float] = time.monotonic,
        columns: Callable[[TextIO], int] = columns_of,
    ) -> None:
        self._out, self._clock, self._columns = out, clock, columns
        self._console = Console(file=out, highlight=False, markup=False)
        self._in_place = out.isatty() and not self._console.is_dumb_terminal
        self._shown_at = float("-inf")
        self._live: Live | None = None

    def show(self, figures: Figures) -> None:
        """Show the figures, if it is time to."""
        if self._in_place:
            self._console.width = self._columns(self._out)
            if self._live is None:
                self._live = Live(console=self._console, auto_refresh=False)
                self._live.start()
            self._live.update(_table(figures, self._console.width), refresh=True)
        elif self._clock() - self._shown_at >= _PLAIN_EVERY_SECONDS:
            self._shown_at = self._clock()
            self._write(_line(figures))

    def say(self, text: str) -> None:
        """Write lines that stay; on a terminal, above the figures."""
        if self._live is None:
            self._write(text)
        else:
            self._console.print(text, soft_wrap=True)

    def leave(self) -> None:
        """Leave the figures as they are: what is said from now on comes below."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _write(self, text: str) -> None:
        self._out.write(text + "\n")
        self._out.flush()


def _table(figures: Figures, columns: int) -> RenderableType:
    rows = Table.grid(padding=(0, 2))
    rows.add_column(style="dim", no_wrap=True, min_width=_NAME_COLUMNS)
    rows.add_column(overflow="ellipsis", no_wrap=True)
    if figures.jumpcloud_requests is not None:
        rows.add_row("JumpCloud", f"{figures.jumpcloud_requests:,} requests")
    rows.add_row("connector", ", ".join(_of_the_connector(figures)))
    rows.add_row("intake", f"{figures.intake_requests:,} requests")
    parts = [_progress(figures, columns // _BAR_SHARE), rows]
    if figures.organizations is not None:
        rows.add_row("together", figures.organizations.sentence)
        parts.append(_organizations(figures.organizations, columns))
    return Group(*parts)


def _organizations(figures: OrganizationFigures, columns: int) -> RenderableType:
    rows = Table.grid(padding=(0, 2))
    for justify in ("left", "left", "right", "right"):
        rows.add_column(justify=justify, no_wrap=True, overflow="ellipsis")
    for one in figures.worst:
        lag = "-" if one.lag_seconds is None else f"{one.lag_seconds:,.0f} s"
        counts = [f"{one.so_far.accepted:,} of {one.so_far.produced:,}", f"lag {lag}"]
        shown = counts if columns >= _FEWEST_COLUMNS_FOR_COUNTS else []
        rows.add_row(one.name, f"{SIGNS[one.tone]} {one.word}", *shown)
    return rows


def _progress(figures: Figures, bar_columns: int) -> RenderableType:
    parts: list[RenderableType] = [Text(f"{figures.elapsed_seconds:.1f} s")]
    text = f"accepted {figures.accepted:,}"
    if figures.produced is not None:
        text += f" of {figures.produced:,}"
        if bar_columns >= _FEWEST_BAR_COLUMNS:
            parts.append(ProgressBar(max(1, figures.produced), figures.accepted, bar_columns))
    line = Table.grid(padding=(0, 2))
    parts.append(Text(text, overflow="ellipsis", no_wrap=True))
    line.add_row(*parts)
    return line


def _of_the_connector(figures: Figures) -> list[str]:
    parts = [figures.state] if figures.state else []
    lag = figures.lag_seconds
    parts.append("lag not known yet" if lag is None else f"lag {lag:.0f} s")
    if figures.late is not None:
        parts.append(f"{figures.late:,} late found")
    if figures.withheld is not None:
        parts.append(f"{figures.withheld:,} repeats withheld")
    if figures.rss_bytes:
        parts.append(f"{figures.rss_bytes / 1e6:.0f} MB")
    return parts


def _line(figures: Figures) -> str:
    parts = [f"{figures.elapsed_seconds:5.1f} s"]
    if figures.produced is not None:
        parts.append(f"produced {figures.produced:,}")
    parts.append(f"accepted {figures.accepted:,}")
    asked = figures.jumpcloud_requests
    requests = f"{figures.intake_requests:,} out"
    parts.append(f"requests {requests}" if asked is None else f"requests {asked:,} in, {requests}")
    lag = figures.lag_seconds
    parts.append("lag -" if lag is None else f"lag {lag:.0f} s")
    if figures.organizations is not None:
        parts.append(figures.organizations.sentence)
    return " | ".join(parts)
