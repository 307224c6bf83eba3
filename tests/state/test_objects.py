"""What the state asks of S3, counted, and what becomes of it where S3 fails."""

import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from moto.s3.responses import S3Response
from s3path import S3Path, register_configuration_parameter
from sekoia_automation.storage import PersistentJSON

from jumpcloud_modules.checkpoint import Checkpoint
from jumpcloud_modules.errors import StateUnavailable
from jumpcloud_modules.intake.quarantine import Quarantine
from jumpcloud_modules.state import objects, storage
from jumpcloud_modules.state.checkpoint_store import (
    COPY_EVERY_SECONDS,
    FILE_NAME,
    CheckpointStore,
)
from jumpcloud_modules.state.folder import Folder
from jumpcloud_modules.state.inspection import inspect
from jumpcloud_modules.state.lease_terms import USUAL
from jumpcloud_modules.state.ledger import Ledger
from tests.doubles import NOON_MS, event_at, events_of, new_of, recorded
from tests.state.pretences import Clock, client_of

UNAVAILABLE: tuple[int, dict[str, str], bytes] = (
    503,
    {},
    b"<Error><Code>SlowDown</Code><Message>Reduce your rate</Message></Error>",
)


def _counted(folder: S3Path, act: Callable[[], object]) -> Counter[str]:
    """Return what was sent to the storage meanwhile, by what was asked for."""
    sent: Counter[str] = Counter()

    def count(event_name: str, **_: object) -> None:
        sent[event_name.rpartition(".")[2]] += 1

    events = client_of(folder).meta.events
    events.register("before-send.s3", count)
    try:
        act()
    finally:
        events.unregister("before-send.s3", count)
    return sent


class _State:
    """A ledger and a checkpoint, committed as a poll does."""

    def __init__(self, folder: S3Path) -> None:
        self.clock = Clock()
        self.ledger = Ledger(folder / "ledger")
        self.store = CheckpointStore(folder, self.clock)
        self._polls = 0

    def commit(self) -> None:
        self._polls += 1
        at_ms = NOON_MS + self._polls
        recorded(self.ledger, events_of(event_at(at_ms, str(self._polls))))
        self.ledger.commit()
        self.store.save(Checkpoint(NOON_MS, at_ms))


def test_a_commit_is_one_write_for_each_file(folder: S3Path) -> None:
    """The ledger's and the checkpoint's; at most once a minute the copy of the one before."""
    state = _State(folder)
    begun = _counted(folder, state.commit)
    with_the_copy = _counted(folder, state.commit)
    usual = _counted(folder, state.commit)
    state.clock.now += COPY_EVERY_SECONDS
    a_minute_later = _counted(folder, state.commit)

    assert begun == {"GetObject": 2, "ListObjectsV2": 1, "PutObject": 3}
    assert with_the_copy == a_minute_later == {"PutObject": 3}
    assert usual == {"PutObject": 2}


def test_a_start_a_look_and_the_quarantine_ask_no_more_than_they_need(folder: S3Path) -> None:
    """One read for each file, and one list for each folder."""
    state = _State(folder)
    for _ in range(2):
        state.commit()
    quarantine = Quarantine(Folder(folder / "quarantine"), Folder(folder / "reasons"))

    first = _counted(folder, lambda: quarantine.keep(event_at(NOON_MS, "1"), "x"))
    second = _counted(folder, lambda: quarantine.keep(event_at(NOON_MS, "2"), "x"))
    counted = _counted(folder, lambda: Quarantine(Folder(folder / "quarantine")).kept())
    started = _counted(folder, lambda: CheckpointStore(folder).load())
    loaded = _counted(folder, lambda: Ledger(folder / "ledger").is_missing())
    looked = _counted(folder, lambda: inspect(folder))

    assert first == {"ListObjectsV2": 1, "PutObject": 2}
    assert second == {"PutObject": 2}
    assert counted == {"ListObjectsV2": 1}
    assert started == {"GetObject": 2}
    assert loaded == {"ListObjectsV2": 1, "GetObject": 1 + 2}
    assert looked == {"ListObjectsV2": 3, "GetObject": 3}


def test_a_folder_of_more_objects_than_one_answer_names_is_listed_whole(folder: S3Path) -> None:
    """A thousand in an answer; here two."""
    names = {"a/1", "a/2", "a/b/3", "a/b/4", "a/c/5", "a/6", "a/7"}
    for name in names:
        storage.write_once(folder / name, name.encode())

    def two_at_a_time(params: dict[str, Any], **_: object) -> dict[str, Any]:
        return {**params, "MaxKeys": 2}

    event = "provide-client-params.s3.ListObjectsV2"
    client_of(folder).meta.events.register(event, two_at_a_time)
    sent = _counted(folder, lambda: storage.files_below(folder))

    assert sent == {"ListObjectsV2": 4}
    assert storage.files_below(folder) == {folder / name: len(name) for name in names}
    assert storage.files(folder / "a") == {folder / f"a/{n}": 3 for n in (1, 2, 6, 7)}
    assert storage.names(folder / "a") == {"1", "2", "6", "7", "b", "c"}
    assert storage.names(folder) == {"a"}


def test_a_whole_bucket_may_be_the_folder(folder: S3Path) -> None:
    """`DATA_DIR=s3://bucket`."""
    bucket = folder.parent.parent
    storage.write_once(bucket / FILE_NAME, b"{}")
    storage.write_once(bucket / "ledger" / "about.json", b"{}")

    assert storage.names(bucket) == {FILE_NAME, "ledger"}
    assert storage.files(bucket) == {bucket / FILE_NAME: 2}


def test_what_earlier_versions_and_consoles_left_is_no_file(folder: S3Path) -> None:
    """A name for what was never finished, and an object that shows an empty folder."""
    storage.write_once(folder / "ledger" / "journal-1", b"x")
    storage.write_once(folder / "ledger" / "about.json.unfinished", b"y")
    client_of(folder).put_object(Bucket=folder.bucket, Key=f"{folder.key}/ledger/", Body=b"")

    assert storage.files(folder / "ledger") == {folder / "ledger" / "journal-1": 1}
    assert len(storage.files_below(folder)) == 1


def test_the_state_that_version_182_left_on_s3_is_taken_over(folder: S3Path) -> None:
    """It was written in parts, by the SDK."""
    with PersistentJSON(Path(FILE_NAME), folder) as context:
        context["most_recent_date_seen"] = "2026-11-21T11:00:00Z"

    found = CheckpointStore(folder).load()

    assert found.is_takeover
    assert "1.8.2" in found.message


# A storage that fails


def _failing(monkeypatch: pytest.MonkeyPatch, method: str, times: int) -> None:
    """Have a storage be too busy for so many requests of a kind."""
    answer = getattr(S3Response, method)
    left = iter(range(times))

    def busy(self: S3Response) -> Any:
        return answer(self) if next(left, None) is None else UNAVAILABLE

    monkeypatch.setattr(S3Response, method, busy)


@pytest.fixture
def bounded(folder: S3Path) -> S3Path:
    """Return a path whose client has the bounds of the product."""
    session = boto3.Session("an-id", "a-secret", region_name="us-east-1")
    url = client_of(folder).meta.endpoint_url
    resource = session.resource("s3", endpoint_url=url, config=objects.BOUNDS)
    register_configuration_parameter(S3Path(f"/{folder.bucket}"), resource=resource)
    return folder


def test_one_answer_that_the_storage_is_busy_is_not_told(
    bounded: S3Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Amazon's S3 gives some now and then."""
    _failing(monkeypatch, "put_object", 1)

    storage.write_once(bounded / "file", b"x")

    assert storage.read(bounded / "file") == b"x"


def test_a_storage_that_is_busy_for_a_while_loses_nothing(
    bounded: S3Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What could not be committed is committed later, once."""
    state = _State(bounded)
    state.commit()
    with monkeypatch.context() as patch:
        _failing(patch, "put_object", 10)
        with pytest.raises(StateUnavailable, match=r"\(ClientError: .*SlowDown.*object storage"):
            state.commit()
    state.commit()

    again = Ledger(bounded / "ledger")
    assert again.count(NOON_MS, NOON_MS + 4) == 3
    found = CheckpointStore(bounded).load().checkpoint
    assert found is not None
    assert found.watermark_ms == NOON_MS + 3


def test_a_storage_that_is_silent_is_given_up_in_time() -> None:
    """With each of its tries, and well before a lease would lapse."""
    times = objects.TRIES * (objects.SECONDS_TO_CONNECT + objects.SECONDS_TO_ANSWER)
    impatient = objects.BOUNDS.merge(Config(read_timeout=0.2))
    session = boto3.Session("an-id", "a-secret", region_name="us-east-1")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        resource = session.resource("s3", endpoint_url=url, config=impatient)
        register_configuration_parameter(S3Path("/silent"), resource=resource)
        began = time.monotonic()
        with pytest.raises(StateUnavailable, match="ReadTimeoutError"):
            storage.read(S3Path("/silent/file"))
        took = time.monotonic() - began

    assert times <= USUAL.trusted_seconds
    assert objects.TRIES * 0.2 <= took < 5


def test_a_bucket_that_disappears_is_waited_for_and_neither_empty_nor_made_anew(
    folder: S3Path,
) -> None:
    """As if nothing had been delivered, all would be delivered again."""
    state = _State(folder)
    state.commit()
    client, bucket = client_of(folder), folder.bucket
    for path in storage.files_below(folder):
        storage.remove(path)
    client.delete_bucket(Bucket=bucket)
    event = event_at(NOON_MS)

    for act in (
        state.commit,
        lambda: storage.read(folder / FILE_NAME),
        lambda: storage.write_atomically(folder / FILE_NAME, b"x"),
        lambda: storage.files(folder),
        lambda: storage.files_below(folder),
        lambda: storage.names(folder),
        lambda: storage.remove(folder / FILE_NAME),
        lambda: CheckpointStore(folder).load(),
        lambda: new_of(Ledger(folder / "ledger"), events_of(event)),
    ):
        with pytest.raises(StateUnavailable, match="NoSuchBucket"):
            act()
    assert bucket not in [found["Name"] for found in client.list_buckets()["Buckets"]]

    client.create_bucket(Bucket=bucket)
    state.commit()
    assert Ledger(folder / "ledger").count(NOON_MS, NOON_MS + 4) == 2


def test_a_file_is_whole_whenever_it_is_read(folder: S3Path) -> None:
    """While it is written again and again, one content or the other."""
    path, contents = folder / "file", {b"a" * 50_000, b"b" * 70_000}
    storage.write_atomically(path, b"a" * 50_000)
    is_over = threading.Event()

    def write() -> None:
        while not is_over.is_set():
            for content in contents:
                storage.write_atomically(path, content)

    writer = threading.Thread(target=write)
    writer.start()
    read = {storage.read(path) for _ in range(100)}
    is_over.set()
    writer.join()

    assert read <= contents


def test_what_went_wrong_is_told_without_the_credentials(folder: S3Path) -> None:
    """Nor what is in the address."""
    session = boto3.Session("an-id-of-ours", "a-secret-of-ours", region_name="us-east-1")
    resource = session.resource(
        "s3", endpoint_url="http://user:hush@127.0.0.1:9", config=objects.BOUNDS
    )
    register_configuration_parameter(away := S3Path("/told"), resource=resource)

    with pytest.raises(StateUnavailable) as raised:
        storage.write_once(away / "file", b"x")

    assert "127.0.0.1:9" in str(raised.value)
    assert not any(part in str(raised.value) for part in ("ours", "hush"))
