"""Dates of strangers, starts that are refused, stretches of the future: nothing is lost or stands.

Found by looking for a way to make the collector lose an event; each mends a mechanism.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from email.utils import format_datetime
from itertools import count

import pytest

from jumpcloud_modules.collecting import slicing
from jumpcloud_modules.collecting.collector import Collector
from jumpcloud_modules.delivery import Delivery
from jumpcloud_modules.errors import Stopped, TryAgain
from jumpcloud_modules.events import Events
from jumpcloud_modules.instants import DAY_MS, HOUR_MS, MINUTE_MS, from_ms
from jumpcloud_modules.jumpcloud.clock import JumpCloudClock
from jumpcloud_modules.queries import Query
from tests.world import PLAN, AcceptingIntake, OpenDocuments, Time, World, event_text

_YEAR_2099_MS = 4_070_908_800_000


def _once(texts: list[str]) -> dict[str, int]:
    return dict.fromkeys(texts, 1)


def _publish_at(world: World, time_ms: int, text_ms: int | None = None) -> str:
    world.number += 1
    text = event_text(world.number, time_ms if text_ms is None else text_ms)
    world.directory.publish(text, time_ms)
    return text


def _live(world: World, collector: Collector, polls: int, seconds: int = 60) -> list[str]:
    texts = []
    for _ in range(polls):
        texts += world.publish()
        world.clock.pass_seconds(seconds)
        collector.poll()
    return texts


class _Dates(JumpCloudClock):
    """Learn another date than the one that came, by the number of the answer."""

    def __init__(self, world: World, wrong_by_ms: Callable[[int], int]) -> None:
        super().__init__(
            world.warned.append,
            machine=lambda: world.clock.now_ms + world.machine_ahead_ms,
            span=lambda: world.clock.now_ms,
        )
        self._world = world
        self._wrong_by_ms = wrong_by_ms
        self._numbers = count()

    def learn(self, date: str | None, asked_ms: int) -> None:
        wrong_ms = self._world.clock.now_ms + self._wrong_by_ms(next(self._numbers))
        super().learn(format_datetime(from_ms(wrong_ms), usegmt=True) if date else None, asked_ms)


def _with_dates(world: World, wrong_by_ms: Callable[[int], int]) -> None:
    world.time = world.directory.hears = _Dates(world, wrong_by_ms)


# Dates


@pytest.mark.parametrize("wrong_hours", [24, 20, -4_800])
def test_a_first_date_that_is_wrong_moves_no_first_start(world: World, wrong_hours: int) -> None:
    """Another date has to agree with it, or the machine's clock."""
    now_ms = world.clock.now_ms
    texts = [_publish_at(world, now_ms - n * 10 * MINUTE_MS) for n in range(1, 144)]
    _with_dates(world, lambda number: wrong_hours * HOUR_MS if number == 0 else 0)

    world.poll(world.boot(), times=3)

    assert world.accepted == _once(texts)


@pytest.mark.parametrize(("skew_seconds", "max_read"), [(3, 400), (120, 1_000)])
def test_servers_whose_dates_differ_have_hardly_anything_read_again(
    world: World, skew_seconds: int, max_read: int
) -> None:
    """And nobody is told of it."""
    texts = [_publish_at(world, world.clock.now_ms - n * 10_000) for n in range(1, 3_000)]
    servers = [hash((number, "server")) % 2 for number in range(10_000)]
    _with_dates(world, lambda number: -skew_seconds * 1_000 * servers[number])
    collector = world.boot()
    world.poll(collector, times=5)
    collector.stats.take()

    texts += _live(world, collector, 120)

    assert world.accepted == _once(texts)
    assert collector.stats.take().read < max_read
    assert [line for line in world.warned if "in the future" in line] == []


@pytest.mark.parametrize(("ahead_hours", "away_hours"), [(10, 1), (30, 48), (-10, 1)])
def test_a_machine_set_right_before_jumpcloud_answers_at_all_loses_no_history(
    world: World, ahead_hours: int, away_hours: int
) -> None:
    """As at a boot where the network's time comes first."""
    began_ms = world.clock.now_ms
    texts = [_publish_at(world, began_ms - n * 10 * MINUTE_MS) for n in range(1, 144)]
    before = _publish_at(world, began_ms - 24 * HOUR_MS - MINUTE_MS)
    world.machine_ahead_ms = ahead_hours * HOUR_MS
    world.learn_the_time()
    answer = world.directory.open

    def open_(query: Query) -> OpenDocuments:
        if world.clock.now_ms < began_ms + away_hours * HOUR_MS:
            world.machine_ahead_ms *= world.clock.now_ms < began_ms + MINUTE_MS
            raise TryAgain("no network")
        return answer(query)

    world.directory.open = open_  # type: ignore[method-assign]

    world.poll(world.boot(), times=5)

    assert world.accepted == _once(texts)
    assert before not in world.accepted


# Refused starts


@pytest.mark.parametrize("audit_hours", [0, 48])
def test_without_dates_a_refused_start_ends_the_poll_and_goes_back(
    world: World, audit_hours: int
) -> None:
    """The machine's clock let an event of JumpCloud's future move the watermark."""
    world.time = Time(world.clock, machine_ahead_ms=3 * HOUR_MS, is_known=False)
    collector = world.boot(replace(PLAN, audit_ms=audit_hours * HOUR_MS))
    texts = [*world.publish(), _publish_at(world, world.clock.now_ms + 2 * HOUR_MS)]
    world.poll(collector, times=2)
    began_ms = world.clock.now_ms

    texts += world.publish()
    collector.poll()
    took_ms = world.clock.now_ms - began_ms
    texts += _live(world, collector, 10)

    assert took_ms < 2 * MINUTE_MS
    assert world.accepted == _once(texts)


@pytest.mark.parametrize("audit_hours", [0, 168])
def test_nothing_is_forgotten_by_a_clock_that_is_ahead(world: World, audit_hours: int) -> None:
    """Only behind a start that JumpCloud accepted."""
    plan = replace(PLAN, audit_ms=audit_hours * HOUR_MS)
    world.time = machine = Time(world.clock)
    texts = _live(world, world.boot(plan), 12, seconds=3_600)
    machine.is_known, machine.machine_ahead_ms = False, 9 * DAY_MS
    collector = world.boot(plan)
    ahead = _publish_at(world, world.clock.now_ms + 8 * DAY_MS)
    world.clock.pass_seconds(3_700)
    collector.poll()

    machine.is_known, machine.machine_ahead_ms = True, 0
    world.poll(collector, times=5)
    for _ in range(3):
        for _ in range(30):
            texts += world.publish()
            world.clock.pass_seconds(3_600)
        world.poll(world.boot(plan), times=15)

    assert world.accepted == _once([*texts, ahead])
    assert world.ledger("all").forgotten_ms < world.clock.now_ms


# Events whose own time is not the index's


def test_events_whose_texts_claim_another_year_hold_up_nothing(world: World) -> None:
    """What is still to come is told by the cursor, which goes by the index."""
    collector = world.boot()
    texts = world.publish()
    world.poll(collector, times=2)
    now_ms = world.clock.now_ms
    texts += [_publish_at(world, now_ms + n, _YEAR_2099_MS) for n in (1, 2)]
    texts.append(_publish_at(world, now_ms + 10 * DAY_MS))
    world.poll(collector, times=2)

    texts += _live(world, collector, 60)

    assert world.accepted == _once(texts)
    assert world.clock.now_ms - collector.checkpoint.watermark_ms < 10 * MINUTE_MS


# Long stretches


def test_what_an_outage_left_is_planned_before_the_tail_reads_it_all(world: World) -> None:
    """Or the newest event would come last, and no audit before it."""
    collector = world.boot()
    world.publish()
    world.poll(collector, times=2)
    away_until_ms = world.clock.now_ms + 24 * HOUR_MS
    asked: list[Query] = []
    answer = world.directory.open

    def open_(query: Query) -> OpenDocuments:
        if world.clock.now_ms < away_until_ms:
            raise TryAgain("away")
        if not asked:
            for n in range(1, 20_000):
                _publish_at(world, world.clock.now_ms - n * 4_000)
        asked.append(query)
        return answer(query)

    world.directory.open = open_  # type: ignore[method-assign]
    world.poll(collector)

    assert len(world.accepted) == 20_000
    open_ended = [query for query in asked if query.end_ms is None]
    assert len(open_ended) <= 6
    assert len(asked) > 20


# Watermarks taken back while readers are at work


def test_a_window_that_is_being_read_stays_when_the_watermark_is_taken_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut short, it would be nobody's, and never close."""
    monkeypatch.setattr(slicing, "MIN_EVENTS_A_SLICE", 500)
    plan = replace(PLAN, history_ms=0, readers=2, max_rows=500)
    world.poll(world.boot(plan))
    texts = _days_of_events(world, hours=50)
    gate, answer = threading.Event(), world.directory.open

    def open_(query: Query) -> OpenDocuments:
        if query.end_ms is not None and query.limit > 1:
            gate.wait(60)
        return answer(query)

    world.directory.open = open_  # type: ignore[method-assign]
    collector = world.boot(plan)

    world.clock.now_ms += 2 * HOUR_MS
    collector.poll()
    slices = len(collector.checkpoint.windows)
    world.clock.now_ms -= 2 * HOUR_MS
    world.clock.pass_seconds(1)
    collector.poll()
    gate.set()
    _until(lambda: not collector.checkpoint.windows)
    world.poll(collector)

    assert slices > 2
    assert world.accepted == _once(texts)


def test_what_another_reader_has_on_its_way_is_not_passed_over(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the process is killed then, nobody would read it again."""
    monkeypatch.setattr(slicing, "MIN_EVENTS_A_SLICE", 500)
    plan = replace(PLAN, history_ms=0, audit_ms=0, readers=4, max_rows=500)
    world.poll(world.boot(plan))
    texts = _days_of_events(world, hours=50)
    intake = _Hanging()
    collector = world.boot(plan, intake)

    world.clock.now_ms += 2 * HOUR_MS
    collector.poll()
    _until(lambda: intake.is_hanging)
    world.clock.now_ms -= 2 * HOUR_MS
    polling = threading.Thread(target=lambda: world.poll(collector, times=3), daemon=True)
    polling.start()
    polling.join(1)
    killed = World(world.folder, world.clock, intake=AcceptingIntake(intake.accepted.copy()))
    killed.directory, killed.number = world.directory, world.number
    killed.poll(killed.boot(replace(plan, readers=0)), times=5)
    intake.may_go_on.set()

    assert killed.accepted.keys() >= set(texts)


class _Hanging(AcceptingIntake):
    """Leave the first batch of a reader without an answer."""

    is_hanging = False
    may_go_on = threading.Event()

    def deliver(self, found: Events, delivery: Delivery) -> None:
        if threading.current_thread().name == "reader" and not self.is_hanging:
            self.is_hanging = True
            self.may_go_on.wait(60)
            raise Stopped("killed")
        super().deliver(found, delivery)


def _days_of_events(world: World, hours: int) -> list[str]:
    texts = []
    for _ in range(hours * 60):
        texts += world.publish()
        world.clock.pass_seconds(60)
    return texts


def _until(happened: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# Another scope


def test_a_scope_changed_amid_a_backlog_repeats_nothing(world: World) -> None:
    """Of a page that was delivered in part, only the former scope's ledger knows."""
    now_ms = world.clock.now_ms
    texts = [_publish_at(world, now_ms - 20 * HOUR_MS + n * 10_000) for n in range(6_000)]
    intake = _StopsAfter(1_500)
    with pytest.raises(Stopped):
        world.boot(intake=intake).poll()
    world.intake.accepted.update(intake.accepted)

    world.poll(world.boot(replace(PLAN, scope="another")), times=3)

    assert world.accepted == _once(texts)


class _StopsAfter(AcceptingIntake):
    """Accept so many events, in the middle of a batch, and be asked to stop then."""

    def __init__(self, events: int) -> None:
        super().__init__()
        self._left = events

    def deliver(self, found: Events, delivery: Delivery) -> None:
        some = found[: self._left]
        super().deliver(some, delivery)
        self._left -= len(some)
        if len(some) < len(found):
            raise Stopped("asked to stop")
