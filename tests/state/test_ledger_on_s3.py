"""The whole durable state on S3, against a real S3-compatible server."""

import os
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from botocore.config import Config
from moto.server import ThreadedMotoServer
from s3path import S3Path, register_configuration_parameter
from sekoia_automation import constants
from sekoia_automation.configuration import get_configuration
from sekoia_automation.storage import get_data_path, get_s3_data_path

from jumpcloud_modules.checkpoint import Checkpoint, Found, Window
from jumpcloud_modules.errors import StateUnavailable
from jumpcloud_modules.instants import HOUR_MS
from jumpcloud_modules.intake.quarantine import Quarantine
from jumpcloud_modules.state import ledger_files, storage
from jumpcloud_modules.state.checkpoint_store import FILE_NAME, CheckpointStore
from jumpcloud_modules.state.folder import Folder
from jumpcloud_modules.state.inspection import inspect
from jumpcloud_modules.state.ledger import Ledger
from jumpcloud_modules.state.starting_over import start_over
from tests.doubles import NOON_MS, BreakingDisk, Crash, event_at, events_of, new_of, recorded

_BUCKET = "connector-data"
_CACHES = (get_data_path, get_s3_data_path, get_configuration)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThreadedMotoServer]:
    """Serve S3 on a free port."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield server
    server.stop()


def _forget_data_path() -> None:
    for cached in _CACHES:
        if hasattr(cached, "cache_clear"):
            cached.cache_clear()


@pytest.fixture
def folder(
    server: ThreadedMotoServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """Return the data path that the SDK makes of its own variables, in an empty bucket."""
    host, port = server.get_host_and_port()
    for name, value in {
        "FILE_BACKEND": "S3",
        "SUB_FOLDER": tmp_path.name,
        "AWS_BUCKET_NAME": _BUCKET,
        "AWS_ACCESS_KEY_ID": "an-id",
        "AWS_SECRET_ACCESS_KEY": "a-secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_S3_ENDPOINT_URL": f"http://{host}:{port}",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(constants, "TLS_VOLUME_PATH", str(tmp_path / "tls"))
    boto3.client("s3", endpoint_url=os.environ["AWS_S3_ENDPOINT_URL"]).create_bucket(Bucket=_BUCKET)
    _forget_data_path()
    path = get_data_path()
    assert isinstance(path, S3Path)
    yield path
    _forget_data_path()


def test_files_are_written_read_listed_and_removed(folder: Path) -> None:
    """As on a disk."""
    one, two = folder / "a" / "one", folder / "a" / "two"

    storage.write_once(one, b"1")
    storage.write_atomically(two, b"2")
    storage.write_atomically(two, b"22")
    listed = sorted(path.name for path in storage.files(folder / "a"))
    storage.remove(one)
    storage.remove(one)

    assert listed == ["one", "two"]
    assert storage.read(one) is None
    assert storage.read(two) == b"22"
    assert storage.files(folder / "a") == {two: 2}
    assert storage.files_below(folder) == {two: 2}
    assert storage.names(folder) == {"a"}
    assert storage.files(folder / "absent") == {}
    assert storage.files_below(folder / "absent") == {}
    assert storage.names(folder / "absent") == set()


def test_the_state_is_found_again(folder: Path) -> None:
    """Also from its copy."""
    earlier = Checkpoint(NOON_MS - 9 * HOUR_MS, NOON_MS - 2 * HOUR_MS, (), "all")
    later = Checkpoint(NOON_MS - 9 * HOUR_MS, NOON_MS, (Window(NOON_MS - HOUR_MS, NOON_MS),), "all")
    state = CheckpointStore(folder)
    first = state.load()
    state.save(earlier)
    state.save(later)

    found = CheckpointStore(folder).load()
    storage.write_once(folder / FILE_NAME, b"{")
    recovered = CheckpointStore(folder).load()

    assert first == Found(None)
    assert found.checkpoint == later
    assert recovered.checkpoint == earlier


def test_what_was_delivered_is_known_through_commits_compactions_and_forgetting(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the number of objects stays bounded."""
    monkeypatch.setattr(ledger_files, "MAX_UNCOMPACTED_FILES", 3)
    events = [event_at(NOON_MS + n % 2 * HOUR_MS + n, str(n)) for n in range(20)]
    ledger = Ledger(folder / "ledger")
    for event in events:
        recorded(ledger, events_of(event))
        ledger.commit()

    known, new = Ledger(folder / "ledger"), event_at(NOON_MS, "new")
    assert new_of(known, events_of(*events, new)) == events_of(new)
    assert known.count(NOON_MS, NOON_MS + 2 * HOUR_MS) == 20
    assert len(list(storage.files(folder / "ledger"))) <= 14
    known.forget_before(NOON_MS + HOUR_MS, [])
    for each in (known, Ledger(folder / "ledger")):
        assert each.count(NOON_MS + HOUR_MS, NOON_MS + 2 * HOUR_MS) == 10
        assert each.forgotten_ms == NOON_MS + HOUR_MS


def test_scopes_live_beside_each_other_on_s3(folder: Path) -> None:
    """A folder below is only a longer name there."""
    event = event_at(NOON_MS)
    for scope in ("one", "two"):
        ledger = Ledger(folder / "ledger", scope=scope)
        assert new_of(ledger, events_of(event)) == events_of(event)
        ledger.record(events_of(event), 0)
        ledger.commit()

    for scope in ("one", "two"):
        again = Ledger(folder / "ledger", scope=scope)
        assert new_of(again, events_of(event)) == events_of()
        assert again.count(NOON_MS, NOON_MS + 1) == 1


def test_a_write_whose_answer_was_lost_counts_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The object is there, and the next try replaces it."""
    one, two = event_at(NOON_MS, "1"), event_at(NOON_MS, "2")
    ledger, write_once = Ledger(folder / "ledger"), storage.write_once
    ledger.commit()

    def losing_the_answer(path: Path, content: bytes) -> None:
        write_once(path, content)
        raise StateUnavailable("no answer")

    recorded(ledger, events_of(one))
    with monkeypatch.context() as patch:
        patch.setattr(storage, "write_once", losing_the_answer)
        with pytest.raises(StateUnavailable):
            ledger.write()
    recorded(ledger, events_of(two))
    ledger.commit()

    assert Ledger(folder / "ledger").count(NOON_MS, NOON_MS + 1) == 2


@pytest.mark.parametrize("halfway", [False, True])
def test_a_crash_between_any_two_writes_loses_and_invents_nothing(
    folder: Path, halfway: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An upload that was cut short is noticed by its checksum."""
    monkeypatch.setattr(ledger_files, "MAX_UNCOMPACTED_FILES", 0)
    at, happened = 0, True
    while happened:
        at += 1
        place = folder / f"ledger-{halfway}-{at}"
        committed, fresh = event_at(NOON_MS, "committed"), event_at(NOON_MS, "fresh")
        ledger = Ledger(place)
        recorded(ledger, events_of(committed))
        ledger.commit()
        recorded(ledger, events_of(fresh))
        with BreakingDisk(at, crash=True, halfway=halfway) as disk:
            try:
                ledger.commit()
            except Crash:
                ledger = Ledger(place)
        happened = disk.happened

        again = Ledger(place)
        unknown = new_of(again, events_of(committed, fresh))
        assert unknown in (events_of(), events_of(fresh))
        assert again.count(NOON_MS, NOON_MS + HOUR_MS) == 2 - len(unknown)

    assert at > 2


def test_the_quarantine_keeps_events_and_names_them_after_a_restart(folder: Path) -> None:
    """Byte for byte."""
    event = event_at(NOON_MS)
    kept = Quarantine(Folder(folder / "quarantine")).keep(event, "x")

    names = list(Quarantine(Folder(folder / "quarantine")).kept())
    again = Quarantine(Folder(folder / "quarantine")).keep(event, "x")

    assert kept.path
    assert again.path == kept.path
    assert names == [kept.path.name]
    assert kept.path.read_bytes() == bytes(event.raw)


def test_a_storage_that_is_away_has_one_name_for_all_its_failures(
    folder: Path,
) -> None:
    """Whatever its client raises: all of it is waited for."""
    away, event = S3Path("/away"), event_at(NOON_MS)
    resource = boto3.resource(
        "s3", endpoint_url="http://127.0.0.1:9", config=Config(retries={"total_max_attempts": 1})
    )
    register_configuration_parameter(away, resource=resource)

    for act in (
        lambda: storage.write_once(away / "x", b"x"),
        lambda: storage.write_atomically(away / "x", b"x"),
        lambda: storage.read(away / "x"),
        lambda: storage.files(away / "x"),
        lambda: storage.files_below(away / "x"),
        lambda: storage.names(away / "x"),
        lambda: storage.remove(away / "x"),
        lambda: new_of(Ledger(away / "x"), events_of(event)),
        lambda: Quarantine(Folder(away / "q")).keep(event, "x"),
        lambda: CheckpointStore(away / "s").load(),
        lambda: CheckpointStore(away / "s").save(Checkpoint(0, 0)),
    ):
        with pytest.raises(StateUnavailable, match="object storage"):
            act()


def test_what_is_not_there_yet_is_no_failure(folder: Path) -> None:
    """A first start on an empty bucket begins."""
    event = event_at(NOON_MS)

    assert storage.read(folder / "absent") is None
    assert new_of(Ledger(folder / "l"), events_of(event)) == events_of(event)
    assert CheckpointStore(folder).load() == Found(None)
    assert Quarantine(Folder(folder / "q")).keep(event, "x").path is not None


def test_a_state_starts_over_on_s3_with_a_copy_of_what_was_there(folder: Path) -> None:
    """Document and ledger, each object of it."""
    CheckpointStore(folder).save(Checkpoint(NOON_MS, NOON_MS + HOUR_MS, scope="x"))
    ledger = Ledger(folder / "ledger", scope="x")
    ledger.record(events_of(event_at(NOON_MS)), NOON_MS)
    ledger.commit()

    kept = start_over(folder, NOON_MS, NOON_MS + 2 * HOUR_MS, again=True)
    (found,) = inspect(folder).streams

    assert found.found.checkpoint == Checkpoint(NOON_MS, NOON_MS)
    assert found.ledger.files == 0
    assert kept.document is not None
    assert kept.document.exists()
    assert kept.ledger is not None
    assert len(list(kept.ledger.iterdir())) == 2
    assert not inspect(folder / "none").streams[0].ledger.files
