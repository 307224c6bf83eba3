"""The connector without the platform: module.json, the environment, a run against the sandbox."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jumpcloud_modules.commands.fingerprint import fingerprint
from jumpcloud_modules.commands.module_json import ConfigurationError, fill_in, read_document
from jumpcloud_modules.commands.run import faults_of
from jumpcloud_modules.sekoia.configuration import ConnectorConfiguration, ModuleConfiguration
from sandbox import Sandbox, generate, wait_until
from sandbox.instants import now_ms
from tests import leaks

ROOT = Path(__file__).resolve().parents[2]
HOUR_MS = 3_600_000


@contextmanager
def self_hosted(folder: Path, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run `python main.py` with these variables, and none of the machine's own."""
    with socket.create_server(("", 0)) as one, socket.create_server(("", 0)) as other:
        ports = [taken.getsockname()[1] for taken in (one, other)]
    environment = {
        "PATH": os.environ["PATH"],
        "DATA_DIR": str(folder / "state"),
        "LIVENESS_PORT": str(ports[0]),
        "METRICS_PORT": str(ports[1]),
        **variables,
    }
    output, errors = folder / "output", folder / "errors"
    with output.open("w") as out, errors.open("w") as err:
        process = subprocess.Popen(
            [sys.executable, "main.py"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        leaks.note(output.read_text(), errors.read_text(), environment, name="main.py")


def told_at_its_end(process: subprocess.Popen[bytes], folder: Path) -> str:
    """Wait for a self-hosted connector to end, and return what it wrote to standard error."""
    process.wait(20)
    return (folder / "errors").read_text()


def test_a_variable_is_filled_in_wherever_it_stands() -> None:
    """In any text, more than once, in nested parts; anything else stays as it is."""
    document = {"a": "${HOST}:${PORT}", "b": [{"c": "x${HOST}"}, 1, None, True], "d": "$HOST {x}"}

    filled = fill_in(document, {"HOST": "h", "PORT": "1"})

    assert filled == {"a": "h:1", "b": [{"c": "xh"}, 1, None, True], "d": "$HOST {x}"}


@pytest.mark.parametrize("environment", [{}, {"HOST": ""}])
def test_a_default_stands_in_for_what_is_not_set(environment: dict[str, str]) -> None:
    """An empty variable counts as not set, as in a shell."""
    assert fill_in("${HOST:-https://a:1/}", environment) == "https://a:1/"
    assert fill_in("${HOST:-}", environment) == ""


def test_a_missing_variable_is_named_with_its_place() -> None:
    """The person sees what to set, and what for."""
    with pytest.raises(ConfigurationError, match=r"KEY, which module\.keys\[1\]\.a needs"):
        fill_in({"module": {"keys": ["x", {"a": "${KEY}"}]}}, {})


def test_missing_variables_are_told_all_at_once(tmp_path: Path) -> None:
    """Those of both parts; nobody sets one to learn of the next."""
    path = tmp_path / "module.json"
    path.write_text('{"module": {"a": "${ONE}"}, "connector": {"b": ["${TWO}"]}}')
    with pytest.raises(ConfigurationError) as raised:
        read_document(path, {})

    assert "ONE, which module.a needs, is not set" in str(raised.value)
    assert "TWO, which connector.b[0] needs, is not set" in str(raised.value)


def test_without_any_variable_all_that_have_to_be_set_are_named() -> None:
    """Those of either kind of credentials, and the intake's key."""
    faults = " ".join(faults_of(read_document(ROOT / "module.json", {})))

    for name in ("JUMPCLOUD_API_KEY", "JUMPCLOUD_CLIENT_SECRET", "SEKOIA_INTAKE_KEY"):
        assert name in faults


@given(st.dictionaries(st.from_regex(r"[A-Z_]{1,5}", fullmatch=True), st.text(), min_size=1))
def test_what_is_filled_in_is_not_filled_in_again(environment: dict[str, str]) -> None:
    """A key may hold any characters, also those of a variable."""
    document = {name: f"${{{name}}}" for name in environment}

    assert fill_in(document, environment) == environment


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "cannot be read: No such file or directory"),
        ("{", "is not JSON"),
        ("[]", "needs the form"),
        ('{"module": {}}', "needs the form"),
        ('{"module": {}, "connector": "x"}', "needs the form"),
        ('{"module": {"a": "${X}"}, "connector": {}}', "variable X, which module.a needs"),
    ],
)
def test_a_bad_document_is_told_with_its_file(tmp_path: Path, text: str | None, said: str) -> None:
    """One sentence, no stack."""
    path = tmp_path / "module.json"
    if text is not None:
        path.write_text(text)

    with pytest.raises(ConfigurationError) as caught:
        read_document(path, {})

    assert str(path) in str(caught.value)
    assert said in str(caught.value)


def test_module_json_needs_only_the_two_keys() -> None:
    """Everything else has the forms' defaults."""
    keys = {"JUMPCLOUD_API_KEY": "jca_key", "SEKOIA_INTAKE_KEY": "intake"}

    document = read_document(ROOT / "module.json", keys)

    module = ModuleConfiguration.model_validate(document["module"])
    connector = ConnectorConfiguration.model_validate(document["connector"])
    assert module == ModuleConfiguration.model_validate({"apikey": "jca_key"})
    assert connector == ConnectorConfiguration(
        intake_key="intake", intake_server="https://intake.sekoia.io"
    )


def test_it_collects_without_any_platform(tmp_path: Path) -> None:
    """Events arrive, the state is in DATA_DIR, the log on standard output, and it ends with 0."""
    to_ms = now_ms() - 60_000
    events = generate(300, start_ms=to_ms - HOUR_MS, end_ms=to_ms, seed=7)
    with (
        Sandbox(events) as sandbox,
        self_hosted(tmp_path, **variables(sandbox)) as process,
    ):
        arrived = wait_until(lambda: sandbox.verdict().clean, 30)
        process.send_signal(signal.SIGTERM)
        status, told = process.wait(10), told_at_its_end(process, tmp_path)

        assert arrived, told
        assert status == 0
        assert told == ""
        assert sandbox.platform.requests.arrivals() == 0
    assert (tmp_path / "state" / "context.json").exists()
    assert " delivered" in (tmp_path / "output").read_text()


def test_what_it_says_has_the_form_and_the_level_that_were_asked_for(tmp_path: Path) -> None:
    """An object a line with the instant's zone, or lines; of a lower level nothing."""
    said = {}
    for name, wish in {
        "json": {"LOG_FORMAT": "json"},
        "text": {},
        "nothing": {"LOG_LEVEL": "error"},
    }.items():
        (tmp_path / name).mkdir()
        with (
            Sandbox(generate(20, now_ms() - HOUR_MS, now_ms() - 60_000)) as sandbox,
            self_hosted(tmp_path / name, **variables(sandbox), **wish) as process,
        ):
            assert wait_until(lambda of=sandbox: of.verdict().clean, 30)  # type: ignore[misc]
            process.send_signal(signal.SIGTERM)
            process.wait(10)
        said[name] = (tmp_path / name / "output").read_text().splitlines()

    objects = [json.loads(line) for line in said["json"]]
    assert all(line.keys() == {"time", "level", "message"} for line in objects)
    assert all(line["time"].endswith("Z") for line in objects)
    assert " starts: region " in objects[0]["message"]
    assert objects[-1]["message"].startswith("Stopped: ")
    assert all(re.match(r"\d{4}-\d\d-\d\dT[\d:.]+Z INFO ", line) for line in said["text"])
    assert said["text"][-1].partition(" INFO ")[2].startswith("Stopped: 20 events delivered")
    assert said["nothing"] == []


def test_its_metrics_name_the_intake_key_by_a_fingerprint(tmp_path: Path) -> None:
    """Each sample of ours and of the SDK's has it; the key is nowhere."""
    with socket.create_server(("", 0)) as free:
        port = free.getsockname()[1]

    def read() -> str:
        try:
            with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
                return str(answer.read().decode())
        except OSError:
            return ""

    with (
        Sandbox(generate(10, now_ms() - HOUR_MS, now_ms() - 1_000, seed=7)) as sandbox,
        self_hosted(tmp_path, **variables(sandbox), METRICS_PORT=str(port)),
    ):
        collects = "symphony_module_jumpcloud_collecting{intake_key="
        assert wait_until(lambda: collects in read() and sandbox.intake.count == 10, 60)
        lines = [line for line in read().splitlines() if line.startswith("symphony_module_")]

    label = f'intake_key="{fingerprint(sandbox.intake.intake_key)}"'
    assert len(lines) > 30
    assert [line for line in lines if label not in line] == []
    assert sandbox.intake.intake_key not in "".join(lines)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"JUMPCLOUD_API_KEY": ""}, "JUMPCLOUD_API_KEY, or JUMPCLOUD_CLIENT_ID and"),
        ({"JUMPCLOUD_CLIENT_ID": "id"}, "an API key and a service account are given"),
        ({"JUMPCLOUD_API_KEY": "", "JUMPCLOUD_CLIENT_ID": "id"}, "client_secret: is empty"),
        ({"SEKOIA_INTAKE_KEY": "hunter2 x"}, "intake_key: holds a space"),
        ({"SEKOIA_INTAKE_KEY": "'hunter2'"}, "intake_key: stands in quotes; leave them out."),
        ({"JUMPCLOUD_API_KEY": '"hunter2"'}, "apikey: stands in quotes; leave them out."),
        (
            {"SERVICE": "sso;radius"},
            "service: 'sso;radius' cannot be a name; give",
        ),
        (
            {"FREQUENCY": "0"},
            "frequency: '0' is not possible; give a whole number from 1 to 7776000.",
        ),
        ({"JUMPCLOUD_BASE_URL": "http://api.jumpcloud.com"}, "base_url: begins with http://"),
        ({"MODULE_JSON": "/nowhere/module.json"}, "/nowhere/module.json cannot be read"),
        ({"DATA_DIR": "/dev/null/state"}, "name another in DATA_DIR"),
        ({"DATA_DIR": "/sys"}, "The data folder /sys cannot be written"),
        ({"DATA_DIR": "s3:///jumpcloud"}, "is no place on S3; give s3://bucket/folder."),
        ({"REQUESTS_CA_BUNDLE": "/nowhere.pem"}, "REQUESTS_CA_BUNDLE names /nowhere.pem, which"),
        (
            {"HTTPS_PROXY": "socks5://a:hunter2@proxy.test"},
            "SOCKS proxies (PySocks) is not installed",
        ),
        ({"HTTPS_PROXY": "proxy:3128"}, "is not the address of a proxy: give http://host:port"),
        ({"LIVENESS_PORT": "70000"}, "set LIVENESS_PORT and METRICS_PORT to free ones"),
    ],
)
def test_a_bad_configuration_ends_it_with_one_line(
    tmp_path: Path, wrong: dict[str, str], said: str
) -> None:
    """Status 2, what to do, and neither a stack nor a key."""
    keys = {"JUMPCLOUD_API_KEY": "hunter2", "SEKOIA_INTAKE_KEY": "hunter2"}

    with self_hosted(tmp_path, **keys | wrong) as process:
        told = told_at_its_end(process, tmp_path)

    assert process.returncode == 2
    assert said in told
    assert told.count("\n") == 1
    assert "hunter2" not in told


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (
            {"module": {"base_ur": "x", "apikey": "y"}},
            "module.base_ur: there is no such key; did you mean base_url?",
        ),
        (
            {"connector": {"frequncy": 5}},
            "connector.frequncy: there is no such key; did you mean frequency?",
        ),
        ({"connector": {"Intake_Key": "x"}}, "did you mean intake_key?"),
        (
            {"connector": {"apikey": "hunter2"}},
            "connector.apikey: there is no such key; it belongs into module.",
        ),
        ({"module": {"zzz": 1}}, "module.zzz: there is no such key; there are apikey, base_url, "),
    ],
)
def test_a_misspelt_key_ends_it_with_the_right_one(
    tmp_path: Path, document: dict[str, Any], said: str
) -> None:
    """Status 2: an organization of the EU is not asked for in the US, and no default steps in."""
    path = tmp_path / "module.json"
    path.write_text(json.dumps({"module": {}, "connector": {}, **document}))

    with self_hosted(tmp_path, MODULE_JSON=str(path)) as process:
        told = told_at_its_end(process, tmp_path)

    assert process.returncode == 2
    assert said in told
    assert told.count("\n") == 1
    assert "hunter2" not in told


def test_variables_that_look_like_ours_are_told_with_the_right_one(tmp_path: Path) -> None:
    """A warning, for others may have variables of their own."""
    misspelt = {
        "FREQENCY": "5",
        "SERVCE": "sso",
        "JUMPCLOUD_APIKEY": "hunter2",
        "LOGLEVEL": "debug",
    }

    with self_hosted(tmp_path, **misspelt) as process:
        told = told_at_its_end(process, tmp_path)

    output = (tmp_path / "output").read_text()
    for name, meant in (
        ("FREQENCY", "FREQUENCY"),
        ("SERVCE", "SERVICE"),
        ("JUMPCLOUD_APIKEY", "JUMPCLOUD_API_KEY"),
        ("LOGLEVEL", "LOG_LEVEL"),
    ):
        assert f"The environment variable {name} is not read; did you mean {meant}?" in output
    assert "JUMPCLOUD_API_KEY" in told
    assert "hunter2" not in output + told


def test_a_port_in_use_ends_it_with_one_line(tmp_path: Path) -> None:
    """Two connectors on one machine need ports of their own."""
    keys = {"JUMPCLOUD_API_KEY": "x", "SEKOIA_INTAKE_KEY": "y"}
    with socket.create_server(("", 0)) as taken:
        port = str(taken.getsockname()[1])
        with self_hosted(tmp_path, **keys, METRICS_PORT=port) as process:
            told = told_at_its_end(process, tmp_path)

    assert process.returncode == 2
    assert f"METRICS_PORT {port}) cannot be opened: Address already in use" in told
    assert told.count("\n") == 1


def variables(sandbox: Sandbox) -> dict[str, Any]:
    """Return what a person would set."""
    return {
        "JUMPCLOUD_BASE_URL": sandbox.addresses.jumpcloud_url,
        "JUMPCLOUD_API_KEY": sandbox.addresses.api_key,
        "SEKOIA_INTAKE_URL": sandbox.addresses.intake_url,
        "SEKOIA_INTAKE_KEY": sandbox.addresses.intake_key,
        "FREQUENCY": "1",
    }
