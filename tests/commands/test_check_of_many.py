"""`check` of a list of organizations, as the real process: each is checked, what fails is told."""

import subprocess
import sys
from pathlib import Path

from sandbox import Organization, Sandbox, faults, generate, many
from sandbox.instants import now_ms
from sandbox.self_hosted import ManyConnectorProcess, entry_of
from tests import leaks
from tests.shell import ROOT, Ended, typed

SIX = many(6)
FIRST, SECOND = SIX[0], SIX[1]
EVENTS = 40


def checked(connector: ManyConnectorProcess, *arguments: str, **more: str) -> Ended:
    """Type `check` as beside the process, which does not run."""
    return typed("check", *arguments, environment={**connector.variables(), **more})


def two_fail(sandbox: Sandbox, connector: ManyConnectorProcess) -> None:
    """Have JumpCloud refuse the second, and the intake the first one's key."""
    first = {**entry_of(FIRST), "intake_key": "not-the-key-of-the-first"}
    connector.write_entries([first, *map(entry_of, SIX[1:])])
    sandbox.jumpcloud.faults.add(
        faults.Status(402), when=lambda request: request.headers.get("x-org-id") == SECOND.id
    )


def test_each_is_checked_and_only_what_fails_is_told_at_length(tmp_path: Path) -> None:
    """A line for each that is well, the nine checks of each that is not; by name to a machine."""
    now = now_ms()
    events = generate(EVENTS, now - 3_600_000, now - 60_000, seed=1)
    with Sandbox(events, organizations=SIX) as sandbox:
        connector = ManyConnectorProcess(sandbox.addresses, SIX, data_folder=tmp_path / "data")
        well = checked(connector)
        two_fail(sandbox, connector)
        shown, as_json = checked(connector), checked(connector, "--json")
        one = checked(connector, "--organization", SECOND.name)
        other = checked(connector, "--organization", SIX[2].name, "--json")

    assert (well.status, well.err) == (0, "")
    assert [line.split()[:2] for line in well.out.splitlines()] == [
        ["ok", organization.name] for organization in SIX
    ]
    assert f"  {EVENTS} events in the last 24 hours" in well.out.splitlines()[0]
    assert (shown.status, as_json.status, one.status, other.status) == (1, 1, 1, 0)
    lines = shown.out.splitlines()
    assert [line.split()[1] for line in lines if line.startswith("ok       customer")] == [
        organization.name for organization in SIX[2:]
    ]
    assert f"failed   {SECOND.name}" in lines
    assert "directory_insights" in shown.out
    assert as_json.document["ok"] is False
    reports = as_json.document["organizations"]
    assert list(reports) == [organization.name for organization in SIX]
    failed = {
        name: [check["name"] for check in report["checks"] if check["status"] == "failed"]
        for name, report in reports.items()
        if not report["ok"]
    }
    assert failed == {FIRST.name: ["intake"], SECOND.name: ["directory_insights"]}
    assert len(one.out.splitlines()) == 9
    assert other.document["ok"] is True
    assert not (tmp_path / "data").exists() or list((tmp_path / "data").iterdir()) == []


def test_a_faulty_entry_is_told_among_the_others_that_are_checked(tmp_path: Path) -> None:
    """A start would refuse the whole list; one that is well may be checked by itself."""
    with Sandbox(organizations=SIX) as sandbox:
        connector = ManyConnectorProcess(sandbox.addresses, SIX, data_folder=tmp_path / "data")
        connector.write_entries(
            [entry_of(FIRST), {**entry_of(SECOND), "intake_key": ""}, {"name": "No Name"}]
        )
        ended = checked(connector, LOG_LEVLE="debug")
        one = checked(connector, "--organization", FIRST.name)
        faulty = checked(connector, "--organization", SECOND.name)

    assert (ended.status, one.status, faulty.status) == (2, 0, 2)
    nameless, *_, unread = ended.err.splitlines()
    assert nameless.startswith("line 4: name: give one of small letters")
    assert unread == "The environment variable LOG_LEVLE is not read; did you mean LOG_LEVEL?"
    assert ended.out.splitlines()[:2] == [
        f"ok       {FIRST.name}  0 events in the last 24 hours",
        f"failed   {SECOND.name}",
    ]
    assert "intake_key" in faulty.out


def previewed_by(variables: dict[str, str], name: str) -> Ended:
    """Type `preview`, which is to show events."""
    command = [sys.executable, "main.py", "preview", "--organization", name]
    ended = subprocess.run(
        command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False
    )
    leaks.note(ended.stdout, ended.stderr, name="preview", shows_events=True)
    return Ended(ended.returncode, ended.stdout, ended.stderr)


def test_only_this_shards_organizations_are_checked(tmp_path: Path) -> None:
    """As a process with the same variables collects from them."""
    with Sandbox(organizations=SIX) as sandbox:
        connector = ManyConnectorProcess(sandbox.addresses, SIX, data_folder=tmp_path / "data")
        parts = [
            list(checked(connector, "--json", SHARD=f"{number}/2").document["organizations"])
            for number in (1, 2)
        ]

    assert sorted([*parts[0], *parts[1]]) == [organization.name for organization in SIX]
    assert all(parts)


def test_the_other_commands_are_about_one_organization(tmp_path: Path) -> None:
    """The one that is named; without a name they tell which there are."""
    now = now_ms()
    theirs = generate(3, now - 1_800_000, now - 60_000, seed=1)
    with Sandbox(organizations=SIX) as sandbox:
        sandbox.jumpcloud.publish(theirs)
        connector = ManyConnectorProcess(sandbox.addresses, SIX, data_folder=tmp_path / "data")
        quarantine = connector.state_folder(SECOND) / "quarantine"
        quarantine.mkdir(parents=True)
        (quarantine / "0a1b2c3d4e5f6071.json").write_bytes(b'{"id": "a", "timestamp": "b"}')
        variables = connector.variables()

        def each(*typed_: str, organization: Organization) -> Ended:
            return typed(*typed_, "--organization", organization.name, environment=variables)

        commands = [("preview",), ("replay", "--list"), ("state", "show", "--json")]
        unnamed = [typed(*command, environment=variables) for command in commands]
        previewed = [previewed_by(variables, organization.name) for organization in SIX[:2]]
        listed = each("replay", "--list", organization=SECOND)
        replayed = each("replay", organization=SECOND)
        state = each("state", "show", "--json", organization=SECOND)
        folder = str(connector.state_folder(SECOND))
        by_folder = typed("state", "show", "--json", "--data", folder, environment=variables)
        reset = each("state", "reset", "--hours", "2", organization=SECOND)
        after = each("state", "show", "--json", organization=SECOND)

        accepted = sandbox.intake.count

    assert {ended.status for ended in unnamed} == {2}
    for ended in unnamed:
        assert "lists several organizations; name one with --organization: customer-0001," in (
            ended.err
        )
    assert [len(ended.out.splitlines()) for ended in previewed] == [3, 0]
    assert "0a1b2c3d4e5f6071" in listed.out
    assert (replayed.status, accepted) == (0, 1)
    assert state.document["folder"] == by_folder.document["folder"] == folder
    assert state.document["quarantine"]["events"] == 0
    assert reset.status == 0
    assert after.document["streams"][0]["progress"] is not None


def test_without_a_list_no_command_takes_a_name(tmp_path: Path) -> None:
    """A sentence says so."""
    environment = {"DATA_DIR": str(tmp_path), "MODULE_JSON": str(tmp_path / "none.json")}
    commands = [("check",), ("preview",), ("replay",), ("state", "show")]

    ended = [typed(*c, "--organization", "a", environment=environment) for c in commands]

    assert {(one.status, one.out) for one in ended} == {(2, "")}
    assert {one.err for one in ended} == {
        "--organization a: no list of organizations is configured; leave it out.\n"
    }
