"""Send quarantined events once more: `python main.py replay [--dry-run] [--data DIR]`.

What gets its receipt leaves the quarantine. The intake is the configured one; JumpCloud is not
asked, and its key not needed.
"""

import argparse
import sys
import threading
from collections.abc import Sequence

from jumpcloud_modules.commands import choice, installation
from jumpcloud_modules.commands.dispatch import NOT_WELL, WELL
from jumpcloud_modules.commands.dispatch import run as dispatched
from jumpcloud_modules.commands.module_json import ConfigurationError
from jumpcloud_modules.commands.terminal import Cell, Terminal
from jumpcloud_modules.delivery import Delivery
from jumpcloud_modules.errors import CannotWork
from jumpcloud_modules.events import Event, Events, cut, identifier
from jumpcloud_modules.http.retry import Failure, Retry
from jumpcloud_modules.instants import to_rfc3339
from jumpcloud_modules.intake.client import Intake, IntakeOptions
from jumpcloud_modules.intake.quarantine import Quarantine, why_of
from jumpcloud_modules.state.folder import Folder
from jumpcloud_modules.state.inspection import QUARANTINE, REASONS, is_of_a_connector


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it under its published name, `python -m jumpcloud_modules.replay`."""
    return dispatched("replay", sys.argv[1:] if arguments is None else arguments)


def configure(parser: argparse.ArgumentParser) -> None:
    """Say what can be typed."""
    parser.add_argument(
        "--list", "--dry-run", action="store_true", help="list what would be sent, and send nothing"
    )
    parser.add_argument("--data", metavar="DIR", help="the data folder (default: configured)")
    choice.add_option(parser)


def run(options: argparse.Namespace) -> int:
    """Replay or list the quarantine, and return the exit status: 0 where all of it went."""
    place = choice.chosen(options.data, options.organization)
    if not is_of_a_connector(place.folder):
        raise ConfigurationError(
            f"{place.folder} holds no state of a connector; name its data folder with --data."
        )
    folder, reasons = Folder(place.folder / QUARANTINE), Folder(place.folder / REASONS)
    quarantine = Quarantine(folder, reasons)
    if options.list:
        _list(quarantine, folder, reasons)
        return WELL
    names = list(quarantine.kept())
    intake = _intake(place, quarantine) if names else None
    went = [_replay(name, folder, quarantine, intake) for name in names if intake]
    sys.stdout.write(f"{sum(went)} of {len(names)} events were accepted.\n")
    return WELL if all(went) else NOT_WELL


def _list(quarantine: Quarantine, folder: Folder, reasons: Folder) -> None:
    """Write a line for each event: its id, when it happened and was set aside, why, and where."""
    rows = []
    for name, size_bytes in quarantine.kept().items():
        event, why = _event(folder.read(name) or b""), why_of(name, reasons)
        rows.append(
            [
                Cell(identifier(event) if event else "-"),
                Cell(_time_of(event)),
                Cell(why.at or "-"),
                Cell(why.reason or "-"),
                Cell(f"{folder.place(name)} ({size_bytes} bytes)"),
            ]
        )
    if rows:
        Terminal().table(rows, ("event", "happened", "set aside", "reason", "file"))
    else:
        sys.stdout.write("The quarantine is empty.\n")


def _event(content: bytes) -> Event | None:
    try:
        found = cut(b"[" + content + b"]").events
    except ValueError:
        return None
    return found[0] if len(found) == 1 else None


def _time_of(event: Event | None) -> str:
    time_ms = event.time_ms if event else None
    return "-" if time_ms is None else to_rfc3339(time_ms)


def _intake(place: installation.Installation, quarantine: Quarantine) -> Intake:
    configuration = installation.connector(place)
    url = installation.intake_url(place, configuration)
    retry = Retry(threading.Event(), _tell)
    try:
        options = IntakeOptions(url, configuration.intake_key)
        return Intake(options, quarantine, retry, retry)
    except CannotWork as error:
        raise ConfigurationError(str(error)) from None


def _tell(failure: Failure) -> None:
    sys.stderr.write(f"{failure.error} Next try in {failure.next_try_seconds:.0f} s.\n")


def _replay(name: str, folder: Folder, quarantine: Quarantine, intake: Intake) -> bool:
    event, delivery = _event(folder.read(name) or b""), Delivery()
    if event is not None:
        intake.deliver(Events([event.raw], [event.key], [event.time]), delivery)
    if delivery.accepted == 1:
        quarantine.release(name)
        sys.stdout.write(f"{name}: accepted\n")
        return True
    reason = delivery.quarantined[0].reason if delivery.quarantined else "because it is no event"
    sys.stdout.write(f"{name}: kept, {reason}\n")
    return False
