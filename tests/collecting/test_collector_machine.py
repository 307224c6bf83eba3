"""The collector as a state machine: any script of events, faults and crashes keeps the promises.

Half of the scripts are those of one organization among many: no failure is waited for, and what is
done beside the polls is done in any order, whenever the scheduler comes to it.
"""

import contextlib
import shutil
import tempfile
from collections.abc import Callable
from unittest import mock

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from jumpcloud_modules.collecting import slicing
from jumpcloud_modules.collecting.collector import Collector
from jumpcloud_modules.collecting.concurrency import ConcurrencyLimit
from jumpcloud_modules.collecting.dependencies import Durable, JumpCloud, Process
from jumpcloud_modules.collecting.page_room import PageRoom
from jumpcloud_modules.collecting.plan import Plan
from jumpcloud_modules.collecting.readers import Task
from jumpcloud_modules.errors import PageTooLarge, Refused, TryAgain, TryLater
from jumpcloud_modules.http.retry import Retry
from jumpcloud_modules.instants import HOUR_MS
from jumpcloud_modules.jumpcloud.clock import JumpCloudClock
from jumpcloud_modules.queries import PAGES_IN_MEMORY, Unit
from jumpcloud_modules.state import ledger, ledger_files
from jumpcloud_modules.state.checkpoint_store import CheckpointStore
from jumpcloud_modules.state.ledger import Ledger
from tests.world import (
    AcceptingIntake,
    Clock,
    Crash,
    Directory,
    FragilePath,
    Fuse,
    PatientEvent,
    event_text,
)

LATENESS_SECONDS = (0, 1, 5, 60, 240, 3_000, 36_000, 3 * 86_400)
PAUSES_SECONDS = (0, 1, 60, 240, 601, 3_000, 36_000, 3 * 86_400)
CLOCK_STEPS_SECONDS = (0, 5, -5, 600, -600, 2 * 3_600, -8 * 3_600, 8 * 86_400, 100 * 86_400)
AUDIT_MS = 168 * HOUR_MS
MAX_OUTAGE_MS = 80 * HOUR_MS
"""So that the latest events, three days late, are still audited when polling goes on."""

page_failures = st.sampled_from(
    [
        TryAgain("a timeout", burdened=True),
        TryAgain("a 429", limited=True, retry_after_seconds=3),
        TryAgain("a reset"),
        Refused("a 401"),
        PageTooLarge("too large"),
    ]
)


class CollectorMachine(RuleBasedStateMachine):
    """Drive a collector against a directory, an intake and a disk, and compare with a set."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.folder = FragilePath(tempfile.mkdtemp(prefix="collector-"))
        self.directory = Directory(self.clock)
        self.machine_ahead_ms = 0
        self.scope = "all"
        self.intake = AcceptingIntake()
        self.expected: set[str] = set()
        self.number = 0
        self.newest_ms = 0
        self.polled_ms = self.clock.now_ms
        self.is_one_of_many = False
        self.beside: list[tuple[float, Task]] = []
        self.collector: Collector | None = None
        Fuse.left = None
        self.patches = [
            mock.patch.object(slicing, "MIN_EVENTS_A_SLICE", 3),
            mock.patch.object(ledger_files, "MAX_UNCOMPACTED_ENTRIES", 12),
            mock.patch.object(ledger, "MAX_KEYS_IN_USE", 5),
        ]
        for patch in self.patches:
            patch.start()

    def teardown(self) -> None:
        try:
            self.check_the_promises()
        finally:
            Fuse.left = None
            for patch in self.patches:
                patch.stop()
            shutil.rmtree(self.folder, ignore_errors=True)

    @initialize(
        rows=st.integers(1, 7),
        end_included=st.booleans(),
        history=st.sampled_from([0, 24]),
        is_one_of_many=st.booleans(),
    )
    def choose(self, rows: int, end_included: bool, history: int, *, is_one_of_many: bool) -> None:
        self.rows = rows
        self.is_one_of_many = is_one_of_many
        self.directory.end_included = end_included
        self.history_ms = history * HOUR_MS
        self.beginning_ms = self.clock.now_ms - self.history_ms
        self.boot()

    # What happens in the directory

    @rule(lateness=st.sampled_from(LATENESS_SECONDS), count=st.integers(1, 12))
    def publish(self, lateness: int, count: int) -> None:
        """Events appear that happened now, or a while ago."""
        for index in range(count):
            self.add(self.clock.now_ms - lateness * 1000 - 250 * index)

    @rule(count=st.integers(2, 9))
    def publish_in_one_instant(self, count: int) -> None:
        """More events share a millisecond than a page holds."""
        for _ in range(count):
            self.add(self.newest_ms or self.clock.now_ms)

    @rule(seconds=st.sampled_from([1, 30, 3_600, 400 * 86_400]))
    def publish_from_the_future(self, seconds: int) -> None:
        """An event claims to happen later."""
        self.add(self.clock.now_ms + seconds * 1000)

    @rule(with_time=st.booleans())
    def publish_without_identity(self, with_time: bool) -> None:
        """An event carries no id, or neither id nor time."""
        time_ms = self.clock.now_ms
        text = event_text(self.next_number(), time_ms if with_time else None, with_id=False)
        self.publish_text(text, time_ms)

    @precondition(lambda self: self.directory.documents)
    @rule(data=st.data())
    def publish_again(self, data: st.DataObject) -> None:
        """The very same event is in the index twice."""
        document = data.draw(st.sampled_from(self.directory.documents))
        self.directory.publish(document.text, document.time_ms)

    # What goes wrong

    @rule(failures=st.lists(page_failures, min_size=1, max_size=5))
    def fail_pages(self, failures: list[Exception]) -> None:
        """The next pages fail."""
        self.directory.failures += failures

    @rule(works=st.booleans())
    def break_counting(self, works: bool) -> None:
        """Counts fail, or work again."""
        self.directory.counting_works = works

    @rule(units=st.sampled_from([(), ("h",), ("m",)]), silent=st.booleans())
    def have_counts_lie(self, units: tuple[Unit, ...], *, silent: bool) -> None:
        """Counts fail by the hour or by the minute only, or say that there is nothing."""
        self.directory.failing_units = units
        self.directory.silent = silent

    @rule(seconds=st.sampled_from(CLOCK_STEPS_SECONDS))
    def step_the_machines_clock(self, seconds: int) -> None:
        """The clock of the machine is set, rightly or wrongly."""
        self.machine_ahead_ms = seconds * 1000

    @rule(scope=st.sampled_from(["all", "sso", "another organization"]))
    def change_the_scope(self, scope: str) -> None:
        """Something else is asked for from here on, when all is well."""
        self.settle()
        if scope != self.scope:
            self.scope = scope
            self.beginning_ms = self.clock.now_ms
            self.boot()

    @rule(seconds=st.sampled_from(PAUSES_SECONDS))
    def wait(self, seconds: int) -> None:
        """Time passes without a poll: a pause, or an outage of our own."""
        if self.clock.now_ms - self.polled_ms + seconds * 1000 < MAX_OUTAGE_MS:
            self.clock.pass_seconds(seconds)

    @rule()
    def restart(self) -> None:
        """The process is stopped and started."""
        self.boot()

    @rule(events=st.integers(0, 6))
    def crash_while_delivering(self, events: int) -> None:
        """The process is killed when the intake has some of a batch."""
        self.intake.crash_after_events = events
        self.poll()
        self.intake.crash_after_events = None

    @rule(operations=st.integers(0, 12))
    def crash_while_writing(self, operations: int) -> None:
        """The process is killed in the middle of a file operation."""
        Fuse.left = operations
        self.poll()
        Fuse.left = None

    @rule(operations=st.integers(0, 6))
    def crash_while_starting(self, operations: int) -> None:
        """The process is killed while it starts."""
        Fuse.left = operations
        with contextlib.suppress(Crash):
            self.boot()
        Fuse.left = None
        self.boot()

    @rule()
    def poll(self) -> None:
        """The collector polls, and is started again when that kills it."""
        self.clock.pass_seconds(1)
        self.polled_ms = self.clock.now_ms
        self.survive(self.running.poll)

    @precondition(lambda self: self.beside)
    @rule(data=st.data())
    def do_something_beside(self, data: st.DataObject) -> None:
        """The scheduler comes to a window or to counts, in whatever order."""
        self.do_beside(data.draw(st.integers(0, len(self.beside) - 1)))

    @precondition(lambda self: self.is_one_of_many)
    @rule(events=st.integers(0, 6))
    def fail_while_delivering(self, events: int) -> None:
        """The intake is away when it has some of a batch: the thread goes to somebody else."""
        self.intake.refuse_after_events = events
        self.poll()

    def do_beside(self, place: int) -> None:
        due_at, task = self.beside.pop(place)
        self.clock.pass_seconds(max(0.0, due_at - self.clock.seconds()))
        self.survive(task)

    def survive(self, step: Callable[[], None]) -> None:
        """Do a step; what was to be tried later is, and what kills the process starts it anew."""
        try:
            step()
        except TryLater:
            return
        except Crash:
            self.intake.in_doubt |= self.intake.last
            Fuse.left = None
            self.boot()

    @invariant()
    def nothing_is_delivered_that_was_not_published(self) -> None:
        """What the intake has is what the directory gave, to the letter."""
        published = {document.text for document in self.directory.documents}

        assert set(self.intake.accepted) <= published

    @invariant()
    def nothing_is_delivered_twice_but_what_was_in_flight_at_a_crash(self) -> None:
        """Only events that a crash left in doubt may come twice."""
        twice = {text for text, count in self.intake.accepted.items() if count > 1}

        assert twice <= self.intake.in_doubt

    def check_the_promises(self) -> None:
        """Whatever happened, all that is in reach arrives once things work again."""
        if self.collector is None:
            return
        self.settle()

        assert self.expected - set(self.intake.accepted) == set()
        self.nothing_is_delivered_that_was_not_published()
        self.nothing_is_delivered_twice_but_what_was_in_flight_at_a_crash()

    # Means

    def settle(self) -> None:
        """Let things work again for a while."""
        self.directory.failures.clear()
        self.directory.counting_works, self.directory.silent = True, False
        self.directory.failing_units = ()
        self.intake.crash_after_events = Fuse.left = None
        self.intake.refuse_after_events = None
        for _ in range(4):
            self.clock.pass_seconds(700)
            self.poll()
            while self.beside:
                self.do_beside(0)

    @property
    def running(self) -> Collector:
        assert self.collector is not None
        return self.collector

    def boot(self) -> None:
        stop = PatientEvent(self.clock)
        waits = not self.is_one_of_many
        retry = Retry(stop, clock=self.clock.seconds, waits=waits)
        beside = self.beside = []

        def spawn(task: Task, after_seconds: float) -> None:
            beside.append((self.clock.seconds() + after_seconds, task))

        self.directory.hears = JumpCloudClock(
            machine=lambda: self.clock.now_ms + self.machine_ahead_ms,
            span=lambda: self.clock.now_ms,
        )
        self.collector = Collector(
            Plan(
                self.history_ms,
                AUDIT_MS,
                600_000,
                self.scope,
                self.rows,
                readers=2 if self.is_one_of_many else 0,
            ),
            JumpCloud(
                self.directory,
                self.directory.hears,
                tail_retry=retry,
                backfill_retry=retry,
                concurrency=ConcurrencyLimit(stop, clock=self.clock.seconds),
                page_room=PageRoom(PAGES_IN_MEMORY - 1, stop),
            ),
            Durable(
                CheckpointStore(self.folder, clock=self.clock.seconds),
                lambda scope: Ledger(self.folder / "ledger", scope=scope),
                Retry(stop, clock=self.clock.seconds),
            ),
            self.intake,
            Process(
                stop,
                tell=lambda _: None,
                warn=lambda _: None,
                count_beside=spawn,
                read_beside=spawn,
            ),
        )
        self.start()

    def start(self) -> None:
        while True:
            try:
                self.running.start()
            except TryLater as later:
                self.clock.pass_seconds(later.seconds)
            else:
                return

    def add(self, time_ms: int) -> None:
        self.publish_text(event_text(self.next_number(), time_ms), time_ms)

    def publish_text(self, text: str, time_ms: int) -> None:
        self.newest_ms = max(self.newest_ms, time_ms)
        self.directory.publish(text, time_ms)
        if self.is_promised(time_ms):
            self.expected.add(text)

    def is_promised(self, time_ms: int) -> bool:
        """Tell whether an event is within reach: after the beginning, and still audited."""
        audited_after_an_outage = self.clock.now_ms + MAX_OUTAGE_MS - AUDIT_MS + 2 * HOUR_MS
        return time_ms >= max(self.beginning_ms, audited_after_an_outage)

    def next_number(self) -> int:
        self.number += 1
        return self.number


TestCollectorMachine = CollectorMachine.TestCase
TestCollectorMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
