"""HTTP on a loopback port: requests in, replies out, and a log of both. Knows no emulator."""

from __future__ import annotations

import gzip
import socket
import struct
import threading
import time
import traceback
import zlib
from collections import Counter
from collections.abc import Callable, Generator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson

from sandbox.instants import now_ms as clock_ms

_LOGGED_BODY_BYTES = 16_384
_SMALL_BYTES = 65_536
_STREAM_STEP_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Request:
    """What a client sent: header names in lower case, the payload with its gzip undone."""

    method: str
    path: str
    headers: Mapping[str, str]
    payload: bytes
    received_bytes: int

    @property
    def endpoint(self) -> str:
        """Name the endpoint: the last part of the path."""
        return self.path.partition("?")[0].rpartition("/")[2]

    def json(self) -> Any:
        """Read the payload as JSON; raises orjson.JSONDecodeError."""
        return orjson.loads(self.payload)


@dataclass(frozen=True, slots=True)
class BrokenOff:
    """Where a reply breaks off: a share of its body, or None for not even a status line."""

    body_share: float | None
    reset: bool


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes back, and how it travels."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    events: int = 0
    wait_seconds: float = 0.0  # before the status line
    stream_seconds: float = 0.0  # the body is spread over this time
    pause_seconds: float = 0.0  # silence in the middle of the body
    date_ahead_seconds: float | None = 0.0  # of the `Date` header; None leaves it out
    cut: BrokenOff | None = None
    pieces: Generator[bytes] | None = None  # of a body without an end; asked for one by one


def json_reply(status: int, content: object, headers: Mapping[str, str] | None = None) -> Reply:
    """Wrap a value as a JSON reply."""
    return Reply(status, orjson.dumps(content), headers or {})


def message_reply(status: int, message: str) -> Reply:
    """Wrap a message the way JumpCloud words its errors."""
    return json_reply(status, {"message": message})


@dataclass(frozen=True, slots=True)
class Entry:
    """One exchange. `body` is the parsed request where that was small JSON."""

    started: float  # time.monotonic()
    ended: float
    method: str
    path: str
    endpoint: str
    body: Any
    status: int  # 0 where no status line was sent
    received_bytes: int
    sent_bytes: int  # of the body
    events: int  # in a reply that was sent whole
    whole: bool
    organization: str = ""  # the id of the one that was asked about, where that is known


class RequestLog:
    """The exchanges of one emulator, in the order in which they ended."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: list[Entry] = []
        self._arrivals: Counter[str] = Counter()
        self._totals: Counter[int] = Counter()

    def arrived(self, request: Request) -> None:
        """Count a request that is about to be answered."""
        with self._lock:
            self._arrivals[request.endpoint] += 1

    def add(self, entry: Entry) -> int:
        """Note an exchange, just before its last bytes leave; return its place."""
        with self._lock:
            self._entries.append(entry)
            self._totals[entry.status] += 1
            return len(self._entries) - 1

    def amend(self, place: int, entry: Entry) -> None:
        """Correct an exchange whose last bytes did not leave."""
        with self._lock:
            if place < len(self._entries):
                self._totals[self._entries[place].status] -= 1
                self._totals[entry.status] += 1
                self._entries[place] = entry

    def entries(
        self, endpoint: str | None = None, since: float = 0.0, organization: str | None = None
    ) -> list[Entry]:
        """List the exchanges of an endpoint that began at or after a monotonic instant.

        With an id, those about that organization.
        """
        with self._lock:
            entries = list(self._entries)
        return [
            e
            for e in entries
            if e.started >= since
            and endpoint in (None, e.endpoint)
            and organization in (None, e.organization)
        ]

    def count(self, endpoint: str | None = None, since: float = 0.0) -> int:
        """Count the exchanges that have ended."""
        return len(self.entries(endpoint, since))

    def arrivals(self, endpoint: str | None = None) -> int:
        """Count the requests that came in, those still being answered included."""
        with self._lock:
            return self._arrivals[endpoint] if endpoint else self._arrivals.total()

    def events(self, endpoint: str | None = None, since: float = 0.0) -> int:
        """Count the events in the replies that were sent whole."""
        return sum(entry.events for entry in self.entries(endpoint, since))

    def sent_bytes(self, endpoint: str | None = None, since: float = 0.0) -> int:
        """Add up the bytes of the replies' bodies."""
        return sum(entry.sent_bytes for entry in self.entries(endpoint, since))

    def received_bytes(self, endpoint: str | None = None, since: float = 0.0) -> int:
        """Add up the bytes of the requests' bodies, as they were on the wire."""
        return sum(entry.received_bytes for entry in self.entries(endpoint, since))

    def statuses(self, endpoint: str | None = None, since: float = 0.0) -> Counter[int]:
        """Count the exchanges by status; 0 stands for no answer."""
        return Counter(entry.status for entry in self.entries(endpoint, since))

    def totals(self) -> dict[int, int]:
        """Return what `statuses` counts, at the same cost however many there were."""
        with self._lock:
            return {status: count for status, count in self._totals.items() if count}

    def clear(self) -> None:
        """Forget everything seen so far."""
        with self._lock:
            self._entries.clear()
            self._totals.clear()
            self._arrivals.clear()


class Server:
    """A loopback port that hands each request to one function."""

    def __init__(
        self,
        name: str,
        answer: Callable[[Request], Reply],
        log: RequestLog,
        errors: list[str],
        port: int = 0,
        now_ms: Callable[[], int] = clock_ms,
    ) -> None:
        self.name, self.answer, self.log, self.errors = name, answer, log, errors
        self.now_ms = now_ms
        self.organization_of: Callable[[Request], str] = lambda _: ""
        self.closing = threading.Event()
        self._port = port
        self._listener: _Listener | None = None

    @property
    def url(self) -> str:
        """Return the base address, without a final slash."""
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Listen; a port once chosen is kept over a stop."""
        self.closing = threading.Event()
        self._listener = _Listener(self, self._port)
        self._port = self._listener.server_address[1]
        threading.Thread(target=self._listener.accept_all, daemon=True).start()

    def stop(self) -> None:
        """Stop listening and hang up every open connection."""
        if self._listener is None:
            return
        self.closing.set()
        self._listener.finish()
        self._listener.hang_up()
        self._listener = None

    def respond(self, request: Request) -> Reply:
        """Answer a request; a failure of the emulator itself is recorded and answered 500."""
        self.log.arrived(request)
        try:
            return self.answer(request)
        except Exception:  # noqa: BLE001 - whatever it is, the test must see it
            self.errors.append(f"{self.name} {request.path}: {traceback.format_exc()}")
            return message_reply(500, "the emulator itself failed")


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(self, owner: Server, port: int) -> None:
        self.owner = owner
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._finished = threading.Event()
        super().__init__(("127.0.0.1", port), _Connection)

    def accept_all(self) -> None:
        """Accept connections until the owner closes, without waking up in between."""
        while not self.owner.closing.is_set():
            try:
                connection, address = self.socket.accept()
            except OSError:
                break
            self.process_request(connection, address)
        self.server_close()
        self._finished.set()

    def finish(self) -> None:
        """Wake the waiting accept with a connection of our own, and wait for the port's end."""
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", self.server_port), timeout=1).close()
        self._finished.wait(1)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, _request: Any, _client_address: Any) -> None:
        error = traceback.format_exc()
        if not self.owner.closing.is_set():
            self.owner.errors.append(f"{self.owner.name}: {error}")

    def hang_up(self) -> None:
        with self._lock:
            still_open = list(self._open)
        for connection in still_open:
            with suppress(OSError):  # the client may be faster
                connection.shutdown(socket.SHUT_RDWR)


class _Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    rbufsize = 1 << 18
    server: _Listener

    def do_POST(self) -> None:
        self._exchange()

    def do_GET(self) -> None:
        self._exchange()

    def do_PATCH(self) -> None:
        self._exchange()

    def do_PUT(self) -> None:
        self._exchange()

    def do_DELETE(self) -> None:
        self._exchange()

    def _exchange(self) -> None:
        started = time.monotonic()
        request = self._read()
        if request is None:
            return
        owner = self.server.owner
        _Exchange(self, request, owner.respond(request), started).send()

    def handle(self) -> None:
        try:
            super().handle()
        except (ConnectionError, TimeoutError, ValueError):
            self.close_connection = True  # the client is gone, or we hung up on it

    def log_message(self, *_: object) -> None:
        pass

    def _read(self) -> Request | None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        if "chunked" in headers.get("transfer-encoding", "").lower():
            self._refuse(411, "this emulator wants a Content-Length")
            return None
        wire = self.rfile.read(int(headers.get("content-length", "0")))
        if headers.get("content-encoding", "").lower() != "gzip":
            return Request(self.command, self.path, headers, wire, len(wire))
        try:
            payload = gzip.decompress(wire)
        except (OSError, EOFError, zlib.error):
            self._refuse(400, "the body is no gzip")
            return None
        return Request(self.command, self.path, headers, payload, len(wire))

    def _refuse(self, status: int, message: str) -> None:
        self.close_connection = True
        reply = message_reply(status, message)
        self.connection.sendall(_head(reply, self.server.owner.now_ms()) + reply.body)

    def break_off(self, cut: BrokenOff) -> None:
        self.close_connection = True
        if cut.reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.rfile.close()
            self.connection.close()


class _Exchange:
    """Sends one reply the way it asks to travel, and notes it before its last bytes leave.

    So a client that has read its answer finds it in the log.
    """

    def __init__(
        self, connection: _Connection, request: Request, reply: Reply, started: float
    ) -> None:
        self._connection, self._request, self._reply = connection, request, reply
        self._started = started
        self._owner = connection.server.owner
        self._place: int | None = None

    def send(self) -> None:
        reply = self._reply
        if reply.pieces is not None:
            self._send_pieces(reply.pieces)
            return
        cut = (
            BrokenOff(None, reset=True)
            if self._owner.closing.wait(reply.wait_seconds)
            else reply.cut
        )
        if cut is not None and cut.body_share is None:
            self._note(status=0, sent_bytes=0, whole=False)
            self._connection.break_off(cut)
            return
        share = 1.0 if cut is None or cut.body_share is None else cut.body_share
        body = reply.body if cut is None else reply.body[: int(len(reply.body) * share)]
        try:
            self._send_parts(_head(reply, self._owner.now_ms()), body)
        except OSError:
            self._connection.close_connection = True
            self._note(status=reply.status, sent_bytes=0, whole=False)
            return
        if cut is not None:
            self._connection.break_off(cut)

    def _send_parts(self, head: bytes, body: bytes) -> None:
        if self._reply.pause_seconds:
            middle = len(body) // 2
            self._connection.connection.sendall(head + body[:middle])
            self._owner.closing.wait(self._reply.pause_seconds)
            self._send_last(body[middle:], len(body))
        elif self._reply.stream_seconds:
            self._connection.connection.sendall(head)
            self._stream(body)
        elif len(body) < _SMALL_BYTES:
            self._send_last(head + body, len(body))
        else:
            self._connection.connection.sendall(head)
            self._send_last(body, len(body))

    def _send_pieces(self, pieces: Generator[bytes]) -> None:
        """Send a body until its pieces end, the client is gone, or the server closes."""
        connection = self._connection
        connection.close_connection = True
        self._note(status=self._reply.status, sent_bytes=0, whole=False)
        with suppress(OSError), closing(pieces):
            connection.connection.sendall(_head(self._reply, self._owner.now_ms()))
            for piece in pieces:
                if self._owner.closing.is_set():
                    break
                connection.connection.sendall(piece)

    def _stream(self, body: bytes) -> None:
        began, seconds = time.monotonic(), self._reply.stream_seconds
        steps = max(1, round(seconds / _STREAM_STEP_SECONDS))
        view, size = memoryview(body), len(body)
        for step in range(1, steps + 1):
            ahead = began + seconds * step / steps - time.monotonic()
            self._owner.closing.wait(max(0.0, ahead))
            part = view[size * (step - 1) // steps : size * step // steps]
            if step < steps:
                self._connection.connection.sendall(part)
            else:
                self._send_last(part, size)

    def _send_last(self, part: bytes | memoryview, sent_bytes: int) -> None:
        self._note(status=self._reply.status, sent_bytes=sent_bytes, whole=self._reply.cut is None)
        self._connection.connection.sendall(part)

    def _note(self, *, status: int, sent_bytes: int, whole: bool) -> None:
        entry = Entry(
            started=self._started,
            ended=time.monotonic(),
            method=self._request.method,
            path=self._request.path,
            endpoint=self._request.endpoint,
            body=_small_json(self._request.payload),
            status=status,
            received_bytes=self._request.received_bytes,
            sent_bytes=sent_bytes,
            events=self._reply.events if whole else 0,
            whole=whole,
            organization=self._owner.organization_of(self._request),
        )
        if self._place is None:
            self._place = self._owner.log.add(entry)
        else:
            self._owner.log.amend(self._place, entry)


def _head(reply: Reply, now_ms: int) -> bytes:
    lines = [f"HTTP/1.1 {reply.status} {_phrase(reply.status)}"]
    headers = {"Content-Type": "application/json"}
    if reply.pieces is None:
        headers["Content-Length"] = str(len(reply.body))
    else:
        headers["Connection"] = "close"
    if reply.date_ahead_seconds is not None:
        headers["Date"] = formatdate(now_ms / 1000 + reply.date_ahead_seconds, usegmt=True)
    headers.update(reply.headers)
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _phrase(status: int) -> str:
    phrases = BaseHTTPRequestHandler.responses
    return phrases[status][0] if status in phrases else "Unknown"


def _small_json(payload: bytes) -> Any:
    if not payload or len(payload) > _LOGGED_BODY_BYTES:
        return None
    try:
        return orjson.loads(payload)
    except orjson.JSONDecodeError:
        return None
