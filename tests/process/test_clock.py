"""A machine's clock that is wrong, under the real process: what is collected does not depend on it.

JumpCloud has the right time throughout, and refuses a start that is ahead of its own clock.
"""

import time
from collections.abc import Callable

import pytest

from jumpcloud_modules.queries import PAGES_IN_MEMORY
from sandbox import Event, faults
from sandbox.connector import Settings
from sandbox.faketime import LIBRARY, MISSING, FakeClock
from sandbox.live import Live
from tests.process.scene import Scene, history, scene

MINUTE, HOUR, DAY = 60, 3_600, 86_400
BACKLOG_EVENTS = 30_000
BACKLOG_MINUTES = 600
FEW_EVENTS = BACKLOG_EVENTS // 10
AWAY_SECONDS = 3
SECONDS_TO_END = 2.0
"""A stop that takes longer may have left something behind: it waits for 2.5 seconds."""
SOON_SECONDS = 90.0
"""How soon a new event is accepted at the latest: a poll a second takes one or two.

On a machine that is busy with other tests; a clock that held it up would do so for ten minutes.
"""

SETTINGS = Settings(chunk_size=1_000)
WITHOUT_AUDITS = Settings(chunk_size=1_000, audit_hours=0)

with_a_fake_clock = pytest.mark.skipif(LIBRARY is None, reason=MISSING)


@with_a_fake_clock
@pytest.mark.lengthy
@pytest.mark.parametrize("ahead_seconds", [10 * MINUTE, -10 * MINUTE], ids=["ahead", "behind"])
def test_a_clock_that_is_ten_minutes_off_from_the_start_changes_nothing(ahead_seconds: int) -> None:
    """Nor does mending it."""
    clock = FakeClock(ahead_seconds)
    with scene(_backlog(), SETTINGS, clock=clock) as on:
        with _live(on):
            on.delivers(BACKLOG_EVENTS)
            _new_events_arrive_soon(on)
            clock.right()
            _new_events_arrive_soon(on)
        _everything_arrives(on)

        assert on.judgement == "clean"


@with_a_fake_clock
@pytest.mark.lengthy
def test_a_clock_that_is_two_hours_ahead_at_a_boot_and_mended_after_it_changes_nothing() -> None:
    """As where the network's time comes after the connector."""
    clock = FakeClock(2 * HOUR)
    with scene(_backlog(), SETTINGS, clock=clock) as on:
        with _live(on):
            time.sleep(5)
            clock.right()
            _new_events_arrive_soon(on)
        _everything_arrives(on)

        assert on.judgement == "clean"


@with_a_fake_clock
@pytest.mark.lengthy
@pytest.mark.parametrize("settings", [SETTINGS, WITHOUT_AUDITS], ids=["audits", "no audits"])
@pytest.mark.parametrize("collected", [FEW_EVENTS, BACKLOG_EVENTS])
def test_a_clock_that_is_eight_hours_behind_at_a_restart_changes_nothing(
    settings: Settings, collected: int
) -> None:
    """What is left of a backlog, and what happened meanwhile, comes once."""
    clock = FakeClock()
    with scene(_backlog(), settings, clock=clock) as on:
        with _live(on):
            in_time = _restart(on, after=collected, meanwhile=lambda: clock.step(-8 * HOUR))
            _new_events_arrive_soon(on)
            clock.right()
            _new_events_arrive_soon(on)
        _everything_arrives(on)

        assert _judged(on, is_in_time=in_time), on.judgement


@with_a_fake_clock
@pytest.mark.lengthy
def test_a_clock_that_is_a_hundred_days_ahead_at_a_restart_changes_nothing() -> None:
    """What was left of the backlog is not taken for beyond retention."""
    clock = FakeClock()
    with scene(_backlog(), SETTINGS, clock=clock) as on:
        with _live(on):
            in_time = _restart(on, after=FEW_EVENTS, meanwhile=lambda: clock.step(100 * DAY))
            _new_events_arrive_soon(on)
            clock.right()
            _new_events_arrive_soon(on)
        _everything_arrives(on)

        assert _judged(on, is_in_time=in_time), on.judgement
        assert not on.told("beyond JumpCloud's retention")


@with_a_fake_clock
@pytest.mark.lengthy
def test_a_clock_that_is_eight_days_ahead_for_four_seconds_changes_nothing() -> None:
    """Amid a backlog, in a process that goes on."""
    clock = FakeClock()
    with scene(_backlog(), SETTINGS, clock=clock) as on:
        with _live(on):
            on.delivers(FEW_EVENTS)
            clock.step(8 * DAY)
            time.sleep(4)
            clock.right()
            _new_events_arrive_soon(on)
        _everything_arrives(on)

        assert on.judgement == "clean"


@pytest.mark.lengthy
@pytest.mark.parametrize("fault", [faults.NoDate(), faults.NonsenseDate()], ids=repr)
def test_where_no_answer_tells_the_time_the_machine_s_clock_serves(fault: faults.Fault) -> None:
    """Where that clock is right, as behind a proxy that takes the header away."""
    with scene(
        _backlog(), SETTINGS, before=lambda sandbox, _: sandbox.jumpcloud.faults.add(fault)
    ) as on:
        with _live(on):
            on.delivers(BACKLOG_EVENTS)
            _new_events_arrive_soon(on)
        _everything_arrives(on)

        assert on.judgement == "clean"


def _backlog() -> list[Event]:
    return history(BACKLOG_EVENTS, minutes=BACKLOG_MINUTES)


def _live(on: Scene) -> Live:
    """Let new events happen, some of them late, but where nobody looks for late ones."""
    late_share = 0.1 if on.connector.settings.audit_hours else 0.0
    return Live(on.sandbox.jumpcloud, per_second=20, late_share=late_share, latest_ms=3_000)


def _new_events_arrive_soon(on: Scene) -> None:
    """Wait for an event that happens from now on, whatever is still to come from before it."""
    published = len(on.sandbox.jumpcloud.published)
    on.sees(lambda: len(on.sandbox.jumpcloud.published), published + 1)
    digest = on.sandbox.jumpcloud.published[published].digest()
    on.sees(lambda: on.sandbox.intake.digests.count(digest), 1, SOON_SECONDS)


def _restart(on: Scene, *, after: int, meanwhile: Callable[[], object]) -> bool:
    """Stop after so many events, be away for a while, and start again.

    Returns whether what was on its way had ended in time: a machine that is busy with other tests
    may take longer for it than a stop may take.
    """
    on.delivers(after)
    began = time.monotonic()
    on.connector.stop()
    is_in_time = time.monotonic() - began < SECONDS_TO_END
    is_in_time = is_in_time and "a request hung" not in on.connector.output
    time.sleep(AWAY_SECONDS)
    meanwhile()
    on.connector.start()
    return is_in_time


def _judged(on: Scene, *, is_in_time: bool) -> bool:
    """Tell whether nothing was lost or came twice, but for what a stop could not wait for."""
    verdict = on.sandbox.verdict()
    in_flight = 0 if is_in_time else PAGES_IN_MEMORY * SETTINGS.chunk_size
    is_lossless = (verdict.lost, verdict.altered, verdict.foreign) == (0, 0, 0)
    return is_lossless and verdict.duplicated <= in_flight


def _everything_arrives(on: Scene) -> None:
    """Wait for what was published, and for what might come twice."""
    on.loses_nothing()
    on.polls(3)
