"""The record of who owns a state, and the messages while this process waits for it.

The record is for people. No decision depends on its host, process number and instant: it may be
old, damaged, or of a machine whose clock is wrong. Knows neither locks nor leases.
"""

import os
import socket
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import orjson

from jumpcloud_modules.errors import Stopped
from jumpcloud_modules.instants import to_rfc3339
from jumpcloud_modules.state import processes

FIRST_REMINDER_SECONDS = 60.0
MAX_REMINDER_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Record:
    """Name the process that owns a state; all None where its record cannot be read.

    `name` identifies the process, so that `processes` can tell whether it has ended.
    """

    host: str | None = None
    pid: int | None = None
    since: str | None = None
    name: str | None = None

    def __str__(self) -> str:
        """Write it as it stands in a sentence."""
        if self.host is None:
            return "another process, which left no legible record of itself"
        return f"process {self.pid} on host {self.host} since {self.since}"


def this_process(now_ms: int) -> Record:
    """Return the record of this process."""
    name = processes.name_of_this()
    return Record(socket.gethostname(), os.getpid(), to_rfc3339(now_ms), name)


def to_json(record: Record, **more: str | int) -> bytes:
    """Write a record, and what else its place needs."""
    return orjson.dumps({**asdict(record), **more})


def from_json(content: bytes) -> tuple[Record, dict[str, Any]]:
    """Read a record, and all that stood beside it; both empty where it is damaged."""
    try:
        document = orjson.loads(content)
    except ValueError:
        return Record(), {}
    if not isinstance(document, dict):
        return Record(), {}
    host, pid, since = (document.get(name) for name in ("host", "pid", "since"))
    if not (isinstance(host, str) and isinstance(pid, int) and isinstance(since, str)):
        return Record(), document
    name = document.get("name")
    return Record(host, pid, since, name if isinstance(name, str) else None), document


class Waiting:
    """Log that this process waits for a state, less and less often, and when that is over.

    `quiet_seconds` pass before the first message; `until` says how the wait ends.
    """

    def __init__(
        self, folder: Path, until: str, quiet_seconds: float, clock: Callable[[], float]
    ) -> None:
        self._folder = folder
        self._until = until
        self._quiet_seconds = quiet_seconds
        self._clock = clock
        self._began_at: float | None = None
        self._due_at = 0.0
        self._pause_seconds = 0.0

    def goes_on(self, owner: Record, tell: Callable[[str], None]) -> None:
        """Take note that the state is still another's, and say so where that is due."""
        now = self._clock()
        if self._began_at is None:
            self._began_at, self._due_at = now, now + self._quiet_seconds
        if now < self._due_at:
            return
        longer = max(FIRST_REMINDER_SECONDS, 2 * self._pause_seconds)
        self._pause_seconds = min(longer, MAX_REMINDER_SECONDS)
        self._due_at = now + self._pause_seconds
        tell(
            f"The state in {self._folder} is owned by {owner}. Nothing is collected here"
            f" {self._until}. If both are meant to run, give each a data folder of its own; if"
            " not, stop one of them."
        )

    def ends(self, tell: Callable[[str], None]) -> None:
        """Take note that the state is this process's, and say so where its wait was told."""
        if self._began_at is not None and self._pause_seconds:
            seconds = self._clock() - self._began_at
            tell(f"The state in {self._folder} is owned by this process, after {seconds:.0f} s.")
        self._began_at, self._pause_seconds = None, 0.0


class Looking(Protocol):
    """An owner that can be asked again and again whether the state is its own by now."""

    @property
    def look_every_seconds(self) -> float:
        """How long to wait before the next look."""

    def try_acquire(self, tell: Callable[[str], None]) -> bool:
        """Take the state if it may be taken now."""


def wait_for(owner: Looking, stop: threading.Event, tell: Callable[[str], None]) -> None:
    """Return once an owner owns its state. Raises Stopped, and what the owner raises."""
    while not owner.try_acquire(tell):
        if stop.wait(owner.look_every_seconds):
            raise Stopped("stopped while another process owned the state")
