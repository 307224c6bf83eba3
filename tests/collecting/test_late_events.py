"""Counts that lag, lack, or contradict themselves: late events are found all the same."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import TypeVar

import pytest

from jumpcloud_modules.collecting.witness import Witness
from jumpcloud_modules.errors import TryAgain
from jumpcloud_modules.instants import DAY_MS, HOUR_MS, MINUTE_MS, floor
from jumpcloud_modules.queries import Query, Unit
from tests.doubles import NOON_MS
from tests.world import PLAN, Clock, Directory, Document, OpenDocuments, Time, World, event_text

_WEEK = replace(PLAN, audit_ms=168 * HOUR_MS)
Sees = Callable[[Document, str], bool]
Result = TypeVar("Result")


@dataclass
class _Blurred(Directory):
    """Let `sees` decide which documents a question (`search`, `m` or `h`) finds."""

    sees: Sees = lambda _, __: True
    published_ms: dict[str, int] = field(default_factory=dict)

    def publish(self, text: str, time_ms: int) -> None:
        self.published_ms[text] = self.clock.now_ms
        super().publish(text, time_ms)

    def open(self, query: Query) -> OpenDocuments:
        return self._seen("search", lambda: super(_Blurred, self).open(query))

    def buckets(self, start_ms: int, end_ms: int, unit: Unit) -> dict[int, int]:
        return self._seen(unit, lambda: super(_Blurred, self).buckets(start_ms, end_ms, unit))

    def _seen(self, question: str, ask: Callable[[], Result]) -> Result:
        everything = self.documents
        self.documents = [one for one in everything if self.sees(one, question)]
        try:
            return ask()
        finally:
            self.documents = everything


def _blurred(world: World, sees: Callable[[_Blurred], Sees]) -> _Blurred:
    directory = _Blurred(world.clock)
    directory.sees = sees(directory)
    world.directory = directory
    return directory


def _publish_at(world: World, time_ms: int) -> str:
    world.number += 1
    text = event_text(world.number, time_ms)
    world.directory.publish(text, time_ms)
    return text


@pytest.mark.parametrize("lag_minutes", [1, 3, 5])
def test_counts_that_lag_the_search_hide_no_late_event(world: World, lag_minutes: int) -> None:
    """What the last minutes lack says nothing of the others."""

    def sees(directory: _Blurred) -> Sees:
        return lambda one, question: (
            question == "search"
            or (directory.published_ms[one.text] <= world.clock.now_ms - lag_minutes * MINUTE_MS)
        )

    _blurred(world, sees)
    collector = world.boot(_WEEK)
    late: list[str] = []
    for minute in range(6 * 60):
        for _ in range(6):
            world.publish()
            world.clock.pass_seconds(10)
        if minute % 60 == 30 and minute < 5 * 60:
            late += [*world.publish(ago_seconds=20 * 60), *world.publish(ago_seconds=2 * 3_600)]
        collector.poll()

    assert len(late) == 10
    assert [text for text in late if world.accepted.get(text) != 1] == []
    assert len(world.warned) <= 2


def test_events_that_are_gone_at_jumpcloud_hide_no_late_event_elsewhere(world: World) -> None:
    """And the reach of the audit moves on, or nothing would ever be forgotten."""
    collector = world.boot(_WEEK)
    for _ in range(48):
        world.publish(count=2)
        world.clock.pass_seconds(3_600)
        collector.poll()
    del world.directory.documents[5:35]
    late: list[str] = []
    for _ in range(3):
        late += world.publish(ago_seconds=10 * 3_600)
        for _ in range(24 * 4):
            world.clock.pass_seconds(900)
            world.publish()
            collector.poll()

    assert [text for text in late if world.accepted.get(text) != 1] == []
    assert world.clock.now_ms - collector.checkpoint.audit_from_ms < HOUR_MS
    assert world.warned == []


@pytest.mark.parametrize("age_seconds", [600, 3 * 3_600])
def test_an_event_that_is_counted_long_before_it_is_found_is_delivered(
    world: World, age_seconds: int
) -> None:
    """It is looked for ever more seldom, and never given up."""
    found_from: dict[str, int] = {}
    _blurred(
        world,
        lambda _: (
            lambda one, question: (
                question != "search" or found_from.get(one.text, 0) <= world.clock.now_ms
            )
        ),
    )
    collector = world.boot(_WEEK)
    world.publish()
    world.poll(collector, times=3)
    (late,) = world.publish(ago_seconds=age_seconds)
    found_from[late] = world.clock.now_ms + HOUR_MS

    for _ in range(9 * 60):
        world.publish()
        world.poll(collector)

    assert world.accepted.get(late) == 1


@pytest.mark.parametrize("minutes", ["refused", "silent"])
def test_an_hour_whose_minutes_do_not_account_for_it_is_read_itself(
    world: World, minutes: str
) -> None:
    """Minutes may not veto what the hour shows."""
    hour_ms = floor(world.clock.now_ms - 5 * HOUR_MS, HOUR_MS)
    directory = _blurred(
        world,
        lambda _: (
            lambda one, question: question != "m" or not hour_ms <= one.time_ms < hour_ms + HOUR_MS
        ),
    )
    directory.failing_units = ("m",) if minutes == "refused" else ()
    collector = world.boot(_WEEK)
    world.publish()
    world.poll(collector, times=3)
    late = [_publish_at(world, hour_ms + 1_000 * number) for number in range(50)]

    for _ in range(60):
        world.publish()
        world.poll(collector)

    assert [text for text in late if world.accepted.get(text) != 1] == []


# What counts are worth


def _witness(known: dict[int, int]) -> Witness:
    """Return one that knows so many events of each minute since noon."""

    def within(start_ms: int, end_ms: int) -> int:
        return sum(
            count
            for minute, count in known.items()
            if start_ms <= NOON_MS + minute * MINUTE_MS < end_ms
        )

    return Witness(within, Time(Clock(NOON_MS + DAY_MS)))


@pytest.mark.parametrize(
    ("counts", "is_denied"),
    [
        ({0: 4, 1: 4, 2: 4, 3: 4, 4: 4}, False),
        ({0: 4, 1: 4, 2: 4}, False),  # the counts lag
        ({0: 4, 1: 4, 2: 4, 3: 2}, False),
        ({}, True),
        ({0: 4, 1: 3, 2: 4, 3: 4, 4: 4}, True),
        ({0: 4, 2: 4, 3: 4}, True),
        ({0: 9, 1: 3, 2: 9, 3: 4, 4: 4}, False),  # so many more that there is no lack in all
    ],
)
def test_minutes_are_denied_by_a_lack_in_their_middle_alone(
    counts: dict[int, int], is_denied: bool
) -> None:
    """Each of five minutes delivered four events."""
    witness = _witness(dict.fromkeys(range(5), 4))
    by_start = {NOON_MS + minute * MINUTE_MS: count for minute, count in counts.items()}

    with pytest.raises(TryAgain, match="although 20") if is_denied else nullcontext():
        witness.check_minutes(by_start, NOON_MS, NOON_MS + 6 * MINUTE_MS)


@pytest.mark.parametrize(("held", "is_denied"), [(0, True), (9, True), (10, False), (99, False)])
def test_a_long_span_is_denied_where_most_of_it_is(held: int, is_denied: bool) -> None:
    """Some events are gone there, and no count is wrong for that."""
    witness = _witness(dict.fromkeys(range(5), 4))

    with pytest.raises(TryAgain) if is_denied else nullcontext():
        witness.check({NOON_MS: held}, NOON_MS, NOON_MS + HOUR_MS)


def test_how_late_events_were_is_measured(world: World) -> None:
    """Each that was found late, by its age when it was delivered; no other one."""
    collector = world.boot(_WEEK)
    world.publish(count=30)
    world.poll(collector)
    world.publish(ago_seconds=7_200, count=3)

    world.poll(collector, times=30)

    late = world.measurements.late.distribution()
    assert late.count == 3
    assert dict(late.at_most)[3_600.0] == 0
    assert dict(late.at_most)[21_600.0] == 3
    assert world.measurements.traffic.commits.distribution().count > 0


def test_where_many_start_together_late_events_are_looked_for_a_minute_later(world: World) -> None:
    """Then every organization has been polled; what is late by then is found all the same."""
    collector = world.boot(replace(_WEEK, first_audit_after_ms=10 * MINUTE_MS))
    _publish_at(world, world.clock.now_ms)
    world.poll(collector)
    late = _publish_at(world, world.clock.now_ms - 90_000)

    world.poll(collector, times=5)
    found_too_early = late in world.accepted
    world.poll(collector, times=6)

    assert not found_too_early
    assert late in world.accepted
