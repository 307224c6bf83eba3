"""What the process tests share: a sandbox with the real process before it, and patient looks."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sandbox import Answers, Event, Sandbox, generate
from sandbox.connector import ConnectorProcess, Settings, wait_for_health
from sandbox.faketime import FakeClock
from sandbox.instants import now_ms

SECOND_MS = 1_000
MINUTE_MS = 60_000
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS

PATIENCE_SECONDS = 90.0
"""How long to wait for what must happen; the machine is shared, and nothing is measured by it."""


def eventually(happened: Callable[[], object], timeout_seconds: float = PATIENCE_SECONDS) -> bool:
    """Wait for something to become true; look seldom, for many tests look at the same time."""
    deadline = time.monotonic() + timeout_seconds
    while not happened():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


@dataclass(frozen=True, slots=True)
class Scene:
    """A sandbox, and the process that collects from it."""

    sandbox: Sandbox
    connector: ConnectorProcess

    def delivers(self, count: int, timeout_seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until the intake has accepted so many events."""
        self.sees(lambda: self.sandbox.intake.count, count, timeout_seconds)

    def delivers_all(self, timeout_seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until as many events were accepted as were published."""
        self.delivers(len(self.sandbox.jumpcloud.published), timeout_seconds)

    def loses_nothing(self, timeout_seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until each event that was published has been accepted, however often."""
        self.delivers_all(timeout_seconds)
        self._waits(lambda: not self.sandbox.verdict().lost, timeout_seconds)

    def polls(self, times: int = 2, timeout_seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until the tail was read so many times more."""
        self.sees(lambda: self.tail_reads, self.tail_reads + times, timeout_seconds)

    def sees(
        self, figure: Callable[[], int], least: int, timeout_seconds: float = PATIENCE_SECONDS
    ) -> None:
        """Wait until a figure has grown to what is named."""
        self._waits(lambda: figure() >= least, timeout_seconds)

    def is_told(self, text: str, *levels: str, timeout_seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until a message that holds a text has reached the platform."""
        self._waits(lambda: self.told(text, *levels), timeout_seconds)

    def _waits(self, happened: Callable[[], object], timeout_seconds: float) -> None:
        """Fail the test where it never happens: what follows would show nothing."""
        if not eventually(happened, timeout_seconds):
            raise AssertionError(
                f"it did not happen within {timeout_seconds} s\n{self.sandbox.verdict().table()}"
                f"\n{self.connector.output[-2_000:]}"
            )

    def told(self, text: str, *levels: str) -> list[str]:
        """List the messages that hold a text and have reached the platform."""
        return [line for line in self.sandbox.platform.messages(*levels) if text in line]

    @property
    def tail_reads(self) -> int:
        """Count the answered requests without an end or a cursor: one a poll."""
        entries = self.sandbox.jumpcloud.requests.entries("events")
        beyond = {"end_time", "search_after"}
        return sum(1 for entry in entries if entry.body and beyond.isdisjoint(entry.body))

    @property
    def judgement(self) -> str:
        """Return `clean`, or the verdict's table for the assertion's message."""
        verdict = self.sandbox.verdict()
        return "clean" if verdict.clean else verdict.table()


@contextmanager
def scene(
    events: Iterable[Event] = (),
    settings: Settings | None = None,
    *,
    answers: Answers | None = None,
    clock: FakeClock | None = None,
    before: Callable[[Sandbox, Path], object] = lambda _, __: None,
) -> Iterator[Scene]:
    """Start a sandbox, do what is to be done `before` the process, and start the process."""
    with Sandbox(events, answers=answers) as sandbox:
        connector = ConnectorProcess(sandbox.addresses, settings, clock=clock)
        before(sandbox, connector.data_folder)
        with connector:
            wait_for_health(connector, PATIENCE_SECONDS)
            yield Scene(sandbox, connector)
            if connector.running:
                connector.metrics()  # what the ports answer is looked through after the test
                connector.doing()


def history(count: int, seed: int = 1, *, minutes: int = 60) -> list[Event]:
    """Make events of the last minutes, but for the last ten seconds."""
    now = now_ms()
    return generate(count, now - minutes * MINUTE_MS, now - 10 * SECOND_MS, seed)
