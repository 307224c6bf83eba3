"""List the organizations that the key or the service account reaches; changes nothing.

Each with its name, its ID, whether it is the one that is configured or one of those that
module.json lists, and how many events it had in the last 24 hours, of all services under `all`. One
that cannot be counted is listed with the reason, and the exit status is 1. No intake key is needed.
"""

import argparse
import csv
import sys
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import orjson

from jumpcloud_modules.commands import configured, installation, reach
from jumpcloud_modules.commands.dispatch import NOT_WELL, WELL
from jumpcloud_modules.commands.module_json import ConfigurationError
from jumpcloud_modules.commands.organization_list import Named
from jumpcloud_modules.commands.organization_names import names_of
from jumpcloud_modules.commands.terminal import Cell, Terminal
from jumpcloud_modules.errors import Refused, TryAgain
from jumpcloud_modules.http.redaction import Secrets
from jumpcloud_modules.instants import DAY_MS
from jumpcloud_modules.jumpcloud.account import (
    Account,
    console_client,
    credentials_of,
    events_client,
)
from jumpcloud_modules.jumpcloud.clock import JumpCloudClock
from jumpcloud_modules.jumpcloud.console import Listing, Organization
from jumpcloud_modules.jumpcloud.diagnosis import Findings, accepting_region, remedy
from jumpcloud_modules.jumpcloud.insights import JumpCloudApi
from jumpcloud_modules.sekoia.configuration import ALL_SERVICES

COLUMNS: Final = ("name", "organization_id", "intake_key")
OF_TABLE: Final = ("name", "id", "configured", f"{'last 24 hours':>13}", "")


@dataclass(frozen=True, slots=True)
class Row:
    """Say of an organization whether it is configured, and its events, or why they are unknown."""

    organization: Organization
    is_configured: bool
    counted: reach.Counted

    @property
    def failure(self) -> Refused | TryAgain | None:
        """Return why the events could not be counted."""
        return None if isinstance(self.counted, int) else self.counted


class Reach:
    """Ask JumpCloud, with an account's credentials, about every organization that they reach."""

    def __init__(self, account: Account, secrets: Secrets) -> None:
        clock = JumpCloudClock()
        credentials = credentials_of(account, secrets)
        console = console_client(account, credentials, clock=clock)
        if console is None:
            raise ConfigurationError(WITHOUT_CONSOLE)
        self._console = console
        self._account = account
        self._clock = clock
        self._events = events_client(account, credentials, clock=clock)

    def listing(self) -> Listing:
        """Return the organizations. Raises TryAgain or Refused."""
        return reach.list_organizations(self._console)

    def rows(self, listing: Listing, configured_ids: Set[str]) -> list[Row]:
        """Return the organizations by name, each with its events of the last day."""
        end_ms = self._clock.now_ms()
        counts = reach.count_each(
            {
                organization.id: self._count(organization, end_ms)
                for organization in listing.organizations
            }
        )
        return [
            Row(organization, organization.id in configured_ids, counts[organization.id])
            for organization in _by_name(listing)
        ]

    def _count(self, organization: Organization, end_ms: int) -> Callable[[], int]:
        client = self._events.of_organization(organization.id)
        api = JumpCloudApi(client, [ALL_SERVICES])
        return partial(api.count, end_ms - DAY_MS, end_ms)


def configure(parser: argparse.ArgumentParser) -> None:
    """Say what can be typed."""
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="write the list as JSON")
    form.add_argument(
        "--csv",
        action="store_true",
        help="write a name, the ID and an empty intake key of each; counts no events",
    )


def run(options: argparse.Namespace) -> int:
    """List, and return the exit status."""
    secrets, stderr = Secrets(), Terminal(sys.stderr)
    place = installation.find()
    account, collected = configured.account(place), place.collected()
    try:
        asking = Reach(account, secrets)
        with stderr.waiting("Asking JumpCloud for its organizations …"):
            listing = asking.listing()
    except (Refused, TryAgain) as error:
        stderr.say(secrets.redact(_refusal(account, error)), "bad")
        return NOT_WELL
    rows: list[Row] = []
    if options.csv:
        _write_csv(listing)
    else:
        with stderr.waiting(f"Counting the events of {len(listing.organizations)} organizations …"):
            rows = asking.rows(listing, _configured(account, collected, listing))
        show = _write_json if options.json else _show
        show(rows, listing, secrets)
    warnings = _warnings(account, collected, listing)
    for warning in warnings:
        stderr.say(warning, "bad")
    return NOT_WELL if warnings or any(row.failure for row in rows) else WELL


def _refusal(account: Account, error: Refused | TryAgain) -> str:
    """Say why there is no list; of refused credentials, in which region they would be accepted."""
    if isinstance(error, Refused) and error.status in {401, 403}:
        region = accepting_region(account)
        return " ".join(filter(None, [str(error), remedy(account, Findings(region))]))
    return str(error)


def _configured(account: Account, collected: Sequence[Named], listing: Listing) -> set[str]:
    """Return the organizations that are collected: those of the list, or else the one."""
    if collected:
        return {one.organization_id for one in collected}
    chosen = _chosen(account, listing)
    return {chosen} if chosen else set()


def _chosen(account: Account, listing: Listing) -> str | None:
    """Return the organization that is collected: the one that is named, or else the only one."""
    is_only = len(listing.organizations) == 1 and listing.is_complete
    if account.organization_id or account.provider_id or account.is_service_account or not is_only:
        return account.organization_id
    return listing.organizations[0].id


def _warnings(account: Account, collected: Sequence[Named], listing: Listing) -> list[str]:
    said = []
    reached = {organization.id for organization in listing.organizations}
    unreached = [
        f"{one.name} ({one.organization_id})"
        for one in collected
        if one.organization_id not in {*reached, ""} and not one.is_reached_otherwise
    ]
    if unreached:
        said.append(
            f"module.json lists organizations that are none of these: {', '.join(unreached)}."
            " Correct their organization_id, or give them credentials of their own."
        )
    if not collected and account.organization_id and account.organization_id not in reached:
        said.append(f"organization_id names {account.organization_id}, which is none of these.")
    if not listing.is_complete:
        said.append(
            f"JumpCloud has more organizations than the {len(reached)} that it listed; find the"
            " others in its portal."
        )
    return said


def _by_name(listing: Listing) -> list[Organization]:
    return sorted(listing.organizations, key=lambda found: (found.name.casefold(), found.id))


# The three forms


def _show(rows: Sequence[Row], listing: Listing, secrets: Secrets) -> None:
    terminal = Terminal()
    if not listing.organizations:
        terminal.say("These credentials reach no organization.")
        return
    terminal.table([_cells(row, secrets) for row in rows], OF_TABLE)


def _cells(row: Row, secrets: Secrets) -> list[Cell]:
    organization, failure = row.organization, row.failure
    events = Cell(f"{'failed':>13}", "bad") if failure else Cell(f"{row.counted:>13,}")
    return [
        Cell(organization.name),
        Cell(organization.id),
        Cell("yes", "good") if row.is_configured else Cell(""),
        events,
        Cell(secrets.redact(str(failure)) if failure else "", "bad"),
    ]


def _write_json(rows: Sequence[Row], listing: Listing, secrets: Secrets) -> None:
    document: dict[str, Any] = {
        "organizations": [_as_json(row) for row in rows],
        "complete": listing.is_complete,
    }
    text = orjson.dumps(document, option=orjson.OPT_INDENT_2).decode()
    sys.stdout.write(secrets.redact(text) + "\n")


def _as_json(row: Row) -> dict[str, Any]:
    return {
        "name": row.organization.name,
        "id": row.organization.id,
        "configured": row.is_configured,
        "events_last_day": None if row.failure else row.counted,
        "error": str(row.failure) if row.failure else None,
    }


def _write_csv(listing: Listing) -> None:
    names = names_of(listing.organizations)
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows((names[found.id], found.id, "") for found in _by_name(listing))


WITHOUT_CONSOLE: Final = (
    "base_url is not an address of JumpCloud's own, so the console that lists organizations is not"
    " known; give one of JumpCloud's."
)
