"""Many organizations at once: a sandbox that holds them, and the real process with their list."""

import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox import Answers, Event, Organization, Sandbox, make_event
from sandbox.connector import Settings, wait_for_health
from sandbox.instants import now_ms
from sandbox.self_hosted import ManyConnectorProcess
from tests.process.scene import PATIENCE_SECONDS, eventually

FAST = {"MAX_REQUESTS_PER_SECOND": "1000"}
"""So that a poll each second of many organizations is not held back."""


@dataclass(frozen=True, slots=True)
class SceneOfMany:
    """A sandbox with many organizations, and the process that collects from them."""

    sandbox: Sandbox
    connector: ManyConnectorProcess

    def publishes(self, of: Iterable[Organization], each: int = 2) -> None:
        """Let events of this moment exist, of each organization so many."""
        self.sandbox.jumpcloud.publish(
            make_event(now_ms(), organization=one.id) for one in of for _ in range(each)
        )

    def loses_nothing(
        self, of: Iterable[Organization] = (), timeout_seconds: float = PATIENCE_SECONDS
    ) -> None:
        """Wait until all events were accepted, of these organizations or of all."""
        ids = [one.id for one in of]

        def are_there() -> bool:
            if not ids and self.sandbox.intake.count < len(self.sandbox.jumpcloud.published):
                return False  # that is cheap to tell
            verdicts = self.sandbox.verdicts()
            return not any(verdicts[which].lost for which in ids or verdicts)

        self.waits(are_there, timeout_seconds)

    def delivers(self, of: Sequence[Organization], each: int = 2) -> None:
        """Publish events of these organizations, and wait for them."""
        self.publishes(of, each)
        self.loses_nothing(of)

    def polls(self, of: Iterable[Organization], times: int = 2) -> None:
        """Wait until JumpCloud has answered each of them so many times more."""
        before = {one.id: self.answered(one) for one in of}
        self.waits(
            lambda: all(
                len(self.sandbox.jumpcloud.requests.entries("events", organization=which))
                >= count + times
                for which, count in before.items()
            )
        )

    def answered(self, one: Organization) -> int:
        """Count the pages that were asked for and answered, whatever the answer was."""
        return len(self.sandbox.jumpcloud.requests.entries("events", organization=one.id))

    def is_told(self, text: str, timeout_seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until the process has written a text."""
        self.waits(lambda: text in self.connector.output, timeout_seconds)

    def waits(
        self, happened: Callable[[], object], timeout_seconds: float = PATIENCE_SECONDS
    ) -> None:
        """Wait for what must happen, and fail the test where it never does."""
        if not eventually(happened, timeout_seconds):
            raise AssertionError(
                f"it did not happen within {timeout_seconds} s\n{self.sandbox.verdict().table()}"
                f"\n{self.connector.output[-4_000:]}"
            )

    def median_delay_ms(self, of: Iterable[Organization], since: int = 0) -> float:
        """Return the median time from visible to accepted, but for the first events of each."""
        delays = self.sandbox.delays_ms()
        return statistics.median(ms for one in of for ms in delays[one.id][since:])

    @property
    def judgement(self) -> str:
        """Return `clean`, or the verdict's table for the assertion's message."""
        verdict = self.sandbox.verdict()
        return "clean" if verdict.clean else verdict.table()

    @property
    def threads(self) -> int:
        """Count the threads of the process."""
        return sum(1 for _ in Path(f"/proc/{self.connector.pid}/task").iterdir())


@contextmanager
def scene_of_many(
    organizations: Sequence[Organization],
    settings: Settings | None = None,
    *,
    events: Iterable[Event] = (),
    listed: Sequence[Organization] | None = None,
    before: Callable[[Sandbox, Path], object] = lambda _, __: None,
    answers: Answers | None = None,
    **options: Any,
) -> Iterator[SceneOfMany]:
    """Start a sandbox, do what is to be done `before` the process, and start the process.

    All `organizations` exist; `listed` of them are collected at first, or all.
    """
    with Sandbox(events, answers=answers, organizations=organizations) as sandbox:
        options["environment"] = FAST | options.get("environment", {})
        connector = ManyConnectorProcess(
            sandbox.addresses, organizations if listed is None else listed, settings, **options
        )
        before(sandbox, connector.data_folder)
        with connector:
            wait_for_health(connector, PATIENCE_SECONDS)
            yield SceneOfMany(sandbox, connector)
            if connector.running:
                looked_at(connector)


def looked_at(connector: ManyConnectorProcess) -> dict[str, Any]:
    """Ask both ports, so that what they answer is looked through after the test."""
    connector.metrics()
    connector.health()
    return connector.doing() or {}


def with_own_keys(organizations: Iterable[Organization]) -> list[Organization]:
    """Return the organizations, each with an API key of its own."""
    return [
        Organization(one.id, one.name, one.intake_key, f"jca_key_of_{one.name}")
        for one in organizations
    ]
