"""One measured run of one connector, against emulators in a process of their own.

Knows how to run and what to read off; knows neither figures nor limits.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

from benchmarks import workload
from benchmarks.contenders import Contender, default_settings
from sandbox.apart import SandboxProcess
from sandbox.connector import ConnectorProcess, Settings
from sandbox.faults import Hang, SlowPages, SlowReceipts
from sandbox.instants import now_ms

_PUBLISHED_AT_ONCE = 20_000
_LIVE_STARTS_IN_MS = 1_500
_STEP_SECONDS = 0.025
_MAX_SECONDS = 300.0
_LOOK_AT_LEISURE_SECONDS = 5.0


class RunFailed(Exception):
    """A connector did not do what was to be measured."""


@dataclass(frozen=True, slots=True)
class Network:
    """How long the two ends take: a request, and each of its events."""

    fetch_ms: float = 0.0
    fetch_event_ms: float = 0.0
    push_ms: float = 0.0
    push_event_ms: float = 0.0


LOOPBACK = Network()
DISTANT = Network(fetch_ms=150.0, fetch_event_ms=0.1, push_ms=80.0, push_event_ms=0.02)


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits at the start: so many events of the last day, of 1.2 kB or all of 70 kB."""

    events: int
    large_share: float = 0.0
    network: Network = LOOPBACK


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """What a backlog has cost: `seconds` from the first request to the last event accepted."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int


@dataclass(frozen=True, slots=True)
class Lived:
    """How live events fared."""

    median_delay_seconds: float
    requests_a_poll: float
    read_by_delivered: float


def catch_up(contender: Contender, backlog: Backlog) -> CaughtUp:
    """Collect a backlog from an empty state, and stop."""
    with _sandbox(backlog) as sandbox:
        first = _first_request(sandbox, backlog.network)
        with contender.running(sandbox.addresses, default_settings()) as connector:
            until(connector, first, "ask JumpCloud for events")
            started = time.monotonic()
            all_accepted = _accepted(sandbox, backlog.events)
            until(connector, all_accepted, f"deliver {backlog.events} events")
            seconds = time.monotonic() - started
            contender.stop(connector)
            usage = connector.usage()
        _check(contender, sandbox, backlog.events)
    return CaughtUp(seconds, usage.cpu_seconds, usage.peak_rss_bytes)


def start(contender: Contender) -> float:
    """Return the processor seconds that a process has used when its first request arrives."""
    with _sandbox(Backlog(1)) as sandbox:
        # The first request is left without an answer, so that nothing is done while we look.
        rule = sandbox.add_fault("jumpcloud", Hang(_LOOK_AT_LEISURE_SECONDS))
        with contender.running(sandbox.addresses, default_settings()) as connector:
            until(connector, lambda: _fired(sandbox, rule), "ask JumpCloud for events")
            return connector.usage().cpu_seconds


def live(
    contender: Contender,
    seconds: float,
    settle_seconds: float,
    per_second: float,
    audit_polls: int,
) -> Lived:
    """Collect events as they happen, polling every second; nothing is late."""
    settings = replace(default_settings(), frequency=1, audit_frequency=max(5, audit_polls))
    with _idling(contender, settings, settle_seconds) as (sandbox, _):
        start_ms = now_ms() + _LIVE_STARTS_IN_MS
        count, end_ms = int(seconds * per_second), start_ms + int(seconds * 1000)
        sandbox.publish(workload.future(count, start_ms, end_ms))
        sleep_until(start_ms)
        before = sandbox.statistics()
        sleep_until(end_ms)
        after = sandbox.statistics()
        time.sleep(settings.frequency + 0.5)
        delays_ms = sandbox.delays_ms()[1:]  # the first is of the event that began it
    if not delays_ms or after["accepted"] == before["accepted"]:
        raise RunFailed(f"No live events came through {contender.name}.")
    return Lived(
        median_delay_seconds=median(delays_ms) / 1000,
        requests_a_poll=_risen(before, after, _requests) / (seconds / settings.frequency),
        read_by_delivered=_risen(before, after, _read) / _risen(before, after, _delivered),
    )


def idle(contender: Contender, seconds: float, settle_seconds: float) -> float:
    """Return the share of one core that is used while nothing happens, at the default settings."""
    with _idling(contender, default_settings(), settle_seconds) as (_, connector):
        before = connector.usage().cpu_seconds
        time.sleep(seconds)
        return (connector.usage().cpu_seconds - before) / seconds


@contextmanager
def _sandbox(backlog: Backlog) -> Iterator[SandboxProcess]:
    events = workload.past(backlog.events, backlog.large_share)
    with SandboxProcess() as sandbox:
        for first in range(0, len(events), _PUBLISHED_AT_ONCE):
            sandbox.publish(events[first : first + _PUBLISHED_AT_ONCE])
        yield sandbox


@contextmanager
def _idling(
    contender: Contender, settings: Settings, settle_seconds: float
) -> Iterator[tuple[SandboxProcess, ConnectorProcess]]:
    """Run a connector that has nothing left to do."""
    with (
        _sandbox(Backlog(1)) as sandbox,
        contender.running(sandbox.addresses, settings) as connector,
    ):
        until(connector, _accepted(sandbox, 1), "deliver an event")
        time.sleep(settle_seconds)
        yield sandbox, connector
        contender.stop(connector)


def _first_request(sandbox: SandboxProcess, network: Network) -> Callable[[], bool]:
    """Put the ends at a distance; return what tells whether a request has come."""
    sandbox.add_fault("intake", SlowReceipts(network.push_ms, network.push_event_ms))
    pages = SlowPages(network.fetch_ms, network.fetch_event_ms)
    rule = sandbox.add_fault("jumpcloud", pages)
    return lambda: _fired(sandbox, rule)


def _check(contender: Contender, sandbox: SandboxProcess, count: int) -> None:
    if not contender.is_verbatim:
        if (accepted := sandbox.accepted()) != count:
            raise RunFailed(f"{contender.name} delivered {accepted} events of {count}.")
    elif not (verdict := sandbox.verdict()).clean:
        raise RunFailed(f"The events of {contender.name} are not right:\n{verdict.table()}")


def _fired(sandbox: SandboxProcess, rule: int) -> bool:
    return sandbox.switch_fault(rule, on=True) > 0


def _accepted(sandbox: SandboxProcess, count: int) -> Callable[[], bool]:
    return lambda: sandbox.accepted() >= count


def until(
    connector: ConnectorProcess,
    happened: Callable[[], bool],
    what: str,
    look_every_seconds: float = _STEP_SECONDS,
) -> None:
    """Return once something has happened. Raises RunFailed where a connector does not do it."""
    deadline = time.monotonic() + _MAX_SECONDS
    while not happened():
        if not connector.running or time.monotonic() > deadline:
            end = "\n".join(connector.output.splitlines()[-20:])
            name = connector.command or "The connector"
            raise RunFailed(f"{name} did not {what}; it wrote:\n{end}")
        time.sleep(look_every_seconds)


def sleep_until(instant_ms: int) -> None:
    """Return at an instant."""
    time.sleep(max(0.0, (instant_ms - now_ms()) / 1000))


def _risen(
    before: dict[str, Any], after: dict[str, Any], read: Callable[[dict[str, Any]], int]
) -> int:
    return read(after) - read(before)


def _requests(statistics: dict[str, Any]) -> int:
    return sum(statistics["jumpcloud"]["requests"].values())


def _read(statistics: dict[str, Any]) -> int:
    return int(statistics["jumpcloud"]["events"])


def _delivered(statistics: dict[str, Any]) -> int:
    return int(statistics["accepted"])
