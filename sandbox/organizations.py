"""Organizations as a provider has them: each with a name, an id and an intake key of its own.

Plain values; knows no emulator.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b

_FIRST_ID = 0x6490F0F5A2D5398A00000000


@dataclass(frozen=True, slots=True)
class Organization:
    """One organization.

    Without an `intake_key` its events belong to the sandbox's own key, without an `api_key` it is
    reached with the sandbox's own.
    """

    id: str
    name: str = ""
    intake_key: str = field(default="", repr=False)
    api_key: str = field(default="", repr=False)


def many(count: int, first: int = 1, *, own_key_every: int = 0) -> list[Organization]:
    """Make organizations that one API key reaches: `customer-0001` and so on, from a number on.

    Each so-manieth has an API key of its own, if `own_key_every` says so. Equal arguments make
    equal ones.
    """
    numbers = range(first, first + count)
    return [_numbered(n, has_key=bool(own_key_every) and n % own_key_every == 0) for n in numbers]


def _numbered(number: int, *, has_key: bool) -> Organization:
    name = f"customer-{number:04}"
    digest = blake2b(name.encode(), digest_size=32).hexdigest()
    api_key = f"jca_{digest[32:]}" if has_key else ""
    return Organization(f"{_FIRST_ID + number:024x}", name, digest[:32], api_key)


def as_organizations(
    given: Iterable[str | Organization] | Mapping[str, str],
) -> list[Organization]:
    """Return what was given as ids, or as names by id, in one form."""
    if isinstance(given, Mapping):
        return [Organization(identifier, name) for identifier, name in given.items()]
    return [
        one if isinstance(one, Organization) else Organization(one, f"Organization {one}")
        for one in given
    ]
