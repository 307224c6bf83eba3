"""How many organizations are doing: asked of their process, or read from their folders."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from jumpcloud_modules.checkpoint import Checkpoint
from jumpcloud_modules.commands import status_of_many
from jumpcloud_modules.commands.terminal import Terminal
from jumpcloud_modules.organizations.report import in_all
from jumpcloud_modules.state.checkpoint_store import CheckpointStore
from jumpcloud_modules.status import Backlog, Failing, Status
from sandbox import Sandbox, faults, many, wait_until
from sandbox.connector import Settings, wait_for_health
from sandbox.self_hosted import ManyConnectorProcess
from tests.doubles import NOON_MS
from tests.process.scene import history
from tests.shell import Ended, typed

THREE = many(3)
FIRST, SECOND, THIRD = (one.name for one in THREE)


@contextmanager
def running() -> Iterator[tuple[Sandbox, ManyConnectorProcess]]:
    """Collect from three organizations, of which the first has events."""
    events = history(300)
    with (
        Sandbox(events, organizations=THREE) as sandbox,
        ManyConnectorProcess(sandbox.addresses, THREE, Settings(frequency=1)) as connector,
    ):
        wait_for_health(connector, 90)
        wait_until(lambda: all_collect(connector), 90)
        yield sandbox, connector


def all_collect(connector: ManyConnectorProcess) -> bool:
    """Tell whether each of them has begun and nothing is late."""
    doing = connector.doing() or {"organizations_collecting": 0}
    return bool(doing["organizations_collecting"] == len(THREE) and doing["lag_seconds"] == 0)


def status(connector: ManyConnectorProcess, *arguments: str) -> Ended:
    """Type `status` as beside the process."""
    return typed("status", *arguments, environment=connector.variables())


def test_a_process_of_many_is_shown_worst_first_and_one_of_them_in_full() -> None:
    """By a table and its sums; to a machine as GET /status has it."""
    with running() as (sandbox, connector):
        well = status(connector)
        asked = connector.doing()
        sandbox.jumpcloud.faults.add(
            faults.Status(403), when=lambda request: request.headers["x-org-id"] == THREE[1].id
        )
        assert wait_until(lambda: not (connector.doing() or {"well": True})["well"], 60)
        shown, as_json = status(connector), status(connector, "--json")
        one = status(connector, "--organization", SECOND)
        another = status(connector, "--organization", THIRD, "--json")
        unknown = status(connector, "--organization", "customer-001")
        connector.write_list("nonsense")
        unread = status(connector)
        one_unread = status(connector, "--organization", FIRST)

    assert asked is not None
    assert well.status == 0
    assert (shown.status, as_json.status) == (1, 1)
    assert as_json.document.keys() == asked.keys()
    assert [row["name"] for row in as_json.document["organizations"]] == [SECOND, FIRST, THIRD]
    header, worst, *_, sums = shown.out.splitlines()
    assert header.split() == ["name", "state", "lag", "backlog", "left", "delivered", "failing"]
    assert worst.split()[0] == SECOND
    assert worst.split()[-1] == "JumpCloud"
    assert sums.startswith(f"3 organizations in {connector.data_folder.resolve()}, version ")
    assert "2 well, 3 collecting" in sums
    assert one.status == 1
    assert SECOND in one.out.splitlines()[1]
    assert "JumpCloud fails since" in one.out
    assert "answered 403" in one.out
    assert (unread.status, one_unread.status) == (1, 0), "the process goes on with the former list"
    assert another.status == 0
    assert another.document["name"] == THIRD
    assert another.document["quarantined"] == 0
    assert (unknown.status, unknown.out) == (2, "")
    assert "there is no such organization; did you mean customer-00" in unknown.err


def listed(folder: Path, names: list[str], **more: Any) -> dict[str, str]:
    """Write a list whose keys are not set here, and return what a person sets."""
    document = {
        "module": {"apikey": "${NOT_SET}"},
        "connector": {},
        "organizations": [{"name": name, "intake_key": "${NOT_SET}"} for name in names],
        **more,
    }
    (folder / "module.json").write_text(json.dumps(document))
    return {
        "MODULE_JSON": str(folder / "module.json"),
        "DATA_DIR": str(folder / "data"),
        "LIVENESS_PORT": "9",
    }


def reached(folder: Path, name: str, instant_ms: int) -> None:
    """Have an organization's folder say how far it got."""
    (folder / "data" / name / "ledger").mkdir(parents=True)
    (folder / "data" / name / "ledger/about.json").write_text("{}")
    CheckpointStore(folder / "data" / name).save(
        Checkpoint(NOON_MS, instant_ms, scope="https://a/ org all")
    )


def test_where_no_process_answers_the_folders_tell(tmp_path: Path) -> None:
    """Of those that the list names, or of this shard's; no key is needed, and nothing is made."""
    environment = listed(tmp_path, ["acme", "beta", "gamma"])
    reached(tmp_path, "acme", NOON_MS)
    reached(tmp_path, "beta", NOON_MS + 60_000)
    (tmp_path / "data/beta/context.json").write_text("{")
    (tmp_path / "data/beta/context.previous.json").write_text("{")

    all_ = typed("status", "--json", environment=environment)
    shown = typed("status", environment=environment)
    one = typed("status", "--organization", "acme", environment=environment)
    no_such = typed("status", "--organization", "omega", environment=environment)
    shards = [
        typed("status", "--json", environment={**environment, "SHARD": f"{number}/2"})
        for number in (1, 2)
    ]

    assert (all_.status, shown.status, one.status) == (1, 1, 0)
    rows = all_.document["organizations"]
    assert [row["name"] for row in rows] == ["beta", "acme", "gamma"]
    assert {row["state"] for row in rows} == {all_.document["state"]} == {"stopped"}
    assert rows[1]["watermark"] == "2025-10-09T12:00:00.000Z"
    assert shown.out.splitlines()[1].split()[::5] == ["beta"]
    assert shown.out.splitlines()[1].split()[-1] == "warning"
    assert "collected up to  2025-10-09T12:00:00.000Z" in one.out
    assert no_such.status == 2
    assert "there are acme, beta, gamma." in no_such.err
    names = [row["name"] for shard in shards for row in shard.document["organizations"]]
    assert sorted(names) == ["acme", "beta", "gamma"]
    assert not (tmp_path / "data/gamma").exists()


def test_a_data_folder_may_be_that_of_all_or_of_one(tmp_path: Path) -> None:
    """One that holds neither is refused, as it is without a list."""
    environment = listed(tmp_path, ["acme", "beta"])
    reached(tmp_path, "acme", NOON_MS)
    elsewhere = {**environment, "DATA_DIR": str(tmp_path / "elsewhere")}

    of_all = typed("status", "--json", "--data", str(tmp_path / "data"), environment=elsewhere)
    of_one = typed("status", "--json", "--data", str(tmp_path / "data/acme"), environment=elsewhere)
    neither = typed("status", "--data", str(tmp_path), environment=elsewhere)

    assert of_all.document["organizations_in_all"] == 2
    assert of_one.document["watermark"] == "2025-10-09T12:00:00.000Z"
    assert neither.status == 2


def test_without_a_list_there_is_no_organization_to_name(tmp_path: Path) -> None:
    """A sentence says so."""
    environment = {"DATA_DIR": str(tmp_path), "LIVENESS_PORT": "9"}

    ended = typed("status", "--organization", "acme", environment=environment)

    assert (ended.status, ended.out) == (2, "")
    assert ended.err == (
        "--organization acme: no list of organizations is configured; leave it out.\n"
    )


FAILS = Failing("The Sekoia intake", "2025-10-09T12:00:00.000Z", 3, "It answered 401.")


@pytest.mark.parametrize(("most", "shown"), [(None, 30), (20, 20)])
def test_of_very_many_the_worst_are_shown(
    most: int | None, shown: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """And how many more there are; what fails is told in a word."""
    found = [
        *((f"quiet-{number:02}", Status("collecting", lag_seconds=0.0)) for number in range(28)),
        ("refused", Status("collecting", lag_seconds=70.0, failing=(FAILS,), delivered=12_345)),
        ("late", Status("collecting", lag_seconds=7_200.0, backlog=Backlog(2, 5_400.0))),
    ]

    status_of_many.show(in_all(found, "2.0.0", "/data"), Terminal(), most)

    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == [
        *("refused", "collecting", "70", "s", "none", "12,345", "intake"),
    ]
    assert lines[2].split() == ["late", "collecting", "7,200", "s", "1.5", "h"]
    assert len([line for line in lines if " collecting " in line[:24]]) == shown
    assert ("and 10 more: --all shows them" in lines) == (most is not None)
    assert "30 organizations in /data, version 2.0.0: 29 well, 30 collecting" in lines[-1]
