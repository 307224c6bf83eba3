"""JumpCloud over HTTP: whose key, which organization, and what to do about a refusal.

Knows none of what JumpCloud is asked for, and tries each request once: the caller paces the tries.
"""

import requests

from jumpcloud_modules.errors import CollectorError
from jumpcloud_modules.http.client import Body, Transport
from jumpcloud_modules.http.redaction import Secrets
from jumpcloud_modules.jumpcloud.clock import JumpCloudClock

END = "JumpCloud"
"""Its name in messages."""


class Client:
    """Speak to one organization's JumpCloud; each answer tells the clock what time it is there."""

    def __init__(
        self,
        base_url: str,
        api_key: str,
        organization_id: str | None = None,
        user_agent: str = "jumpcloud-directory-insights",
        secrets: Secrets | None = None,
        clock: JumpCloudClock | None = None,
    ) -> None:
        self._clock = clock or JumpCloudClock()
        secrets = secrets or Secrets()
        secrets.add(api_key)
        headers = {
            "x-api-key": api_key,
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Accept-Encoding": "gzip",
            "User-Agent": user_agent,
        }
        if organization_id:
            headers["x-org-id"] = organization_id
        self._transport = Transport(END, base_url, headers, secrets)
        self._base_url = base_url.rstrip("/")

    def post(self, path: str, body: bytes) -> requests.Response:
        """Ask and return as soon as the headers of a success are in.

        Raises TryAgain or Refused.
        """
        asked_ms = self._clock.span_ms()
        answer = self._transport.post(self._base_url + path, body, {})
        self._clock.learn(answer.headers.get("Date"), asked_ms)
        if answer.status_code != 200:
            with answer:
                raise self._refusal(answer, path)
        return answer

    def read(self, answer: requests.Response, most_bytes: int) -> Body:
        """Return an answer's body.

        Raises PageTooLarge past `most_bytes`, TryAgain where the body stops short.
        """
        return self._transport.read(answer, most_bytes)

    def request_id(self, answer: requests.Response) -> str | None:
        """Return JumpCloud's own name for an answer, which its support asks for."""
        return self._transport.request_id(answer)

    def _refusal(self, answer: requests.Response, path: str) -> CollectorError:
        remedy = REMEDIES.get(answer.status_code, "Check base_url.")
        return self._transport.refusal(answer, f"POST {path}", remedy)


REMEDIES = {
    400: "Check the service names and the organization id in the configuration, and this"
    " machine's clock.",
    401: "Check that the API key is valid, belongs to this region (base_url), and, for an"
    " administrator of several organizations, that organization_id is set.",
    402: "Directory Insights is not enabled for this organization: enable it in JumpCloud's"
    " admin portal or ask JumpCloud to.",
    403: "Check that the key's administrator may read Directory Insights, that base_url is the"
    " organization's region, and that JumpCloud does not block this address.",
    404: "Check base_url: it names the host only, such as https://api.jumpcloud.com/.",
}
