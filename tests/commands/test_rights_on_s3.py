"""The rights on S3 that the documents name, tried by the real process."""

import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest
import requests

from sandbox import Sandbox, make_event, wait_until
from sandbox.instants import now_ms
from tests.commands.test_run import self_hosted as running
from tests.process.scene import eventually, history
from tests.process.test_object_storage import BUCKET, _asks_again, _client, _of_its_own
from tests.shell import typed

SECURITY = Path(__file__).resolve().parents[2] / "docs/security.md"


def _policy() -> dict[str, Any]:
    """Return the policy that the document on security shows, for this bucket."""
    (shown,) = re.findall(r"```json\n(.*?)```", SECURITY.read_text(encoding="utf-8"), re.DOTALL)
    policy: dict[str, Any] = json.loads(shown.replace("my-bucket", BUCKET))
    return policy


@contextmanager
def _storage_that_checks(log: Path) -> Iterator[dict[str, str]]:
    """Serve S3 from a process of its own, since what it checks it checks for all of its servers.

    Yields the variables of a user who has the rights of `_policy` and no others.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    root = {
        "AWS_ACCESS_KEY_ID": "an-id",
        "AWS_SECRET_ACCESS_KEY": "a-secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_S3_ENDPOINT_URL": url,
    }
    command = [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(port)]
    with log.open("w") as said, subprocess.Popen(command, stdout=said, stderr=said) as server:
        try:
            assert wait_until(lambda: "Running on" in log.read_text(), 60)
            _client(root).create_bucket(Bucket=BUCKET)
            user = _user_with(_policy(), url)
            requests.post(f"{url}/moto-api/reset-auth", data=b"0", timeout=10).raise_for_status()
            yield root | user  # from here on it checks
        finally:
            server.kill()


def _user_with(policy: dict[str, Any], url: str) -> dict[str, str]:
    """Make a user who has these rights and no others, and return its keys as variables."""
    policy["Statement"][0].pop("Condition")  # unknown to the server: what was listed is compared
    iam = boto3.client(
        "iam",
        endpoint_url=url,
        aws_access_key_id="an-id",
        aws_secret_access_key="a-secret",
        region_name="us-east-1",
    )
    iam.create_user(UserName="collector")
    iam.put_user_policy(UserName="collector", PolicyName="state", PolicyDocument=json.dumps(policy))
    key = iam.create_access_key(UserName="collector")["AccessKey"]
    return {
        "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
    }


def _ended_after(
    sandbox: Sandbox, events: int, folder: Path, variables: dict[str, str]
) -> int | None:
    """Start the connector, stop it when so many events more have come, and return its status."""
    count = sandbox.intake.count
    with running(folder, **variables) as process:
        assert eventually(lambda: sandbox.intake.count >= count + events)
        process.send_signal(signal.SIGTERM)
        return process.wait(20)


def _listed(log: Path) -> set[str]:
    """Return the prefixes that were asked for, by what the server wrote."""
    asked = re.findall(rf"GET (/{BUCKET}\?\S*) HTTP", log.read_text())
    return {parse_qs(urlsplit(url).query).get("prefix", [""])[0] for url in asked}


def test_the_rights_that_the_documents_name_are_enough(tmp_path: Path) -> None:
    """To collect, to set aside, to be killed, to look and to start over."""
    log = tmp_path / "storage"
    too_large = make_event(now_ms() - 5_000, padding_bytes=300_000)
    with _storage_that_checks(log) as storage, Sandbox([*history(200), too_large]) as sandbox:
        variables = _of_its_own(sandbox, tmp_path, storage, "jumpcloud")
        with running(tmp_path, **variables) as process:
            assert eventually(lambda: sandbox.intake.count >= 200)
            _asks_again(sandbox)
            process.kill()
            process.wait()
        sandbox.jumpcloud.publish([make_event(now_ms())])
        ended = [_ended_after(sandbox, 1, tmp_path, variables)]
        again = typed("state", "reset", "--hours", "2", "--again", environment=variables)
        ended += [_ended_after(sandbox, 200, tmp_path, variables)]
        quarantine = typed("replay", "--list", environment=variables)
        client = _client(storage)
        with pytest.raises(client.exceptions.ClientError, match="AccessDenied"):
            client.put_object(Bucket=BUCKET, Key="elsewhere/context.json", Body=b"")
    listed, patterns = _listed(log), _policy()["Statement"][0]["Condition"]["StringLike"]

    assert ended == [0, 0]
    assert (again.status, quarantine.status) == (0, 0), again.err + quarantine.err
    assert "AccessDenied" not in (tmp_path / "output").read_text()
    assert "jumpcloud" in listed
    assert [
        name for name in listed if not any(fnmatchcase(name, p) for p in patterns["s3:prefix"])
    ] == []
