"""Where each microsecond of an event goes: the way through, step by step, on one core.

The product's own functions are called one after the other in one thread, over pages that are as
large as the product's; what is timed is the processor, so waiting for the other end is left out.
"""

from __future__ import annotations

import gc
import gzip
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import msgspec
import orjson
from isal import igzip

from benchmarks import workload
from jumpcloud_modules import events
from jumpcloud_modules.checkpoint import Checkpoint
from jumpcloud_modules.collecting.page_size import PAGE_BYTES
from jumpcloud_modules.http.client import Body, Transport
from jumpcloud_modules.http.redaction import Secrets
from jumpcloud_modules.instants import to_rfc3339
from jumpcloud_modules.intake.batches import compressed_body
from jumpcloud_modules.state.checkpoint_store import CheckpointStore
from jumpcloud_modules.state.ledger import Ledger
from sandbox.apart import SandboxProcess

EVENTS = 60_000
PAGE_EVENTS = PAGE_BYTES // 1_200
ROUNDS = 5
_MAX_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Step:
    """What one step costs an event; the floor is what nobody can leave out."""

    name: str
    microseconds: float
    is_floor: bool


FETCH = "fetch the page through requests"
SLICE = "cut it into raw slices"
IDENTITY = "read id and time of each"
KEY = "hash the keys, parse the times"
CLAIM = "ask the ledger what is new"
BODY = "the JSON body"
GZIP = "gzip (ISA-L)"
PUSH = "push the body through requests"
RECORD = "record in the ledger"
COMMIT = "commit ledger and progress"
FLOOR = frozenset({FETCH, SLICE, IDENTITY, BODY, GZIP, PUSH})
ORDER = (FETCH, SLICE, IDENTITY, KEY, CLAIM, BODY, GZIP, PUSH, RECORD, COMMIT)


class _Identity(msgspec.Struct, gc=False):
    id: msgspec.Raw = msgspec.Raw()
    timestamp: msgspec.Raw = msgspec.Raw()


_slice = msgspec.json.Decoder(list[msgspec.Raw]).decode
_identify = msgspec.json.Decoder(_Identity).decode


class Stopwatch:
    """Add up processor time by step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def timing(self, step: str) -> Iterator[None]:
        """Count what a `with` block costs this process."""
        began = time.process_time()
        yield
        self.seconds[step] += time.process_time() - began


def measure(count: int = EVENTS, rounds: int = ROUNDS) -> tuple[Step, ...]:
    """Go the way through several times; return the medians."""
    gc.freeze()  # as main.py does
    past = workload.past(count, 0.0)
    found: list[dict[str, float]] = []
    with SandboxProcess() as sandbox:
        for first in range(0, len(past), PAGE_EVENTS):
            sandbox.publish(past[first : first + PAGE_EVENTS])
        for _ in range(rounds):
            with TemporaryDirectory(prefix="benchmark-") as folder:
                found.append(_one_round(sandbox, Path(folder), past[0].time_ms - 1_000, count))
    return tuple(
        Step(step, median(seconds[step] for seconds in found) / count * 1e6, step in FLOOR)
        for step in ORDER
    )


def _one_round(
    sandbox: SandboxProcess, folder: Path, start_ms: int, count: int
) -> dict[str, float]:
    watch = Stopwatch()
    addresses = sandbox.addresses
    jumpcloud = Transport(
        "JumpCloud", addresses.jumpcloud_url, {"x-api-key": addresses.api_key}, Secrets()
    )
    intake = Transport("The intake", addresses.intake_url, {}, Secrets())
    ledger, state = Ledger(folder / "ledger"), CheckpointStore(folder)
    cursor, left = None, count
    while left > 0:
        with watch.timing(FETCH):
            page, cursor = _fetch(jumpcloud, addresses.jumpcloud_url, start_ms, cursor)
        found = _cut(page, watch)
        with ExitStack() as claims:
            with watch.timing(CLAIM):
                fresh = claims.enter_context(ledger.claim(found))
            body = _encode(fresh, addresses.intake_key, watch)
            with watch.timing(PUSH):
                _push(intake, addresses.intake_url, body)
            with watch.timing(RECORD):
                ledger.record(fresh, start_ms)
                ledger.write()
                claims.close()
        with watch.timing(COMMIT):
            if state.is_save_due:
                ledger.commit()
                state.save(Checkpoint(start_ms, found[-1].time_ms or start_ms))
        left -= len(found)
    return watch.seconds


def _fetch(jumpcloud: Transport, url: str, start_ms: int, cursor: object) -> tuple[Body, object]:
    query = {
        "service": ["all"],
        "start_time": to_rfc3339(start_ms),
        "sort": "ASC",
        "limit": PAGE_EVENTS,
    }
    if cursor:
        query["search_after"] = cursor
    path = "/insights/directory/v1/events"
    headers = {"Content-Type": "application/json"}
    with jumpcloud.post(url + path, orjson.dumps(query), headers) as answer:
        answer.raise_for_status()
        page = jumpcloud.read(answer, _MAX_BYTES)
        return page, orjson.loads(answer.headers["X-Search_after"])


def _cut(page: Body, watch: Stopwatch) -> events.Events:
    with watch.timing(SLICE):
        slices = _slice(page)
    with watch.timing(IDENTITY):
        for text in slices:
            _identify(text)
    del slices
    parts = watch.seconds[SLICE] + watch.seconds[IDENTITY]
    with watch.timing("all of it"):
        found = events.cut(page).events
    watch.seconds[KEY] = watch.seconds["all of it"] - parts
    return found


def _encode(fresh: events.Events, intake_key: str, watch: Stopwatch) -> bytes:
    with watch.timing("body and gzip"):
        compressed = compressed_body(fresh.raws, intake_key)
    plain = gzip.decompress(compressed)
    with watch.timing(GZIP):
        igzip.compress(plain, 1)
    watch.seconds[BODY] = watch.seconds["body and gzip"] - watch.seconds[GZIP]
    return compressed


def _push(intake: Transport, url: str, body: bytes) -> None:
    with intake.post(f"{url}/batch", body, {"Content-Encoding": "gzip"}) as answer:
        answer.raise_for_status()
        orjson.loads(intake.read(answer, _MAX_BYTES))
