"""An emulated JumpCloud: events and what the API says about them, organizations, tokens.

One address plays the hosts of the events, of the console and of the tokens. Knows requests and
replies; knows no sockets.
"""

from __future__ import annotations

import gzip
import heapq
import json
import threading
from bisect import bisect_left, bisect_right
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import orjson

from sandbox.accounts import TOKEN_PATH, Tokens, listed
from sandbox.events import Event
from sandbox.faults import SORT_OVERRIDE, Faults
from sandbox.http import Reply, Request, RequestLog, json_reply, message_reply
from sandbox.instants import now_ms as clock_ms
from sandbox.instants import zoned_text
from sandbox.query import (
    Answers,
    Buckets,
    NotImitatedError,
    Paging,
    RefusedError,
    Span,
    read_buckets,
    read_paging,
    read_span,
)

API_KEY = "jca_sandbox_key_of_no_worth"
ORGANIZATION_ID = "5f0c1e2d3b4a59687766aa01"
"""The one that is reached where no organizations are named."""
_BASE_PATH = "/insights/directory/v1"
_CURSORS_KEPT = 20_000
_MANY = 1_000

Key = tuple[int, str]


class Shelf:
    """Events in the order of the index, findable by time and document id. Not thread-safe."""

    def __init__(self) -> None:
        self._keys: list[Key] = []
        self._events: list[Event] = []

    def __len__(self) -> int:
        return len(self._events)

    def add(self, events: Sequence[Event]) -> None:
        """Put events in their places: at the end at no cost, elsewhere a few at a time."""
        events = sorted(events, key=_key)
        if events and (not self._keys or _key(events[0]) > self._keys[-1]):
            self._events += events
            self._keys += map(_key, events)
            return
        if len(events) > _MANY:
            self._events = sorted([*self._events, *events], key=_key)
            self._keys = [_key(event) for event in self._events]
            return
        for event in events:
            place = bisect_right(self._keys, _key(event))
            self._keys.insert(place, _key(event))
            self._events.insert(place, event)

    def bounds(self, start_ms: int, end_ms: int | None) -> tuple[int, int]:
        """Find where `[start_ms, end_ms)` begins and ends."""
        low = bisect_left(self._keys, (start_ms,))
        high = len(self._keys) if end_ms is None else bisect_left(self._keys, (end_ms,))
        return low, max(low, high)

    def after(self, cursor: Key) -> int:
        """Find the first place behind a cursor."""
        return bisect_right(self._keys, cursor)

    def before(self, cursor: Key) -> int:
        """Find the end of the places in front of a cursor."""
        return bisect_left(self._keys, cursor)

    def events(self, low: int, high: int) -> list[Event]:
        """Copy a range of events."""
        return self._events[low:high]

    def groups(self, low: int, high: int, buckets: Buckets) -> Iterable[tuple[int, int, int]]:
        """Yield (bucket start in ms, low, high) of each bucket that holds events."""
        while low < high:
            since_ms = self._keys[low][0] - buckets.offset_ms
            start_ms = since_ms // buckets.width_ms * buckets.width_ms + buckets.offset_ms
            end = bisect_left(self._keys, (start_ms + buckets.width_ms,), low, high)
            yield start_ms, low, end
            low = end


class JumpCloud:
    """The state of JumpCloud around one key and one service account, and its answers.

    `organizations`: the ids that both reach, with their names or without. With several, a key has
    to name one (`x-org-id`); a service account has to anyway.
    """

    name = "jumpcloud"

    def __init__(
        self,
        events: Iterable[Event] = (),
        *,
        api_key: str = API_KEY,
        organizations: Iterable[str] | Mapping[str, str] = (),
        answers: Answers | None = None,
        now_ms: Callable[[], int] = clock_ms,
    ) -> None:
        self.api_key = api_key
        self.organizations = _named(organizations)
        self.tokens = Tokens(now_ms)
        self.forbidden_keys: set[str] = set()
        self.insights_enabled = True
        self.answers = answers or Answers()
        self.faults = Faults()
        self.requests = RequestLog()
        self.errors: list[str] = []
        self.url = ""
        self._now_ms = now_ms
        self._lock = threading.Lock()
        self._published: list[Event] = []
        self._digests: set[bytes] = set()
        self._waiting: list[tuple[int, int, Event]] = []
        self._shelf = Shelf()
        self._cursors: OrderedDict[str, set[bytes]] = OrderedDict()
        self._served = 0
        self.publish(events)

    def publish(self, events: Iterable[Event]) -> None:
        """Let events exist; each is returned from its `visible_ms` on."""
        arriving = list(events)
        digests = {event.digest() for event in arriving}
        now = self._now_ms()
        with self._lock:
            first = len(self._published)
            self._published.extend(arriving)
            self._digests |= digests
            self._shelf.add([event for event in arriving if event.visible_ms <= now])
            for number, event in enumerate(arriving, first):
                if event.visible_ms > now:
                    heapq.heappush(self._waiting, (event.visible_ms, number, event))

    @property
    def published(self) -> list[Event]:
        """List everything that was published, visible or not, in that order."""
        with self._lock:
            return list(self._published)

    def published_since(self, place: int) -> list[Event]:
        """List what was published from a place in its order on."""
        with self._lock:
            return self._published[place:]

    def holds(self, digest: bytes) -> bool:
        """Tell whether an event with these exact bytes was published."""
        return digest in self._digests

    def answer(self, request: Request) -> Reply:
        """Answer a request as the API would."""
        try:
            reply = self._route(request)
        except RefusedError as refusal:
            reply = message_reply(refusal.status, refusal.message)
        except NotImitatedError as gap:
            self.errors.append(f"jumpcloud {request.path}: {gap}")
            reply = message_reply(501, str(gap))
        return self._finish(request, reply)

    def _route(self, request: Request) -> Reply:
        if request.path == TOKEN_PATH:
            return self.tokens.answer(request)
        if request.path.partition("?")[0] == "/api/organizations":
            return self._list_organizations(request)
        routes = {
            f"{_BASE_PATH}/events": self._page,
            f"{_BASE_PATH}/events/count": self._count,
            f"{_BASE_PATH}/events/interval": self._interval,
            f"{_BASE_PATH}/events/distinct": self._distinct,
        }
        route = routes.get(request.path)
        if route is None:
            raise RefusedError(404, "Not Found")
        if request.method != "POST":
            raise RefusedError(405, "Method Not Allowed")
        self._admit(request)
        return route(request, _body(request))

    def _admit(self, request: Request) -> None:
        self._check_credentials(request)
        if not self.insights_enabled:
            raise RefusedError(402, "Directory Insights is not enabled for this organization")
        named = {part.strip() for part in request.headers.get("x-org-id", "").split(",")} - {""}
        must_name = "authorization" in request.headers or len(self.organizations) > 1
        if must_name and not named:
            raise RefusedError(401, "Unauthorized: no organization selected")
        if self.organizations and not named <= self.organizations.keys():
            raise RefusedError(400, "Bad Request: invalid organization id")

    def _check_credentials(self, request: Request) -> None:
        key, bearer = request.headers.get("x-api-key"), request.headers.get("authorization")
        if key in self.forbidden_keys:
            raise RefusedError(403, "Forbidden")
        if key is not None and bearer is not None:
            raise RefusedError(401, "Unauthorized")
        is_known = key == self.api_key if bearer is None else self.tokens.hold(bearer)
        if not is_known:
            raise RefusedError(401, "Unauthorized")

    def _list_organizations(self, request: Request) -> Reply:
        if request.method != "GET":
            raise RefusedError(405, "Method Not Allowed")
        self._check_credentials(request)
        if "x-org-id" in request.headers:
            raise RefusedError(403, "Forbidden")
        reached = self.organizations or {ORGANIZATION_ID: "Sandbox"}
        return json_reply(200, listed(reached, request.path.partition("?")[2]))

    def _page(self, request: Request, body: dict[str, Any]) -> Reply:
        span = read_span(body, self.answers, self._now_ms())
        paging = read_paging(body, self.answers)
        self._check_cursor(body)
        if request.headers.get(SORT_OVERRIDE) == "DESC":
            paging = replace(paging, sort="DESC")
        events = self._select(span, paging)
        text = b"[" + b",".join([event.text for event in events]) + b"]"
        if not events and self.answers.empty_page_body == "null":
            text = b"null"
        headers = {
            "X-Result-Count": str(len(events)),
            "X-Limit": str(paging.limit),
            "X-Sort": paging.sort,
        }
        cursor = self._next_cursor(events, body)
        if cursor is not None:
            headers["X-Search_after"] = cursor
        return Reply(200, text, headers, events=len(events))

    def _select(self, span: Span, paging: Paging) -> list[Event]:
        with self._lock:
            self._reveal()
            low, high = self._shelf.bounds(span.start_ms, span.end_ms)
            if paging.after and paging.sort == "ASC":
                low = max(low, self._shelf.after(paging.after))
            elif paging.after:
                high = min(high, self._shelf.before(paging.after))
            if span.is_everything and paging.sort == "ASC":
                return self._shelf.events(low, min(high, low + paging.limit))
            found = self._shelf.events(low, high)
        ordered = found if paging.sort == "ASC" else reversed(found)
        return list(islice((e for e in ordered if _wanted(e, span)), paging.limit))

    def _check_cursor(self, body: dict[str, Any]) -> None:
        cursor = body.get("search_after")
        if not cursor or not self.answers.strict_paging:
            return
        with self._lock:
            queries = self._cursors.get(orjson.dumps(cursor).decode())
        if queries is None:
            raise RefusedError(400, "search_after is not a cursor of this emulator")
        if _query(body) not in queries:
            raise RefusedError(400, "search_after belongs to another query")

    def _next_cursor(self, events: list[Event], body: dict[str, Any]) -> str | None:
        if not events:
            stale = body.get("search_after")
            if self.answers.empty_page_cursor == "stale" and stale:
                return orjson.dumps(stale).decode()
            return "" if self.answers.empty_page_cursor == "empty" else None
        last = events[-1]
        typed = self.answers.cursor_values == "typed"
        values = [last.time_ms if typed else str(last.time_ms), last.document_id]
        cursor = orjson.dumps(values).decode()
        with self._lock:
            self._cursors.setdefault(cursor, set()).add(_query(body))
            while len(self._cursors) > _CURSORS_KEPT:
                self._cursors.popitem(last=False)
        return cursor

    def _count(self, _request: Request, body: dict[str, Any]) -> Reply:
        span = read_span(body, self.answers, self._now_ms())
        with self._lock:
            self._reveal()
            low, high = self._shelf.bounds(span.start_ms, span.end_ms)
            return json_reply(200, {"count": self._counted(low, high, span)})

    def _interval(self, _request: Request, body: dict[str, Any]) -> Reply:
        span = read_span(body, self.answers, self._now_ms())
        buckets = read_buckets(body, span.start_ms)
        counts: dict[int, int] = {}
        with self._lock:
            self._reveal()
            low, high = self._shelf.bounds(span.start_ms, span.end_ms)
            for start_ms, first, last in self._shelf.groups(low, high, buckets):
                counts[start_ms] = self._counted(first, last, span)
        return json_reply(200, {"buckets": self._buckets(counts, buckets)})

    def _buckets(self, counts: dict[int, int], buckets: Buckets) -> list[dict[str, Any]]:
        filled = sorted(start_ms for start_ms, count in counts.items() if count)
        if filled and self.answers.empty_buckets == "listed":
            filled = list(range(filled[0], filled[-1] + 1, buckets.width_ms))
        if len(filled) > self.answers.max_buckets:
            raise RefusedError(500, "The query is too complex")
        return [
            {
                "key": start_ms,
                "key_as_string": zoned_text(start_ms, buckets.zone),
                "doc_count": counts.get(start_ms, 0),
            }
            for start_ms in filled
        ]

    def _distinct(self, _request: Request, body: dict[str, Any]) -> Reply:
        field = body.get("field")
        if not isinstance(field, str) or not field:
            raise RefusedError(400, "field is required")
        span = read_span(body, self.answers, self._now_ms())
        with self._lock:
            self._reveal()
            found = self._shelf.events(*self._shelf.bounds(span.start_ms, span.end_ms))
        values = Counter(_value(e, field) for e in found if _wanted(e, span))
        values.pop(None, None)
        ranked = [(str(value), count) for value, count in values.most_common()]
        if self.answers.distinct == "values":
            return json_reply(200, {field: [value for value, _ in ranked]})
        listed = [{"key": value, "doc_count": count} for value, count in ranked]
        shape = {"doc_count_error_upper_bound": 0, "sum_other_doc_count": 0, "buckets": listed}
        return json_reply(200, shape)

    def _counted(self, low: int, high: int, span: Span) -> int:
        if span.is_everything:
            return high - low
        return sum(1 for event in self._shelf.events(low, high) if _wanted(event, span))

    def _reveal(self) -> None:
        now, due = self._now_ms(), []
        while self._waiting and self._waiting[0][0] <= now:
            due.append(heapq.heappop(self._waiting)[2])
        if due:
            self._shelf.add(due)

    def _finish(self, request: Request, reply: Reply) -> Reply:
        with self._lock:
            self._served += 1
            headers = {**reply.headers, "X-Request-Id": f"{self._served:032x}"}
        accepts = request.headers.get("accept-encoding", "")
        if not self.answers.gzip or "gzip" not in accepts:
            return replace(reply, headers=headers)
        headers["Content-Encoding"] = "gzip"
        return replace(reply, headers=headers, body=gzip.compress(reply.body, 1))


def _named(organizations: Iterable[str] | Mapping[str, str]) -> dict[str, str]:
    if isinstance(organizations, Mapping):
        return dict(organizations)
    return {identifier: f"Organization {identifier}" for identifier in organizations}


def _key(event: Event) -> Key:
    return event.time_ms, event.document_id


def _wanted(event: Event, span: Span) -> bool:
    if span.services is not None and event.service not in span.services:
        return False
    return not span.excluded_types or _value(event, "event_type") not in span.excluded_types


def _body(request: Request) -> dict[str, Any]:
    try:
        body = request.json()
    except orjson.JSONDecodeError:
        raise RefusedError(400, "the body is not JSON") from None
    if not isinstance(body, dict):
        raise RefusedError(400, "the body is not a JSON object")
    return body


def _query(body: dict[str, Any]) -> bytes:
    bare = {key: value for key, value in body.items() if key != "search_after"}
    return orjson.dumps(bare, option=orjson.OPT_SORT_KEYS)


def _value(event: Event, field: str) -> str | None:
    """Return the value of a field of the event; a dot steps inside."""
    value = json.loads(event.text)
    for part in field.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return None if value is None else str(value)
