"""Files that are whole or absent."""

import errno
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from jumpcloud_modules.errors import CannotWork, StateUnavailable
from jumpcloud_modules.state import storage


@pytest.mark.parametrize("write", [storage.write_atomically, storage.write_once])
def test_what_is_written_is_read(tmp_path: Path, write: Callable[[Path, bytes], None]) -> None:
    """In a folder that is made where it does not exist."""
    path = tmp_path / "a" / "b" / "file"

    write(path, b"one")
    write(path, b"two")

    assert storage.read(path) == b"two"
    assert storage.files(path.parent) == {path: 3}


def test_a_file_that_is_not_there_is_read_as_none(tmp_path: Path) -> None:
    """And its folder as empty."""
    assert storage.read(tmp_path / "absent") is None
    assert storage.files(tmp_path / "absent") == {}
    assert storage.files_below(tmp_path / "absent") == {}
    assert storage.names(tmp_path / "absent") == set()


def test_what_is_in_a_folder_is_listed_with_what_is_below_it(tmp_path: Path) -> None:
    """A look changes nothing, also of what a crash left."""
    for name in ("one", "a/two", "a/b/three", "four.unfinished"):
        storage.write_once(tmp_path / name, name.encode())

    assert storage.names(tmp_path) == {"one", "a", "four.unfinished"}
    assert storage.files_below(tmp_path) == {
        tmp_path / "one": 3,
        tmp_path / "a" / "two": 5,
        tmp_path / "a" / "b" / "three": 9,
        tmp_path / "four.unfinished": 15,
    }


def test_removing_what_is_not_there_changes_nothing(tmp_path: Path) -> None:
    """A crash may have been faster."""
    path = tmp_path / "file"
    storage.write_once(path, b"x")

    storage.remove(path)
    storage.remove(path)

    assert not path.exists()


def test_a_file_written_once_is_synced_when_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sync costs milliseconds on most disks: each write would wait for one."""
    path = tmp_path / "file"
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_ino))

    storage.write_once(path, b"x")
    before = list(synced)
    storage.sync(path)

    assert before == []
    assert synced == [path.stat().st_ino]


def test_a_new_name_is_synced_with_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut could take the name away, and leave the state of before."""
    path = tmp_path / "file"
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_ino))

    storage.write_atomically(path, b"x")
    after_writing = list(synced)
    storage.sync_folder(tmp_path)

    folder = tmp_path.stat().st_ino
    assert after_writing == [path.stat().st_ino, folder]
    assert synced == [*after_writing, folder]


def test_a_folder_that_cannot_be_synced_is_left_at_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some network file systems cannot; a failing disk is told."""

    def fail(number: int) -> None:
        def fsync(descriptor: int) -> None:
            if stat.S_ISDIR(os.fstat(descriptor).st_mode):
                raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, "fsync", fsync)

    fail(errno.EINVAL)
    storage.write_atomically(tmp_path / "file", b"x")
    fail(errno.EIO)
    with pytest.raises(StateUnavailable):
        storage.write_atomically(tmp_path / "file", b"x")

    storage.sync_folder(tmp_path / "absent")


def test_a_file_that_is_gone_needs_no_sync(tmp_path: Path) -> None:
    """A compaction that is faster has put what it held into another, synced."""
    storage.sync(tmp_path / "absent")


def test_a_write_that_fails_leaves_the_old_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it left unfinished is no file of the folder."""
    path = tmp_path / "file"
    storage.write_atomically(path, b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StateUnavailable, match="No space left on device"):
        storage.write_atomically(path, b"new")

    assert storage.read(path) == b"old"
    assert list(storage.files(tmp_path)) == [path]


def test_every_failure_of_the_disk_is_named_as_one_to_wait_for(tmp_path: Path) -> None:
    """With the path and what to check."""
    (tmp_path / "plain").write_bytes(b"")
    inside_a_file = tmp_path / "plain" / "file"
    a_folder = tmp_path / "folder"
    (a_folder / "kept").mkdir(parents=True)

    for act in (
        lambda: storage.write_atomically(inside_a_file, b"x"),
        lambda: storage.write_once(inside_a_file, b"x"),
        lambda: storage.sync(inside_a_file),
        lambda: storage.read(a_folder),
        lambda: storage.remove(a_folder),
        lambda: list(storage.files(tmp_path / "plain")),
        lambda: storage.files_below(tmp_path / "plain"),
    ):
        with pytest.raises(StateUnavailable, match="check the disk's space and rights") as raised:
            act()
        assert str(tmp_path) in str(raised.value)


@pytest.mark.parametrize("write", [storage.write_atomically, storage.write_once])
@pytest.mark.parametrize("umask", [0o000, 0o022])
def test_only_the_process_s_user_may_read_what_is_written(
    tmp_path: Path, write: Callable[[Path, bytes], None], umask: int
) -> None:
    """Files 0600 and the folders made for them 0700, also over a file that all could read."""
    fresh, old = tmp_path / "a" / "b" / "file", tmp_path / "old"
    old.write_bytes(b"x")
    old.chmod(0o644)
    before = os.umask(umask)
    try:
        write(fresh, b"one")
        write(old, b"two")
    finally:
        os.umask(before)

    assert [mode(path) for path in (fresh, old)] == [0o600, 0o600]


def test_folders_are_made_for_the_process_s_user_alone(tmp_path: Path) -> None:
    """Each that was missing; one that was there keeps its mode."""
    tmp_path.chmod(0o755)

    storage.write_once(tmp_path / "a" / "b" / "file", b"x")

    assert [mode(tmp_path / name) for name in ("a", "a/b")] == [0o700, 0o700]
    assert mode(tmp_path) == 0o755


def test_a_folder_that_others_could_read_is_closed_to_them(tmp_path: Path) -> None:
    """With those in it; what is not there yet, and what is private already, is left alone."""
    (tmp_path / "ledger" / "scope").mkdir(parents=True)
    for path in (tmp_path, tmp_path / "ledger", tmp_path / "ledger" / "scope"):
        path.chmod(0o755)

    storage.keep_private(tmp_path / "ledger")
    storage.keep_private(tmp_path / "absent")

    assert [mode(tmp_path / name) for name in ("ledger", "ledger/scope")] == [0o700, 0o700]
    assert mode(tmp_path) == 0o755
    assert not (tmp_path / "absent").exists()


@pytest.mark.parametrize("make", [Path.mkdir, lambda _: None], ids=["there", "to be made"])
def test_a_folder_that_can_be_written_is_left_as_it_is(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    """Nothing of the look stays."""
    make(tmp_path / "data")

    storage.check_writable(tmp_path / "data", "ledger")

    assert list((tmp_path / "data").iterdir()) == []


@pytest.mark.parametrize("folder", ["/sys", "/proc", "/dev/null", "/dev/null/data"])
def test_a_folder_that_nobody_can_write_is_told(folder: str) -> None:
    """With what to do: no waiting mends it."""
    with pytest.raises(CannotWork, match=f"The data folder {folder} cannot be written"):
        storage.check_writable(Path(folder))


def test_another_user_s_state_in_a_folder_is_told() -> None:
    """As a run as root leaves it for one as somebody else."""
    with TemporaryDirectory() as name:
        folder, ledger = Path(name), Path(name) / "ledger"
        ledger.mkdir(0o700)
        folder.chmod(0o777)
        said = _as_nobody(folder, ledger)

    assert f"cannot be written (Permission denied: {ledger})" in said


def _as_nobody(folder: Path, ledger: Path) -> str:
    """Return what is said to a user whom the ledger in a folder does not belong to."""
    if os.geteuid() != 0:
        ledger.chmod(0o500)
    program = (
        "import os, pathlib, sys\n"
        "from jumpcloud_modules.state import storage\n"
        "if os.geteuid() == 0: os.setuid(65534)\n"
        "storage.check_writable(pathlib.Path(sys.argv[1]), 'ledger')"
    )
    command = [sys.executable, "-c", program, str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stderr


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
def test_a_disk_that_is_full_or_fails_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """It may be mended while the connector runs."""

    def fail(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(storage, "open_private", fail)

    storage.check_writable(tmp_path)


def mode(path: Path) -> int:
    """Return who may do what with it."""
    return path.stat().st_mode & 0o777
