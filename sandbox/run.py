"""Run the real connector and show what it does: by default against the sandbox alone.

With JUMPCLOUD_API_KEY it reads the real JumpCloud, with SEKOIA_INTAKE_KEY too it pushes to the
real intake. A scenario always runs against the sandbox.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sandbox.connector import ROOT, ConnectorProcess, Settings
from sandbox.display import Display, Figures, OrganizationFigures
from sandbox.events import Event, dealt, generate
from sandbox.faults import name_of
from sandbox.incidents import Incident, sentence
from sandbox.instants import now_ms
from sandbox.live import Live
from sandbox.observer import Sample
from sandbox.organizations import Organization, many
from sandbox.page.server import Page
from sandbox.ranking import rows_of, table
from sandbox.real import run_end_to_end, run_with_real_jumpcloud
from sandbox.report import Report
from sandbox.scenarios import EVERYDAY, Scenario
from sandbox.scene import Scene
from sandbox.self_hosted import ManyConnectorProcess
from sandbox.server import Sandbox, SandboxError
from sandbox.standings import Standing

REPORTS = ROOT / "data/reports"
_SETTLE_SECONDS = 120.0
_AUDIT_SECONDS = 5
_MARGIN_MS = 300_000  # the connector starts a little later than the events were made
_STEP_SECONDS = 0.5
_CALM_SECONDS = 3.0  # before harm, so that a report shows what it was like without
_ON_THEIR_WAY_SECONDS = 3.0
_POLLS_PER_SECOND = 40.0  # of many organizations together
_REQUESTS_PER_SECOND = 100
_OWN_KEY_EVERY = 10
_INTERRUPTED = 130
_FOREVER_MS = 1 << 62
_ALL_THAT_MAY_REPEAT = "What came twice was in flight when it was killed; no more is promised then."
_NO_MORE_COME = (
    "No more events come. The verdict follows when those that are late have arrived;"
    " Ctrl-C again does not wait for them."
)
STATUSES = (
    "Exit status: 0 where the verdict is clean, 1 where it is not or the connector failed, 2 for"
    " arguments that are not possible, 130 where a second Ctrl-C ended it before all had arrived."
    " Events that came twice since it was killed on purpose do not count."
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run.

    `live_seconds` None: as long as is usual for the kind of run. A report of a scenario that was
    asked for by name is written to `reports`. The page listens on `page_port` (0: any), and with
    `stay` until somebody ends it.
    """

    scenario: Scenario = EVERYDAY
    live_seconds: float | None = None
    seed: int = 1
    reports: Path = REPORTS
    with_page: bool = True
    page_port: int = 0
    stay: bool = False

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
    finally:
        display.leave()


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
    """Run a scenario through the connector, and judge; then those that the page asks for."""
    if not plan.with_page:
        return _Run(plan, display).status()
    errors: list[str] = []
    page = Page(errors, plan.page_port)
    page.start()
    display.say(f"Watch it, and do harm: {page.url}/")
    try:
        status = _run_by_page(plan, display, page)
    finally:
        page.stop()
    if errors:
        raise SandboxError("\n".join(errors))
    return status


def _run_by_page(plan: Plan, display: Display, page: Page) -> int:
    page.wishes.stay = plan.stay
    while True:
        run = _Run(plan, display, page)
        status = run.status()
        if run.is_interrupted or not _is_another_wanted(page, display):
            return status
        wanted = page.wishes.scenario or plan.scenario
        plan = replace(plan, scenario=wanted, live_seconds=None)


def _is_another_wanted(page: Page, display: Display) -> bool:
    """Tell whether another scenario is; where the page stays, when one is or nobody waits."""
    if page.wishes.stay and page.wishes.scenario is None:
        display.say(f"The page stays at {page.url}/ until Ctrl-C, for other scenarios.")
    try:
        while page.wishes.stay and page.wishes.scenario is None:
            time.sleep(_STEP_SECONDS)
    except KeyboardInterrupt:
        return False
    return page.wishes.scenario is not None


def _history(scenario: Scenario, seed: int) -> list[Event]:
    now = now_ms()
    start_ms = now - scenario.events_hours * 3_600_000 + _MARGIN_MS
    return generate(scenario.events, start_ms, now, seed, surrogate_share=0.0005)


def _settings(scenario: Scenario) -> Settings:
    """Return how often is polled: every second, of very many organizations less often."""
    every = max(1, math.ceil(scenario.organizations / _POLLS_PER_SECOND))
    audit_every = max(_AUDIT_SECONDS, 2 * every) if scenario.organizations else _AUDIT_SECONDS
    return Settings(
        frequency=every, history_hours=scenario.history_hours, audit_frequency=audit_every
    )


def _connector(
    sandbox: Sandbox, organizations: Sequence[Organization], settings: Settings
) -> ConnectorProcess:
    if not organizations:
        return ConnectorProcess(sandbox.addresses, settings)
    return ManyConnectorProcess(
        sandbox.addresses,
        organizations,
        settings,
        environment={"MAX_REQUESTS_PER_SECOND": str(_REQUESTS_PER_SECOND)},
    )


class _Run:
    """One run: shown while it goes on, its steps taken, its verdict told."""

    def __init__(self, plan: Plan, display: Display, page: Page | None = None) -> None:
        self._plan, self._display, self._page = plan, display, page
        self._settings = _settings(plan.scenario)
        self._begun = self._told = 0
        self.is_interrupted = False

    def status(self) -> int:
        """Run it, and return the exit status."""
        scenario = self._plan.scenario
        organizations = many(scenario.organizations, own_key_every=_OWN_KEY_EVERY)
        history = _history(scenario, self._plan.seed)
        if organizations:
            history = dealt(history, [one.id for one in organizations])
        with Sandbox(history, organizations=organizations, keep_texts=False) as sandbox:
            if scenario.fault_rate:
                sandbox.chaos(self._plan.seed, rate=scenario.fault_rate)
            with _connector(sandbox, organizations, self._settings) as connector:
                with Scene(sandbox, connector, organizations) as scene:
                    if self._page is not None:
                        self._page.show(scene, scenario)
                    self._display.say(_opening(scenario, sandbox))
                    is_complete = self._watch(scene)
                status = _end(connector)
            return self._close(scene, connector, status, is_complete=is_complete)

    def _watch(self, scene: Scene) -> bool:
        """Watch while events come, until all are accepted, and for one audit more.

        Ctrl-C ends the coming of events, a second one the waiting; return whether there was none
        such.
        """
        audit_seconds = self._settings.audit_frequency + 1.0
        scenario, jumpcloud = self._plan.scenario, scene.sandbox.jumpcloud
        per_second, late_share = scenario.per_second, scenario.late_share
        seed = self._plan.seed
        try:
            with Live(
                jumpcloud,
                per_second=per_second,
                late_share=late_share,
                seed=seed,
                organizations=scene.target.live,
            ):
                self._take_steps(scene)
                self._stay_live(scene)
        except KeyboardInterrupt:
            audit_seconds, self.is_interrupted = 0.0, True
        try:
            if self.is_interrupted:
                self._display.say(_NO_MORE_COME)
            scene.incidents.end_all()
            self._until(scene, _SETTLE_SECONDS, lambda: _is_settled(scene))
            self._until(scene, audit_seconds, lambda: False)
        except KeyboardInterrupt:
            return False
        return True

    def _take_steps(self, scene: Scene) -> None:
        for step in self._plan.scenario.steps:
            self._live(scene, _SETTLE_SECONDS, lambda: self._is_caught_up(scene))
            self._live(scene, _CALM_SECONDS, lambda: False)
            if not scene.goes_on or self._is_another_wanted:
                return
            incident = scene.incidents.begin(step.harm, step.amount)
            self._live(scene, step.amount + 2 * _SETTLE_SECONDS, incident.settled.is_set)

    def _is_caught_up(self, scene: Scene) -> bool:
        settings, seconds = self._settings, _ON_THEIR_WAY_SECONDS
        if scene.target.organizations:
            seconds += settings.frequency + settings.audit_frequency
        return not scene.observer.so_far.is_owed(now_ms() - int(seconds * 1000))

    def _stay_live(self, scene: Scene) -> None:
        """Let events come for as long as planned, while harm is done, and while somebody stays."""
        usual, asked = self._plan.scenario.live_seconds, self._plan.live_seconds
        ends_at = time.monotonic() + (usual if asked is None else asked)
        if self._page is not None:
            self._page.ends_at = ends_at

        def is_over() -> bool:
            is_time = time.monotonic() >= ends_at and scene.incidents.are_settled
            return is_time and not self._stays

        self._live(scene, math.inf, is_over)

    @property
    def _stays(self) -> bool:
        """Tell whether events keep coming for somebody who looks; a scenario has its end."""
        return self._page is not None and self._page.wishes.stay and self._plan.is_everyday

    @property
    def _is_another_wanted(self) -> bool:
        return self._page is not None and self._page.wishes.scenario is not None

    def _live(self, scene: Scene, seconds: float, done: Callable[[], bool]) -> None:
        self._until(scene, seconds, lambda: done() or self._is_another_wanted)

    def _until(self, scene: Scene, seconds: float, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + seconds
        while scene.goes_on and time.monotonic() < deadline and not done():
            self._display.show(_figures(scene.observer.latest, scene.observer.standings))
            time.sleep(_STEP_SECONDS)
            self._tell_of_harm(scene.incidents.all)

    def _tell_of_harm(self, incidents: Sequence[Incident]) -> None:
        for incident in incidents:
            if incident.number > self._begun:
                self._begun = incident.number
                self._display.say(_beginning(incident))
            if incident.number > self._told and incident.settled.is_set():
                self._told = incident.number
                title = incident.harm.title
                self._display.say("\n".join([f"{title}: {incident.state}.", *_told(incident)]))

    def _close(
        self,
        scene: Scene,
        connector: ConnectorProcess,
        status: int | None,
        *,
        is_complete: bool,
    ) -> int:
        verdict, usage, display = scene.verdict(), connector.usage(), self._display
        is_good = status == 0 and scene.is_as_promised(verdict)
        display.leave()
        display.say("")
        fired = _fired(scene.sandbox) if self._plan.scenario.fault_rate else ""
        if verdicts := scene.verdicts():
            display.say(table(rows_of(verdicts, scene.target.touches)) + "\n")
        display.say(fired + verdict.table())
        ended = "had to be killed" if status is None else f"ended with status {status}"
        display.say(
            f"The connector {ended}; {usage.cpu_seconds:.1f} s of processor time, "
            f"{usage.peak_rss_bytes / 1e6:.0f} MB at most."
        )
        if not verdict.clean and scene.is_as_promised(verdict):
            display.say(_ALL_THAT_MAY_REPEAT)
        report = None if self._plan.is_everyday else self._report(scene, connector, is_good)
        if report is not None:
            display.say(f"Report: {report}")
        if self._page is not None:
            told = sentence(verdict, scene.target.kills)
            self._page.show_outcome(
                f"{told} The connector {ended}.", is_good=is_good, report=report
            )
        if is_good:
            return 0
        if not is_complete and status == 0:
            display.say("It was ended before all had arrived: what is missing may only be late.")
            return _INTERRUPTED
        last_words = "\n".join(connector.output.splitlines()[-25:])
        display.say(f"The connector's last words:\n{last_words}")
        return 1

    def _report(self, scene: Scene, connector: ConnectorProcess, is_good: bool) -> Path:
        usage = connector.usage()
        report = Report(
            scenario=self._plan.scenario,
            verdict=scene.verdict(),
            kills=scene.target.kills,
            samples=scene.observer.samples,
            incidents=scene.incidents.all,
            lines=scene.observer.lines_after(0),
            is_good=is_good,
            cpu_seconds=usage.cpu_seconds,
            peak_rss_bytes=usage.peak_rss_bytes,
            organizations=scene.verdicts(),
            touches=scene.target.touches,
        )
        return report.write(self._plan.reports)


def _is_settled(scene: Scene) -> bool:
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


def _figures(sample: Sample, standings: Sequence[Standing] = ()) -> Figures:
    requests = {end: sum(counts.values()) for end, counts in sample.statuses.items()}
    return Figures(
        elapsed_seconds=sample.elapsed_seconds,
        produced=sample.so_far.produced,
        accepted=sample.so_far.accepted,
        jumpcloud_requests=requests["jumpcloud"],
        intake_requests=requests["intake"],
        lag_seconds=sample.lag_seconds,
        state=sample.state,
        late=sample.late,
        withheld=sample.withheld,
        rss_bytes=sample.rss_bytes,
        organizations=OrganizationFigures(tuple(standings)) if standings else None,
    )


def _opening(scenario: Scenario, sandbox: Sandbox) -> str:
    lines = [f"JumpCloud ({sandbox.jumpcloud.url}) and Sekoia ({sandbox.intake.url}) are emulated."]
    if scenario.organizations:
        own = scenario.organizations // _OWN_KEY_EVERY
        lines.append(
            f"{scenario.organizations:,} organizations, each with an intake key of its own. {own:,}"
            " with an API key of its own, too; one key reaches the others."
        )
    if scenario.name == EVERYDAY.name:
        some = f"{scenario.per_second:g}" if scenario.per_second != EVERYDAY.per_second else "a few"
        lines.append(
            f"{scenario.events:,} events of the last day wait; {some} more come every second, some"
            " of them late."
        )
    else:
        lines.append(f"{scenario.title}. {scenario.story}")
        lines.append(
            f"{scenario.events:,} events wait, {scenario.per_second:g} more come a second."
        )
    if scenario.fault_rate:
        lines[-1] += f" {scenario.fault_rate:.0%} of all requests fail, one way or another."
    return "\n".join(lines)


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
