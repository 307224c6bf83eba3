"""One object that serves the emulated JumpCloud, intake and platform on loopback ports."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from types import TracebackType
from typing import Literal, Protocol, Self

from sandbox import faults as mixtures
from sandbox.accounts import CLIENT_ID, CLIENT_SECRET
from sandbox.events import Event
from sandbox.faults import Faults
from sandbox.http import Reply, Request, RequestLog, Server
from sandbox.instants import now_ms as clock_ms
from sandbox.intake import INTAKE_KEY, Intake
from sandbox.jumpcloud import API_KEY, JumpCloud
from sandbox.organizations import Organization, as_organizations
from sandbox.platform import TOKEN, Platform
from sandbox.query import Answers
from sandbox.verdict import Due, Verdict, delays_ms_by_organization, judge, judge_each

End = Literal["jumpcloud", "intake", "platform"]

_INTAKE_PREFIX = "/api/v1/intake-http"
_PLATFORM_PREFIX = "/api/v1/module"


class SandboxError(Exception):
    """Something went wrong inside an emulator, or a client asked for what is not imitated."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a connector finds the three ends, and with which keys."""

    jumpcloud_url: str
    intake_url: str
    platform_url: str
    api_key: str = field(repr=False)
    intake_key: str = field(repr=False)
    token: str = field(repr=False)
    client_id: str = CLIENT_ID
    client_secret: str = field(default=CLIENT_SECRET, repr=False)


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the three ends listen; 0 is any port that is free."""

    jumpcloud: int = 0
    intake: int = 0
    platform: int = 0


class _Emulator(Protocol):
    @property
    def name(self) -> str: ...

    faults: Faults
    requests: RequestLog
    errors: list[str]
    url: str

    def answer(self, request: Request) -> Reply: ...


class Sandbox:
    """The three ends, served from `with` to its end; errors inside them are raised there.

    `keep_texts=False` saves memory: the intake then keeps the digests of what it knows.
    `organizations` and `keys` are `JumpCloud`'s; an `Organization` may have an intake key of its
    own, with which all its events have to arrive.
    """

    def __init__(
        self,
        events: Iterable[Event] = (),
        *,
        answers: Answers | None = None,
        api_key: str = API_KEY,
        intake_key: str = INTAKE_KEY,
        token: str = TOKEN,
        organizations: Iterable[str | Organization] | Mapping[str, str] = (),
        keys: Mapping[str, Iterable[str]] | None = None,
        keep_texts: bool = True,
        ports: Ports | None = None,
        now_ms: Callable[[], int] = clock_ms,
    ) -> None:
        self.errors: list[str] = []
        named = as_organizations(organizations)
        self.jumpcloud = JumpCloud(
            events,
            api_key=api_key,
            organizations=named,
            keys=keys,
            answers=answers,
            now_ms=now_ms,
        )
        known = None if keep_texts else self.jumpcloud.holds
        of_intake = {one.intake_key: one.id for one in named if one.intake_key}
        self.intake = Intake(intake_key=intake_key, keys=of_intake, known=known)
        self.platform = Platform(secrets={"apikey": api_key}, token=token)
        of_ends = asdict(ports or Ports())
        self._servers = {
            end.name: self._server(end, of_ends[end.name], now_ms)
            for end in (self.jumpcloud, self.intake, self.platform)
        }

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        if self.errors and error is None:
            raise SandboxError("\n".join(self.errors))

    @property
    def addresses(self) -> Addresses:
        """Return what a connector needs to know."""
        return Addresses(
            jumpcloud_url=self.jumpcloud.url,
            intake_url=self.intake.url,
            platform_url=self.platform.url,
            api_key=self.jumpcloud.api_key,
            intake_key=self.intake.intake_key,
            token=self.platform.token,
            client_id=self.jumpcloud.tokens.client_id,
            client_secret=self.jumpcloud.tokens.client_secret,
        )

    def add(self, organization: Organization) -> None:
        """Let an organization exist at both ends; one of the same id gets a further intake key."""
        self.jumpcloud.add(organization)
        if organization.intake_key:
            self.intake.keys[organization.intake_key] = organization.id

    def start(self) -> None:
        """Serve all three."""
        for server in self._servers.values():
            server.start()
        self.jumpcloud.url = self._servers["jumpcloud"].url
        self.intake.url = self._servers["intake"].url + _INTAKE_PREFIX
        self.platform.url = self._servers["platform"].url + _PLATFORM_PREFIX
        self.platform.module_configuration.setdefault("base_url", self.jumpcloud.url)

    def stop(self) -> None:
        """Stop serving, and hang up every connection."""
        for server in self._servers.values():
            server.stop()

    @contextmanager
    def unplugged(self, end: End) -> Iterator[None]:
        """Refuse connections at one end for the time of a `with` block."""
        self.unplug(end)
        try:
            yield
        finally:
            self.plug(end)

    def unplug(self, end: End) -> None:
        """Refuse connections at one end until it is plugged in again; the port is kept."""
        self._servers[end].stop()

    def plug(self, end: End) -> None:
        """Serve an end again."""
        self._servers[end].start()

    def chaos(self, seed: int, rate: float, *, repeats: bool = False) -> None:
        """Let a share of all requests fail, each in one of many ways.

        With `repeats`, replies to accepted batches get lost too, so that events come twice.
        """
        ends = (self.jumpcloud.faults, self.intake.faults, self.platform.faults)
        for number, faults in enumerate(ends):
            faults.seed(seed * len(ends) + number)
        mixtures.jumpcloud_chaos(self.jumpcloud.faults, rate)
        mixtures.intake_chaos(self.intake.faults, rate, repeats=repeats)
        mixtures.platform_chaos(self.platform.faults, rate)

    def verdict(
        self,
        *,
        since_ms: int | None = None,
        visible_until_ms: int | None = None,
        without: Iterable[Event] = (),
    ) -> Verdict:
        """Judge what was accepted; by default everything published is due."""
        return judge(
            self.jumpcloud.published,
            self.intake,
            since_ms=since_ms,
            visible_until_ms=visible_until_ms,
            without=without,
            owner_of=self.jumpcloud.owner_of,
        )

    def verdicts(
        self,
        *,
        since_ms: int | None = None,
        visible_until_ms: int | None = None,
        without: Iterable[Event] = (),
    ) -> dict[str, Verdict]:
        """Judge each organization that has an intake key of its own; return them by its id.

        The others are judged as one, of an empty id, where there are any.
        """
        excused = frozenset(event.digest() for event in without)
        due = Due(since_ms, visible_until_ms, excused)
        owner_of = self.jumpcloud.owner_of
        return judge_each(self.jumpcloud.published, self.intake, due, owner_of=owner_of)

    def delays_ms(
        self, since_ms: int | None = None, until_ms: int | None = None
    ) -> dict[str, list[int]]:
        """List the times from visible to accepted, by the id of the events' organization.

        Of those that became visible since an instant and before another one, if these are named.
        """
        published = (
            event
            for event in self.jumpcloud.published
            if (since_ms is None or event.visible_ms >= since_ms)
            and (until_ms is None or event.visible_ms < until_ms)
        )
        return delays_ms_by_organization(published, self.intake, self.jumpcloud.owner_of)

    def _server(self, end: _Emulator, port: int, now_ms: Callable[[], int]) -> Server:
        end.errors = self.errors

        def answer(request: Request) -> Reply:
            return end.faults.play(request, end.answer)

        server = Server(end.name, answer, end.requests, self.errors, port, now_ms=now_ms)
        if end is self.jumpcloud:  # at the intake it stands in the body, which is read once only
            server.organization_of = self.jumpcloud.organization_of
        return server


def wait_until(happened: Callable[[], object], timeout_seconds: float = 10.0) -> bool:
    """Wait for something to become true; return whether it did."""
    deadline = time.monotonic() + timeout_seconds
    while not happened():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True
