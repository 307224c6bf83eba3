"""What polls have to say: a line for each that moved something, one an hour while nothing does.

Knows counts and checkpoint; who polls, and where lines go, is not known here.
"""

from collections.abc import Callable
from time import monotonic

from jumpcloud_modules.checkpoint import Checkpoint
from jumpcloud_modules.collecting.stats import Counts
from jumpcloud_modules.instants import to_rfc3339

QUIET_LINE_SECONDS = 3600.0
"""The time between two lines while polls bring nothing new."""


class PollLog:
    """Word the line of a poll, and of the quiet ones before it; `name` tells streams apart."""

    def __init__(self, name: str = "", clock: Callable[[], float] = monotonic) -> None:
        self._name = f" {name}" if name else ""
        self._clock = clock
        self._told_at: float | None = None
        self._windows = 0
        self._quiet_polls = 0

    def line(self, counts: Counts, checkpoint: Checkpoint, seconds: float) -> str | None:
        """Return what a log should say of a poll that took so long, None where that is nothing."""
        is_first = self._told_at is None
        windows, before = len(checkpoint.windows), self._windows
        if is_first or windows != before or _moved(counts):
            line = self._polled(counts, checkpoint, seconds)
        else:
            self._quiet_polls += 1
            if self._clock() - (self._told_at or 0.0) < QUIET_LINE_SECONDS:
                return None
            line = self._quiet(checkpoint)
        self._told_at, self._windows, self._quiet_polls = self._clock(), windows, 0
        return line

    def _polled(self, counts: Counts, checkpoint: Checkpoint, seconds: float) -> str:
        return (
            f"Polled{self._name} in {seconds:.1f} s: {counts.read} events read"
            f" in {counts.pages} pages,"
            f" {counts.delivered} delivered, {counts.known} known already,"
            f" {counts.set_aside} set aside; newest {to_rfc3339(checkpoint.watermark_ms)}"
            f"{_backlog(checkpoint)}."
        )

    def _quiet(self, checkpoint: Checkpoint) -> str:
        minutes = round((self._clock() - (self._told_at or 0.0)) / 60)
        return (
            f"Polled{self._name} {self._quiet_polls} times in {minutes} min, nothing new;"
            f" newest {to_rfc3339(checkpoint.watermark_ms)}{_backlog(checkpoint)}."
        )


def _moved(counts: Counts) -> bool:
    return bool(counts.delivered or counts.set_aside or counts.late)


def _backlog(checkpoint: Checkpoint) -> str:
    windows = len(checkpoint.windows)
    return f"; {windows} stretches of backlog still open" if windows else ""
