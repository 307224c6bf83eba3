"""How collecting is doing: asked of the running process, or read from its state."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from jumpcloud_modules.checkpoint import Checkpoint, Window
from jumpcloud_modules.state.checkpoint_store import CheckpointStore
from jumpcloud_modules.state.ownership import ownership
from jumpcloud_modules.status import BacklogEstimate, Status
from sandbox import faults
from sandbox.connector import Settings
from tests.doubles import NOON_MS, Waits
from tests.process.scene import Scene, eventually, history, scene
from tests.shell import ROOT, Ended, self_hosted, typed


class _Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def test_how_long_a_backlog_takes_is_told_by_how_fast_it_became_less() -> None:
    """Nothing is known of it at first, and nothing is left in the end."""
    clock = _Clock()
    estimate = BacklogEstimate(clock)
    first = estimate.backlog(Checkpoint(0, 0, (Window(0, 8_000), Window(8_000, 10_000))))

    clock.seconds = 30.0
    later = estimate.backlog(Checkpoint(0, 0, (Window(0, 4_000),)))
    ended = estimate.backlog(Checkpoint(0, 0))

    assert (first.windows, first.seconds, first.seconds_left) == (2, 10.0, None)
    assert (later.windows, later.seconds, later.seconds_left) == (1, 4.0, 20.0)
    assert (ended.windows, ended.seconds, ended.seconds_left) == (0, 0.0, None)


def _asked(on: Scene) -> dict[str, Any]:
    answer = on.connector.doing()
    assert answer is not None
    return answer


def _status(on: Scene, *arguments: str) -> Ended:
    environment = self_hosted(
        on.sandbox, on.connector.data_folder, LIVENESS_PORT=str(on.connector.liveness_port)
    )
    return typed("status", *arguments, environment=environment)


def test_a_running_connector_tells_how_it_is_doing_on_its_port_and_by_the_command() -> None:
    """The same to a machine and to a person."""
    with scene(history(400), Settings(frequency=1)) as on:
        on.delivers_all()
        on.polls()
        asked, as_json, shown = _asked(on), _status(on, "--json"), _status(on)

    assert asked["well"] is True
    assert (asked["state"], asked["delivered"]) == ("collecting", 400)
    assert asked["lag_seconds"] == 0
    assert asked["backlog"] == {"windows": 0, "seconds": 0.0, "seconds_left": None}
    assert asked["failing"] == []
    assert asked["last_deliveries"][-1]["events"] > 0
    assert asked["watermark"].endswith("Z")
    assert (as_json.status, shown.status) == (0, 0)
    assert as_json.document.keys() == asked.keys() == Status("stopped").to_json().keys()
    assert "400 events since its start" in shown.out


def test_two_streams_are_told_apart_whether_the_connector_runs_or_not() -> None:
    """To a machine and to a person; what is above them holds for both together."""
    with scene(history(400), Settings(service="all,pam")) as on:
        on.delivers_all()
        assert eventually(lambda: all(s["watermark"] for s in _asked(on)["streams"]))
        running, shown_running = _status(on, "--json"), _status(on)
        on.connector.stop()
        stopped, shown_stopped = _status(on, "--json"), _status(on)

    for ended, shown in ((running, shown_running), (stopped, shown_stopped)):
        document, lines = ended.document, shown.out.splitlines()
        assert (ended.status, shown.status) == (0, 0)
        assert [stream["services"] for stream in document["streams"]] == ["all", "pam"]
        assert document["watermark"] == min(s["watermark"] for s in document["streams"])
        assert document["lag_seconds"] == max(s["lag_seconds"] for s in document["streams"])
        for stream in document["streams"]:
            assert stream["backlog"] == {"windows": 0, "seconds": 0.0, "seconds_left": None}
            told = f"{stream['services']} "
            (line,) = [line for line in lines if line.startswith(told)]
            assert "collected up to 20" in line
            assert "lag " in line
            assert "backlog left: none" in line


def test_one_stream_is_not_told_twice_to_a_person(tmp_path: Path) -> None:
    """And once to a machine."""
    CheckpointStore(tmp_path).save(Checkpoint(NOON_MS, NOON_MS, scope="https://a/ org all"))
    (tmp_path / "ledger").mkdir()
    (tmp_path / "ledger/about.json").write_text("{}")
    environment = {"DATA_DIR": str(tmp_path), "LIVENESS_PORT": "9"}

    as_json = typed("status", "--json", environment=environment)
    shown = typed("status", environment=environment)

    (stream,) = as_json.document["streams"]
    assert (stream["services"], stream["watermark"]) == ("all", as_json.document["watermark"])
    assert shown.out.count("collected up to") == 1


def test_what_fails_is_named_with_its_reason_and_the_exit_status_says_so() -> None:
    """By the words of the other end."""
    with scene(history(50)) as on:
        on.delivers_all()
        on.sandbox.jumpcloud.faults.add(faults.EchoKey(401))
        assert eventually(lambda: _asked(on)["failing"])
        asked, shown = _asked(on), _status(on)

    (failing,) = asked["failing"]
    assert failing["end"] == "JumpCloud"
    assert "answered 401" in failing["message"]
    assert asked["well"] is False
    assert shown.status == 1
    assert "JumpCloud fails since" in shown.out


def test_another_folders_connector_is_not_taken_for_this_one_s(tmp_path: Path) -> None:
    """Two may run on one machine, and the port is asked whichever folder is meant."""
    CheckpointStore(tmp_path).save(Checkpoint(NOON_MS, NOON_MS, scope="x"))
    with scene(history(50)) as on:
        on.delivers_all()
        port = str(on.connector.liveness_port)
        environment = self_hosted(on.sandbox, tmp_path, LIVENESS_PORT=port)
        owner = ownership(tmp_path)
        stopped = typed("status", "--json", environment=environment)
        owner.acquire(Waits(stop_after=1), lambda _: None)
        owned = typed("status", "--json", environment=environment)
        owner.release()
        nowhere = typed("status", "--data", str(tmp_path / "none"), environment=environment)

    assert stopped.document["folder"] == owned.document["folder"] == str(tmp_path)
    assert (stopped.document["state"], owned.document["state"]) == ("stopped", "not answering")
    assert stopped.document["watermark"] == "2025-10-09T12:00:00.000Z"
    assert stopped.document["lag_seconds"] > 0
    assert "does not answer on this port" in owned.document["warnings"][-1]
    assert (nowhere.status, nowhere.out) == (2, "")
    assert "holds no state of a connector" in nowhere.err


def test_a_proxy_for_everything_is_not_asked_for_this_machine() -> None:
    """Nor does one keep the status from being read."""
    with scene(history(50)) as on:
        on.delivers_all()
        environment = self_hosted(
            on.sandbox,
            on.connector.data_folder,
            LIVENESS_PORT=str(on.connector.liveness_port),
            HTTP_PROXY="http://127.0.0.1:9",
            http_proxy="http://127.0.0.1:9",
        )
        (on.connector.data_folder / "quarantine").mkdir()
        (on.connector.data_folder / "quarantine/0a1b2c3d4e5f6071.json").write_text("{}")
        shown = typed("status", "--json", environment=environment)

    assert shown.document["state"] == "collecting"
    assert shown.document["quarantined"] == 1


def test_a_watched_status_ends_with_ctrl_c(tmp_path: Path) -> None:
    """It is looked at again and again, and ends with the status of the last look."""
    with subprocess.Popen(
        [sys.executable, "main.py", "status", "--watch", "--json"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "DATA_DIR": str(tmp_path), "LIVENESS_PORT": "9"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        looks = [json.loads(process.stdout.readline()) for _ in range(2)]
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=15)

    assert [look["state"] for look in looks] == ["stopped"] * 2
    assert (process.returncode, told) == (0, "")


@pytest.mark.parametrize("damage", [None, b"{"])
def test_a_stopped_connector_is_told_by_its_state(damage: bytes | None) -> None:
    """Nothing answers on its port; nothing in the folder is changed."""
    with scene(history(50)) as on:
        on.delivers_all()
        on.polls()
        on.connector.stop()
        folder = on.connector.data_folder
        if damage:
            for name in ("context.json", "context.previous.json"):
                (folder / name).write_bytes(damage)
        before = _files(folder)
        as_json, shown = _status(on, "--json"), _status(on)

        assert as_json.document["state"] == "stopped"
        assert as_json.status == shown.status == (1 if damage else 0)
        assert (as_json.document["watermark"] is None) == bool(damage)
        assert _files(folder) == before


def test_no_state_and_no_connector_is_no_fault(tmp_path: Path) -> None:
    """Nothing was collected yet."""
    environment = {"DATA_DIR": str(tmp_path / "none"), "LIVENESS_PORT": "9"}
    shown = typed("status", environment=environment)

    assert shown.status == 0
    assert "nothing yet" in shown.out
    assert not (tmp_path / "none").exists()


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
