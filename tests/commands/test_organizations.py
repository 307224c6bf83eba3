"""`organizations` as the real process: what a key reaches, in each of its three forms."""

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from jumpcloud_modules.commands.organization_list import read_organizations
from sandbox import ORGANIZATION_ID, Reply, Request, Sandbox, faults, generate
from sandbox.connector import ConnectorProcess, Settings, platform_variables
from sandbox.instants import now_ms
from tests.doubles import Says
from tests.shell import ROOT, Ended, regions_at, self_hosted, typed

BERLIN, PARIS, ROME = "6490f0f5a2d5398a", "6490f0f5a2d5398b", "6490f0f5a2d5398c"
THREE = {ROME: "Rome", PARIS: "Paris", BERLIN: "Berlin"}


def listed(sandbox: Sandbox, folder: Path, *arguments: str, **more: str) -> Ended:
    """Type `organizations`, without an intake key."""
    variables = {**self_hosted(sandbox, folder), "SEKOIA_INTAKE_KEY": "", **more}
    return typed("organizations", *arguments, environment=variables)


def rows_of(ended: Ended) -> list[dict[str, Any]]:
    """Return the organizations of `--json`, after a look at its form."""
    assert set(ended.document) == {"organizations", "complete"}
    rows: list[dict[str, Any]] = ended.document["organizations"]
    form = {"name", "id", "configured", "events_last_day", "error"}
    assert all(set(row) == form for row in rows)
    return rows


def give_counts(sandbox: Sandbox, counts: Mapping[str, int]) -> None:
    """Have each organization count events of its own."""
    for identifier, count in counts.items():
        reply = Reply(200, json.dumps({"count": count}).encode())
        sandbox.jumpcloud.faults.add(Says(reply), endpoint="count", when=asks_of(identifier))


class asks_of:  # noqa: N801 -- reads as a condition
    """Tell of a request whether it is about an organization."""

    def __init__(self, identifier: str) -> None:
        self._identifier = identifier

    def __call__(self, request: Request) -> bool:
        return request.headers.get("x-org-id") == self._identifier


def test_a_person_reads_a_table_by_name(tmp_path: Path) -> None:
    """With the events of each, and a mark at the one that is configured; nothing else happens."""
    with Sandbox(organizations=THREE) as sandbox:
        give_counts(sandbox, {BERLIN: 12_345, PARIS: 0, ROME: 7})

        ended = listed(sandbox, tmp_path / "state", JUMPCLOUD_ORG_ID=PARIS)

        assert sandbox.intake.requests.arrivals() == 0
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.splitlines() == [
        "name    id                configured  last 24 hours",
        f"Berlin  {BERLIN}                     12,345",
        f"Paris   {PARIS}  yes                     0",
        f"Rome    {ROME}                          7",
    ]
    assert list(tmp_path.iterdir()) == []


def test_the_events_are_those_of_the_last_day(tmp_path: Path) -> None:
    """Neither older nor younger ones; the only organization is the one that is collected."""
    now = now_ms()
    within = generate(30, now - 80_000_000, now - 60_000, seed=1)
    before = generate(50, now - 200_000_000, now - 90_000_000, seed=2)
    with Sandbox([*before, *within]) as sandbox:
        ended = listed(sandbox, tmp_path, "--json")

    assert ended.status == 0
    assert rows_of(ended) == [
        {
            "name": "Sandbox",
            "id": ORGANIZATION_ID,
            "configured": True,
            "events_last_day": 30,
            "error": None,
        }
    ]


def test_one_that_fails_is_listed_with_its_reason_among_the_others(tmp_path: Path) -> None:
    """Refused, or failing again and again: the others are counted all the same."""
    with Sandbox(organizations=THREE) as sandbox:
        give_counts(sandbox, {ROME: 7})
        refused = sandbox.jumpcloud.faults.add(faults.Status(402), when=asks_of(BERLIN))
        failing = sandbox.jumpcloud.faults.add(faults.EchoKey(500), when=asks_of(PARIS))

        ended = listed(sandbox, tmp_path, "--json")

    berlin, paris, rome = rows_of(ended)
    assert ended.status == 1
    assert berlin["error"].startswith("JumpCloud answered 402 to POST ")
    assert berlin["error"].endswith("ask JumpCloud to.")
    assert paris["error"].startswith("JumpCloud answered 500 to POST ")
    assert berlin["events_last_day"] is paris["events_last_day"] is None
    assert (rome["events_last_day"], rome["error"]) == (7, None)
    assert (refused.fired, failing.fired) == (1, 4)


def test_a_person_reads_why_one_failed(tmp_path: Path) -> None:
    """In its line."""
    with Sandbox(organizations=THREE) as sandbox:
        sandbox.jumpcloud.faults.add(faults.Status(402), when=asks_of(PARIS))

        ended = listed(sandbox, tmp_path)

    (line,) = [line for line in ended.out.splitlines() if line.startswith("Paris")]
    assert ended.status == 1
    assert line.split()[:3] == ["Paris", PARIS, "failed"]
    assert "Directory Insights is not enabled for this organization" in line


def test_csv_is_a_list_to_fill_in(tmp_path: Path) -> None:
    """All that the console lists page by page, each by a name of its own; nothing is counted."""
    many = {f"{number:024x}": f"Société № {number % 200}" for number in range(250)}
    with Sandbox(organizations=many) as sandbox:
        ended = listed(sandbox, tmp_path, "--csv")

        assert sandbox.jumpcloud.requests.count(endpoint="count") == 0
    rows = list(csv.DictReader(io.StringIO(ended.out)))
    assert (ended.status, ended.err) == (0, "")
    assert {row["organization_id"] for row in rows} == many.keys()
    assert len({row["name"] for row in rows}) == 250
    assert {row["intake_key"] for row in rows} == {""}
    assert rows[0] == {
        "name": "societe-no-0",
        "organization_id": f"{0:024x}",
        "intake_key": "",
    }


def test_a_service_account_needs_no_organization_to_find_one(tmp_path: Path) -> None:
    """Although it could collect from none without naming it."""
    with Sandbox(organizations=THREE) as sandbox:
        variables = {
            "JUMPCLOUD_API_KEY": "",
            "JUMPCLOUD_CLIENT_ID": sandbox.addresses.client_id,
            "JUMPCLOUD_CLIENT_SECRET": sandbox.addresses.client_secret,
        }

        ended = listed(sandbox, tmp_path, "--json", **variables)

        assert len(sandbox.jumpcloud.tokens.given) == 1
    assert ended.status == 0
    assert [row["name"] for row in rows_of(ended)] == ["Berlin", "Paris", "Rome"]
    assert not any(row["configured"] for row in rows_of(ended))


def test_a_variable_of_the_intake_need_not_be_set(tmp_path: Path) -> None:
    """One has no intake yet where one looks for organizations; the account is what counts."""
    document = json.loads((ROOT / "module.json").read_bytes())
    document["connector"]["intake_key"] = "${ACME_INTAKE_KEY}"
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(document))
    with Sandbox(organizations=THREE) as sandbox:
        ended = listed(sandbox, tmp_path, "--json", MODULE_JSON=str(path), JUMPCLOUD_ORG_ID=ROME)

    assert ended.status == 0
    assert [row["configured"] for row in rows_of(ended)] == [False, False, True]


def test_it_works_in_the_platforms_container(tmp_path: Path) -> None:
    """With the secret fetched from there, and the organization that the connector names."""
    with Sandbox(organizations=THREE) as sandbox:
        settings = Settings(organization_id=BERLIN)
        process = ConnectorProcess(sandbox.addresses, settings, data_folder=tmp_path)

        ended = typed("organizations", "--json", environment=platform_variables(process))

    assert ended.status == 0
    assert [row["configured"] for row in rows_of(ended)] == [True, False, False]


# With a list


def a_list(folder: Path, listed: Any) -> dict[str, str]:
    """Write a module.json that lists organizations, and say where it is."""
    document = json.loads((ROOT / "module.json").read_bytes())
    path = folder / "listing.json"
    path.write_text(json.dumps({**document, "organizations": listed}))
    return {"MODULE_JSON": str(path)}


def test_each_that_the_list_names_is_configured(tmp_path: Path) -> None:
    """Those that the key does not reach are named, but for those with credentials of their own."""
    entries: list[dict[str, str]] = [
        {"name": "berlin", "organization_id": BERLIN, "intake_key": "${NOT_SET_YET}"},
        {"name": "rome", "organization_id": ROME},
        {"name": "oslo", "organization_id": "0" * 16},
        {"name": "bonn", "organization_id": "1" * 16, "apikey": "${ANOTHER}"},
        {"name": "lima", "organization_id": "2" * 16, "base_url": "https://api.eu.jumpcloud.com"},
    ]
    with Sandbox(organizations=THREE) as sandbox:
        ended = listed(sandbox, tmp_path, "--json", **a_list(tmp_path, entries))
        reached = listed(sandbox, tmp_path, "--json", **a_list(tmp_path, entries[:2]))

    assert [row["configured"] for row in rows_of(ended)] == [True, False, True]
    assert (ended.status, reached.status, reached.err) == (1, 0, "")
    assert ended.err == (
        f"module.json lists organizations that are none of these: oslo ({'0' * 16})."
        " Correct their organization_id, or give them credentials of their own.\n"
    )


@pytest.mark.parametrize("before", [None, ""])
def test_csv_may_be_written_where_the_list_is_to_be(tmp_path: Path, before: str | None) -> None:
    """The file is not there yet, or the shell has just emptied it; with keys it is a list."""
    if before is not None:
        (tmp_path / "organizations.csv").write_text(before)
    variables = a_list(tmp_path, "organizations.csv")
    with Sandbox(organizations=THREE) as sandbox:
        ended = listed(sandbox, tmp_path, "--csv", **variables)
        environment = {**self_hosted(sandbox, tmp_path), **variables}
    (tmp_path / "organizations.csv").write_text(ended.out.replace(",\n", ",key-of-${WHICH}\n"))

    entries = read_organizations(Path(variables["MODULE_JSON"]), {**environment, "WHICH": "all"})

    assert (ended.status, ended.err) == (0, "")
    assert [(entry.name, entry.connector.organization_id) for entry in entries] == [
        ("berlin", BERLIN),
        ("paris", PARIS),
        ("rome", ROME),
    ]
    assert {entry.connector.intake_key for entry in entries} == {"key-of-all"}


# What is not well


def test_a_refused_key_ends_it_with_the_region_that_accepts_it(tmp_path: Path) -> None:
    """In words, without the key."""
    with Sandbox(api_key="another") as elsewhere, Sandbox() as home:
        urls = {"US": f"{elsewhere.jumpcloud.url}/", "EU": f"{home.jumpcloud.url}/"}
        key = home.jumpcloud.api_key

        ended = listed(elsewhere, tmp_path, JUMPCLOUD_API_KEY=key, **regions_at(urls, tmp_path))

    assert (ended.status, ended.out) == (1, "")
    assert ended.err.startswith("JumpCloud answered 401 to GET /organizations ")
    assert f"JumpCloud's region EU: set base_url to {urls['EU']}" in ended.err


def test_a_console_that_fails_for_a_moment_is_asked_again(tmp_path: Path) -> None:
    """And one that goes on failing is not asked for ever."""
    with Sandbox(organizations=THREE) as sandbox:
        sandbox.jumpcloud.faults.add(faults.Status(503), endpoint="organizations", times=1)
        once = listed(sandbox, tmp_path, "--csv")
        asked = sandbox.jumpcloud.requests.count(endpoint="organizations")
        sandbox.jumpcloud.faults.add(faults.Status(503), endpoint="organizations")
        always = listed(sandbox, tmp_path, "--csv")

        assert sandbox.jumpcloud.requests.count(endpoint="organizations") == asked + 3
    assert (once.status, len(once.out.splitlines())) == (0, 4)
    assert (always.status, always.out) == (1, "")
    assert always.err.startswith("JumpCloud answered 503 to GET /organizations ")


def test_an_organization_that_is_configured_but_not_reached_is_named(tmp_path: Path) -> None:
    """The list is there all the same."""
    with Sandbox(organizations=THREE) as sandbox:
        ended = listed(sandbox, tmp_path, "--csv", JUMPCLOUD_ORG_ID="000000000000000")

    assert ended.status == 1
    assert len(ended.out.splitlines()) == 4
    assert ended.err == "organization_id names 000000000000000, which is none of these.\n"


def test_a_list_that_is_not_whole_says_so(tmp_path: Path) -> None:
    """A console that tells of more than it lists."""
    page = Reply(200, b'{"results": [{"id": "a", "displayName": "A"}], "totalCount": 9}')
    with Sandbox(organizations={"a": "A"}) as sandbox:
        sandbox.jumpcloud.faults.add(Says(page), endpoint="organizations")

        ended = listed(sandbox, tmp_path, "--json")

    assert ended.status == 1
    assert ended.document["complete"] is False
    assert [row["configured"] for row in rows_of(ended)] == [False]
    assert ended.err.startswith("JumpCloud has more organizations than the 1 that it listed")


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"JUMPCLOUD_BASE_URL": "https://gateway.example/"}, "console that lists organizations"),
        ({"JUMPCLOUD_API_KEY": ""}, "apikey: is empty; "),
        ({"JUMPCLOUD_BASE_URL": "http://api.jumpcloud.com"}, "base_url: "),
    ],
)
def test_what_cannot_work_is_told_before_anybody_is_asked(
    tmp_path: Path, variables: dict[str, str], said: str
) -> None:
    """With the status of a wrong configuration."""
    with Sandbox() as sandbox:
        ended = listed(sandbox, tmp_path, **variables)

        assert sandbox.jumpcloud.requests.arrivals() == 0
    assert (ended.status, ended.out) == (2, "")
    assert said in ended.err


def test_one_form_at_a_time(tmp_path: Path) -> None:
    """JSON or CSV."""
    with Sandbox() as sandbox:
        assert listed(sandbox, tmp_path, "--json", "--csv").status == 2
