"""Which of several processes collects an organization: rendezvous hashing of its name.

Each process draws a number for each organization and each shard, the same everywhere, and the shard
with the highest number has it. With one shard more, only what that one draws highest for moves.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b

_SHARD = re.compile(r"(\d+)/(\d+)")
_ORDINAL = re.compile(r".*-(\d+)")
MAX_SHARDS = 1_000


@dataclass(frozen=True, slots=True)
class Shard:
    """Say which part this process has: the `number`-th of `of`, counted from 1."""

    number: int
    of: int

    def __str__(self) -> str:
        """Write it as SHARD has it."""
        return f"{self.number}/{self.of}"


def shard_of(environment: Mapping[str, str], host: str) -> Shard | None:
    """Return the part of SHARD (2/5), or of SHARDS (5) and the ordinal at the end of a host's name.

    None where neither is set. Kubernetes counts the pods of a StatefulSet from 0: the host -0 has
    the first part. Raises ValueError with a sentence for a person.
    """
    named, count = environment.get("SHARD", "").strip(), environment.get("SHARDS", "").strip()
    if named and count:
        raise ValueError("SHARD and SHARDS are both set; leave one of them out.")
    if named:
        found = _SHARD.fullmatch(named)
        if not found:
            raise ValueError(f"SHARD {named!r} is not possible; give one such as 2/5.")
        return _checked(Shard(int(found[1]), int(found[2])), f"SHARD {named}")
    if not count:
        return None
    ordinal = _ORDINAL.fullmatch(host.partition(".")[0])
    if not count.isdecimal() or not ordinal:
        raise ValueError(
            f"SHARDS {count!r} on the host {host} is not possible: it needs a number, and the"
            " host's name an ordinal at its end, as a StatefulSet's pods have; or give SHARD, such"
            " as 2/5."
        )
    return _checked(Shard(int(ordinal[1]) + 1, int(count)), f"SHARDS {count} on the host {host}")


def _checked(shard: Shard, said: str) -> Shard:
    if not 1 <= shard.number <= shard.of <= MAX_SHARDS:
        raise ValueError(
            f"{said} is not possible: shards are counted from 1 to their number, {MAX_SHARDS} at"
            " most."
        )
    return shard


def mine(names: Iterable[str], shard: Shard) -> list[str]:
    """Return the names that a shard has, in their order."""
    return [name for name in names if _shard_of_name(name, shard.of) == shard.number]


def _shard_of_name(name: str, shards: int) -> int:
    return max(range(1, shards + 1), key=lambda number: _drawn(name, number))


def _drawn(name: str, number: int) -> bytes:
    return blake2b(f"{number} {name}".encode(), digest_size=8).digest()
