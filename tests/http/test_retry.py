"""When a remote end is tried again."""

import threading

import pytest

from jumpcloud_modules.errors import PageTooLarge, Refused, Stopped, TryAgain, TryLater
from jumpcloud_modules.http.retry import Failure, Retry
from sandbox import wait_until
from tests.doubles import Waits


class _Failing:
    """Fail in the given ways, one by one, then succeed."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.tries = 0

    def __call__(self) -> str:
        self.tries += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


def test_a_success_costs_one_try_and_no_waiting() -> None:
    """It is heard of, too: that it goes well for a while ends what came and went."""
    stop, failures, successes = Waits(), list[Failure](), list[int]()
    attempt = _Failing()

    result = Retry(stop, failures.append, successes.append, stop.clock).call(attempt)

    assert (result, attempt.tries, stop.seconds) == ("done", 1, [])
    assert (failures, successes) == ([], [0])


def test_a_failure_is_tried_again_until_it_succeeds() -> None:
    """Both a hiccup and a refusal end by themselves when their cause does."""
    stop, failures, successes = Waits(), list[Failure](), list[int]()
    attempt = _Failing(TryAgain("busy"), Refused("key"), TryAgain("busy"))
    retry = Retry(stop, failures.append, successes.append, stop.clock)

    result = retry.call(attempt)

    assert (result, attempt.tries) == ("done", 4)
    assert [failure.in_a_row for failure in failures] == [1, 2, 3]
    assert stop.clock() == pytest.approx(sum(f.next_try_seconds for f in failures))
    assert successes == [3]
    assert not retry.is_failing


def test_after_so_many_tries_the_last_failure_is_raised() -> None:
    """Who limits the tries wants to go on differently."""
    stop = Waits()
    attempt = _Failing(TryAgain("first"), TryAgain("second"))
    retry = Retry(stop, clock=stop.clock)

    with pytest.raises(TryAgain, match="second"):
        retry.call(attempt, tries=2)

    assert attempt.tries == 2
    assert retry.is_failing


def test_an_error_that_is_not_about_the_remote_end_passes_through() -> None:
    """Waiting would not change it."""
    stop = Waits()
    attempt = _Failing(PageTooLarge("large"))

    with pytest.raises(PageTooLarge):
        Retry(stop, clock=stop.clock).call(attempt)

    assert (attempt.tries, stop.seconds) == (1, [])


def test_waiting_hears_the_stop_event() -> None:
    """No try follows it."""
    stop = Waits(stop_after=2)
    attempt = _Failing(*[TryAgain("busy")] * 9)

    with pytest.raises(Stopped):
        Retry(stop, clock=stop.clock).call(attempt)

    assert attempt.tries == 2


def test_a_wait_for_real_ends_with_the_stop_event() -> None:
    """A stop is not an hour away because the other end asked for an hour."""
    stop, ended = threading.Event(), list[str]()
    retry = Retry(stop)
    attempt = _Failing(TryAgain("limited", retry_after_seconds=3600))

    def call() -> None:
        with pytest.raises(Stopped):
            retry.call(attempt)
        ended.append("stopped")

    thread = threading.Thread(target=call)
    thread.start()
    assert wait_until(lambda: retry.is_failing)
    stop.set()
    thread.join(10)

    assert ended == ["stopped"]


def test_while_an_end_fails_one_caller_at_a_time_tries_it() -> None:
    """However many readers there are, a refused key costs a handful of requests."""
    stop = threading.Event()
    retry, together = Retry(stop), threading.Barrier(4)
    lock, tries, refused = threading.Lock(), list[int](), threading.Event()
    refused.set()

    def attempt() -> str:
        with lock:
            tries.append(1)
            first = len(tries) <= 4
        if first:
            together.wait(10)
        if refused.is_set():
            raise TryAgain("limited", retry_after_seconds=1)
        return "done"

    results = list[str]()
    threads = [threading.Thread(target=lambda: results.append(retry.call(attempt))) for _ in "1234"]
    for thread in threads:
        thread.start()
    assert wait_until(lambda: len(tries) >= 5)
    tried_in_the_first_second = len(tries)
    refused.clear()
    for thread in threads:
        thread.join(20)

    assert tried_in_the_first_second == 5
    assert results == ["done"] * 4


def test_requests_that_fail_together_count_as_one_failure() -> None:
    """Four readers that meet the same outage do not make it four times as long."""
    stop, failures = threading.Event(), list[Failure]()
    retry, together = Retry(stop, failures.append), threading.Barrier(3)

    def attempt() -> None:
        together.wait(10)
        raise TryAgain("down")

    def call() -> None:
        with pytest.raises(TryAgain):
            retry.call(attempt, tries=1)

    threads = [threading.Thread(target=call) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert [failure.in_a_row for failure in failures] == [1, 1, 1]


def test_what_is_told_of_the_next_try_is_when_it_comes() -> None:
    """A hiccup beside a longer Retry-After does not bring it forward, nor say so."""
    stop, failures = Waits(), list[Failure]()
    retry = Retry(stop, failures.append, clock=stop.clock)
    limited, hiccup = TryAgain("limited", retry_after_seconds=60), TryAgain("hiccup")

    def attempt() -> None:
        with pytest.raises(TryAgain, match="limited"):  # of a request that began beside this one
            retry.call(_Failing(limited), tries=1)
        raise hiccup

    with pytest.raises(TryAgain, match="hiccup"):
        retry.call(attempt, tries=1)

    assert [(f.error, f.next_try_seconds) for f in failures] == [(limited, 60.0), (hiccup, 60.0)]


def test_a_stop_does_not_keep_a_healthy_end_from_a_first_try() -> None:
    """What was delivered is still written down after the stop event is set."""
    stop = Waits()
    stop.set()
    attempt = _Failing()

    result = Retry(stop, clock=stop.clock).call(attempt)

    assert (result, attempt.tries) == ("done", 1)


def test_after_a_stop_nothing_is_tried_twice() -> None:
    """A failure then ends the matter."""
    stop = Waits()
    stop.set()
    attempt = _Failing(TryAgain("busy"))

    with pytest.raises(Stopped):
        Retry(stop, clock=stop.clock).call(attempt)

    assert attempt.tries == 1


# Without waiting


def test_one_that_does_not_wait_says_when_to_come_again() -> None:
    """Its thread is another organization's meanwhile."""
    stop = Waits()
    retry = Retry(stop, clock=stop.clock, waits=False)

    with pytest.raises(TryLater) as later:
        retry.call(_Failing(TryAgain("away", retry_after_seconds=7.0)))

    assert later.value.seconds == 7.0
    assert later.value.in_a_row == 1
    assert str(later.value.error) == "away"
    assert stop.seconds == []


def test_an_end_that_failed_is_not_asked_before_its_time() -> None:
    """Who comes too early learns how long it still is, and no failure is counted."""
    stop, failures = Waits(), list[Failure]()
    retry = Retry(stop, failures.append, clock=stop.clock, waits=False)
    with pytest.raises(TryLater):
        retry.call(_Failing(TryAgain("away", retry_after_seconds=7.0)))
    asked: list[int] = []

    stop.seconds.append(3.0)
    with pytest.raises(TryLater) as later:
        retry.call(lambda: asked.append(1))
    stop.seconds.append(4.0)
    retry.call(lambda: asked.append(1))

    assert later.value.seconds == pytest.approx(4.0)
    assert later.value.error is None
    assert asked == [1]
    assert len(failures) == 1
    assert not retry.is_failing


def test_a_single_try_raises_what_it_failed_with() -> None:
    """Who asks for one has another way."""
    retry = Retry(Waits(), waits=False)

    with pytest.raises(TryAgain, match="away"):
        retry.call(_Failing(TryAgain("away")), tries=1)
