"""Harm by name: what a person may do to both ends, to the events and to a running connector.

Knows the sandbox and the process; knows nothing of how a connector copes.
"""

from __future__ import annotations

import resource
from collections.abc import Callable, Mapping
from contextlib import suppress

from sandbox.events import generate, make_event
from sandbox.faketime import LIBRARY, MISSING, FakeClock
from sandbox.faults import (
    BrokenJson,
    Fault,
    HtmlPage,
    RefuseEvent,
    SlowPages,
    Status,
    TruncatedBody,
)
from sandbox.harm_to_one import HARMS_TO_ONE
from sandbox.instants import now_ms
from sandbox.server import End
from sandbox.target import NOT_OURS, Amount, Harm, Target, Undo

_SECONDS_WRONG = 10.0
_LATE_EVENTS = 60
_FUTURE_EVENTS = 20


_SECONDS = Amount("seconds", {"10 s": 10, "3 s": 3, "30 s": 30, "2 min": 120}, 1, 600)
_AWAY = Amount("seconds", {"3 s": 3, "1 s": 1, "15 s": 15}, 0, 600)
_AGES = {"1 hour": 3_600, "10 s": 10, "10 min": 600, "1 day": 86_400, "3 days": 259_200}
_LATE = Amount("seconds", _AGES, 1, 518_400)
_AHEAD = Amount("seconds", {"1 hour": 3_600, "10 min": 600, "1 day": 86_400}, 1, 604_800)
_BURST = Amount("events", {"10,000": 10_000, "1,000": 1_000, "50,000": 50_000}, 1, 100_000)
_ONE = Amount("events", {"1 event": 1}, 1, 1)
_OFF = Amount(
    "seconds",
    {"2 hours ahead": 7_200, "2 hours back": -7_200, "2 days ahead": 172_800},
    -604_800,
    604_800,
)


def _unplug(end: End) -> Callable[[Target, float], Undo]:
    def begin(target: Target, _: float) -> Undo:
        target.sandbox.unplug(end)
        return lambda: target.sandbox.plug(end)

    return begin


def _jumpcloud_fault(
    *faults: Fault, endpoint: str | None = None
) -> Callable[[Target, float], Undo]:
    def begin(target: Target, _: float) -> Undo:
        of_end = target.sandbox.jumpcloud.faults
        share = 1 / len(faults)
        rules = [of_end.add(fault, endpoint=endpoint, probability=share) for fault in faults]

        def undo() -> str:
            for rule in rules:
                of_end.remove(rule)
            return f"That befell {sum(rule.fired for rule in rules):,} of JumpCloud's answers."

        return undo

    return begin


def _refuse_api_key(target: Target, _: float) -> Undo:
    jumpcloud = target.sandbox.jumpcloud
    refused = {jumpcloud.api_key, *jumpcloud.keys} - jumpcloud.refused_keys
    jumpcloud.refused_keys |= refused
    jumpcloud.tokens.revoke()

    def undo() -> None:
        jumpcloud.refused_keys -= refused

    return undo


def _refuse_intake_key(target: Target, _: float) -> Undo:
    intake = target.sandbox.intake
    refused = {intake.intake_key, *intake.keys} - intake.refused_keys
    intake.refused_keys |= refused

    def undo() -> None:
        intake.refused_keys -= refused

    return undo


def _publish_late(target: Target, age_seconds: float) -> None:
    now = now_ms()
    start_ms = now - int(age_seconds * 1000)
    events = generate(_LATE_EVENTS, start_ms, max(now, start_ms + 1), seed=now, weights=_DEVICES)
    target.publish(
        make_event(e.time_ms, text=e.text, id=e.id, service=e.service, visible_ms=now)
        for e in events
    )


def _publish_burst(target: Target, count: float) -> None:
    now = now_ms()
    target.publish(make_event(now) for _ in range(int(count)))


def _publish_ahead(target: Target, ahead_seconds: float) -> None:
    now = now_ms()
    time_ms = now + int(ahead_seconds * 1000)
    target.publish(make_event(time_ms + number, visible_ms=now) for number in range(_FUTURE_EVENTS))


def _publish_poison(target: Target, _: float) -> None:
    event = make_event(now_ms(), organization=target.live[0] if target.live else "")
    marker = event.label.encode()
    target.sandbox.intake.faults.add(
        RefuseEvent(event.label), when=lambda request: marker in request.payload
    )
    target.excused.append(event)
    others = [make_event(now_ms(), organization=event.organization) for _ in range(9)]
    target.sandbox.jumpcloud.publish([event, *others])


def _fill_disk(target: Target, _: float) -> Undo:
    pid = target.process.pid
    soft, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, hard))

    def undo() -> None:
        if target.process.running and target.process.pid == pid:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))

    return undo


def _set_clock(target: Target, off_seconds: float) -> Undo:
    process = target.process
    if process.clock is None:
        _end(target, process.stop)
        process.clock = FakeClock()
        _again(target)
    clock = process.clock
    clock.step(off_seconds)
    return clock.right


def _kill(target: Target, _: float) -> Undo:
    target.kills += 1
    _end(target, target.process.kill)
    return lambda: _again(target)


def _stop(target: Target, _: float) -> Undo:
    _end(target, target.process.stop)
    return lambda: _again(target)


def _end(target: Target, end: Callable[[], object]) -> None:
    target.is_away = True
    with suppress(TimeoutError):  # it did not obey, and was killed
        end()


def _again(target: Target) -> None:
    target.process.start()
    target.is_away = False


def _no_process(target: Target) -> str:
    if target.connector is None:
        return NOT_OURS
    return "" if target.connector.running else "The connector's process is not running just now."


def _no_clock(target: Target) -> str:
    return _no_process(target) or (MISSING if LIBRARY is None else "")


_DEVICES = {"systems": 3.0, "software": 1.0, "mdm": 1.0}

HARMS: tuple[Harm, ...] = (
    Harm(
        "jumpcloud-outage",
        "JumpCloud down",
        "JumpCloud",
        "JumpCloud refuses every connection.",
        "The connector should try again ever more slowly, and fetch what it missed.",
        _SECONDS,
        _unplug("jumpcloud"),
    ),
    Harm(
        "rate-limit",
        "Too many requests",
        "JumpCloud",
        "JumpCloud answers 429 and asks for two seconds of patience.",
        "The connector should wait that long, and then ask one question at a time.",
        _SECONDS,
        _jumpcloud_fault(Status(429, retry_after_seconds=2)),
    ),
    Harm(
        "slow-pages",
        "Slow pages",
        "JumpCloud",
        "Each answer of JumpCloud takes two seconds more.",
        "The connector should wait for them, and lose none.",
        _SECONDS,
        _jumpcloud_fault(SlowPages(latency_ms=2_000, per_event_ms=0.2)),
    ),
    Harm(
        "broken-bodies",
        "Broken pages",
        "JumpCloud",
        "Most pages end in their middle, are no JSON, or are somebody's sign-in page.",
        "The connector should use nothing of such a page, and ask for it again.",
        _SECONDS,
        _jumpcloud_fault(
            BrokenJson(), TruncatedBody(), HtmlPage(), BrokenJson(), endpoint="events"
        ),
    ),
    Harm(
        "refused-key",
        "JumpCloud's key refused",
        "JumpCloud",
        "JumpCloud answers 401 to the key, as after it expired.",
        "The connector should say so once, and go on by itself as soon as the key is accepted.",
        _SECONDS,
        _refuse_api_key,
    ),
    Harm(
        "late-events",
        "Late events",
        "events",
        f"{_LATE_EVENTS} events of devices, from so long ago until now, are published only now.",
        "The connector should find each of them by comparing JumpCloud's counts with its own.",
        _LATE,
        _publish_late,
        lasts_seconds=0,
    ),
    Harm(
        "burst",
        "Burst",
        "events",
        "So many events happen within the same millisecond.",
        "The connector should read past that millisecond without leaving out or repeating one.",
        _BURST,
        _publish_burst,
        lasts_seconds=0,
    ),
    Harm(
        "future-events",
        "Events from the future",
        "events",
        f"{_FUTURE_EVENTS} events carry a time that is still to come.",
        "The connector should deliver them now, and miss none that happen before then.",
        _AHEAD,
        _publish_ahead,
        lasts_seconds=0,
    ),
    Harm(
        "poison-event",
        "Poison event",
        "events",
        "One event among ten is one that the intake refuses, with its whole batch.",
        "The connector should find that one, set it aside, and deliver the others.",
        _ONE,
        _publish_poison,
        lasts_seconds=0,
        sets_aside=True,
    ),
    Harm(
        "intake-outage",
        "Intake down",
        "intake",
        "The intake refuses every connection.",
        "The connector should hold what it has read, without reading more than fits in its memory.",
        _SECONDS,
        _unplug("intake"),
    ),
    Harm(
        "refused-intake-key",
        "Intake's key refused",
        "intake",
        "The intake answers 401 to the key.",
        "The connector should hold all events, and go on by itself as soon as the key is accepted.",
        _SECONDS,
        _refuse_intake_key,
    ),
    Harm(
        "full-disk",
        "Full disk",
        "connector",
        "No file of the connector can grow (its process's limit for that is set to nothing).",
        "The connector should wait for room, and forget nothing of what was delivered.",
        _SECONDS,
        _fill_disk,
        missing=_no_process,
    ),
    Harm(
        "clock-jump",
        "Clock jumps",
        "connector",
        "The machine's clock jumps for ten seconds. (The first time, the process is started"
        " anew under libfaketime: a clock cannot be changed from outside.)",
        "The connector should notice nothing: it goes by JumpCloud's time.",
        _OFF,
        _set_clock,
        lasts_seconds=_SECONDS_WRONG,
        missing=_no_clock,
    ),
    Harm(
        "kill",
        "kill -9",
        "connector",
        "The process is killed where it stands, and started again after a while.",
        "The connector should go on from its state. Only what was in flight may arrive twice.",
        _AWAY,
        _kill,
        missing=_no_process,
    ),
    Harm(
        "stop",
        "Stop and start",
        "connector",
        "The process is asked to end (SIGTERM), and started again after a while.",
        "The connector should end within five seconds, and go on from its state without a repeat.",
        _AWAY,
        _stop,
        missing=_no_process,
    ),
)

BY_NAME: Mapping[str, Harm] = {harm.name: harm for harm in (*HARMS, *HARMS_TO_ONE)}


def offered(target: Target) -> tuple[Harm, ...]:
    """Return what makes sense for a target: harm to one organization, where there are several."""
    return (*HARMS, *HARMS_TO_ONE) if target.organizations else HARMS
