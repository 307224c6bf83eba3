"""The main state document, whatever became of it."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jumpcloud_modules.checkpoint import Checkpoint, Found, Window
from jumpcloud_modules.errors import StateUnavailable
from jumpcloud_modules.instants import HOUR_MS, SECOND_MS, to_rfc3339
from jumpcloud_modules.state.checkpoint_store import (
    FILE_NAME,
    PREVIOUS_FILE_NAME,
    SAVE_EVERY_SECONDS,
    CheckpointStore,
    _checksum,
)
from tests.doubles import NOON_MS, BreakingDisk, Crash

_EARLIER = Checkpoint(NOON_MS - 5 * HOUR_MS, NOON_MS - 2 * HOUR_MS, (), "all")
_LATER = Checkpoint(
    NOON_MS - 5 * HOUR_MS,
    NOON_MS - HOUR_MS,
    (Window(NOON_MS - 4 * HOUR_MS, NOON_MS - 3 * HOUR_MS),),
    "all",
)


def _load(folder: Path) -> Found:
    return CheckpointStore(folder).load()


def _start_of(found: Found) -> str:
    """Return the instant that is gone on from, as text."""
    assert found.checkpoint
    return to_rfc3339(found.checkpoint.watermark_ms)


def _save_both(folder: Path) -> None:
    """Leave `_LATER` in the document and `_EARLIER` in its copy."""
    state = CheckpointStore(folder)
    state.save(_EARLIER)
    state.save(_LATER)


def _without_what_came_later(document: dict[str, Any]) -> None:
    body = document["progress"]
    del body["audited_ms"], body["is_provisional"]
    document["checksum"] = _checksum(body)


def _edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    document = json.loads(path.read_bytes())
    change(document)
    path.write_text(json.dumps(document))


def test_a_first_start_finds_nothing_and_says_nothing(tmp_path: Path) -> None:
    """Where it begins is not the state's to say."""
    assert _load(tmp_path) == Found(None)


def test_what_was_saved_is_found_again_without_a_word(tmp_path: Path) -> None:
    """The usual restart."""
    _save_both(tmp_path)

    assert _load(tmp_path) == Found(_LATER)


def test_what_was_audited_and_that_a_start_is_provisional_is_found_again(tmp_path: Path) -> None:
    """A restart looks for late events from where the last audit ended."""
    checkpoint = replace(_LATER, audited_ms=NOON_MS - 7 * HOUR_MS, is_provisional=True)
    CheckpointStore(tmp_path).save(checkpoint)

    found = _load(tmp_path)

    assert found == Found(checkpoint)
    assert found.checkpoint
    assert found.checkpoint.audited_ms == NOON_MS - 7 * HOUR_MS
    assert found.checkpoint.is_provisional


def test_a_document_without_what_came_later_is_read(tmp_path: Path) -> None:
    """An earlier build wrote neither what was audited nor that a start is provisional."""
    CheckpointStore(tmp_path).save(_LATER)
    _edit(tmp_path / FILE_NAME, _without_what_came_later)

    assert _load(tmp_path) == Found(_LATER)


def test_the_document_names_the_instant_that_182_reads(tmp_path: Path) -> None:
    """At its top level, under the same name."""
    CheckpointStore(tmp_path).save(_EARLIER)

    document = json.loads((tmp_path / FILE_NAME).read_bytes())
    assert document["most_recent_date_seen"] == to_rfc3339(_EARLIER.watermark_ms + SECOND_MS)


def test_nothing_is_written_where_nothing_changed(tmp_path: Path) -> None:
    """A quiet tenant costs no writes, on S3 least of all."""
    state = CheckpointStore(tmp_path)
    state.save(_EARLIER)

    with BreakingDisk(at=1) as disk:
        state.save(_EARLIER)
        again = CheckpointStore(tmp_path)
        again.load()
        again.save(_EARLIER)

    assert disk.changes == 0


def test_the_copy_is_renewed_once_a_minute(tmp_path: Path) -> None:
    """Each commit would otherwise cost two writes."""
    seconds = [0.0]
    state = CheckpointStore(tmp_path, clock=lambda: seconds[0])
    copied = []
    for number in range(5):
        seconds[0] = number * 40.0
        state.save(replace(_EARLIER, watermark_ms=_EARLIER.watermark_ms + number))
        path = tmp_path / PREVIOUS_FILE_NAME
        copied.append(json.loads(path.read_bytes())["progress"]["watermark_ms"] if number else 0)

    assert [c - _EARLIER.watermark_ms for c in copied[1:]] == [0, 0, 2, 2]


def test_a_save_is_due_a_second_after_the_last(tmp_path: Path) -> None:
    """Each of the pages that follow each other would otherwise cost two files."""
    seconds = [0.0]
    state = CheckpointStore(tmp_path, clock=lambda: seconds[0])
    due = [state.is_save_due]

    state.save(_EARLIER)
    for passed in (0.0, SAVE_EVERY_SECONDS - 0.01, SAVE_EVERY_SECONDS):
        seconds[0] = passed
        due.append(state.is_save_due)

    assert due == [True, False, False, True]


def test_a_save_that_changed_nothing_is_one_of_a_moment_ago(tmp_path: Path) -> None:
    """A quiet stretch asks no more often than a busy one."""
    seconds = [0.0]
    state = CheckpointStore(tmp_path, clock=lambda: seconds[0])
    state.save(_EARLIER)
    seconds[0] = SAVE_EVERY_SECONDS

    state.save(_EARLIER)

    assert not state.is_save_due


def test_a_write_that_failed_is_not_taken_for_one_of_a_moment_ago(tmp_path: Path) -> None:
    """It is made up for at the next try, however soon that is."""
    state = CheckpointStore(tmp_path)
    with BreakingDisk(at=1), pytest.raises(StateUnavailable):
        state.save(_EARLIER)
    due_after_the_failure = state.is_save_due

    state.save(_EARLIER)

    assert due_after_the_failure
    assert not state.is_save_due
    assert _load(tmp_path).checkpoint == _EARLIER


_DAMAGES: dict[str, bytes] = {
    "empty": b"",
    "garbage": b"\x00\xff\xfe garbage",
    "truncated": b'{"most_recent_date_seen":"2025-10',
    "a list": b"[1,2]",
    "a number": b"17",
    "null": b"null",
    "an empty object": b"{}",
    "a wrong type": b'{"most_recent_date_seen":17}',
    "no instant": b'{"most_recent_date_seen":"soon"}',
    "no object inside": b'{"version":2,"progress":[],"checksum":"x"}',
    "nothing known": b'{"version":2}',
    "deep": b"[" * 100_000,
}


@pytest.mark.parametrize("damage", _DAMAGES.values(), ids=_DAMAGES.keys())
def test_a_damaged_document_falls_back_to_its_copy(tmp_path: Path, damage: bytes) -> None:
    """The ledger knows what was delivered since, so the copy's age costs nothing."""
    _save_both(tmp_path)
    (tmp_path / FILE_NAME).write_bytes(damage)

    found = _load(tmp_path)

    assert found.checkpoint == _EARLIER
    assert found.message == ""
    assert "damaged; its last copy is used" in found.warning
    assert not found.is_takeover
    assert not found.is_beginning_lost


@pytest.mark.parametrize("damage", _DAMAGES.values(), ids=_DAMAGES.keys())
@pytest.mark.parametrize("copy", [None, b"garbage"])
def test_a_damaged_document_without_a_copy_names_no_checkpoint_and_says_so(
    tmp_path: Path, damage: bytes, copy: bytes | None
) -> None:
    """The connector begins anew, and a person knows what may be missing."""
    (tmp_path / FILE_NAME).write_bytes(damage)
    if copy is not None:
        (tmp_path / PREVIOUS_FILE_NAME).write_bytes(copy)

    found = _load(tmp_path)

    assert found.checkpoint is None
    assert found.message == ""
    assert "does not say how far collecting got" in found.warning


def test_a_lost_document_is_replaced_by_its_copy(tmp_path: Path) -> None:
    """A file may vanish as well as break."""
    _save_both(tmp_path)
    (tmp_path / FILE_NAME).unlink()

    assert _load(tmp_path).checkpoint == _EARLIER


def test_a_changed_number_is_noticed_by_the_checksum(tmp_path: Path) -> None:
    """A checkpoint that nobody wrote is never believed."""
    _save_both(tmp_path)
    path = tmp_path / FILE_NAME
    changed = path.read_bytes().replace(b'"watermark_ms": 17', b'"watermark_ms": 16')
    path.write_bytes(changed)

    assert _load(tmp_path).checkpoint == _EARLIER


def test_a_damaged_document_that_still_names_an_instant_goes_on_from_it(tmp_path: Path) -> None:
    """Where there is no copy, better that than to begin anew."""
    CheckpointStore(tmp_path).save(_EARLIER)
    _edit(tmp_path / FILE_NAME, lambda document: document.pop("checksum"))

    found = _load(tmp_path)

    assert found.checkpoint == Checkpoint(_EARLIER.watermark_ms, _EARLIER.watermark_ms)
    assert found.is_beginning_lost
    assert found.message == ""
    assert "is damaged and goes on from the date it names" in found.warning


def test_a_copy_from_which_182_moved_on_is_taken_at_its_word(tmp_path: Path) -> None:
    """The document is damaged, and says no more than its copy."""
    _save_both(tmp_path)
    (tmp_path / FILE_NAME).write_bytes(b"")
    _edit(
        tmp_path / PREVIOUS_FILE_NAME,
        lambda document: document.update(most_recent_date_seen="2025-10-09T11:45:00+00:00"),
    )

    found = _load(tmp_path)

    assert _start_of(found) == "2025-10-09T11:44:59.000Z"
    assert found.is_takeover
    assert "its last copy is used" in found.warning


@pytest.mark.parametrize(
    ("seen", "start"),
    [
        ("2025-10-09T11:30:00+00:00", "2025-10-09T11:29:59.000Z"),
        ("2025-10-09T11:30:00Z", "2025-10-09T11:29:59.000Z"),
        ("2025-10-09T13:30:00+02:00", "2025-10-09T11:29:59.000Z"),
        ("2025-10-09T11:30:00", "2025-10-09T11:29:59.000Z"),
        ("2025-10-09T11:30:00.123456+00:00", "2025-10-09T11:29:59.123Z"),
    ],
)
def test_the_state_of_182_is_taken_over_a_second_earlier(
    tmp_path: Path, seen: str, start: str
) -> None:
    """1.8.2 skips what shares the last second of its newest event."""
    (tmp_path / FILE_NAME).write_text(json.dumps({"most_recent_date_seen": seen}))

    found = _load(tmp_path)

    assert _start_of(found) == start
    assert found.checkpoint
    assert found.checkpoint == Checkpoint(
        found.checkpoint.watermark_ms, found.checkpoint.watermark_ms
    )
    assert (
        found.message == f"Taking over the state of version 1.8.2: collecting events since {start}."
    )
    assert found.warning == ""
    assert found.is_takeover


def test_where_182_moved_on_from_our_state_its_word_is_taken(tmp_path: Path) -> None:
    """Whether it rewrote the document or changed only its own field."""
    _save_both(tmp_path)
    _edit(
        tmp_path / FILE_NAME,
        lambda document: document.update(most_recent_date_seen="2025-10-09T11:45:00+00:00"),
    )

    found = _load(tmp_path)

    assert _start_of(found) == "2025-10-09T11:44:59.000Z"
    assert "version 1.8.2" in found.message
    assert found.is_takeover


def test_the_state_of_a_newer_version_is_taken_over_at_its_instant(tmp_path: Path) -> None:
    """The instant is the one thing that all versions agree on."""
    _save_both(tmp_path)
    _edit(
        tmp_path / FILE_NAME, lambda d: d.update(version=3, checkpoint={"other": 1}, checksum="?")
    )

    found = _load(tmp_path)

    assert _start_of(found) == to_rfc3339(_LATER.oldest_open_ms - SECOND_MS)
    assert found.message.startswith("Taking over the state of version 3")
    assert found.is_takeover


@pytest.mark.parametrize("seen", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_instants_that_no_calendar_holds_in_utc_are_survived(tmp_path: Path, seen: str) -> None:
    """Nobody means them; they are told like any other damage."""
    (tmp_path / FILE_NAME).write_text(json.dumps({"most_recent_date_seen": seen}))

    found = _load(tmp_path)

    assert found.checkpoint is None
    assert "does not say how far collecting got" in found.warning


@pytest.mark.parametrize("seen", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
def test_instants_at_the_ends_of_time_are_found_as_they_are(tmp_path: Path, seen: str) -> None:
    """What follows from them, JumpCloud's time says."""
    (tmp_path / FILE_NAME).write_text(json.dumps({"most_recent_date_seen": seen}))

    found = _load(tmp_path)

    assert found.checkpoint
    assert found.is_takeover


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(max_size=5), v, max_size=3),
    max_leaves=5,
)
_FIELDS = ["most_recent_date_seen", "version", "progress", "checksum"]


@given(
    st.one_of(
        st.binary(max_size=50),
        st.dictionaries(
            st.sampled_from(_FIELDS), _JSON | st.sampled_from([2, "2025-10-09"]), max_size=4
        ).map(lambda document: json.dumps(document).encode()),
    )
)
def test_any_document_whatever_is_survived(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    """There is something to tell of it, whether it names a checkpoint or not."""
    folder = tmp_path_factory.mktemp("state")
    (folder / FILE_NAME).write_bytes(content)

    found = _load(folder)

    assert found.message or found.warning
    assert found.checkpoint or found.warning


@pytest.mark.parametrize("at", [1, 2])
@pytest.mark.parametrize("crash", [True, False])
def test_a_write_that_fails_or_is_cut_short_leaves_the_state_before_it(
    tmp_path: Path, at: int, crash: bool
) -> None:
    """And the next one succeeds."""
    state = CheckpointStore(tmp_path)
    state.save(_EARLIER)

    with BreakingDisk(at, crash=crash), pytest.raises(Crash if crash else StateUnavailable):
        state.save(_LATER)
    found = _load(tmp_path)
    state.save(_LATER)

    assert found == Found(_EARLIER)
    assert _load(tmp_path) == Found(_LATER)
