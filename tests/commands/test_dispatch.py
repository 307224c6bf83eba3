"""What is typed leads to its command, and what cannot work ends with a sentence."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import main
from jumpcloud_modules.commands import dispatch
from jumpcloud_modules.commands.check_one import AFTER_THE_CONFIGURATION
from jumpcloud_modules.sekoia.module import OF_THE_PLATFORM_ONLY
from sandbox import Sandbox, wait_until
from sandbox.connector import ConnectorProcess, wait_for_health
from tests.shell import ROOT, typed

DOCUMENT = ROOT / "docs/commands.md"


@pytest.mark.parametrize("asked", ["--help", "-h", "help"])
def test_help_lists_what_can_be_typed(asked: str) -> None:
    """Each command with its purpose, and the exit statuses."""
    ended = typed(asked, environment={})

    assert (ended.status, ended.err) == (0, "")
    for name, command in dispatch.COMMANDS.items():
        assert f"{name} " in ended.out
        assert command.purpose in ended.out
    assert "exit statuses" in ended.out


@pytest.mark.parametrize("name", dispatch.COMMANDS)
def test_each_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Its options and what its exit status means."""
    with pytest.raises(SystemExit) as caught:
        dispatch.main([name, "--help"])

    said = capsys.readouterr().out
    assert caught.value.code == 0
    assert f"usage: python main.py {name}" in said
    assert dispatch.STATUSES in said


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("chek", "check"),
        ("CHECK", "check"),
        ("previw", "preview"),
        ("JumpcloudDirectoryInsightConnector", "JumpcloudDirectoryInsightsConnector"),
        ("validate_configuration", "validate_module_configuration"),
    ],
)
def test_an_unknown_command_is_told_with_the_nearest_one(name: str, meant: str) -> None:
    """One line."""
    assert f"Did you mean {meant}?" in dispatch.unknown(name)


def test_an_unknown_command_ends_with_two_and_no_stack() -> None:
    """As the real process, and without a guess where nothing is near."""
    ended = typed("xyzzy", environment={})

    assert (ended.status, ended.out) == (2, "")
    assert ended.err == ("There is no command 'xyzzy'. python main.py --help lists all.\n")


@pytest.mark.parametrize("name", main.COMMANDS_OF_THE_PLATFORM)
def test_a_command_of_the_platform_says_so_away_from_it(name: str) -> None:
    """It is not tried for a minute, and ends without a stack."""
    ended = typed(name, environment={})

    assert (ended.status, ended.out) == (2, "")
    assert "is started by Sekoia's platform, which sets TOKEN and URL_" in ended.err
    assert "python main.py check" in ended.err
    assert ended.err.count("\n") == 1


def test_the_platforms_commands_are_the_same_ones_everywhere() -> None:
    """In main.py, in the overview, and in what the platform sets for them."""
    names = set(main.COMMANDS_OF_THE_PLATFORM)

    assert names == set(dispatch.OF_THE_PLATFORM) == set(OF_THE_PLATFORM_ONLY)
    assert not names & set(dispatch.COMMANDS)


def test_the_document_lists_every_exit_status_and_every_check() -> None:
    """In the words of `--help`, and in their order."""
    text = DOCUMENT.read_text("utf-8").partition("## Preview")[0]
    rows = re.findall(r"^\| (.+) \| (.+) \|$", text, re.MULTILINE)
    statuses = [f"  {status}  {meaning}" for status, meaning in rows if status.isdecimal()]
    checks = [name.strip("`") for name, _ in rows if re.fullmatch("`[a-z_]+`", name)]

    assert [line.strip() for line in statuses] == [
        line.strip() for line in dispatch.STATUSES.splitlines()[1:]
    ]
    assert checks == ["configuration", *AFTER_THE_CONFIGURATION, "state"]


def test_the_platforms_process_loads_nothing_that_is_for_a_terminal(tmp_path: Path) -> None:
    """By the modules of the real process, when it has collected and ends."""
    listed = tmp_path / "modules.json"
    (tmp_path / "sitecustomize.py").write_text(
        "import atexit, json, sys\n"
        f"atexit.register(lambda: open({str(listed)!r}, 'w').write(json.dumps([*sys.modules])))\n"
    )
    with (
        Sandbox() as sandbox,
        ConnectorProcess(sandbox.addresses, environment={"PYTHONPATH": str(tmp_path)}) as process,
    ):
        wait_for_health(process)
        assert wait_until(lambda: sandbox.jumpcloud.requests.entries("events"), 30)
        assert process.stop() == 0

    loaded = json.loads(listed.read_text())
    assert "jumpcloud_modules.sekoia.connector" in loaded
    assert [name for name in loaded if name.startswith("jumpcloud_modules.commands")] == []
    assert not {"rich", "typer", "textual", "curses"} & set(loaded)


def test_a_pipe_loads_nothing_that_is_for_a_terminal() -> None:
    """Rich costs a while, and a pipe shows none of it."""
    program = (
        "import sys, main\n"
        "sys.argv = ['main.py', '--help']\n"
        "main.main()\n"
        "from jumpcloud_modules.commands.terminal import Cell, Terminal\n"
        "Terminal(sys.stdout).table([[Cell('a', 'bad')]])\n"
        "print('rich' in sys.modules)\n"
    )

    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert ended.stdout.endswith("a\nFalse\n")
