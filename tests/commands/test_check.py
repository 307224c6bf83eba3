"""`check` as the real process: it names each thing that does not work, and changes nothing."""

import json
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from jumpcloud_modules.checkpoint import Checkpoint
from jumpcloud_modules.commands.check_jumpcloud import JumpCloudChecks
from jumpcloud_modules.commands.check_report import Check
from jumpcloud_modules.commands.configured import Configured
from jumpcloud_modules.http.redaction import Secrets
from jumpcloud_modules.jumpcloud.account import Account
from jumpcloud_modules.jumpcloud.insights import SERVICES
from jumpcloud_modules.jumpcloud.regions import Region
from jumpcloud_modules.sekoia.configuration import ConnectorConfiguration
from jumpcloud_modules.state.checkpoint_store import FILE_NAME, CheckpointStore
from jumpcloud_modules.state.inspection import NAMED_BESIDE_ALL
from jumpcloud_modules.state.ownership import ownership
from sandbox import SERVICES as EMULATED
from sandbox import Answers, Reply, Sandbox, faults, generate
from sandbox.connector import ConnectorProcess, platform_variables
from sandbox.instants import now_ms
from tests.doubles import NOON_MS, Says, Waits
from tests.shell import ROOT, Ended, regions_at, self_hosted, typed

NAMES = [
    "configuration",
    "jumpcloud",
    "clock",
    "credentials",
    "organization",
    "directory_insights",
    "counts",
    "intake",
    "state",
]
HOUR_MS = 3_600_000


def some_events(count: int = 200) -> list[Any]:
    """Make events of the last hours."""
    now = now_ms()
    return generate(count, now - 20 * HOUR_MS, now - 60_000, seed=3)


def checked(sandbox: Sandbox, folder: Path, **more: str) -> Ended:
    """Type `check --json`."""
    return typed("check", "--json", environment=self_hosted(sandbox, folder, **more))


def by_name(ended: Ended) -> dict[str, dict[str, Any]]:
    """Return the checks by their names, after a look at the form of them all."""
    document = ended.document
    assert set(document) == {"ok", "checks", "services"}
    assert [check["name"] for check in document["checks"]] == NAMES
    assert all(set(c) == {"name", "status", "message", "remedy"} for c in document["checks"])
    return {check["name"]: check for check in document["checks"]}


SECONDS = 3.0
TRIES = 5


def statuses(ended: Ended) -> dict[str, str]:
    """Return the status of each check that is not ok."""
    return {n: c["status"] for n, c in by_name(ended).items() if c["status"] != "ok"}


def test_all_is_well_within_three_seconds(tmp_path: Path) -> None:
    """Each check is ok, the events are counted by service, and nothing was sent or made.

    The quickest of a few tries counts: the machine may be busy with something else.
    """
    events, seconds = some_events(), list[float]()
    with Sandbox(events) as sandbox:
        while len(seconds) < TRIES and min(seconds, default=SECONDS) >= SECONDS:
            began = time.monotonic()
            ended = checked(sandbox, tmp_path / "state")
            seconds.append(time.monotonic() - began)

        assert (ended.status, ended.err) == (0, "")
        assert statuses(ended) == {}
        assert ended.document["ok"] is True
        assert min(seconds) < SECONDS
        assert sandbox.intake.count == 0
    assert ended.document["services"] == {
        name: count
        for name in EMULATED
        if (count := sum(event.service == name for event in events))
    }
    assert list(tmp_path.iterdir()) == []


def test_the_list_of_services_is_jumpclouds() -> None:
    """As far as it is known."""
    assert set(SERVICES) == set(EMULATED)


def test_a_person_reads_lines_in_a_pipe(tmp_path: Path) -> None:
    """A line a check with what to do, and no colour."""
    with Sandbox(some_events()) as sandbox:
        environment = self_hosted(sandbox, tmp_path, JUMPCLOUD_API_KEY="jca_another")
        ended = typed("check", environment=environment)

    lines = ended.out.splitlines()
    assert [line.split()[1] for line in lines] == NAMES
    assert lines[3].startswith("failed   credentials")
    assert "→ Check that the API key" in lines[3]
    assert "\x1b" not in ended.out


def test_it_works_in_the_platforms_container(tmp_path: Path) -> None:
    """With the variables that are set there, and the secret fetched from there."""
    with Sandbox(some_events()) as sandbox:
        variables = platform_variables(ConnectorProcess(sandbox.addresses, data_folder=tmp_path))

        ended = typed("check", "--json", environment=variables)

        assert statuses(ended) == {}
        assert sandbox.platform.requests.arrivals() == 1
    assert list(tmp_path.iterdir()) == []


def test_a_platform_without_secrets_is_a_configuration_that_cannot_work(tmp_path: Path) -> None:
    """It is said which variables lead to them."""
    with Sandbox() as sandbox:
        variables = platform_variables(ConnectorProcess(sandbox.addresses, data_folder=tmp_path))

        ended = typed("check", "--json", environment=variables | {"TOKEN": "another"})

    assert ended.status == 2
    assert "it answered 401" in by_name(ended)["configuration"]["message"]
    assert "URL_SECRETS and TOKEN" in by_name(ended)["configuration"]["remedy"]


# What it names


@dataclass(frozen=True)
class Mistake:
    """What is wrong: done to the sandbox, set by the person, and what it is to be named."""

    name: str
    remedy: str
    harm: Callable[[Sandbox], object] = lambda _: None
    variables: dict[str, str] | None = None
    skipped: tuple[str, ...] = ()
    status: int = 1


def refuse_counts(sandbox: Sandbox) -> None:
    """Refuse to count, as for a role that may not."""
    sandbox.jumpcloud.faults.add(faults.Status(403), endpoint="interval")
    sandbox.jumpcloud.faults.add(faults.Status(403), endpoint="count")


def unusable_counts(sandbox: Sandbox) -> None:
    """Answer the counts with a page of something on the way."""
    sandbox.jumpcloud.faults.add(Says(Reply(200, b"<html>")), endpoint="interval")


def redirected(sandbox: Sandbox) -> None:
    """Lead elsewhere, as a proxy that wants a person to sign in."""
    sandbox.jumpcloud.faults.add(faults.Redirect("https://portal.invalid/"))


def refused_unless_chosen(sandbox: Sandbox) -> None:
    """Have the key reach two organizations, and say so in words of its own."""
    several_organizations(sandbox)
    sandbox.jumpcloud.faults.add(Says(Reply(401, b"{}")), endpoint="events")


def without_insights(sandbox: Sandbox) -> None:
    """Be an organization on a plan without Directory Insights."""
    sandbox.jumpcloud.insights_enabled = False


def several_organizations(sandbox: Sandbox) -> None:
    """Have the key reach two organizations."""
    sandbox.jumpcloud.organizations = {"6490f0f5a2d5398": "Berlin", "6490f0f5a2d5399": "Paris"}


OF_THE_KEY = ("organization", "directory_insights", "counts")
MISTAKES = {
    "wrong key": Mistake(
        "credentials",
        "Check that the API key",
        variables={"JUMPCLOUD_API_KEY": "jca_another"},
        skipped=OF_THE_KEY,
    ),
    "no organization chosen": Mistake(
        "organization",
        "set organization_id to the ID of one of them: Berlin (6490f0f5a2d5398), Paris",
        several_organizations,
        skipped=OF_THE_KEY[1:],
    ),
    "organization unknown": Mistake(
        "organization",
        "The organization 000000000000000 is none of those that these credentials reach",
        several_organizations,
        {"JUMPCLOUD_ORG_ID": "000000000000000"},
        skipped=OF_THE_KEY[1:],
    ),
    "plan without Directory Insights": Mistake(
        "directory_insights", "enable it in JumpCloud", without_insights, skipped=("counts",)
    ),
    "no organization chosen, in other words": Mistake(
        "organization", "Berlin (6490f0f5a2d5398)", refused_unless_chosen, skipped=OF_THE_KEY[1:]
    ),
    "redirected": Mistake(
        "jumpcloud",
        "Redirects are not followed",
        redirected,
        skipped=("clock", "credentials", *OF_THE_KEY),
    ),
    "counts unusable": Mistake("counts", "its proxy (HTTPS_PROXY)", unusable_counts),
    "counts refused": Mistake("counts", "allowed to count events", refuse_counts),
    "intake key wrong": Mistake(
        "intake", "Check the intake key.", variables={"SEKOIA_INTAKE_KEY": "another_key"}
    ),
    "JumpCloud away": Mistake(
        "jumpcloud",
        "its proxy (HTTPS_PROXY)",
        variables={"JUMPCLOUD_BASE_URL": "http://127.0.0.1:9/"},
        skipped=("clock", "credentials", *OF_THE_KEY),
    ),
    "intake away": Mistake(
        "intake", "Check intake_server", variables={"SEKOIA_INTAKE_URL": "http://127.0.0.1:9"}
    ),
    "a value out of bounds": Mistake(
        "configuration",
        "Give a whole number from 1 to 7776000.",
        variables={"FREQUENCY": "0"},
        skipped=tuple(NAMES[1:8]),
        status=2,
    ),
    "certificates that are not there": Mistake(
        "configuration",
        "Name a file that holds the certificates",
        variables={
            "REQUESTS_CA_BUNDLE": "/nowhere/company.pem",
            "JUMPCLOUD_BASE_URL": "https://127.0.0.1:9/",
        },
        skipped=tuple(NAMES[1:8]),
        status=2,
    ),
    "a proxy that is none": Mistake(
        "configuration",
        "Give http://host:port.",
        variables={"HTTP_PROXY": "gopher://proxy:70", "NO_PROXY": ""},
        skipped=tuple(NAMES[1:8]),
        status=2,
    ),
    "a data folder within a file": Mistake(
        "state", "Name another one.", variables={"DATA_DIR": f"{__file__}/data"}
    ),
    "a service that there is not": Mistake(
        "configuration",
        "Correct service",
        variables={"SERVICE": "sso,telephony"},
        skipped=("counts",),
        status=2,
    ),
}


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Future[Ended]]:
    """Check all that is wrong, several at a time: each waits for its own sandbox."""

    def check(mistake: Mistake) -> Ended:
        with Sandbox(some_events(20)) as sandbox:
            mistake.harm(sandbox)
            folder = tmp_path_factory.mktemp("data")
            return checked(sandbox, folder, **mistake.variables or {})

    with ThreadPoolExecutor(4) as pool:
        return {name: pool.submit(check, mistake) for name, mistake in MISTAKES.items()}


@pytest.mark.parametrize("name", MISTAKES)
def test_what_is_wrong_is_named_by_its_check(named: dict[str, Future[Ended]], name: str) -> None:
    """One check fails, those that rest on it are skipped, and the remedy says what to do."""
    mistake, ended = MISTAKES[name], named[name].result()

    failed = by_name(ended)[mistake.name]
    assert statuses(ended) == {mistake.name: "failed", **dict.fromkeys(mistake.skipped, "skipped")}
    assert mistake.remedy in failed["remedy"]
    assert failed["message"].endswith((".", ")"))
    assert ended.status == mistake.status
    assert ended.document["ok"] is False


def test_a_wrong_region_is_named_with_the_right_one() -> None:
    """The others are asked with the same credentials."""
    with Sandbox() as home, Sandbox(api_key="another") as elsewhere:
        us, eu = (
            Region(name, f"{sandbox.jumpcloud.url}/", "", "")
            for name, sandbox in (("US", elsewhere), ("EU", home))
        )
        account = Account(us.base_url, home.jumpcloud.api_key)
        connector = ConnectorConfiguration(intake_key="x")
        configured = Configured(account, connector, "")

        checks, services = JumpCloudChecks(configured, Secrets(), [us, eu]).run(
            Check("configuration", "ok", "It is well.")
        )

    found = {check.name: check for check in checks}
    assert services == {}
    assert found["credentials"].status == "failed"
    assert found["credentials"].remedy == (
        f"These credentials belong to JumpCloud's region EU: set base_url to {eu.base_url}"
    )
    assert [found[name].status for name in OF_THE_KEY] == ["skipped"] * 3


def test_a_wrong_region_is_named_by_the_command_as_well(tmp_path: Path) -> None:
    """As the real process, to which two sandboxes are JumpCloud's regions."""
    with Sandbox(some_events(20), api_key="another") as elsewhere, Sandbox() as home:
        urls = {"US": f"{elsewhere.jumpcloud.url}/", "EU": f"{home.jumpcloud.url}/"}
        ended = checked(
            elsewhere,
            tmp_path / "data",
            JUMPCLOUD_API_KEY=home.jumpcloud.api_key,
            **regions_at(urls, tmp_path),
        )

    credentials = by_name(ended)["credentials"]
    assert ended.status == 1
    assert credentials["status"] == "failed"
    assert credentials["remedy"].endswith(f"region EU: set base_url to {urls['EU']}")


def as_service_account(sandbox: Sandbox) -> dict[str, str]:
    """Return what a person sets who has a service account, and no key."""
    return {
        "JUMPCLOUD_API_KEY": "",
        "JUMPCLOUD_CLIENT_ID": sandbox.addresses.client_id,
        "JUMPCLOUD_CLIENT_SECRET": sandbox.addresses.client_secret,
        "JUMPCLOUD_ORG_ID": "org",
    }


def test_a_service_account_that_works_is_well(tmp_path: Path) -> None:
    """Its token is accepted, and it is not called a key."""
    with Sandbox(some_events(20)) as sandbox:
        ended = checked(sandbox, tmp_path, **as_service_account(sandbox))

    assert statuses(ended) == {}
    assert by_name(ended)["credentials"]["message"] == "JumpCloud accepts the service account."
    assert sum(ended.document["services"].values()) == 20


def test_a_service_account_that_is_refused_is_told_with_its_own_remedy(tmp_path: Path) -> None:
    """Once, and nothing of an API key that nobody has."""
    with Sandbox(some_events(20)) as sandbox:
        wrong = as_service_account(sandbox) | {"JUMPCLOUD_CLIENT_SECRET": "the-secret-of-before"}
        ended = checked(sandbox, tmp_path, **wrong)

    credentials = by_name(ended)["credentials"]
    assert statuses(ended) == {
        "clock": "skipped",
        "credentials": "failed",
        **dict.fromkeys(OF_THE_KEY, "skipped"),
    }
    assert credentials["message"].endswith('"Client authentication failed"}).')
    assert credentials["remedy"].startswith("Check client_id and client_secret, that")
    assert by_name(ended)["counts"]["message"].endswith("JumpCloud refuses the service account.")


def test_names_that_nobody_reads_are_told_with_the_nearest(tmp_path: Path) -> None:
    """A misspelt variable leaves a connector that works, a misspelt key none."""
    document = json.loads((ROOT / "module.json").read_bytes())
    document["module"]["base_ur"] = document["module"].pop("base_url")
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(document))
    with Sandbox(some_events(20)) as sandbox:
        of_variable = checked(sandbox, tmp_path, FREQENCY="30")
        of_key = checked(sandbox, tmp_path, MODULE_JSON=str(path))

    configuration = by_name(of_variable)["configuration"]
    assert (of_variable.status, statuses(of_variable)) == (0, {})
    assert "FREQENCY is not read; did you mean FREQUENCY?" in configuration["message"]
    assert of_key.status == 2
    assert "module.base_ur: there is no such key" in by_name(of_key)["configuration"]["message"]
    assert by_name(of_key)["configuration"]["remedy"] == "Did you mean base_url?"


def test_a_clock_that_is_ten_minutes_off_is_named(tmp_path: Path) -> None:
    """By how much, and in which direction."""
    events = some_events(20)
    with Sandbox(events, now_ms=lambda: now_ms() + 600_000) as sandbox:
        ended = checked(sandbox, tmp_path)

    clock = by_name(ended)["clock"]
    assert statuses(ended) == {"clock": "failed"}
    assert "s behind JumpCloud's" in clock["message"]
    assert "NTP" in clock["remedy"]
    assert sum(ended.document["services"].values()) == 20


def test_without_a_date_the_clock_is_not_checked(tmp_path: Path) -> None:
    """A proxy may take it away."""
    with Sandbox(some_events(20)) as sandbox:
        sandbox.jumpcloud.faults.add(faults.NoDate())

        ended = checked(sandbox, tmp_path)

    assert statuses(ended) == {"clock": "skipped"}
    assert ended.status == 0


@pytest.mark.parametrize("status", [400, 422])
def test_an_intake_that_takes_no_empty_batch_is_not_tested(tmp_path: Path, status: int) -> None:
    """That is said, and is no failure; an event is never made up."""
    with Sandbox(some_events(20)) as sandbox:
        sandbox.intake.faults.add(faults.Status(status))

        ended = checked(sandbox, tmp_path)

    assert statuses(ended) == {"intake": "skipped"}
    assert by_name(ended)["intake"]["message"].startswith("Not tested: ")
    assert ended.status == 0


def test_it_ends_whatever_hangs(tmp_path: Path) -> None:
    """Both ends at once, within the half minute that is promised."""
    with Sandbox(some_events(20)) as sandbox:
        sandbox.jumpcloud.faults.add(faults.Hang(seconds=60))
        sandbox.intake.faults.add(faults.Hang(seconds=60))
        began = time.monotonic()

        ended = checked(sandbox, tmp_path)

        assert time.monotonic() - began < 25
    found = statuses(ended)
    assert found["jumpcloud"] == found["intake"] == "failed"
    assert "did not answer within" in by_name(ended)["jumpcloud"]["message"]


# What `all` leaves out


@pytest.mark.parametrize(
    "answers", [Answers(outside_all=("pam",)), Answers(outside_all=("pam",), distinct="values")]
)
def test_what_all_does_not_bring_is_told(tmp_path: Path, answers: Answers) -> None:
    """By counts, in both forms that JumpCloud lists services in."""
    with Sandbox(some_events(), answers=answers) as sandbox:
        ended = checked(sandbox, tmp_path)

    count = ended.document["services"]["pam"]
    assert f"all leaves out pam ({count})" in by_name(ended)["counts"]["message"]
    assert ended.status == 0


# The state


def keep_state(folder: Path) -> None:
    """Leave the state of a connector that has stopped."""
    CheckpointStore(folder).save(Checkpoint(NOON_MS, NOON_MS + HOUR_MS, scope="x"))
    (folder / "ledger").mkdir()
    (folder / "ledger/about.json").write_text('{"scope": "x", "forgotten_ms": 0}')


def everything_in(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Return what each file of a folder holds, and when it was changed."""
    return {
        str(path): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_sound_state_is_told_with_how_far_it_got_and_stays_as_it_is(tmp_path: Path) -> None:
    """Nothing is cleaned up, either: that is the owner's."""
    keep_state(tmp_path)
    (tmp_path / "context.json.unfinished").write_text("x")
    before = everything_in(tmp_path)
    with Sandbox(some_events(20)) as sandbox:
        ended = checked(sandbox, tmp_path)

    said = by_name(ended)["state"]["message"]
    assert statuses(ended) == {}
    assert "up to 2025-10-09T13:00:00.000Z; no connector runs on it; no backlog is open" in said
    assert everything_in(tmp_path) == before


def test_a_damaged_state_is_named(tmp_path: Path) -> None:
    """With its file and what will be done about it."""
    keep_state(tmp_path)
    (tmp_path / FILE_NAME).write_bytes(b'{"most_recent')
    with Sandbox(some_events(20)) as sandbox:
        ended = checked(sandbox, tmp_path)

    assert statuses(ended) == {"state": "failed"}
    assert f"The state in {tmp_path / FILE_NAME}" in by_name(ended)["state"]["message"]
    assert "backup" in by_name(ended)["state"]["remedy"]
    assert ended.status == 1


def test_the_state_of_what_is_asked_for_beside_all_is_checked_too(tmp_path: Path) -> None:
    """How far each stream got; damage, or a lost ledger, of either is named with its folder."""
    named = tmp_path / NAMED_BESIDE_ALL
    keep_state(tmp_path)
    keep_state(named)
    CheckpointStore(named).save(Checkpoint(NOON_MS, NOON_MS, scope="x y pam"))
    with Sandbox(some_events(20)) as sandbox:
        sound = checked(sandbox, tmp_path)
        (named / "ledger/about.json").unlink()
        without_ledger = checked(sandbox, tmp_path)
        (named / FILE_NAME).write_bytes(b'{"most_recent')
        damaged = checked(sandbox, tmp_path)

    said = [by_name(ended)["state"]["message"] for ended in (sound, without_ledger, damaged)]
    assert statuses(sound) == {}
    assert statuses(without_ledger) == statuses(damaged) == {"state": "failed"}
    assert "up to 2025-10-09T13:00:00.000Z and pam up to 2025-10-09T12:00:00.000Z; no" in said[0]
    assert said[1] == f"The ledger of delivered events is missing in {named}."
    assert f"The state in {named / FILE_NAME}" in said[2]


def test_a_lost_ledger_is_named(tmp_path: Path) -> None:
    """The connector would go on, but not look for late events."""
    CheckpointStore(tmp_path).save(Checkpoint(NOON_MS, NOON_MS + HOUR_MS, scope="x"))
    with Sandbox(some_events(20)) as sandbox:
        ended = checked(sandbox, tmp_path)

    assert statuses(ended) == {"state": "failed"}
    assert "ledger of delivered events is missing" in by_name(ended)["state"]["message"]


def test_an_owner_is_named_and_is_not_disturbed(tmp_path: Path) -> None:
    """A connector that runs is as it should be."""
    keep_state(tmp_path)
    owner = ownership(tmp_path)
    owner.acquire(Waits(stop_after=1), lambda _: None)
    with Sandbox(some_events(20)) as sandbox:
        ended = checked(sandbox, tmp_path)

    owner.check()
    owner.release()
    assert statuses(ended) == {}
    assert "a connector runs on it (process " in by_name(ended)["state"]["message"]
