"""Make the parts of a connector from plain settings, and connect them with each other.

Knows nothing of the SDK. A process that lost its state to another process makes new parts, because
what it has in memory is out of date.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Final

from jumpcloud_modules.checkpoint import Checkpoint, of_all
from jumpcloud_modules.collecting.collector import Collector
from jumpcloud_modules.collecting.concurrency import ConcurrencyLimit
from jumpcloud_modules.collecting.deliver_once import DeliverOnce
from jumpcloud_modules.collecting.dependencies import Durable, JumpCloud, OtherStreams, Process
from jumpcloud_modules.collecting.measurements import End, Kind, Measurements
from jumpcloud_modules.collecting.plan import Plan
from jumpcloud_modules.collecting.readers import FOR_COUNTS, FOR_WINDOWS, Spawn
from jumpcloud_modules.connections import Connections
from jumpcloud_modules.delivery import Quarantined
from jumpcloud_modules.errors import Refused
from jumpcloud_modules.events import Events
from jumpcloud_modules.failure_log import FailureLog, Level, Tellers
from jumpcloud_modules.http.client import Observe
from jumpcloud_modules.http.redaction import Secrets
from jumpcloud_modules.http.retry import Failure, Retry
from jumpcloud_modules.intake.client import Intake, IntakeOptions
from jumpcloud_modules.intake.quarantine import Quarantine
from jumpcloud_modules.jumpcloud.account import Account
from jumpcloud_modules.jumpcloud.client import ClientOptions
from jumpcloud_modules.jumpcloud.clock import JumpCloudClock
from jumpcloud_modules.jumpcloud.exclusion import Exclusion
from jumpcloud_modules.jumpcloud.insights import JumpCloudApi
from jumpcloud_modules.state import storage
from jumpcloud_modules.state.checkpoint_store import CheckpointStore
from jumpcloud_modules.state.claims import Claims
from jumpcloud_modules.state.disk_lock import FILE_NAME as LOCK_FILE_NAME
from jumpcloud_modules.state.folder import Folder
from jumpcloud_modules.state.inspection import LEDGER, NAMED_BESIDE_ALL, QUARANTINE, REASONS
from jumpcloud_modules.state.ledger import KeysInUse, Ledger
from jumpcloud_modules.state.ownership import Owner, ownership

SOURCE_ENDS: Final[tuple[End, End]] = ("jumpcloud", "jumpcloud_backfill")
"""The tail, and what is read beside it, as measurements name them."""
Log = Callable[[str, Level], None]
BACKLOG_WAITS = "The backlog and late events wait for it."


@dataclass(frozen=True, slots=True)
class Settings:
    """Say what to collect from where, and where it goes.

    `streams` are the services to ask for together; the plan's scope is completed by them. What only
    one of the clients needs is in its options, which are passed on as they are.
    """

    plan: Plan
    data_path: Path
    account: Account
    streams: list[list[str]]
    excluded_event_types: list[str]
    jumpcloud: ClientOptions
    intake: IntakeOptions


@dataclass(frozen=True, slots=True)
class Voice:
    """Hold where messages and measurements of the parts go, and secrets that are never shown.

    `log_about`, where it is given, takes failures instead of `log`, by the end that they are of.
    """

    log: Log
    on_accepted: Callable[[int, float], None]
    on_set_aside: Callable[[Quarantined], None]
    secrets: Secrets
    measurements: Measurements = field(default_factory=Measurements)
    log_about: Callable[[str], Log] | None = None

    def about(self, end: str) -> Log:
        """Return what takes messages about an end."""
        return self.log_about(end) if self.log_about else self.log

    def tell(self, message: str) -> None:
        """Say what is good to know."""
        self.log(message, "info")

    def warn(self, message: str) -> None:
        """Say what a person may have to look at."""
        self.log(message, "warning")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Say where the parts of an organization run: alone in a process, or among others.

    `connections` and `owner_of` are the process's; `stop` ends this organization. Where threads are
    shared, no failure of a remote end is waited for (`waits` false). What is done beside the polls
    is given to `count_beside` and `read_beside`.
    """

    stop: threading.Event
    connections: Connections
    owner_of: Callable[[Path], Owner] = ownership
    waits: bool = True
    count_beside: Spawn = FOR_COUNTS
    read_beside: Spawn = FOR_WINDOWS
    keys_in_use: KeysInUse | None = None


def alone(voice: Voice, stop: threading.Event) -> Surroundings:
    """Return the surroundings of the only organization of a process."""

    def observe(end: str) -> Observe:
        return partial(voice.measurements.traffic.answered, end)

    return Surroundings(stop, Connections(stop, voice.secrets, voice.warn, observe))


@dataclass(frozen=True, slots=True)
class Parts:
    """Hold what a connector collects with, for as long as it owns its state."""

    owner: Owner
    intake: Intake
    collectors: tuple[Collector, ...]
    names: tuple[str, ...]
    clock: JumpCloudClock
    state_retry: Retry
    other_retries: tuple[Retry, ...]
    failure_logs: tuple[tuple[End, FailureLog], ...]
    quarantine: Quarantine

    @property
    def is_failing(self) -> bool:
        """Tell whether anything is tried again just now."""
        return any(retry.is_failing for retry in (self.state_retry, *self.other_retries))

    @property
    def checkpoint(self) -> Checkpoint:
        """Return how far all streams got together: as far as the one that is furthest behind."""
        return of_all([collector.checkpoint for collector in self.collectors])

    @property
    def collected_to_ms(self) -> int | None:
        """Return the instant up to which all that has begun was collected, None before that."""
        instants = (collector.collected_to_ms for collector in self.collectors)
        return min((instant for instant in instants if instant is not None), default=None)

    def own(self, stop: threading.Event, tell: Callable[[str], None]) -> None:
        """Return once the state is this process's. Raises Stopped, or OwnershipLost if it was."""
        self.state_retry.call(lambda: self.owner.acquire(stop, tell))


def assemble(settings: Settings, voice: Voice, around: Surroundings) -> Parts:
    """Make the parts of a connector; none of them has begun.

    Raises CannotWork for what waiting does not solve.
    """
    # First: what waiting does not solve would be tried for ever, once the parts are at work.
    folder = settings.data_path
    storage.check_writable(folder, LOCK_FILE_NAME, LEDGER, QUARANTINE)
    quarantine = Quarantine(_private(folder / QUARANTINE), _private(folder / REASONS))
    clock = around.connections.clock(settings.account.base_url)
    owner = around.owner_of(folder)
    intake_log, state_log = (
        FailureLog(end, voice.about(end)) for end in ("The Sekoia intake", "The state")
    )
    intake_retry = _retry("intake", intake_log, voice, around)
    # It is waited for in any case: what was delivered is to be written down before anything else.
    state_retry = _retry("state", state_log, voice, replace(around, waits=True))
    intake = Intake(
        settings.intake,
        quarantine,
        retry=intake_retry,
        state_retry=state_retry,
        on_accepted=voice.on_accepted,
        on_set_aside=voice.on_set_aside,
        secrets=voice.secrets,
        check_owner=owner.check,
        observe=around.connections.observe("intake"),
        transports=around.connections.transports,
    )
    claims = Claims(around.stop)
    streams = _streams(_Shared(settings, voice, around, clock, owner, state_retry, intake, claims))
    return Parts(
        owner=owner,
        intake=intake,
        collectors=tuple(stream.collector for stream in streams),
        names=tuple(",".join(names) for names in settings.streams),
        clock=clock,
        state_retry=state_retry,
        other_retries=(*(retry for stream in streams for retry in stream.retries), intake_retry),
        failure_logs=(
            *(named for stream in streams for named in zip(SOURCE_ENDS, stream.logs, strict=True)),
            ("intake", intake_log),
            ("state", state_log),
        ),
        quarantine=quarantine,
    )


def _private(folder: Path) -> Folder:
    storage.keep_private(folder)
    return Folder(folder)


@dataclass(frozen=True, slots=True)
class _Shared:
    """Hold what all streams of a connector share."""

    settings: Settings
    voice: Voice
    around: Surroundings
    clock: JumpCloudClock
    owner: Owner
    state_retry: Retry
    intake: Intake
    claims: Claims


@dataclass(frozen=True, slots=True)
class _Stream:
    """Hold one stream's collector and ledger, its retries and their failure logs."""

    collector: Collector
    ledger: Ledger
    retries: tuple[Retry, ...]
    logs: tuple[FailureLog, ...]


def _streams(shared: _Shared) -> list[_Stream]:
    """Make a stream for each list of services; each knows what the others delivered."""
    settings, streams = shared.settings, list[_Stream]()
    for number, services in enumerate(settings.streams):
        folder = settings.data_path / NAMED_BESIDE_ALL if number else settings.data_path
        # The list is still being filled; a stream looks at the others only once all are made.
        streams.append(_stream(shared, services, folder, streams))
    return streams


def _stream(shared: _Shared, services: list[str], folder: Path, streams: list[_Stream]) -> _Stream:
    """Make one stream of several; `streams` will hold all of them."""
    settings, voice, around = shared.settings, shared.voice, shared.around
    retry, connections = shared.state_retry, around.connections
    concurrency = connections.concurrency(settings.account, settings.jumpcloud)
    scope = _scope(settings, services)
    storage.keep_private(folder / LEDGER)

    def ledger_of(name: str) -> Ledger:
        if name == scope:
            return ledger
        return Ledger(folder / LEDGER, voice.warn, name, shared.claims, around.keys_in_use)

    def others() -> list[_Stream]:
        return [stream for stream in streams if stream.ledger is not ledger]

    def delivered_by_others(events: Events) -> set[int]:
        return set().union(*(retry.call(partial(o.ledger.delivered, events)) for o in others()))

    ledger = Ledger(folder / LEDGER, voice.warn, scope, shared.claims, around.keys_in_use)
    first = streams[0].collector if streams else None
    logs = _source_logs(voice, "" if first is None else ",".join(services))
    tail_retry, backfill_retry = (
        _retry(end, log, voice, around, concurrency)
        for end, log in zip(SOURCE_ENDS, logs, strict=True)
    )
    client = connections.client(settings.account, settings.jumpcloud)
    source = JumpCloudApi(client, services, Exclusion(settings.excluded_event_types, voice.warn))
    collector = Collector(
        replace(settings.plan, scope=scope, readers=settings.plan.readers if first is None else 1),
        JumpCloud(
            source, shared.clock, tail_retry, backfill_retry, concurrency, connections.page_room
        ),
        Durable(CheckpointStore(folder), ledger_of, retry, shared.owner.check),
        DeliverOnce(shared.intake, delivered_by_others),
        _process(voice, around),
        OtherStreams(
            known_from_ms=lambda: first.checkpoint.beginning_ms if first else 0,
            needed_from_ms=lambda: [other.collector.needed_from_ms for other in others()],
        ),
    )
    return _Stream(collector, ledger, (tail_retry, backfill_retry), logs)


def _process(voice: Voice, around: Surroundings) -> Process:
    return Process(
        around.stop,
        voice.tell,
        voice.warn,
        voice.measurements,
        around.count_beside,
        around.read_beside,
    )


def _scope(settings: Settings, services: list[str]) -> str:
    """Name what is asked for: each scope has a ledger of its own."""
    account = settings.account
    parts = [account.base_url, account.organization_id or "", ",".join(sorted(services))]
    if account.provider_id:
        parts.append(f"provider {account.provider_id}")
    if settings.excluded_event_types:
        parts.append("without " + ",".join(sorted(settings.excluded_event_types)))
    return " ".join(parts)


def _source_logs(voice: Voice, name: str) -> tuple[FailureLog, ...]:
    """Make one failure log for a stream's tail and one for its backfill: they fail separately."""
    tellers, named = Tellers(), f" ({name})" if name else ""
    backlog = f" ({name}, backlog)" if name else " (backlog)"
    log = voice.about("JumpCloud")
    return (
        FailureLog(f"JumpCloud{named}", log, tellers=tellers),
        FailureLog(f"JumpCloud{backlog}", log, consequence=BACKLOG_WAITS, tellers=tellers),
    )


def _retry(
    end: End,
    failure_log: FailureLog,
    voice: Voice,
    around: Surroundings,
    concurrency: ConcurrencyLimit | None = None,
) -> Retry:
    def on_failure(failure: Failure) -> None:
        kind: Kind = "refused" if isinstance(failure.error, Refused) else "unavailable"
        voice.measurements.failed(end, kind, failure.error.status)
        # A 429 is meant for all requests with these credentials, so all readers slow down.
        if concurrency and getattr(failure.error, "limited", False):
            concurrency.lower()
        failure_log.failed(failure)

    return Retry(around.stop, on_failure, failure_log.recovered, waits=around.waits)
