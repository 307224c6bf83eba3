"""Check that the intake answers and takes the key, with a batch of no events.

Sends no event, and tries once.
"""

import orjson

from jumpcloud_modules.errors import CollectorError, PageTooLarge
from jumpcloud_modules.http.client import Transport
from jumpcloud_modules.http.redaction import Secrets
from jumpcloud_modules.intake.client import END, REMEDIES

_REQUEST = "POST /batch"


class NotTested(CollectorError):
    """Report an intake that answers but does not take an empty batch, so the key is untested."""


def probe(url: str, intake_key: str, secrets: Secrets) -> None:
    """Return where the intake takes the key.

    Raises TryAgain, Refused, or NotTested where it does not say.
    """
    secrets.add(intake_key)
    transport = Transport(END, url, {"Content-Type": "application/json"}, secrets)
    body = orjson.dumps({"intake_key": intake_key, "jsons": []})
    with transport.post(url.rstrip("/") + "/batch", body, {}) as answer:
        status = answer.status_code
        if status in (400, 422):
            said = f"the intake answers {status} to an empty batch, so the key could not be tested."
            raise NotTested(said, end=END, status=status, request=_REQUEST)
        if not 200 <= status < 300:
            raise transport.refusal(answer, _REQUEST, REMEDIES.get(status, "Check intake_server."))
        try:
            transport.read(answer, 1 << 20)
        except PageTooLarge:
            return
