"""The list of a process's organizations changes while it runs, and keeps being wrong at times."""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from sandbox import Organization, Sandbox, dealt, faults, many
from sandbox.connector import Health, Settings
from sandbox.live import Live
from sandbox.self_hosted import Entry, Form, entry_of
from tests.process.scene import history
from tests.process.scene_of_many import SceneOfMany, scene_of_many

Tell = Callable[[SceneOfMany], object]
BY_SIGNAL: Tell = lambda on: on.connector.hang_up()  # noqa: E731 -- a table of two
BY_LOOKING: Tell = lambda _: None  # noqa: E731


@pytest.mark.lengthy
@pytest.mark.parametrize(
    ("form", "tell"),
    [("csv", BY_SIGNAL), ("within", BY_LOOKING)],
    ids=["a table and SIGHUP", "module.json and its change"],
)
def test_organizations_are_added_changed_and_ended_while_it_runs(form: Form, tell: Tell) -> None:
    """Events flow meanwhile: none is lost or comes twice, none has another's key."""
    seven = many(7)
    stays, rekeyed, slowed, widened, ends, *added = seven
    with (
        scene_of_many(
            seven, events=dealt(history(350), _ids(seven)), listed=seven[:5], form=form
        ) as on,
        Live(on.sandbox.jumpcloud, per_second=30, seed=1, organizations=_ids(seven)) as live,
    ):
        on.polls(seven[:5])
        other_key = Organization(rekeyed.id, rekeyed.name, "another_intake_key_of_the_same")
        on.sandbox.add(other_key)
        on.connector.write_entries(
            [
                entry_of(stays),
                entry_of(other_key),
                _changed(slowed, frequency="2"),
                _changed(widened, service="all,pam"),
                *map(entry_of, added),
            ]
        )
        tell(on)
        on.is_told(
            "The list was read again, 6 organizations: 2 added (customer-0006, customer-0007),"
            " 3 changed (customer-0002, customer-0003, customer-0004), 1 ended (customer-0005)."
        )
        on.polls(added)
        # From here on only the new key is taken: what arrives has it.
        on.sandbox.intake.refused_keys.add(rekeyed.intake_key)
        asked = on.answered(ends)
        on.polls([stays, other_key, slowed, widened, *added])
        asked_after = on.answered(ends)
        on.connector.rewrite([stays, other_key, slowed, widened, ends, *added])
        tell(on)
        on.is_told("1 added (customer-0005)")
        live.stop()
        on.loses_nothing()
        on.polls(seven)

        assert on.judgement == "clean"
        assert asked_after == asked
        assert on.connector.stop(timeout_seconds=10) == 0


def test_a_faulty_list_is_told_and_the_former_one_goes_on() -> None:
    """Whatever is wrong with it; one that is right again is applied."""
    three = many(3)
    with scene_of_many(three, listed=three[:2], form="json") as on:
        on.delivers(three[:2])
        faults = {
            "not JSON": "is not JSON",
            '[{"name": "customer-0001"}]': "organizations.json: customer-0001: ",
            "[]": "lists no organization",
        }
        for text, said in faults.items():
            on.connector.write_list(text)
            on.connector.hang_up()
            on.is_told(said)
            on.delivers(three[:2])
        on.connector.list_path.unlink()
        on.connector.hang_up()
        on.waits(lambda: on.connector.output.count("the former one goes on") > len(faults))
        on.delivers(three[:2])
        on.connector.rewrite(three)
        on.is_told("1 added (customer-0003)")
        on.delivers(three)

        assert on.judgement == "clean"


def test_what_is_put_in_the_place_of_a_list_neither_ends_nor_holds_the_process() -> None:
    """A folder, brackets without end, a pipe that nobody writes to; a stop is obeyed."""
    three = many(3)
    with scene_of_many(three, form="json") as on:
        listed = on.connector.list_path
        listed.unlink()
        listed.mkdir()
        on.connector.hang_up()
        on.is_told("Is a directory")
        on.delivers(three)
        listed.rmdir()
        on.connector.write_list("[" * 100_000)
        on.connector.hang_up()
        on.is_told("too deep in each other")
        on.delivers(three)
        listed.unlink()
        os.mkfifo(listed)
        on.connector.hang_up()
        on.is_told("is a pipe or a device")
        on.delivers(three)

        assert on.judgement == "clean"
        assert on.connector.stop(timeout_seconds=10) == 0


def test_names_that_are_swapped_amid_backlogs_lose_and_repeat_nothing() -> None:
    """Neither goes on with the other's state; both go on once their names are theirs again."""
    three = many(3)
    first, second, other = three
    swapped = [
        Organization(first.id, second.name, first.intake_key),
        Organization(second.id, first.name, second.intake_key),
        other,
    ]
    with scene_of_many(
        three, Settings(chunk_size=50), events=dealt(history(3_000), _ids(three))
    ) as on:
        slow = on.sandbox.intake.faults.add(faults.SlowReceipts(latency_ms=200))
        both = (first.id, second.id)
        on.waits(lambda: all(on.sandbox.verdicts()[one].accepted > 100 for one in both))
        in_midst = on.sandbox.intake.count < 3_000
        on.connector.rewrite(swapped)
        on.connector.hang_up()
        for one in swapped[:2]:
            on.is_told(f"{one.name}: It cannot be collected: What is known under this")
        slow.on = False
        on.delivers([other])
        failing = (on.connector.health() or Health(0, {})).content["failing"]
        on.connector.rewrite(three)
        on.connector.hang_up()
        on.loses_nothing()
        on.polls(three)

        assert in_midst
        assert sorted(failing) == [first.name, second.name]
        assert on.judgement == "clean"


def test_an_organization_that_gets_another_name_does_not_bring_its_history_again() -> None:
    """While the process runs and at a start; with its folder renamed it goes on where it was."""
    two = many(2)
    renamed = Organization(two[0].id, "another-name", two[0].intake_key)
    with scene_of_many(two, events=dealt(history(200), _ids(two))) as on:
        on.loses_nothing()
        on.connector.rewrite([renamed, two[1]])
        on.connector.hang_up()
        on.is_told("another-name: the state of this organization is in")
        on.delivers(two)
        assert on.connector.stop(timeout_seconds=10) == 0
        on.connector.start()
        status = on.connector.wait()
        on.connector.state_folder(two[0]).rename(on.connector.state_folder(renamed))
        on.connector.start()
        on.delivers(two)
        on.polls(two)

        assert status == 2
        assert on.judgement == "clean"


def test_an_organization_that_comes_and_goes_is_neither_lost_nor_repeated() -> None:
    """Added and ended over and over, amid deliveries: its state is given back and taken again."""
    three = many(3)
    comes_and_goes = three[2]
    with (
        scene_of_many(three, Settings(chunk_size=20)) as on,
        Live(on.sandbox.jumpcloud, per_second=60, seed=2, organizations=_ids(three)) as live,
    ):
        for _ in range(6):
            on.polls([comes_and_goes], 1)
            on.connector.rewrite(three[:2])
            on.connector.hang_up()
            on.polls(three[:1], 1)
            on.connector.rewrite(three)
            on.connector.hang_up()
        live.stop()
        on.loses_nothing()
        on.polls(three)

        assert on.judgement == "clean"


def test_names_that_are_swapped_while_one_is_behind_lose_and_repeat_nothing() -> None:
    """Neither goes on from how far the other one got: both are told, and wait for their names."""
    three = many(3)
    ahead, behind, stays = three
    with scene_of_many(three, events=dealt(history(150), _ids(three))) as on:
        on.loses_nothing()
        with on.sandbox.jumpcloud.faults.during(faults.Status(503), organization=behind.id):
            on.polls([behind], 1)
            on.publishes(three, each=20)
            on.loses_nothing([ahead, stays])
            on.connector.rewrite(
                [replace(ahead, name=behind.name), replace(behind, name=ahead.name), stays]
            )
            on.connector.hang_up()
            on.is_told(f"What is known under this name is of organization {ahead.id}")
            on.is_told(f"What is known under this name is of organization {behind.id}")
        doing = on.connector.doing()
        on.delivers([stays])
        on.connector.rewrite(three)
        on.connector.hang_up()
        on.loses_nothing()
        on.delivers(three)

        assert doing is not None
        assert doing["organizations_well"] == 1
        assert {len(one["warnings"]) for one in doing["organizations"][:2]} == {1}
        assert on.judgement == "clean"


def test_what_a_single_connector_left_in_the_data_folder_is_told() -> None:
    """Nobody would miss it otherwise: each organization begins as at a first start."""
    two = many(2)

    def leave_state(_: Sandbox, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        (folder / "context.json").write_text("{}")

    with scene_of_many(two, before=leave_state) as on:
        on.is_told("itself holds the state of a single connector")
        on.delivers(two)
        on.connector.stop()
        (on.connector.data_folder / "context.json").unlink()
        on.connector.start()
        on.delivers(two)

        assert on.connector.output.count("itself holds the state of a single connector") == 1
        assert on.judgement == "clean"


def _changed(one: Organization, **keys: str) -> Entry:
    return entry_of(one) | keys


def _ids(organizations: Sequence[Organization]) -> list[str]:
    return [one.id for one in organizations]
