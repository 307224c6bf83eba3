"""`state show` and `state reset` as real processes, and what a connector makes of a reset."""

from pathlib import Path

import pytest

from jumpcloud_modules.checkpoint import Checkpoint, Window
from jumpcloud_modules.instants import HOUR_MS, to_rfc3339
from jumpcloud_modules.state.checkpoint_store import FILE_NAME, CheckpointStore
from jumpcloud_modules.state.inspection import NAMED_BESIDE_ALL
from jumpcloud_modules.state.ownership import ownership
from jumpcloud_modules.state.starting_over import start_over
from sandbox import Sandbox, generate, wait_until
from sandbox.connector import ConnectorProcess, Settings
from sandbox.instants import now_ms
from tests.doubles import NOON_MS, Waits
from tests.shell import Ended, typed


def state_typed(folder: Path, *arguments: str) -> Ended:
    """Type `state …` for a data folder: it needs no key."""
    return typed("state", *arguments, environment={"DATA_DIR": str(folder)})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Leave the state of a connector that has stopped."""
    windows = (Window(NOON_MS + HOUR_MS, NOON_MS + 2 * HOUR_MS),)
    checkpoint = Checkpoint(NOON_MS, NOON_MS + 3 * HOUR_MS, windows, scope="https://a/  all")
    CheckpointStore(tmp_path).save(checkpoint)
    (tmp_path / "ledger").mkdir()
    (tmp_path / "ledger/about.json").write_text('{"scope": "https://a/  all", "forgotten_ms": 0}')
    (tmp_path / "quarantine").mkdir()
    (tmp_path / "quarantine/0a1b2c3d4e5f6071.json").write_text("{}")
    return tmp_path


@pytest.fixture
def two_streams(folder: Path) -> Path:
    """Have services be asked for beside `all`, which are further behind."""
    named = folder / NAMED_BESIDE_ALL
    CheckpointStore(named).save(Checkpoint(NOON_MS, NOON_MS + HOUR_MS, scope="https://a/  pam,sso"))
    (named / "ledger").mkdir()
    (named / "ledger/about.json").write_text("{}")
    return folder


# Showing


def test_show_tells_a_machine_how_far_collecting_got(folder: Path) -> None:
    """What is still open, whose it is, and what it keeps."""
    ended = state_typed(folder, "show", "--json")

    assert (ended.status, ended.err) == (0, "")
    assert ended.document == {
        "folder": str(folder),
        "owner": None,
        "quarantine": {"events": 1, "bytes": 2},
        "streams": [
            {
                "folder": str(folder),
                "services": "all",
                "damage": None,
                "progress": {
                    "beginning": "2025-10-09T12:00:00.000Z",
                    "watermark": "2025-10-09T15:00:00.000Z",
                    "windows": [
                        {"start": "2025-10-09T13:00:00.000Z", "end": "2025-10-09T14:00:00.000Z"}
                    ],
                    "audited": None,
                    "scope": "https://a/  all",
                },
                "ledger": {"files": 1, "bytes": 47},
            }
        ],
    }


def test_show_tells_a_person_the_same(folder: Path) -> None:
    """A line each."""
    ended = state_typed(folder, "show")

    assert ended.status == 0
    for said in ("nobody", "2025-10-09T15:00:00.000Z", "1 stretches of backlog", "1 events"):
        assert said in ended.out


def test_show_names_damage_with_status_one(folder: Path) -> None:
    """Where the copy is missing, too."""
    (folder / FILE_NAME).write_bytes(b"{")

    ended = state_typed(folder, "show", "--json")

    assert ended.status == 1
    (stream,) = ended.document["streams"]
    assert "does not say how far collecting got" in stream["damage"]
    assert stream["progress"] is None


def test_a_folder_without_a_state_is_well_and_is_not_made(tmp_path: Path) -> None:
    """Before the first start that is how it is; a folder that was named is another matter."""
    ended = state_typed(tmp_path / "none", "show")
    named = state_typed(tmp_path, "show", "--data", str(tmp_path / "none"))

    assert (ended.status, named.status) == (0, 2)
    assert "nothing was collected yet" in ended.out
    assert "holds no state of a connector" in named.err
    assert list(tmp_path.iterdir()) == []


def test_show_tells_of_what_is_asked_for_beside_all(two_streams: Path) -> None:
    """A stream each, to a machine and to a person; damage of either is damage."""
    as_json, shown = state_typed(two_streams, "show", "--json"), state_typed(two_streams, "show")
    (two_streams / NAMED_BESIDE_ALL / FILE_NAME).write_bytes(b"{")
    damaged = state_typed(two_streams, "show", "--json")

    assert (as_json.status, shown.status, damaged.status) == (0, 0, 1)
    assert [
        (stream["services"], stream["progress"]["watermark"])
        for stream in as_json.document["streams"]
    ] == [("all", "2025-10-09T15:00:00.000Z"), ("pam,sso", "2025-10-09T13:00:00.000Z")]
    assert as_json.document["streams"][1]["folder"] == str(two_streams / NAMED_BESIDE_ALL)
    for said in ("2025-10-09T15:00:00.000Z", "2025-10-09T13:00:00.000Z", "https://a/  pam,sso"):
        assert said in shown.out
    first, second = damaged.document["streams"]
    assert (first["damage"], second["progress"]) == (None, None)
    assert str(two_streams / NAMED_BESIDE_ALL / FILE_NAME) in second["damage"]


# Starting over


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "one of the arguments --since --hours is required"),
        (["--hours", "2161"], "give a number from 0 to 2160"),
        (["--hours", "nan"], "--hours nan: give a number from 0 to 2160"),
        (["--since", "soon"], "neither a span nor an instant"),
        (["--since", "2199-01-01T00:00:00Z"], "in the future"),
    ],
)
def test_what_cannot_be_meant_changes_nothing(
    folder: Path, arguments: list[str], said: str
) -> None:
    """Status 2, and the state stays as it is."""
    before = (folder / FILE_NAME).read_bytes()

    ended = state_typed(folder, "reset", *arguments)

    assert ended.status == 2
    assert said in ended.err
    assert (folder / FILE_NAME).read_bytes() == before


def test_a_reset_is_refused_while_a_connector_owns_the_folder(folder: Path) -> None:
    """It would write over it."""
    before = (folder / FILE_NAME).read_bytes()
    owner = ownership(folder)
    owner.acquire(Waits(stop_after=1), lambda _: None)

    ended = state_typed(folder, "reset", "--hours", "1")

    owner.release()
    assert ended.status == 2
    assert "stop the connector first" in ended.err
    assert (folder / FILE_NAME).read_bytes() == before


def test_there_is_nothing_to_reset_before_the_first_start(tmp_path: Path) -> None:
    """A folder is not made for it."""
    ended = state_typed(tmp_path / "none", "reset", "--hours", "1")

    assert ended.status == 2
    assert "There is no state in" in ended.err
    assert list(tmp_path.iterdir()) == []


def test_a_reset_says_what_it_means_and_how_to_undo_it(folder: Path) -> None:
    """What is left out by it, too."""
    before = (folder / FILE_NAME).read_bytes()

    ended = state_typed(folder, "reset", "--hours", "1")

    (copy,) = folder.glob("context.before-*.json")
    assert ended.status == 0
    assert copy.read_bytes() == before
    assert f"put {copy} back as context.json" in ended.out
    assert "between 2025-10-09T13:00:00.000Z and then is left out" in ended.out
    assert "is not sent again" in ended.out
    assert (folder / "ledger/about.json").exists()


def test_a_state_that_was_reset_begins_at_the_very_instant(tmp_path: Path) -> None:
    """Nobody rounded it, and it is told who did it."""
    start_over(tmp_path, NOON_MS, NOON_MS + HOUR_MS, again=False)

    found = CheckpointStore(tmp_path).load()

    assert found.checkpoint is not None
    assert found.checkpoint.watermark_ms == NOON_MS
    assert found.is_takeover
    assert found.warning == ""
    assert found.message == (
        "The state was reset at 2025-10-09T13:00:00.000Z: collecting events since"
        " 2025-10-09T12:00:00.000Z."
    )


def test_a_reset_starts_every_stream_over_and_says_how_to_undo_that(two_streams: Path) -> None:
    """From the same instant; what the one that is behind leaves out is told."""
    named = two_streams / NAMED_BESIDE_ALL

    ended = state_typed(two_streams, "reset", "--hours", "1", "--again")

    copies = [next(folder.glob("context.before-*.json")) for folder in (two_streams, named)]
    ledgers = [next(folder.glob("ledger.before-*")) for folder in (two_streams, named)]
    first, second = (CheckpointStore(folder).load().checkpoint for folder in (two_streams, named))
    assert ended.status == 0
    assert first is not None
    assert second is not None
    assert first.watermark_ms == second.watermark_ms > NOON_MS + 3 * HOUR_MS
    assert "between 2025-10-09T13:00:00.000Z and then is left out" in ended.out
    for copy in copies:
        assert f"{copy} back as context.json" in ended.out
    for ledger in ledgers:
        assert f"The ledger is kept in {ledger};" in ended.out


def collect(sandbox: Sandbox, data_folder: Path, count: int) -> list[str]:
    """Run a connector until the intake has so many events, and a poll longer; return its log."""
    logged = len(sandbox.platform.logs)
    settings = Settings(history_hours=4)
    with ConnectorProcess(sandbox.addresses, settings, data_folder=data_folder) as connector:
        assert wait_until(lambda: sandbox.intake.count >= count, 45), connector.output
        polls = len(sandbox.jumpcloud.requests.entries("events"))
        assert wait_until(
            lambda: len(sandbox.jumpcloud.requests.entries("events")) >= polls + 3, 45
        )
        assert connector.stop() == 0
    return [line.message for line in sandbox.platform.logs[logged:]]


def test_a_reset_collects_anew_and_repeats_only_what_is_asked_for(tmp_path: Path) -> None:
    """What the ledger knows is withheld, unless it is to come again."""
    now = now_ms()
    events = generate(300, now - 3 * HOUR_MS, now - 60_000, seed=9)
    with Sandbox(events) as sandbox:
        collect(sandbox, tmp_path, 300)
        withheld = state_typed(tmp_path, "reset", "--hours", "2")
        told = collect(sandbox, tmp_path, 300)
        after_reset = sandbox.intake.count
        since = to_rfc3339(now - 2 * HOUR_MS)
        again = state_typed(tmp_path, "reset", "--since", since, "--again")
        expected = 300 + sum(event.time_ms >= now - 2 * HOUR_MS for event in events)
        collect(sandbox, tmp_path, expected)

        assert (withheld.status, again.status) == (0, 0)
        assert [line for line in told if line.startswith("The state was reset at ")]
        assert after_reset == 300
        assert "What was delivered since then is sent again." in again.out
        assert sandbox.intake.count == expected
        assert not sandbox.verdict().lost
    assert list(tmp_path.glob("ledger.before-*/about.json"))
