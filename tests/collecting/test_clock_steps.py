"""Clocks that are wrong, counts that lie, ledgers that are lost: nothing is lost or comes twice.

Each hole was found by an attack from outside; the mechanisms it showed to be wrong stand in
docs/design.md.
"""

import re
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from jumpcloud_modules.collecting.collector import EVENTS_OF_A_LOOK, Collector
from jumpcloud_modules.collecting.plan import Plan
from jumpcloud_modules.delivery import Delivery
from jumpcloud_modules.errors import Stopped
from jumpcloud_modules.events import Events
from jumpcloud_modules.instants import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, floor, to_rfc3339
from jumpcloud_modules.queries import Unit
from jumpcloud_modules.state import ledger_files, storage
from tests.world import PLAN, AcceptingIntake, Crash, Directory, World

_AUDITED = replace(PLAN, audit_ms=168 * HOUR_MS, audit_every_ms=599_500)


def _machine(world: World, ahead_seconds: float) -> None:
    """Set the machine's clock, and begin a process that knows JumpCloud's time from its answers."""
    world.machine_ahead_ms = int(ahead_seconds * 1000)
    world.learn_the_time()


def _once(texts: list[str]) -> dict[str, int]:
    return dict.fromkeys(texts, 1)


def _live(world: World, collector: Collector, polls: int, seconds: int = 60) -> list[str]:
    """Have an event happen, and then a poll, again and again."""
    texts = []
    for _ in range(polls):
        texts += world.publish()
        world.clock.pass_seconds(seconds)
        collector.poll()
    return texts


def _start_over(world: World, instant_ms: int) -> None:
    path = world.folder / "context.json"
    document = orjson.loads(path.read_bytes())
    document["most_recent_date_seen"] = to_rfc3339(instant_ms)
    path.write_bytes(orjson.dumps(document))


# The machine's clock


@pytest.mark.parametrize("audit_hours", [0, 4, 168])
@pytest.mark.parametrize("behind_hours", [8, 24 * 365 * 5])
def test_a_machine_whose_clock_is_behind_at_a_start_delivers_nothing_again(
    world: World, monkeypatch: pytest.MonkeyPatch, audit_hours: int, behind_hours: int
) -> None:
    """Its clock names nothing that lasts."""
    monkeypatch.setattr(ledger_files, "MAX_UNCOMPACTED_ENTRIES", 2)
    plan = replace(_AUDITED, audit_ms=audit_hours * HOUR_MS)
    world.learn_the_time()
    texts = _live(world, world.boot(plan), 400, seconds=3600)

    _machine(world, -behind_hours * 3600)
    collector = world.boot(plan)
    collector.poll()
    world.machine_ahead_ms = 0
    texts += _live(world, collector, 3)

    assert world.accepted == _once(texts)


@pytest.mark.parametrize("audit_hours", [0, 48])
@pytest.mark.parametrize("ahead_seconds", [600, 2 * 3600, 100 * 86_400])
def test_a_machine_whose_clock_is_ahead_at_a_start_loses_nothing_and_is_never_refused(
    world: World, audit_hours: int, ahead_seconds: int
) -> None:
    """With a backlog waiting, and live events before and after the clock is mended."""
    plan = replace(_AUDITED, audit_ms=audit_hours * HOUR_MS)
    world.learn_the_time()
    texts = _live(world, world.boot(plan), 1)
    for _ in range(20):
        world.clock.pass_seconds(60)
        texts += world.publish(count=300)

    _machine(world, ahead_seconds)
    collector = world.boot(plan)
    refusals = world.directory.refusals
    texts += _live(world, collector, 3)
    world.machine_ahead_ms = 0
    texts += _live(world, collector, 20)

    assert world.accepted == _once(texts)
    assert world.directory.refusals == refusals
    told = re.search(r"is (\d+) s ahead of JumpCloud's", world.warned[0])
    assert told
    assert int(told[1]) in (ahead_seconds - 1, ahead_seconds)


@pytest.mark.parametrize("jump_seconds", [86_400, 8 * 86_400, -8 * 3600])
@pytest.mark.parametrize("hours_count", [True, False])
def test_a_clock_that_jumps_for_one_poll_moves_nothing(
    world: World, jump_seconds: int, *, hours_count: bool
) -> None:
    """What is an hour late is found afterwards as before."""
    world.learn_the_time()
    collector = world.boot(_AUDITED)
    texts = _live(world, collector, 30)
    world.directory.failing_units = () if hours_count else ("h",)

    world.machine_ahead_ms = jump_seconds * 1000
    collector.poll()
    world.machine_ahead_ms = 0
    world.directory.failing_units = ()
    texts += _live(world, collector, 10)
    texts += world.publish(ago_seconds=3600)
    texts += _live(world, collector, 50)

    assert world.accepted == _once(texts)
    assert collector.checkpoint.watermark_ms <= world.clock.now_ms
    assert collector.checkpoint.beginning_ms < world.clock.now_ms - 2 * HOUR_MS


def test_a_first_start_begins_by_jumpclouds_clock(world: World) -> None:
    """However wrong the machine's is, as far back as was asked for."""
    before = world.publish(ago_seconds=3 * 3600 + 60)
    within = world.publish(ago_seconds=3 * 3600 - 60)
    _machine(world, -5 * 3600)

    world.poll(world.boot(replace(_AUDITED, history_ms=3 * HOUR_MS)), times=3)

    assert world.accepted == _once(within)
    assert before[0] not in world.accepted


def test_a_first_start_that_ends_before_jumpcloud_answered_is_kept(world: World) -> None:
    """The next one begins where it would have, by JumpCloud's clock."""
    _machine(world, 7200)
    plan = replace(_AUDITED, history_ms=0)
    world.directory.failures = [Crash("killed")]
    with pytest.raises(Crash):
        world.boot(plan)
    texts = world.publish()
    world.clock.pass_seconds(3600)

    world.learn_the_time()
    world.poll(world.boot(plan))

    assert world.accepted == _once(texts)


@pytest.mark.parametrize("audit_hours", [0, 168])
def test_a_watermark_of_the_future_is_taken_back_once_and_nothing_is_lost(
    world: World, audit_hours: int
) -> None:
    """Where no answer carried a date for a while, the machine's clock may have moved it."""
    plan = replace(_AUDITED, audit_ms=audit_hours * HOUR_MS)
    collector = world.boot(plan)
    texts = _live(world, collector, 5)
    lost_way = replace(collector.checkpoint, watermark_ms=world.clock.now_ms + DAY_MS)
    collector._tracker.change(lambda _: lost_way)
    texts += world.publish()

    texts += _live(world, collector, 3)

    assert world.accepted == _once(texts)
    assert len([line for line in world.warned if "in the future" in line]) == 1


@pytest.mark.parametrize("ahead_seconds", [-600, 0, 600])
def test_without_any_date_the_machines_clock_serves(world: World, ahead_seconds: int) -> None:
    """A backlog ends where events show that time has come, so nothing is passed over."""
    world.time = replace(world.time, is_known=False, machine_ahead_ms=ahead_seconds * 1000)  # type: ignore[type-var]
    texts = [text for hour in range(1, 20) for text in world.publish(hour * 3600, count=200)]
    collector = world.boot(_AUDITED)

    texts += _live(world, collector, 30)

    assert world.accepted == _once(texts)


# Counts


def test_minutes_are_counted_although_hours_fail(world: World) -> None:
    """What is nine minutes late is found as if nothing were wrong."""
    world.directory.failing_units = ("h",)
    collector = world.boot(_AUDITED)
    texts = []

    for number in range(60):
        texts += _live(world, collector, 1)
        texts += world.publish(ago_seconds=9 * 60) if number % 5 == 0 else []
    texts += _live(world, collector, 2)

    assert world.accepted == _once(texts)


def test_a_span_of_hours_that_is_too_much_is_asked_for_in_halves_and_by_the_minute(
    world: World,
) -> None:
    """So what is days late is found where JumpCloud cannot count a week by the hour."""
    world.directory.failing_units = ("h",)
    world.clock.now_ms += 170 * HOUR_MS
    collector = world.boot(replace(_AUDITED, history_ms=168 * HOUR_MS))
    _live(world, collector, 1)
    late = world.publish(ago_seconds=100 * 3600)

    _live(world, collector, 60)

    assert world.accepted[late[0]] == 1
    spans = [end - start for start, end, unit in world.directory.counted if unit == "h"]
    assert spans[1] > spans[-1]


def test_what_was_late_when_the_process_went_away_is_found_however_long_it_was_away(
    world: World,
) -> None:
    """The reach of the audit is measured from the last one that ended."""
    plan = replace(_AUDITED, audit_ms=HOUR_MS)
    texts = _live(world, world.boot(plan), 5)
    happened_ms = world.clock.now_ms - 90_000
    world.clock.pass_seconds(210)
    late = world.publish(ago_seconds=(world.clock.now_ms - happened_ms) / 1000)
    world.clock.pass_seconds(8 * 86_400)

    texts += _live(world, world.boot(plan), 30)

    assert world.accepted == _once(texts + late)


def test_the_reach_does_not_shrink_before_what_it_found_was_read(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A restart in between finds it again."""
    plan = replace(_AUDITED, audit_ms=HOUR_MS)
    texts = _live(world, world.boot(plan), 5)
    late = world.publish(ago_seconds=90)
    world.clock.pass_seconds(8 * 86_400)
    cut_short = world.boot(plan)
    monkeypatch.setattr(cut_short._windows, "read", _stopped)
    with pytest.raises(Stopped):
        cut_short.poll()

    texts += _live(world, world.boot(plan), 30)

    assert world.accepted == _once(texts + late)


def _stopped(_: object) -> None:
    raise Stopped("stopped")


@pytest.mark.parametrize("busy", [True, False])
def test_counts_that_say_nothing_are_not_believed(world: World, *, busy: bool) -> None:
    """What is two and a half minutes late arrives, whether or not they contradict the ledger."""
    world.directory.silent = True
    collector = world.boot(_AUDITED)
    texts, late = [], []

    for _ in range(10):
        texts += _live(world, collector, 2) if busy else []
        late += world.publish(ago_seconds=150)
        world.poll(collector, times=2)
    world.poll(collector, times=3)

    assert world.accepted == _once(texts + late)


def test_counts_that_contradict_what_was_delivered_are_told_once(world: World) -> None:
    """And their end is told, too."""
    collector = world.boot(_AUDITED)
    _live(world, collector, 20)
    world.directory.silent = True
    _live(world, collector, 20)
    world.directory.silent = False
    _live(world, collector, 20)

    failures = [line for line in world.warned if "cannot be counted:" in line]
    assert len(failures) == 1
    assert "JumpCloud counts 0 events" in failures[0]
    assert "Late events can be counted again." in world.told


def test_a_question_for_counts_that_hangs_holds_up_no_poll(world: World) -> None:
    """Neither when late events are looked for, nor when a backlog is cut."""
    gate = threading.Event()

    class Hanging(Directory):
        def buckets(self, start_ms: int, end_ms: int, unit: Unit) -> dict[int, int]:
            gate.wait(60)
            return super().buckets(start_ms, end_ms, unit)

    world.directory = Hanging(world.clock)
    old = world.publish(ago_seconds=7200, count=5)
    collector = world.boot(replace(_AUDITED, readers=2))

    live = _live(world, collector, 5)

    assert world.accepted == _once(live)
    gate.set()
    collector.join(10)
    assert world.accepted == _once(old + live)


# Whose ledger it is


@pytest.mark.parametrize("is_other_organization", [True, False])
def test_another_scope_has_a_ledger_of_its_own(
    world: World, *, is_other_organization: bool
) -> None:
    """Started over from yesterday, it has all of its events, those that are late included."""
    collector = world.boot(replace(_AUDITED, scope="A"))
    for _ in range(30):
        world.publish(ago_seconds=0, count=20)
        world.poll(collector)
        world.clock.pass_seconds(3600)
    if is_other_organization:
        hears, world.directory = world.directory.hears, Directory(world.clock)
        world.directory.hears = hears
        world.intake.accepted.clear()
    texts = [text for hour in range(1, 24) for text in world.publish(hour * 3600, count=5)]
    _start_over(world, world.clock.now_ms - DAY_MS)
    collector = world.boot(replace(_AUDITED, scope="B"))
    world.poll(collector, times=3)

    texts += [text for hour in range(1, 20) for text in world.publish(hour * 3600 + 60)]
    world.poll(collector, times=40)

    assert not [text for text in texts if not world.intake.accepted[text]]


def test_a_change_of_scope_repeats_nothing_at_the_boundary(world: World) -> None:
    """What was read last under the former scope is known under the new one."""
    collector = world.boot(replace(_AUDITED, scope="A"))
    texts = _live(world, collector, 3)
    texts += world.publish(count=4)
    collector.poll()

    collector = world.boot(replace(_AUDITED, scope="B"))
    texts += _live(world, collector, 30)
    collector = world.boot(replace(_AUDITED, scope="A"))
    texts += _live(world, collector, 30)

    assert world.accepted == _once(texts)


def test_what_is_late_in_the_minute_of_a_takeover_is_found(world: World) -> None:
    """The ledger counts by the minute, and may know events from before it."""
    collector = world.boot(_AUDITED)
    world.clock.now_ms = floor(world.clock.now_ms, MINUTE_MS) + 30_000
    texts = world.publish(ago_seconds=25, count=10)
    collector.poll()
    minute_ms = floor(world.clock.now_ms, MINUTE_MS)
    _start_over(world, minute_ms + 31_000)
    collector = world.boot(_AUDITED)
    world.clock.now_ms = minute_ms + 45_000
    texts += world.publish(count=2)
    world.clock.now_ms = minute_ms + 70_000
    collector.poll()

    texts += world.publish(ago_seconds=30, count=3)
    world.poll(collector, times=60)

    assert world.accepted == _once(texts)


def test_a_ledger_lost_while_a_backlog_is_read_is_told_and_nothing_comes_again(
    world: World,
) -> None:
    """What was open is read; what was delivered is not looked for any more."""
    plan = replace(_AUDITED, audit_ms=48 * HOUR_MS, max_rows=500, readers=1)
    texts = [text for hour in range(1, 24) for text in world.publish(hour * 3600 + 7, count=900)]
    world.intake = _StoppingAt(world.clock.now_ms - 5 * HOUR_MS)
    stopped = world.boot(plan)
    world.poll(stopped)
    stopped.join(20)
    assert 0 < len(world.accepted) < len(texts)
    shutil.rmtree(world.folder / "ledger")

    world.intake = AcceptingIntake(world.intake.accepted)
    world.poll(world.boot(replace(plan, readers=0)), times=14)

    twice = [text for text, count in world.intake.accepted.items() if count > 1]
    assert set(world.accepted) == set(texts)
    assert len(twice) <= plan.max_rows
    assert "ledger of delivered events is missing" in world.warned[0]


class _StoppingAt(AcceptingIntake):
    """Accept events until one of them is from before an instant."""

    def __init__(self, instant_ms: int) -> None:
        super().__init__()
        self._instant_ms = instant_ms

    def deliver(self, found: Events, delivery: Delivery) -> None:
        if any(event.time_ms and event.time_ms < self._instant_ms for event in found):
            raise Stopped("stopped")
        super().deliver(found, delivery)


# Events of the future


def test_events_of_the_future_are_read_once_and_cost_nothing_afterwards(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many hours they are spread over: neither pages nor files are read for them."""
    collector = world.boot(replace(_AUDITED, max_rows=10_000))
    future = [
        t for h in range(3_000) for t in world.publish(ago_seconds=-(365 * 86_400 + h * 3600))
    ]
    texts = _live(world, collector, 5)
    collector.stats.take()
    files_read = _count_reads(monkeypatch)

    texts += _live(world, collector, 20)

    assert world.accepted == _once(future + texts)
    assert collector.stats.take().read <= 20 * (1 + EVENTS_OF_A_LOOK)
    assert len(files_read) <= 20
    assert len(list((world.folder / "ledger").iterdir())) < 30


def _count_reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    paths: list[Path] = []
    read = storage.read

    def counting(path: Path) -> bytes | None:
        paths.append(path)
        return read(path)

    monkeypatch.setattr(storage, "read", counting)
    return paths


def test_another_event_of_the_future_is_delivered_soon(world: World) -> None:
    """JumpCloud's count of what is still to come is the reason to read it again."""
    collector = world.boot(_AUDITED)
    texts = world.publish(ago_seconds=-86_400, count=3)
    texts += _live(world, collector, 3)
    texts += world.publish(ago_seconds=-2 * 86_400) + world.publish(ago_seconds=-3600)

    texts += _live(world, collector, 2)

    assert world.accepted == _once(texts)


def test_the_future_that_has_come_is_neither_sent_again_nor_audited_for_ever(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Across restarts and compactions, before and after; what is late beside it is found."""
    monkeypatch.setattr(ledger_files, "MAX_UNCOMPACTED_ENTRIES", 5)
    texts = [t for hour in range(1, 8) for t in world.publish(ago_seconds=-hour * 3600, count=2)]
    late = []

    for _ in range(10):
        collector = world.boot(_AUDITED)
        texts += _live(world, collector, 3, seconds=1200)
        late += world.publish(ago_seconds=1801)
    texts += _live(world, world.boot(_AUDITED), 5, seconds=SECOND_MS)

    assert world.accepted == _once(texts + late)


def test_where_what_is_to_come_cannot_be_counted_it_is_read_again_now_and_then(
    world: World,
) -> None:
    """Every `audit_frequency` seconds, and at the latest when its time has come."""
    collector = world.boot(_AUDITED)
    texts = world.publish(ago_seconds=-86_400)
    texts += _live(world, collector, 3)
    world.directory.counting_works = False
    texts += world.publish(ago_seconds=-2 * 86_400)

    texts += _live(world, collector, 15)

    assert world.accepted == _once(texts)


@pytest.mark.parametrize("plan", [_AUDITED, replace(_AUDITED, audit_ms=0)])
def test_nothing_is_forgotten_that_was_not_audited_since(world: World, plan: Plan) -> None:
    """Counts that fail for days keep what they would have to be compared with."""
    collector = world.boot(plan)
    texts = _live(world, collector, 5)
    world.directory.counting_works = False
    texts += _live(world, collector, 24 * 9, seconds=3600)
    world.directory.counting_works = True

    late = world.publish(ago_seconds=8 * 86_400) if plan.audit_ms else []
    texts += _live(world, collector, 5, seconds=600)

    assert world.accepted == _once(texts + late)
