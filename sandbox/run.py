"""Run the real connector and show what it does: by default against the sandbox alone.

With JUMPCLOUD_API_KEY it reads the real JumpCloud, with SEKOIA_INTAKE_KEY too it pushes to the
real intake.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from sandbox.api import PREFIX
from sandbox.connector import ConnectorProcess, Settings
from sandbox.display import Display, Figures
from sandbox.events import generate
from sandbox.faults import name_of
from sandbox.guard import guarded
from sandbox.http import RequestLog, Server
from sandbox.instants import now_ms
from sandbox.live import Live
from sandbox.observer import Sample
from sandbox.real import run_end_to_end, run_with_real_jumpcloud
from sandbox.scene import Scene
from sandbox.server import Sandbox
from sandbox.verdict import Verdict

_LIVE_SECONDS = 25.0
_SETTLE_SECONDS = 120.0
_EVENTS_HOURS = 24
_HISTORY_HOURS = 168  # so that harm may publish events that are days late
_AUDIT_SECONDS = 5
_MARGIN_MS = 300_000  # the connector starts a little later than the events were made
_STEP_SECONDS = 0.5
_FAULT_RATE = 0.2
_INTERRUPTED = 130
_FOREVER_MS = 1 << 62
STATUSES = (
    "Exit status: 0 where the verdict is clean, 1 where it is not or the connector failed, 2 for"
    " arguments that are not possible, 130 where a second Ctrl-C ended it before all had arrived."
    " Events that came twice since it was killed on purpose do not count."
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run. `live_seconds` None: as long as is usual for the kind of run."""

    live_seconds: float | None
    events: int
    with_faults: bool
    seed: int


def run(plan: Plan) -> int:
    """Run what the plan and the environment's keys ask for; return the exit status."""
    display = Display(sys.stdout)
    try:
        return _run(plan, display)
    except KeyboardInterrupt:
        display.say("Interrupted.")
        return _INTERRUPTED


def _run(plan: Plan, display: Display) -> int:
    if not os.environ.get("JUMPCLOUD_API_KEY"):
        if os.environ.get("SEKOIA_INTAKE_KEY"):
            display.say("SEKOIA_INTAKE_KEY is not used without JUMPCLOUD_API_KEY.")
        return run_emulated(plan, display)
    if os.environ.get("SEKOIA_INTAKE_KEY"):
        return run_end_to_end(plan.live_seconds, display)
    return run_with_real_jumpcloud(plan.live_seconds, display)


def run_emulated(plan: Plan, display: Display) -> int:
    """Run a day of history and a stretch of live events through the connector, and judge."""
    now = now_ms()
    start_ms = now - _EVENTS_HOURS * 3_600_000 + _MARGIN_MS
    history = generate(plan.events, start_ms, now, plan.seed, surrogate_share=0.0005)
    with Sandbox(history, keep_texts=False) as sandbox:
        if plan.with_faults:
            sandbox.chaos(plan.seed, rate=_FAULT_RATE)
        settings = Settings(history_hours=_HISTORY_HOURS, audit_frequency=_AUDIT_SECONDS)
        with ConnectorProcess(sandbox.addresses, settings) as connector:
            with Scene(sandbox, connector) as scene:
                door = Server("api", guarded(scene.api.answer), RequestLog(), sandbox.errors)
                door.start()
                display.say(_opening(plan, sandbox, door.url))
                is_complete = _watch(plan, display, scene)
                door.stop()
            status = _end(connector)
        return _close(
            display, scene, connector, status, with_faults=plan.with_faults, is_complete=is_complete
        )


def _watch(plan: Plan, display: Display, scene: Scene) -> bool:
    """Show progress while events come, until all are accepted, and for one audit more.

    Ctrl-C ends the coming of events, a second one the waiting; return whether there was none such.
    """

    def until(seconds: float, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + seconds
        while scene.goes_on and time.monotonic() < deadline and not done():
            display.show(_figures(scene.observer.latest))
            time.sleep(_STEP_SECONDS)

    live_seconds = _LIVE_SECONDS if plan.live_seconds is None else plan.live_seconds
    audit_seconds = _AUDIT_SECONDS + 1.0
    try:
        with Live(scene.sandbox.jumpcloud, seed=plan.seed):
            until(live_seconds, lambda: False)
    except KeyboardInterrupt:
        audit_seconds = 0.0
        display.say(
            "No more events come. The verdict follows when those that are late have arrived;"
            " Ctrl-C again does not wait for them."
        )
    try:
        until(_SETTLE_SECONDS, lambda: _is_settled(scene))
        until(audit_seconds, lambda: False)
    except KeyboardInterrupt:
        return False
    return True


def _is_settled(scene: Scene) -> bool:
    return scene.incidents.are_settled and not scene.observer.so_far.is_owed(_FOREVER_MS)


def _end(connector: ConnectorProcess) -> int | None:
    """Stop the connector; return its exit status, None where it had to be killed."""
    if not connector.running:
        return connector.wait()
    try:
        return connector.stop()
    except TimeoutError:
        return None


def _figures(sample: Sample) -> Figures:
    requests = {end: sum(counts.values()) for end, counts in sample.statuses.items()}
    return Figures(
        elapsed_seconds=sample.elapsed_seconds,
        produced=sample.so_far.produced,
        accepted=sample.so_far.accepted,
        jumpcloud_requests=requests["jumpcloud"],
        intake_requests=requests["intake"],
        lag_seconds=sample.lag_seconds,
    )


def _opening(plan: Plan, sandbox: Sandbox, url: str) -> str:
    faults = " One request in five fails, one way or another." if plan.with_faults else ""
    return (
        f"JumpCloud ({sandbox.jumpcloud.url}) and Sekoia ({sandbox.intake.url}) are emulated.\n"
        f"{plan.events:,} events of the last day wait; a few more come every second, "
        f"some of them late.{faults}\n"
        f"Do harm: curl -X POST {url}{PREFIX}harms/kill; {url}{PREFIX}harms lists it."
    )


def _fired(sandbox: Sandbox) -> str:
    """List which fault happened how often."""
    ends = (sandbox.jumpcloud, sandbox.intake, sandbox.platform)
    rules = [(end.name, rule) for end in ends for rule in end.faults.rules]
    rows = [
        f"{rule.fired:>6}  {name:<10} {name_of(rule.fault)}" for name, rule in rules if rule.fired
    ]
    fired = sum(rule.fired for _, rule in rules)
    heading = f"{fired:>6}  faults; {len(rules) - len(rows)} of {len(rules)} kinds did not happen"
    return "\n".join([heading, *rows, "", ""])


def _harm_done(scene: Scene) -> str:
    """Tell what was done, and what the connector did about it; nothing where none was done."""
    lines: list[str] = []
    for incident in scene.incidents.all:
        lines.append(f"{incident.harm.title}. {incident.harm.does}")
        lines += [f"  {told}" for told in incident.told]
    return "\n".join([*lines, "", ""]) if lines else ""


def _close(
    display: Display,
    scene: Scene,
    connector: ConnectorProcess,
    status: int | None,
    *,
    with_faults: bool,
    is_complete: bool,
) -> int:
    verdict = scene.verdict()
    usage = connector.usage()
    display.say("")
    display.say(
        _harm_done(scene) + (_fired(scene.sandbox) if with_faults else "") + verdict.table()
    )
    ended = "had to be killed" if status is None else f"ended with status {status}"
    display.say(
        f"The connector {ended}; {usage.cpu_seconds:.1f} s of processor time, "
        f"{usage.peak_rss_bytes / 1e6:.0f} MB at most."
    )
    if _is_as_promised(verdict, scene, display) and status == 0:
        return 0
    if not is_complete and status == 0:
        display.say("It was ended before all had arrived: what is missing may only be late.")
        return _INTERRUPTED
    display.say("The connector's last words:\n" + "\n".join(connector.output.splitlines()[-25:]))
    return 1


def _is_as_promised(verdict: Verdict, scene: Scene, display: Display) -> bool:
    if verdict.clean or not (scene.target.kills and verdict.is_but_repeated):
        return verdict.clean
    display.say("What came twice was in flight when it was killed; no more is promised then.")
    return True
