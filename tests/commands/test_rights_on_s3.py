"""The rights on S3 that the documents name, tried by the real process."""

import json
import re
import signal
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.core.authorization import enable_iam_authentication
from moto.s3.responses import S3Response

from sandbox import Sandbox, make_event
from sandbox.instants import now_ms
from tests.commands.test_run import self_hosted as running
from tests.process.scene import eventually, history
from tests.process.test_object_storage import BUCKET, _asks_again, _client, _of_its_own, _storage
from tests.shell import typed

SECURITY = Path(__file__).resolve().parents[2] / "docs/security.md"


def _policy() -> dict[str, Any]:
    """Return the policy that the document on security shows, for this bucket."""
    (shown,) = re.findall(r"```json\n(.*?)```", SECURITY.read_text(encoding="utf-8"), re.DOTALL)
    policy: dict[str, Any] = json.loads(shown.replace("my-bucket", BUCKET))
    return policy


def _user_with(policy: dict[str, Any], storage: dict[str, str]) -> dict[str, str]:
    """Make a user who has these rights and no others, and return its keys as variables."""
    iam = boto3.client(
        "iam",
        endpoint_url=storage["AWS_S3_ENDPOINT_URL"],
        aws_access_key_id="an-id",
        aws_secret_access_key="a-secret",
        region_name="us-east-1",
    )  # of the same server, which tells them apart by the signature
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


def test_the_rights_that_the_documents_name_are_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To collect, to set aside, to be killed, to look and to start over.

    The emulated storage checks actions and folders. Of what may be listed it knows nothing, so that
    is compared here.
    """
    policy = _policy()
    patterns = policy["Statement"][0].pop("Condition")["StringLike"]["s3:prefix"]
    listed: set[str] = set()
    authorize = S3Response._authenticate_and_authorize_s3_action

    def noting(self: S3Response, bucket_name: str, key_name: str | None = None) -> None:
        if key_name is None and self.method == "GET":
            listed.add(self.querystring.get("prefix", [""])[0])
        authorize(self, bucket_name, key_name)

    monkeypatch.setattr(S3Response, "_authenticate_and_authorize_s3_action", noting)
    too_large = make_event(now_ms() - 5_000, padding_bytes=300_000)
    with _storage() as storage, Sandbox([*history(200), too_large]) as sandbox:
        allowed = _user_with(policy, storage)
        with enable_iam_authentication():
            variables = _of_its_own(sandbox, tmp_path, storage | allowed, "jumpcloud")
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
            client = _client(storage | allowed)
            with pytest.raises(client.exceptions.ClientError, match="AccessDenied"):
                client.put_object(Bucket=BUCKET, Key="elsewhere/context.json", Body=b"")
        told = (tmp_path / "output").read_text()

        assert ended == [0, 0]
        assert (again.status, quarantine.status) == (0, 0), again.err + quarantine.err
        assert "AccessDenied" not in told
        assert "jumpcloud" in listed
        assert [name for name in listed if not any(fnmatchcase(name, p) for p in patterns)] == []
