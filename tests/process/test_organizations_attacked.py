"""The machine, the disk and people at their worst, while one process collects from many."""

import resource
import shutil
import time
from collections.abc import Sequence

import pytest

from jumpcloud_modules.collecting.concurrency import MAX_READERS
from jumpcloud_modules.organizations.scheduler import QUICK_LANE, SLOW_LANE
from jumpcloud_modules.state.open_files import ROOM_FOR_THE_REST
from sandbox import Organization, Sandbox, faults, many
from sandbox.connector import Settings, wait_for_health
from sandbox.faketime import LIBRARY, MISSING, FakeClock
from sandbox.live import Live
from sandbox.self_hosted import ManyConnectorProcess
from tests.process.scene import PATIENCE_SECONDS
from tests.process.scene_of_many import SceneOfMany, scene_of_many

THREADS_OF_A_PLACE = 3
"""One that works, and beside it a request for a page and one for counts, each with its own."""
OTHER_THREADS = 12
"""Of the process itself and its two ports."""


@pytest.mark.skipif(LIBRARY is None, reason=MISSING)
@pytest.mark.lengthy
def test_a_clock_that_jumps_loses_and_repeats_nothing_of_many() -> None:
    """Ahead and behind, by hours and days."""
    five, clock = many(5), FakeClock()
    with (
        scene_of_many(five, clock=clock) as on,
        Live(on.sandbox.jumpcloud, per_second=20, seed=7, organizations=_ids(five)) as live,
    ):
        for seconds in (7_200, -3 * 86_400, 600, -90):
            on.polls(five, 1)
            clock.step(seconds)
        on.polls(five)
        clock.right()
        live.stop()
        on.loses_nothing()
        on.polls(five)

        assert on.judgement == "clean"


def test_a_full_disk_is_waited_for_by_all_and_forgets_nothing() -> None:
    """What was delivered while nothing could be written is not delivered again."""
    ten = many(10)
    with scene_of_many(ten) as on:
        on.delivers(ten)
        limits = resource.prlimit(on.connector.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(on.connector.pid, resource.RLIMIT_FSIZE, (0, limits[1]))
        on.publishes(ten)
        on.waits(lambda: _failing_with_state(on) == len(ten))  # its log cannot grow, either
        accepted = on.sandbox.intake.count
        time.sleep(2.0)
        accepted_later = on.sandbox.intake.count
        resource.prlimit(on.connector.pid, resource.RLIMIT_FSIZE, limits)
        on.loses_nothing()
        on.delivers(ten)
        on.polls(ten)

        assert accepted_later == accepted
        assert on.judgement == "clean"
        assert on.connector.stop(timeout_seconds=10) == 0


def test_a_folder_that_is_taken_away_while_it_runs_is_one_organizations_matter() -> None:
    """Nothing is lost; what that folder knew may come once more, and nothing of the others."""
    four = many(4)
    bereft = four[1]
    with scene_of_many(four) as on:
        on.delivers(four, each=20)
        on.polls(four)
        shutil.rmtree(on.connector.state_folder(bereft))
        for _ in range(3):
            on.delivers(four)
        on.polls(four)
        others = [on.sandbox.verdicts()[one.id] for one in four if one is not bereft]

        assert all(verdict.clean for verdict in others)
        assert on.sandbox.verdict().is_but_repeated


def test_a_folder_that_cannot_be_made_is_told_by_name_and_the_others_go_on() -> None:
    """A file stands in its place."""
    four = many(4)
    blocked = four[2]
    with scene_of_many(
        four, before=lambda _, folder: (folder / blocked.name).write_text("not a folder")
    ) as on:
        others = [one for one in four if one is not blocked]
        on.delivers(others)
        on.is_told(f"{blocked.name}: It cannot be collected: ")
        doing = on.connector.doing()

        assert doing is not None
        assert doing["organizations"][0]["name"] == blocked.name
        assert doing["organizations_well"] == 3


def test_a_data_folder_that_cannot_be_made_is_one_sentence_for_all() -> None:
    """Nothing starts, and the exit status says so."""
    hundred = many(100)
    with Sandbox(organizations=hundred) as sandbox:
        connector = ManyConnectorProcess(
            sandbox.addresses, hundred, environment={"DATA_DIR": "/proc/no-folder"}
        )
        with connector:
            status = connector.wait()

        assert status == 2
        assert connector.output.count("cannot be made") == 1
        assert len(connector.output.splitlines()) == 1


@pytest.mark.lengthy
def test_a_second_process_with_the_same_list_waits_and_takes_over_each() -> None:
    """After a kill; nothing is lost, and repeated at most what was in flight."""
    six = many(6)
    with scene_of_many(six) as on:
        second = ManyConnectorProcess(
            on.sandbox.addresses,
            six,
            on.connector.settings,
            data_folder=on.connector.data_folder,
            environment=on.connector.environment,
        )
        on.delivers(six)
        with (
            second,
            Live(on.sandbox.jumpcloud, per_second=20, seed=8, organizations=_ids(six)) as live,
        ):
            wait_for_health(second, PATIENCE_SECONDS)
            on.waits(lambda: second.output.count("is owned by process") >= 5)
            waiting = second.doing()
            on.polls(six, 1)
            on.connector.kill()
            on.polls(six)
            live.stop()
            on.loses_nothing()
            on.polls(six)
            verdict = on.sandbox.verdict()

            assert waiting is not None
            assert waiting["organizations_collecting"] == 0
            assert verdict.is_but_repeated
            assert verdict.duplicated <= len(six) * 20
            assert second.stop(timeout_seconds=10) == 0


def test_organizations_for_which_there_are_no_files_take_none_from_the_others() -> None:
    """They are told; those that are collected, the ports and a stop have what they need."""
    hundred = many(100)
    before, added = hundred[:10], hundred[10:]
    with scene_of_many(hundred, listed=before) as on:
        on.delivers(before)
        limit = 60 + ROOM_FOR_THE_REST
        resource.prlimit(on.connector.pid, resource.RLIMIT_NOFILE, (limit, limit))
        on.connector.rewrite(hundred)
        on.connector.hang_up()
        on.waits(lambda: _cannot_be_collected(on) >= len(hundred) - 60)
        on.delivers(before)
        collected = {
            each["name"]
            for each in (on.connector.doing() or {})["organizations"]
            if each["state"] == "collecting"
        }
        on.delivers([one for one in added if one.name in collected])

        assert len(collected) > 20
        assert "Too many open files" not in on.connector.output
        assert on.sandbox.verdict().duplicated == 0
        assert on.connector.stop(timeout_seconds=10) == 0


@pytest.mark.lengthy
def test_threads_stay_bounded_while_three_hundred_of_five_hundred_hang() -> None:
    """The two hundred others go on, and a stop is as quick as ever."""
    five_hundred = many(500)
    hanging, well = five_hundred[:300], five_hundred[300:]
    with scene_of_many(
        five_hundred,
        Settings(frequency=20),
        before=lambda sandbox, _: sandbox.jumpcloud.faults.add(
            faults.HangThenReset(3_600), organization=_ids(hanging)
        ),
    ) as on:
        on.delivers(well, each=1)
        on.delivers(well, each=1)
        threads = on.threads
        status = on.connector.stop(timeout_seconds=10)

        places = QUICK_LANE + SLOW_LANE + MAX_READERS
        assert threads <= THREADS_OF_A_PLACE * places + OTHER_THREADS
        assert status == 0


@pytest.mark.lengthy
def test_a_crowd_that_is_killed_as_it_starts_collects_in_the_end() -> None:
    """Nothing is lost, and nothing repeated: hardly anything was begun."""
    crowd = many(300)
    with scene_of_many(crowd, Settings(frequency=15)) as on:
        on.publishes(crowd, each=1)
        for seconds in (0.3, 1.5, 3.0):
            time.sleep(seconds)
            on.connector.kill()
            on.connector.start()
        on.loses_nothing()
        verdict = on.sandbox.verdict()

        assert verdict.is_but_repeated
        assert verdict.duplicated <= 3 * (QUICK_LANE + SLOW_LANE)
        assert _has_all_folders(on, crowd)


def _failing_with_state(on: SceneOfMany) -> int:
    said = (on.connector.doing() or {}).get("organizations", ())
    return sum(any(failing["end"] == "The state" for failing in each["failing"]) for each in said)


def _cannot_be_collected(on: SceneOfMany) -> int:
    said = (on.connector.doing() or {}).get("organizations", ())
    return sum("files open" in warning for each in said for warning in each["warnings"])


def _has_all_folders(on: SceneOfMany, organizations: Sequence[Organization]) -> bool:
    return all(on.connector.state_folder(one).is_dir() for one in organizations)


def _ids(organizations: Sequence[Organization]) -> list[str]:
    return [one.id for one in organizations]
