"""The folder for the state: what DATA_DIR names, on a disk or in an S3 bucket.

On S3 the keys, a role, the region and the like are found as boto3 finds them: in AWS_* variables,
in files that they name, or by asking the machine. AWS_S3_ENDPOINT_URL, as on Sekoia's platform,
names a storage that is not Amazon's. Knows nothing of what is in the folder.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final

import boto3
from botocore import exceptions
from s3path import S3Path, register_configuration_parameter

from jumpcloud_modules.commands.module_json import ConfigurationError
from jumpcloud_modules.http.loopback import is_private
from jumpcloud_modules.state import objects

ON_S3: Final = "s3://"
DEFAULT: Final = "data"
MAY_PASS: Final = frozenset({408, 429})
UNREACHED: Final = (exceptions.HTTPClientError, exceptions.ConnectionError)
"""What botocore raises while a storage cannot be reached; of a bad name or key it raises others."""


def find(environment: Mapping[str, str], named: str | None = None) -> Path:
    """Return the folder that is named, or else the one of DATA_DIR, or else ./data.

    Nothing is made, and no storage asked. Raises ConfigurationError.
    """
    name = named or environment.get("DATA_DIR") or DEFAULT
    if not name.startswith(ON_S3):
        return Path(name).absolute()
    parts = name.removeprefix(ON_S3).rstrip("/").split("/")
    if {"", ".", ".."}.intersection(parts):
        raise ConfigurationError(f"{name} is no place on S3; give s3://bucket/folder.")
    return _bucket(parts[0], environment.get("AWS_S3_ENDPOINT_URL") or None).joinpath(*parts[1:])


def make(folder: Path) -> None:
    """Make a folder of a disk for this user alone; see whether one on S3 can be used.

    One that is there stays as it is. A storage that does not answer is no fault: collecting waits
    for it. Raises ConfigurationError.
    """
    if isinstance(folder, S3Path):
        _try(folder)
        return
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"The folder for the state, {folder}, cannot be made: {error.strerror};"
            " name another in DATA_DIR."
        ) from None


@cache  # each has a client of its own, with its connections
def _bucket(name: str, endpoint_url: str | None) -> S3Path:
    try:
        if endpoint_url and not is_private(endpoint_url):
            raise ConfigurationError(
                "AWS_S3_ENDPOINT_URL is no https:// address, and the network must not see what the"
                " quarantine holds; give one."
            )
        resource = boto3.Session().resource("s3", endpoint_url=endpoint_url, config=objects.BOUNDS)
    except (exceptions.BotoCoreError, ValueError) as error:
        raise ConfigurationError(
            f"S3 cannot be used: {error}; correct the AWS_… variables."
        ) from None
    bucket = S3Path(f"/{name}")
    register_configuration_parameter(bucket, resource=resource)
    return bucket


def _try(folder: S3Path) -> None:
    try:
        objects.client_of(folder).list_objects_v2(
            Bucket=folder.bucket, Prefix=folder.key, MaxKeys=1
        )
    except UNREACHED:
        return
    except exceptions.ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        if status in MAY_PASS or status >= 500:
            return
        raise _unusable(folder, f"{status} {error.response['Error']['Code']}") from None
    except exceptions.BotoCoreError as error:
        raise _unusable(folder, " ".join(str(error).split()).rstrip(".")) from None


def _unusable(folder: S3Path, reason: str) -> ConfigurationError:
    return ConfigurationError(
        f"The bucket {folder.bucket} that DATA_DIR names cannot be used ({reason}); check its name,"
        " AWS_S3_ENDPOINT_URL, the credentials and their rights."
    )
