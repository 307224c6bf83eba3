"""JumpCloud's console API: which organizations the credentials reach.

Knows nothing of events. Where an answer has an unexpected form, a name is left out; it is no error,
since a person could do nothing about it.
"""

from dataclasses import dataclass
from typing import Any, Final

import orjson

from jumpcloud_modules.errors import PageTooLarge, TryAgain
from jumpcloud_modules.jumpcloud.client import END, Client

PATH: Final = "/organizations"
LIMIT: Final = 100
MAX_PAGES: Final = 500
"""So many requests at most, in case a console never comes to an end."""
MAX_PAGE_BYTES: Final = 4 << 20


@dataclass(frozen=True, slots=True)
class Organization:
    """Name an organization as the console does."""

    id: str
    name: str

    def __str__(self) -> str:
        return f"{self.name} ({self.id})" if self.name else self.id


@dataclass(frozen=True, slots=True)
class Listing:
    """Hold the organizations that the console listed, and whether it came to its end."""

    organizations: tuple[Organization, ...]
    is_complete: bool


def organizations(client: Client) -> list[Organization]:
    """List the organizations that the client's credentials reach. Raises TryAgain or Refused."""
    return list(listed(client).organizations)


def listed(client: Client) -> Listing:
    """Do as `organizations` does, and tell whether they are all.

    They come in the order of their IDs, which JumpCloud gives out ascending.
    """
    found: dict[str, Organization] = {}
    skipped, total, is_ended = 0, None, False
    for _ in range(MAX_PAGES):
        records, total = _page(client, skipped)
        known = len(found)
        found |= {reached.id: reached for reached in map(_organization, records) if reached}
        skipped += len(records)
        # A page may be short because the console has a lower limit, or repeat where it ignores
        # `skip`: only the total, an empty page, or nothing new is an end.
        is_ended = not records or len(found) == known or (total is not None and skipped >= total)
        if is_ended:
            break
    is_complete = is_ended and (total is None or skipped >= total)
    return Listing(tuple(found.values()), is_complete)


def _page(client: Client, skip: int) -> tuple[list[Any], int | None]:
    """Return a page's records, and how many there are in all where that is told."""
    with client.ask("GET", f"{PATH}?limit={LIMIT}&skip={skip}&sort=_id") as answer:
        try:
            document = orjson.loads(client.read(answer, MAX_PAGE_BYTES))
        except (ValueError, PageTooLarge):
            document = None
    records, total = document, None
    if isinstance(document, dict):
        records, total = document.get("results"), document.get("totalCount")
    if not isinstance(records, list):
        said = "JumpCloud answered /organizations with something else than organizations."
        raise TryAgain(said, end=END, request=f"GET {PATH}")
    is_number = isinstance(total, int) and not isinstance(total, bool)
    return records, total if is_number else None


def _organization(record: object) -> Organization | None:
    if not isinstance(record, dict):
        return None
    identifier = _text(record, "id") or _text(record, "_id")
    name = _text(record, "displayName") or _text(record, "name")
    return Organization(identifier, name) if identifier else None


def _text(record: dict[str, Any], key: str) -> str:
    """Return a text as one line that fits into a message, and commands no terminal."""
    value = record.get(key)
    line = " ".join(value.split()) if isinstance(value, str) else ""
    return "".join(filter(str.isprintable, line))[:100]
