"""Events set aside."""

from pathlib import Path

import pytest

from jumpcloud_modules.errors import StateUnavailable
from jumpcloud_modules.events import cut
from jumpcloud_modules.intake import quarantine as quarantine_module
from jumpcloud_modules.intake.quarantine import Quarantine
from jumpcloud_modules.state.folder import Folder
from tests.doubles import NOON_MS, event_at


def test_an_event_is_kept_byte_for_byte_and_named(tmp_path: Path) -> None:
    """The line tells which event, how large, why and where."""
    raw = b'{"id":"5f1e","x":"\xff \\ud800"}'
    event = cut(b"[" + raw + b"]").events[0]

    kept = Quarantine(Folder(tmp_path / "q")).keep(event, "because the intake refused it")

    assert kept.path is not None
    assert kept.path.read_bytes() == raw
    assert kept.path.name == f"{event.key:016x}.json"
    assert "was set aside, because the intake refused it; it is kept in" in str(kept)
    assert f"({len(raw)} bytes)" in str(kept)


def test_meeting_an_event_again_changes_nothing(tmp_path: Path) -> None:
    """After a crash it may be refused once more."""
    event = event_at(NOON_MS)

    first = Quarantine(Folder(tmp_path)).keep(event, "x")
    second = Quarantine(Folder(tmp_path)).keep(event, "x")

    assert first == second
    assert first.path
    assert Quarantine(Folder(tmp_path)).kept() == {first.path.name: first.size_bytes}


@pytest.mark.parametrize(("files", "size"), [(2, 1 << 30), (100, 1)])
def test_a_full_quarantine_names_what_it_does_not_keep(
    tmp_path: Path, files: int, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its bound holds over restarts, and what is inside may still be met again."""
    monkeypatch.setattr(quarantine_module, "MAX_FILES", files)
    monkeypatch.setattr(quarantine_module, "MAX_BYTES", size)
    events = [event_at(NOON_MS, str(number)) for number in range(3)]
    quarantine = Quarantine(Folder(tmp_path))
    quarantine.keep(events[0], "x")
    if files == 2:
        quarantine.keep(events[1], "x")

    refused = Quarantine(Folder(tmp_path)).keep(events[2], "x")
    again = Quarantine(Folder(tmp_path)).keep(events[0], "x")

    assert refused.path is None
    assert "not kept: the quarantine is full" in str(refused)
    assert again.path is not None


@pytest.mark.parametrize(("files", "size"), [(1, 1 << 30), (100, 1)])
def test_an_event_that_went_makes_room(
    tmp_path: Path, files: int, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By number and by bytes, without a restart; and it is no longer counted."""
    monkeypatch.setattr(quarantine_module, "MAX_FILES", files)
    monkeypatch.setattr(quarantine_module, "MAX_BYTES", size)
    quarantine = Quarantine(Folder(tmp_path / "q"), Folder(tmp_path / "reasons"))
    first = quarantine.keep(event_at(NOON_MS, "1"), "x")
    assert first.path is not None
    assert quarantine.keep(event_at(NOON_MS, "2"), "x").path is None

    quarantine.release(first.path.name)

    assert quarantine.count() == 0
    assert quarantine.keep(event_at(NOON_MS, "2"), "x").path is not None
    assert quarantine.count() == 1
    quarantine.release("of-another-process.json")
    assert quarantine.count() == 1


def test_an_empty_quarantine_has_no_folder(tmp_path: Path) -> None:
    """Nor any files."""
    assert Quarantine(Folder(tmp_path / "q")).kept() == {}
    assert not (tmp_path / "q").exists()


def test_a_disk_that_fails_is_waited_for(tmp_path: Path) -> None:
    """An event that cannot be kept is not yet set aside."""
    (tmp_path / "q").write_bytes(b"in the way")
    quarantine, event = Quarantine(Folder(tmp_path / "q")), event_at(NOON_MS)

    with pytest.raises(StateUnavailable):
        quarantine.keep(event, "x")
    (tmp_path / "q").unlink()
    kept = quarantine.keep(event, "x")

    assert kept.path is not None
    assert kept.path.exists()
