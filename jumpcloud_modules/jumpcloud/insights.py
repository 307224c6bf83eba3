"""JumpCloud Directory Insights: a page of events, counts by bucket.

Every answer is checked against what the API promises; a broken promise is an error, never a skip.
Knows nothing of what was delivered, and tries each request once: the caller tries again.
"""

import copy
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any, TypeGuard

import orjson
import requests

from jumpcloud_modules import events
from jumpcloud_modules.errors import PageTooLarge, Refused, TryAgain
from jumpcloud_modules.events import UNDATED, Events
from jumpcloud_modules.instants import to_ms, to_rfc3339
from jumpcloud_modules.jumpcloud.client import END, Client
from jumpcloud_modules.jumpcloud.exclusion import Exclusion
from jumpcloud_modules.queries import UNIT_MS, Cursor, Page, Query, Unit, time_ms_of

BASE_PATH = "/insights/directory/v1"
MAX_PAGE_BYTES = 6 << 20
"""A larger page is asked for in halves."""
MAX_SINGLE_EVENT_BYTES = 256 << 20
MAX_COUNTS_BYTES = 16 << 20
_DISORDER_TOLERANCE_MS = 1000

SERVICES = (
    "access_certification",
    "access_management",
    "adbridge_user",
    "ai_admin",
    "aigw",
    "alerts",
    "asset_management",
    "di_events",
    "directory",
    "genai",
    "ldap",
    "mdm",
    "notifications",
    "object_storage",
    "pam",
    "password_manager",
    "password_vault",
    "radius",
    "reports",
    "saas_app_management",
    "software",
    "sso",
    "systems",
    "workflows",
)
"""JumpCloud's services as far as they are known; the list grows, and may name one too many."""


class OpenPage:
    """Hold a page whose headers are in, and whose body is still to be read.

    `cursor` leads to the next page, as far as the headers tell: None where there is none.
    """

    def __init__(
        self, answer: requests.Response, query: Query, client: Client, exclusion: Exclusion
    ) -> None:
        headers = answer.headers
        self._answer = answer
        self._query = query
        self._client = client
        self._exclusion = exclusion
        if headers.get("X-Sort", "ASC").strip().upper() == "DESC":
            raise self._broken_promise("the page is sorted DESC although ASC was asked for")
        self._count = _integer(headers.get("X-Result-Count"))
        cursor = _read_cursor(headers.get("X-Search_after"))
        self._limit = _effective_limit(headers.get("X-Limit"), query.limit, cursor)
        # A page that is not full is the last one, even where it has a cursor.
        may_follow = self._count is None or self._count >= self._limit
        self.cursor = cursor if may_follow else None

    def read(self, now_ms: int) -> Page:
        """Read the body, check it against what the API promises, and cut it into events.

        Raises TryAgain or PageTooLarge.
        """
        # One event alone cannot be asked for in halves, so it may be large.
        max_bytes = MAX_PAGE_BYTES if self._query.limit > 1 else MAX_SINGLE_EVENT_BYTES
        with self._answer:
            text = self._client.read(self._answer, max_bytes)
        try:
            found = events.cut(text)
        except (ValueError, RecursionError):
            raise self._broken_promise("the body is no JSON array") from None
        self._exclusion.check(text, found.events)
        return self._checked(found, len(text), now_ms)

    def close(self) -> None:
        """Leave the body unread."""
        self._answer.close()

    def _checked(self, found: events.Cut, size_bytes: int, now_ms: int) -> Page:
        count = len(found.events) + len(found.non_objects)
        if self._count not in (None, count):
            raise self._broken_promise(
                f"X-Result-Count says {self._count}, the page holds {count} events"
            )
        if _descends(found.events, self._query, now_ms):
            raise self._broken_promise(
                "the events are in descending order although ASC was asked for"
            )
        more = count > 0 and count >= self._limit
        cursor = self.cursor if more else None
        # Or the same page would be read for ever.
        if cursor is not None and not _moved(cursor, self._query.cursor):
            raise self._broken_promise("the cursor X-Search_after did not move on")
        position_ms = _position_ms(found.events, self.cursor, self._query, now_ms)
        if more and cursor is None and (position_ms or 0) <= self._query.start_ms:
            raise self._broken_promise("a full page came without a cursor in X-Search_after")
        return Page(found.events, found.non_objects, more, cursor, position_ms, size_bytes)

    def _broken_promise(self, what: str) -> TryAgain:
        return TryAgain(
            f"JumpCloud broke a promise of its API: {what}. Nothing of the page was used.",
            burdened=True,
            end=END,
            request=_request("/events"),
            request_id=self._client.request_id(self._answer),
        )


class JumpCloudApi:
    """Speak to one organisation's Directory Insights."""

    def __init__(
        self, client: Client, services: Sequence[str], exclusion: Exclusion | None = None
    ) -> None:
        self._client = client
        self._services = list(services)
        self._exclusion = exclusion or Exclusion()

    def asking_for(self, services: Sequence[str]) -> "JumpCloudApi":
        """Return one that asks for other services, over the same connections."""
        other = copy.copy(self)
        other._services = list(services)  # noqa: SLF001 -- its own class
        return other

    def open(self, query: Query) -> OpenPage:
        """Ask for a page and return as soon as its headers are in.

        Raises TryAgain or Refused.
        """
        body: dict[str, Any] = {"limit": query.limit, "sort": "ASC"}
        if query.cursor is not None:
            body["search_after"] = query.cursor
        answer = self._post("/events", query.start_ms, query.end_ms, body)
        try:
            return OpenPage(answer, query, self._client, self._exclusion)
        # Otherwise its connection is taken until the garbage collector finds it.
        except TryAgain:
            answer.close()
            raise

    def count(self, start_ms: int, end_ms: int | None) -> int:
        """Return how many events JumpCloud holds in a span, which `end_ms` None leaves open."""
        answer = self._post("/events/count", start_ms, end_ms, {})
        with answer:
            document = self._json_object(answer, "/events/count")
        count = document.get("count")
        if not _is_count(count):
            raise self._unusable(answer, "/events/count", "without a count")
        return count

    def buckets(self, start_ms: int, end_ms: int, unit: Unit) -> dict[int, int]:
        """Return how many events JumpCloud holds, by minute or hour of epoch milliseconds.

        The first and last bucket count only what lies in the span. Empty buckets may be absent.
        """
        asked = {"interval_unit": unit, "interval_value": "1"}
        answer = self._post("/events/interval", start_ms, end_ms, asked)
        with answer:
            document = self._json_object(answer, "/events/interval")
        found = document.get("buckets", "absent")
        if found is None:
            found = []
        span_ms = range(start_ms - UNIT_MS[unit], end_ms + UNIT_MS[unit])
        if not isinstance(found, list) or not all(_is_bucket(b, span_ms) for b in found):
            raise self._unusable(answer, "/events/interval", "with something else than buckets")
        return {int(bucket["key"]): bucket["doc_count"] for bucket in found}

    def distinct(self, field: str, start_ms: int, end_ms: int) -> dict[str, int | None]:
        """Return the values that a field has in a span, each with its count where that is told.

        Documented is a list of buckets; a tool of JumpCloud's own reads a list of bare values.
        """
        path = "/events/distinct"
        with self._post(path, start_ms, end_ms, {"field": field}) as answer:
            document = self._json_object(answer, path)
        values, buckets = document.get(field), document.get("buckets")
        if isinstance(values, list):
            return {str(value): None for value in values}
        if not isinstance(buckets, list) or not all(_is_value(bucket) for bucket in buckets):
            said = "JumpCloud answered /events/distinct with neither buckets nor values."
            raise TryAgain(said, end=END, request=_request(path))
        counts: Counter[str] = Counter()
        for bucket in buckets:
            counts[str(bucket["key"])] += bucket["doc_count"]
        return dict(counts)

    def _post(
        self, path: str, start_ms: int, end_ms: int | None, more: dict[str, Any]
    ) -> requests.Response:
        body: dict[str, Any] = {"service": self._services, "start_time": to_rfc3339(start_ms)}
        if end_ms is not None:
            body["end_time"] = to_rfc3339(end_ms)
        body |= more
        condition = self._condition(path)
        try:
            return self._asked(path, body, condition)
        except Refused as error:
            if error.status != 400 or not self._exclusion.refused(condition):
                raise
            return self._asked(path, body, self._condition(path))

    def _asked(
        self, path: str, body: dict[str, Any], condition: dict[str, Any]
    ) -> requests.Response:
        answer = self._client.post(BASE_PATH + path, orjson.dumps(body | condition))
        self._exclusion.worked(condition)
        return answer

    def _condition(self, path: str) -> dict[str, Any]:
        return self._exclusion.of_pages if path == "/events" else self._exclusion.of_counts

    def _json_object(self, answer: requests.Response, path: str) -> dict[str, Any]:
        try:
            text = self._client.read(answer, MAX_COUNTS_BYTES)
        except PageTooLarge as error:
            raise TryAgain(
                f"{error} in answer to {path}.",
                burdened=True,
                end=END,
                request=_request(path),
                request_id=error.request_id,
            ) from None
        try:
            document = orjson.loads(text)
        except ValueError:
            raise self._unusable(answer, path, "with something else than JSON") from None
        if not isinstance(document, dict):
            raise self._unusable(answer, path, "with something else than an object")
        return document

    def _unusable(self, answer: requests.Response, path: str, how: str) -> TryAgain:
        return TryAgain(
            f"JumpCloud answered {path} {how}.",
            end=END,
            request=_request(path),
            request_id=self._client.request_id(answer),
        )


def _effective_limit(stated: str | None, asked: int, cursor: Cursor | None) -> int:
    """Return how many events make a page a full one.

    JumpCloud may apply a lower limit than was asked for; where it does not say which, any page
    with a cursor counts as full, and an empty one ends the reading.
    """
    limit = _integer(stated)
    if limit and limit > 0:
        return min(limit, asked)
    return 1 if cursor else asked


def _descends(found: Events, query: Query, now_ms: int) -> bool:
    """Tell whether a page is sorted in descending order; one wrong time is not enough to say so."""
    first_ms = next(_times_within(found.times, query, now_ms), 0)
    last_ms = next(_times_within(reversed(found.times), query, now_ms), 0)
    if first_ms <= last_ms + _DISORDER_TOLERANCE_MS:
        return False
    times = _times_within(found.times, query, now_ms)
    return all(earlier >= later for earlier, later in pairwise(times))


def _position_ms(found: Events, cursor: Cursor | None, query: Query, now_ms: int) -> int | None:
    """Return the earlier of the last event's time and the cursor's, and never later than now."""
    last_ms = next(_times_within(reversed(found.times), query, now_ms), None)
    cursor_ms = time_ms_of(cursor)
    if last_ms is None or cursor_ms is None:
        return last_ms
    return max(query.start_ms, min(last_ms, cursor_ms))


def _times_within(times: Iterable[datetime], query: Query, now_ms: int) -> Iterator[int]:
    """Yield the times that lie in the span that was asked for; JumpCloud sorts others elsewhere."""
    latest_ms = now_ms if query.end_ms is None else min(now_ms, query.end_ms - 1)
    for time in times:
        if time != UNDATED and query.start_ms <= (time_ms := to_ms(time)) <= latest_ms:
            yield time_ms


def _moved(cursor: Cursor, before: Cursor | None) -> bool:
    """Tell whether a cursor is not where it was, nor earlier; its hidden id has no known order."""
    is_earlier = (time_ms_of(cursor) or 0) < (time_ms_of(before) or 0)
    return cursor != before and not is_earlier


def _read_cursor(header: str | None) -> Cursor | None:
    try:
        cursor = orjson.loads(header or "null")
    except ValueError:
        return None
    return cursor if isinstance(cursor, list) and cursor else None


def _integer(header: str | None) -> int | None:
    try:
        return int(header or "")
    except ValueError:
        return None


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_bucket(bucket: object, span_ms: range) -> bool:
    """Tell whether it counts, and lies where it was asked for: in another unit it would not."""
    if not isinstance(bucket, dict) or not _is_count(bucket.get("doc_count")):
        return False
    key = bucket.get("key")
    # JSON has one kind of number, so a key may come as 1.7e12.
    return isinstance(key, int | float) and span_ms.start <= key < span_ms.stop


def _is_value(bucket: object) -> bool:
    """Tell whether it names a value and counts it."""
    return isinstance(bucket, dict) and "key" in bucket and _is_count(bucket.get("doc_count"))


def _request(path: str) -> str:
    return f"POST {BASE_PATH}{path}"
