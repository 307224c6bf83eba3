"""How soon to try again: one pace for each remote end, shared by all who talk to it.

While the end fails, one caller at a time tries, ever more slowly; the others wait. So a refused
key costs a handful of requests however many readers there are. Waiting hears the stop event.
"""

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import TypeVar

from jumpcloud_modules.errors import Refused, Stopped, TryAgain

Result = TypeVar("Result")

LONGEST_TRANSIENT_DELAY_SECONDS = 60.0
"""The wait before a retry, at most, where a failure may pass by itself."""
SHORTEST_RETRY_AFTER_SECONDS = 1.0
LONGEST_RETRY_AFTER_SECONDS = 3600.0
"""The longest Retry-After that is respected."""
REFUSED_DELAYS_SECONDS = (5.0, 10.0, 20.0, 30.0)


@dataclass(frozen=True, slots=True)
class Failure:
    """Hold one failed try: why, how many have failed in a row, and when the next one comes."""

    error: TryAgain | Refused
    in_a_row: int
    next_try_seconds: float


class Pace:
    """Repeat calls to one remote end until they succeed, at a tempo it can bear.

    `on_failure` hears each failed try, `on_success` for each success the number of tries that
    failed right before it; both are called from the thread that tried.
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
        self._clock = clock
        self._turn = threading.Lock()
        self._lock = threading.Lock()
        self._failed_in_a_row = 0
        self._failures = 0
        self._not_before = 0.0

    @property
    def is_failing(self) -> bool:
        """Tell whether the last try failed."""
        return self._failed_in_a_row > 0

    def call(self, attempt: Callable[[], Result], tries: int | None = None) -> Result:
        """Return what `attempt` returns, as soon as it does.

        TryAgain and Refused are waited out; after `tries` failures of this call the last one is
        raised. Raises Stopped when asked to stop while waiting; a healthy end is tried even then,
        so that what was begun can be ended.
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
        if not self._failed_in_a_row:
            return self._try(attempt)
        while not self._turn.acquire(timeout=0.25):
            self._check_stop()
        try:
            self._wait_until_due()
            return self._try(attempt)
        finally:
            self._turn.release()

    def _try(self, attempt: Callable[[], Result]) -> Result:
        failures_before = self._failures
        try:
            result = attempt()
        except (TryAgain, Refused) as error:
            self._note_failure(error, failures_before)
            raise
        self._note_success(failures_before)
        return result

    def _wait_until_due(self) -> None:
        self._check_stop()
        while (remaining := self._not_before - self._clock()) > 0:
            if self._stop.wait(remaining):
                raise Stopped("stopped while waiting to try again")

    def _check_stop(self) -> None:
        if self._stop.is_set():
            raise Stopped("stopped")

    def _note_failure(self, error: TryAgain | Refused, failures_before: int) -> None:
        with self._lock:
            if failures_before == self._failures:  # requests that fail together count once
                self._failures += 1
                self._failed_in_a_row += 1
            delay = delay_seconds(error, max(self._failed_in_a_row, 1))
            self._not_before = max(self._not_before, self._clock() + delay)
            failure = Failure(error, self._failed_in_a_row, delay)
        self._on_failure(failure)

    def _note_success(self, failures_before: int) -> None:
        with self._lock:
            if failures_before != self._failures:  # it was sent before the last failure
                return
            failed, self._failed_in_a_row = self._failed_in_a_row, 0
            self._not_before = 0.0
        self._on_success(failed)


def delay_seconds(error: TryAgain | Refused, in_a_row: int) -> float:
    """Return how long to wait after the `in_a_row`-th failure in a row."""
    if isinstance(error, Refused):
        step = min(in_a_row, len(REFUSED_DELAYS_SECONDS)) - 1
        return REFUSED_DELAYS_SECONDS[step]
    if error.retry_after_seconds is not None:
        asked = max(error.retry_after_seconds, SHORTEST_RETRY_AFTER_SECONDS)
        return min(asked, LONGEST_RETRY_AFTER_SECONDS)
    longest = min(LONGEST_TRANSIENT_DELAY_SECONDS, 2.0 ** min(in_a_row - 1, 10))
    return longest * random.uniform(0.5, 1.0)
