"""The checkpoint of a running collector, and the windows that are read for late events.

Knows neither how windows are read nor how they are committed.
"""

import threading
from collections.abc import Callable, Iterable
from dataclasses import replace

from jumpcloud_modules.checkpoint import Checkpoint, Window
from jumpcloud_modules.collecting.resume import Reach, not_ahead


class CheckpointTracker:
    """Hold the checkpoint, which several threads change.

    Windows of late events are held beside it and are not saved: after a restart the counts find
    them again.
    """

    def __init__(self) -> None:
        # Held for a moment only: whoever waits for the disk or the network has let go of it.
        self._lock = threading.Lock()
        self._checkpoint = Checkpoint(0, 0)
        self._late: list[Window] = []
        self._audited_ms: int | None = None

    @property
    def checkpoint(self) -> Checkpoint:
        """Return the checkpoint as it is now: a value that nobody changes."""
        return self._checkpoint

    def being_read(self) -> list[Window]:
        """Return all open windows: an audit must not report events that are missing there."""
        return [*self._checkpoint.windows, *self._late]

    def change(self, change: Callable[[Checkpoint], Checkpoint]) -> None:
        """Put what `change` makes of the checkpoint in its place."""
        with self._lock:
            self._checkpoint = change(self._checkpoint)

    def take_back(
        self, now_ms: int, reach: Reach, accepted_start_ms: int | None
    ) -> tuple[bool, str]:
        """Move a watermark that is in the future back; return whether it was, and a message."""
        with self._lock:
            before = self._checkpoint
            self._checkpoint, message = not_ahead(before, now_ms, reach, accepted_start_ms)
            return self._checkpoint is not before, message

    def add_late(self, windows: Iterable[Window]) -> None:
        """Take note that windows are read for late events."""
        with self._lock:
            self._late += windows

    def is_late(self, window: Window) -> bool:
        """Tell whether a window is read for late events."""
        return window in self._late

    def close(self, window: Window, rest: Window) -> bool:
        """Take note that a window was read to its end, which left `rest` of it.

        Returns whether it was one of late events.
        """
        with self._lock:
            self._checkpoint = self._checkpoint.without(rest)
            if is_late := window in self._late:
                self._late.remove(window)
            self._note_audited()
            return is_late

    def audited(self, audited_ms: int | None) -> None:
        """Take note of the instant of a whole audit, where there was one."""
        with self._lock:
            self._audited_ms = audited_ms or self._audited_ms
            self._note_audited()

    def _note_audited(self) -> None:
        """Note the last audit as done once all windows that it found have been read.

        Earlier, a crash would lose those windows, and no later audit would look there.
        """
        if self._audited_ms is not None and not self._late:
            self._checkpoint = replace(self._checkpoint, audited_ms=self._audited_ms)
            self._audited_ms = None
