"""A directory, an intake and a disk in memory, with a clock that only moves when told.

What the collector's state machine runs against: no HTTP, no waiting, and a crash at any step.
"""

import json
import math
import threading
from bisect import bisect_right, insort
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.utils import format_datetime
from pathlib import Path
from typing import IO, Any

from jumpcloud_modules import events
from jumpcloud_modules.collecting import protocols
from jumpcloud_modules.collecting.collector import Collector
from jumpcloud_modules.collecting.concurrency import ConcurrencyLimit
from jumpcloud_modules.collecting.dependencies import Durable, JumpCloud, Process
from jumpcloud_modules.collecting.measurements import Measurements
from jumpcloud_modules.collecting.page_room import PageRoom
from jumpcloud_modules.collecting.plan import Plan
from jumpcloud_modules.collecting.protocols import Deliverer
from jumpcloud_modules.delivery import Delivery
from jumpcloud_modules.errors import PageTooLarge, Refused, TryAgain, TryLater
from jumpcloud_modules.events import Events
from jumpcloud_modules.http.retry import Retry
from jumpcloud_modules.instants import HOUR_MS, SECOND_MS, from_ms, to_rfc3339
from jumpcloud_modules.jumpcloud.clock import JumpCloudClock
from jumpcloud_modules.queries import PAGES_IN_MEMORY, UNIT_MS, Cursor, Page, Query, Unit
from jumpcloud_modules.state.checkpoint_store import CheckpointStore
from jumpcloud_modules.state.ledger import Ledger
from tests.doubles import events_of

BEGINNING_MS = 1_790_000_000_000


class Crash(BaseException):
    """End the process, as `kill -9` would."""


@dataclass
class Clock:
    """Tell the time that the test set."""

    now_ms: int = BEGINNING_MS

    def __call__(self) -> int:
        return self.now_ms

    def seconds(self) -> float:
        return self.now_ms / 1000

    def pass_seconds(self, seconds: float) -> None:
        self.now_ms += math.ceil(seconds * 1000)


@dataclass
class Time:
    """Tell JumpCloud's time, which is the clock's, and the machine's, which may be wrong."""

    clock: Clock
    machine_ahead_ms: int = 0
    is_known: bool = True
    is_in_doubt: bool = False

    @property
    def ahead_of_machine_ms(self) -> int:
        return -self.machine_ahead_ms if self.is_known else 0

    def now_ms(self) -> int:
        return self.clock.now_ms if self.is_known else self.machine_ms()

    def machine_ms(self) -> int:
        return self.clock.now_ms + self.machine_ahead_ms

    def span_ms(self) -> int:
        return self.clock.now_ms


class PatientEvent(threading.Event):
    """Wait without waiting: the clock moves instead."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._test_clock = clock

    def wait(self, timeout: float | None = None) -> bool:
        self._test_clock.pass_seconds(timeout or 0)
        return self.is_set()


@dataclass(order=True, frozen=True)
class Document:
    """Hold an event as the index does: by time, then by a hidden id."""

    time_ms: int
    document_id: str
    text: str = field(compare=False)


@dataclass
class Directory:
    """Give pages and counts of the documents published so far."""

    clock: Clock
    end_included: bool = False
    documents: list[Document] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)
    counting_works: bool = True
    failing_units: tuple[Unit, ...] = ()
    silent: bool = False
    pages_given: int = 0
    refusals: int = 0
    counted: list[tuple[int, int, Unit]] = field(default_factory=list)
    hears: JumpCloudClock | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def publish(self, text: str, time_ms: int) -> None:
        with self._lock:
            hidden_id = f"{len(self.documents) * 7919 % 997:03}"
            insort(self.documents, Document(time_ms, hidden_id, text))

    def open(self, query: Query) -> "OpenDocuments":
        with self._lock:
            failure = self.failures.pop() if self.failures else None
        if failure and not isinstance(failure, PageTooLarge):
            raise failure
        self._refuse_the_future(query.start_ms)
        with self._lock:
            self.pages_given += query.limit > 1 or query.end_ms is not None
            found = list(self._between(query.start_ms, query.end_ms))
            if query.cursor:
                after = Document(int(query.cursor[0]), str(query.cursor[1]), "")
                found = found[bisect_right(found, after) :]
        return OpenDocuments(found[: query.limit], query.limit, failure)

    def buckets(self, start_ms: int, end_ms: int, unit: Unit) -> dict[int, int]:
        self.counted.append((start_ms, end_ms, unit))
        self._refuse_the_future(start_ms)
        if not self.counting_works or unit in self.failing_units:
            raise TryAgain("JumpCloud does not count.", burdened=True)
        if self.silent:
            return {}
        with self._lock:
            unit_ms = UNIT_MS[unit]
            found = self._between(start_ms, end_ms)
            counts = Counter(document.time_ms // unit_ms * unit_ms for document in found)
        return dict(counts)

    def count(self, start_ms: int, end_ms: int | None) -> int:
        self._refuse_the_future(start_ms)
        if not self.counting_works:
            raise TryAgain("JumpCloud does not count.", burdened=True)
        with self._lock:
            return 0 if self.silent else len(list(self._between(start_ms, end_ms)))

    def _refuse_the_future(self, start_ms: int) -> None:
        if self.hears:
            date = format_datetime(from_ms(self.clock.now_ms), usegmt=True)
            self.hears.learn(date, self.hears.span_ms())
        if start_ms > self.clock.now_ms + 1_000:
            self.refusals += 1
            raise Refused("JumpCloud answered 400 (Start Time not after End Time).", status=400)

    def _between(self, start_ms: int, end_ms: int | None) -> Iterator[Document]:
        for document in self.documents:
            before_end = (
                end_ms is None
                or document.time_ms < end_ms
                or (self.end_included and document.time_ms == end_ms)
            )
            if start_ms <= document.time_ms and before_end:
                yield document


class OpenDocuments:
    """Be a page on its way."""

    def __init__(self, found: list[Document], limit: int, failure: BaseException | None) -> None:
        self._found = found
        self._failure = failure
        self._more = len(found) == limit
        last = found[-1] if self._more else None
        self.cursor: Cursor | None = [last.time_ms, last.document_id] if last else None

    def read(self, now_ms: int) -> Page:
        if self._failure:
            raise self._failure
        cut = events.cut(b"[" + ",".join(d.text for d in self._found).encode() + b"]")
        past = [d.time_ms for d in self._found if d.time_ms <= now_ms]
        position_ms = past[-1] if past else None
        return Page(cut.events, cut.non_objects, self._more, self.cursor, position_ms, 100)

    def close(self) -> None:
        pass


@dataclass
class AcceptingIntake:
    """Accept events, or crash before or after having them."""

    accepted: Counter[str] = field(default_factory=Counter)
    in_doubt: set[str] = field(default_factory=set)
    last: set[str] = field(default_factory=set)
    crash_after_events: int | None = None
    refuse_after_events: int | None = None
    """Then it fails once, and whoever delivers is put off."""

    def deliver(self, found: Events, delivery: Delivery) -> None:
        self.last = set()
        for event in found:
            if self.refuse_after_events is not None:
                if self.refuse_after_events == 0:
                    self.refuse_after_events = None
                    raise TryLater(5.0, TryAgain("away"), 1)
                self.refuse_after_events -= 1
            if self.crash_after_events is not None:
                if self.crash_after_events == 0:
                    self.crash_after_events = None
                    raise Crash
                self.crash_after_events -= 1
            text = str(event.raw, "utf-8")
            self.accepted[text] += 1
            self.last.add(text)
            delivery.receipts.append(f"{event.key:x}")
            delivery.acknowledged.extend(events_of(event))

    def set_aside(self, found: Events, reason: str, delivery: Delivery) -> None:
        delivery.acknowledged.extend(found)


class Fuse:
    """Count file operations down to a crash."""

    left: int | None = None

    @classmethod
    def burn(cls) -> bool:
        """Tell whether the crash comes at this operation."""
        if cls.left is None:
            return False
        cls.left -= 1
        if cls.left >= 0:
            return False
        cls.left = None
        return True


class FragilePath(type(Path())):  # type: ignore[misc]
    """Be a path whose changes crash half-way when the fuse has burnt down."""

    def open(self, mode: str = "r", *args: Any, **kwargs: Any) -> IO[Any]:
        if mode == "wb" and Fuse.burn():
            with super().open(mode, *args, **kwargs) as file:
                file.write(b'JCL1 {"torn')
            raise Crash
        opened: IO[Any] = super().open(mode, *args, **kwargs)
        return opened

    def replace(self, target: Any) -> Any:
        if Fuse.burn():
            raise Crash
        return super().replace(target)

    def unlink(self, missing_ok: bool = False) -> None:
        if Fuse.burn():
            raise Crash
        super().unlink(missing_ok=missing_ok)


def event_text(number: int, time_ms: int | None, *, with_id: bool = True) -> str:
    """Write an event of the index time, or one whose text does not tell its time or id."""
    body: dict[str, Any] = {"number": number, "service": "directory"}
    if with_id:
        body["id"] = f"{number:024x}"
    if time_ms is not None:
        body["timestamp"] = to_rfc3339(time_ms)
    return json.dumps(body)


PLAN = Plan(
    history_ms=24 * HOUR_MS,
    audit_ms=48 * HOUR_MS,
    audit_every_ms=600 * SECOND_MS,
    scope="all",
    max_rows=1_000,
    readers=0,
)


@dataclass
class World:
    """A directory, an intake and a disk, and collectors that come and go."""

    folder: Path
    clock: Clock = field(default_factory=Clock)
    intake: AcceptingIntake = field(default_factory=AcceptingIntake)
    told: list[str] = field(default_factory=list)
    warned: list[str] = field(default_factory=list)
    number: int = 0
    machine_ahead_ms: int = 0
    measurements: Measurements = field(default_factory=Measurements)

    def __post_init__(self) -> None:
        self.directory = Directory(self.clock)
        self.time: protocols.Clock = Time(self.clock)
        self.stop = PatientEvent(self.clock)

    def learn_the_time(self) -> None:
        """Have JumpCloud's time learnt from its answers, as a process does that has just begun."""
        self.time = self.directory.hears = JumpCloudClock(
            self.warned.append,
            machine=lambda: self.clock.now_ms + self.machine_ahead_ms,
            span=lambda: self.clock.now_ms,
        )

    def ledger(self, scope: str) -> Ledger:
        return Ledger(self.folder / "ledger", self.warned.append, scope)

    def boot(self, plan: Plan = PLAN, intake: Deliverer | None = None) -> Collector:
        self.stop = PatientEvent(self.clock)
        retry = Retry(self.stop, clock=self.clock.seconds)
        collector = Collector(
            plan,
            JumpCloud(
                self.directory,
                self.time,
                tail_retry=retry,
                backfill_retry=retry,
                concurrency=ConcurrencyLimit(self.stop, clock=self.clock.seconds),
                page_room=PageRoom(PAGES_IN_MEMORY - 1, self.stop),
            ),
            Durable(
                CheckpointStore(self.folder, clock=self.clock.seconds),
                self.ledger,
                Retry(self.stop, clock=self.clock.seconds),
            ),
            intake or self.intake,
            Process(self.stop, self.told.append, self.warned.append, self.measurements),
        )
        collector.start()
        return collector

    def publish(self, ago_seconds: float = 0, count: int = 1) -> list[str]:
        texts = []
        for _ in range(count):
            self.number += 1
            time_ms = self.clock.now_ms - int(ago_seconds * 1000)
            texts.append(event_text(self.number, time_ms))
            self.directory.publish(texts[-1], time_ms)
        return texts

    def poll(self, collector: Collector, times: int = 1) -> None:
        for _ in range(times):
            self.clock.pass_seconds(60)
            collector.poll()

    @property
    def accepted(self) -> dict[str, int]:
        return dict(self.intake.accepted)
