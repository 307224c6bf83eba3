"""A server that speaks S3, and a folder on it."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from moto.s3.responses import S3Response
from moto.server import ThreadedMotoServer
from s3path import S3Path, register_configuration_parameter


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """Serve S3 on a free port; each write as one step, which moto's own look and write are not."""
    turn, put = threading.Lock(), S3Response.put_object

    def put_in_one_step(self: S3Response) -> Any:
        with turn:
            return put(self)

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(S3Response, "put_object", put_in_one_step)
        yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def folder(endpoint: str, tmp_path: Path) -> S3Path:
    """Return a path in a bucket of its own, with its client, as the SDK makes them."""
    session = boto3.Session("an-id", "a-secret", region_name="us-east-1")
    bucket = f"bucket-{abs(hash(tmp_path))}"
    resource = session.resource(
        "s3", endpoint_url=endpoint, config=Config(retries={"total_max_attempts": 1})
    )
    resource.create_bucket(Bucket=bucket)
    register_configuration_parameter(S3Path(f"/{bucket}"), resource=resource)
    return S3Path(f"/{bucket}/a/tenant")
