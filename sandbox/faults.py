"""What can go wrong on the way: each fault one small class, and the rules that set them off.

Knows requests and replies; knows no emulator.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, Protocol

import orjson

from sandbox.http import BrokenOff, Reply, Request, json_reply, message_reply

Answer = Callable[[Request], Reply]
OrganizationOf = Callable[[Request], str]

SORT_OVERRIDE = "x-sandbox-sort"
"""A header, set by `Descending` alone, that the JumpCloud emulator obeys over `sort`."""


class Fault(Protocol):
    """Something that goes wrong between a request and its answer."""

    def apply(self, request: Request, answer: Answer, /) -> Reply:
        """Reply in place of, or with the help of, the true answer."""
        ...


@dataclass(frozen=True, slots=True)
class Status:
    """Answer with a status instead of doing what was asked."""

    status: int
    retry_after_seconds: int | None = None
    form: Literal["json", "html", "empty"] = "json"
    message: str = "the sandbox was told to answer so"

    def apply(self, _request: Request, _answer: Answer) -> Reply:
        """Reply with the status alone; what was asked does not happen."""
        reply = self._reply()
        if self.retry_after_seconds is None:
            return reply
        return _with_headers(reply, {"Retry-After": str(self.retry_after_seconds)})

    def _reply(self) -> Reply:
        if self.form == "json":
            return message_reply(self.status, self.message)
        body = f"<html><body><h1>{self.status}</h1><p>{self.message}</p></body></html>"
        text = body.encode() if self.form == "html" else b""
        return Reply(self.status, text, {"Content-Type": "text/html"})


@dataclass(frozen=True, slots=True)
class EchoKey:
    """Answer with a status whose message repeats the key that the client sent."""

    status: int = 401

    def apply(self, request: Request, _answer: Answer) -> Reply:
        """Reply with the key of the header or of the payload in the message."""
        key = (
            request.headers.get("x-api-key")
            or request.headers.get("authorization")
            or _intake_key(request)
        )
        return message_reply(self.status, f"the key {key} is not accepted")


@dataclass(frozen=True, slots=True)
class ResetBeforeHeaders:
    """Reset the connection without doing what was asked."""

    def apply(self, _request: Request, _answer: Answer) -> Reply:
        """Send nothing but a reset."""
        return Reply(0, cut=BrokenOff(None, reset=True))


@dataclass(frozen=True, slots=True)
class AcceptedWithoutReply:
    """Do what was asked, then reset the connection instead of replying."""

    def apply(self, request: Request, answer: Answer) -> Reply:
        """Answer truly, and keep the answer."""
        answer(request)
        return Reply(0, cut=BrokenOff(None, reset=True))


@dataclass(frozen=True, slots=True)
class ResetMidBody:
    """Reset the connection after a share of the body."""

    body_share: float = 0.5

    def apply(self, request: Request, answer: Answer) -> Reply:
        """Cut the true reply with a reset."""
        return replace(answer(request), cut=BrokenOff(self.body_share, reset=True))


@dataclass(frozen=True, slots=True)
class TruncatedBody:
    """Close the connection in good order before the promised length was sent."""

    body_share: float = 0.5

    def apply(self, request: Request, answer: Answer) -> Reply:
        """Cut the true reply short of its Content-Length."""
        return replace(answer(request), cut=BrokenOff(self.body_share, reset=False))


@dataclass(frozen=True, slots=True)
class Hang:
    """Say nothing for a while, then answer (by then the client has mostly given up)."""

    seconds: float

    def apply(self, request: Request, answer: Answer) -> Reply:
        """Delay the status line."""
        reply = answer(request)
        return replace(reply, wait_seconds=reply.wait_seconds + self.seconds)


@dataclass(frozen=True, slots=True)
class HangThenReset:
    """Say nothing for a while, then reset, without doing what was asked."""

    seconds: float

    def apply(self, _request: Request, _answer: Answer) -> Reply:
        """Send nothing but a late reset."""
        return Reply(0, wait_seconds=self.seconds, cut=BrokenOff(None, reset=True))


@dataclass(frozen=True, slots=True)
class HangMidBody:
    """Send the headers and half the body, fall silent for a while, send the rest."""

    seconds: float

    def apply(self, request: Request, answer: Answer) -> Reply:
        """Put a silence into the true reply's body."""
        return replace(answer(request), pause_seconds=self.seconds)


@dataclass(frozen=True, slots=True)
class SlowPages:
    """Take time to answer, then time to stream the body, as a distant JumpCloud does."""

    latency_ms: float = 0.0
    per_event_ms: float = 0.0

    def apply(self, request: Request, answer: Answer) -> Reply:
        """Delay the headers, and spread the body over the time of its events."""
        reply = answer(request)
        return replace(
            reply,
            wait_seconds=reply.wait_seconds + self.latency_ms / 1000,
            stream_seconds=reply.stream_seconds + self.per_event_ms * reply.events / 1000,
        )


@dataclass(frozen=True, slots=True)
class SlowReceipts:
    """Take time to answer that grows with the events taken, as a busy intake does."""

    latency_ms: float = 0.0
    per_event_ms: float = 0.0

    def apply(self, request: Request, answer: Answer) -> Reply:
        """Delay the headers by the time of the events."""
        reply = answer(request)
        taken_ms = self.latency_ms + self.per_event_ms * reply.events
        return replace(reply, wait_seconds=reply.wait_seconds + taken_ms / 1000)


@dataclass(frozen=True, slots=True)
class BrokenJson:
    """Answer 200 with JSON that ends in its middle, under a length that fits."""

    def apply(self, request: Request, answer: Answer) -> Reply:
        """Halve the body."""
        reply = answer(request)
        return replace(reply, body=reply.body[: max(1, len(reply.body) // 2)])


@dataclass(frozen=True, slots=True)
class ObjectInsteadOfArray:
    """Answer 200 with an object where an array is due."""

    def apply(self, request: Request, answer: Answer) -> Reply:
        """Wrap the true body in an object."""
        reply = answer(request)
        return replace(reply, body=b'{"results":' + reply.body + b"}")


@dataclass(frozen=True, slots=True)
class NullBody:
    """Answer 200 with `null`, the true headers kept."""

    def apply(self, request: Request, answer: Answer) -> Reply:
        """Put null in the place of the body."""
        return replace(answer(request), body=b"null", events=0)


@dataclass(frozen=True, slots=True)
class HtmlPage:
    """Answer 200 with a login page, as a captive proxy does."""

    def apply(self, _request: Request, _answer: Answer) -> Reply:
        """Reply with HTML and without JumpCloud's headers."""
        return Reply(200, b"<html><body>Sign in</body></html>", {"Content-Type": "text/html"})


@dataclass(frozen=True, slots=True)
class MissingHeaders:
    """Leave out headers of the reply; all the paging ones by default."""

    names: tuple[str, ...] = ("X-Result-Count", "X-Limit", "X-Sort", "X-Search_after")

    def apply(self, request: Request, answer: Answer) -> Reply:
        """Strip the named headers."""
        reply = answer(request)
        dropped = {name.lower() for name in self.names}
        kept = {name: value for name, value in reply.headers.items() if name.lower() not in dropped}
        return replace(reply, headers=kept)


@dataclass(frozen=True, slots=True)
class NoDate:
    """Leave out the `Date` header."""

    def apply(self, request: Request, answer: Answer) -> Reply:
        """Send the true reply undated."""
        return replace(answer(request), date_ahead_seconds=None)


@dataclass(frozen=True, slots=True)
class WrongDate:
    """Let the `Date` header be ahead of the true time, or behind it (below 0)."""

    ahead_seconds: float

    def apply(self, request: Request, answer: Answer) -> Reply:
        """Date the true reply wrongly."""
        return replace(answer(request), date_ahead_seconds=self.ahead_seconds)


@dataclass(frozen=True, slots=True)
class NonsenseDate:
    """Put into the `Date` header what is no date."""

    text: str = "Thu, 32 Nov 2026 25:61:61 GMT"

    def apply(self, request: Request, answer: Answer) -> Reply:
        """Write the text in the place of the date."""
        return _with_headers(answer(request), {"Date": self.text})


@dataclass(frozen=True, slots=True)
class WrongResultCount:
    """Let X-Result-Count contradict the number of events in the page."""

    difference: int = 1

    def apply(self, request: Request, answer: Answer) -> Reply:
        """Add the difference to the true count."""
        reply = answer(request)
        return _with_headers(reply, {"X-Result-Count": str(reply.events + self.difference)})


@dataclass(frozen=True, slots=True)
class StuckCursor:
    """Name as the next cursor the one that was just used, so that paging stands still."""

    def apply(self, request: Request, answer: Answer) -> Reply:
        """Repeat the request's search_after; the first page keeps its own."""
        reply = answer(request)
        used = request.json().get("search_after")
        if not used:
            return reply
        return _with_headers(reply, {"X-Search_after": orjson.dumps(used).decode()})


@dataclass(frozen=True, slots=True)
class Descending:
    """Send pages newest first although ASC was asked for."""

    named: Literal["ASC", "DESC"] = "DESC"

    def apply(self, request: Request, answer: Answer) -> Reply:
        """Turn the order, and name in X-Sort what the field says."""
        turned = replace(request, headers={**request.headers, SORT_OVERRIDE: "DESC"})
        return _with_headers(answer(turned), {"X-Sort": self.named})


@dataclass(frozen=True, slots=True)
class Redirect:
    """Send the client elsewhere."""

    location: str
    status: int = 307

    def apply(self, _request: Request, _answer: Answer) -> Reply:
        """Reply with the other address."""
        return Reply(self.status, b"", {"Location": self.location})


@dataclass(frozen=True, slots=True)
class WrongCounts:
    """Let `/events/interval` (and `/events/count`) miscount."""

    difference: int = 1

    def apply(self, request: Request, answer: Answer) -> Reply:
        """Add the difference to each count of the true reply."""
        reply = answer(request)
        if reply.status != 200:
            return reply
        content = orjson.loads(reply.body)
        if "count" in content:
            content["count"] += self.difference
        for bucket in content.get("buckets", []):
            bucket["doc_count"] += self.difference
        return json_reply(200, content, reply.headers)


@dataclass(frozen=True, slots=True)
class ShortReceipts:
    """Accept every event, and return fewer receipts than events."""

    missing: int = 1

    def apply(self, request: Request, answer: Answer) -> Reply:
        """Drop the last receipts of the true reply."""
        reply = answer(request)
        if reply.status != 200:
            return reply
        receipts = orjson.loads(reply.body)["event_ids"]
        kept = receipts[: max(0, len(receipts) - self.missing)]
        return replace(reply, body=orjson.dumps({"event_ids": kept}))


@dataclass(frozen=True, slots=True)
class RefuseEvent:
    """Refuse every batch that holds an event with the marker (its id); others pass."""

    marker: str
    status: int = 400

    def apply(self, request: Request, answer: Answer) -> Reply:
        """Reply with the status where the marker stands in the payload."""
        if self.marker.encode() in request.payload:
            return message_reply(self.status, "an event was refused")
        return answer(request)


@dataclass(slots=True)
class Rule:
    """When a fault happens: at an endpoint or any, so many times or always, by chance, while on.

    Also whether to requests about certain organizations (ids) only.
    """

    fault: Fault
    endpoint: str | None = None
    times: int | None = None
    probability: float = 1.0
    when: Callable[[Request], bool] | None = None
    organizations: frozenset[str] | None = None
    on: bool = True
    fired: int = 0

    def fits(
        self, request: Request, chance: random.Random, organization_of: OrganizationOf
    ) -> bool:
        """Decide whether the fault happens to this request."""
        if not self.on or (self.times is not None and self.fired >= self.times):
            return False
        if self.endpoint not in (None, request.endpoint):
            return False
        if self.organizations is not None and organization_of(request) not in self.organizations:
            return False
        if self.when is not None and not self.when(request):
            return False
        return self.probability >= 1.0 or chance.random() < self.probability


class Faults:
    """The rules of one emulator, changeable while it serves.

    The rule that was added first stands nearest the client: `SlowPages` before `Status`
    delays the refusals too. A rule that a nearer one pre-empts does not count as fired.
    `organization_of` returns the id of the organization that a request is about.
    """

    def __init__(self, seed: int = 0, organization_of: OrganizationOf = lambda _: "") -> None:
        self._organization_of = organization_of
        self._lock = threading.Lock()
        self._chance = random.Random(seed)
        self._rules: tuple[Rule, ...] = ()

    @property
    def rules(self) -> tuple[Rule, ...]:
        """Return the rules in their order."""
        return self._rules

    def add(
        self,
        fault: Fault,
        *,
        endpoint: str | None = None,
        times: int | None = None,
        probability: float = 1.0,
        when: Callable[[Request], bool] | None = None,
        organization: str | Iterable[str] | None = None,
    ) -> Rule:
        """Set a fault off from now on; switch the returned rule with `on`, or `remove` it.

        `organization` is the id of the one, or the ids of those, that the fault is limited to.
        """
        rule = Rule(fault, endpoint, times, probability, when, _set_of(organization))
        with self._lock:
            self._rules = (*self._rules, rule)
        return rule

    def remove(self, rule: Rule) -> None:
        """Take a rule away."""
        with self._lock:
            self._rules = tuple(kept for kept in self._rules if kept is not rule)

    def clear(self) -> None:
        """Take all rules away."""
        with self._lock:
            self._rules = ()

    @contextmanager
    def during(
        self,
        fault: Fault,
        *,
        endpoint: str | None = None,
        organization: str | Iterable[str] | None = None,
    ) -> Iterator[Rule]:
        """Set a fault off for the time of a `with` block."""
        rule = self.add(fault, endpoint=endpoint, organization=organization)
        try:
            yield rule
        finally:
            self.remove(rule)

    def seed(self, seed: int) -> None:
        """Start the chances anew."""
        with self._lock:
            self._chance = random.Random(seed)

    def play(self, request: Request, answer: Answer) -> Reply:
        """Answer a request through every rule that fits it."""
        return self._through(self._rules, request, answer)

    def _through(self, rules: tuple[Rule, ...], request: Request, answer: Answer) -> Reply:
        if not rules:
            return answer(request)
        rule, rest = rules[0], rules[1:]
        if not self._fires(rule, request):
            return self._through(rest, request, answer)
        return rule.fault.apply(request, lambda passed: self._through(rest, passed, answer))

    def _fires(self, rule: Rule, request: Request) -> bool:
        with self._lock:
            if not rule.fits(request, self._chance, self._organization_of):
                return False
            rule.fired += 1
            return True


def jumpcloud_chaos(faults: Faults, rate: float) -> None:
    """Add the mixture that JumpCloud and the way to it can show; `rate` of requests fail."""
    mixture: list[tuple[Fault, str | None]] = [
        (Status(429, retry_after_seconds=1), None),
        (Status(429), None),
        (Status(500), None),
        (Status(502, form="html"), None),
        (Status(503), None),
        (Status(504, form="empty"), None),
        (ResetBeforeHeaders(), None),
        (ResetMidBody(), None),
        (TruncatedBody(), None),
        (Hang(1.0), None),
        (HangMidBody(1.0), None),
        (BrokenJson(), "events"),
        (ObjectInsteadOfArray(), "events"),
        (HtmlPage(), None),
        (MissingHeaders(), "events"),
        (WrongResultCount(), "events"),
        (Descending(), "events"),
        (StuckCursor(), "events"),
        (WrongCounts(), "interval"),
    ]
    _spread(faults, mixture, rate)


def intake_chaos(faults: Faults, rate: float, *, repeats: bool = False) -> None:
    """Add the mixture that the intake can show; with `repeats`, also lost replies.

    Only a lost reply to an accepted batch makes a connector repeat events.
    """
    mixture: list[tuple[Fault, str | None]] = [
        (Status(429, retry_after_seconds=1), None),
        (Status(429), None),
        (Status(500), None),
        (Status(502, form="html"), None),
        (Status(503), None),
        (Status(504, form="empty"), None),
        (ResetBeforeHeaders(), None),
        (HangThenReset(1.0), None),
        (Hang(0.5), None),
    ]
    if repeats:
        mixture += [(AcceptedWithoutReply(), None), (TruncatedBody(), None)]
    _spread(faults, mixture, rate)


def platform_chaos(faults: Faults, rate: float) -> None:
    """Add the mixture that the log endpoint can show."""
    _spread(faults, [(Status(500), "logs"), (Hang(2.0), "logs")], rate)


def name_of(fault: Any) -> str:
    """Name a fault for a person: its class, and what it was given beside the defaults."""
    given = (
        f"{field.name}={getattr(fault, field.name)!r}"
        for field in fields(fault)
        if getattr(fault, field.name) != field.default
    )
    return f"{type(fault).__name__}({', '.join(given)})"


def _spread(faults: Faults, mixture: list[tuple[Fault, str | None]], rate: float) -> None:
    for fault, endpoint in mixture:
        faults.add(fault, endpoint=endpoint, probability=rate / len(mixture))


def _set_of(organization: str | Iterable[str] | None) -> frozenset[str] | None:
    if organization is None:
        return None
    return frozenset([organization] if isinstance(organization, str) else organization)


def _with_headers(reply: Reply, headers: dict[str, str]) -> Reply:
    return replace(reply, headers={**reply.headers, **headers})


def _intake_key(request: Request) -> str:
    try:
        return str(request.json()["intake_key"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return ""
