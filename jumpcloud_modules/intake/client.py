"""The Sekoia intake over HTTP: deliver events, each to a receipt or, if refused, to the quarantine.

Delivery returns only when every event was accepted or set aside. Knows nothing of windows, of the
ledger, or of where the events came from.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from time import monotonic
from typing import Any

import orjson
import requests

from jumpcloud_modules.delivery import Delivery, Quarantined
from jumpcloud_modules.errors import (
    BatchRejected,
    BatchTooLarge,
    CollectorError,
    PageTooLarge,
    Refused,
    TryAgain,
)
from jumpcloud_modules.events import Events
from jumpcloud_modules.http.client import Observe, Transport, Transports, unobserved
from jumpcloud_modules.http.redaction import Secrets
from jumpcloud_modules.http.retry import Retry
from jumpcloud_modules.intake.batches import MAX_EVENT_BYTES, batches, compressed_body
from jumpcloud_modules.intake.quarantine import Quarantine

MAX_RECEIPT_BYTES = 16 << 20
REFUSED_IN_A_ROW_BEFORE_HOLDING = 100
"""Events refused in a row before the configuration is taken to be at fault."""
HOLDING_REFUSALS = 40
"""Refusals of an event that is held back, before it is set aside."""
END = "The Sekoia intake"
"""Its name in messages."""
_REQUEST = "POST /batch"


class _StillRefused(Refused):
    """Report that the intake refused the held event again."""


@dataclass(frozen=True, slots=True)
class IntakeOptions:
    """Say which intake to deliver to, and how: all that a configuration decides of it."""

    url: str
    key: str = field(repr=False)
    user_agent: str = "jumpcloud-directory-insights"


class Intake:
    """Deliver events to one intake key."""

    def __init__(
        self,
        options: IntakeOptions,
        quarantine: Quarantine,
        retry: Retry,
        state_retry: Retry,
        on_accepted: Callable[[int, float], None] = lambda _, __: None,
        on_set_aside: Callable[[Quarantined], None] = lambda _: None,
        secrets: Secrets | None = None,
        check_owner: Callable[[], None] = lambda: None,
        observe: Observe = unobserved,
        transports: Transports = Transport,
    ) -> None:
        secrets = secrets or Secrets()
        secrets.add(options.key)
        headers = {
            "Content-Type": "application/json",
            "Accept-Encoding": "gzip",
            "User-Agent": options.user_agent,
        }
        self._transport = transports(END, options.url, headers, secrets, observe)
        self._url = options.url.rstrip("/") + "/batch"
        self._intake_key = options.key
        self._quarantine = quarantine
        self._retry = retry
        self._state_retry = state_retry
        self._on_accepted = on_accepted
        self._on_set_aside = on_set_aside
        self._check_owner = check_owner
        # Without a lock, though readers share it: a count that is off by a few sets as many aside.
        self._refused_in_a_row = 0
        self._refusals_while_held = 0

    def deliver(self, events: Events, delivery: Delivery) -> None:
        """Send events and return when the intake has each of them, or it was set aside.

        Waits and sends again until it works. After an error, `delivery` lists what surely arrived;
        of the rest nobody knows. Raises Stopped when asked to stop meanwhile, and TryLater where
        nobody waits.
        """
        for batch in batches(events):
            if len(batch) == 1 and len(batch.raws[0]) > MAX_EVENT_BYTES:
                reason = f"because the intake takes at most {MAX_EVENT_BYTES} bytes an event"
                self.set_aside(batch, reason, delivery)
            else:
                self._send(batch, delivery)

    def set_aside(self, events: Events, reason: str, delivery: Delivery) -> None:
        """Keep events that cannot be sent. Raises Stopped when asked to stop meanwhile."""
        for place, event in enumerate(events):
            self._state_retry.call(self._check_owner)
            kept = self._state_retry.call(partial(self._quarantine.keep, event, reason))
            delivery.quarantined.append(kept)
            delivery.acknowledged.extend(events[place : place + 1])
            self._on_set_aside(kept)

    def _send(self, batch: Events, delivery: Delivery) -> None:
        try:
            receipts = self._accept(batch, self._push)
        except (BatchTooLarge, BatchRejected) as error:
            if len(batch) > 1:
                # The intake does not name the event that it refuses.
                half = len(batch) // 2
                self._send(batch[:half], delivery)
                self._send(batch[half:], delivery)
            else:
                self._set_aside_or_hold(batch, str(error), delivery)
            return
        # One that is accepted shows that key and format are right.
        self._refused_in_a_row = 0
        _note_receipts(batch, receipts, delivery)

    def _accept(
        self,
        batch: Events,
        push: Callable[[bytes], list[str]],
        tries: int | None = None,
    ) -> list[str]:
        body = compressed_body(batch.raws, self._intake_key)
        began = monotonic()
        receipts = self._retry.call(lambda: push(body), tries)
        self._on_accepted(len(batch), monotonic() - began)
        return receipts

    def _set_aside_or_hold(self, single: Events, reason: str, delivery: Delivery) -> None:
        """Set a refused event aside, unless too many are: then the events are not the reason."""
        if self._refused_in_a_row >= REFUSED_IN_A_ROW_BEFORE_HOLDING:
            is_accepted = self._hold(single, delivery)
            self._refused_in_a_row = self._refusals_while_held = 0
            if is_accepted:
                return
        self._refused_in_a_row += 1
        self.set_aside(single, reason, delivery)

    def _hold(self, single: Events, delivery: Delivery) -> bool:
        """Try a held event slowly, and return whether it was accepted before too many refusals.

        Tries that fail because the intake is down or refuses the key do not count. Where the retry
        does not wait, the holding goes on when the event is delivered again.
        """
        while self._refusals_while_held < HOLDING_REFUSALS:
            try:
                receipts = self._accept(single, self._push_held, 1)
            except _StillRefused:
                self._refusals_while_held += 1
            except (TryAgain, Refused):
                continue  # the retry waits before the next try
            except (BatchRejected, BatchTooLarge):  # it cannot even be sent
                return False
            else:
                _note_receipts(single, receipts, delivery)
                return True
        return False

    def _push_held(self, body: bytes) -> list[str]:
        try:
            return self._push(body)
        except (BatchRejected, BatchTooLarge) as error:
            raise _StillRefused(
                f"The Sekoia intake refused {REFUSED_IN_A_ROW_BEFORE_HOLDING} events in a row "
                f"({error}). Check that the intake key is of the format JumpCloud Directory"
                " Insights; events are held back.",
                end=error.end,
                status=error.status,
                request=error.request,
                request_id=error.request_id,
            ) from None

    def _push(self, body: bytes) -> list[str]:
        # Before each request, or two processes may send the same events.
        self._state_retry.call(self._check_owner)
        answer = self._transport.post(self._url, body, {"Content-Encoding": "gzip"})
        with answer:
            if not 200 <= answer.status_code < 300:
                raise self._refusal(answer)
            return self._receipts(answer)

    def _refusal(self, answer: requests.Response) -> CollectorError:
        status, request_id = answer.status_code, self._transport.request_id(answer)
        if status == 413:
            said = "because the intake answered 413 (too large)"
            return BatchTooLarge(
                said, end=END, status=status, request=_REQUEST, request_id=request_id
            )
        if status in (400, 422):
            said = f"because the intake refused it: {self._transport.said(answer, 'it')}"
            return BatchRejected(
                said, end=END, status=status, request=_REQUEST, request_id=request_id
            )
        remedy = REMEDIES.get(status, "Check intake_server.")
        return self._transport.refusal(answer, _REQUEST, remedy)

    def _receipts(self, answer: requests.Response) -> list[str]:
        try:
            text = self._transport.read(answer, MAX_RECEIPT_BYTES)
            receipts: Any = orjson.loads(text)["event_ids"]
        except (PageTooLarge, ValueError, LookupError, TypeError):
            receipts = None
        if not isinstance(receipts, list):
            said = "The Sekoia intake answered without receipts (event_ids)."
            request_id = self._transport.request_id(answer)
            raise TryAgain(said, end=END, request=_REQUEST, request_id=request_id)
        return receipts


REMEDIES = {
    401: "Check the intake key.",
    403: "Check the intake key and that this address may reach the intake.",
    404: "Check the intake key and intake_server: the key's region must match it.",
}


def _note_receipts(batch: Events, receipts: list[str], delivery: Delivery) -> None:
    delivery.receipts += receipts[: len(batch)]
    delivery.missing_receipts += max(0, len(batch) - len(receipts))
    delivery.acknowledged.extend(batch)
