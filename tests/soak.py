"""Every fault at both ends, live and late events, a wrong clock, a kill every few seconds.

`python -m tests.soak --minutes 10` does so for ten minutes, and prints progress and a verdict; the
exit status is 0 only where nothing was lost, altered or made up, and no more was repeated than was
in flight at the kills.
"""

import argparse
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from jumpcloud_modules.queries import PAGES_IN_MEMORY
from sandbox import Reply, Request, Sandbox, Verdict, generate
from sandbox.connector import ConnectorProcess, Settings
from sandbox.faketime import LIBRARY, MISSING, FakeClock
from sandbox.faults import Answer, Status
from sandbox.http import BrokenOff
from sandbox.instants import now_ms
from sandbox.live import Live

PAGE_EVENTS = 50
"""What is asked for at once: so much can be delivered and not yet committed, for each reader."""

HISTORY_EVENTS = 20_000
HISTORY_HOURS = 12
HISTORY_MARGIN_MS = 300_000
LIVE_PER_SECOND = 25.0
LATE_SHARE = 0.3
OLD_EVERY_SECONDS = 5.0
FAULT_RATE = 0.2
FIRST_FAULT = Status(503)
"""What the first request to each end meets, so that no run is without a fault."""
LOST_REPLY_RATE = 0.02
MIN_KILLS = 2
"""So many before a stop may stand in for a kill."""
STOP_SHARE = 0.15
CLOCK_SHARE = 0.4
CLOCK_STEPS_SECONDS = (300.0, 3_600.0, 8 * 3_600.0, 2 * 86_400.0, 20 * 86_400.0)
SETTLE_SECONDS = 300.0
PROGRESS_EVERY_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do, and for how long."""

    seconds: float
    seed: int = 1
    history_events: int = HISTORY_EVENTS
    kill_every_seconds: float = 4.0
    stops: bool = True
    late_by_at_most_ms: int = 90_000
    steps_clock: bool = True


@dataclass(frozen=True, slots=True)
class LostReply:
    """Accept a batch and lose the reply, or its second half; count the events left in doubt."""

    cuts: tuple[BrokenOff, ...] = (
        BrokenOff(None, reset=True),
        BrokenOff(0.5, reset=False),
        BrokenOff(0.5, reset=True),
    )
    in_doubt: list[int] = field(default_factory=list)

    def apply(self, request: Request, answer: Answer) -> Reply:
        """Answer truly, and break the answer off."""
        reply = answer(request)
        self.in_doubt.append(reply.events)
        return replace(reply, cut=self.cuts[len(self.in_doubt) % len(self.cuts)])


@dataclass(frozen=True, slots=True)
class Result:
    """What came of it.

    `in_doubt` counts events accepted under a reply that never arrived; `clock_steps` is None where
    the clock was left alone.
    """

    verdict: Verdict
    kills: int
    stops: int
    bad_stops: int
    in_doubt: int
    faults: int
    clock_steps: int | None

    @property
    def bound(self) -> int:
        """Return how many duplicates are allowed: in flight at kills, and left in doubt."""
        return self.kills * PAGES_IN_MEMORY * PAGE_EVENTS + self.in_doubt

    @property
    def is_good(self) -> bool:
        """Tell whether every promise was kept."""
        verdict = self.verdict
        wrong = verdict.lost + verdict.altered + verdict.foreign + self.bad_stops
        return not wrong and verdict.duplicated <= self.bound

    def table(self) -> str:
        """Write the result as lines for a person."""
        verdict = self.verdict
        unexplained = max(0, verdict.duplicated - self.in_doubt)
        rows = [
            ("produced", f"{verdict.produced:,}", ""),
            ("accepted", f"{verdict.accepted:,}", ""),
            ("faults", f"{self.faults:,}", "requests that failed in one of many ways"),
            ("kills", f"{self.kills:,}", f"and {self.stops} stops, {self.bad_stops} of them bad"),
            ("clock steps", *self._clock_row),
            ("lost", f"{verdict.lost:,}", ", ".join(verdict.lost_ids[:3])),
            ("altered", f"{verdict.altered + verdict.foreign:,}", ", ".join(verdict.altered_ids)),
            ("duplicated", f"{verdict.duplicated:,}", f"of at most {self.bound:,}"),
            ("in doubt", f"{self.in_doubt:,}", "accepted under replies that never arrived"),
            ("per kill", f"{unexplained / max(1, self.kills):.1f}", "duplicates left after those"),
            ("bound", f"{PAGES_IN_MEMORY * PAGE_EVENTS:,}", _REASON),
        ]
        lines = [f"{name:<11} {figure:>10}  {more}".rstrip() for name, figure, more in rows]
        return "\n".join([*lines, f"verdict     {'good' if self.is_good else 'NOT GOOD':>10}"])

    @property
    def _clock_row(self) -> tuple[str, str]:
        if self.clock_steps is not None:
            return f"{self.clock_steps:,}", "of the process's clock, ahead, behind or mended"
        return "-", MISSING if LIBRARY is None else "the clock was left alone"


_REASON = f"per kill: the {PAGES_IN_MEMORY} pages in memory, of {PAGE_EVENTS} events each"


class Soak:
    """One run: a sandbox in trouble, and a process that is killed and started again."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._chance = random.Random(plan.seed)
        self._kills = self._stops = self._bad_stops = self._clock_steps = 0
        self._clock = FakeClock() if plan.steps_clock and LIBRARY else None
        self._began = time.monotonic()
        self._shown_at = 0.0
        self._old_at = 0.0

    def run(self) -> Result:
        """Make trouble for as long as planned, then let everything settle, and judge."""
        plan = self._plan
        now = now_ms()
        start_ms = now - HISTORY_HOURS * 3_600_000 + HISTORY_MARGIN_MS
        settings = Settings(chunk_size=PAGE_EVENTS, history_hours=HISTORY_HOURS)
        with (
            Sandbox(generate(plan.history_events, start_ms, now - 1_000, plan.seed)) as sandbox,
            ConnectorProcess(sandbox.addresses, settings, clock=self._clock) as connector,
        ):
            for end in (sandbox.jumpcloud, sandbox.intake):
                end.faults.add(FIRST_FAULT, times=1)
            sandbox.chaos(plan.seed, FAULT_RATE)
            lost_reply = LostReply()
            sandbox.intake.faults.add(lost_reply, endpoint="batch", probability=LOST_REPLY_RATE)
            with self._live(sandbox):
                self._attack(sandbox, connector)
            faults = self._settle(sandbox, connector)
            return Result(
                verdict=sandbox.verdict(),
                kills=self._kills,
                stops=self._stops,
                bad_stops=self._bad_stops,
                in_doubt=sum(lost_reply.in_doubt),
                faults=faults,
                clock_steps=self._clock_steps if self._clock else None,
            )

    def _live(self, sandbox: Sandbox) -> Live:
        return Live(
            sandbox.jumpcloud,
            per_second=LIVE_PER_SECOND,
            late_share=LATE_SHARE,
            latest_ms=self._plan.late_by_at_most_ms,
            seed=self._plan.seed,
            surrogate_share=0.001,
        )

    def _attack(self, sandbox: Sandbox, connector: ConnectorProcess) -> None:
        # On a machine that is busy, a short soak could be over before the first request.
        patience_ends = time.monotonic() + SETTLE_SECONDS
        while not _fired(sandbox) and time.monotonic() < patience_ends:
            self._wait(0.1, sandbox)
        self._began = time.monotonic()
        while (left := self._began + self._plan.seconds - time.monotonic()) > 0:
            pause = self._plan.kill_every_seconds * self._chance.uniform(0.05, 1.95)
            self._wait(min(pause, left) / 2, sandbox)
            self._step_clock()
            self._wait(min(pause, left) / 2, sandbox)
            self._end(connector)
            self._step_clock()
            connector.start()

    def _step_clock(self) -> None:
        """Now and then, and at first, set the clock of the process ahead, or behind, or mend it."""
        is_time = not self._clock_steps or self._chance.random() < CLOCK_SHARE
        if self._clock is None or not is_time:
            return
        self._clock_steps += 1
        if self._clock.ahead_seconds and self._chance.random() < 0.5:
            self._clock.right()
            return
        max_seconds = self._chance.choice(CLOCK_STEPS_SECONDS)
        self._clock.step(self._chance.choice((-1, 1)) * max_seconds * self._chance.random())

    def _end(self, connector: ConnectorProcess) -> None:
        is_early = self._kills < MIN_KILLS
        if not self._plan.stops or is_early or self._chance.random() >= STOP_SHARE:
            self._kills += 1
            connector.kill()
            return
        self._stops += 1
        try:
            status = connector.stop(timeout_seconds=6)
        except TimeoutError:
            status = None
            self._kills += 1
        self._bad_stops += status not in (0, -15)  # -15: before it could hear the signal

    def _settle(self, sandbox: Sandbox, connector: ConnectorProcess) -> int:
        """Take the faults away, wait until all is delivered, and for two audits more."""
        fired = _fired(sandbox)
        for end in (sandbox.jumpcloud, sandbox.intake, sandbox.platform):
            end.faults.clear()
        latest_ms = max((e.visible_ms for e in sandbox.jumpcloud.published), default=0)
        deadline = time.monotonic() + SETTLE_SECONDS
        self._wait(max(0.0, (latest_ms - now_ms()) / 1000), sandbox)
        while sandbox.verdict().lost and connector.running and time.monotonic() < deadline:
            self._wait(1.0, sandbox)
        self._wait(12.0, sandbox)
        self._stops += 1
        self._bad_stops += connector.stop(timeout_seconds=6) != 0
        return fired

    def _wait(self, seconds: float, sandbox: Sandbox) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._publish_old(sandbox)
            self._show(sandbox)
            time.sleep(min(left, 0.2))

    def _publish_old(self, sandbox: Sandbox) -> None:
        """Let a few events of hours ago appear."""
        now = time.monotonic()
        over = now > self._began + self._plan.seconds
        if over or now - self._old_at < OLD_EVERY_SECONDS:
            return
        self._old_at = now
        end_ms = now_ms() - 60_000
        start_ms = end_ms - (HISTORY_HOURS - 1) * 3_600_000
        seed = self._chance.randrange(1 << 30)
        sandbox.jumpcloud.publish(generate(5, start_ms, end_ms, seed))

    def _show(self, sandbox: Sandbox) -> None:
        now = time.monotonic()
        if now - self._shown_at < PROGRESS_EVERY_SECONDS:
            return
        self._shown_at = now
        print(
            f"{now - self._began:6.0f} s | published {len(sandbox.jumpcloud.published):,} |"
            f" accepted {sandbox.intake.count:,} | kills {self._kills} | stops {self._stops} |"
            f" clock steps {self._clock_steps} | faults {_fired(sandbox):,}",
            flush=True,
        )


def _fired(sandbox: Sandbox) -> int:
    ends = (sandbox.jumpcloud, sandbox.intake, sandbox.platform)
    return sum(rule.fired for end in ends for rule in end.faults.rules)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seconds", type=float, help="instead of minutes")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--events", type=int, default=HISTORY_EVENTS, help="of history")
    parser.add_argument("--kill-every", type=float, default=4.0, metavar="SECONDS")
    parser.add_argument("--late-by", type=float, default=90.0, metavar="SECONDS", help="at most")
    parser.add_argument("--no-stops", action="store_true", help="kills only, no SIGTERM")
    parser.add_argument("--right-clock", action="store_true", help="leave the clock alone")
    chosen = parser.parse_args(arguments)
    plan = Plan(
        seconds=chosen.minutes * 60 if chosen.seconds is None else chosen.seconds,
        seed=chosen.seed,
        history_events=chosen.events,
        kill_every_seconds=chosen.kill_every,
        stops=not chosen.no_stops,
        late_by_at_most_ms=int(chosen.late_by * 1000),
        steps_clock=not chosen.right_clock,
    )
    result = Soak(plan).run()
    print(result.table())
    return 0 if result.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
