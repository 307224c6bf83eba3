"""Send quarantined events once more: `python -m jumpcloud_modules.replay [--list] [--data DIR]`.

The intake is the one that module.json names. What gets its receipt leaves the quarantine.
"""

import argparse
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from jumpcloud_modules.commands.document import (
    WRONG_CONFIGURATION,
    ConfigurationError,
    read_document,
)
from jumpcloud_modules.delivery import Delivery
from jumpcloud_modules.errors import CannotWork
from jumpcloud_modules.events import Events, cut
from jumpcloud_modules.http.retry import Failure, Pace
from jumpcloud_modules.intake.client import Intake
from jumpcloud_modules.intake.quarantine import Quarantine
from jumpcloud_modules.sekoia.configuration import ConnectorConfiguration, explain
from jumpcloud_modules.state.folder import Folder


def main(arguments: Sequence[str] | None = None) -> int:
    """Replay or list the quarantine, and return 0 when all of it went or was listed."""
    options = _options(arguments)
    folder = Folder(Path(options.data) / "quarantine")
    quarantine = Quarantine(folder)
    if options.list:
        for name, size_bytes in quarantine.kept().items():
            print(f"{folder.place(name)} ({size_bytes} bytes)")
        return 0
    try:
        intake = _intake(quarantine)
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return WRONG_CONFIGURATION
    went = [_replay(name, folder, intake) for name in quarantine.kept()]
    print(f"{sum(went)} of {len(went)} events were accepted.")
    return 0 if all(went) else 1


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, prog="jumpcloud_modules.replay")
    parser.add_argument("--list", action="store_true", help="name the files and send nothing")
    parser.add_argument(
        "--data",
        default=os.environ.get("DATA_DIR") or "data",
        help="the connector's data folder (default: DATA_DIR, or ./data)",
    )
    return parser.parse_args(arguments)


def _intake(quarantine: Quarantine) -> Intake:
    document = read_document(Path(os.environ.get("MODULE_JSON") or "module.json"), os.environ)
    try:
        configuration = ConnectorConfiguration.model_validate(document["connector"])
    except ValidationError as error:
        raise ConfigurationError(" ".join(explain(error))) from None
    if not configuration.intake_server:
        raise ConfigurationError("intake_server: is missing; give your Sekoia region's address.")
    pace = Pace(threading.Event(), _tell)
    try:
        return Intake(configuration.intake_server, configuration.intake_key, quarantine, pace, pace)
    except CannotWork as error:
        raise ConfigurationError(str(error)) from None


def _tell(failure: Failure) -> None:
    print(f"{failure.error} Next try in {failure.next_try_seconds:.0f} s.", file=sys.stderr)


def _replay(name: str, folder: Folder, intake: Intake) -> bool:
    content = folder.read(name) or b""
    try:
        found = cut(b"[" + content + b"]").events
    except ValueError:
        found = Events()
    delivery = Delivery()
    intake.deliver(found, delivery)
    if len(found) == 1 and delivery.accepted == 1:
        folder.remove(name)
        print(f"{name}: accepted")
        return True
    reason = delivery.quarantined[0].reason if delivery.quarantined else "because it is no event"
    print(f"{name}: kept, {reason}")
    return False
