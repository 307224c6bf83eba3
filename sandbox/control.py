"""What another process asks of a sandbox and steers it by. Knows no connector and no socket."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, cast

from sandbox import faults as kinds
from sandbox.events import Event, dealt, generate, mostly_prompt
from sandbox.faults import Fault, Faults, Rule
from sandbox.http import Reply, Request, RequestLog, json_reply
from sandbox.live import Live
from sandbox.organizations import Organization
from sandbox.query import Answers
from sandbox.server import Sandbox
from sandbox.verdict import delays_ms


class Control:
    """What may be asked of a running sandbox, by method and last part of the path."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._rules: list[Rule] = []
        self._live: Live | None = None
        self._lock = threading.Lock()

    def answer(self, request: Request) -> Reply:
        """Carry out one request; its payload is a JSON object or empty."""
        wish: dict[str, Any] = request.json() if request.payload else {}
        act = self._acts().get((request.method, request.endpoint))
        if act is None:
            return json_reply(404, {"message": "the control port does not know this"})
        with self._lock:
            return json_reply(200, act(wish) or {})

    def _acts(self) -> dict[tuple[str, str], Callable[[dict[str, Any]], object]]:
        sandbox = self._sandbox
        jumpcloud = sandbox.jumpcloud
        return {
            ("GET", "statistics"): lambda _: statistics(sandbox),
            ("GET", "accepted"): lambda _: {"accepted": sandbox.intake.count},
            ("GET", "delays"): lambda _: delays_ms(jumpcloud.published, sandbox.intake),
            ("GET", "delays-by-organization"): lambda _: sandbox.delays_ms(),
            ("GET", "requests"): lambda _: exchanges(jumpcloud.requests),
            ("GET", "logs"): lambda _: [asdict(line) for line in sandbox.platform.logs],
            ("POST", "verdict"): lambda wish: asdict(sandbox.verdict(**wish)),
            ("POST", "verdicts"): lambda wish: {
                name: asdict(verdict) for name, verdict in sandbox.verdicts(**wish).items()
            },
            ("POST", "organizations"): self._add_organizations,
            ("PATCH", "keys"): self._refuse_keys,
            ("POST", "publish"): lambda wish: jumpcloud.publish(map(_event, wish["events"])),
            ("POST", "generate"): lambda wish: jumpcloud.publish(generated(wish)),
            ("POST", "answers"): self._set_answers,
            ("POST", "chaos"): lambda wish: sandbox.chaos(**wish),
            ("POST", "faults"): self._add_fault,
            ("PATCH", "faults"): self._switch_fault,
            ("DELETE", "faults"): lambda _: self._clear_faults(),
            ("POST", "live"): self.go_live,
            ("DELETE", "live"): lambda _: self.end_live(),
        }

    def _set_answers(self, wish: dict[str, Any]) -> None:
        self._sandbox.jumpcloud.answers = Answers(**wish)

    def _add_organizations(self, wish: dict[str, Any]) -> None:
        for fields in wish["organizations"]:
            self._sandbox.add(Organization(**fields))

    def _refuse_keys(self, wish: dict[str, Any]) -> None:
        """Refuse these keys from now on, and accept all others."""
        self._sandbox.jumpcloud.refused_keys = set(wish["refused"])
        self._sandbox.intake.refused_keys = set(wish["refused"])

    def _add_fault(self, wish: dict[str, Any]) -> object:
        faults = _all_faults(self._sandbox)[wish.pop("end")]
        fault = cast(Fault, getattr(kinds, wish.pop("fault"))(**wish.pop("fields")))
        self._rules.append(faults.add(fault, **wish))
        return {"rule": len(self._rules) - 1}

    def _switch_fault(self, wish: dict[str, Any]) -> object:
        rule = self._rules[wish["rule"]]
        rule.on = wish["on"]
        return {"fired": rule.fired}

    def _clear_faults(self) -> None:
        for faults in _all_faults(self._sandbox).values():
            faults.clear()

    def go_live(self, wish: dict[str, Any]) -> None:
        """Publish events as time passes from now on; the wish holds `Live`'s arguments."""
        self.end_live()
        self._live = Live(self._sandbox.jumpcloud, **wish)
        self._live.start()

    def end_live(self) -> None:
        """Publish no more."""
        if self._live is not None:
            self._live.stop()
            self._live = None


def statistics(sandbox: Sandbox) -> dict[str, Any]:
    """Sum up what each end has seen."""
    ends = {
        "jumpcloud": sandbox.jumpcloud.requests,
        "intake": sandbox.intake.requests,
        "platform": sandbox.platform.requests,
    }
    seen: dict[str, Any] = {name: _seen(log) for name, log in ends.items()}
    return {
        **seen,
        "published": len(sandbox.jumpcloud.published),
        "accepted": sandbox.intake.count,
        "errors": list(sandbox.errors),
    }


def generated(wish: dict[str, Any]) -> list[Event]:
    """Generate events from a JSON object of `generate`'s arguments, late_share and latest_ms.

    They are dealt to the `organizations`, where there are any.
    """
    late_share, latest_ms = wish.pop("late_share", 0.0), wish.pop("latest_ms", 1)
    organizations = wish.pop("organizations", ())
    events = generate(**wish, delay_ms=mostly_prompt(late_share, latest_ms))
    return dealt(events, organizations) if organizations else events


def exchanges(log: RequestLog) -> list[tuple[float, str, str, int]]:
    """List when each exchange began (monotonic), its endpoint, organization and status."""
    return [(e.started, e.endpoint, e.organization, e.status) for e in log.entries()]


def _seen(log: RequestLog) -> dict[str, Any]:
    entries = log.entries()
    endpoints = sorted({entry.endpoint for entry in entries})
    return {
        "requests": {endpoint: log.count(endpoint) for endpoint in endpoints},
        "statuses": {str(status): count for status, count in log.statuses().items()},
        "events": sum(entry.events for entry in entries),
        "sent_bytes": sum(entry.sent_bytes for entry in entries),
        "received_bytes": sum(entry.received_bytes for entry in entries),
    }


def _all_faults(sandbox: Sandbox) -> dict[str, Faults]:
    return {end.name: end.faults for end in (sandbox.jumpcloud, sandbox.intake, sandbox.platform)}


def _event(fields: dict[str, Any]) -> Event:
    return Event(**{**fields, "text": base64.b64decode(fields["text"])})
