"""Organizations in one process, over real HTTP: each for itself, whatever befalls the others."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jumpcloud_modules.assembly import Settings
from jumpcloud_modules.collecting.measurements import Traffic
from jumpcloud_modules.collecting.plan import Plan
from jumpcloud_modules.connections import Connections
from jumpcloud_modules.failure_log import Level
from jumpcloud_modules.http.redaction import Secrets
from jumpcloud_modules.http.throttle import Pace
from jumpcloud_modules.instants import HOUR_MS
from jumpcloud_modules.intake.client import IntakeOptions
from jumpcloud_modules.jumpcloud.client import ClientOptions
from jumpcloud_modules.organizations.commons import Commons
from jumpcloud_modules.organizations.member import (
    SECONDS_TO_FIRST_POLL,
    TOO_SOON_AFTER_FIRST_POLL,
    Definition,
    Member,
    seconds_to_first_poll,
    seconds_to_next_poll,
)
from jumpcloud_modules.organizations.messages import Messages
from jumpcloud_modules.organizations.roster import GOLDEN_RATIO, Roster
from jumpcloud_modules.organizations.scheduler import Scheduler
from jumpcloud_modules.organizations.turns import Turns
from jumpcloud_modules.state.ownership import Owner, ownership, ownerships
from sandbox import Sandbox, faults, generate, wait_until
from sandbox.instants import now_ms
from tests.doubles import account_at

EVENTS = 300


class _World:
    """A roster at work on the sandbox; `said` is what was logged."""

    def __init__(self, sandbox: Sandbox, folder: Path) -> None:
        self.sandbox = sandbox
        self.folder = folder
        self.said: list[tuple[str, Level]] = []
        self.failures: list[Exception] = []
        self.stop = threading.Event()
        secrets, traffic, scheduler = Secrets(), Traffic(), Scheduler(quick=2, slow=8)
        owners = ownerships(folder)
        self.commons = Commons(
            "9.9.9",
            scheduler,
            Turns(lambda task, seconds: scheduler.do(task, seconds, is_suspect=True)),
            Messages(lambda text, level: self.said.append((text, level)), lambda: 3),
            secrets,
            Connections(
                self.stop,
                secrets,
                lambda text: self.said.append((text, "warning")),
                lambda end: lambda *seen: traffic.answered(end, *seen),
                Pace(1_000.0),
            ),
            traffic,
            owners.of,
            lambda _name, error, _times: self.failures.append(error),
        )
        self.roster = Roster(self.commons)
        self._release = owners.release

    def definition(self, name: str, *, key: str | None = None, service: str = "all") -> Definition:
        addresses = self.sandbox.addresses
        settings = Settings(
            plan=Plan(2 * HOUR_MS, 24 * HOUR_MS, 5_000, "", 1_000),
            data_path=self.folder / name,
            account=account_at(self.sandbox, name),
            streams=[[service]],
            excluded_event_types=[],
            jumpcloud=ClientOptions(),
            intake=IntakeOptions(addresses.intake_url, key or addresses.intake_key),
        )
        return Definition(name, settings, poll_every_seconds=0.2)

    def member(self, name: str) -> Member:
        return next(member for member in self.roster if member.name == name)

    def delivered(self, name: str) -> int:
        return self.member(name).measurements.stats.peek().delivered

    def end(self) -> None:
        self.roster.end()
        assert wait_until(lambda: self.roster.is_over)
        self.commons.scheduler.stop()
        self._release()


@contextmanager
def world(folder: Path, *names: str, until_ms: int | None = None) -> Iterator[_World]:
    """Collect from organizations, all of which have the same events, until now by default."""
    now = until_ms or now_ms()
    events = generate(EVENTS, now - HOUR_MS, now - 1_000, seed=1)
    with Sandbox(events) as sandbox:
        found = _World(sandbox, folder)
        scheduling = threading.Thread(target=found.commons.scheduler.run, daemon=True)
        scheduling.start()
        found.roster.apply([found.definition(name) for name in names])
        try:
            yield found
        finally:
            found.end()
            scheduling.join(20)
        assert found.failures == []


def test_each_organization_has_all_of_its_own(tmp_path: Path) -> None:
    """What one delivered is no other's: each has a state of its own."""
    with world(tmp_path, "a", "b", "c") as all_of:
        assert wait_until(lambda: all(all_of.delivered(name) == EVENTS for name in "abc"))

    assert all((tmp_path / name / "context.json").exists() for name in "abc")


def test_a_restart_delivers_nothing_again(tmp_path: Path) -> None:
    """Each goes on from its own folder."""
    until_ms = now_ms()  # the same events
    with world(tmp_path, "a", until_ms=until_ms) as before:
        assert wait_until(lambda: before.delivered("a") == EVENTS)
    with world(tmp_path, "a", until_ms=until_ms) as after:
        assert wait_until(lambda: after.member("a").measurements.stats.peek().known > 0)
        assert after.delivered("a") == 0


def test_a_refused_intake_key_is_one_organizations_matter(tmp_path: Path) -> None:
    """The others' events arrive, and its own once the key is right."""
    with world(tmp_path, "a") as all_of:
        wrong = all_of.definition("wrong", key="no-such-intake-key")
        all_of.roster.apply([all_of.definition("a"), wrong])
        assert wait_until(lambda: all_of.delivered("a") == EVENTS)
        assert wait_until(lambda: any("wrong: The Sekoia intake" in t for t, _ in all_of.said))
        status = all_of.member("wrong").status()
        assert [failing.end for failing in status.failing] == ["The Sekoia intake"]
        assert all_of.member("a").status().is_well

        all_of.roster.apply([all_of.definition("a"), all_of.definition("wrong")])

        def is_right() -> bool:
            all_of.roster.tick()
            return any(m.name == "wrong" for m in all_of.roster) and (
                all_of.delivered("wrong") == EVENTS
            )

        assert wait_until(is_right)


def test_organizations_that_hang_hold_up_no_other(tmp_path: Path) -> None:
    """More of them than the quick lane has places."""
    hanging = [f"h{number}" for number in range(6)]
    with world(tmp_path, *hanging) as all_of:
        assert wait_until(lambda: all(all_of.delivered(name) == EVENTS for name in hanging))
        rule = all_of.sandbox.intake.faults.add(faults.Hang(seconds=8))
        now = now_ms()
        all_of.sandbox.jumpcloud.publish(generate(5, now - 2_000, now - 1_000, seed=2))
        assert wait_until(lambda: rule.fired >= len(hanging))
        rule.on = False  # for who asks from now on

        all_of.roster.apply([all_of.definition(name) for name in (*hanging, "a")])

        assert wait_until(lambda: all_of.delivered("a") == EVENTS + 5)


def test_one_that_is_no_longer_named_ends_and_gives_its_state_back(tmp_path: Path) -> None:
    """The others go on as they are."""
    with world(tmp_path, "a", "b") as all_of:
        assert wait_until(lambda: all(all_of.delivered(name) == EVENTS for name in "ab"))
        ended, kept = all_of.member("b"), all_of.member("a")

        change = all_of.roster.apply([all_of.definition("a")])

        assert wait_until(lambda: ended.is_over)
        assert (change.added, change.changed, change.ended) == ((), (), ("b",))
        assert all_of.member("a") is kept
        taken = ownership(tmp_path / "b")
        assert taken.try_acquire(lambda _: None)
        taken.release()


def test_one_that_was_changed_begins_anew_with_what_it_knows(tmp_path: Path) -> None:
    """Another frequency sends nothing twice."""
    with world(tmp_path, "a") as all_of:
        assert wait_until(lambda: all_of.delivered("a") == EVENTS)
        before = all_of.member("a")

        change = all_of.roster.apply([replace(all_of.definition("a"), poll_every_seconds=0.1)])

        def is_another() -> bool:
            all_of.roster.tick()
            return any(
                member is not before and member.measurements.stats.peek().known > 0
                for member in all_of.roster
            )

        assert wait_until(is_another)
        assert change.changed == ("a",)
        assert all_of.delivered("a") == 0


def test_one_that_is_ended_while_it_is_being_made_ends_with_all_its_streams(tmp_path: Path) -> None:
    """Or one that a list changes at that moment would never begin anew."""
    with world(tmp_path, "a") as all_of:
        made: list[Member] = []

        def owner_of(path: Path) -> Owner:
            made[0].end()
            return ownership(path)

        definition = all_of.definition("b")
        settings = replace(definition.settings, streams=[["all"], ["pam"]])
        commons = replace(all_of.commons, owner_of=owner_of)
        made.append(Member(replace(definition, settings=settings), commons, phase=0.0))
        made[0].begin()

        assert wait_until(lambda: made[0].is_over)
        assert ownership(tmp_path / "b").try_acquire(lambda _: None)


def test_the_state_of_another_process_is_waited_for(tmp_path: Path) -> None:
    """By the one organization alone."""
    held = ownership(tmp_path / "b")
    assert held.try_acquire(lambda _: None)
    with world(tmp_path, "a", "b") as all_of:
        assert wait_until(lambda: all_of.delivered("a") == EVENTS)
        assert wait_until(lambda: any("b: The state in" in text for text, _ in all_of.said))
        assert all_of.delivered("b") == 0
        assert all_of.member("b").status().state == "waiting for another owner"

        held.release()

        assert wait_until(lambda: all_of.delivered("b") == EVENTS)


def test_an_organization_whose_folder_cannot_be_written_says_so(tmp_path: Path) -> None:
    """And collects once somebody has mended that."""
    (tmp_path / "b").write_text("a file where the folder should be")
    with world(tmp_path, "a", "b") as all_of:
        assert wait_until(lambda: any("b: It cannot be collected" in t for t, _ in all_of.said))
        assert wait_until(lambda: all_of.delivered("a") == EVENTS)
        assert not all_of.member("b").status().is_well


def test_the_state_of_another_organization_is_refused_and_given_back(tmp_path: Path) -> None:
    """Whoever renames its folder need not end the process; the others go on."""
    with world(tmp_path, "a") as all_of:
        assert wait_until(lambda: all_of.delivered("a") == EVENTS)
    (tmp_path / "a").rename(tmp_path / "b")
    with world(tmp_path) as all_of:
        given = all_of.definition("b")
        plan = replace(given.settings.plan, keeps_organization=True)
        its_own = replace(given, settings=replace(given.settings, plan=plan))
        all_of.roster.apply([its_own, all_of.definition("c")])
        told = "b: It cannot be collected: What is known under this name is of organization a,"
        assert wait_until(lambda: any(told in text for text, _ in all_of.said))
        assert wait_until(lambda: all_of.delivered("c") == EVENTS)
        status = all_of.member("b").status()

        assert not status.is_well
        assert ownership(tmp_path / "b").try_acquire(lambda _: None)
        assert all_of.delivered("b") == 0


@pytest.mark.parametrize("count", [7, 100, 1_000])
def test_first_polls_are_spread_evenly(count: int) -> None:
    """Of any tenth of the time, about a tenth of the organizations takes place."""
    phases = sorted(number * GOLDEN_RATIO % 1 for number in range(count))
    gaps = [later - earlier for earlier, later in pairwise(phases)]

    assert max(gaps) < 2.7 / count


@given(phase=st.floats(0, 1, exclude_max=True), every=st.integers(1, 3_600))
def test_polls_keep_to_a_grid_that_first_polls_lead_to(phase: float, every: int) -> None:
    """All first polls fit into a minute with the start of the process; none is repeated at once."""
    first = seconds_to_first_poll(phase, every)
    second = first + seconds_to_next_poll(first, phase, every, is_first=True)
    third = second + seconds_to_next_poll(second + 0.001, phase, every, is_first=False)

    assert first < SECONDS_TO_FIRST_POLL
    assert TOO_SOON_AFTER_FIRST_POLL * every <= second - first
    assert second - first <= (1 + TOO_SOON_AFTER_FIRST_POLL) * every + 1e-6
    assert third - second == pytest.approx(every, abs=0.002)
