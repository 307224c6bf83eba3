"""Call a remote end until it works, with one backoff that all threads share.

While the end fails, one thread at a time tries, after longer and longer waits; the others wait. So
a refused key costs a handful of requests however many readers there are. The stop event ends each
wait. Where threads are shared by many organizations, nobody waits: TryLater says when to come
again. `backoff` computes how long to wait.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import TypeVar

from jumpcloud_modules.errors import Refused, Stopped, TryAgain, TryLater
from jumpcloud_modules.http.backoff import delay_seconds

Result = TypeVar("Result")

SECONDS_FOR_ANOTHERS_TRY = 1.0
"""When to come again while another thread tries an end that fails."""
_STOP_CHECK_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Failure:
    """Hold one failed try: why, how many have failed in a row, and when the next one comes.

    The next try is the end's, whoever makes it: another one's longer wait holds for this one, too.
    """

    error: TryAgain | Refused
    in_a_row: int
    next_try_seconds: float


class _Streak:
    """Count the failures in a row of one end, and tell when it may be asked again.

    Take a `mark` before each try, and hand it in with the result: a result that comes after another
    try's failure says nothing new.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._failures_ever = 0
        self._not_before = 0.0
        self.in_a_row = 0

    def mark(self) -> int:
        """Return a mark of this moment, to be compared when the try ends."""
        return self._failures_ever

    def seconds_to_wait(self) -> float:
        """Return how long to wait until the next try, negative once that is over."""
        return self._not_before - self._clock()

    def failed(self, error: TryAgain | Refused, mark: int) -> Failure:
        """Take note of a failed try, and return what is to be told of it."""
        with self._lock:
            if mark == self._failures_ever:  # requests that fail together count once
                self._failures_ever += 1
                self.in_a_row += 1
            # At least one: a request that began before may have ended the streak meanwhile.
            delay = delay_seconds(error, max(self.in_a_row, 1))
            # The longest wait holds: one request's hiccup does not shorten another's Retry-After.
            self._not_before = max(self._not_before, self._clock() + delay)
            return Failure(error, self.in_a_row, self.seconds_to_wait())

    def succeeded(self, mark: int) -> int | None:
        """End the streak and return its length, or None where another try failed since the mark."""
        with self._lock:
            if mark != self._failures_ever:
                return None
            length, self.in_a_row = self.in_a_row, 0
            self._not_before = 0.0
            return length


class Retry:
    """Repeat calls to one remote end until they succeed, with waits between them.

    `on_failure` is called with each failed try, `on_success` at each success with the number of
    tries that failed right before it; both from the thread that tried. With `waits` false it raises
    TryLater instead of waiting.
    """

    def __init__(
        self,
        stop: threading.Event,
        on_failure: Callable[[Failure], None] = lambda _: None,
        on_success: Callable[[int], None] = lambda _: None,
        clock: Callable[[], float] = monotonic,
        *,
        waits: bool = True,
    ) -> None:
        self._stop = stop
        self._waits = waits
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
        last one is raised. Raises Stopped when asked to stop while waiting. If the last try
        succeeded, the stop event is ignored for this one, so that what was begun can be finished.

        One that does not wait raises TryLater after the first failure, whatever `tries` allows
        beyond that, and while the end may not be asked.
        """
        if not self._waits:
            return self._now_or_later(attempt, tries)
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

    def _now_or_later(self, attempt: Callable[[], Result], tries: int | None) -> Result:
        if not self.is_failing:
            return self._once(attempt, tries)
        self._check_stop()
        # Whoever has the turn tells by its try whether the end works; the others come again.
        if not self._turn.acquire(blocking=False):
            raise TryLater(SECONDS_FOR_ANOTHERS_TRY)
        try:
            if (seconds := self._streak.seconds_to_wait()) > 0:
                raise TryLater(seconds)
            return self._once(attempt, tries)
        finally:
            self._turn.release()

    def _once(self, attempt: Callable[[], Result], tries: int | None) -> Result:
        try:
            return self._try(attempt)
        except (TryAgain, Refused) as error:
            if tries == 1:
                raise
            streak = self._streak
            raise TryLater(streak.seconds_to_wait(), error, streak.in_a_row) from None

    def _try(self, attempt: Callable[[], Result]) -> Result:
        mark = self._streak.mark()
        try:
            result = attempt()
        except (TryAgain, Refused) as error:
            # Told outside the streak's lock: a log may be slow, and others fail meanwhile.
            self._on_failure(self._streak.failed(error, mark))
            raise
        failed_before = self._streak.succeeded(mark)
        if failed_before is not None:
            self._on_success(failed_before)
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
