"""Which process collects which organizations."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jumpcloud_modules.organizations.sharding import Shard, mine, shard_of

NAMES = [f"customer-{number}" for number in range(10_000)]


@given(st.lists(st.from_regex(r"[a-z0-9-]{1,63}", fullmatch=True), unique=True), st.integers(1, 9))
def test_each_organization_is_in_exactly_one_shard(names: list[str], shards: int) -> None:
    """None is left out, and none collected twice."""
    parts = [mine(names, Shard(number, shards)) for number in range(1, shards + 1)]

    assert Counter(name for part in parts for name in part) == Counter(names)


def test_the_parts_are_of_similar_size() -> None:
    """Within a tenth, for ten thousand organizations."""
    sizes = [len(mine(NAMES, Shard(number, 5))) for number in range(1, 6)]

    assert min(sizes) > 1_800
    assert max(sizes) < 2_200


@pytest.mark.parametrize("shards", [1, 4, 9])
def test_another_shard_takes_its_part_and_nothing_else_moves(shards: int) -> None:
    """A state is handed over only where it has to be."""
    before = {n: set(mine(NAMES, Shard(n, shards))) for n in range(1, shards + 1)}
    after = {n: set(mine(NAMES, Shard(n, shards + 1))) for n in range(1, shards + 2)}

    assert all(after[number] <= before[number] for number in before)
    assert len(after[shards + 1]) == pytest.approx(len(NAMES) / (shards + 1), rel=0.1)


@pytest.mark.parametrize(
    ("environment", "host", "shard"),
    [
        ({}, "host", None),
        ({"SHARD": "", "SHARDS": ""}, "host", None),
        ({"SHARD": "2/5"}, "host", Shard(2, 5)),
        ({"SHARDS": "5"}, "collector-0", Shard(1, 5)),
        ({"SHARDS": "5"}, "collector-4.collector.default.svc", Shard(5, 5)),
    ],
)
def test_a_shard_is_named_or_follows_from_the_host(
    environment: dict[str, str], host: str, shard: Shard | None
) -> None:
    """In Kubernetes each pod of a StatefulSet has the same variables and another name."""
    assert shard_of(environment, host) == shard


@pytest.mark.parametrize(
    ("environment", "host", "said"),
    [
        ({"SHARD": "5"}, "host", "such as 2/5"),
        ({"SHARD": "0/5"}, "host", "counted from 1"),
        ({"SHARD": "6/5"}, "host", "counted from 1"),
        ({"SHARD": "1/5000"}, "host", "1000 at most"),
        ({"SHARDS": "5"}, "host", "an ordinal at its end"),
        ({"SHARDS": "five"}, "host-1", "needs a number"),
        ({"SHARDS": "5"}, "host-5", "counted from 1"),
        ({"SHARD": "1/2", "SHARDS": "2"}, "host-1", "leave one of them out"),
    ],
)
def test_what_is_not_possible_is_told(environment: dict[str, str], host: str, said: str) -> None:
    """A process that took the wrong part would leave organizations out."""
    with pytest.raises(ValueError, match=said):
        shard_of(environment, host)
