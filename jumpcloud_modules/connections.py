"""What organizations of one process share of the ends they speak to, and what one has for itself.

A connector of one organization shares it with nobody. Of many, all that speak to one address use
the same connections and the same clock; all with the same credentials use the same token, and slow
down together after a 429. Knows nothing of the SDK.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from jumpcloud_modules.collecting.concurrency import ConcurrencyLimit
from jumpcloud_modules.collecting.page_room import PageRoom
from jumpcloud_modules.http.client import (
    Observe,
    SharedTransports,
    Transport,
    Transports,
    unobserved,
)
from jumpcloud_modules.http.redaction import Secrets
from jumpcloud_modules.http.throttle import Pace, Throttle
from jumpcloud_modules.jumpcloud.account import Account, credentials_of, events_client
from jumpcloud_modules.jumpcloud.auth import Credentials, Resting
from jumpcloud_modules.jumpcloud.client import Client, ClientOptions
from jumpcloud_modules.jumpcloud.clock import JumpCloudClock
from jumpcloud_modules.queries import PAGES_IN_MEMORY

Key = TypeVar("Key")
Made = TypeVar("Made")
CredentialsKey = tuple[str, str, str | None, str]


@dataclass(frozen=True, slots=True)
class _OfCredentials:
    """Hold what all who ask with the same credentials share."""

    credentials: Credentials
    concurrency: ConcurrencyLimit
    throttle: Throttle | None


class Connections:
    """Give each organization its clients; any thread may ask.

    `stop` ends all waits for room or for a place among the readers. `observe` hears of each request
    to an end, by its name in measurements. With a `pace` several organizations share all this:
    requests to JumpCloud are spaced out, and what one organization would wait for while others
    could go on, a rest after a 429 or a place among the readers, is put off by TryLater.
    """

    def __init__(
        self,
        stop: threading.Event,
        secrets: Secrets,
        warn: Callable[[str], None],
        observe: Callable[[str], Observe] = lambda _: unobserved,
        pace: Pace | None = None,
    ) -> None:
        self._stop = stop
        self.secrets = secrets
        self._warn = warn
        self._observe = observe
        self.transports: Transports = SharedTransports() if pace else Transport
        self._pace = pace
        self._clocks: dict[str, JumpCloudClock] = {}
        self._of_credentials: dict[CredentialsKey, _OfCredentials] = {}
        self._lock = threading.Lock()
        self.page_room = PageRoom(PAGES_IN_MEMORY - 1, stop)

    def clock(self, base_url: str) -> JumpCloudClock:
        """Return the clock that all answers from an address tell the time."""
        with self._lock:
            return _made_once(self._clocks, base_url, lambda: JumpCloudClock(self._warn))

    def client(self, account: Account, options: ClientOptions) -> Client:
        """Return the client of an account's organization. Raises Refused and CannotWork."""
        of_credentials = self._shared(account, options)
        return events_client(
            account,
            of_credentials.credentials,
            options,
            self.clock(account.base_url),
            self._observe("jumpcloud"),
            transports=self.transports,
            throttle=of_credentials.throttle,
        )

    def concurrency(self, account: Account, options: ClientOptions) -> ConcurrencyLimit:
        """Return what limits the readers with an account's credentials."""
        return self._shared(account, options).concurrency

    def observe(self, end: str) -> Observe:
        """Return what hears of requests to an end."""
        return self._observe(end)

    def _shared(self, account: Account, options: ClientOptions) -> _OfCredentials:
        def make() -> _OfCredentials:
            credentials = credentials_of(
                account, self.secrets, options, self._observe("jumpcloud"), self.transports
            )
            throttle = None
            if self._pace:
                credentials, throttle = Resting(credentials), Throttle(self._pace)
            concurrency = ConcurrencyLimit(self._stop, waits=self._pace is None)
            return _OfCredentials(credentials, concurrency, throttle)

        key = account.base_url, account.api_key, account.client_id, account.client_secret
        with self._lock:
            return _made_once(self._of_credentials, key, make)


def _made_once(made: dict[Key, Made], key: Key, make: Callable[[], Made]) -> Made:
    if key not in made:
        made[key] = make()
    return made[key]
