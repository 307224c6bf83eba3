"""Find the command that was typed, run it, and end as a command should.

A command is a module with `configure(parser)` and `run(options)`, imported only when it is asked
for. Knows nothing of what the commands do.
"""

import argparse
import difflib
import importlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from jumpcloud_modules.commands.module_json import WRONG_CONFIGURATION, ConfigurationError
from jumpcloud_modules.errors import CannotWork, StateUnavailable

WELL: Final = 0
NOT_WELL: Final = 1
INTERRUPTED: Final = 130
STATUSES: Final = f"""exit statuses:
    {WELL}  all is well
    {NOT_WELL}  an end (JumpCloud, the intake) or the state is not well
    {WRONG_CONFIGURATION}  the configuration, or what was typed, cannot work
  {INTERRUPTED}  it was ended by Ctrl-C"""


@dataclass(frozen=True, slots=True)
class Command:
    """Say where a command is, and in a few words what it is for."""

    module: str
    purpose: str


COMMANDS: Final = {
    "check": Command("check", "ask beforehand whether it will work; changes nothing"),
    "organizations": Command(
        "organizations", "list the organizations that the key reaches, with their events"
    ),
    "preview": Command("preview", "show events as they would be forwarded; sends nothing"),
    "status": Command("status", "show how a running connector is doing, or what its state says"),
    "replay": Command("replay", "send events of the quarantine once more, or list them"),
    "state": Command("state", "show how far collecting got, or start over from an instant"),
}
OF_THE_PLATFORM: Final = {
    "JumpcloudDirectoryInsightsConnector": "collect, as Sekoia's platform starts it",
    "validate_module_configuration": "test the account, as Sekoia's platform does",
}


def main(arguments: Sequence[str]) -> int:
    """Run what was typed, and return the exit status."""
    name, *rest = arguments
    if name in ("-h", "--help", "help"):
        sys.stdout.write(overview())
        return WELL
    if name not in COMMANDS:
        sys.stderr.write(f"{unknown(name)}\n")
        return WRONG_CONFIGURATION
    return run(name, rest)


def run(name: str, arguments: Sequence[str]) -> int:
    """Run a command; a closed pipe and Ctrl-C end it without a message."""
    try:
        status = _run(name, arguments)
        sys.stdout.flush()
    except (ConfigurationError, CannotWork) as error:
        sys.stderr.write(f"{error}\n")
        return WRONG_CONFIGURATION
    except StateUnavailable as error:
        sys.stderr.write(f"{error}\n")
        return NOT_WELL
    except BrokenPipeError:
        _leave_the_pipe()
        return WELL
    except KeyboardInterrupt:
        return INTERRUPTED
    return status


def _run(name: str, arguments: Sequence[str]) -> int:
    command = importlib.import_module(f"{__package__}.{COMMANDS[name].module}")
    parser = argparse.ArgumentParser(
        prog=f"python main.py {name}",
        description=command.__doc__,
        epilog=STATUSES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.configure(parser)
    status: int = command.run(parser.parse_args(arguments))
    return status


def _leave_the_pipe() -> None:
    """Discard what is still to be written: the reader of the pipe is gone."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def overview() -> str:
    """Say what can be typed."""
    commands = {name: command.purpose for name, command in COMMANDS.items()}
    return "\n".join(
        [
            "usage: python main.py [COMMAND] [--help]",
            "",
            "Collects JumpCloud Directory Insights events and pushes them to a Sekoia intake.",
            "Without a command it collects, configured by module.json and the environment.",
            "",
            "commands:",
            *_lines(commands),
            "",
            "commands of Sekoia's platform:",
            *_lines(OF_THE_PLATFORM),
            "",
            STATUSES,
            "",
        ]
    )


def _lines(purposes: dict[str, str]) -> list[str]:
    width = max(map(len, purposes))
    return [f"  {name:{width}}  {purpose}" for name, purpose in purposes.items()]


def unknown(name: str) -> str:
    """Say that there is no such command, and which one may be meant."""
    names = {known.lower(): known for known in (*COMMANDS, *OF_THE_PLATFORM)}
    near = difflib.get_close_matches(name.lower(), names, n=1, cutoff=0.5)
    meant = f" Did you mean {names[near[0]]}?" if near else ""
    return f"There is no command {name!r}.{meant} python main.py --help lists all."
