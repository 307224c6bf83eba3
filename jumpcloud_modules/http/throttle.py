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
from jumpcloud_modules.http.backoff import as_asked

BURST_SECONDS: Final = 0.05
"""How much of a second's requests may be sent at once after a pause; so much fewer follow it."""
LIMITED_SECONDS: Final = 10.0
"""The rest after a 429 that does not say how long it is to be."""
PROBE_SECONDS: Final = 1.0
"""When others come again while one request tells whether the rest was long enough."""
REFUSED_CREDENTIALS: Final = 401
REFUSALS_THAT_COUNT: Final = 5
"""Refusals in a row, whoever asked, after which the credentials are taken to be at fault."""
REFUSED_SECONDS: Final = 30.0
"""The time from one try of refused credentials to the next, of those that were refused before."""
UNTRIED_SECONDS: Final = 0.1
"""The time from one organization to the next that was not refused itself: the refusals may be a
matter of the others alone. A thousand of them have been tried after two minutes."""


class Pace:
    """Space requests out: at most `per_second` in any second, whoever sends them."""

    def __init__(
        self,
        per_second: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        # What a pause saved up counts within the second that follows it, too.
        self._every = (1.0 + BURST_SECONDS) / per_second
        self._clock = clock
        self._sleep = sleep
        self._next_at = 0.0
        self._lock = threading.Lock()

    @property
    def sustained_per_second(self) -> float:
        """Return how many requests a second can go on for ever."""
        return 1.0 / self._every

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

    After a 429 none is sent for a while. After several 401 in a row hardly any is: each is then
    refused here. After the rest one request alone tells how things are.

    JumpCloud says 401 of a key and of a key's right to one organization alike. So whoever's last
    request was not refused itself goes on asking while only others are refused. Where that ends in
    refusals, too, each of them asks once, in turn. `who` names the organization that asks.
    """

    def __init__(
        self, pace: Pace | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._pace = pace
        self._clock = clock
        self._error: TryAgain | Refused | None = None
        self._rests_until = 0.0
        self._probed_from = 0.0  # a success after it was asked for after the rest, and ends it
        self._refusals = self._refusals_of_untried = 0
        self._refused = set[str]()  # whose last request was
        self._turns = dict[str, float]()  # when each of the others may ask
        self._untried_from = 0.0  # the last of these turns
        self._lock = threading.Lock()

    def admit(self, who: str = "") -> None:
        """Return when a request may be sent.

        Raises TryLater while the credentials rest after a 429, and Refused while they are refused:
        or TryLater, where the one that asks has not been refused itself.
        """
        if self._error is not None:
            self._rest_or_probe(who)
        if self._pace:
            self._pace.wait()

    def _rest_or_probe(self, who: str) -> None:
        with self._lock:
            error, now = self._error, self._clock()
            if error is None:
                return
            if isinstance(error, Refused) and who not in self._refused:
                self._wait_for_turn(who, now)
                return
            if now >= self._rests_until:
                self._rests_until = now + PROBE_SECONDS
                return
        if isinstance(error, Refused):
            # A copy for each thread: raising an error changes its traceback.
            raise copy.copy(error)
        # Not all at once, when it is over.
        raise TryLater(self._rests_until - now + random.uniform(0.0, PROBE_SECONDS))

    def _wait_for_turn(self, who: str, now: float) -> None:
        """Let one that was not refused itself ask when its turn has come. Raises TryLater."""
        if self._refusals_of_untried < REFUSALS_THAT_COUNT:
            return
        if who not in self._turns:
            self._untried_from = max(self._untried_from, now) + UNTRIED_SECONDS
            self._turns[who] = self._untried_from
        if (seconds := self._turns[who] - now) > 0:
            raise TryLater(seconds)
        del self._turns[who]

    def failed(self, error: CollectorError, who: str = "") -> None:
        """Take note of a request that was answered by an error."""
        with self._lock:
            if isinstance(error, TryAgain) and error.limited:
                self._rest(error, _limited_seconds(error.retry_after_seconds))
            elif isinstance(error, Refused) and error.status == REFUSED_CREDENTIALS:
                self._refusals += 1
                self._refusals_of_untried += who not in self._refused
                self._refused.add(who)
                if self._refusals >= REFUSALS_THAT_COUNT:
                    self._rest(error, REFUSED_SECONDS)

    def succeeded(self, who: str = "") -> None:
        """Take note of a request that was answered as it should be."""
        if self._error is None and not self._refusals and not self._refused:
            return
        with self._lock:
            self._refusals = self._refusals_of_untried = 0
            self._refused.discard(who)
            self._turns.clear()
            # One that was sent before a 429 says nothing of what came after it.
            if isinstance(self._error, Refused) or self._clock() >= self._probed_from:
                self._error = None

    def _rest(self, error: TryAgain | Refused, seconds: float) -> None:
        self._error = error
        self._rests_until = max(self._rests_until, self._clock() + seconds)
        self._probed_from = self._rests_until


def _limited_seconds(asked: float | None) -> float:
    return LIMITED_SECONDS if asked is None else as_asked(asked)
