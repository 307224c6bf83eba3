"""An emulated Sekoia intake: takes batches, gives receipts, keeps what it took.

Knows requests and replies; knows no sockets.
"""

from __future__ import annotations

import threading
import time
import uuid
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Literal

import orjson

from sandbox.faults import Faults
from sandbox.http import Reply, Request, RequestLog, json_reply
from sandbox.instants import now_ms

INTAKE_KEY = "sandbox_intake_key"
MAX_PAYLOAD_BYTES = 10 * 1024 * 1024
MAX_EVENT_BYTES = 250 * 1024
_UNKNOWN_KEPT = 1_000


def digest_of(text: bytes) -> bytes:
    """Reduce an event's bytes to 16 bytes."""
    return blake2b(text, digest_size=16).digest()


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch that was accepted: the place of its first event, when it came, and for whom.

    `organization` is the id of the one whose key it came with, empty for the intake's own key.
    """

    first: int
    count: int
    monotonic: float
    epoch_ms: int
    organization: str = ""


@dataclass(frozen=True, slots=True)
class Arrival:
    """An accepted event."""

    digest: bytes
    length: int
    epoch_ms: int
    organization: str = ""


class Intake:
    """The state of one server for intakes, and its answers.

    `keys`: further intake keys, each with the id of the organization whose events it takes.
    `known`: with it, the text of an event is kept only where the function does not know the
    digest (and of those the first thousand), so that a benchmark's memory stays small.
    """

    name = "intake"

    def __init__(
        self,
        *,
        intake_key: str = INTAKE_KEY,
        keys: Mapping[str, str] | None = None,
        wrong_key_status: Literal[401, 403, 404] = 401,
        known: Callable[[bytes], bool] | None = None,
    ) -> None:
        self.intake_key = intake_key
        self.keys = dict(keys or {})
        self.refused_keys: set[str] = set()
        self.wrong_key_status: int = wrong_key_status
        self.faults = Faults(organization_of=self.organization_of)
        self.requests = RequestLog()
        self.errors: list[str] = []
        self.url = ""
        self._known = known
        self._lock = threading.Lock()
        self._texts: list[tuple[bytes, str]] = []
        self._digests: list[bytes] = []
        self._lengths = array("L")
        self._batches: list[Batch] = []
        self._refused: list[bytes] = []

    @property
    def count(self) -> int:
        """Count the events accepted."""
        return len(self._digests)

    @property
    def texts(self) -> list[bytes]:
        """List the accepted events' bytes in order (only the unknown ones where `known` is set)."""
        with self._lock:
            return [text for text, _ in self._texts]

    @property
    def digests(self) -> list[bytes]:
        """List the accepted events' digests in order."""
        with self._lock:
            return list(self._digests)

    @property
    def organizations(self) -> frozenset[str]:
        """Return the ids of those that have a key of their own."""
        return frozenset(self.keys.values())

    def accepted_since(self, place: int) -> list[tuple[str, list[bytes]]]:
        """List the batches from the one on that begins at a place in the order of all events.

        Each with the organization whose key it came with, and the digests of its events.
        """
        with self._lock:
            first = bisect_left(self._batches, place, key=lambda batch: batch.first)
            return [
                (b.organization, self._digests[b.first : b.first + b.count])
                for b in self._batches[first:]
            ]

    @property
    def batches(self) -> list[Batch]:
        """List the accepted batches in order."""
        with self._lock:
            return list(self._batches)

    @property
    def refused(self) -> list[bytes]:
        """List the events that were refused for their size."""
        with self._lock:
            return list(self._refused)

    def strangers(self, known: Callable[[bytes], bool]) -> list[tuple[bytes, str]]:
        """List the accepted texts whose digest a function does not know, and whose key each had."""
        with self._lock:
            texts = list(self._texts)
        return [(text, owner) for text, owner in texts if not known(digest_of(text))]

    def arrivals(self) -> Iterator[Arrival]:
        """Yield each accepted event with the time of its batch."""
        batches = self.batches
        firsts = [batch.first for batch in batches]
        for place, digest in enumerate(self.digests):
            batch = batches[bisect_right(firsts, place) - 1]
            yield Arrival(digest, self._lengths[place], batch.epoch_ms, batch.organization)

    def answer(self, request: Request) -> Reply:
        """Answer a request as the intake would."""
        if request.endpoint != "batch":
            return _refusal(404, "no such endpoint")
        if request.method != "POST":
            return _refusal(405, "POST only")
        if max(len(request.payload), request.received_bytes) > MAX_PAYLOAD_BYTES:
            return _refusal(413, "the payload is larger than 10 MiB")
        try:
            batch = request.json()
        except orjson.JSONDecodeError:
            return _refusal(400, "the payload is not JSON")
        return self._take(batch)

    def organization_of(self, request: Request) -> str:
        """Return the id of the organization whose key a request carries, empty for any other."""
        try:
            return self.keys.get(request.json()["intake_key"], "")
        except (orjson.JSONDecodeError, KeyError, TypeError):
            return ""

    def _take(self, batch: Any) -> Reply:
        if not isinstance(batch, dict) or not isinstance(batch.get("jsons"), list):
            return _refusal(400, "intake_key and jsons are required")
        key = str(batch.get("intake_key"))
        is_known = key == self.intake_key or key in self.keys
        if not is_known or key in self.refused_keys:
            return _refusal(self.wrong_key_status, "the intake key is not valid")
        if not all(isinstance(text, str) for text in batch["jsons"]):
            return _refusal(400, "jsons must hold strings")
        texts = [text.encode() for text in batch["jsons"]]
        small = [text for text in texts if len(text) <= MAX_EVENT_BYTES]
        if len(small) < len(texts):
            with self._lock:
                self._refused += [text for text in texts if len(text) > MAX_EVENT_BYTES]
            if not small:
                return _refusal(413, "every event is larger than 250 KiB")
        self._keep(small, self.keys.get(key, ""))
        return _receipts(len(small))

    def _keep(self, texts: list[bytes], organization: str) -> None:
        digests = [digest_of(text) for text in texts]
        known = self._known
        with self._lock:
            if known is None:
                self._texts += [(text, organization) for text in texts]
            elif len(self._texts) < _UNKNOWN_KEPT:
                strange = (t for t, d in zip(texts, digests, strict=True) if not known(d))
                self._texts += [(text, organization) for text in strange]
            first, came = len(self._digests), time.monotonic()
            self._batches.append(Batch(first, len(texts), came, now_ms(), organization))
            self._digests += digests
            self._lengths.extend(map(len, texts))


def _receipts(count: int) -> Reply:
    stem = str(uuid.uuid4())[:24]
    ids = '","'.join([f"{stem}{number:012x}" for number in range(count)])
    body = f'{{"event_ids":["{ids}"]}}' if count else '{"event_ids":[]}'
    return Reply(200, body.encode(), events=count)


def _refusal(status: int, message: str) -> Reply:
    return json_reply(status, {"error": message})
