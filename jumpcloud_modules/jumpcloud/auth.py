"""JumpCloud's credentials: the headers of a request, and new ones after a 401.

An API key lasts. A service account has its tokens for an hour, from its region's token host.
Knows nothing of what is asked for with them.
"""

import copy
import threading
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import Final, Protocol

import orjson

from jumpcloud_modules.errors import CollectorError, PageTooLarge, Refused, TryAgain
from jumpcloud_modules.http.client import Observe, Transport, unobserved
from jumpcloud_modules.http.redaction import Secrets

END: Final = "JumpCloud's token host"
"""Its name in messages."""
LIFE_SECONDS: Final = 300.0
"""Of a token that does not say when it ends; where it ends sooner, a 401 tells."""
MAX_LIFE_SECONDS: Final = 86_400.0
MAX_REST_SECONDS: Final = 300.0
"""Before a token's end: so long its host may fail without anybody noticing."""
SECONDS_BETWEEN_EARLY_TRIES: Final = 15.0
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
    due: float
    ends: float


class ServiceAccount:
    """Carry a service account's token: fetched once for all threads, renewed before it ends.

    While it is still good one thread renews it, and the others do not wait; should that fail, it
    is used to its end.
    """

    def __init__(
        self,
        token_url: str,
        client_id: str,
        client_secret: str,
        secrets: Secrets | None = None,
        user_agent: str = "jumpcloud-directory-insights",
        clock: Callable[[], float] = monotonic,
        observe: Observe = unobserved,
    ) -> None:
        self.secrets = secrets or Secrets()
        basic = b64encode(f"{client_id}:{client_secret}".encode()).decode()
        self.secrets.add(client_secret, basic)
        headers = {
            "Authorization": f"Basic {basic}",
            "Content-Type": "application/x-www-form-urlencoded",
            "Accept": "application/json",
            "Accept-Encoding": "gzip",
            "User-Agent": user_agent,
        }
        self._transport = Transport(END, token_url, headers, self.secrets, observe)
        self._token_url = token_url
        self._clock = clock
        self._lock = threading.Lock()
        self._token: _Token | None = None
        self._tries = 0
        self._failure: CollectorError | None = None
        self._replaced_at: float | None = None

    def headers(self) -> Mapping[str, str]:
        """Return the token's header, of a new one where the old one has ended."""
        # Both before the lock is waited for: whoever held it meanwhile has counted its try.
        token, tries = self._token, self._tries
        if token is None or self._clock() >= token.ends:
            with self._lock:
                token = self._newer_than(token, tries) or self._fetch()
        elif self._clock() >= token.due and self._lock.acquire(blocking=False):
            try:
                token = self._newer_than(token, tries) or self._renewed(token)
            finally:
                self._lock.release()
        return token.headers

    def replace(self, refused: Mapping[str, str]) -> bool:
        """Fetch a new token in place of one that got a 401, unless another thread has done so.

        Returns False shortly after the last time: then the reason is not the token.
        """
        token, tries = self._token, self._tries
        # Compared by identity: where another token is in use by now, that one is worth a try.
        if token is None or token.headers is not refused:
            return True
        with self._lock:
            if self._newer_than(token, tries):
                return True
            now = self._clock()
            if self._replaced_at and now - self._replaced_at < SECONDS_BETWEEN_REFUSED_TOKENS:
                return False
            self._fetch()
            self._replaced_at = now
            return True

    def _newer_than(self, token: _Token | None, tries: int) -> _Token | None:
        """Return the token that another thread has fetched while this one waited for the lock.

        Raises the error that the other thread got: otherwise each that waited would ask again.
        """
        current = self._token
        if current and (token is None or current.headers is not token.headers):
            return current
        if self._failure and self._tries != tries:
            # A copy for each thread: raising an error changes its traceback.
            raise copy.copy(self._failure)
        return None

    def _renewed(self, token: _Token) -> _Token:
        try:
            return self._fetch()
        except CollectorError:
            self._token = replace(token, due=self._clock() + SECONDS_BETWEEN_EARLY_TRIES)
            return token

    def _fetch(self) -> _Token:
        try:
            self._token, self._failure = self._asked(), None
        except CollectorError as error:
            self._failure = error
            raise
        finally:
            self._tries += 1  # only now: who comes meanwhile waits for this one
        return self._token

    def _asked(self) -> _Token:
        asked_at = self._clock()  # it may have been made as soon as that
        with self._transport.post(self._token_url, FORM, {}) as answer:
            if answer.status_code != 200:
                remedy = REMEDIES.get(answer.status_code, "Check base_url.")
                raise _named(self._transport.refusal(answer, _REQUEST, remedy))
            try:
                body = bytes(self._transport.read(answer, MAX_ANSWER_BYTES))
            except PageTooLarge as error:
                raise TryAgain(f"{error}.", end=END, request=_REQUEST) from None
        text, life_seconds = _read(body)
        # Before the token is used, so that no message can ever show it.
        self.secrets.add_passing(text)
        rest = min(MAX_REST_SECONDS, life_seconds / 10)
        ends = asked_at + life_seconds
        return _Token({"Authorization": f"Bearer {text}"}, ends - rest, ends)


_REQUEST: Final = "POST /oauth2/token"


def _named(error: CollectorError) -> CollectorError:
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
