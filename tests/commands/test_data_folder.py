"""What DATA_DIR names: a folder of a disk, or one in a bucket, which is looked at beforehand."""

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from s3path import S3Path

from jumpcloud_modules.commands import data_folder
from jumpcloud_modules.commands.module_json import ConfigurationError
from tests.process.test_object_storage import BUCKET, _storage

READ_BY_BOTO3 = {
    "AWS_ACCESS_KEY_ID": "an-id",
    "AWS_SECRET_ACCESS_KEY": "a-secret",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_MAX_ATTEMPTS": "1",
    "AWS_EC2_METADATA_DISABLED": "true",  # no test asks another machine
}
NOBODY = "http://127.0.0.1:9"
"""Nothing listens there."""


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set what boto3 reads by itself."""
    for name, value in READ_BY_BOTO3.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def variables() -> Iterator[dict[str, str]]:
    """Serve S3, and return the variable that names it."""
    with _storage() as of_the_storage:
        yield {"AWS_S3_ENDPOINT_URL": of_the_storage["AWS_S3_ENDPOINT_URL"]}


@pytest.mark.parametrize(
    ("environment", "named", "found"),
    [
        ({}, None, Path("data").absolute()),
        ({"DATA_DIR": ""}, None, Path("data").absolute()),
        ({"DATA_DIR": "/var/lib/jumpcloud"}, None, Path("/var/lib/jumpcloud")),
        ({"DATA_DIR": "/var/lib/jumpcloud"}, "rescue", Path("rescue").absolute()),
    ],
)
def test_a_folder_of_a_disk_is_found_by_its_path(
    environment: dict[str, str], named: str | None, found: Path
) -> None:
    """What is named goes before the variable, and the variable before the default."""
    assert data_folder.find(environment, named) == found


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("s3://bucket", "/bucket"),
        ("s3://bucket/", "/bucket"),
        ("s3://bucket/jumpcloud/acme/", "/bucket/jumpcloud/acme"),
    ],
)
def test_a_folder_of_a_bucket_is_found_without_asking_it(name: str, found: str) -> None:
    """So a command without the state needs no storage."""
    folder = data_folder.find({"DATA_DIR": name, "AWS_S3_ENDPOINT_URL": NOBODY})

    assert isinstance(folder, S3Path)
    assert str(folder) == found


@pytest.mark.parametrize("name", ["s3://", "s3:///folder", "s3://a//b", "s3://a/../b", "s3://./a"])
def test_what_names_no_bucket_is_told_with_the_form(name: str) -> None:
    """`..` would lead to another bucket."""
    with pytest.raises(ConfigurationError, match=r"no place on S3; give s3://bucket/folder\."):
        data_folder.find({"DATA_DIR": name})


@pytest.mark.parametrize("url", ["http://minio.test:9000", "minio.test", "ftp://minio.test"])
def test_a_storage_is_asked_over_https_only(url: str) -> None:
    """But for one of this machine itself."""
    with pytest.raises(ConfigurationError, match="AWS_S3_ENDPOINT_URL is no https:// address"):
        data_folder.find({"DATA_DIR": "s3://bucket", "AWS_S3_ENDPOINT_URL": url})


def test_an_endpoint_that_is_no_address_is_told() -> None:
    """As boto3 says it."""
    environment = {"DATA_DIR": "s3://bucket", "AWS_S3_ENDPOINT_URL": "https://:x y/"}

    with pytest.raises(ConfigurationError, match=r"S3 cannot be used: .*; correct the AWS_…"):
        data_folder.find(environment)


def test_a_folder_of_a_disk_is_made_for_this_user_alone(tmp_path: Path) -> None:
    """One that is there stays as it is."""
    new, old = tmp_path / "new" / "data", tmp_path / "old"
    old.mkdir(mode=0o755)

    data_folder.make(new)
    data_folder.make(old)

    assert stat.S_IMODE(new.stat().st_mode) == 0o700
    assert stat.S_IMODE(old.stat().st_mode) == 0o755


def test_a_bucket_that_can_be_listed_will_do(variables: dict[str, str]) -> None:
    """The folder in it need not be there; it comes with its first file."""
    folder = data_folder.find({"DATA_DIR": f"s3://{BUCKET}/new", **variables})

    data_folder.make(folder)

    assert not folder.exists()


@pytest.mark.parametrize(
    ("name", "said"),
    [("s3://no-such-bucket/a", "404 NoSuchBucket"), ("s3://no such one", "Invalid bucket name")],
)
def test_a_bucket_that_is_not_there_is_told(
    variables: dict[str, str], name: str, said: str
) -> None:
    """In one line, with what to check; it is not made."""
    folder = data_folder.find({"DATA_DIR": name, **variables})

    with pytest.raises(ConfigurationError, match=r"^The bucket .* cannot be used") as told:
        data_folder.make(folder)

    assert said in str(told.value)
    assert "\n" not in str(told.value)


def test_a_storage_that_does_not_answer_is_waited_for_later() -> None:
    """It says nothing against the configuration."""
    folder = data_folder.find({"DATA_DIR": "s3://away/a", "AWS_S3_ENDPOINT_URL": NOBODY})

    data_folder.make(folder)


def test_a_start_without_credentials_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A storage that is asked without them would answer the same for ever."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    folder = data_folder.find({"DATA_DIR": "s3://closed/a", "AWS_S3_ENDPOINT_URL": NOBODY})

    with pytest.raises(
        ConfigurationError, match=r"\(Unable to locate credentials\); check its name"
    ):
        data_folder.make(folder)
