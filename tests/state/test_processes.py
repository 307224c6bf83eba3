"""Telling that a process of this machine has ended, and of no other."""

import subprocess
import sys
from pathlib import Path

import pytest

from jumpcloud_modules.state import processes
from jumpcloud_modules.state.processes import has_ended, name_of_this


def _name_of_another() -> str:
    command = "from jumpcloud_modules.state.processes import name_of_this; print(name_of_this())"
    return subprocess.run(
        [sys.executable, "-c", command], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_a_process_that_runs_has_not_ended() -> None:
    """This one, for example."""
    assert name_of_this() is not None
    assert not has_ended(name_of_this())


def test_a_process_that_ran_here_has_ended() -> None:
    """Its number may be another's by now."""
    assert has_ended(_name_of_another())


def test_a_number_that_another_process_has_now_is_no_sign_of_life() -> None:
    """A container's first process has the number 1 after each restart."""
    place, number, started = str(name_of_this()).split(" ")

    assert has_ended(f"{place} {number} {int(started) - 1}")


def test_a_process_that_proc_hides_has_not_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `hidepid`, another user's processes are not seen: its lease would look free."""
    hidden, ended = name_of_this(), _name_of_another()
    place = tmp_path / "self" / "ns"
    place.mkdir(parents=True)
    (place / "pid").symlink_to(Path("/proc/self/ns/pid").readlink())
    boot = tmp_path / "sys" / "kernel" / "random"
    boot.mkdir(parents=True)
    (boot / "boot_id").write_text(Path("/proc/sys/kernel/random/boot_id").read_text())
    monkeypatch.setattr(processes, "_PROC", tmp_path)

    assert not has_ended(hidden)
    assert has_ended(ended)


@pytest.mark.parametrize(
    "name", [None, "", "nonsense", "another-boot/pid:[1] 1 1", " 1 1", "a b c"]
)
def test_of_any_other_process_nothing_is_known(name: str | None) -> None:
    """It may run on another machine, or in another container."""
    assert not has_ended(name)
