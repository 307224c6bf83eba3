"""Kills and stops of a process with many organizations, and of several that share a list."""

import random
import secrets
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from jumpcloud_modules.queries import PAGES_IN_MEMORY
from sandbox import Organization, Sandbox, dealt, faults, many
from sandbox.connector import Settings, wait_for_health
from sandbox.live import Live
from sandbox.self_hosted import ManyConnectorProcess
from tests.process.scene import PATIENCE_SECONDS, history
from tests.process.scene_of_many import FAST, SceneOfMany, scene_of_many
from tests.process.test_object_storage import BUCKET, _storage

PAGE = 50
SECONDS_TO_TAKE_OVER = 90.0


@pytest.mark.lengthy
def test_kills_and_stops_amid_the_backlogs_of_twenty_repeat_only_what_was_in_flight() -> None:
    """Of each backlog's reader a page, and of each organization's new events one."""
    chance, twenty, kills = random.Random(5), many(20), 0
    with (
        scene_of_many(
            twenty, Settings(chunk_size=PAGE), events=dealt(history(40_000), _ids(twenty))
        ) as on,
        Live(on.sandbox.jumpcloud, per_second=40, seed=5, organizations=_ids(twenty)) as live,
    ):
        slow = on.sandbox.intake.faults.add(faults.SlowReceipts(latency_ms=30))
        for number in range(5):
            so_far = on.sandbox.intake.count
            on.waits(lambda: on.sandbox.intake.count > so_far + chance.randrange(500, 2_000))  # noqa: B023 -- waited for here
            if number % 2:
                assert on.connector.stop(timeout_seconds=10) == 0
            else:
                kills += 1
                on.connector.kill()
            on.connector.start()
        in_midst = on.sandbox.intake.count < len(on.sandbox.jumpcloud.published)
        slow.on = False
        live.stop()
        on.loses_nothing()
        on.polls(twenty)
        verdict = on.sandbox.verdict()

        assert in_midst
        assert verdict.is_but_repeated, verdict.table()
        assert verdict.duplicated <= kills * _in_flight(len(twenty))


def test_stops_amid_the_backlogs_of_many_repeat_nothing() -> None:
    """What has its receipt is committed, of each organization."""
    ten = many(10)
    with scene_of_many(
        ten, Settings(chunk_size=PAGE), events=dealt(history(6_000), _ids(ten))
    ) as on:
        slow = on.sandbox.intake.faults.add(faults.SlowReceipts(latency_ms=100))
        for _ in range(3):
            so_far = on.sandbox.intake.count
            on.waits(lambda: on.sandbox.intake.count > so_far + 500)  # noqa: B023 -- waited for here
            assert on.connector.stop(timeout_seconds=10) == 0
            on.connector.start()
        slow.on = False
        on.loses_nothing()
        on.polls(ten)

        assert on.judgement == "clean"


@pytest.mark.lengthy
@pytest.mark.parametrize("place", ["disk", "s3"])
def test_four_shards_become_five_by_restarts_and_kills_while_events_flow(place: str) -> None:
    """Each organization has one owner all the while, whatever the others take theirs to be."""
    twelve = many(12)
    with (
        _shared_place(place) as options,
        Sandbox(dealt(history(1_200), _ids(twelve)), organizations=twelve) as sandbox,
        ExitStack() as running,
        Live(sandbox.jumpcloud, per_second=30, seed=6, organizations=_ids(twelve)) as live,
    ):
        shards = [
            running.enter_context(_shard(sandbox, twelve, f"{number}/4", options))
            for number in range(1, 5)
        ]
        on = SceneOfMany(sandbox, shards[0])
        on.polls(twelve)
        for number, shard in enumerate(shards, 1):
            shard.kill() if number in (1, 3) else shard.stop(timeout_seconds=10)
            shard.shard = f"{number}/5"
            shard.start()
            wait_for_health(shard, PATIENCE_SECONDS)
            if number == 2:
                fifth = running.enter_context(_shard(sandbox, twelve, "5/5", options))
            time.sleep(1.0)
        shards.append(fifth)
        on.polls(twelve)
        on.waits(
            lambda: _collected_by(shards) == dict.fromkeys((one.name for one in twelve), 1),
            SECONDS_TO_TAKE_OVER,
        )
        live.stop()
        on.loses_nothing(timeout_seconds=SECONDS_TO_TAKE_OVER)
        on.polls(twelve)
        verdict = sandbox.verdict()
        stopped = [shard.stop(timeout_seconds=10) for shard in shards]

        assert verdict.is_but_repeated, verdict.table()
        assert verdict.duplicated <= 2 * _in_flight(len(twelve))
        assert stopped == [0] * 5


def test_an_organization_with_a_new_name_is_told_where_its_state_is_on_s3() -> None:
    """By a start; under its former name it goes on."""
    two = many(2)
    renamed = [Organization(two[0].id, "another-name", two[0].intake_key), two[1]]
    with (
        _shared_place("s3") as options,
        scene_of_many(two, events=dealt(history(100), _ids(two)), **options) as on,
    ):
        on.loses_nothing()
        on.polls(two)
        assert on.connector.stop(timeout_seconds=10) == 0
        on.connector.rewrite(renamed)
        on.connector.start()
        status = on.connector.wait()
        on.connector.rewrite(two)
        on.connector.start()
        on.delivers(two)

        assert status == 2
        assert "another-name: the state of this organization is in /" in on.connector.output
        assert on.judgement == "clean"


@contextmanager
def _shared_place(place: str) -> Iterator[dict[str, Any]]:
    """Yield the options that let several processes keep their states in one place."""
    if place == "disk":
        with TemporaryDirectory(prefix="sandbox-") as folder:
            yield {"data_folder": Path(folder), "environment": FAST}
        return
    with _storage() as variables:
        data = {"DATA_DIR": f"s3://{BUCKET}/{secrets.token_hex(8)}"}
        ours = {name: value for name, value in variables.items() if name.startswith("AWS_")}
        ours.pop("AWS_BUCKET_NAME")
        yield {"environment": FAST | ours | data}


def _shard(
    sandbox: Sandbox, organizations: Sequence[Organization], shard: str, options: dict[str, Any]
) -> ManyConnectorProcess:
    return ManyConnectorProcess(
        sandbox.addresses, organizations, Settings(chunk_size=PAGE), shard=shard, **options
    )


def _collected_by(shards: Sequence[ManyConnectorProcess]) -> dict[str, int]:
    """Count the processes that collect each organization."""
    said = [shard.doing() or {"organizations": []} for shard in shards]
    return Counter(
        each["name"]
        for doing in said
        for each in doing["organizations"]
        if each["state"] == "collecting"
    )


def _in_flight(tails: int) -> int:
    """Return how many events a kill may repeat."""
    return (PAGES_IN_MEMORY - 1 + tails) * PAGE


def _ids(organizations: Sequence[Organization]) -> list[str]:
    return [one.id for one in organizations]
