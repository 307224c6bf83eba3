"""What the tests of owners pretend with: clocks, and storages that fail or do less than S3."""

import hashlib
import io
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from s3path import S3Path, configuration_map, register_configuration_parameter

from jumpcloud_modules.state.lease_terms import Terms
from tests.doubles import NOON_MS

QUIET = Terms(renew_every=timedelta(hours=1))
"""The terms of the product, but that nothing is renewed beside the test."""


def now_ms() -> int:
    """Return the instant for a record."""
    return NOON_MS


def ignore(text: str) -> None:
    """Say nothing."""


@dataclass
class Clock:
    """A clock that passes when it is told to."""

    now: float = 1_000.0

    def __call__(self) -> float:
        """Return the seconds."""
        return self.now


@dataclass
class Looks(threading.Event):
    """A stop event whose waits let a clock pass; it is set after `stop_after` seconds."""

    clock: Clock
    stop_after: float = 1e9
    waited: float = 0.0
    between: list[Callable[[], object]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def wait(self, timeout: float | None = None) -> bool:
        """Let the time pass at once, and do what is to be done meanwhile."""
        self.clock.now += timeout or 0.0
        self.waited += timeout or 0.0
        for act in self.between:
            act()
        if self.waited >= self.stop_after:
            self.set()
        return self.is_set()


def client_of(folder: S3Path) -> Any:
    """Return the client that a path is read and written by."""
    return configuration_map.get_configuration(folder)[0].meta.client


def without_conditions(folder: S3Path, monkeypatch: pytest.MonkeyPatch, unable: str) -> None:
    """Have a storage ignore conditions, or refuse them."""
    client = client_of(folder)
    put = client.put_object
    refused = {"ignores": set(), "refuses": {"IfMatch", "IfNoneMatch"}}.get(unable, {unable[-7:]})

    def put_plainly(**arguments: Any) -> Any:
        if refused & arguments.keys():
            status = {"HTTPStatusCode": 501}
            raise ClientError(
                {"Error": {"Code": "NotImplemented"}, "ResponseMetadata": status}, "PutObject"
            )
        names = arguments.keys() - {"IfMatch", "IfNoneMatch"}
        return put(**{name: arguments[name] for name in names})

    monkeypatch.setattr(client, "put_object", put_plainly)


def unreachable(**_: object) -> None:
    """Fail like a storage that is away."""
    raise ConnectionError("unreachable")


class FakeS3:
    """The client of a storage in memory that heeds conditions, and counts what it is asked for.

    `before` and `after` are called with each request, around what it does.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.objects: dict[str, tuple[bytes, float]] = {}
        self.requests: Counter[str] = Counter()
        self.is_heeding = True
        self.before: Callable[[str], None] = lambda _: None
        self.after: Callable[[str], None] = lambda _: None
        self.exceptions = SimpleNamespace(ClientError=ClientError)
        self._clock = clock

    def serve(self, bucket: str) -> S3Path:
        """Answer for a bucket from now on, and return its path."""
        resource = SimpleNamespace(meta=SimpleNamespace(client=self))
        register_configuration_parameter(S3Path(f"/{bucket}"), resource=resource)
        return S3Path(f"/{bucket}")

    def get_object(self, **asked: str) -> Any:
        """Answer with an object."""
        return self._asked("GET", asked["Key"], lambda: self._get(asked["Key"]))

    def put_object(self, **asked: Any) -> Any:
        """Replace an object where it is as the conditions say."""
        return self._asked("PUT", asked["Key"], lambda: self._put(**asked))

    def list_objects_v2(self, **asked: str) -> Any:
        """Name the objects below a folder."""
        return self._asked("LIST", asked["Prefix"], lambda: self._list(asked["Prefix"]))

    def delete_object(self, **asked: str) -> None:
        """Remove an object, if it is there."""
        self._asked("DELETE", asked["Key"], lambda: self.objects.pop(asked["Key"], None))

    def _asked(self, verb: str, key: str, do: Callable[[], Any]) -> Any:
        self.requests[verb] += 1
        self.before(key)
        answer = do()
        self.after(key)
        return answer

    def _get(self, key: str) -> dict[str, Any]:
        if key not in self.objects:
            raise _refusal("NoSuchKey", 404)
        content, written = self.objects[key]
        return {
            "Body": io.BytesIO(content),
            "ETag": _etag(content),
            "LastModified": _instant(written),
            **self._headers(),
        }

    def _put(self, **asked: Any) -> dict[str, Any]:
        key, etag = asked["Key"], asked.get("IfMatch")
        found = self.objects.get(key)
        if self.is_heeding and etag and found is None:
            raise _refusal("NoSuchKey", 404)
        if (
            self.is_heeding
            and found
            and (asked.get("IfNoneMatch") or etag not in (None, _etag(found[0])))
        ):
            raise _refusal("PreconditionFailed", 412)
        self.objects[key] = asked["Body"], self._clock()
        return {"ETag": _etag(asked["Body"])}

    def _list(self, prefix: str) -> dict[str, Any]:
        found = [
            {"Key": key, "LastModified": _instant(written)}
            for key, (_, written) in self.objects.items()
            if key.startswith(prefix)
        ]
        return {"Contents": found, **self._headers()}

    def _headers(self) -> dict[str, Any]:
        date = format_datetime(_instant(self._clock()), usegmt=True)
        return {"ResponseMetadata": {"HTTPHeaders": {"date": date}}}


def _etag(content: bytes) -> str:
    return f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'


def _instant(seconds: float) -> datetime:
    return datetime.fromtimestamp(int(NOON_MS / 1000 + seconds), UTC)


def _refusal(code: str, status: int) -> ClientError:
    answer = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "PutObject")
