"""The real process with its state on S3, as the platform runs it."""

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager

import boto3
from moto.server import ThreadedMotoServer

from jumpcloud_modules.queries import PAGES_IN_MEMORY
from sandbox import Sandbox, make_event
from sandbox.connector import ConnectorProcess, Settings, wait_for_health
from sandbox.instants import now_ms
from tests import leaks
from tests.leaks import Channel
from tests.process.scene import PATIENCE_SECONDS, Scene, eventually, history

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
        aws_access_key_id="an-id",
        aws_secret_access_key="a-secret",
        region_name="us-east-1",
    )


def test_the_state_on_s3_survives_kills_and_stops() -> None:
    """Nothing is lost, and repeated is at most what was in flight at a kill."""
    chance = random.Random(3)
    with (
        _storage() as variables,
        Sandbox(history(1_500)) as sandbox,
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
        names = [o["Key"] for o in _client(variables).list_objects(Bucket=BUCKET)["Contents"]]
        verdict = sandbox.verdict()

        assert stopped == 0
        assert (verdict.lost, verdict.altered, verdict.foreign) == (0, 0, 0)
        assert verdict.duplicated <= KILLS * PAGES_IN_MEMORY * PAGE
        assert any(name.endswith("context.json") for name in names)
        assert not list(connector.data_folder.iterdir())
        assert eventually(lambda: on.told("delivered"), PATIENCE_SECONDS)
