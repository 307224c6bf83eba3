"""An emulated JumpCloud: events and what the API says about them, organizations, tokens.

One address plays the hosts of the events, of the console and of the tokens. Knows requests and
replies; knows no sockets.
"""

from __future__ import annotations

import gzip
import json
import threading
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any

import orjson

from sandbox.accounts import TOKEN_PATH, Tokens, listed
from sandbox.events import Event
from sandbox.faults import SORT_OVERRIDE, Faults
from sandbox.http import Reply, Request, RequestLog, json_reply, message_reply
from sandbox.index import Index, Shelf
from sandbox.instants import now_ms as clock_ms
from sandbox.instants import zoned_text
from sandbox.organizations import Organization, as_organizations
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


class JumpCloud:
    """The state of JumpCloud, and its answers.

    `organizations`: the names of those that there are, by their ids; without any there is one,
    which answers by whatever id. `keys`: further API keys, and the ids that each reaches. The
    `api_key` and the service account reach those that no further key does. Who reaches several
    has to name one (`x-org-id`); a service account has to anyway.

    An event that names no organization belongs to `home`: the first that there was.
    """

    name = "jumpcloud"

    def __init__(
        self,
        events: Iterable[Event] = (),
        *,
        api_key: str = API_KEY,
        organizations: Iterable[str | Organization] | Mapping[str, str] = (),
        keys: Mapping[str, Iterable[str]] | None = None,
        answers: Answers | None = None,
        now_ms: Callable[[], int] = clock_ms,
    ) -> None:
        self.api_key = api_key
        self.organizations: dict[str, str] = {}
        self.home = ORGANIZATION_ID
        self.keys = {key: set(reached) for key, reached in (keys or {}).items()}
        self.tokens = Tokens(now_ms)
        self.forbidden_keys: set[str] = set()  # answered with 403
        self.refused_keys: set[str] = set()  # answered with 401, as after they expired
        self.insights_enabled = True
        self.answers = answers or Answers()
        self.faults = Faults(organization_of=self.organization_of)
        self.requests = RequestLog()
        self.errors: list[str] = []
        self.url = ""
        self._now_ms = now_ms
        self._lock = threading.Lock()
        self._published: list[Event] = []
        self._digests: set[bytes] = set()
        self._indexes: defaultdict[str, Index] = defaultdict(Index)
        self._cursors: OrderedDict[str, set[bytes]] = OrderedDict()
        self._served = 0
        for organization in as_organizations(organizations):
            self.add(organization)
        self.publish(events)

    def add(self, organization: Organization) -> None:
        """Let an organization exist, with its key if it has one."""
        with self._lock:
            if not self.organizations:
                self._indexes[organization.id] = self._indexes.pop(self.home, Index())
                self.home = organization.id
            self.organizations[organization.id] = organization.name
        if organization.api_key:
            self.keys.setdefault(organization.api_key, set()).add(organization.id)

    def publish(self, events: Iterable[Event]) -> None:
        """Let events exist; each is returned to its organization from its `visible_ms` on."""
        arriving = list(events)
        digests = {event.digest() for event in arriving}
        by_organization: defaultdict[str, list[Event]] = defaultdict(list)
        for event in arriving:
            by_organization[self.owner_of(event)].append(event)
        now = self._now_ms()
        with self._lock:
            self._published.extend(arriving)
            self._digests |= digests
            for organization, its in by_organization.items():
                self._indexes[organization].add(its, now)

    def owner_of(self, event: Event) -> str:
        """Return the id of the organization that an event belongs to."""
        return event.organization or self.home if self.organizations else self.home

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
        return route(self._admit(request), request, _body(request))

    def organization_of(self, request: Request) -> str:
        """Return the id of the organization that a request is about, whether it is let in or not.

        It is empty where that is none.
        """
        if request.path.partition("?")[0] in (TOKEN_PATH, "/api/organizations"):
            return ""
        if named := request.headers.get("x-org-id", "").strip():
            return named if self.organizations else self.home
        reached = self._reached(request)
        return next(iter(reached), self.home) if len(reached) < 2 else ""

    def _admit(self, request: Request) -> str:
        """Return the organization that is asked about. Raises RefusedError."""
        self._check_credentials(request)
        if not self.insights_enabled:
            raise RefusedError(402, "Directory Insights is not enabled for this organization")
        named = {part.strip() for part in request.headers.get("x-org-id", "").split(",")} - {""}
        reached = self._reached(request)
        must_name = "authorization" in request.headers or len(reached) > 1
        if must_name and not named:
            raise RefusedError(401, "Unauthorized: no organization selected")
        if not self.organizations:
            return self.home
        if not named <= reached.keys():
            raise RefusedError(400, "Bad Request: invalid organization id")
        if len(named) > 1:
            raise NotImitatedError("the emulator answers about one organization at a time")
        return next(iter(named or reached))

    def _check_credentials(self, request: Request) -> None:
        key, bearer = request.headers.get("x-api-key"), request.headers.get("authorization")
        if key in self.forbidden_keys:
            raise RefusedError(403, "Forbidden")
        if (key is not None and bearer is not None) or key in self.refused_keys:
            raise RefusedError(401, "Unauthorized")
        is_key = key == self.api_key or key in self.keys
        if not (is_key if bearer is None else self.tokens.hold(bearer)):
            raise RefusedError(401, "Unauthorized")

    def _reached(self, request: Request) -> Mapping[str, str]:
        """Return the names of the organizations that credentials reach, by their ids."""
        own = self.keys.get(request.headers.get("x-api-key", ""))
        if own is not None:
            return {identifier: self.organizations.get(identifier, "") for identifier in own}
        if not self.keys:
            return self.organizations
        elsewhere = set().union(*self.keys.values())
        return {i: name for i, name in self.organizations.items() if i not in elsewhere}

    def _list_organizations(self, request: Request) -> Reply:
        if request.method != "GET":
            raise RefusedError(405, "Method Not Allowed")
        self._check_credentials(request)
        if "x-org-id" in request.headers:
            raise RefusedError(403, "Forbidden")
        reached = self._reached(request) if self.organizations else {self.home: "Sandbox"}
        return json_reply(200, listed(reached, request.path.partition("?")[2]))

    def _page(self, organization: str, request: Request, body: dict[str, Any]) -> Reply:
        span = read_span(body, self.answers, self._now_ms())
        paging = read_paging(body, self.answers)
        query = _query(organization, body)
        self._check_cursor(query, body)
        if request.headers.get(SORT_OVERRIDE) == "DESC":
            paging = replace(paging, sort="DESC")
        events = self._select(organization, span, paging)
        text = b"[" + b",".join([event.text for event in events]) + b"]"
        if not events and self.answers.empty_page_body == "null":
            text = b"null"
        headers = {
            "X-Result-Count": str(len(events)),
            "X-Limit": str(paging.limit),
            "X-Sort": paging.sort,
        }
        cursor = self._next_cursor(events, query, body)
        if cursor is not None:
            headers["X-Search_after"] = cursor
        return Reply(200, text, headers, events=len(events))

    def _select(self, organization: str, span: Span, paging: Paging) -> list[Event]:
        with self._lock:
            shelf = self._shelf(organization)
            low, high = shelf.bounds(span.start_ms, span.end_ms)
            if paging.after and paging.sort == "ASC":
                low = max(low, shelf.after(paging.after))
            elif paging.after:
                high = min(high, shelf.before(paging.after))
            if span.is_everything and paging.sort == "ASC":
                return shelf.events(low, min(high, low + paging.limit))
            found = shelf.events(low, high)
        ordered = found if paging.sort == "ASC" else reversed(found)
        return list(islice((e for e in ordered if _wanted(e, span)), paging.limit))

    def _check_cursor(self, query: bytes, body: dict[str, Any]) -> None:
        cursor = body.get("search_after")
        if not cursor or not self.answers.strict_paging:
            return
        with self._lock:
            queries = self._cursors.get(orjson.dumps(cursor).decode())
        if queries is None:
            raise RefusedError(400, "search_after is not a cursor of this emulator")
        if query not in queries:
            raise RefusedError(400, "search_after belongs to another query")

    def _next_cursor(self, events: list[Event], query: bytes, body: dict[str, Any]) -> str | None:
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
            self._cursors.setdefault(cursor, set()).add(query)
            while len(self._cursors) > _CURSORS_KEPT:
                self._cursors.popitem(last=False)
        return cursor

    def _count(self, organization: str, _request: Request, body: dict[str, Any]) -> Reply:
        span = read_span(body, self.answers, self._now_ms())
        with self._lock:
            shelf = self._shelf(organization)
            count = _counted(shelf, *shelf.bounds(span.start_ms, span.end_ms), span)
        return json_reply(200, {"count": count})

    def _interval(self, organization: str, _request: Request, body: dict[str, Any]) -> Reply:
        span = read_span(body, self.answers, self._now_ms())
        buckets = read_buckets(body, span.start_ms)
        counts: dict[int, int] = {}
        with self._lock:
            shelf = self._shelf(organization)
            low, high = shelf.bounds(span.start_ms, span.end_ms)
            for start_ms, first, last in shelf.groups(low, high, buckets):
                counts[start_ms] = _counted(shelf, first, last, span)
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

    def _distinct(self, organization: str, _request: Request, body: dict[str, Any]) -> Reply:
        field = body.get("field")
        if not isinstance(field, str) or not field:
            raise RefusedError(400, "field is required")
        span = read_span(body, self.answers, self._now_ms())
        with self._lock:
            shelf = self._shelf(organization)
            found = shelf.events(*shelf.bounds(span.start_ms, span.end_ms))
        values = Counter(_value(e, field) for e in found if _wanted(e, span))
        values.pop(None, None)
        ranked = [(str(value), count) for value, count in values.most_common()]
        if self.answers.distinct == "values":
            return json_reply(200, {field: [value for value, _ in ranked]})
        listed = [{"key": value, "doc_count": count} for value, count in ranked]
        shape = {"doc_count_error_upper_bound": 0, "sum_other_doc_count": 0, "buckets": listed}
        return json_reply(200, shape)

    def _shelf(self, organization: str) -> Shelf:
        return self._indexes[organization].shelf(self._now_ms())

    def _finish(self, request: Request, reply: Reply) -> Reply:
        with self._lock:
            self._served += 1
            headers = {**reply.headers, "X-Request-Id": f"{self._served:032x}"}
        accepts = request.headers.get("accept-encoding", "")
        if not self.answers.gzip or "gzip" not in accepts:
            return replace(reply, headers=headers)
        headers["Content-Encoding"] = "gzip"
        return replace(reply, headers=headers, body=gzip.compress(reply.body, 1))


def _counted(shelf: Shelf, low: int, high: int, span: Span) -> int:
    if span.is_everything:
        return high - low
    return sum(1 for event in shelf.events(low, high) if _wanted(event, span))


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


def _query(organization: str, body: dict[str, Any]) -> bytes:
    bare = {key: value for key, value in body.items() if key != "search_after"}
    return organization.encode() + orjson.dumps(bare, option=orjson.OPT_SORT_KEYS)


def _value(event: Event, field: str) -> str | None:
    """Return the value of a field of the event; a dot steps inside."""
    value = json.loads(event.text)
    for part in field.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return None if value is None else str(value)
