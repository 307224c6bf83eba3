"""How many requests a second are sent, and by whom after a 429 or with a refused key."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jumpcloud_modules.errors import Refused, TryAgain, TryLater
from jumpcloud_modules.http.throttle import (
    LIMITED_SECONDS,
    PROBE_SECONDS,
    REFUSALS_THAT_COUNT,
    REFUSED_SECONDS,
    UNTRIED_SECONDS,
    Pace,
    Throttle,
)

REFUSAL = Refused("JumpCloud answered 401.", status=401)


class _Time:
    def __init__(self) -> None:
        self.now = 1_000.0

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def _limited(seconds: float | None) -> TryAgain:
    return TryAgain("JumpCloud answered 429.", limited=True, retry_after_seconds=seconds)


def test_requests_are_spaced_out() -> None:
    """However many come at once: no second has more than it may."""
    time = _Time()
    pace = Pace(50, time.clock, time.sleep)
    sent = []

    for _ in range(500):
        pace.wait()
        sent.append(time.now)

    in_a_second = [sum(start <= at < start + 1 for at in sent) for start in sent]
    assert max(in_a_second) <= 50
    assert sent[-1] - sent[0] == pytest.approx(500 / pace.sustained_per_second, abs=0.1)


@given(st.lists(st.floats(0.0, 0.5), min_size=100, max_size=300))
def test_no_second_has_more_requests_than_it_may(pauses: list[float]) -> None:
    """Whatever pauses there were between those who came."""
    time = _Time()
    pace = Pace(50, time.clock, time.sleep)
    sent = []

    for seconds in pauses:
        for _ in range(5):
            pace.wait()
            sent.append(time.now)
        time.now += seconds

    in_a_second = [sum(start <= at < start + 1 for at in sent) for start in sent]
    assert max(in_a_second) <= 50


def test_a_single_request_does_not_wait() -> None:
    """Nor do a few after a pause."""
    time = _Time()
    pace = Pace(50, time.clock, time.sleep)

    for _ in range(2):
        pace.wait()

    assert time.now == 1_000.0


def test_after_a_429_nobody_asks_until_its_time_is_over() -> None:
    """Who comes meanwhile is told when to come again."""
    time = _Time()
    throttle = Throttle(clock=time.clock)
    throttle.failed(_limited(20.0))

    time.now += 5.0
    with pytest.raises(TryLater) as put_off:
        throttle.admit()

    assert 15.0 <= put_off.value.seconds <= 15.0 + PROBE_SECONDS


def test_a_429_without_a_time_rests_for_a_while() -> None:
    """JumpCloud need not say how long."""
    time = _Time()
    throttle = Throttle(clock=time.clock)
    throttle.failed(_limited(None))

    with pytest.raises(TryLater) as put_off:
        throttle.admit()

    assert put_off.value.seconds >= LIMITED_SECONDS


def test_one_request_tells_whether_the_rest_was_long_enough() -> None:
    """Until it has its answer the others wait on, and after a success all go."""
    time = _Time()
    throttle = Throttle(clock=time.clock)
    throttle.failed(_limited(20.0))
    time.now += 20.0

    throttle.admit()
    with pytest.raises(TryLater):
        throttle.admit()
    throttle.succeeded()

    for _ in range(10):
        throttle.admit()


def test_a_probe_that_gets_no_answer_holds_nobody_up_for_long() -> None:
    """Another one follows."""
    time = _Time()
    throttle = Throttle(clock=time.clock)
    throttle.failed(_limited(20.0))
    time.now += 20.0
    throttle.admit()

    time.now += PROBE_SECONDS
    throttle.admit()


def test_an_answer_from_before_a_429_does_not_end_the_rest() -> None:
    """It was on its way already."""
    time = _Time()
    throttle = Throttle(clock=time.clock)
    throttle.failed(_limited(20.0))

    throttle.succeeded()

    with pytest.raises(TryLater):
        throttle.admit()


def test_credentials_that_are_refused_again_and_again_are_hardly_tried() -> None:
    """A thousand organizations share a key, and JumpCloud may lock out who knocks."""
    time = _Time()
    throttle = Throttle(clock=time.clock)
    asked = refused = 0

    for _ in range(6_000):  # ten a second for ten minutes
        time.now += 0.1
        try:
            throttle.admit()
        except Refused:
            refused += 1
        else:
            asked += 1
            throttle.failed(REFUSAL)

    assert asked <= REFUSALS_THAT_COUNT + 600 / REFUSED_SECONDS + 1
    assert refused == 6_000 - asked


def test_one_success_opens_the_way_for_all() -> None:
    """The key was mended, or it was one organization's own matter."""
    time = _Time()
    throttle = Throttle(clock=time.clock)
    for _ in range(REFUSALS_THAT_COUNT):
        throttle.admit()
        throttle.failed(REFUSAL)
    with pytest.raises(Refused):
        throttle.admit()

    time.now += REFUSED_SECONDS
    throttle.admit()
    throttle.succeeded()

    for _ in range(10):
        throttle.admit()


def test_refusals_of_a_single_organization_hold_up_no_other() -> None:
    """Between them others succeed."""
    throttle = Throttle(clock=_Time().clock)

    for _ in range(10 * REFUSALS_THAT_COUNT):
        throttle.admit()
        throttle.failed(REFUSAL)
        throttle.admit()
        throttle.succeeded()


def test_refusals_of_all_others_hold_up_nobody_who_is_answered() -> None:
    """A key that has lost its right to ninety-nine of a hundred organizations collects the last."""
    throttle = Throttle(clock=_Time().clock)
    for number in range(99):
        throttle.failed(REFUSAL, f"refused {number}")
    throttle.succeeded("well")

    for number in range(REFUSALS_THAT_COUNT):
        throttle.admit(f"refused {number}")
        throttle.failed(REFUSAL, f"refused {number}")
    with pytest.raises(Refused):
        throttle.admit("refused 0")
    for _ in range(10):
        throttle.admit("well")


def test_of_refused_credentials_each_organization_is_tried_once_in_turn() -> None:
    """Or the only one that is in order would wait for its luck."""
    time = _Time()
    throttle = Throttle(clock=time.clock)
    due = dict.fromkeys((f"organization {number}" for number in range(1_000)), 0.0)
    asked = list[str]()
    began = time.now

    while "organization 999" not in asked:
        time.now += 0.05
        for who in [who for who, at in due.items() if at <= time.now]:
            try:
                throttle.admit(who)
            except TryLater as later:
                due[who] = time.now + later.seconds
            except Refused:
                due[who] = time.now + 30.0
            else:
                asked.append(who)
                due[who] = time.now + 30.0
                throttle.failed(REFUSAL, who)
    throttle.succeeded("organization 999")

    assert time.now - began < 1_100 * UNTRIED_SECONDS
    assert len(asked) < 1_000 + 120 / REFUSED_SECONDS + 1
    throttle.admit("organization 0")
