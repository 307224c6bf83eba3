"""One small object on S3, written only where it still is what its writer read.

Two writers that read the same object cannot both replace it: the storage refuses the second
(`If-Match`, `If-None-Match`). Where a storage ignores such conditions, the object is read before
each write, which leaves a gap. Knows nothing of leases.
"""

from datetime import timedelta
from typing import Any

from s3path import S3Path

from jumpcloud_modules.state import objects, storage
from jumpcloud_modules.state.objects import Stored

REFUSED_STATUSES = (409, 412)
UNKNOWN_CONDITION = ("NotImplemented", "InvalidArgument", "InvalidRequest")
REMOVED_AT_ONCE = 100
"""Old objects that one sweep removes, at most: it is in the way of what begins."""
SOME_OTHER_ETAG = '"00000000000000000000000000000000"'


class LeaseObject:
    """Read and write one object; each of its methods raises StateUnavailable."""

    def __init__(self, path: S3Path) -> None:
        self.path = path
        self.is_conditional = True
        self._errors: Any = objects.client_of(path).exceptions

    def read(self) -> Stored | None:
        """Return the object, None where there is none."""
        with storage.unavailable_unless("read", self.path):
            return objects.read(self.path)

    def write(self, content: bytes, etag: str | None) -> str | None:
        """Replace the object that has this ETag, or with None make the first one.

        Return the new ETag, or None where the object is another one by now.
        """
        with storage.unavailable_unless("written", self.path):
            if not self.is_conditional:
                return self._write_after_a_look(content, etag)
            try:
                return self._put_where(content, etag)
            except self._errors.ClientError as error:
                if not _is_unknown_condition(error):
                    raise
            written = self._write_after_a_look(content, etag)
            self.is_conditional = False
            return written

    def try_conditions(self, content: bytes) -> None:
        """Find out whether conditions are heeded: write what stands there under false ones."""
        with storage.unavailable_unless("written", self.path):
            # Both kinds are tried: a storage may heed one of them only.
            conditions = (SOME_OTHER_ETAG, None)
            self.is_conditional = self.is_conditional and all(
                self._is_refused(content, etag) for etag in conditions
            )

    def _is_refused(self, content: bytes, etag: str | None) -> bool:
        try:
            return self._put_where(content, etag) is None
        except self._errors.ClientError as error:
            if _is_unknown_condition(error):
                return False
            raise

    def _put_where(self, content: bytes, etag: str | None) -> str | None:
        condition = {"IfMatch": etag} if etag else {"IfNoneMatch": "*"}
        try:
            return objects.write(self.path, content, **condition)
        except self._errors.ClientError as error:
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            # 409 is a clash with a write at the same moment, and 404 an object that was removed: in
            # each case it is no longer what was read.
            if status in REFUSED_STATUSES or objects.is_of_absence(error):
                return None
            raise

    def _write_after_a_look(self, content: bytes, etag: str | None) -> str | None:
        found = self.read()
        if (found.etag if found else None) != etag:
            return None
        return objects.write(self.path, content)


def remove_unchanged(folder: S3Path, for_as_long: timedelta) -> None:
    """Remove objects of a folder that nobody wrote for so long, by the storage's own clock.

    Of the first thousand, as one request names them, at most a hundred. Raises StateUnavailable.
    """
    with storage.unavailable_unless("listed", folder):
        for path in objects.unchanged(folder, for_as_long)[:REMOVED_AT_ONCE]:
            objects.remove(path)


def _code(error: Any) -> str:
    return str(error.response.get("Error", {}).get("Code"))


def _is_unknown_condition(error: Any) -> bool:
    status = error.response["ResponseMetadata"]["HTTPStatusCode"]
    return status == 501 or (status == 400 and _code(error) in UNKNOWN_CONDITION)
