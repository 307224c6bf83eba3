"""Objects on S3: each is whole or absent, and is written by one request and read by one.

Paths say where an object is, and which client asks for it: the SDK, or whoever made the path,
registered that with its endpoint and keys. All that the state asks of S3 is asked here. Errors are
those of the client. A write that was given up may still arrive later than the next one. Knows
nothing of what the objects hold.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Final

from botocore.config import Config
from s3path import S3Path, configuration_map

SECONDS_TO_CONNECT: Final = 5
"""Less than botocore's 60, in which a lease would lapse"""
SECONDS_TO_ANSWER: Final = 10
"""Without a byte of an answer from S3: a lease is renewed anew before it is doubted"""
TRIES: Final = 2
"""Of one request to S3, the second for a connection that broke; who asked waits and asks again"""
MAX_CONNECTIONS: Final = 50
"""Kept open to S3: more than botocore's 10, for each thread that commits takes one"""
BOUNDS: Final = Config(
    connect_timeout=SECONDS_TO_CONNECT,
    read_timeout=SECONDS_TO_ANSWER,
    retries={"total_max_attempts": TRIES, "mode": "standard"},
    max_pool_connections=MAX_CONNECTIONS,
)
"""For whoever makes a client: none can be given to one that there is."""
_ABSENT = frozenset({"NoSuchKey", "404"})


@dataclass(frozen=True, slots=True)
class Stored:
    """Hold what the object was: its age is by the storage's own clock, whole seconds."""

    content: bytes
    etag: str
    age: timedelta


def client_of(path: S3Path) -> Any:
    """Return the client that was registered for a path."""
    return configuration_map.get_configuration(path)[0].meta.client


def read(path: S3Path) -> Stored | None:
    """Return an object, None where there is none."""
    client = client_of(path)
    try:
        answer = client.get_object(Bucket=path.bucket, Key=path.key)
    except client.exceptions.ClientError as error:
        # A bucket that is missing is no object that is missing: all would begin anew.
        if is_of_absence(error):
            return None
        raise
    return Stored(answer["Body"].read(), answer["ETag"], _age(answer, answer["LastModified"]))


def write(path: S3Path, content: bytes, **condition: str) -> str:
    """Replace an object, or make it, and return its ETag."""
    client = client_of(path)
    answer = client.put_object(Bucket=path.bucket, Key=path.key, Body=content, **condition)
    return str(answer["ETag"])


def remove(path: S3Path) -> None:
    """Delete an object, if it is there."""
    client_of(path).delete_object(Bucket=path.bucket, Key=path.key)


def within(folder: S3Path) -> tuple[dict[Path, int], set[str]]:
    """Return the objects right below a folder with their sizes, and the names of folders there."""
    prefix, sizes, folders = _prefix(folder), dict[Path, int](), set[str]()
    for answer in _listings(folder, Delimiter="/"):
        sizes |= _sizes(folder, answer)
        below = (found["Prefix"] for found in answer.get("CommonPrefixes", ()))
        folders |= {name.removeprefix(prefix).rstrip("/") for name in below}
    return sizes, folders


def below(folder: S3Path) -> dict[Path, int]:
    """Return all objects below a folder, and below the folders in it, with their sizes."""
    sizes = dict[Path, int]()
    for answer in _listings(folder):
        sizes |= _sizes(folder, answer)
    return sizes


def unchanged(folder: S3Path, for_as_long: timedelta) -> list[S3Path]:
    """Return objects below a folder, of the first thousand, that nobody wrote for so long."""
    answer = next(_listings(folder))
    return [
        _path(folder, found)
        for found in answer.get("Contents", ())
        if _age(answer, found["LastModified"]) >= for_as_long
    ]


def is_of_absence(error: Any) -> bool:
    """Tell whether a client's error says that there is no such object."""
    return str(error.response.get("Error", {}).get("Code")) in _ABSENT


def _listings(folder: S3Path, **how: str) -> Iterator[dict[str, Any]]:
    """Ask for what begins with a folder's name, a thousand names at a time."""
    asked = {"Bucket": folder.bucket, "Prefix": _prefix(folder), **how}
    while True:
        answer = client_of(folder).list_objects_v2(**asked)
        yield answer
        if not answer.get("IsTruncated"):
            return
        asked["ContinuationToken"] = answer["NextContinuationToken"]


def _prefix(folder: S3Path) -> str:
    return f"{folder.key}/" if folder.key else ""


def _sizes(folder: S3Path, answer: dict[str, Any]) -> dict[Path, int]:
    return {
        _path(folder, found): found["Size"]
        for found in answer.get("Contents", ())
        if not found["Key"].endswith("/")  # what a console makes to show an empty folder
    }


def _path(folder: S3Path, found: dict[str, Any]) -> S3Path:
    return S3Path(f"/{folder.bucket}/{found['Key']}")


def _age(answer: dict[str, Any], written: datetime) -> timedelta:
    """Compare two readings of the storage's clock, never with one of this machine's."""
    date = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
    return parsedate_to_datetime(date) - written if date else timedelta()
