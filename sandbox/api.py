"""Harm over HTTP: what may be done, what was done, and how it stands, as JSON below `/api/`.

Knows requests and replies; knows no sockets.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import orjson

from sandbox.harm import BY_NAME
from sandbox.http import Reply, Request, json_reply, message_reply
from sandbox.incidents import Incidents, NotPossibleError
from sandbox.observer import Observer, Sample
from sandbox.self_hosted import as_csv, entry_of
from sandbox.target import Harm, Target
from sandbox.verdict import Verdict

PREFIX = "/api/"
_LINES_SHOWN = 50


class Api:
    """Answers for one target.

    ::

        GET    /api/state         figures, the verdict so far, incidents, log lines
        GET    /api/verdict       the verdict, of everything that was published, and by organization
        GET    /api/organizations.csv   the organizations with their keys, for a connector's list
        GET    /api/harms         what may be done
        POST   /api/harms/NAME    do it; {"amount": 10} says how much
        GET    /api/incidents     what was done, and what the connector did about it
        GET    /api/incidents/3   one of them
        DELETE /api/incidents/3   end it before its time
    """

    def __init__(self, target: Target, observer: Observer, incidents: Incidents) -> None:
        self._target, self._observer, self._incidents = target, observer, incidents

    def answer(self, request: Request) -> Reply:
        """Answer a request whose path begins with the prefix."""
        path = request.path.partition("?")[0].removeprefix(PREFIX)
        name, _, which = path.partition("/")
        act = self._acts().get((request.method, name, bool(which)))
        if act is None:
            return message_reply(404, f"{request.method} {PREFIX}{path} is not known here.")
        try:
            return act(which, request)
        except NotPossibleError as error:
            return message_reply(error.status, error.sentence)

    def _acts(self) -> dict[tuple[str, str, bool], Callable[[str, Request], Reply]]:
        return {
            ("GET", "state", False): lambda *_: json_reply(200, self.state()),
            ("GET", "verdict", False): lambda *_: json_reply(200, self._verdict()),
            ("GET", "organizations.csv", False): lambda *_: self._list(),
            ("GET", "harms", False): lambda *_: json_reply(200, self.harms()),
            ("POST", "harms", True): self._do,
            ("GET", "incidents", False): lambda *_: json_reply(200, self._all()),
            ("GET", "incidents", True): self._one,
            ("DELETE", "incidents", True): self._end,
        }

    def state(self) -> dict[str, Any]:
        """Return how it stands."""
        return {
            **sample_to_json(self._observer.latest),
            "organizations": [asdict(one) for one in self._observer.standings],
            "incidents": self._all(),
            "log": [asdict(line) for line in self._observer.lines_after(0)[-_LINES_SHOWN:]],
        }

    def harms(self) -> list[dict[str, Any]]:
        """List what may be done, and where not, why."""
        return [_harm_to_json(harm, self._target) for harm in BY_NAME.values()]

    def _verdict(self) -> dict[str, Any]:
        sandbox, excused = self._target.sandbox, self._target.excused
        told = verdict_to_json(sandbox.verdict(without=excused))
        if not self._target.organizations:
            return told
        each = sandbox.verdicts(without=excused)
        return told | {"organizations": {i: verdict_to_json(one) for i, one in each.items()}}

    def _list(self) -> Reply:
        text = as_csv(map(entry_of, self._target.organizations))
        return Reply(200, text.encode(), {"Content-Type": "text/csv; charset=utf-8"})

    def _all(self) -> list[dict[str, Any]]:
        return [incident.to_json() for incident in self._incidents.all]

    def _do(self, name: str, request: Request) -> Reply:
        return json_reply(201, self._incidents.begin(name, _amount(request)).to_json())

    def _one(self, number: str, _: Request) -> Reply:
        found = [one for one in self._all() if str(one["number"]) == number]
        return json_reply(200, found[0]) if found else _no_incident(number)

    def _end(self, number: str, _: Request) -> Reply:
        if not number.isdecimal():
            return _no_incident(number)
        return json_reply(200, self._incidents.end(int(number)).to_json())


def sample_to_json(sample: Sample) -> dict[str, Any]:
    """Return a sample as it is shown to a program."""
    content = asdict(sample)
    content["statuses"] = {
        end: {str(status): count for status, count in counts.items()}
        for end, counts in sample.statuses.items()
    }
    return content


def verdict_to_json(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict as it is shown to a program."""
    return {**asdict(verdict), "clean": verdict.clean}


def _harm_to_json(harm: Harm, target: Target) -> dict[str, Any]:
    return {
        "name": harm.name,
        "title": harm.title,
        "place": harm.place,
        "does": harm.does,
        "should": harm.should,
        "unit": harm.amount.unit,
        "choices": dict(harm.amount.choices),
        "least": harm.amount.least,
        "most": harm.amount.most,
        "to_one": harm.is_to_one,
        "missing": harm.missing(target),
    }


def _amount(request: Request) -> float | None:
    if not request.payload:
        return None
    try:
        wish = request.json()
    except orjson.JSONDecodeError:
        raise NotPossibleError(400, 'The body is not JSON; send {"amount": 10}.') from None
    amount = wish.get("amount") if isinstance(wish, dict) else None
    if isinstance(amount, bool) or not isinstance(amount, int | float) or not math.isfinite(amount):
        raise NotPossibleError(400, 'The body names no amount; send {"amount": 10}.')
    return float(amount)


def _no_incident(number: str) -> Reply:
    return message_reply(404, f"There is no incident {number}.")
