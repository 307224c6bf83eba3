"""Events that JumpCloud shows long after they happened, found by the real process."""

import pytest

from sandbox import faults, generate, make_event
from sandbox.connector import Settings
from sandbox.instants import instant_text, now_ms
from tests.process.scene import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, Scene, history, scene

LATE_BY_MS = [
    5 * SECOND_MS,
    MINUTE_MS,
    4 * MINUTE_MS,
    50 * MINUTE_MS,
    10 * HOUR_MS,
    3 * DAY_MS,
]
FOUR_DAYS = Settings(history_hours=96)


def test_what_is_late_by_seconds_minutes_hours_or_days_is_found_and_only_that_is_sent() -> None:
    """And what is downloaded for it stays within the buckets that were short."""
    now = now_ms()
    with scene(generate(3_000, now - 4 * DAY_MS + HOUR_MS, now - 10_000, 3), FOUR_DAYS) as on:
        on.delivers_all()
        on.polls()
        published = len(on.sandbox.jumpcloud.published)
        on.sandbox.jumpcloud.publish(make_event(now_ms() - late_ms) for late_ms in LATE_BY_MS)
        on.delivers_all()
        on.polls(3)

        assert on.judgement == "clean"
        assert on.sandbox.intake.count == published + len(LATE_BY_MS)
        assert on.sandbox.jumpcloud.requests.events("events") < published * 1.5


def test_what_came_late_while_the_process_was_away_is_found() -> None:
    """Even after a kill."""
    now = now_ms()
    with scene(generate(1_000, now - DAY_MS + HOUR_MS, now - 10_000, 4)) as on:
        on.delivers_all()
        on.polls()
        on.connector.kill()
        on.sandbox.jumpcloud.publish(
            make_event(now_ms() - late_ms) for late_ms in LATE_BY_MS if late_ms < DAY_MS
        )
        on.connector.start()

        on.delivers_all()
        assert on.judgement == "clean"


def test_with_nothing_late_hardly_more_is_downloaded_than_delivered() -> None:
    """Neither the polls nor the audits read again what was read."""
    with scene(history(2_000), Settings(chunk_size=300)) as on:
        on.delivers_all()
        on.polls(8)

        assert on.sandbox.jumpcloud.requests.events("events") < 2_000 * 1.5
        assert on.judgement == "clean"


def test_nothing_before_the_beginning_is_ever_asked_for() -> None:
    """The audit keeps to what this connector was asked to collect."""
    now = now_ms()
    older = generate(200, now - 20 * HOUR_MS, now - 3 * HOUR_MS, 5)
    settings = Settings(history_hours=1)
    with scene([*older, *history(100, minutes=50)], settings) as on:
        on.delivers(100)
        on.polls(3)

        asked_from = [entry.body["start_time"] for entry in on.sandbox.jumpcloud.requests.entries()]
        assert min(asked_from) >= instant_text(now - HOUR_MS)
        assert on.sandbox.verdict(without=older).clean
        assert on.sandbox.intake.count == 100


@pytest.mark.parametrize(
    "fault",
    [
        faults.Status(403),
        faults.Status(500),
        faults.HtmlPage(),
        faults.BrokenJson(),
    ],
    ids=repr,
)
def test_where_counts_are_refused_or_broken_five_minutes_are_read_again_and_that_is_said_once(
    fault: faults.Fault,
) -> None:
    """What is late by less is found; once counts work again, so is what is late by more."""
    with scene(
        history(300),
        before=lambda sandbox, _: sandbox.jumpcloud.faults.add(fault, endpoint="interval"),
    ) as on:
        on.delivers_all()
        on.is_told("are read again at each poll", "warning")
        on.sandbox.jumpcloud.publish([make_event(now_ms() - MINUTE_MS)])
        on.delivers_all()
        on.polls(3)
        said = len(on.told("are read again at each poll"))
        on.sandbox.jumpcloud.publish([make_event(now_ms() - 40 * MINUTE_MS)])
        on.sandbox.jumpcloud.faults.clear()

        assert said == 1
        on.delivers_all()
        assert on.judgement == "clean"


def test_wrong_counts_repeat_nothing_and_do_not_make_the_audit_read_forever() -> None:
    """Where counts are too high, what was read once is not read at each poll."""
    with scene(
        history(300, minutes=30),
        before=lambda sandbox, _: sandbox.jumpcloud.faults.add(
            faults.WrongCounts(2), endpoint="interval"
        ),
    ) as on:
        on.delivers_all()
        on.polls(2)
        before = _rereads(on)
        on.polls(6)

        assert on.judgement == "clean"
        assert _rereads(on) - before <= 3


def test_counts_that_fail_now_and_then_are_asked_for_again() -> None:
    """A miscount or a refusal in between does no harm."""
    with scene(history(300), Settings()) as on:
        counts = on.sandbox.jumpcloud.faults
        counts.add(faults.Status(503), endpoint="interval", probability=0.3)
        counts.add(faults.WrongCounts(-5), endpoint="interval", probability=0.3)
        on.delivers_all()
        on.sees(lambda: min(rule.fired for rule in counts.rules), 1)
        on.sandbox.jumpcloud.publish(make_event(now_ms() - n * MINUTE_MS) for n in (2, 30, 50))

        on.delivers_all()
        assert on.judgement == "clean"


def _rereads(on: Scene) -> int:
    entries = on.sandbox.jumpcloud.requests.entries("events")
    return sum(1 for entry in entries if "end_time" in entry.body)
