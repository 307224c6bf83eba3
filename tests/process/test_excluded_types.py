"""Event types left out at the source, by the real process."""

import json

import pytest

from sandbox import Answers, Event, make_event
from sandbox.connector import Settings
from sandbox.instants import now_ms
from tests.process.scene import MINUTE_MS, SECOND_MS, history, scene

LEFT_OUT = ("user_update", "ldap_bind")
SETTINGS = Settings(more={"excluded_event_types": "User_Update, ldap_bind"})


def _is_left_out(event: Event) -> bool:
    return json.loads(event.text)["event_type"] in LEFT_OUT


@pytest.mark.lengthy
def test_all_but_the_types_left_out_arrives_once_late_events_included() -> None:
    """Counts are asked with the same condition, so nothing seems to be missing for ever."""
    everything = history(1_500)
    late = [
        make_event(
            now_ms() - 3 * MINUTE_MS,
            visible_ms=now_ms() + 8 * SECOND_MS,
            extra={"event_type": "sso_auth"},
        )
    ]
    with scene([*everything, *late], SETTINGS) as on:
        left_out = [event for event in on.sandbox.jumpcloud.published if _is_left_out(event)]
        on.delivers(len(everything) + len(late) - len(left_out))
        on.polls(8)

        verdict = on.sandbox.verdict(without=left_out)
        texts = set(on.sandbox.intake.texts)
        assert verdict.clean, verdict.table()
        assert 0 < len(left_out) < len(everything)
        assert not [event for event in left_out if event.text in texts]
        assert on.sandbox.platform.messages("warning", "error", "critical") == []


@pytest.mark.lengthy
def test_where_jumpcloud_ignores_it_everything_is_delivered_and_told_once() -> None:
    """Nothing is dropped here."""
    with scene(history(1_500), SETTINGS, answers=Answers(search_term="ignored")) as on:
        on.delivers_all()
        on.polls(4)

        on.is_told("although excluded_event_types leaves them out", "warning")
        assert on.judgement == "clean"
        assert len(on.told("although excluded_event_types leaves them out", "warning")) == 1
