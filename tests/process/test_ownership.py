"""Two real processes on one data folder, on a disk and on S3: one at a time."""

import os
import secrets
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from jumpcloud_modules.queries import PAGES_IN_MEMORY
from sandbox import Sandbox, faults, make_event
from sandbox.connector import ConnectorProcess, Settings, wait_for_health
from sandbox.instants import now_ms
from sandbox.live import Live
from tests.process.scene import PATIENCE_SECONDS, Scene, history
from tests.process.test_object_storage import _storage

PAGE = 20
SECONDS_TO_TAKE_OVER = 60.0
"""From a kill to the next owner, at most; from a stop it is a few seconds."""


@contextmanager
def _pair(
    place: str, count: int = 600, latency_ms: int = 0
) -> Iterator[tuple[Scene, ConnectorProcess]]:
    """Start a process that collects, and once it does, a second one on the same state."""
    settings = Settings(chunk_size=PAGE)
    with _variables(place) as variables, Sandbox(history(count)) as sandbox:
        sandbox.intake.faults.add(faults.SlowReceipts(latency_ms=latency_ms))
        first = ConnectorProcess(sandbox.addresses, settings, environment=variables)
        second = ConnectorProcess(
            sandbox.addresses, settings, data_folder=first.data_folder, environment=variables
        )
        with first:
            on = Scene(sandbox, first)
            on.sees(lambda: sandbox.intake.count, 1)
            with second:
                yield on, second


@contextmanager
def _variables(place: str) -> Iterator[dict[str, str]]:
    if place == "disk":
        yield {}
        return
    with _storage() as variables:  # the servers of one process share what they keep
        yield {**variables, "SUB_FOLDER": secrets.token_hex(8)}


@pytest.mark.lengthy
@pytest.mark.parametrize("place", ["disk", "s3"])
def test_a_second_process_waits_says_for_whom_and_takes_over_after_a_stop(place: str) -> None:
    """Nothing is lost, and nothing comes twice."""
    with _pair(place) as (on, second):
        wait_for_health(second, PATIENCE_SECONDS)
        on.is_told(f"is owned by process {on.connector.pid} on host", "warning")
        on.delivers_all()
        on.polls(3)
        health = second.health()
        on.connector.stop(timeout_seconds=10)
        began = time.monotonic()
        on.sandbox.jumpcloud.publish(make_event(now_ms() - n) for n in range(10))
        on.delivers_all(SECONDS_TO_TAKE_OVER)
        seconds = time.monotonic() - began
        on.polls()

        assert on.judgement == "clean"
        assert health is not None
        assert health.status == 200
        assert second.running
        assert seconds < 20
        on.is_told("is owned by this process, after")


@pytest.mark.lengthy
@pytest.mark.parametrize("place", ["disk", "s3"])
def test_a_second_process_takes_over_within_a_minute_after_a_kill(place: str) -> None:
    """In the middle of a backlog: what was under way may come twice, and nothing else."""
    with _pair(place, count=4_000, latency_ms=400) as (on, _):
        on.is_told("is owned by process", "warning")
        on.connector.kill()
        began, accepted = time.monotonic(), on.sandbox.intake.count
        under_way = len(on.sandbox.jumpcloud.published) - accepted
        on.sees(lambda: on.sandbox.intake.count, accepted + 1, SECONDS_TO_TAKE_OVER)
        seconds = time.monotonic() - began
        on.sandbox.intake.faults.clear()
        on.loses_nothing()
        on.polls()
        verdict = on.sandbox.verdict()

        assert (verdict.lost, verdict.altered, verdict.foreign) == (0, 0, 0)
        assert verdict.duplicated <= PAGES_IN_MEMORY * PAGE
        assert under_way > 0
        assert seconds < SECONDS_TO_TAKE_OVER


@pytest.mark.lengthy
def test_a_process_that_was_suspended_does_not_commit_over_its_successor() -> None:
    """It says so, and waits until the state is its own again."""
    with _pair("s3") as (on, second):
        on.is_told("is owned by process", "warning")
        on.delivers_all()
        on.polls(3)
        os.kill(on.connector.pid, signal.SIGSTOP)
        with Live(on.sandbox.jumpcloud, per_second=5, latest_ms=1_000, seed=1) as live:
            on.is_told("is owned by this process", timeout_seconds=SECONDS_TO_TAKE_OVER)
            on.polls()
            os.kill(on.connector.pid, signal.SIGCONT)
            on.is_told("does not own the state")
            on.is_told(f"is owned by process {second.pid} on host")
            live.stop()
        on.delivers_all()
        second.stop(timeout_seconds=10)
        on.sandbox.jumpcloud.publish([make_event(now_ms())])
        on.delivers_all()
        on.polls()

        assert on.connector.running
        assert on.judgement == "clean"
