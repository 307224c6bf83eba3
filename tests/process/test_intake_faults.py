"""Each way in which the intake can fail, once, in front of the real process."""

import pytest

from sandbox import faults, make_event
from sandbox.connector import Settings
from sandbox.faults import Fault
from sandbox.instants import now_ms
from tests.process.scene import SECOND_MS, history, scene

NOTHING_ACCEPTED: list[Fault] = [
    faults.Status(429, retry_after_seconds=1),
    faults.Status(429),
    faults.Status(502, form="html"),
    faults.Status(503, form="empty"),
    faults.ResetBeforeHeaders(),
    faults.Hang(0.5),
    faults.HangMidBody(0.5),
]


@pytest.mark.parametrize("fault", NOTHING_ACCEPTED, ids=repr)
def test_a_batch_that_fails_is_sent_again_and_nothing_is_lost_or_repeated(fault: Fault) -> None:
    """Whatever the intake answers, or does not."""
    with scene(
        history(600),
        Settings(chunk_size=200),
        before=lambda sandbox, _: sandbox.intake.faults.add(fault, times=3),
    ) as on:
        on.delivers_all()
        on.polls()

        assert on.judgement == "clean"
        assert on.sandbox.intake.requests.arrivals("batch") < 20


@pytest.mark.parametrize(
    "fault",
    [
        faults.AcceptedWithoutReply(),
        faults.TruncatedBody(),
        faults.BrokenJson(),
    ],
    ids=repr,
)
def test_only_a_batch_whose_receipts_did_not_arrive_is_repeated(fault: Fault) -> None:
    """Once for each time that its fate was in doubt."""
    with scene(
        history(600),
        Settings(chunk_size=100),
        before=lambda sandbox, _: sandbox.intake.faults.add(fault, times=2),
    ) as on:
        on.loses_nothing()
        on.polls()
        verdict = on.sandbox.verdict()

        assert (verdict.altered, verdict.foreign) == (0, 0)
        assert [rule.fired for rule in on.sandbox.intake.faults.rules] == [2]
        assert 0 < verdict.duplicated <= 2 * 100


@pytest.mark.parametrize("status", [400, 422])
def test_one_refused_event_goes_to_the_quarantine_and_the_rest_flows(status: int) -> None:
    """Its bytes are in a file, its id is in a line, and it is not sent again."""
    events = history(300)
    refused = make_event(now_ms() - 60 * SECOND_MS)
    with scene(
        [*events, refused],
        before=lambda sandbox, _: sandbox.intake.faults.add(
            faults.RefuseEvent(str(refused.id), status)
        ),
    ) as on:
        on.delivers(len(events))
        on.is_told(str(refused.id), "warning")
        on.polls()
        kept = list((on.connector.data_folder / "quarantine").iterdir())

        assert [path.read_bytes() for path in kept] == [refused.text]
        assert on.sandbox.verdict(without=[refused]).clean
        assert len(on.told(str(refused.id))) == 1
        assert on.connector.metric("symphony_module_common_discarded_events_total") == 1


def test_a_batch_that_is_too_large_for_the_intake_is_split() -> None:
    """Until each part is small enough."""
    with scene(
        history(400),
        before=lambda sandbox, _: sandbox.intake.faults.add(
            faults.Status(413), when=lambda request: len(request.payload) > 100_000
        ),
    ) as on:
        on.delivers_all()
        assert all(rule.fired for rule in on.sandbox.intake.faults.rules)
        assert on.judgement == "clean"


def test_short_receipts_are_told_and_nothing_is_sent_again() -> None:
    """A 200 means that the intake has the events."""
    with scene(
        history(100),
        before=lambda sandbox, _: sandbox.intake.faults.add(faults.ShortReceipts(3), times=1),
    ) as on:
        on.delivers_all()
        on.is_told("gave no receipt for 3", "warning")
        on.polls()

        assert on.judgement == "clean"


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refused_intake_key_holds_everything_until_it_is_accepted(status: int) -> None:
    """One message tells what to do, and a handful of requests is all that is tried."""
    with scene(
        history(300),
        before=lambda sandbox, _: sandbox.intake.faults.add(faults.Status(status)),
    ) as on:
        on.is_told("Check the intake key", "error")
        on.sees(lambda: on.sandbox.intake.requests.arrivals("batch"), 2)
        tried = on.sandbox.intake.requests.arrivals("batch")
        on.sandbox.intake.faults.clear()

        assert tried <= 6
        on.delivers_all()
        assert on.judgement == "clean"
        on.is_told("answers again", "info")
        assert len(on.told("Check the intake key")) == 1


@pytest.mark.lengthy
def test_an_intake_that_hangs_is_given_up_and_sent_to_again() -> None:
    """After half a minute of silence; it had not taken the batch, so nothing is repeated."""
    with scene(
        history(100),
        before=lambda sandbox, _: sandbox.intake.faults.add(faults.HangThenReset(90), times=1),
    ) as on:
        on.delivers_all(timeout_seconds=80)
        assert on.judgement == "clean"


def test_an_intake_that_is_away_loses_nothing_and_is_told() -> None:
    """Live events wait at JumpCloud meanwhile, not in memory."""
    with scene(history(200)) as on:
        on.delivers_all()
        on.polls(1)  # so that no reply is cut off
        with on.sandbox.unplugged("intake"):
            on.sandbox.jumpcloud.publish(make_event(now_ms() - n) for n in range(300))
            on.is_told("The Sekoia intake could not be reached", "warning")

        on.delivers_all()
        assert on.judgement == "clean"


def test_an_intake_that_is_away_takes_no_memory() -> None:
    """What waits for it is at most a few pages."""
    with scene(history(100)) as on:
        on.delivers_all()
        on.sandbox.intake.faults.add(faults.Status(503))
        before = on.connector.usage().peak_rss_bytes
        on.sandbox.jumpcloud.publish(history(15_000, seed=2))
        on.sees(lambda: on.sandbox.intake.requests.arrivals("batch"), 6)
        taken = on.connector.usage().peak_rss_bytes - before
        on.sandbox.intake.faults.clear()

        assert taken < 40 << 20
        on.delivers_all()
        assert on.judgement == "clean"


def test_an_event_that_is_too_large_for_the_intake_is_set_aside_with_its_size_and_file() -> None:
    """The events around it flow."""
    now = now_ms()
    large = make_event(now - 2_000, padding_bytes=250_001)
    fitting = make_event(now - 2_001, padding_bytes=249_500)
    with scene([*history(50), large, fitting]) as on:
        on.delivers(51)
        on.is_told(f"{large.id} ({len(large.text)} bytes)", "warning")
        on.polls()

        assert on.sandbox.verdict(without=[large]).clean
        assert on.sandbox.intake.refused == []
