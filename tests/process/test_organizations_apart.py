"""What befalls one organization of many costs the others nothing."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from sandbox import Answers, Organization, Rule, Sandbox, faults, make_event, many
from sandbox.connector import Settings
from sandbox.faults import Fault
from sandbox.instants import now_ms
from tests.process.scene_of_many import SceneOfMany, looked_at, scene_of_many, with_own_keys

HANGS = faults.HangThenReset(3_600)


@dataclass(frozen=True, slots=True)
class Trouble:
    """One way in which an organization's events are kept from arriving, and its end."""

    begin: Callable[[Sandbox, Organization], object]
    end: Callable[[Sandbox, Organization], object] = lambda _, __: None


def _of_jumpcloud(fault: Fault, endpoint: str | None = None) -> Trouble:
    return Trouble(
        lambda sandbox, one: sandbox.jumpcloud.faults.add(
            fault, endpoint=endpoint, organization=one.id
        )
    )


def _of_intake(fault: Fault) -> Trouble:
    return Trouble(lambda sandbox, one: sandbox.intake.faults.add(fault, organization=one.id))


TROUBLES = {
    "its own key is refused": Trouble(
        lambda sandbox, one: sandbox.jumpcloud.refused_keys.add(one.api_key),
        lambda sandbox, one: sandbox.jumpcloud.refused_keys.discard(one.api_key),
    ),
    "its intake key is refused": Trouble(
        lambda sandbox, one: sandbox.intake.refused_keys.add(one.intake_key),
        lambda sandbox, one: sandbox.intake.refused_keys.discard(one.intake_key),
    ),
    "JumpCloud hangs": _of_jumpcloud(HANGS),
    "JumpCloud is down": _of_jumpcloud(faults.Status(503)),
    "JumpCloud asks for patience": _of_jumpcloud(faults.Status(429, retry_after_seconds=30)),
    "its pages are broken": _of_jumpcloud(faults.BrokenJson(), "events"),
    "the intake hangs": _of_intake(HANGS),
    "the intake is down": _of_intake(faults.Status(500)),
}


@pytest.mark.lengthy
def test_what_befalls_one_is_kept_from_the_others() -> None:
    """Each of eight is in another trouble while four go on; then all arrives, and once."""
    healthy = many(4)
    troubled = with_own_keys(many(len(TROUBLES), 5))
    everyone = [*troubled, *healthy]
    troubles = list(zip(TROUBLES.values(), troubled, strict=True))
    with scene_of_many(everyone) as on:
        on.delivers(everyone)
        before_ms = on.median_delay_ms(healthy)
        for trouble, one in troubles:
            trouble.begin(on.sandbox, one)
        on.publishes(troubled)
        for _ in range(10):
            on.delivers(healthy)
        verdicts = on.sandbox.verdicts()
        during_ms = on.median_delay_ms(healthy, since=2)
        for trouble, one in troubles:
            trouble.end(on.sandbox, one)
        on.sandbox.jumpcloud.faults.clear()
        on.sandbox.intake.faults.clear()
        on.loses_nothing(everyone)
        on.polls(healthy)

        assert {one.name: verdicts[one.id].accepted for one in troubled} == {
            one.name: 2 for one in troubled
        }
        assert during_ms < 5 * before_ms + 2_000
        assert on.judgement == "clean"


def test_an_event_that_an_intake_refuses_is_set_aside_for_its_organization_alone() -> None:
    """And named; its organization's others arrive."""
    three = many(3)
    with scene_of_many(three) as on:
        on.sandbox.intake.faults.add(faults.RefuseEvent("POISON-OF-ONE"))
        poison = make_event(
            now_ms(), organization=three[1].id, extra={"note": "POISON-OF-ONE"}, id="poison-id"
        )
        on.sandbox.jumpcloud.publish([poison])
        on.publishes(three, each=5)
        on.is_told("poison-id")
        on.waits(lambda: on.sandbox.verdict(without=[poison]).clean)
        aside = {one.name: _kept_aside(on, one) for one in three}

        assert aside == {three[0].name: 0, three[1].name: 1, three[2].name: 0}
        assert f"{three[1].name}: " in next(
            line for line in on.connector.output.splitlines() if "poison-id" in line
        )


@pytest.mark.lengthy
@pytest.mark.parametrize("fault", [faults.Status(401), HANGS], ids=["refused", "hanging"])
@pytest.mark.parametrize("own_keys", [True, False], ids=["keys of their own", "one key of all"])
def test_with_ninety_nine_of_a_hundred_in_trouble_the_hundredth_arrives(
    fault: Fault, *, own_keys: bool
) -> None:
    """From the very start on, and at its usual pace: also where one key reaches them all."""
    hundred = with_own_keys(many(100)) if own_keys else many(100)
    *troubled, hundredth = hundred
    ids = [one.id for one in troubled]
    rules = list[Rule]()

    def trouble(sandbox: Sandbox, _: object) -> None:
        rules.append(sandbox.jumpcloud.faults.add(fault, organization=ids))

    with scene_of_many(hundred, Settings(frequency=10), before=trouble) as on:
        on.delivers([hundredth])
        polled = on.answered(hundredth)
        for _ in range(2):
            on.delivers([hundredth])
        on.polls([hundredth], 1)
        status = looked_at(on.connector)

        assert on.answered(hundredth) - polled >= 2
        assert rules[0].fired >= len(troubled)
        assert on.sandbox.verdicts()[hundredth.id].clean
        assert status["organizations"][-1]["name"] == hundredth.name
        assert on.connector.stop(timeout_seconds=10) == 0


@pytest.mark.lengthy
def test_a_429_holds_up_those_with_the_same_credentials_alone() -> None:
    """Those who share the key rest together, with a request now and then; the others go on."""
    sharing, apart = many(8), with_own_keys(many(4, 9))
    with scene_of_many([*sharing, *apart]) as on:
        on.delivers([*sharing, *apart])
        limited = on.sandbox.jumpcloud.faults.add(
            faults.Status(429, retry_after_seconds=5), organization=[one.id for one in sharing]
        )
        on.waits(lambda: limited.fired)
        on.publishes(sharing)
        polled = on.answered(apart[0])
        for _ in range(6):
            on.delivers(apart)
        refused = limited.fired
        polls_of_one = on.answered(apart[0]) - polled
        limited.on = False
        on.loses_nothing()

        # Eight that each went on by themselves would have been refused eight times as often.
        assert refused <= 2 * polls_of_one
        assert on.judgement == "clean"


def test_status_health_and_metrics_tell_of_each_by_name_and_of_the_worst_first() -> None:
    """And of no key; what one fails with is told of it, and of the process that it is well."""
    three = with_own_keys(many(3))
    with scene_of_many(three) as on:
        on.delivers(three)
        on.sandbox.jumpcloud.refused_keys.add(three[1].api_key)
        on.is_told(f"{three[1].name}: JumpCloud")
        on.delivers([three[0], three[2]])
        status = looked_at(on.connector)
        health = on.connector.health()
        metrics = on.connector.metrics()
        shown = json.dumps(status)

        assert [each["name"] for each in status["organizations"]] == [
            three[1].name,
            three[0].name,
            three[2].name,
        ]
        assert [each["well"] for each in status["organizations"]] == [False, True, True]
        assert (status["well"], status["organizations_well"]) == (False, 2)
        assert "401" in shown
        assert health is not None
        assert health.status == 200
        assert health.content["failing"] == [three[1].name]
        assert not [one for one in three if one.api_key in shown or one.intake_key in shown]
        for one in three:
            assert any(f'organization="{one.name}"' in name for name in metrics)
        ours = "symphony_module_jumpcloud"
        failing = [n for n, value in metrics.items() if n.startswith(f"{ours}_failing{{") and value]
        assert failing
        assert all(f'organization="{three[1].name}"' in name for name in failing)
        assert metrics[f"{ours}_organizations"] == 3
        assert metrics[f"{ours}_organizations_failing"] == 1
        assert metrics[f"{ours}_polls_total"] > 0


def _kept_aside(on: SceneOfMany, one: Organization) -> int:
    folder = on.connector.state_folder(one) / "quarantine"
    return len(list(folder.iterdir())) if folder.exists() else 0


@pytest.mark.parametrize("end", ["jumpcloud", "intake"])
def test_a_first_poll_that_fails_keeps_no_stream_from_being_collected(end: str) -> None:
    """What is named beside `all` is asked for, however the first poll of `all` ended."""
    only = many(1)

    def fails_at_first(sandbox: Sandbox, _: Path) -> None:
        if end == "intake":
            sandbox.intake.faults.add(faults.Status(503), times=1)
        else:
            sandbox.jumpcloud.faults.add(faults.BrokenJson(), endpoint="events", times=3)

    with scene_of_many(
        only,
        Settings(service="all,pam", frequency=1),
        events=[
            make_event(now_ms() - 60_000, organization=only[0].id, service=service)
            for service in ("sso", "pam")
        ],
        before=fails_at_first,
        answers=Answers(outside_all=("pam",)),
    ) as on:
        on.loses_nothing()

        assert on.judgement == "clean"
