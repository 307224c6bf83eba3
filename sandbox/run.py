"""Run the real connector and show what it does: by default against the sandbox alone.

With JUMPCLOUD_API_KEY it reads the real JumpCloud, with SEKOIA_INTAKE_KEY too it pushes to the
real intake. A scenario always runs against the sandbox.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sandbox.api import PREFIX
from sandbox.connector import ROOT, ConnectorProcess, Settings
from sandbox.display import Display, Figures
from sandbox.events import Event, generate
from sandbox.faults import name_of
from sandbox.guard import guarded
from sandbox.http import RequestLog, Server
from sandbox.incidents import Incident
from sandbox.instants import now_ms
from sandbox.live import Live
from sandbox.observer import Sample
from sandbox.real import run_end_to_end, run_with_real_jumpcloud
from sandbox.report import Report
from sandbox.scenarios import EVERYDAY, Scenario
from sandbox.scene import Scene
from sandbox.server import Sandbox

REPORTS = ROOT / "data/reports"
_SETTLE_SECONDS = 120.0
_AUDIT_SECONDS = 5
_MARGIN_MS = 300_000  # the connector starts a little later than the events were made
_STEP_SECONDS = 0.5
_CALM_SECONDS = 3.0  # before harm, so that a report shows what it was like without
_ON_THEIR_WAY_MS = 3_000
_INTERRUPTED = 130
_FOREVER_MS = 1 << 62
STATUSES = (
    "Exit status: 0 where the verdict is clean, 1 where it is not or the connector failed, 2 for"
    " arguments that are not possible, 130 where a second Ctrl-C ended it before all had arrived."
    " Events that came twice since it was killed on purpose do not count."
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run.

    `live_seconds` None: as long as is usual for the kind of run. A report of a scenario that was
    asked for by name is written to `reports`.
    """

    scenario: Scenario = EVERYDAY
    live_seconds: float | None = None
    seed: int = 1
    reports: Path = REPORTS

    @property
    def is_everyday(self) -> bool:
        """Tell whether no scenario was asked for."""
        return self.scenario.name == EVERYDAY.name


def run(plan: Plan) -> int:
    """Run what the plan and the environment's keys ask for; return the exit status."""
    display = Display(sys.stdout)
    try:
        return _run(plan, display)
    except KeyboardInterrupt:
        display.say("Interrupted.")
        return _INTERRUPTED


def _run(plan: Plan, display: Display) -> int:
    keys = [name for name in ("JUMPCLOUD_API_KEY", "SEKOIA_INTAKE_KEY") if os.environ.get(name)]
    if not plan.is_everyday or "JUMPCLOUD_API_KEY" not in keys:
        why = "without JUMPCLOUD_API_KEY" if plan.is_everyday else "by a scenario"
        for name in keys:
            display.say(f"{name} is not used {why}.")
        return run_emulated(plan, display)
    if "SEKOIA_INTAKE_KEY" in keys:
        return run_end_to_end(plan.live_seconds, display)
    return run_with_real_jumpcloud(plan.live_seconds, display)


def run_emulated(plan: Plan, display: Display) -> int:
    """Run a scenario through the connector, and judge."""
    scenario = plan.scenario
    with Sandbox(_history(scenario, plan.seed), keep_texts=False) as sandbox:
        if scenario.fault_rate:
            sandbox.chaos(plan.seed, rate=scenario.fault_rate)
        settings = Settings(history_hours=scenario.history_hours, audit_frequency=_AUDIT_SECONDS)
        with ConnectorProcess(sandbox.addresses, settings) as connector:
            with Scene(sandbox, connector) as scene:
                door = Server("api", guarded(scene.api.answer), RequestLog(), sandbox.errors)
                door.start()
                display.say(_opening(scenario, sandbox, door.url))
                is_complete = _Watch(plan, display, scene).until_the_end()
                door.stop()
            status = _end(connector)
        return _close(plan, display, scene, connector, status, is_complete=is_complete)


def _history(scenario: Scenario, seed: int) -> list[Event]:
    now = now_ms()
    start_ms = now - scenario.events_hours * 3_600_000 + _MARGIN_MS
    return generate(scenario.events, start_ms, now, seed, surrogate_share=0.0005)


class _Watch:
    """Shows a run while it goes on, and takes its steps."""

    def __init__(self, plan: Plan, display: Display, scene: Scene) -> None:
        self._scenario, self._seed = plan.scenario, plan.seed
        self._live_seconds = plan.live_seconds
        self._display, self._scene = display, scene
        self._begun = self._told = 0

    def until_the_end(self) -> bool:
        """Watch while events come, until all are accepted, and for one audit more.

        Ctrl-C ends the coming of events, a second one the waiting; return whether there was none
        such.
        """
        audit_seconds = _AUDIT_SECONDS + 1.0
        scenario, jumpcloud = self._scenario, self._scene.sandbox.jumpcloud
        per_second, late_share = scenario.per_second, scenario.late_share
        try:
            with Live(jumpcloud, per_second=per_second, late_share=late_share, seed=self._seed):
                self._take_steps()
        except KeyboardInterrupt:
            audit_seconds = 0.0
            self._display.say(
                "No more events come. The verdict follows when those that are late have arrived;"
                " Ctrl-C again does not wait for them."
            )
        try:
            self._until(_SETTLE_SECONDS, self._is_settled)
            self._until(audit_seconds, lambda: False)
        except KeyboardInterrupt:
            return False
        return True

    def _take_steps(self) -> None:
        for step in self._scenario.steps:
            self._until(_SETTLE_SECONDS, self._is_caught_up)
            self._until(_CALM_SECONDS, lambda: False)
            if not self._scene.goes_on:
                return
            incident = self._scene.incidents.begin(step.harm, step.amount)
            self._until(step.amount + 2 * _SETTLE_SECONDS, incident.settled.is_set)
        usual = self._scenario.live_seconds
        self._until(usual if self._live_seconds is None else self._live_seconds, lambda: False)

    def _until(self, seconds: float, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + seconds
        while self._scene.goes_on and time.monotonic() < deadline and not done():
            self._display.show(_figures(self._scene.observer.latest))
            time.sleep(_STEP_SECONDS)
            self._tell_of_harm()

    def _tell_of_harm(self) -> None:
        for incident in self._scene.incidents.all:
            if incident.number > self._begun:
                self._begun = incident.number
                self._display.say(_beginning(incident))
            if incident.number == self._told + 1 and incident.settled.is_set():
                self._told = incident.number
                title = incident.harm.title
                self._display.say("\n".join([f"{title}: {incident.state}.", *_told(incident)]))

    def _is_caught_up(self) -> bool:
        return not self._scene.observer.so_far.is_owed(now_ms() - _ON_THEIR_WAY_MS)

    def _is_settled(self) -> bool:
        scene = self._scene
        return scene.incidents.are_settled and not scene.observer.so_far.is_owed(_FOREVER_MS)


def _beginning(incident: Incident) -> str:
    harm = incident.harm
    return f"{harm.title}, {harm.amount.name_of(incident.amount)}. {harm.does} {harm.should}"


def _told(incident: Incident) -> list[str]:
    return [f"  {sentence}" for sentence in incident.told]


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


def _opening(scenario: Scenario, sandbox: Sandbox, url: str) -> str:
    some = f"{scenario.fault_rate:.0%} of all requests fail, one way or another."
    return "\n".join(
        [
            f"JumpCloud ({sandbox.jumpcloud.url}) and Sekoia ({sandbox.intake.url}) are emulated.",
            f"{scenario.title}. {scenario.story}",
            f"{scenario.events:,} events wait, {scenario.per_second:g} more come every second."
            + f" {some}" * bool(scenario.fault_rate),
            f"Do harm: curl -X POST {url}{PREFIX}harms/kill; {url}{PREFIX}harms lists it.",
        ]
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


def _close(
    plan: Plan,
    display: Display,
    scene: Scene,
    connector: ConnectorProcess,
    status: int | None,
    *,
    is_complete: bool,
) -> int:
    verdict = scene.verdict()
    usage = connector.usage()
    display.say("")
    fired = _fired(scene.sandbox) if plan.scenario.fault_rate else ""
    display.say(fired + verdict.table())
    ended = "had to be killed" if status is None else f"ended with status {status}"
    display.say(
        f"The connector {ended}; {usage.cpu_seconds:.1f} s of processor time, "
        f"{usage.peak_rss_bytes / 1e6:.0f} MB at most."
    )
    if not verdict.clean and scene.is_as_promised(verdict):
        display.say("What came twice was in flight when it was killed; no more is promised then.")
    is_good = status == 0 and scene.is_as_promised(verdict)
    if not plan.is_everyday:
        report = Report(
            scenario=plan.scenario,
            verdict=verdict,
            kills=scene.target.kills,
            samples=scene.observer.samples,
            incidents=scene.incidents.all,
            lines=scene.observer.lines_after(0),
            is_good=is_good,
            cpu_seconds=usage.cpu_seconds,
            peak_rss_bytes=usage.peak_rss_bytes,
        )
        display.say(f"Report: {report.write(plan.reports)}")
    if is_good:
        return 0
    if not is_complete and status == 0:
        display.say("It was ended before all had arrived: what is missing may only be late.")
        return _INTERRUPTED
    display.say("The connector's last words:\n" + "\n".join(connector.output.splitlines()[-25:]))
    return 1
