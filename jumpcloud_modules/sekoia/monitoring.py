"""The two ports: health and status as JSON on one, Prometheus' metrics on the other.

Knows nothing of what is served. A probe leaves no line in the log: it comes every few seconds.
"""

import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

import orjson
import prometheus_client

CLIENT_TIMEOUT_SECONDS: Final = 2.0
SECONDS_TO_CLOSE: Final = 0.5

Answer = tuple[int, Mapping[str, Any]]
"""An HTTP status, and what is sent as JSON with it."""


class Monitoring:
    """Serve `answers` by path until closed; each is asked for when somebody looks."""

    def __init__(self, answers: Mapping[str, Callable[[], Answer]]) -> None:
        self._answers = answers
        self._servers: list[Any] = []

    def open(self, address: str, liveness_port: int, metrics_port: int) -> None:
        """Listen on both ports of an address, "" for all. Raises OSError or OverflowError."""
        self._serve(self._answering(address, liveness_port))
        metrics, _ = prometheus_client.start_http_server(metrics_port, address or "0.0.0.0")  # noqa: S104
        self._servers.append(metrics)

    def close(self) -> None:
        """Close the ports, without waiting for a client that holds one."""
        closing = threading.Thread(target=self._close, name="ports", daemon=True)
        closing.start()
        closing.join(SECONDS_TO_CLOSE)

    def _close(self) -> None:
        while self._servers:
            server = self._servers.pop()
            server.shutdown()
            server.server_close()

    def _serve(self, server: ThreadingHTTPServer) -> None:
        self._servers.append(server)
        threading.Thread(target=server.serve_forever, name="liveness", daemon=True).start()

    def _answering(self, address: str, port: int) -> ThreadingHTTPServer:
        answers = self._answers

        class Handler(BaseHTTPRequestHandler):
            timeout = CLIENT_TIMEOUT_SECONDS  # a client that says nothing is let go

            def do_GET(self) -> None:
                answer = answers.get(self.path.partition("?")[0])
                reason = "Endpoint doesn't exist"
                status, content = (
                    answer() if answer else (404, {"status_code": 404, "reason": reason})
                )
                body = orjson.dumps(content)
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Leave no line."""

        server = ThreadingHTTPServer((address, port), Handler)
        server.daemon_threads = True
        return server
