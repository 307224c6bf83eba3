"""Call a remote end until it works, with one backoff that all threads share.

While the end fails, one thread at a time tries, after longer and longer waits; the others wait. So
a refused key costs a handful of requests however many readers there are. The stop event ends each
wait. `backoff` computes how long to wait.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import TypeVar

from jumpcloud_modules.errors import Refused, Stopped, TryAgain
from jumpcloud_modules.http.backoff import delay_seconds

Result = TypeVar("Result")

_STOP_CHECK_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Failure:
    """Hold one failed try: why, how many have failed in a row, and when the next one comes."""

    error: TryAgain | Refused
    in_a_row: int
    next_try_seconds: float


class _Streak:
    """Count the failures in a row of one end, and when it may be asked again.

    Call `began` before each try, and pass on what it returned when the try has ended.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._not_before = 0.0
        self.in_a_row = 0

    def began(self) -> int:
        """Return the number of failures up to now, which a try that begins now cannot cause."""
        return self._failures

    def seconds_to_wait(self) -> float:
        """Return how long to wait until the next try, negative once that is over."""
        return self._not_before - self._clock()

    def failed(self, error: TryAgain | Refused, began: int) -> Failure:
        """Take note of a failed try, and return what is to be told of it."""
        with self._lock:
            if began == self._failures:  # requests that fail together count once
                self._failures += 1
                self.in_a_row += 1
            # At least one: a request that began before may have ended the streak meanwhile.
            delay = delay_seconds(error, max(self.in_a_row, 1))
            # The longest wait holds: one request's hiccup does not shorten another's Retry-After.
            self._not_before = max(self._not_before, self._clock() + delay)
            return Failure(error, self.in_a_row, delay)

    def succeeded(self, began: int) -> int | None:
        """End the streak and return its length, or None where the success proves nothing.

        A try that began before the last failure says nothing of how the end is since.
        """
        with self._lock:
            if began != self._failures:
                return None
            failed, self.in_a_row = self.in_a_row, 0
            self._not_before = 0.0
            return failed


class Retry:
    """Repeat calls to one remote end until they succeed, with waits between them.

    `on_failure` is called with each failed try, `on_success` at each success with the number of
    tries that failed right before it; both from the thread that tried.
    """

    def __init__(
        self,
        stop: threading.Event,
        on_failure: Callable[[Failure], None] = lambda _: None,
        on_success: Callable[[int], None] = lambda _: None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._stop = stop
        self._on_failure = on_failure
        self._on_success = on_success
        self._streak = _Streak(clock)
        self._turn = threading.Lock()

    @property
    def is_failing(self) -> bool:
        """Tell whether the last try failed."""
        return self._streak.in_a_row > 0

    def call(self, attempt: Callable[[], Result], tries: int | None = None) -> Result:
        """Return what `attempt` returns, as soon as it does.

        After TryAgain and Refused it waits and tries again; after `tries` failures of this call the
        last one is raised. Raises Stopped when asked to stop while waiting; an end that did not
        fail last is tried even then, so that what was begun can be finished.
        """
        failed = 0
        while True:
            try:
                return self._in_turn(attempt)
            except (TryAgain, Refused):
                failed += 1
                if failed == tries:
                    raise

    def _in_turn(self, attempt: Callable[[], Result]) -> Result:
        if not self.is_failing:
            return self._try(attempt)
        # Whoever has the turn waits and tries with it held: the others would only knock as well.
        # With a timeout, since the stop event does not wake who waits for a lock.
        while not self._turn.acquire(timeout=_STOP_CHECK_SECONDS):
            self._check_stop()
        try:
            self._wait_until_due()
            return self._try(attempt)
        finally:
            self._turn.release()

    def _try(self, attempt: Callable[[], Result]) -> Result:
        began = self._streak.began()
        try:
            result = attempt()
        except (TryAgain, Refused) as error:
            # Told outside the streak's lock: a log may be slow, and others fail meanwhile.
            self._on_failure(self._streak.failed(error, began))
            raise
        failed = self._streak.succeeded(began)
        if failed is not None:
            self._on_success(failed)
        return result

    def _wait_until_due(self) -> None:
        self._check_stop()
        # Again and again: what fails elsewhere meanwhile may have put it off.
        while (remaining := self._streak.seconds_to_wait()) > 0:
            if self._stop.wait(remaining):
                raise Stopped("stopped while waiting to try again")

    def _check_stop(self) -> None:
        if self._stop.is_set():
            raise Stopped("stopped")
