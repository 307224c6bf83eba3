"""The emulated side of Sekoia's platform that a module talks to: secrets, logs, callback.

Knows requests and replies; knows no sockets.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from sandbox.faults import Faults
from sandbox.http import Reply, Request, RequestLog, json_reply

TOKEN = "sandbox_platform_token"  # noqa: S105 - of no worth


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line that the module sent to the platform."""

    date: str
    level: str
    message: str


class Platform:
    """The state of the platform around one module: what it hands out, and what it was told."""

    name = "platform"

    def __init__(self, *, secrets: Mapping[str, Any], token: str = TOKEN) -> None:
        self.secrets = dict(secrets)
        self.module_configuration: dict[str, Any] = {}
        self.token = token
        self.faults = Faults()
        self.requests = RequestLog()
        self.errors: list[str] = []
        self.url = ""
        self._lock = threading.Lock()
        self._logs: list[LogLine] = []
        self._callbacks: list[dict[str, Any]] = []

    @property
    def logs(self) -> list[LogLine]:
        """List the log lines in the order of their arrival."""
        with self._lock:
            return list(self._logs)

    def logs_since(self, place: int) -> list[LogLine]:
        """List the log lines from a place in their order on."""
        with self._lock:
            return self._logs[place:]

    @property
    def callbacks(self) -> list[dict[str, Any]]:
        """List what was sent to the callback."""
        with self._lock:
            return list(self._callbacks)

    def messages(self, *levels: str) -> list[str]:
        """List the messages, of these levels only where any are named."""
        return [line.message for line in self.logs if not levels or line.level in levels]

    def answer(self, request: Request) -> Reply:
        """Answer a request as the platform would."""
        if request.headers.get("authorization") != f"Bearer {self.token}":
            return json_reply(401, {"message": "the token is not valid"})
        match request.method, request.endpoint:
            case "GET", "secrets":
                return json_reply(200, {"value": self.secrets, "node_value": {}})
            case "POST", "logs":
                return self._take_logs(request)
            case (("PATCH" | "POST"), "callback"):
                return self._take_callback(request)
        return json_reply(404, {"message": "no such endpoint"})

    def _take_logs(self, request: Request) -> Reply:
        try:
            lines = [
                LogLine(str(line["date"]), str(line["level"]), str(line["message"]))
                for line in request.json()["logs"]
            ]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            return json_reply(400, {"message": "logs of date, level and message are required"})
        with self._lock:
            self._logs += lines
        return json_reply(200, {})

    def _take_callback(self, request: Request) -> Reply:
        try:
            content = request.json()
        except orjson.JSONDecodeError:
            return json_reply(400, {"message": "the body is not JSON"})
        with self._lock:
            self._callbacks.append(content)
        value = {**self.module_configuration, **self.secrets}
        return json_reply(200, {"module_configuration": {"value": value}})
