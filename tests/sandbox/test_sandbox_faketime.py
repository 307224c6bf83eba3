"""A wrong clock for one process: stepped while it runs, and nothing else is wrong about it."""

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from sandbox import Sandbox, wait_until
from sandbox.connector import ConnectorProcess
from sandbox.faketime import LIBRARY, MISSING, FakeClock

pytestmark = pytest.mark.skipif(LIBRARY is None, reason=MISSING)

CLOCK_WATCHER = """
import contextlib, json, socket, threading, time
from datetime import UTC, datetime

near, far = socket.socketpair()
near.settimeout(0.1)
lock = threading.Lock()
lock.acquire()

def receive():
    with contextlib.suppress(TimeoutError):
        near.recv(1)

waits = {
    "sleep": lambda: time.sleep(0.1),
    "event": lambda: threading.Event().wait(0.1),
    "lock": lambda: lock.acquire(timeout=0.1),
    "socket": receive,
}
while True:
    took = {}
    for name, wait in waits.items():
        began = time.monotonic()
        wait()
        took[name] = time.monotonic() - began
    print(json.dumps({
        "time": time.time(),
        "datetime": datetime.now(UTC).timestamp(),
        "monotonic": time.monotonic(),
        "took": took,
    }), flush=True)
"""


def test_the_clock_of_a_process_is_stepped_while_it_runs(tmp_path: Path) -> None:
    """Ahead, behind, and mended; its monotonic clock and its waits stay right."""
    clock = FakeClock(7_200)
    (tmp_path / "main.py").write_text(CLOCK_WATCHER)
    with (
        Sandbox() as sandbox,
        ConnectorProcess(sandbox.addresses, root=tmp_path, clock=clock) as watcher,
    ):
        assert _shows(watcher, 7_200)
        clock.step(-28_800)
        assert _shows(watcher, -21_600)
        clock.step(86_400 * 100)
        assert _shows(watcher, 86_400 * 100 - 21_600)
        clock.right()
        assert _shows(watcher, 0)

        took = [seconds for line in _seen(watcher) for seconds in line["took"].values()]
        assert min(took) > 0.09
        assert max(took) < 2


def test_a_clock_holds_over_a_restart_and_leaves_nothing_behind(tmp_path: Path) -> None:
    """Neither in this process nor in the shared memory, after a kill."""
    clock = FakeClock(-600)
    (tmp_path / "main.py").write_text(CLOCK_WATCHER)
    with (
        Sandbox() as sandbox,
        ConnectorProcess(sandbox.addresses, root=tmp_path, clock=clock) as watcher,
    ):
        assert _shows(watcher, -600)
        watcher.kill()
        before = len(_seen(watcher))
        watcher.start()

        assert wait_until(lambda: len(_seen(watcher)) > before)
        assert _shows(watcher, -600)
        watcher.kill()
        assert not list(Path("/dev/shm").glob(f"*faketime*_{watcher.pid}"))
        assert "LD_PRELOAD" not in os.environ


def _seen(watcher: ConnectorProcess) -> list[dict[str, Any]]:
    lines = [line for line in watcher.output.splitlines() if line.endswith("}}")]
    return [json.loads(line) for line in lines]


def _shows(watcher: ConnectorProcess, ahead_seconds: float) -> bool:
    """Wait until the process takes the true time for so much more (or less)."""
    true = time.time() - time.monotonic()
    return wait_until(
        lambda: (
            _seen(watcher)
            and all(
                abs(line[kind] - line["monotonic"] - true - ahead_seconds) < 1
                for line in _seen(watcher)[-1:]
                for kind in ("time", "datetime")
            )
        )
    )
