"""Find out why credentials are refused: wrong region, or no organization chosen.

Asks JumpCloud's own hosts only, changes nothing, and returns in time even if a host hangs.
"""

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from time import monotonic
from typing import Final, TypeVar

from jumpcloud_modules.errors import CollectorError, Refused
from jumpcloud_modules.instants import DAY_MS
from jumpcloud_modules.jumpcloud.account import (
    Account,
    console_client,
    credentials_of,
    events_client,
)
from jumpcloud_modules.jumpcloud.auth import Credentials
from jumpcloud_modules.jumpcloud.clock import machine_ms
from jumpcloud_modules.jumpcloud.console import Organization, organizations
from jumpcloud_modules.jumpcloud.insights import JumpCloudApi
from jumpcloud_modules.jumpcloud.regions import REGIONS, Region
from jumpcloud_modules.queries import Query

Result = TypeVar("Result")

SECONDS: Final = 8.0
"""For all of it: a person is waiting, and the platform too."""
MAX_NAMED: Final = 20
ACCEPTED_WITH: Final = frozenset({400, 402})
"""An organization that is not known, or one without Directory Insights: the credentials are."""


@dataclass(frozen=True, slots=True)
class Findings:
    """Hold what was found out.

    `region` is another one that accepts the credentials. `organizations` are those that they reach
    at the account's own address, None where that did not tell.
    """

    region: Region | None = None
    organizations: tuple[Organization, ...] | None = None


def look_into(
    account: Account,
    refusal: Refused,
    regions: Iterable[Region] = REGIONS,
    seconds: float = SECONDS,
) -> Findings:
    """Find out what a refusal comes from, as far as JumpCloud tells."""
    if refusal.status == 400:
        return Findings(organizations=reached_organizations(account, seconds))
    if refusal.status not in {401, 403}:
        return Findings()
    here, *elsewhere = in_time(
        seconds,
        [lambda: Findings(organizations=_reached(account)), *_questions(account, regions)],
    )
    return Findings(_region_of(elsewhere), here.organizations if here else None)


def remedy(account: Account, findings: Findings) -> str | None:
    """Return what to do in a sentence or two, or None where nothing was found."""
    if findings.organizations is not None:
        return _organization_to_choose(account, findings.organizations)
    if findings.region is not None:
        region = findings.region
        return (
            f"These credentials belong to JumpCloud's region {region.name}:"
            f" set base_url to {region.base_url}"
        )
    return None


def accepting_region(
    account: Account, regions: Iterable[Region] = REGIONS, seconds: float = SECONDS
) -> Region | None:
    """Return another region that accepts the account's credentials, or None.

    Where the account's address is not a region's, no other is asked: the credentials may be those
    of a gateway, and must not be sent elsewhere.
    """
    return _region_of(in_time(seconds, _questions(account, regions)))


def reached_organizations(
    account: Account, seconds: float = SECONDS
) -> tuple[Organization, ...] | None:
    """Return the organizations that the credentials reach, None without an answer in time."""
    (found,) = in_time(seconds, [lambda: _reached(account)])
    return found


def accepts(account: Account) -> bool:
    """Tell whether JumpCloud knows the credentials at the account's address.

    Whether they may read events is another question, and so is the organization.
    """
    try:
        credentials = credentials_of(account)
        return _reads(account, credentials) or _lists(account, credentials) is not None
    except CollectorError:
        return False


def in_time(
    seconds: float, calls: Sequence[Callable[[], Result | None]]
) -> Sequence[Result | None]:
    """Return what each call returned within so many seconds, None for those that did not.

    They run side by side, in threads that are left behind where they hang. One that raises a
    CollectorError returned nothing.
    """
    results: list[Result | None] = [None] * len(calls)

    def run(number: int) -> None:
        try:
            results[number] = calls[number]()
        except CollectorError:
            results[number] = None

    threads = [threading.Thread(target=run, args=(n,), daemon=True) for n in range(len(calls))]
    deadline = monotonic() + seconds
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - monotonic()))
    # A copy, since a thread that was left behind may still write.
    return tuple(results)


def _questions(account: Account, regions: Iterable[Region]) -> list[Callable[[], Findings | None]]:
    """Return a question to each other region: whether it is the one."""
    regions = list(regions)
    others = [region for region in regions if not _is_at(account, region)]
    return [_question(account, region) for region in others] if others != regions else []


def _question(account: Account, region: Region) -> Callable[[], Findings | None]:
    there = replace(account, base_url=region.base_url)
    return lambda: Findings(region=region) if accepts(there) else None


def _region_of(answers: Iterable[Findings | None]) -> Region | None:
    return next((found.region for found in answers if found), None)


def _is_at(account: Account, region: Region) -> bool:
    return account.base_url.rstrip("/") == region.base_url.rstrip("/")


def _reads(account: Account, credentials: Credentials) -> bool:
    api = JumpCloudApi(events_client(account, credentials), ["all"])
    try:
        api.open(Query(machine_ms() - DAY_MS, None, 1)).close()
    except Refused as error:
        return error.status in ACCEPTED_WITH
    return True


def _lists(account: Account, credentials: Credentials) -> tuple[Organization, ...] | None:
    client = console_client(account, credentials)
    return tuple(organizations(client)) if client else None


def _reached(account: Account) -> tuple[Organization, ...] | None:
    return _lists(account, credentials_of(account))


def _organization_to_choose(account: Account, reached: tuple[Organization, ...]) -> str | None:
    chosen = account.organization_id
    if not reached or chosen in {organization.id for organization in reached}:
        return None
    if chosen:
        said = f"The organization {chosen} is none of those that these credentials reach"
    elif len(reached) > 1:
        said = "No organization is chosen, and these credentials reach several"
    elif account.is_service_account:
        said = "No organization is chosen, and a service account needs one"
    else:
        return None
    return f"{said}: set organization_id to the ID of one of them: {named(reached)}."


def named(reached: Sequence[Organization]) -> str:
    """List organizations by name and ID, the first ones where there are many."""
    listed = ", ".join(str(organization) for organization in reached[:MAX_NAMED])
    more = len(reached) - MAX_NAMED
    return f"{listed} and {more} more" if more > 0 else listed
