"""The main state document, whatever became of it."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jumpcloud_modules.errors import StateUnavailable
from jumpcloud_modules.instants import HOUR_MS, RETENTION_MS, SECOND_MS, to_rfc3339
from jumpcloud_modules.progress import Progress, Window
from jumpcloud_modules.state import (
    FILE_NAME,
    PREVIOUS_FILE_NAME,
    SAVE_EVERY_SECONDS,
    Found,
    State,
)
from tests.doubles import NOON_MS, BreakingDisk, Crash

_HISTORY_MS = 24 * HOUR_MS
_FRESH = Progress(NOON_MS - _HISTORY_MS, NOON_MS - _HISTORY_MS)
_EARLIER = Progress(NOON_MS - 5 * HOUR_MS, NOON_MS - 2 * HOUR_MS, (), "all")
_LATER = Progress(
    NOON_MS - 5 * HOUR_MS,
    NOON_MS - HOUR_MS,
    (Window(NOON_MS - 4 * HOUR_MS, NOON_MS - 3 * HOUR_MS),),
    "all",
)


def _load(folder: Path) -> Found:
    return State(folder).load(NOON_MS, _HISTORY_MS)


def _save_both(folder: Path) -> None:
    """Leave `_LATER` in the document and `_EARLIER` in its copy."""
    state = State(folder)
    state.save(_EARLIER)
    state.save(_LATER)


def _edit(path: Path, change: Callable[[dict[str, object]], object]) -> None:
    document = json.loads(path.read_bytes())
    change(document)
    path.write_text(json.dumps(document))


def test_a_first_start_reaches_back_as_far_as_configured(tmp_path: Path) -> None:
    """And says since when it collects."""
    found = _load(tmp_path)

    assert found.progress == _FRESH
    assert found.messages == ("First start: collecting events since 2025-10-08T12:00:00.000Z.",)
    assert found.warnings == ()


def test_what_was_saved_is_found_again_without_a_word(tmp_path: Path) -> None:
    """The usual restart."""
    _save_both(tmp_path)

    assert _load(tmp_path) == Found(_LATER)


def test_the_document_names_the_instant_that_182_reads(tmp_path: Path) -> None:
    """At its top level, under the same name."""
    State(tmp_path).save(_EARLIER)

    document = json.loads((tmp_path / FILE_NAME).read_bytes())
    assert document["most_recent_date_seen"] == to_rfc3339(_EARLIER.watermark_ms + SECOND_MS)


def test_nothing_is_written_where_nothing_changed(tmp_path: Path) -> None:
    """A quiet tenant costs no writes, on S3 least of all."""
    state = State(tmp_path)
    state.save(_EARLIER)

    with BreakingDisk(at=1) as disk:
        state.save(_EARLIER)
        again = State(tmp_path)
        again.load(NOON_MS, _HISTORY_MS)
        again.save(_EARLIER)

    assert disk.changes == 0


def test_the_copy_is_renewed_once_a_minute(tmp_path: Path) -> None:
    """Each commit would otherwise cost two writes."""
    seconds = [0.0]
    state = State(tmp_path, clock=lambda: seconds[0])
    copied = []
    for number in range(5):
        seconds[0] = number * 40.0
        state.save(replace(_EARLIER, watermark_ms=_EARLIER.watermark_ms + number))
        path = tmp_path / PREVIOUS_FILE_NAME
        copied.append(json.loads(path.read_bytes())["progress"]["watermark_ms"] if number else 0)

    assert [c - _EARLIER.watermark_ms for c in copied[1:]] == [0, 0, 2, 2]


def test_progress_of_pages_that_follow_each_other_is_written_once_a_second(tmp_path: Path) -> None:
    """Each page would otherwise cost two files."""
    seconds = [0.0]
    state = State(tmp_path, clock=lambda: seconds[0])

    state.save_now_and_then(_EARLIER)
    state.save_now_and_then(_LATER)
    within_a_second = _load(tmp_path).progress
    seconds[0] = SAVE_EVERY_SECONDS
    state.save_now_and_then(_LATER)

    assert (within_a_second, _load(tmp_path).progress) == (_EARLIER, _LATER)


def test_a_write_that_failed_is_not_taken_for_one_of_a_moment_ago(tmp_path: Path) -> None:
    """It is made up for at the next try, however soon that is."""
    state = State(tmp_path)
    with BreakingDisk(at=1), pytest.raises(StateUnavailable):
        state.save_now_and_then(_EARLIER)

    state.save_now_and_then(_EARLIER)

    assert _load(tmp_path).progress == _EARLIER


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

    assert found.progress == _EARLIER
    assert len(found.warnings) == 1
    assert "damaged; its last copy is used" in found.warnings[0]


@pytest.mark.parametrize("damage", _DAMAGES.values(), ids=_DAMAGES.keys())
@pytest.mark.parametrize("copy", [None, b"garbage"])
def test_a_damaged_document_without_a_copy_begins_anew_and_names_the_gap(
    tmp_path: Path, damage: bytes, copy: bytes | None
) -> None:
    """It starts and collects, and a person knows what may be missing."""
    (tmp_path / FILE_NAME).write_bytes(damage)
    if copy is not None:
        (tmp_path / PREVIOUS_FILE_NAME).write_bytes(copy)

    found = _load(tmp_path)

    assert found.progress == _FRESH
    assert len(found.warnings) == 1
    assert "does not say how far collecting got" in found.warnings[0]


def test_a_lost_document_is_replaced_by_its_copy(tmp_path: Path) -> None:
    """A file may vanish as well as break."""
    _save_both(tmp_path)
    (tmp_path / FILE_NAME).unlink()

    assert _load(tmp_path).progress == _EARLIER


def test_a_changed_number_is_noticed_by_the_checksum(tmp_path: Path) -> None:
    """A progress that nobody wrote is never believed."""
    _save_both(tmp_path)
    path = tmp_path / FILE_NAME
    changed = path.read_bytes().replace(b'"watermark_ms": 17', b'"watermark_ms": 16')
    path.write_bytes(changed)

    assert _load(tmp_path).progress == _EARLIER


def test_a_damaged_document_that_still_names_an_instant_goes_on_from_it(tmp_path: Path) -> None:
    """Where there is no copy, better that than to begin anew."""
    State(tmp_path).save(_EARLIER)
    _edit(tmp_path / FILE_NAME, lambda document: document.pop("checksum"))

    found = _load(tmp_path)

    assert found.progress.watermark_ms == _EARLIER.watermark_ms


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

    assert to_rfc3339(found.progress.watermark_ms) == start
    assert found.progress == Progress(found.progress.watermark_ms, found.progress.watermark_ms)
    assert found.messages == (
        f"Taking over the state of version 1.8.2: collecting events since {start}.",
    )
    assert found.warnings == ()


def test_where_182_moved_on_from_our_state_its_word_is_taken(tmp_path: Path) -> None:
    """Whether it rewrote the document or changed only its own field."""
    _save_both(tmp_path)
    _edit(
        tmp_path / FILE_NAME,
        lambda document: document.update(most_recent_date_seen="2025-10-09T11:45:00+00:00"),
    )

    found = _load(tmp_path)

    assert to_rfc3339(found.progress.watermark_ms) == "2025-10-09T11:44:59.000Z"
    assert "version 1.8.2" in found.messages[0]


def test_the_state_of_a_newer_version_is_taken_over_at_its_instant(tmp_path: Path) -> None:
    """The instant is the one thing that all versions agree on."""
    _save_both(tmp_path)
    _edit(tmp_path / FILE_NAME, lambda d: d.update(version=3, progress={"other": 1}, checksum="?"))

    found = _load(tmp_path)

    assert found.progress.watermark_ms == _LATER.oldest_open_ms - SECOND_MS
    assert found.messages[0].startswith("Taking over the state of version 3")


@pytest.mark.parametrize("seen", ["2025-10-09T12:00:10Z", "2999-01-01T00:00:00Z"])
def test_an_instant_in_the_future_begins_anew_and_says_so(tmp_path: Path, seen: str) -> None:
    """What happens until then would be missed."""
    (tmp_path / FILE_NAME).write_text(json.dumps({"most_recent_date_seen": seen}))

    found = _load(tmp_path)

    assert found.progress.watermark_ms == _FRESH.watermark_ms
    assert "which is in the future" in found.warnings[0]


def test_a_clock_that_was_set_back_loses_no_open_window(tmp_path: Path) -> None:
    """A backlog may reach further than the history of a first start."""
    old = Window(NOON_MS - 200 * HOUR_MS, NOON_MS - 100 * HOUR_MS)
    ahead = Progress(NOON_MS - 300 * HOUR_MS, NOON_MS + 10 * SECOND_MS, (old,), "all")
    State(tmp_path).save(ahead)

    found = _load(tmp_path)

    assert found.progress.watermark_ms <= NOON_MS
    assert found.progress.windows == (old,)
    assert found.progress.scope == "all"
    assert found.progress.beginning_ms == ahead.beginning_ms


def test_an_instant_beyond_retention_names_the_gap(tmp_path: Path) -> None:
    """JumpCloud has forgotten those events."""
    limit_ms = NOON_MS - RETENTION_MS
    seen = to_rfc3339(limit_ms - 24 * HOUR_MS)
    (tmp_path / FILE_NAME).write_text(json.dumps({"most_recent_date_seen": seen}))

    found = _load(tmp_path)

    assert found.progress.watermark_ms == limit_ms
    assert "beyond JumpCloud's retention" in found.warnings[0]
    assert to_rfc3339(limit_ms) in found.warnings[0]


def test_windows_beyond_retention_are_cut(tmp_path: Path) -> None:
    """What is left of them is still read."""
    limit_ms = NOON_MS - RETENTION_MS
    gone = Window(limit_ms - 2 * HOUR_MS, limit_ms - HOUR_MS)
    half = Window(limit_ms - HOUR_MS, limit_ms + HOUR_MS)
    whole = Window(limit_ms + HOUR_MS, limit_ms + 2 * HOUR_MS)
    progress = Progress(limit_ms - 5 * HOUR_MS, NOON_MS - HOUR_MS, (gone, half, whole), "all")
    State(tmp_path).save(progress)

    found = _load(tmp_path)

    assert found.progress.windows == (Window(limit_ms, limit_ms + HOUR_MS), whole)
    assert found.progress.watermark_ms == progress.watermark_ms
    assert len(found.warnings) == 1


@pytest.mark.parametrize("seen", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_instants_at_the_ends_of_time_are_survived(tmp_path: Path, seen: str) -> None:
    """Nobody means them; they are told like any other."""
    (tmp_path / FILE_NAME).write_text(json.dumps({"most_recent_date_seen": seen}))

    found = _load(tmp_path)

    assert NOON_MS - RETENTION_MS <= found.progress.watermark_ms <= NOON_MS
    assert len(found.warnings) == 1


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
    """The connector starts, at an instant between the retention's limit and now."""
    folder = tmp_path_factory.mktemp("state")
    (folder / FILE_NAME).write_bytes(content)

    found = _load(folder)

    assert NOON_MS - RETENTION_MS <= found.progress.watermark_ms <= NOON_MS
    assert found.messages or found.warnings


@pytest.mark.parametrize("at", [1, 2])
@pytest.mark.parametrize("crash", [True, False])
def test_a_write_that_fails_or_is_cut_short_leaves_the_state_before_it(
    tmp_path: Path, at: int, crash: bool
) -> None:
    """And the next one succeeds."""
    state = State(tmp_path)
    state.save(_EARLIER)

    with BreakingDisk(at, crash=crash), pytest.raises(Crash if crash else StateUnavailable):
        state.save(_LATER)
    found = _load(tmp_path)
    state.save(_LATER)

    assert found == Found(_EARLIER)
    assert _load(tmp_path) == Found(_LATER)
