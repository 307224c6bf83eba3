"""The way through, poll by poll: what is read, delivered, committed, and in which order."""

import gc
import shutil
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from jumpcloud_modules.checkpoint import Checkpoint
from jumpcloud_modules.collecting import slicing
from jumpcloud_modules.collecting.collector import Collector
from jumpcloud_modules.collecting.concurrency import ConcurrencyLimit
from jumpcloud_modules.collecting.dependencies import Durable, JumpCloud, Process
from jumpcloud_modules.collecting.page_room import PageRoom
from jumpcloud_modules.collecting.plan import Plan
from jumpcloud_modules.delivery import Delivery
from jumpcloud_modules.errors import Refused, StateUnavailable, Stopped, TryAgain
from jumpcloud_modules.events import Events
from jumpcloud_modules.http.retry import Retry
from jumpcloud_modules.instants import HOUR_MS, MINUTE_MS, SECOND_MS
from jumpcloud_modules.intake.client import Intake, IntakeOptions
from jumpcloud_modules.intake.quarantine import Quarantine
from jumpcloud_modules.jumpcloud.clock import JumpCloudClock
from jumpcloud_modules.jumpcloud.insights import OpenPage
from jumpcloud_modules.queries import PAGES_IN_MEMORY, Page, Unit
from jumpcloud_modules.state import ledger_files
from jumpcloud_modules.state.checkpoint_store import CheckpointStore
from jumpcloud_modules.state.folder import Folder
from jumpcloud_modules.state.ledger import Ledger
from sandbox import Answers, Sandbox, faults, generate, make_event, wait_until
from sandbox.instants import now_ms
from tests.doubles import BreakingDisk, directory_insights
from tests.world import PLAN, AcceptingIntake, Crash, World, event_text


def test_new_events_are_delivered_once_each(world: World) -> None:
    """Poll by poll, however many share an instant."""
    collector = world.boot()
    texts = []

    for _ in range(5):
        texts += world.publish(count=3)
        world.poll(collector)

    assert world.accepted == dict.fromkeys(texts, 1)


def test_the_first_start_reaches_back_as_configured_and_no_further(world: World) -> None:
    """An hour before it is not this connector's concern."""
    before = world.publish(ago_seconds=24 * 3600 + 60)
    within = world.publish(ago_seconds=24 * 3600 - 60)

    world.poll(world.boot())

    assert world.accepted == dict.fromkeys(within, 1)
    assert not world.intake.accepted[before[0]]
    assert len(world.told) == 1


def test_the_first_start_is_written_down_before_the_first_page(world: World) -> None:
    """A quiet tenant that restarts an hour later misses nothing."""
    plan = Plan(0, 0, 1, "all", 100, readers=0)
    world.boot(plan)
    texts = world.publish()
    world.clock.pass_seconds(3600)

    world.poll(world.boot(plan))

    assert world.accepted == dict.fromkeys(texts, 1)


def test_a_restart_delivers_nothing_again(world: World) -> None:
    """Nor leaves anything out that came meanwhile."""
    first = world.boot()
    texts = world.publish(count=3)
    world.poll(first)
    texts += world.publish(count=2)

    world.poll(world.boot())

    assert world.accepted == dict.fromkeys(texts, 1)


def test_a_missing_ledger_is_told_and_nothing_delivered_again(world: World) -> None:
    """But for what shares the last instant: what was before it is not looked for any more."""
    first = world.boot()
    old = world.publish(ago_seconds=7200, count=3)
    at_the_watermark = world.publish(ago_seconds=30)
    world.poll(first)
    shutil.rmtree(world.folder / "ledger")

    second = world.boot()
    world.poll(second, times=12)
    new = world.publish()
    world.poll(second)

    assert len(world.warned) == 1
    assert "ledger of delivered events is missing" in world.warned[0]
    assert world.accepted == {**dict.fromkeys(old + new, 1), at_the_watermark[0]: 2}


def test_short_hours_are_counted_by_the_minute_a_day_at_a_time(world: World) -> None:
    """However many hours are short, no question grows too large to be answered."""
    plan = Plan(72 * HOUR_MS, 72 * HOUR_MS, 600_000, "all", 100, readers=0)
    collector = world.boot(plan)
    world.publish()
    world.poll(collector)
    texts = [text for hours in range(2, 60) for text in world.publish(ago_seconds=hours * 3600)]
    world.directory.counted.clear()

    world.poll(collector, times=11)

    spans = [end - start for start, end, unit in world.directory.counted if unit == "m"]
    assert all(world.accepted[text] == 1 for text in texts)
    assert max(spans) <= 24 * HOUR_MS


@pytest.mark.parametrize("late_seconds", [5, 60, 240, 50 * 60, 10 * 3600, 40 * 3600])
def test_a_late_event_is_found_by_the_next_audit(world: World, late_seconds: int) -> None:
    """However late, as far as the audit reaches and the connector was there."""
    collector = world.boot(Plan(48 * HOUR_MS, 48 * HOUR_MS, 600_000, "all", 100, readers=0))
    on_time = world.publish()
    world.poll(collector)

    late = world.publish(ago_seconds=late_seconds)
    world.poll(collector, times=11)

    assert world.accepted == dict.fromkeys([*on_time, *late], 1)


@pytest.mark.parametrize("audit_hours", [1, 2, 24])
def test_the_audit_reaches_back_as_far_as_configured(world: World, audit_hours: int) -> None:
    """At any minute of the hour."""
    plan = Plan(48 * HOUR_MS, audit_hours * HOUR_MS, 600_000, "all", 100, readers=0)
    collector = world.boot(plan)
    expected = []
    for minutes in (1, 20, 37):
        world.clock.pass_seconds(minutes * 60)
        expected += world.publish()
        world.poll(collector)

        expected += world.publish(ago_seconds=audit_hours * 3600 - 15 * 60)
        world.poll(collector, times=11)

    assert world.accepted == dict.fromkeys(expected, 1)


def test_the_audit_never_looks_before_the_beginning(world: World) -> None:
    """What happened before the first start is not lacking."""
    collector = world.boot(Plan(HOUR_MS, 48 * HOUR_MS, 600_000, "all", 100, readers=0))
    beginning_ms = collector.checkpoint.beginning_ms
    world.publish(ago_seconds=2 * 3600)
    late = world.publish(ago_seconds=1800)

    world.poll(collector, times=11)

    assert world.accepted == dict.fromkeys(late, 1)
    assert min(start_ms for start_ms, _, _ in world.directory.counted) >= beginning_ms


def test_an_audit_that_is_made_to_reach_further_delivers_nothing_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ledger has forgotten what no audit would have asked for."""
    monkeypatch.setattr(ledger_files, "MAX_UNCOMPACTED_ENTRIES", 2)
    collector = world.boot(Plan(HOUR_MS, HOUR_MS, 600_000, "all", 100, readers=0))
    texts = []
    for _ in range(12):
        texts += world.publish()
        world.clock.pass_seconds(3600)
        collector.poll()

    world.poll(world.boot(Plan(HOUR_MS, 168 * HOUR_MS, 600_000, "all", 100, readers=0)), times=12)

    assert world.accepted == dict.fromkeys(texts, 1)


def test_a_clock_that_is_set_back_a_little_delivers_nothing_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However far back the first start reached."""
    monkeypatch.setattr(ledger_files, "MAX_UNCOMPACTED_ENTRIES", 2)
    plan = Plan(1000 * HOUR_MS, 24 * HOUR_MS, 600_000, "all", 100, readers=0)
    texts = [text for hour in range(900, 0, -30) for text in world.publish(hour * 3600)]
    collector = world.boot(plan)
    for _ in range(40):
        world.clock.pass_seconds(3600)
        texts += world.publish()
        collector.poll()

    world.clock.now_ms -= 10 * SECOND_MS
    collector = world.boot(plan)
    texts += world.publish()
    world.poll(collector, times=12)

    assert "which is in the future" in world.warned[-1]
    assert world.accepted == dict.fromkeys(texts, 1)


def test_without_an_audit_nothing_is_counted(world: World) -> None:
    """The operator switched it off."""
    collector = world.boot(Plan(0, 0, 1, "all", 100, readers=0))
    world.publish()

    world.poll(collector, times=3)

    assert world.directory.counted == []


def test_with_nothing_late_nothing_is_read_twice(world: World) -> None:
    """But for the instant at the watermark."""
    collector = world.boot()
    for _ in range(30):
        world.publish(count=5)
        world.poll(collector)

    counts = collector.stats.take()

    assert counts.delivered == 150
    assert counts.read <= 150 * 1.5 + 30 * 5


def test_two_equal_events_are_one_and_are_not_looked_for_for_ever(world: World) -> None:
    """JumpCloud counts them twice, the ledger once."""
    collector = world.boot()
    text = world.publish()[0]
    world.directory.publish(text, world.clock.now_ms)
    world.poll(collector, times=15)
    pages = world.directory.pages_given

    world.poll(collector, times=30)

    assert world.accepted == {text: 1}
    assert world.directory.pages_given - pages <= 30 + 2


def test_an_event_from_the_future_is_delivered_once_and_holds_nothing_up(world: World) -> None:
    """The watermark stays behind now."""
    collector = world.boot()
    future = event_text(99, world.clock.now_ms + 5 * HOUR_MS)
    world.directory.publish(future, world.clock.now_ms + 5 * HOUR_MS)
    texts = []

    for _ in range(5):
        texts += world.publish()
        world.poll(collector)
        assert collector.checkpoint.watermark_ms <= world.clock.now_ms

    assert world.accepted == dict.fromkeys([future, *texts], 1)


def test_counts_that_fail_are_said_once_and_the_last_minutes_read_again(world: World) -> None:
    """Until they work again, which is said, too."""
    collector = world.boot()
    world.publish()
    world.poll(collector)
    world.directory.counting_works = False

    late = []
    for _ in range(5):
        world.publish()
        world.poll(collector)
        late += world.publish(ago_seconds=130)
    world.poll(collector)
    warned = list(world.warned)
    world.directory.counting_works = True
    world.poll(collector, times=6)

    assert len(warned) == 1
    assert "Late events cannot be counted" in warned[0]
    assert all(world.intake.accepted[text] == 1 for text in late)
    assert world.told[-1] == "Late events can be counted again."


def test_counts_that_are_limited_for_ever_so_long_are_asked_for_within_the_hour(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some servers write an instant where seconds belong."""
    collector, counting = world.boot(), world.directory.buckets
    texts = world.publish()
    world.poll(collector)

    def limited(start_ms: int, end_ms: int, unit: Unit) -> dict[int, int]:
        raise TryAgain("slow down", limited=True, retry_after_seconds=1_795_209_120.0)

    monkeypatch.setattr(world.directory, "buckets", limited)
    world.poll(collector)
    monkeypatch.setattr(world.directory, "buckets", counting)
    texts += world.publish(ago_seconds=600)
    world.poll(collector, times=60)

    assert world.accepted == dict.fromkeys(texts, 1)


def test_counts_that_stay_limited_are_said_once_and_the_last_minutes_read_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A quota of their own is no reason to miss what is late."""
    collector, texts = world.boot(), list[str]()
    world.poll(collector)

    def limited(start_ms: int, end_ms: int, unit: Unit) -> dict[int, int]:
        raise TryAgain("slow down", limited=True)

    monkeypatch.setattr(world.directory, "buckets", limited)
    for _ in range(4):
        texts += world.publish()
        world.poll(collector)
    texts += world.publish(ago_seconds=130)
    world.poll(collector)

    assert world.accepted == dict.fromkeys(texts, 1)
    assert len(world.warned) == 1
    assert "Late events cannot be counted" in world.warned[0]


def test_a_stretch_of_downtime_is_read_in_slices_newest_first(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what is happening now does not wait for it."""
    monkeypatch.setattr(slicing, "MIN_EVENTS_A_SLICE", 3)
    world.poll(world.boot())
    texts = [text for hour in range(20, 0, -1) for text in world.publish(hour * 3600 - 600, 2)]
    world.clock.pass_seconds(1)

    collector = world.boot()
    collector.poll()

    assert world.accepted == dict.fromkeys(texts, 1)
    order = list(world.accepted)
    assert order.index(texts[-1]) < order.index(texts[0])
    assert collector.checkpoint.windows == ()


def test_slices_that_are_open_at_a_crash_are_read_after_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are part of the state."""
    monkeypatch.setattr(slicing, "MIN_EVENTS_A_SLICE", 3)
    texts = [text for hour in range(20, 0, -1) for text in world.publish(hour * 3600 - 600, 2)]
    intake = _StoppingIntake(world.intake, stop_after=5)
    collector = world.boot(intake=intake)
    with pytest.raises(Stopped):
        collector.poll()
    assert collector.checkpoint.windows

    world.boot()
    world.poll(world.boot())

    assert world.accepted == dict.fromkeys(texts, 1)


def test_other_services_do_not_make_the_audit_read_what_was_never_asked_for(
    world: World,
) -> None:
    """Counts of another scope cannot be compared."""
    first = world.boot()
    texts = world.publish(count=2)
    world.poll(first)
    world.publish(ago_seconds=3600, count=5)  # as if another service were asked for now

    other = world.boot(Plan(24 * HOUR_MS, 48 * HOUR_MS, 600_000, "all directory", 100, readers=0))
    texts += world.publish()
    world.poll(other, times=11)

    assert world.accepted == dict.fromkeys(texts, 1)
    assert any("asks for other events" in text for text in world.told)


def test_nothing_is_committed_before_it_is_delivered(world: World) -> None:
    """An intake that fails leaves the events new and the watermark where it was."""
    collector = world.boot(intake=_StoppingIntake(world.intake, stop_after=0))
    texts, published_ms = world.publish(count=3), world.clock.now_ms

    with pytest.raises(Stopped):
        world.poll(collector)
    written = CheckpointStore(world.folder).load().checkpoint
    world.poll(world.boot())

    assert written
    assert written.oldest_open_ms < published_ms
    assert world.accepted == dict.fromkeys(texts, 1)


def test_the_checkpoint_is_written_before_the_ledger_forgets_and_at_the_end_of_a_poll(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a restart would read again, and send again, what the ledger no longer knows."""

    def written() -> Checkpoint | None:
        return CheckpointStore(world.folder).load().checkpoint

    before_forgetting: list[Checkpoint | None] = []
    monkeypatch.setattr(Ledger, "forget_before", lambda *_: before_forgetting.append(written()))
    collector = world.boot(replace(PLAN, max_rows=1))
    for ago_seconds in (30, 20, 10):
        world.publish(ago_seconds)

    world.poll(collector)

    assert before_forgetting == [collector.checkpoint]
    for ago_seconds in (30, 20, 10):
        world.publish(ago_seconds)
    world.poll(collector)
    assert written() == collector.checkpoint


def test_a_crash_between_pages_repeats_nothing_although_the_checkpoint_is_behind(
    world: World, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """It is written once a second; the ledger knows what was delivered since."""
    disk = tmp_path_factory.mktemp("crashed") / "disk"

    class Crashing(AcceptingIntake):
        def deliver(self, found: Events, delivery: Delivery) -> None:
            if len(self.accepted) == 3:
                shutil.copytree(world.folder, disk)
                raise Crash
            super().deliver(found, delivery)

    world.intake = Crashing()
    published_ms = world.clock.now_ms
    texts = [text for ago_seconds in range(50, 0, -10) for text in world.publish(ago_seconds)]
    with pytest.raises(Crash):
        world.poll(world.boot(replace(PLAN, max_rows=1)))

    world.folder = disk
    behind = CheckpointStore(disk).load().checkpoint
    assert behind
    survivor, before = AcceptingIntake(), world.accepted
    world.poll(world.boot(intake=survivor))

    assert behind.watermark_ms < published_ms - 30 * SECOND_MS  # the third that was delivered
    assert sorted(before) + sorted(survivor.accepted) == texts
    assert set((survivor.accepted + world.intake.accepted).values()) == {1}


@pytest.mark.parametrize("at", range(1, 6))
def test_a_disk_that_fails_at_a_commit_is_waited_for(world: World, at: int) -> None:
    """What was delivered is written when it can be, and not sent again."""
    collector = world.boot()
    texts = world.publish(count=3)

    with BreakingDisk(at):
        world.poll(collector)
    texts += world.publish()
    world.poll(world.boot())

    assert world.accepted == dict.fromkeys(texts, 1)


def test_what_was_delivered_is_committed_although_the_stop_came_meanwhile(world: World) -> None:
    """It has its receipt: it is not sent again after the restart."""
    texts = world.publish(ago_seconds=60, count=3)
    stopped: list[Callable[[], None]] = []

    class SettingStop(AcceptingIntake):
        def deliver(self, found: Events, delivery: Delivery) -> None:
            super().deliver(found, delivery)
            stopped[0]()

    intake = SettingStop(world.intake.accepted)
    collector = world.boot(intake=intake)
    stopped.append(world.stop.set)
    with pytest.raises(Stopped):
        world.poll(collector, times=2)

    world.poll(world.boot())

    assert world.accepted == dict.fromkeys(texts, 1)


@pytest.mark.parametrize("kind", [ValueError, Stopped])
def test_what_was_accepted_before_a_delivery_broke_off_is_not_sent_again(
    world: World, kind: type[Exception]
) -> None:
    """Whatever broke it off."""
    texts = world.publish(ago_seconds=60, count=4)

    class BreakingOff(AcceptingIntake):
        def deliver(self, found: Events, delivery: Delivery) -> None:
            super().deliver(found[:2], delivery)
            raise kind

    with pytest.raises(kind):
        world.poll(world.boot(intake=BreakingOff(world.intake.accepted)))
    world.poll(world.boot())

    assert world.accepted == dict.fromkeys(texts, 1)


def test_a_page_that_breaks_off_between_its_claims_leaves_its_events_new(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A claim that nobody gives up would keep them from being delivered until a restart."""
    collector, claim = world.boot(), Ledger.claim
    texts, claims = world.publish(count=3), [0]

    def breaking(ledger: Ledger, found: Events) -> AbstractContextManager[Events]:
        claims[0] += 1
        if claims[0] == 2:
            raise ValueError("unexpected")
        return claim(ledger, found)

    monkeypatch.setattr(Ledger, "claim", breaking)
    with pytest.raises(ValueError, match="unexpected"):
        world.poll(collector)
    world.poll(collector)

    assert world.accepted == dict.fromkeys(texts, 1)


def test_counts_add_up_in_the_stats(world: World) -> None:
    """Read is delivered, known or set aside."""
    collector = world.boot()
    world.publish(count=3)
    world.directory.publish("17", world.clock.now_ms)
    world.poll(collector)

    counts = collector.stats.take()

    assert (counts.read - counts.known, counts.delivered) == (4, 3)
    assert collector.stats.take().read == 0


def test_the_ledger_forgets_what_no_audit_will_ask_for(world: World) -> None:
    """Disk and memory follow the audit's reach, not the age of the connector."""
    collector = world.boot(Plan(0, 3 * HOUR_MS, 600_000, "all", 100, readers=0))
    old = world.publish(count=5)
    world.poll(collector)
    known = collector._record
    start_ms = world.clock.now_ms - HOUR_MS

    for _ in range(30):
        world.clock.pass_seconds(1800)
        world.publish()
        world.poll(collector)

    assert world.intake.accepted[old[0]] == 1
    assert known.count(start_ms, start_ms + 2 * HOUR_MS) == 0
    assert known.count(world.clock.now_ms - 3 * HOUR_MS, world.clock.now_ms) > 0


class _StoppingIntake:
    """Accept so many events, then be asked to stop."""

    def __init__(self, intake: AcceptingIntake, stop_after: int) -> None:
        self._intake = intake
        self._left = stop_after

    def deliver(self, found: Events, delivery: Delivery) -> None:
        if len(found) > self._left:
            raise Stopped
        self._left -= len(found)
        self._intake.deliver(found, delivery)

    def set_aside(self, found: Events, reason: str, delivery: Delivery) -> None:
        self._intake.set_aside(found, reason, delivery)


# Over real HTTP


@dataclass
class _Real:
    """The parts of a connector against the emulators, with real time and real threads."""

    sandbox: Sandbox
    folder: Path
    readers: int = 4
    rows: int = 500
    audit_ms: int = 168 * HOUR_MS
    stop: threading.Event = field(default_factory=threading.Event)
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.concurrency = ConcurrencyLimit(self.stop)

    def collector(self) -> Collector:
        addresses = self.sandbox.addresses
        state_retry = Retry(self.stop)
        return Collector(
            Plan(24 * HOUR_MS, self.audit_ms, 5_000, "all", self.rows, self.readers),
            JumpCloud(
                directory_insights(self.sandbox),
                JumpCloudClock(),
                tail_retry=Retry(self.stop),
                backfill_retry=Retry(self.stop),
                concurrency=self.concurrency,
                page_room=PageRoom(PAGES_IN_MEMORY - 1, self.stop),
            ),
            Durable(
                CheckpointStore(self.folder),
                lambda scope: Ledger(self.folder / "ledger", self.said.append, scope),
                state_retry,
            ),
            Intake(
                IntakeOptions(addresses.intake_url, addresses.intake_key),
                Quarantine(Folder(self.folder / "quarantine")),
                Retry(self.stop),
                state_retry,
            ),
            Process(self.stop, self.said.append, self.said.append),
        )


@pytest.mark.parametrize("readers", [0, 4])
def test_a_day_of_history_arrives_whole_once_and_as_it_is(
    tmp_path: Path, readers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read in slices side by side, or one after the other."""
    monkeypatch.setattr(slicing, "MIN_EVENTS_A_SLICE", 300)
    events = generate(
        5_000, now_ms() - 23 * HOUR_MS, now_ms() - 1_000, seed=3, surrogate_share=0.01
    )
    with Sandbox(events, answers=Answers(gzip=True)) as sandbox:
        real = _Real(sandbox, tmp_path, readers)
        collector = real.collector()
        collector.start()

        collector.poll()
        assert wait_until(lambda: not collector.checkpoint.windows, timeout_seconds=30)
        real.stop.set()
        collector.join(10)

        assert sandbox.verdict().clean, sandbox.verdict().table()
        assert sandbox.jumpcloud.requests.events("events") <= 5_000 * 1.2


def test_readers_that_become_too_many_while_they_deliver_do_not_wait_for_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each holds a page in memory then: whoever may go on needs room for the next."""
    monkeypatch.setattr(slicing, "MIN_EVENTS_A_SLICE", 300)
    events = generate(6_000, now_ms() - 23 * HOUR_MS, now_ms() - 1_000, seed=6)
    with Sandbox(events) as sandbox:
        sandbox.intake.faults.add(faults.SlowReceipts(latency_ms=1_000), times=30)
        real = _Real(sandbox, tmp_path, readers=8, rows=100)
        collector = real.collector()
        collector.start()
        collector.poll()

        assert wait_until(lambda: sandbox.intake.requests.arrivals() >= PAGES_IN_MEMORY - 1)
        real.concurrency.lower()

        assert wait_until(lambda: not collector.checkpoint.windows, timeout_seconds=60)
        real.stop.set()
        collector.join(10)
        assert sandbox.verdict().clean, sandbox.verdict().table()


@pytest.mark.parametrize("history_ms", [HOUR_MS, 24 * HOUR_MS], ids=["tail", "backlog"])
def test_a_page_is_gone_before_the_next_one_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, history_ms: int
) -> None:
    """Or each reader would hold two."""
    alive: list[int] = []
    read = OpenPage.read

    def counting(opened: OpenPage, now_ms: int) -> Page:
        alive.append(sum(type(some) is Page or _holds_events(some) for some in gc.get_objects()))
        return read(opened, now_ms)

    monkeypatch.setattr(OpenPage, "read", counting)
    monkeypatch.setattr(slicing, "MIN_EVENTS_A_SLICE", 300)
    now = now_ms()
    events = generate(900, now - history_ms + MINUTE_MS, now - 1_000, seed=7)
    with Sandbox(events) as sandbox:
        collector = _Real(sandbox, tmp_path, readers=0, rows=50).collector()
        collector.start()

        collector.poll()

    assert len(alive) > 10
    assert set(alive) == {0}


def _holds_events(some: object) -> bool:
    return type(some) is Events and len(some) > 0


def test_late_events_over_http_arrive_by_the_audit(tmp_path: Path) -> None:
    """By minutes and by hours, and only they are sent."""
    now = now_ms()
    with Sandbox(generate(300, now - 20 * HOUR_MS, now - 1_000, seed=4)) as sandbox:
        real = _Real(sandbox, tmp_path, readers=0)
        collector = real.collector()
        collector.start()
        collector.poll()
        late = [make_event(now - ms, visible_ms=now) for ms in (5_000, 9 * MINUTE_MS, 9 * HOUR_MS)]

        sandbox.jumpcloud.publish(late)
        collector.poll()
        collector._late_events._audited_span_ms = None  # ten minutes later
        collector.poll()

        assert sandbox.verdict().clean, sandbox.verdict().table()


def test_chaos_over_http_loses_and_repeats_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A quarter of all requests fail, and collectors come and go."""
    monkeypatch.setattr("jumpcloud_modules.http.backoff.MAX_TRANSIENT_DELAY_SECONDS", 0.02)
    monkeypatch.setattr("jumpcloud_modules.http.backoff.REFUSED_DELAYS_SECONDS", (0.02,))
    monkeypatch.setattr("jumpcloud_modules.http.backoff.MIN_RETRY_AFTER_SECONDS", 0.0)
    monkeypatch.setattr("jumpcloud_modules.http.backoff.MAX_RETRY_AFTER_SECONDS", 0.02)
    monkeypatch.setattr(slicing, "MIN_EVENTS_A_SLICE", 200)
    now = now_ms()
    events = generate(3_000, now - 20 * HOUR_MS, now - 1_000, seed=5)
    with Sandbox(events) as sandbox:
        for fault in (
            faults.Status(429),
            faults.Status(503),
            faults.ResetBeforeHeaders(),
            faults.Status(401),
        ):
            sandbox.jumpcloud.faults.add(fault, probability=0.06)
            sandbox.intake.faults.add(fault, probability=0.06)
        for lie in (faults.BrokenJson(), faults.MissingHeaders(), faults.StuckCursor()):
            sandbox.jumpcloud.faults.add(lie, probability=0.06, endpoint="events")
        for _ in range(3):
            real = _Real(sandbox, tmp_path, rows=100)
            collector = real.collector()
            collector.start()
            collector.poll()
            wait_until(lambda c=collector: not c.checkpoint.windows, timeout_seconds=0.3)  # type: ignore[misc]
            real.stop.set()
            collector.join(10)
        sandbox.jumpcloud.faults.clear()
        sandbox.intake.faults.clear()
        last = _Real(sandbox, tmp_path, rows=100)
        collector = last.collector()
        collector.start()
        collector.poll()

        assert wait_until(lambda: not collector.checkpoint.windows, timeout_seconds=30)
        collector.poll()
        assert sandbox.verdict().clean, sandbox.verdict().table()
        last.stop.set()
        collector.join(10)


def test_what_has_its_receipt_is_committed_when_the_rest_of_its_page_hangs(tmp_path: Path) -> None:
    """A page may be several batches: a stop between them repeats none of the accepted ones."""
    now = now_ms()
    events = [
        make_event(now - 60_000 + n, padding_bytes=200_000, document_id=f"{n:03d}")
        for n in range(40)
    ]
    with Sandbox(events) as sandbox:
        real = _Real(sandbox, tmp_path, readers=0)
        first = real.collector()
        first.start()
        rule = sandbox.intake.faults.add(
            faults.Status(503, retry_after_seconds=3600),
            when=lambda _: sandbox.intake.count > 0,
        )
        polling = threading.Thread(target=lambda: _until_stopped(first))
        polling.start()
        assert wait_until(lambda: rule.fired)
        real.stop.set()
        polling.join(10)
        accepted = sandbox.intake.count
        sandbox.intake.faults.clear()

        second = _Real(sandbox, tmp_path, readers=0).collector()
        second.start()
        second.poll()

        assert 0 < accepted < 40
        assert sandbox.verdict().clean, sandbox.verdict().table()


def _until_stopped(collector: Collector) -> None:
    with pytest.raises(Stopped):
        collector.poll()


def test_an_unreadable_state_is_waited_for_at_the_start(tmp_path: Path) -> None:
    """Object storage may be away when a container begins."""
    world = World(tmp_path)
    reads = [0]

    def failing_at_first(path: Path) -> bytes | None:
        reads[0] += 1
        if reads[0] <= 3:
            raise StateUnavailable("away")
        return path.read_bytes() if path.exists() else None

    texts = world.publish(ago_seconds=30)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jumpcloud_modules.state.storage.read", failing_at_first)
        collector = world.boot()

    world.poll(collector)

    assert world.accepted == dict.fromkeys(texts, 1)
    assert reads[0] > 3


@pytest.mark.parametrize("error", [TryAgain("busy"), Refused("key"), TryAgain("429", limited=True)])
def test_a_failure_while_slicing_a_backlog_does_not_stop_it(
    world: World, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Equal spans do as well where counts cannot be had."""
    texts = [text for hour in range(20, 0, -1) for text in world.publish(hour * 3600 - 600, 2)]

    def failing(start_ms: int, end_ms: int, unit: Unit) -> dict[int, int]:
        raise error

    monkeypatch.setattr(world.directory, "buckets", failing)
    world.poll(world.boot())

    assert world.accepted == dict.fromkeys(texts, 1)
