"""HTTP requests as this project makes them: bounded, redirects refused, failures named.

Knows neither JumpCloud nor the intake; both speak through it.
"""

import gzip
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from time import monotonic

import requests
from isal import isal_zlib
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError

from jumpcloud_modules.errors import CollectorError, PageTooLarge, Refused, TryAgain
from jumpcloud_modules.http.backoff import retry_after_seconds
from jumpcloud_modules.http.buffers import Buffers
from jumpcloud_modules.http.redaction import Secrets
from jumpcloud_modules.http.route import host_of, route_to
from jumpcloud_modules.queries import PAGES_IN_MEMORY

CONNECT_TIMEOUT_SECONDS = 10.0
"""The time to connect, at most."""
SILENCE_TIMEOUT_SECONDS = 30.0
"""The time between two pieces of an answer, at most."""
ANSWER_TIMEOUT_SECONDS = 300.0
"""The time of a whole body, looked at between two pieces; the headers came before it."""
_PIECE_BYTES = 1 << 18
_CONNECTIONS = 16
_QUOTED_CHARACTERS = 300
_PREPARED_KEPT = 32

Body = bytes | memoryview
Observe = Callable[[str, int | None, float], None]
"""Hear of a request: the last part of its path, the status (None: no answer), and the seconds until
the answer's headers were in, or until it was given up."""


def unobserved(_endpoint: str, _status: int | None, _seconds: float) -> None:
    """Take no note of a request."""


class Transport:
    """Keep connections to one remote end at `url`; `end` is its name in messages.

    Requests go through an adapter: a session would follow redirects, collect cookies, and look
    for proxies on the disk each time.
    `secrets` are blanked out of everything quoted from an answer. Raises CannotWork where the
    environment names a proxy or certificates that cannot work. `observe` hears of each request.
    """

    def __init__(
        self,
        end: str,
        url: str,
        headers: dict[str, str],
        secrets: Secrets,
        observe: Observe = unobserved,
    ) -> None:
        self.end = end
        self._observe = observe
        self._secrets = secrets
        self._buffers = Buffers(max_kept=PAGES_IN_MEMORY)
        self._session = requests.Session()
        self._session.headers.update(headers)
        # requests would look for credentials in .netrc, and put them in the place of ours.
        self._session.trust_env = False
        self._route = route_to(url, secrets)
        # Enough for each reader's page and the one it asked for ahead: a connection that does not
        # fit is closed after one use, and the next request pays for a TLS handshake.
        self._adapter = HTTPAdapter(pool_maxsize=_CONNECTIONS)
        self._prepared: dict[tuple[str, str], requests.PreparedRequest] = {}

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> requests.Response:
        """Send a body and return as soon as the answer's headers are in, whatever its status.

        Raises TryAgain where no answer came.
        """
        return self.send("POST", url, body, headers)

    def send(
        self, method: str, url: str, body: bytes | None, headers: Mapping[str, str]
    ) -> requests.Response:
        """Send a request of any method, as `post` does."""
        began, status = monotonic(), None
        try:
            answer = self._adapter.send(
                self._request(method, url, body, headers),
                stream=True,
                timeout=(CONNECT_TIMEOUT_SECONDS, SILENCE_TIMEOUT_SECONDS),
                verify=self._route.verify,
                proxies=self._route.proxies,
            )
            status = answer.status_code
            return answer
        # The adapter lets some of urllib3's and the socket's errors through, and ValueError for an
        # address that it cannot read.
        except (requests.RequestException, HTTPError, OSError, ValueError) as error:
            raise self._no_answer(error, url) from None
        finally:
            endpoint = url.partition("?")[0].rpartition("/")[2]
            self._observe(endpoint, status, monotonic() - began)

    def read(self, answer: requests.Response, max_bytes: int) -> Body:
        """Return the answer's body, decompressed.

        Raises PageTooLarge past `max_bytes`, TryAgain where the body stops short.
        """
        stated = answer.headers.get("Content-Length", "")
        # Of the right size from the start: a buffer that grows is copied.
        usable = stated.isdecimal() and int(stated) <= max_bytes
        body = self._buffers.take(int(stated) if usable else _PIECE_BYTES)
        filled = 0
        try:
            for piece in self._pieces(answer):
                end = filled + len(piece)
                # Closed, not read to its end: nobody knows how much is still to come.
                if end > max_bytes:
                    answer.close()
                    raise self._too_large(answer, max_bytes)
                if end > len(body):
                    body = self._larger(body[:filled], end)
                body[filled:end] = piece
                filled = end
        except (HTTPError, OSError) as error:
            raise self._truncated(answer, type(error).__name__) from None
        return self._decompressed(answer, body[:filled], max_bytes)

    def _larger(self, content: memoryview, min_bytes: int) -> memoryview:
        larger = self._buffers.take(2 * min_bytes)
        larger[: len(content)] = content
        return larger

    def _pieces(self, answer: requests.Response) -> Iterator[bytes]:
        deadline = monotonic() + ANSWER_TIMEOUT_SECONDS
        # read1 returns what is there: read would wait for a full piece, however slowly it drips.
        while piece := answer.raw.read1(_PIECE_BYTES, decode_content=False):
            yield piece
            if monotonic() > deadline:
                answer.close()
                raise self._truncated(answer, "it took too long")

    def refusal(self, answer: requests.Response, request: str, remedy: str) -> CollectorError:
        """Name the error for an answer that is no success; `remedy` tells what to do about it."""
        status, request_id = answer.status_code, self.request_id(answer)
        said = self.said(answer, request)
        if status in {408, 429} or status >= 500:
            return TryAgain(
                f"{said}.",
                retry_after_seconds=retry_after_seconds(answer.headers.get("Retry-After")),
                burdened=status != 429,
                limited=status == 429,
                end=self.end,
                status=status,
                request=request,
                request_id=request_id,
            )
        if 300 <= status < 400:
            said += self._target(answer)
            remedy = "Redirects are not followed, because the key would travel along: " + remedy
        return Refused(
            f"{said}. {remedy}",
            remedy=remedy,
            end=self.end,
            status=status,
            request=request,
            request_id=request_id,
        )

    def said(self, answer: requests.Response, request: str) -> str:
        """Tell in a clause what came back to a request: the status, and the beginning of a body."""
        return f"{self.end} answered {answer.status_code} to {request}{self._quoted(answer)}"

    def request_id(self, answer: requests.Response) -> str | None:
        """Return the name that the other end gave its answer, None where it gave none."""
        header = answer.headers.get("X-Request-Id")
        return self._secrets.redact(header)[:_QUOTED_CHARACTERS] if header else None

    def _request(
        self, method: str, url: str, body: bytes | None, headers: Mapping[str, str]
    ) -> requests.PreparedRequest:
        """Prepare what all requests to a URL share once: that costs as much as sending one."""
        request = self._prepared_once(method, url).copy()
        request.headers.update(headers)
        request.prepare_body(body, None)
        return request

    def _prepared_once(self, method: str, url: str) -> requests.PreparedRequest:
        prepared = self._prepared.get((method, url))
        if prepared is None:
            prepared = self._session.prepare_request(requests.Request(method, url))
            if len(self._prepared) < _PREPARED_KEPT:  # a page's number in an address is asked once
                self._prepared[method, url] = prepared
        return prepared

    def _quoted(self, answer: requests.Response) -> str:
        try:
            body = bytes(self.read(answer, 1 << 16))
        except CollectorError:
            return ""
        # Before the tags go, which may be a part of a key, and after, which may have hidden one.
        text = re.sub(r"<[^>]*>", " ", self._secrets.redact(body.decode(errors="replace")))
        text = self._secrets.redact(" ".join(text.split()))[:_QUOTED_CHARACTERS]
        return f" ({text})" if text else ""

    def _target(self, answer: requests.Response) -> str:
        """Name where a redirect leads by its host alone: the rest of it may hold a secret."""
        host = host_of(answer.headers.get("Location", ""))[:_QUOTED_CHARACTERS]
        return f" and redirected to {self._secrets.redact(host)}" if host else ""

    def _no_answer(self, error: Exception, url: str) -> TryAgain:
        timed_out = isinstance(error, requests.Timeout)
        why = "did not answer in time" if timed_out else "could not be reached"
        way = f" through the proxy {self._route.proxy}" if self._route.proxy else ""
        reason = self._secrets.redact(_innermost(error))[:_QUOTED_CHARACTERS]
        said = f"{self.end} {why} at {host_of(url)}{way} ({reason})."
        return TryAgain(said, burdened=timed_out, end=self.end)

    def _too_large(self, answer: requests.Response, max_bytes: int) -> PageTooLarge:
        said = f"{self.end} sent more than {max_bytes} bytes at once"
        return PageTooLarge(said, end=self.end, request_id=self.request_id(answer))

    def _truncated(self, answer: requests.Response, reason: str) -> TryAgain:
        said = f"{self.end} broke off its answer ({reason})."
        return TryAgain(said, burdened=True, end=self.end, request_id=self.request_id(answer))

    def _decompressed(self, answer: requests.Response, body: memoryview, max_bytes: int) -> Body:
        if answer.headers.get("Content-Encoding", "").lower() != "gzip":
            return body
        try:
            inflating = isal_zlib.decompressobj(wbits=31)
            # One byte more than allowed tells a body that is too large from one that just fits, and
            # a body that would inflate to gigabytes stops there.
            text: bytes = inflating.decompress(body, max_bytes + 1)
        except (isal_zlib.error, gzip.BadGzipFile, EOFError) as error:  # type: ignore[misc]
            raise self._truncated(answer, f"broken gzip: {error}") from None
        if len(text) > max_bytes:
            raise self._too_large(answer, max_bytes)
        if not inflating.eof:
            raise self._truncated(answer, "broken gzip: it ends early")
        return text


Transports = Callable[[str, str, dict[str, str], Secrets, Observe], Transport]
"""Give the transport to an end: a new one, or one that is shared with others."""


class SharedTransports:
    """Give one transport for each end, address and headers; any thread may ask.

    All of them are to have the same secrets and the same `observe`: the first one's count.
    """

    def __init__(self) -> None:
        self._transports: dict[tuple[str, str, frozenset[tuple[str, str]]], Transport] = {}
        self._lock = threading.Lock()

    def __call__(
        self, end: str, url: str, headers: dict[str, str], secrets: Secrets, observe: Observe
    ) -> Transport:
        """Return the transport to an end. Raises CannotWork."""
        key = end, url, frozenset(headers.items())
        with self._lock:
            if key not in self._transports:
                self._transports[key] = Transport(end, url, headers, secrets, observe)
            return self._transports[key]


def _innermost(error: BaseException) -> str:
    """Name the first cause: the messages of requests repeat the URL and the pool instead."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__ or error
    return f"{type(error).__name__}: {error}"
