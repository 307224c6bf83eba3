"""Which parts make a connector: plain values in, parts that know each other out.

Knows nothing of the SDK. A process that lost its state to another one assembles itself anew, since
nothing it has in memory is of use any more.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from jumpcloud_modules.collecting.collector import Collector
from jumpcloud_modules.collecting.concurrency import Lanes
from jumpcloud_modules.collecting.ends import Durable, JumpCloud, Process
from jumpcloud_modules.collecting.plan import Plan
from jumpcloud_modules.delivery import Quarantined
from jumpcloud_modules.failure_log import Level, Tellers, Troubles
from jumpcloud_modules.http.redaction import Secrets
from jumpcloud_modules.http.retry import Failure, Pace
from jumpcloud_modules.intake.client import Intake
from jumpcloud_modules.intake.quarantine import Quarantine
from jumpcloud_modules.jumpcloud.account import Account, credentials_of, events_client
from jumpcloud_modules.jumpcloud.clock import JumpCloudClock
from jumpcloud_modules.jumpcloud.exclusion import Exclusion
from jumpcloud_modules.jumpcloud.insights import JumpCloudApi
from jumpcloud_modules.state import storage
from jumpcloud_modules.state.checkpoint import State
from jumpcloud_modules.state.disk_lock import FILE_NAME as LOCK_FILE_NAME
from jumpcloud_modules.state.folder import Folder
from jumpcloud_modules.state.ledger import Ledger
from jumpcloud_modules.state.ownership import Owner, ownership

BACKLOG_WAITS = "The backlog and late events wait for it."


@dataclass(frozen=True, slots=True)
class Settings:
    """Say what to collect from where, and where it goes."""

    plan: Plan
    data_path: Path
    account: Account
    services: list[str]
    excluded_event_types: list[str]
    intake_url: str
    intake_key: str
    user_agent: str


@dataclass(frozen=True, slots=True)
class Voice:
    """Name who hears what the parts have to say, and what no message may hold."""

    log: Callable[[str, Level], None]
    on_accepted: Callable[[int, float], None]
    on_set_aside: Callable[[Quarantined], None]
    secrets: Secrets

    def tell(self, message: str) -> None:
        """Say what is good to know."""
        self.log(message, "info")

    def warn(self, message: str) -> None:
        """Say what a person may have to look at."""
        self.log(message, "warning")


@dataclass(frozen=True, slots=True)
class Parts:
    """Hold what one ownership of the state collects with."""

    owner: Owner
    intake: Intake
    collector: Collector
    clock: JumpCloudClock
    state_pace: Pace
    other_paces: tuple[Pace, ...]
    failure_logs: tuple[Troubles, ...]
    quarantine: Quarantine

    @property
    def is_failing(self) -> bool:
        """Tell whether anything is tried again just now."""
        return any(pace.is_failing for pace in (self.state_pace, *self.other_paces))

    def own(self, stop: threading.Event, tell: Callable[[str], None]) -> None:
        """Return once the state is this process's. Raises Stopped, or OwnershipLost if it was."""
        self.state_pace.call(lambda: self.owner.acquire(stop, tell))


def assemble(settings: Settings, voice: Voice, stop: threading.Event) -> Parts:
    """Make the parts of a connector; none of them has begun.

    Raises CannotWork for what no waiting would mend.
    """
    storage.check_writable(settings.data_path, LOCK_FILE_NAME, "ledger", "quarantine")
    ledger_path, quarantine_path = settings.data_path / "ledger", settings.data_path / "quarantine"
    storage.keep_private(ledger_path)
    reasons_path = settings.data_path / "quarantine-reasons"
    storage.keep_private(quarantine_path)
    storage.keep_private(reasons_path)
    clock = JumpCloudClock(voice.warn)
    owner = ownership(settings.data_path)
    lanes = Lanes(stop)
    logs = _failure_logs(voice)
    tail_pace, backlog_pace = (_pace(log, stop, lanes) for log in logs[:2])
    intake_pace, state_pace = (_pace(log, stop) for log in logs[2:])
    quarantine = Quarantine(Folder(quarantine_path), Folder(reasons_path))
    intake = Intake(
        url=settings.intake_url,
        intake_key=settings.intake_key,
        quarantine=quarantine,
        pace=intake_pace,
        state_pace=state_pace,
        user_agent=settings.user_agent,
        on_accepted=voice.on_accepted,
        on_set_aside=voice.on_set_aside,
        secrets=voice.secrets,
        check_owner=owner.check,
    )
    collector = Collector(
        settings.plan,
        JumpCloud(_source(settings, voice, clock), clock, tail_pace, backlog_pace, lanes),
        Durable(
            State(settings.data_path),
            lambda scope: Ledger(ledger_path, voice.warn, scope),
            state_pace,
            owner.check,
        ),
        intake,
        Process(stop, voice.tell, voice.warn),
    )
    paces = (tail_pace, backlog_pace, intake_pace)
    return Parts(owner, intake, collector, clock, state_pace, paces, logs, quarantine)


def _source(settings: Settings, voice: Voice, clock: JumpCloudClock) -> JumpCloudApi:
    credentials = credentials_of(settings.account, voice.secrets, settings.user_agent)
    client = events_client(settings.account, credentials, settings.user_agent, clock)
    exclusion = Exclusion(settings.excluded_event_types, voice.warn)
    return JumpCloudApi(client, settings.services, exclusion)


def _failure_logs(voice: Voice) -> tuple[Troubles, ...]:
    """Make the records of the tail, of what is read beside it, of the intake, and of the state."""
    tellers = Tellers()
    return (
        Troubles("JumpCloud", voice.log, tellers=tellers),
        Troubles("JumpCloud (backlog)", voice.log, consequence=BACKLOG_WAITS, tellers=tellers),
        Troubles("The Sekoia intake", voice.log),
        Troubles("The state", voice.log),
    )


def _pace(troubles: Troubles, stop: threading.Event, lanes: Lanes | None = None) -> Pace:
    def on_failure(failure: Failure) -> None:
        if lanes and getattr(failure.error, "limited", False):
            lanes.narrow()
        troubles.failed(failure)

    return Pace(stop, on_failure, troubles.recovered)
