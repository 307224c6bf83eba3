"""Asking about many organizations: a few at a time, again where it helps, and never for ever."""

import threading
from collections.abc import Callable

import pytest

from jumpcloud_modules.commands.reach import (
    AT_ONCE,
    MAX_SILENT,
    MAX_WAIT_SECONDS,
    TRIES,
    Ask,
    count_each,
)
from jumpcloud_modules.errors import Refused, TryAgain
from tests.doubles import Waits


class Organizations:
    """Organizations that are asked; `answer` gets a number and how often it was asked before."""

    def __init__(self, count: int, answer: Callable[[int, int], int]) -> None:
        self.asked = [0] * count
        self.most_at_once = 0
        self._now = 0
        self._answer = answer
        self._lock = threading.Lock()

    def asks(self) -> dict[str, Ask]:
        """Return a question to each."""

        def ask(number: int) -> int:
            with self._lock:
                self._now += 1
                self.most_at_once = max(self.most_at_once, self._now)
                self.asked[number] += 1
            try:
                return self._answer(number, self.asked[number] - 1)
            finally:
                with self._lock:
                    self._now -= 1

        return {f"{n}": lambda n=n: ask(n) for n in range(len(self.asked))}  # type: ignore[misc]


def failing(status: int = 500, seconds: float | None = None) -> TryAgain:
    """Return an error that may pass by itself."""
    return TryAgain("not now", status=status, retry_after_seconds=seconds)


def test_each_is_asked_once_and_a_few_at_a_time() -> None:
    """Where all answer, nobody waits."""
    meeting, waits = threading.Barrier(AT_ONCE), Waits()

    def answer(number: int, _before: int) -> int:
        meeting.wait(10)  # so many are asked at once, or this fails
        return number

    organizations = Organizations(5 * AT_ONCE, answer)

    found = count_each(organizations.asks(), waits.wait)

    assert found == {f"{n}": n for n in range(5 * AT_ONCE)}
    assert set(organizations.asked) == {1}
    assert organizations.most_at_once == AT_ONCE
    assert waits.seconds == []


def test_a_refusal_is_an_answer() -> None:
    """It is not asked for again, and the others are."""

    def answer(number: int, _before: int) -> int:
        if number == 1:
            raise Refused("never", status=402)
        return 5

    organizations = Organizations(3, answer)

    found = count_each(organizations.asks(), Waits().wait)

    assert (found["0"], str(found["1"]), found["2"]) == (5, "never", 5)
    assert organizations.asked == [1, 1, 1]


def test_too_many_requests_are_waited_out() -> None:
    """As long as some are answered in between, however many rounds that takes."""
    count, budget, waits = 300, 40, Waits()
    left = [budget]

    def answer(number: int, _before: int) -> int:
        if left[0] <= 0:
            raise failing(429, seconds=20)
        left[0] -= 1
        return number

    def wait(seconds: float) -> None:
        waits.wait(seconds)
        left[0] = budget

    organizations = Organizations(count, answer)

    found = count_each(organizations.asks(), wait)

    assert found == {f"{n}": n for n in range(count)}
    assert set(waits.seconds) == {20}
    assert sum(organizations.asked) < 2 * count


def test_one_that_always_fails_costs_the_others_nothing() -> None:
    """It is asked again after them, a few times."""

    def answer(number: int, _before: int) -> int:
        if number == 0:
            raise failing()
        return number

    organizations = Organizations(30, answer)

    found = count_each(organizations.asks(), Waits().wait)

    assert isinstance(found.pop("0"), TryAgain)
    assert found == {f"{n}": n for n in range(1, 30)}
    assert organizations.asked == [1 + TRIES, *[1] * 29]


def test_a_jumpcloud_that_is_down_is_left_after_a_few_questions() -> None:
    """Those that were not asked are told as such."""

    def answer(_number: int, _before: int) -> int:
        raise failing()

    organizations, waits = Organizations(500, answer), Waits()

    found = count_each(organizations.asks(), waits.wait)

    assert sum(organizations.asked) == TRIES * MAX_SILENT
    assert len(found) == 500
    assert [str(e) for e in found.values()].count("not now") == TRIES * MAX_SILENT
    assert str(found["499"]).startswith("Not asked: ")
    assert len(waits.seconds) == TRIES - 1


@pytest.mark.parametrize("seconds", [3600.0, 86_400.0])
def test_nobody_waits_for_an_hour(seconds: float) -> None:
    """A person sits before it, whatever the other end asks for."""

    def answer(number: int, before: int) -> int:
        if not before:
            raise failing(429, seconds)
        return number

    waits = Waits()

    assert count_each(Organizations(1, answer).asks(), waits.wait) == {"0": 0}
    assert waits.seconds == [MAX_WAIT_SECONDS]
