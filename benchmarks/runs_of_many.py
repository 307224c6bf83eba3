"""One measured run of one process that collects many organizations.

Against emulators in a process of their own. Knows how to run and what to read off; knows neither
figures nor limits.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Final, Literal

from benchmarks import workload
from benchmarks.contenders import OURS, default_settings
from benchmarks.runs import sleep_until, until
from sandbox.apart import SandboxProcess
from sandbox.connector import ConnectorProcess, Settings
from sandbox.faults import Hang
from sandbox.instants import now_ms
from sandbox.organizations import Organization, many
from sandbox.self_hosted import ManyConnectorProcess

HANGING_SECONDS: Final = 600.0
"""Longer than anybody waits for an answer."""
_FIRST_OF_SEPARATE, _FIRST_OF_BEHIND = 5_001, 7_001
_WINDOW_STARTS_IN_MS = 1_500
_LOOK_AT_REQUESTS_SECONDS = 0.5
_HOUR_MS = 3_600_000
_BACKLOG_SPAN_MS, _BACKLOG_ENDS_MS_AGO = 22 * _HOUR_MS, 600_000


Failing = Literal["refused", "hanging"]


@dataclass(frozen=True, slots=True)
class QuietPlan:
    """How many organizations to measure for how long, and how many processes of one beside."""

    organizations: int
    separate: int
    frequency: int
    settle_seconds: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Start:
    """How a start went: until the last organization was polled for the first time."""

    seconds_to_last: float
    most_in_a_second: int
    """Requests to JumpCloud, in any second from then until the process ended."""


@dataclass(frozen=True, slots=True)
class Quiet:
    """What organizations without events cost in one process, and with a process for each.

    Shares of one core are those of all organizations. What separate processes take is that of some,
    multiplied; memory is proportional, so that what they share counts once.
    """

    peak_bytes: int
    core_share: float
    separate_bytes: float
    separate_core_share: float
    first_start: Start
    restart: Start


@dataclass(frozen=True, slots=True)
class BackfillPlan:
    """How many organizations have an event each in a window of time, and how long backlogs are.

    There are so many pairs of `windows`, the second one of each with a backlog.
    """

    organizations: int
    frequency: int
    requests_a_second: int
    settle_seconds: float
    window_seconds: float
    backlog: int
    windows: int


@dataclass(frozen=True, slots=True)
class FailingPlan:
    """How many organizations fail beside one that does not, and its events."""

    failing: int
    frequency: int
    settle_seconds: float
    window_seconds: float
    events_a_second: float


@dataclass(frozen=True, slots=True)
class Delays:
    """The median delay of events, disturbed and not; of how many, and for how long."""

    undisturbed_seconds: float
    disturbed_seconds: float
    events: int
    disturbed_for_seconds: float


def quiet(plan: QuietPlan) -> Quiet:
    """Collect from organizations that have nothing to say, and start again."""
    organizations = many(plan.organizations)
    settings = replace(default_settings(), frequency=plan.frequency)
    with SandboxProcess() as sandbox:
        sandbox.add([*organizations, *many(plan.separate, _FIRST_OF_SEPARATE)])
        listed = ManyConnectorProcess(sandbox.addresses, organizations, settings)
        began = time.monotonic()
        with listed as connector:
            seconds = _until_all_polled(sandbox, connector, organizations, began)
            with ExitStack() as running:
                separate = _separate(sandbox, settings, plan.separate, running)
                time.sleep(plan.settle_seconds)
                shares = _core_shares([connector, *separate], plan.seconds)
                separate_bytes = sum(_proportional_bytes(one.pid) for one in separate)
            peak_bytes = _stopped(connector)
            first_start = Start(seconds, _most_in_a_second(sandbox, organizations, began))
            began = time.monotonic()
            connector.start()
            seconds = _until_all_polled(sandbox, connector, organizations, began)
            peak_bytes = max(peak_bytes, _stopped(connector))
            restart = Start(seconds, _most_in_a_second(sandbox, organizations, began))
    times = plan.organizations / plan.separate
    return Quiet(
        peak_bytes=peak_bytes,
        core_share=shares[0],
        separate_bytes=separate_bytes * times,
        separate_core_share=sum(shares[1:]) * times,
        first_start=first_start,
        restart=restart,
    )


def beside_a_backfill(plan: BackfillPlan) -> Delays:
    """Collect an event of each organization in a window of time, without a backfill and with one.

    Only those events count that became visible during the backfill (all of the window, where it was
    too short for any), and those of the same organizations in the window before it.
    """
    organizations, behind = many(plan.organizations), many(plan.windows, _FIRST_OF_BEHIND)
    settings = replace(default_settings(), frequency=plan.frequency)
    speed = {"MAX_REQUESTS_PER_SECOND": str(plan.requests_a_second)}
    spans = list[range]()
    with SandboxProcess() as sandbox:
        sandbox.add([*organizations, *behind])
        for organization in behind:
            _publish_backlog(sandbox, organization, plan.backlog)
        with ManyConnectorProcess(
            sandbox.addresses, organizations, settings, environment=speed
        ) as connector:
            _until_all_polled(sandbox, connector, organizations, time.monotonic())
            time.sleep(plan.settle_seconds)
            for organization in behind:
                _collect_window(sandbox, connector, organizations, plan.window_seconds)
                accepted = sandbox.accepted()
                visible_ms = _publish_window(sandbox, organizations, plan.window_seconds)
                span = _backfill(sandbox, connector, organization, plan.backlog)
                due = accepted + len(visible_ms) + plan.backlog
                _until_accepted(sandbox, connector, due)
                within = [place for place, instant in enumerate(visible_ms) if instant in span]
                every = range(len(visible_ms))
                spans.append(range(within[0], within[-1] + 1) if within else every)
            connector.stop()
        delays_ms = sandbox.delays_ms_by_organization()
    of_each = [delays_ms[organization.id] for organization in organizations]
    pairs = [
        (of_each[place][2 * number], of_each[place][2 * number + 1])
        for number, places in enumerate(spans)
        for place in places
    ]
    seconds_an_event = plan.window_seconds / plan.organizations
    return Delays(
        median(undisturbed for undisturbed, _ in pairs) / 1000,
        median(disturbed for _, disturbed in pairs) / 1000,
        len(pairs),
        len(pairs) * seconds_an_event,
    )


def beside_failing(plan: FailingPlan, how: Failing) -> Delays:
    """Collect one organization's events while no other one fails, and while all others do."""
    *others, sound = [replace(one, api_key=f"key-of-{one.name}") for one in many(plan.failing + 1)]
    settings = replace(default_settings(), frequency=plan.frequency)
    with SandboxProcess() as sandbox:
        sandbox.add([*others, sound])
        with ManyConnectorProcess(sandbox.addresses, [*others, sound], settings) as connector:
            _until_all_polled(sandbox, connector, [*others, sound], time.monotonic())
            time.sleep(plan.settle_seconds)
            events = int(plan.window_seconds * plan.events_a_second)
            _collect_window(sandbox, connector, [sound] * events, plan.window_seconds)
            if how == "refused":
                sandbox.refuse_keys([one.api_key for one in others])
            else:
                ids = [one.id for one in others]
                sandbox.add_fault("jumpcloud", Hang(HANGING_SECONDS), organization=ids)
            time.sleep(plan.settle_seconds)
            _collect_window(sandbox, connector, [sound] * events, plan.window_seconds)
            connector.stop()
        delays_ms = sandbox.delays_ms_by_organization()[sound.id]
    return Delays(
        median(delays_ms[:events]) / 1000,
        median(delays_ms[events:]) / 1000,
        events,
        plan.window_seconds,
    )


def _separate(
    sandbox: SandboxProcess, settings: Settings, count: int, running: ExitStack
) -> list[ConnectorProcess]:
    """Start connectors of one organization each, and wait until each has asked for events."""
    organizations = many(count, _FIRST_OF_SEPARATE)
    began = time.monotonic()
    separate = [
        running.enter_context(
            OURS.running(
                sandbox.addresses,
                replace(settings, organization_id=one.id, more={"intake_key": one.intake_key}),
            )
        )
        for one in organizations
    ]
    _until_all_polled(sandbox, separate[0], organizations, began)
    return separate


def _core_shares(connectors: Sequence[ConnectorProcess], seconds: float) -> list[float]:
    """Return which share of a core each uses over a time."""
    before = [connector.usage().cpu_seconds for connector in connectors]
    time.sleep(seconds)
    after = [connector.usage().cpu_seconds for connector in connectors]
    return [(late - early) / seconds for early, late in zip(before, after, strict=True)]


def _proportional_bytes(pid: int) -> int:
    """Return the memory of a process; what several share counts once for all of them."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def _stopped(connector: ConnectorProcess) -> int:
    """End a connector, and return its peak memory."""
    connector.stop()
    return connector.usage().peak_rss_bytes


def _until_all_polled(
    sandbox: SandboxProcess,
    connector: ConnectorProcess,
    organizations: Iterable[Organization],
    since: float,
) -> float:
    """Return after how many seconds the last organization was asked for its events."""
    ids, first = {one.id for one in organizations}, dict[str, float]()

    def all_polled() -> bool:
        for began, endpoint, organization, _ in sandbox.exchanges():
            if began >= since and endpoint == "events" and organization in ids:
                first.setdefault(organization, began)
        return len(first) == len(ids)

    until(connector, all_polled, "poll every organization", _LOOK_AT_REQUESTS_SECONDS)
    return max(first.values()) - since


def _most_in_a_second(
    sandbox: SandboxProcess, organizations: Iterable[Organization], since: float
) -> int:
    """Return how many requests to JumpCloud began within any one second."""
    ids = {one.id for one in organizations}
    began = sorted(at for at, _, named, _ in sandbox.exchanges() if at >= since and named in ids)
    most, first = 0, 0
    for last, at in enumerate(began):
        while at - began[first] >= 1.0:
            first += 1
        most = max(most, last - first + 1)
    return most


def _publish_backlog(sandbox: SandboxProcess, organization: Organization, count: int) -> None:
    end_ms = now_ms() - _BACKLOG_ENDS_MS_AGO
    sandbox.generate(
        count,
        end_ms - _BACKLOG_SPAN_MS,
        end_ms,
        seed=int(organization.id, 16) % 1_000,
        weights=dict(workload.SERVICES),
        organizations=[organization.id],
    )


def _publish_window(
    sandbox: SandboxProcess, organizations: Sequence[Organization], seconds: float
) -> list[int]:
    """Publish an event of each organization, evenly over a time that begins in a moment.

    Returns when each becomes visible.
    """
    start_ms = now_ms() + _WINDOW_STARTS_IN_MS
    events = workload.future(len(organizations), start_ms, start_ms + int(seconds * 1000))
    owned = [
        replace(event, organization=one.id)
        for event, one in zip(events, organizations, strict=True)
    ]
    sandbox.publish(owned)
    sleep_until(start_ms)
    return [event.visible_ms for event in owned]


def _collect_window(
    sandbox: SandboxProcess,
    connector: ConnectorProcess,
    organizations: Sequence[Organization],
    seconds: float,
) -> None:
    accepted = sandbox.accepted()
    visible_ms = _publish_window(sandbox, organizations, seconds)
    sleep_until(max(visible_ms))
    _until_accepted(sandbox, connector, accepted + len(visible_ms))


def _backfill(
    sandbox: SandboxProcess, connector: ManyConnectorProcess, organization: Organization, count: int
) -> range:
    """Let an organization with a backlog join, and return the instants in which it was read."""
    accepted = sandbox.accepted()
    listed_at = time.monotonic()
    connector.rewrite([*connector.organizations, organization])
    connector.hang_up()
    until(connector, lambda: sandbox.accepted() >= accepted + count, "deliver a backlog")
    ended_ms = now_ms()
    began = min(at for at, _, named, _ in sandbox.exchanges() if named == organization.id)
    seconds = time.monotonic() - max(began, listed_at)
    return range(ended_ms - int(seconds * 1000), ended_ms)


def _until_accepted(sandbox: SandboxProcess, connector: ConnectorProcess, count: int) -> None:
    until(connector, lambda: sandbox.accepted() >= count, "deliver every event")
