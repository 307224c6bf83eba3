"""What several tests pretend with: time that passes at once, answers to order, events by hand."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest
from msgspec import Raw

from jumpcloud_modules.errors import StateUnavailable
from jumpcloud_modules.events import UNDATED, Event, Events, cut
from jumpcloud_modules.http.retry import Failure, Retry
from jumpcloud_modules.instants import to_rfc3339
from jumpcloud_modules.jumpcloud.account import Account, credentials_of, events_client
from jumpcloud_modules.jumpcloud.insights import JumpCloudApi
from jumpcloud_modules.state import storage
from jumpcloud_modules.state.ledger import Ledger
from sandbox import Reply, Request, Sandbox

NOON_MS = 1_760_011_200_000
"""An instant to tell stories at: a whole hour, 9 October 2025 at 12:00 UTC."""


def account_at(sandbox: Sandbox, organization_id: str | None = None) -> Account:
    """Return the account whose key the emulated JumpCloud takes."""
    addresses = sandbox.addresses
    return Account(
        addresses.jumpcloud_url + "/", addresses.api_key, organization_id=organization_id
    )


def service_account_at(sandbox: Sandbox, organization_id: str | None = "org") -> Account:
    """Return the service account that the emulated JumpCloud knows."""
    addresses = sandbox.addresses
    return Account(
        addresses.jumpcloud_url + "/",
        client_id=addresses.client_id,
        client_secret=addresses.client_secret,
        organization_id=organization_id,
    )


def directory_insights(
    sandbox: Sandbox, services: Sequence[str] = ("all",), account: Account | None = None
) -> JumpCloudApi:
    """Return what asks the emulated JumpCloud for events."""
    account = account or account_at(sandbox)
    return JumpCloudApi(events_client(account, credentials_of(account)), services)


class Waits(threading.Event):
    """A stop event that waits for nothing: it notes how long it should, and time has passed.

    After `stop_after` waits it is set, as if the operator had lost patience.
    """

    def __init__(self, stop_after: int | None = None) -> None:
        super().__init__()
        self.seconds: list[float] = []
        self._stop_after = stop_after

    def wait(self, timeout: float | None = None) -> bool:
        """Let the time pass at once."""
        if not self.is_set():
            self.seconds.append(timeout or 0.0)
            if self._stop_after is not None and len(self.seconds) >= self._stop_after:
                self.set()
        return self.is_set()

    def clock(self) -> float:
        """Return the seconds that have passed."""
        return sum(self.seconds)


def impatient_retry(
    stop: Waits | None = None, on_failure: Callable[[Failure], None] = lambda _: None
) -> Retry:
    """Make a retry whose waits take no time."""
    waits = stop or Waits()
    return Retry(waits, on_failure, clock=waits.clock)


def event_at(time_ms: int, name: str = "1", more: str = "") -> Event:
    """Make an event by its instant and id."""
    text = f'{{"id":"{name}","timestamp":"{to_rfc3339(time_ms)}"{more}}}'
    return cut(f"[{text}]".encode()).events[0]


def undated_event(key: int) -> Event:
    """Make an event by its key that does not say when it happened."""
    return Event(Raw(b"{}"), key, UNDATED)


def events_of(*events: Event) -> Events:
    """Put events together as the product passes them on."""
    return Events([e.raw for e in events], [e.key for e in events], [e.time for e in events])


def new_of(ledger: Ledger, events: Events) -> Events:
    """Return those of the events that a ledger does not know, without keeping the claim."""
    with ledger.claim(events) as fresh:
        return fresh


def recorded(ledger: Ledger, events: Events, not_before_ms: int = 0) -> Events:
    """Have a ledger file what is new of the events, and return that."""
    with ledger.claim(events) as fresh:
        ledger.record(fresh, not_before_ms)
    return fresh


def texts_of(events: Sequence[Event]) -> list[bytes]:
    """Return the bytes of events."""
    return [bytes(event.raw) for event in events]


@dataclass(frozen=True, slots=True)
class Says:
    """A fault that answers one thing, whatever is asked."""

    reply: Reply

    def apply(self, request: Request, answer: Callable[[Request], Reply]) -> Reply:
        """Give the reply."""
        return self.reply


class Crash(BaseException):
    """The process is gone: nothing in the product may catch this."""


class BreakingDisk:
    """A disk on which the n-th change from now on fails, for as long as the `with` block lasts.

    With `crash`, the process dies before the change, or with `halfway` in its middle (a half of
    the bytes stands under the name). Without it the change is reported as StateUnavailable. A
    sync counts as a change.
    """

    def __init__(self, at: int, *, crash: bool = False, halfway: bool = False) -> None:
        self.changes = 0
        self.happened = False
        self._at = at
        self._crash = crash
        self._halfway = halfway
        self._patch = pytest.MonkeyPatch()

    def __enter__(self) -> Self:
        write_once, write_atomically = storage.write_once, storage.write_atomically
        remove, sync = storage.remove, storage.sync

        def breaking_write_once(path: Path, content: bytes) -> None:
            self._count(lambda: write_once(path, content[: len(content) // 2]))
            write_once(path, content)

        def breaking_write_atomically(path: Path, content: bytes) -> None:
            self._count(lambda: None)
            write_atomically(path, content)

        def breaking_remove(path: Path) -> None:
            self._count(lambda: None)
            remove(path)

        def breaking_sync(path: Path) -> None:
            self._count(lambda: None)
            sync(path)

        self._patch.setattr(storage, "write_once", breaking_write_once)
        self._patch.setattr(storage, "write_atomically", breaking_write_atomically)
        self._patch.setattr(storage, "remove", breaking_remove)
        self._patch.setattr(storage, "sync", breaking_sync)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._patch.undo()

    def _count(self, spoil: Callable[[], None]) -> None:
        self.changes += 1
        if self.changes != self._at:
            return
        self.happened = True
        if self._halfway:
            spoil()
        if self._crash:
            raise Crash
        raise StateUnavailable("the disk is full")
