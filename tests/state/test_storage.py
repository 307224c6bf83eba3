"""Files that are whole or absent."""

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from jumpcloud_modules.errors import StateUnavailable
from jumpcloud_modules.state import storage


@pytest.mark.parametrize("write", [storage.write_atomically, storage.write_once])
def test_what_is_written_is_read(tmp_path: Path, write: Callable[[Path, bytes], None]) -> None:
    """In a folder that is made where it does not exist."""
    path = tmp_path / "a" / "b" / "file"

    write(path, b"one")
    write(path, b"two")

    assert storage.read(path) == b"two"
    assert list(storage.files(path.parent)) == [path]


def test_a_file_that_is_not_there_is_read_as_none(tmp_path: Path) -> None:
    """And its folder as empty."""
    assert storage.read(tmp_path / "absent") is None
    assert list(storage.files(tmp_path / "absent")) == []


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
    """A fold that is faster has put what it held into another, synced."""
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
        lambda: storage.size(tmp_path / "absent"),
    ):
        with pytest.raises(StateUnavailable, match="check the disk's space and rights") as raised:
            act()
        assert str(tmp_path) in str(raised.value)
