"""The real process with its state on S3, as the platform runs it, and self-hosted."""

import random
import re
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3
from moto.server import ThreadedMotoServer

from jumpcloud_modules.queries import PAGES_IN_MEMORY
from sandbox import Sandbox, make_event
from sandbox.connector import ConnectorProcess, Settings, wait_for_health
from sandbox.instants import now_ms
from tests import leaks
from tests.commands.test_run import self_hosted as running
from tests.leaks import Channel
from tests.process.scene import PATIENCE_SECONDS, Scene, eventually, history
from tests.shell import self_hosted, typed

KILLS, PAGE = 3, 20
BUCKET = "connector-data"


@contextmanager
def _storage() -> Iterator[dict[str, str]]:
    """Serve S3, and yield the SDK's variables for it."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    variables = {
        "FILE_BACKEND": "S3",
        "SUB_FOLDER": "a/tenant",
        "AWS_BUCKET_NAME": BUCKET,
        "AWS_ACCESS_KEY_ID": "an-id",
        "AWS_SECRET_ACCESS_KEY": "a-secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_S3_ENDPOINT_URL": f"http://{host}:{port}",
    }
    _client(variables).create_bucket(Bucket=BUCKET)
    try:
        yield variables
    finally:
        _note_what_is_kept(variables)
        server.stop()


def _note_what_is_kept(variables: dict[str, str]) -> None:
    """Have the objects looked through after the test, as the files of a disk are.

    Tests that run meanwhile share the bucket: an object of theirs may be gone by now.
    """
    client = _client(variables)
    for found in client.list_objects(Bucket=BUCKET).get("Contents", ()):
        key = found["Key"]
        try:
            content = client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        except client.exceptions.NoSuchKey:
            continue
        is_aside = f"/{leaks.QUARANTINE}/" in key
        leaks.watch().channels.append(Channel(f"the object {key}", content, is_aside))


def _client(variables: dict[str, str]):  # type: ignore[no-untyped-def]  # boto3 has no types
    return boto3.client(
        "s3",
        endpoint_url=variables["AWS_S3_ENDPOINT_URL"],
        aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
        region_name="us-east-1",
    )


def test_the_state_on_s3_survives_kills_and_stops() -> None:
    """Nothing is lost, and repeated is at most what was in flight at a kill."""
    chance = random.Random(3)
    with (
        _storage() as variables,
        Sandbox(history(6_000)) as sandbox,
        ConnectorProcess(
            sandbox.addresses, Settings(chunk_size=PAGE), environment=variables
        ) as connector,
    ):
        on = Scene(sandbox, connector)
        for _ in range(KILLS):
            on.sees(lambda: sandbox.intake.count, sandbox.intake.count + chance.randrange(1, 300))
            time.sleep(chance.uniform(0, 0.2))
            connector.kill()
            connector.start()
        wait_for_health(connector, PATIENCE_SECONDS)
        on.loses_nothing()
        stopped = connector.stop(timeout_seconds=10)
        connector.start()
        sandbox.jumpcloud.publish([make_event(now_ms()), make_event(now_ms() - 3_000_000)])
        on.loses_nothing()
        on.polls(2)
        names = _names(variables)
        verdict = sandbox.verdict()

        assert stopped == 0
        assert (verdict.lost, verdict.altered, verdict.foreign) == (0, 0, 0)
        assert verdict.duplicated <= KILLS * PAGES_IN_MEMORY * PAGE
        assert any(name.endswith("context.json") for name in names)
        assert not list(connector.data_folder.iterdir())
        assert eventually(lambda: on.told("delivered"), PATIENCE_SECONDS)


def _names(variables: dict[str, str]) -> list[str]:
    return [found["Key"] for found in _client(variables).list_objects(Bucket=BUCKET)["Contents"]]


def _of_its_own(
    sandbox: Sandbox, folder: Path, storage: dict[str, str], data_dir: str
) -> dict[str, str]:
    """Return the variables of a self-hosted connector: the bucket stands in DATA_DIR alone."""
    for_the_sdk = {"FILE_BACKEND", "SUB_FOLDER", "AWS_BUCKET_NAME"}
    of_s3 = {name: value for name, value in storage.items() if name not in for_the_sdk}
    return self_hosted(
        sandbox,
        folder,
        **of_s3,
        DATA_DIR=f"s3://{BUCKET}/{data_dir}",
        FREQUENCY="1",
        LOG_LEVEL="debug",
    )


def _delivers_all(sandbox: Sandbox) -> None:
    published = len(sandbox.jumpcloud.published)
    assert eventually(lambda: sandbox.intake.count >= published), sandbox.verdict().table()


def _asks_again(sandbox: Sandbox) -> None:
    """Wait until it has polled anew, so that what came before is committed."""
    asked = sandbox.jumpcloud.requests.arrivals()
    assert eventually(lambda: sandbox.jumpcloud.requests.arrivals() > asked + 4)


def test_self_hosted_it_keeps_its_state_in_the_bucket_that_data_dir_names() -> None:
    """A kill repeats nothing that was committed, and the commands read the state there."""
    with (
        tempfile.TemporaryDirectory() as name,
        _storage() as storage,
        Sandbox(history(300)) as sandbox,
    ):
        folder = Path(name)
        variables = _of_its_own(sandbox, folder, storage, "self/hosted")
        with running(folder, **variables) as process:
            _delivers_all(sandbox)
            _asks_again(sandbox)
            while_it_ran = typed("status", "--json", environment=variables).document
            process.kill()
            process.wait()
        sandbox.jumpcloud.publish(history(50, seed=2))
        with running(folder, **variables) as process:
            _delivers_all(sandbox)
            process.send_signal(signal.SIGTERM)
            stopped = process.wait(20)
        shown = typed("state", "show", "--json", environment=variables).document
        afterwards = typed("status", "--json", environment=variables).document

        assert sandbox.verdict().clean, sandbox.verdict().table()
        assert stopped == 0
        assert not re.search("smart_open|botocore", (folder / "output").read_text())
        assert "self/hosted/context.json" in _names(storage)
        assert [status["folder"] for status in (while_it_ran, afterwards, shown)] == [
            f"/{BUCKET}/self/hosted"
        ] * 3
        assert shown["streams"][0]["progress"]
        assert afterwards["state"] == "stopped"
