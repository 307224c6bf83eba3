"""`all`, and what it leaves out, asked for beside it: two streams, and each event once."""

import pytest

from sandbox import Answers, Event, generate, make_event
from sandbox.connector import Settings
from sandbox.instants import now_ms
from tests.process.scene import HOUR_MS, MINUTE_MS, SECOND_MS, Scene, scene

WEIGHTS = {"directory": 5.0, "pam": 1.0, "sso": 3.0}
BOTH = Settings(service="all,pam", chunk_size=300)
LEAVES_PAM_OUT = Answers(outside_all=("pam",))


def _events(count: int = 3_000) -> list[Event]:
    now = now_ms()
    return generate(count, now - 10 * HOUR_MS, now - 10 * SECOND_MS, 3, weights=WEIGHTS)


def _late(service: str) -> Event:
    return make_event(
        now_ms() - 4 * MINUTE_MS, visible_ms=now_ms() + 8 * SECOND_MS, service=service
    )


def _services_asked_for(on: Scene) -> set[str]:
    return {",".join(e.body["service"]) for e in on.sandbox.jumpcloud.requests.entries() if e.body}


@pytest.mark.lengthy
@pytest.mark.parametrize("answers", [LEAVES_PAM_OUT, Answers()], ids=["left out", "brought"])
def test_all_and_pam_are_collected_side_by_side_and_each_event_comes_once(
    answers: Answers,
) -> None:
    """Late ones included, whether all brings them or not; and over a restart."""
    with scene([*_events(), _late("pam"), _late("sso")], BOTH, answers=answers) as on:
        on.delivers(len(on.sandbox.jumpcloud.published) - 2)
        on.connector.stop()
        on.connector.start()
        on.sandbox.jumpcloud.publish(
            make_event(now_ms() - number, service=service)
            for number in range(20)
            for service in ("pam", "sso")
        )
        on.delivers_all()
        on.polls(8)

        assert on.judgement == "clean"
        assert _services_asked_for(on) == {"all", "pam"}
        assert on.sandbox.platform.messages("warning", "error", "critical") == []


@pytest.mark.lengthy
def test_what_all_brought_before_pam_was_named_beside_it_does_not_come_again() -> None:
    """Nor is anything of all's own state given up."""
    with scene(_events(), Settings(service="all")) as on:
        on.delivers_all()
        on.polls()
        on.connector.stop()
        on.connector.settings = BOTH
        on.connector.start()
        on.sandbox.jumpcloud.publish([make_event(now_ms(), service="pam")])
        on.delivers_all()
        on.polls(8)

        assert on.judgement == "clean"
        assert not on.told("asks for other events than before")


@pytest.mark.lengthy
def test_a_stream_that_is_refused_holds_up_no_other() -> None:
    """A name that JumpCloud does not know, for example."""
    with scene(_events(600), Settings(service="all,pamm")) as on:
        on.delivers_all()
        on.is_told("Invalid service 'pamm'", "error")
        on.sandbox.jumpcloud.publish([make_event(now_ms())])
        on.delivers_all()

        assert on.judgement == "clean"


@pytest.mark.lengthy
def test_a_kill_amid_both_streams_repeats_no_more_than_what_was_in_flight() -> None:
    """And loses nothing of either."""
    with scene(_events(6_000), BOTH) as on:
        for delivered in (1_000, 3_000):
            on.delivers(delivered)
            on.connector.kill()
            on.connector.start()
        on.loses_nothing()
        on.polls(6)

        verdict = on.sandbox.verdict()
        assert (verdict.lost, verdict.altered) == (0, 0)
        assert verdict.duplicated <= 2 * 6 * BOTH.chunk_size
