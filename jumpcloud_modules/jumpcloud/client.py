"""JumpCloud over HTTP: whose credentials, which organization, and what to do about a refusal.

Knows nothing of events. Tries each request once, or twice where a token was replaced: the caller
decides when to try again.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import requests

from jumpcloud_modules.errors import CollectorError
from jumpcloud_modules.http.client import Body, Observe, Transport, Transports, unobserved
from jumpcloud_modules.http.throttle import Throttle
from jumpcloud_modules.jumpcloud.auth import Credentials
from jumpcloud_modules.jumpcloud.clock import JumpCloudClock

END = "JumpCloud"
"""Its name in messages."""
BY_A_PROXY = 500
"""A status from which on an answer may be a gateway's, whose clock is nobody's business."""


@dataclass(frozen=True, slots=True)
class ClientOptions:
    """Say how to ask JumpCloud: all that a connector's configuration decides of it."""

    user_agent: str = "jumpcloud-directory-insights"


DEFAULT_OPTIONS: Final = ClientOptions()


class Client:
    """Speak to one organization's JumpCloud; each answer tells the clock what time it is there.

    `url` is the events' or the console's. `provider_id` asks for the multi-tenant portal's own.
    With a `throttle` each request is admitted by it, or TryLater is raised.
    """

    def __init__(
        self,
        url: str,
        credentials: Credentials,
        organization_id: str | None = None,
        provider_id: str | None = None,
        options: ClientOptions = DEFAULT_OPTIONS,
        clock: JumpCloudClock | None = None,
        observe: Observe = unobserved,
        *,
        transports: Transports = Transport,
        throttle: Throttle | None = None,
    ) -> None:
        self._clock = clock or JumpCloudClock()
        self._credentials = credentials
        self._throttle = throttle
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Accept-Encoding": "gzip",
            "User-Agent": options.user_agent,
        }
        self._about: dict[str, str] = {}
        if organization_id:
            self._about["x-org-id"] = organization_id
        if provider_id:
            self._about["x-provider-id"] = provider_id
        self._transport = transports(END, url, headers, credentials.secrets, observe)
        self._url = url.rstrip("/")

    def of_organization(self, organization_id: str) -> "Client":
        """Return one that asks about another organization, over the same connections."""
        other = copy.copy(self)
        other._about = {"x-org-id": organization_id}  # noqa: SLF001 -- its own class
        return other

    def post(self, path: str, body: bytes) -> requests.Response:
        """Ask and return as soon as the headers of a success are in.

        Raises TryAgain or Refused.
        """
        return self.ask("POST", path, body)

    def ask(self, method: str, path: str, body: bytes | None = None) -> requests.Response:
        """Do as `post` does, with any method."""
        carried = self._credentials.headers()
        answer = self._send(method, path, body, carried)
        if answer.status_code == 401:
            answer = self._with_new_credentials(answer, carried, method, path, body)
        if answer.status_code != 200:
            with answer:
                raise self._refusal(answer, f"{method} {path.partition('?')[0]}")
        if self._throttle:
            self._throttle.succeeded(self._who)
        return answer

    @property
    def _who(self) -> str:
        return self._about.get("x-org-id", "")

    def read(self, answer: requests.Response, max_bytes: int) -> Body:
        """Return an answer's body.

        Raises PageTooLarge past `max_bytes`, TryAgain where the body stops short.
        """
        return self._transport.read(answer, max_bytes)

    def request_id(self, answer: requests.Response) -> str | None:
        """Return JumpCloud's own name for an answer, which its support asks for."""
        return self._transport.request_id(answer)

    def _send(
        self, method: str, path: str, body: bytes | None, carried: Mapping[str, str]
    ) -> requests.Response:
        if self._throttle:
            self._throttle.admit(self._who)
        asked_ms = self._clock.span_ms()
        headers = {**self._about, **carried}
        answer = self._transport.send(method, self._url + path, body, headers)
        if answer.status_code < BY_A_PROXY:
            self._clock.learn(answer.headers.get("Date"), asked_ms)
        return answer

    def _with_new_credentials(
        self,
        refused: requests.Response,
        carried: Mapping[str, str],
        method: str,
        path: str,
        body: bytes | None,
    ) -> requests.Response:
        """Ask once more where the credentials could be replaced, or return what was refused."""
        try:
            others = self._credentials.replace(carried)
        except CollectorError:
            # An answer that is not closed keeps its connection.
            refused.close()
            raise
        if not others:
            return refused
        refused.close()
        return self._send(method, path, body, self._credentials.headers())

    def _refusal(self, answer: requests.Response, request: str) -> CollectorError:
        remedy = REMEDIES.get(answer.status_code, "Check base_url.")
        error = self._transport.refusal(answer, request, remedy)
        if self._throttle:
            self._throttle.failed(error, self._who)
        return error


REMEDIES = {
    400: "Check the service names and the organization id in the configuration, and this"
    " machine's clock.",
    401: "Check that the API key or the service account is valid, belongs to this region"
    " (base_url), and, where it reaches several organizations, that organization_id is set.",
    402: "Directory Insights is not enabled for this organization: enable it in JumpCloud's"
    " admin portal or ask JumpCloud to.",
    403: "Check that the key's administrator or the service account may read Directory Insights,"
    " that base_url is the organization's region, and that JumpCloud does not block this address.",
    404: "Check base_url: it names the host only, such as https://api.jumpcloud.com/.",
}
