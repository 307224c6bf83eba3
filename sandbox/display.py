"""What a person sees while the connector runs: one updating line, or plain lines."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TextIO

_PLAIN_EVERY_SECONDS = 2.0
_COLUMNS = 80


@dataclass(frozen=True, slots=True)
class Figures:
    """A moment of a run; `lag_seconds` is the connector's own word, None before the first."""

    elapsed_seconds: float
    produced: int | None
    accepted: int
    jumpcloud_requests: int | None
    intake_requests: int
    lag_seconds: float | None


def columns_of(out: TextIO) -> int:
    """Return how wide a terminal is just now: its window may be drawn narrower at any time."""
    try:
        return os.get_terminal_size(out.fileno()).columns or _COLUMNS
    except (OSError, ValueError):
        return _COLUMNS


class Display:
    """Shows figures on a terminal in place, elsewhere every two seconds on a line of its own.

    On a terminal they are cut at its width, since a line that wraps is not one to write over.
    """

    def __init__(
        self,
        out: TextIO,
        clock: Callable[[], float] = time.monotonic,
        columns: Callable[[TextIO], int] = columns_of,
    ) -> None:
        self._out, self._clock, self._columns = out, clock, columns
        self._in_place = out.isatty()
        self._shown_at = float("-inf")
        self._width = 0

    def show(self, figures: Figures) -> None:
        """Show the figures, if it is time to."""
        line = _line(figures)
        if self._in_place:
            room = max(1, self._columns(self._out) - 1)
            self._out.write("\r" + line.ljust(self._width)[:room])
            self._width = min(len(line), room)
        elif self._clock() - self._shown_at >= _PLAIN_EVERY_SECONDS:
            self._shown_at = self._clock()
            self._out.write(line + "\n")
        self._out.flush()

    def say(self, text: str) -> None:
        """Write lines that stay."""
        if self._in_place and self._width:
            self._out.write("\n")
            self._width = 0
        self._out.write(text + "\n")
        self._out.flush()


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
    return " | ".join(parts)
