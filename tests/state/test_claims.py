"""Claims of events on their way: who waits, for whom, and what ends the wait."""

import threading

import pytest

from jumpcloud_modules.errors import StateUnavailable, Stopped
from jumpcloud_modules.events import Events
from jumpcloud_modules.state.claims import Claims
from tests.doubles import NOON_MS, event_at, events_of

ONE, OTHER = event_at(NOON_MS, "1"), event_at(NOON_MS, "2")
SECONDS = 20.0


def begun(claims: Claims, events: Events, took: threading.Event) -> threading.Thread:
    """Claim events in another thread, and set `took` once they are claimed."""

    def claim() -> None:
        with claims.taking({*events.keys}, lambda: events):
            took.set()

    thread = threading.Thread(target=claim, daemon=True)
    thread.start()
    return thread


def test_who_waits_for_another_s_outcome_hears_the_stop() -> None:
    """The other may hang in the network for minutes."""
    stop, raised = threading.Event(), list[BaseException]()
    claims = Claims(stop)

    def claim_too() -> None:
        try:
            with claims.taking({ONE.key}, lambda: events_of(ONE)):
                pass
        except Stopped as error:
            raised.append(error)

    with claims.taking({ONE.key}, lambda: events_of(ONE)):
        waiting = threading.Thread(target=claim_too, daemon=True)
        waiting.start()
        waiting.join(0.3)
        is_waiting = waiting.is_alive()
        stop.set()
        waiting.join(SECONDS)
        has_ended = not waiting.is_alive()

    assert is_waiting
    assert has_ended
    assert [str(error) for error in raised] == ["stopped while another delivers the same events"]


def test_a_slow_look_at_what_is_known_keeps_nobody_from_claiming_or_releasing() -> None:
    """It may read a file of hours, which on S3 is a request."""
    claims, looking, looked = Claims(), threading.Event(), threading.Event()

    def look() -> Events:
        looking.set()
        looked.wait()
        return events_of(ONE)

    def claim_slowly() -> None:
        with claims.taking({ONE.key}, look):
            pass

    slow = threading.Thread(target=claim_slowly, daemon=True)
    slow.start()
    looking.wait(SECONDS)
    took, too_early = threading.Event(), threading.Event()
    begun(claims, events_of(OTHER), took).join(SECONDS)
    goes_on = took.is_set()
    same = begun(claims, events_of(ONE), too_early)
    same.join(0.3)
    had_to_wait = not too_early.is_set()
    looked.set()
    same.join(SECONDS)

    assert goes_on
    assert had_to_wait
    assert too_early.is_set()


def test_what_turns_out_to_be_known_is_not_held() -> None:
    """Another page of the same events need not wait until this one's are delivered."""
    claims, took = Claims(), threading.Event()

    with claims.taking({ONE.key, OTHER.key}, lambda: events_of(OTHER)):
        begun(claims, events_of(ONE), took).join(SECONDS)
        is_free = took.is_set()

    assert is_free


def test_a_look_that_fails_leaves_nothing_claimed() -> None:
    """The events are new to whoever comes next."""
    claims, took = Claims(), threading.Event()

    def fail() -> Events:
        raise StateUnavailable("the disk is full")

    with pytest.raises(StateUnavailable), claims.taking({ONE.key}, fail):
        pass
    begun(claims, events_of(ONE), took).join(SECONDS)

    assert took.is_set()
