"""JumpCloud's credentials: the headers of a request, and new ones after a 401.

An API key lasts. A service account has its tokens for an hour, from its region's token host.
Knows nothing of what is asked for with them.
"""

import copy
import threading
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Final, Protocol

import orjson

from jumpcloud_modules.errors import CollectorError, PageTooLarge, Refused, TryAgain
from jumpcloud_modules.http.client import Observe, Transport, Transports, unobserved
from jumpcloud_modules.http.redaction import Secrets

END: Final = "JumpCloud's token host"
"""Its name in messages."""
LIFE_SECONDS: Final = 300.0
"""Assumed life of a token without `expires_in`; one that ends sooner is replaced at its 401."""
MAX_LIFE_SECONDS: Final = 86_400.0
MAX_EARLY_SECONDS: Final = 300.0
"""Renewal begins this long before a token's end: an outage that is shorter goes unnoticed."""
SECONDS_BETWEEN_EARLY_TRIES: Final = 15.0
SECONDS_BETWEEN_TOKENS_OF_MANY: Final = 5.0
"""From one token that could not be had to the next try, where many organizations need it."""
SECONDS_BETWEEN_REFUSED_TOKENS: Final = 30.0
"""Where the fresh token is refused as well, the token was not what is wrong."""
MAX_ANSWER_BYTES: Final = 1 << 16
FORM: Final = b"grant_type=client_credentials&scope=api"
REFUSED_CREDENTIALS: Final = 401


class Credentials(Protocol):
    """What authenticates a request to JumpCloud; any thread may call it."""

    @property
    def secrets(self) -> Secrets:
        """Return what no message may show; it grows before anything new is used."""
        ...

    def headers(self) -> Mapping[str, str]:
        """Return what a request carries. Raises TryAgain or Refused where there is nothing."""
        ...

    def replace(self, refused: Mapping[str, str]) -> bool:
        """Return whether to try once more with new headers in place of those that got a 401.

        Raises TryAgain or Refused where new ones were asked for and not given.
        """
        ...


class ApiKey:
    """Carry an administrator's API key."""

    def __init__(self, key: str, secrets: Secrets | None = None) -> None:
        self.secrets = secrets or Secrets()
        self.secrets.add(key)
        self._headers = {"x-api-key": key}

    def headers(self) -> Mapping[str, str]:
        """Return the key's header."""
        return self._headers

    def replace(self, refused: Mapping[str, str]) -> bool:  # noqa: ARG002 -- the protocol's
        """Return False: there is no other key."""
        return False


@dataclass(frozen=True, slots=True)
class _Token:
    """Hold a token's headers; instants are those of the monotonic clock."""

    headers: Mapping[str, str] = field(repr=False)
    renew_at: float
    ends_at: float


class ServiceAccount:
    """Carry a service account's token: fetched once for all threads, renewed before it ends.

    One thread renews it early, and the others go on with it; should that fail, it is used to its
    end. Once it has ended, one thread fetches a new one, and the others wait for what it gets.
    """

    def __init__(
        self,
        token_url: str,
        client_id: str,
        client_secret: str,
        secrets: Secrets | None = None,
        user_agent: str = "jumpcloud-directory-insights",
        clock: Callable[[], float] = monotonic,
        transports: Transports = Transport,
        observe: Observe = unobserved,
    ) -> None:
        self.secrets = secrets or Secrets()
        basic = b64encode(f"{client_id}:{client_secret}".encode()).decode()
        self.secrets.add(client_secret, basic)
        self._basic = {"Authorization": f"Basic {basic}"}
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "Accept": "application/json",
            "Accept-Encoding": "gzip",
            "User-Agent": user_agent,
        }
        self._transport = transports(END, token_url, headers, self.secrets, observe)
        self._token_url = token_url
        self._clock = clock
        self._lock = threading.Lock()
        self._token: _Token | None = None
        self._fetches = 0
        self._failure: CollectorError | None = None
        self._next_early_try_at = 0.0
        self._replaced_at: float | None = None

    def headers(self) -> Mapping[str, str]:
        """Return the token's header, of a new one where the old one has ended."""
        # Read before the lock is waited for: who had it meanwhile has changed one of the two.
        token, fetches = self._token, self._fetches
        now = self._clock()
        if token is None or now >= token.ends_at:
            with self._lock:
                token = self._fetched_meanwhile(token, fetches) or self._fetch()
        elif now >= token.renew_at and self._lock.acquire(blocking=False):
            try:
                token = self._renewed_early(token, now)
            finally:
                self._lock.release()
        return token.headers

    def replace(self, refused: Mapping[str, str]) -> bool:
        """Fetch a new token in place of one that got a 401, unless another thread has done so.

        Returns False if a token was replaced less than 30 s ago: then the token is not at fault.
        """
        token, fetches = self._token, self._fetches
        # Compared by identity: where another token is in use by now, that one is worth a try.
        if token is None or token.headers is not refused:
            return True
        with self._lock:
            if self._fetched_meanwhile(token, fetches):
                return True
            now = self._clock()
            if self._replaced_at and now - self._replaced_at < SECONDS_BETWEEN_REFUSED_TOKENS:
                return False
            self._fetch()
            self._replaced_at = now
            return True

    def _fetched_meanwhile(self, token: _Token | None, fetches: int) -> _Token | None:
        """Return what another thread fetched in place of a token, None where none has tried.

        Raises the error that it got: otherwise each thread that waited would ask again.
        """
        if self._token is not token:
            return self._token
        if self._failure and self._fetches != fetches:
            # A copy for each thread: raising an error changes its traceback.
            raise copy.copy(self._failure)
        return None

    def _renewed_early(self, token: _Token, now: float) -> _Token:
        """Return a new token; the old one, which is still good, where it cannot be had just now."""
        if self._token is not token:
            return self._token or token
        if now < self._next_early_try_at:
            return token
        try:
            return self._fetch()
        except CollectorError:
            self._next_early_try_at = self._clock() + SECONDS_BETWEEN_EARLY_TRIES
            return token

    def _fetch(self) -> _Token:
        try:
            self._token, self._failure = self._asked(), None
        except CollectorError as error:
            self._failure = error
            raise
        finally:
            # Counted at the end, so that threads that came meanwhile share this result.
            self._fetches += 1
        return self._token

    def _asked(self) -> _Token:
        asked_at = self._clock()  # the token's life may begin at once
        with self._transport.post(self._token_url, FORM, self._basic) as answer:
            if answer.status_code != 200:
                remedy = REMEDIES.get(answer.status_code, "Check base_url.")
                raise _as_401(self._transport.refusal(answer, _REQUEST, remedy))
            try:
                body = bytes(self._transport.read(answer, MAX_ANSWER_BYTES))
            except PageTooLarge as error:
                raise TryAgain(f"{error}.", end=END, request=_REQUEST) from None
        text, life_seconds = _read(body)
        # Before the token is used, so that no message can ever show it.
        self.secrets.add_passing(text)
        early_seconds = min(MAX_EARLY_SECONDS, life_seconds / 10)
        ends_at = asked_at + life_seconds
        return _Token({"Authorization": f"Bearer {text}"}, ends_at - early_seconds, ends_at)


class Resting:
    """Ask for no token for a while after that failed, whoever of many organizations needs one."""

    def __init__(
        self,
        credentials: Credentials,
        seconds: float = SECONDS_BETWEEN_TOKENS_OF_MANY,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._credentials = credentials
        self._seconds = seconds
        self._clock = clock
        self._failure: tuple[CollectorError, float] | None = None

    @property
    def secrets(self) -> Secrets:
        """Return what no message may show."""
        return self._credentials.secrets

    def headers(self) -> Mapping[str, str]:
        """Return what a request carries, or raise what the last one failed with not long ago."""
        failure = self._failure
        if failure and self._clock() < failure[1]:
            # A copy for each thread: raising an error changes its traceback.
            raise copy.copy(failure[0])
        try:
            headers = self._credentials.headers()
        except CollectorError as error:
            self._failure = error, self._clock() + self._seconds
            raise
        self._failure = None
        return headers

    def replace(self, refused: Mapping[str, str]) -> bool:
        """Return whether to try once more with new headers."""
        return self._credentials.replace(refused)


_REQUEST: Final = "POST /oauth2/token"


def _as_401(error: CollectorError) -> CollectorError:
    """Report refused credentials as 401, where OAuth may answer 400 or 401."""
    if isinstance(error, Refused) and error.status == 400:
        error.status = REFUSED_CREDENTIALS
    return error


def _read(body: bytes) -> tuple[str, float]:
    """Return the token, and the seconds it lives. Raises TryAgain where there is none."""
    try:
        document = orjson.loads(body)
    except ValueError:
        document = None
    text = document.get("access_token") if isinstance(document, dict) else None
    if not isinstance(text, str) or not text or not all("!" <= letter <= "~" for letter in text):
        raise TryAgain(f"{END} answered 200 without a token.", end=END, request=_REQUEST)
    return text, _life_seconds(document.get("expires_in"))


def _life_seconds(stated: object) -> float:
    try:
        seconds = float(stated) if isinstance(stated, str | int | float) else 0.0
    except (ValueError, OverflowError):
        seconds = 0.0
    if isinstance(stated, bool) or not seconds > 0:  # nor NaN
        return LIFE_SECONDS
    return min(seconds, MAX_LIFE_SECONDS)


_CHECK: Final = (
    "Check client_id and client_secret, that the service account is active, and that base_url is"
    " its region."
)
REMEDIES: Final = {
    400: _CHECK,
    401: _CHECK,
    403: "Check that the service account of client_id and client_secret may have a token of the"
    " scope api, and that JumpCloud does not block this address.",
    404: "Check base_url: its region decides where the token is asked for.",
}
