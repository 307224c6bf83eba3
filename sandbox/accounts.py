"""The part of JumpCloud that gives a service account its tokens, and that lists organizations.

Knows requests and replies; knows no events.
"""

from __future__ import annotations

import binascii
import secrets
import threading
from base64 import b64decode
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs

from sandbox.http import Reply, Request, json_reply
from sandbox.instants import now_ms as clock_ms
from sandbox.query import NotImitatedError, RefusedError

CLIENT_ID = "sandbox-service-account"
CLIENT_SECRET = "sandbox_client_secret_of_no_worth"  # noqa: S105 - of no worth
TOKEN_PATH = "/oauth2/token"  # noqa: S105 - a path
_DEFAULT_LIMIT, _MAXIMUM_LIMIT = 10, 100


class Tokens:
    """One service account and its tokens; any thread may ask.

    `life_seconds` counts for tokens given from now on. `stated_life`, where given, is what an
    answer says of it instead, true or not.
    """

    def __init__(self, now_ms: Callable[[], int] = clock_ms) -> None:
        self.client_id = CLIENT_ID
        self.client_secret = CLIENT_SECRET
        self.life_seconds = 3600.0
        self.stated_life: object = None
        self._now_ms = now_ms
        self._ends_ms: dict[str, int] = {}
        self._revoked: set[str] = set()
        self._lock = threading.Lock()

    @property
    def given(self) -> list[str]:
        """List the tokens in the order in which they were given."""
        with self._lock:
            return list(self._ends_ms)

    def revoke(self) -> None:
        """Let all tokens given so far end at once."""
        with self._lock:
            self._revoked |= self._ends_ms.keys()

    def hold(self, authorization: str) -> bool:
        """Tell whether a header carries a token that was given and has not ended."""
        kind, _, token = authorization.partition(" ")
        with self._lock:
            ends_ms = self._ends_ms.get(token, 0)
            return kind == "Bearer" and token not in self._revoked and self._now_ms() < ends_ms

    def answer(self, request: Request) -> Reply:
        """Answer what was posted to the token's address."""
        if request.method != "POST":
            raise RefusedError(405, "Method Not Allowed")
        form = {name: values[-1] for name, values in _form(request).items()}
        if not self._knows(request.headers.get("authorization", "")):
            return _refusal(401, "invalid_client", "Client authentication failed")
        if form.get("grant_type") != "client_credentials":
            return _refusal(400, "unsupported_grant_type", "client_credentials is required")
        if form.get("scope") != "api":
            return _refusal(400, "invalid_scope", "the scope is api")
        stated = int(self.life_seconds) if self.stated_life is None else self.stated_life
        content = {"access_token": self._new(), "expires_in": stated}
        return json_reply(200, content | {"scope": "api", "token_type": "bearer"})

    def _knows(self, authorization: str) -> bool:
        kind, _, encoded = authorization.partition(" ")
        try:
            told = b64decode(encoded, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            return False
        return kind == "Basic" and told == f"{self.client_id}:{self.client_secret}"

    def _new(self) -> str:
        token = f"sandbox_token.{secrets.token_hex(24)}"
        with self._lock:
            self._ends_ms[token] = self._now_ms() + int(self.life_seconds * 1000)
        return token


def listed(organizations: Mapping[str, str], query: str) -> dict[str, Any]:
    """Return a page of organizations, as the query of an address asks for it."""
    asked = {name: values[-1] for name, values in parse_qs(query).items()}
    if asked.get("sort", "_id") != "_id" or asked.keys() - {"sort", "limit", "skip"}:
        raise NotImitatedError(f"the emulator does not imitate {query!r}")
    limit = min(_number(asked.get("limit"), _DEFAULT_LIMIT), _MAXIMUM_LIMIT)
    skip = _number(asked.get("skip"), 0)
    page = sorted(organizations)[skip : skip + limit]
    results = [{"_id": key, "id": key, "displayName": organizations[key]} for key in page]
    return {"results": results, "totalCount": len(organizations)}


def _form(request: Request) -> dict[str, list[str]]:
    kind = request.headers.get("content-type", "").partition(";")[0]
    if kind != "application/x-www-form-urlencoded":
        return {}
    return parse_qs(request.payload.decode(errors="replace"))


def _refusal(status: int, error: str, description: str) -> Reply:
    return json_reply(status, {"error": error, "error_description": description})


def _number(text: str | None, default: int) -> int:
    return int(text) if text and text.isdecimal() else default
