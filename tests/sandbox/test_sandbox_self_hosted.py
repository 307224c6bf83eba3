"""The connector of many organizations as a process: what it is told, and how its list changes."""

from __future__ import annotations

import csv
import json
import signal
import textwrap
from pathlib import Path

import pytest

from sandbox import Organization, Sandbox, many, wait_until
from sandbox.connector import Settings
from sandbox.self_hosted import Form, ManyConnectorProcess
from tests import leaks

STAND_IN = """
import json, os, pathlib, signal, sys, threading
stop, again = threading.Event(), threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
signal.signal(signal.SIGHUP, lambda *_: again.set())
print("started", sys.argv[1:], os.environ.get("SHARD"), sorted(os.environ), flush=True)
module = pathlib.Path(os.environ["MODULE_JSON"])
while not stop.wait(0.02):
    if again.is_set():
        again.clear()
        listed = json.loads(module.read_text())["organizations"]
        text = listed if isinstance(listed, list) else (module.parent / listed).read_text()
        print("read", text.count(chr(10)), flush=True)
"""
TWO = [*many(1), Organization("id-of-b", "customer-b", "the key of b", api_key="jca_of_b")]


@pytest.fixture
def stand_in(tmp_path: Path) -> Path:
    """Return a folder with a main.py that waits, and reads its list where it is told to."""
    (tmp_path / "main.py").write_text(textwrap.dedent(STAND_IN))
    return tmp_path


@pytest.mark.parametrize("form", ["csv", "json", "within"])
def test_the_list_stands_where_it_is_asked_for(form: Form) -> None:
    """With the same organizations; only this user may read the keys."""
    with Sandbox(organizations=TWO) as sandbox:
        connector = ManyConnectorProcess(sandbox.addresses, TWO, Settings(frequency=7), form=form)
        addresses = sandbox.addresses
    module = json.loads(connector.module_path.read_text())
    text = connector.list_path.read_text()
    if form == "csv":
        rows = list(csv.DictReader(text.splitlines()))
    else:
        rows = json.loads(text) if form == "json" else module["organizations"]

    assert module["module"] == {"base_url": addresses.jumpcloud_url, "apikey": addresses.api_key}
    assert module["connector"]["intake_server"] == addresses.intake_url
    assert module["connector"]["frequency"] == 7
    assert [(row["name"], row["organization_id"], row["intake_key"]) for row in rows] == [
        (one.name, one.id, one.intake_key) for one in TWO
    ]
    assert [row.get("apikey") or "" for row in rows] == ["", "jca_of_b"]
    assert {path.stat().st_mode & 0o777 for path in connector.module_path.parent.iterdir()} == {
        0o600
    }


def test_a_service_account_stands_in_the_place_of_the_key() -> None:
    """As it does for one organization."""
    account = {"client_id": "the id", "client_secret": "the secret"}
    with Sandbox(organizations=TWO) as sandbox:
        connector = ManyConnectorProcess(sandbox.addresses, TWO, Settings(account=account))

    module = json.loads(connector.module_path.read_text())["module"]
    assert module.keys() == {"base_url", "client_id", "client_secret"}


def test_the_process_is_told_where_its_list_is_and_no_key(stand_in: Path) -> None:
    """Its variables name files, ports and the shard; SIGHUP reaches it, and kills and stops do."""
    with (
        Sandbox(organizations=TWO) as sandbox,
        ManyConnectorProcess(sandbox.addresses, TWO, shard="2/5", root=stand_in) as connector,
    ):
        assert wait_until(lambda: "started" in connector.output)
        variables = Path(f"/proc/{connector.pid}/environ").read_text()
        connector.rewrite([*TWO, *many(3, first=2)])
        connector.hang_up()
        read = wait_until(lambda: "read 6" in connector.output)
        connector.kill()
        killed = connector.status
        connector.start()
        wait_until(lambda: connector.output.count("started") == 2)
        stopped = connector.stop()

    assert "started [] 2/5 " in connector.output
    assert "SUB_FOLDER" not in connector.output
    assert read
    assert (killed, stopped) == (-signal.SIGKILL, 0)
    assert not any(key.decode() in variables for key in leaks.secrets_of(sandbox))
    assert connector.state_folder(TWO[1]) == connector.data_folder / "customer-b"


def test_any_list_can_be_written(stand_in: Path) -> None:
    """One that is faulty, or that has more columns."""
    with Sandbox() as sandbox:
        connector = ManyConnectorProcess(sandbox.addresses, TWO, root=stand_in)
        connector.write_entries([{"name": "a", "frequency": "9"}, {"name": "b"}])
        rows = connector.list_path.read_text()
        connector.write_list("nonsense")

    assert rows == "name,frequency\na,9\nb,\n"
    assert connector.list_path.read_text() == "nonsense"
