"""Harm to one organization among several, of which no other should notice anything.

Knows the sandbox and the process; knows nothing of how a connector copes.
"""

from __future__ import annotations

import time
from dataclasses import replace

from sandbox.events import generate
from sandbox.faults import Hang, Status
from sandbox.instants import now_ms
from sandbox.organizations import Organization, many
from sandbox.self_hosted import ManyConnectorProcess
from sandbox.target import NOT_OURS, SINGLE, Amount, Harm, Target, Undo

HANG_SECONDS = 12.0
EVENTS_OF_A_NEW_ONE = 40
_HOUR_MS = 3_600_000
_SECONDS_TO_FALL_SILENT = 0.5
_SECONDS = Amount("seconds", {"10 s": 10, "3 s": 3, "30 s": 30, "2 min": 120}, 1, 600)
_NEW = Amount("organizations", {"2 more": 2, "20 more": 20}, 1, 100)


def _refuse_one_api_key(target: Target, _: float) -> Undo:
    jumpcloud = target.sandbox.jumpcloud
    one = target.untouched(with_api_key=True)
    target.touch(one, "its API key was refused")
    if not one.api_key:
        rule = jumpcloud.faults.add(Status(401, message="Unauthorized"), organization=one.id)
        return lambda: jumpcloud.faults.remove(rule)
    jumpcloud.refused_keys.add(one.api_key)
    return lambda: jumpcloud.refused_keys.discard(one.api_key)


def _let_one_hang(target: Target, _: float) -> Undo:
    faults = target.sandbox.jumpcloud.faults
    one = target.touch(target.untouched(), "JumpCloud hung")
    rule = faults.add(Hang(HANG_SECONDS), organization=one.id)
    return lambda: faults.remove(rule)


def _refuse_one_intake_key(target: Target, _: float) -> Undo:
    intake = target.sandbox.intake
    one = target.touch(target.untouched(), "its intake key was refused")
    intake.refused_keys.add(one.intake_key)
    return lambda: intake.refused_keys.discard(one.intake_key)


def _change_list(target: Target, count: float) -> None:
    """Let some come, one leave, and one get another intake key."""
    process, sandbox = target.process, target.sandbox
    if not isinstance(process, ManyConnectorProcess):
        raise TypeError(SINGLE)
    known = len(sandbox.jumpcloud.organizations)
    come = many(int(count), first=known + 1)
    leaves = target.touch(target.untouched(), "left the list")
    changes = target.touch(target.untouched(), "got another intake key")
    changed = replace(changes, intake_key=f"{changes.intake_key}-new")
    _let_leave(target, leaves)
    for one in (*come, changed):
        sandbox.add(one)
    sandbox.intake.refused_keys.add(changes.intake_key)
    for one in come:
        target.touch(one, "came to the list")
        _give_events(target, one)
    target.organizations[:] = [
        *(changed if one is changes else one for one in target.organizations if one is not leaves),
        *come,
    ]
    target.live += [one.id for one in come]
    process.rewrite(target.organizations)
    process.hang_up()


def _let_leave(target: Target, one: Organization) -> None:
    """Let no event come to an organization any more; none is due that was not collected yet."""
    sandbox = target.sandbox
    target.live.remove(one.id)
    time.sleep(_SECONDS_TO_FALL_SILENT)  # until whoever publishes has noticed
    accepted = set(sandbox.intake.digests)
    target.excused += [
        event
        for event in sandbox.jumpcloud.published
        if event.organization == one.id and event.digest() not in accepted
    ]


def _give_events(target: Target, one: Organization) -> None:
    now = now_ms()
    events = generate(EVENTS_OF_A_NEW_ONE, now - _HOUR_MS, now, seed=now + int(one.id, 16))
    target.sandbox.jumpcloud.publish(replace(event, organization=one.id) for event in events)


def _none_of_several(target: Target) -> str:
    return "" if target.organizations else SINGLE


def _no_list(target: Target) -> str:
    if reason := _none_of_several(target):
        return reason
    if target.connector is None:
        return NOT_OURS
    return "" if target.connector.running else "The connector's process is not running just now."


HARMS_TO_ONE: tuple[Harm, ...] = (
    Harm(
        "one-expired-key",
        "One organization's key refused",
        "JumpCloud",
        "JumpCloud answers 401 about one organization, as after its key expired.",
        "The connector should say so of that one, and let no other wait.",
        _SECONDS,
        _refuse_one_api_key,
        missing=_none_of_several,
        is_to_one=True,
    ),
    Harm(
        "one-hangs",
        "One organization hangs",
        "JumpCloud",
        f"JumpCloud answers about one organization {HANG_SECONDS:.0f} seconds late.",
        "The connector should wait for that one beside the others, and let none of them wait.",
        _SECONDS,
        _let_one_hang,
        missing=_none_of_several,
        is_to_one=True,
    ),
    Harm(
        "one-refused-intake-key",
        "One intake key refused",
        "intake",
        "The intake answers 401 to the key of one organization.",
        "The connector should hold the events of that one, and let no other wait.",
        _SECONDS,
        _refuse_one_intake_key,
        missing=_none_of_several,
        is_to_one=True,
    ),
    Harm(
        "list-change",
        "The list changes",
        "connector",
        "The list gets more organizations, loses one, and has another intake key for one.",
        "The connector should begin, end and change these, without a restart, and touch no other.",
        _NEW,
        _change_list,
        lasts_seconds=0,
        missing=_no_list,
        is_to_one=True,
    ),
)
