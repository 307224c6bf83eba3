"""How many requests a second an end is asked, and who may ask after a 429 or with a refused key.

For clients that many organizations share. Knows nothing of what is asked.
"""

import copy
import random
import threading
import time
from collections.abc import Callable
from typing import Final

from jumpcloud_modules.errors import CollectorError, Refused, TryAgain, TryLater
from jumpcloud_modules.http.backoff import MAX_RETRY_AFTER_SECONDS, MIN_RETRY_AFTER_SECONDS

BURST_SECONDS: Final = 0.2
"""How much of a second's requests may be sent at once after a pause."""
LIMITED_SECONDS: Final = 10.0
"""The rest after a 429 that does not say how long it is to be."""
PROBE_SECONDS: Final = 1.0
"""When others come again while one request tells whether the rest was long enough."""
REFUSED_CREDENTIALS: Final = 401
REFUSALS_THAT_COUNT: Final = 5
"""Refusals in a row, whoever asked, after which the credentials are taken to be at fault."""
REFUSED_SECONDS: Final = 30.0
"""The time from one try of refused credentials to the next."""


class Pace:
    """Space requests out: at most `per_second` in any second, whoever sends them."""

    def __init__(
        self,
        per_second: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._every = 1.0 / per_second
        self._clock = clock
        self._sleep = sleep
        self._next_at = 0.0
        self._lock = threading.Lock()

    def wait(self) -> None:
        """Return when the caller's turn has come."""
        with self._lock:
            now = self._clock()
            # A pause saves up a few requests, not as many as it lasted.
            self._next_at = max(self._next_at, now - BURST_SECONDS) + self._every
            seconds = self._next_at - now
        if seconds > 0:
            self._sleep(seconds)


class Throttle:
    """Admit requests with one set of credentials, which several organizations may share.

    After a 429 none is sent for a while, and after several 401 in a row hardly any: each is then
    refused here. After the rest one request alone tells how things are.
    """

    def __init__(
        self, pace: Pace | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._pace = pace
        self._clock = clock
        self._error: TryAgain | Refused | None = None
        self._rests_until = self._probed_from = 0.0
        self._refusals = 0
        self._lock = threading.Lock()

    def admit(self) -> None:
        """Return when a request may be sent.

        Raises TryLater while the credentials rest after a 429, and Refused while they are refused.
        """
        if self._error is not None:
            self._rest_or_probe()
        if self._pace:
            self._pace.wait()

    def _rest_or_probe(self) -> None:
        with self._lock:
            error, now = self._error, self._clock()
            if error is None:
                return
            if now >= self._rests_until:
                self._rests_until = now + PROBE_SECONDS
                return
        if isinstance(error, Refused):
            # A copy for each thread: raising an error changes its traceback.
            raise copy.copy(error)
        # Not all at once, when it is over.
        raise TryLater(self._rests_until - now + random.uniform(0.0, PROBE_SECONDS))

    def failed(self, error: CollectorError) -> None:
        """Take note of a request that was answered by an error."""
        with self._lock:
            if isinstance(error, TryAgain) and error.limited:
                self._rest(error, _limited_seconds(error.retry_after_seconds))
            elif isinstance(error, Refused) and error.status == REFUSED_CREDENTIALS:
                self._refusals += 1
                if self._refusals >= REFUSALS_THAT_COUNT:
                    self._rest(error, REFUSED_SECONDS)

    def succeeded(self) -> None:
        """Take note of a request that was answered as it should be."""
        if self._error is None and not self._refusals:
            return
        with self._lock:
            self._refusals = 0
            # One that was sent before a 429 says nothing of what came after it.
            if isinstance(self._error, Refused) or self._clock() >= self._probed_from:
                self._error = None

    def _rest(self, error: TryAgain | Refused, seconds: float) -> None:
        self._error = error
        self._rests_until = max(self._rests_until, self._clock() + seconds)
        self._probed_from = self._rests_until


def _limited_seconds(asked: float | None) -> float:
    seconds = LIMITED_SECONDS if asked is None else asked
    return min(max(seconds, MIN_RETRY_AFTER_SECONDS), MAX_RETRY_AFTER_SECONDS)
