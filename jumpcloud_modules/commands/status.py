"""Show how collecting is doing: what a running connector says, or else what its state says.

    status                        once
    status --watch                again and again, until Ctrl-C
    status --json                 as GET /status gives it
    status --organization NAME    of several organizations, one in full

The connector that runs on the data folder is asked on LIVENESS_PORT of this machine. Where it does
not answer there, the folder is read, which tells how far collecting got and what is left. Of
several organizations those that are worst off come first, and the sums last.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import orjson
import requests

from jumpcloud_modules.checkpoint import Checkpoint, of_all
from jumpcloud_modules.commands import choice, installation, status_of_many
from jumpcloud_modules.commands.dispatch import NOT_WELL, WELL
from jumpcloud_modules.commands.module_json import ConfigurationError
from jumpcloud_modules.commands.terminal import Cell, Terminal, Tone
from jumpcloud_modules.errors import StateUnavailable
from jumpcloud_modules.organizations.report import in_all
from jumpcloud_modules.state.inspection import (
    Inspection,
    inspect,
    is_of_a_connector,
    quarantined,
)
from jumpcloud_modules.state.ownership import wall_clock_ms
from jumpcloud_modules.status import (
    Backlog,
    Status,
    Stream,
    age_seconds,
    open_ms,
    watermark_of,
)

TIMEOUT_SECONDS: Final = (1.0, 3.0)
SECONDS_BETWEEN_LOOKS: Final = 2.0
FOLDERS_AT_ONCE: Final = 16
"""Folders that are read side by side: on S3 each takes several requests."""
KEYS: Final = {field.name for field in fields(Status)}

Shown = dict[str, Any]


def configure(parser: argparse.ArgumentParser) -> None:
    """Say what can be typed."""
    parser.add_argument("--json", action="store_true", help="write it as JSON, one object a look")
    parser.add_argument("--watch", action="store_true", help="go on until Ctrl-C")
    parser.add_argument("--data", metavar="DIR", help="the data folder (default: configured)")
    choice.add_option(parser)
    parser.add_argument(
        "--all",
        action="store_true",
        help=f"show all organizations, not just the {status_of_many.ROWS_SHOWN} that are worst off",
    )


def run(options: argparse.Namespace) -> int:
    """Show the status, and return the exit status: of the last look, where it is watched."""
    terminal, look = Terminal(), _look_of(options)
    shown = look()
    _show(shown, terminal, options)
    if options.watch:
        with suppress(KeyboardInterrupt):
            while True:
                time.sleep(SECONDS_BETWEEN_LOOKS)
                shown = look()
                _separate(terminal, as_json=options.json)
                _show(shown, terminal, options)
    return WELL if shown["well"] else NOT_WELL


def _look_of(options: argparse.Namespace) -> Callable[[], Shown]:
    """Return what looks at what is meant. Raises ConfigurationError where there is none."""
    place = installation.find(data=options.data)
    port, folder = place.liveness_port, place.folder
    is_of_one = bool(options.data) and is_of_a_connector(folder)
    if options.data and not is_of_one and not _holds_any(folder, place.of_this_process()):
        raise ConfigurationError(f"{folder} holds no state of a connector; name another one.")
    if options.organization is not None:
        return partial(look_at_one, port, folder, options.organization, place.organizations)
    return partial(look_at, port, folder, tuple if is_of_one else place.of_this_process)


def _holds_any(folder: Path, names: Iterable[str]) -> bool:
    return any(is_of_a_connector(folder / name) for name in names)


def look_at(port: int, folder: Path, listed: Callable[[], Iterable[str]]) -> Shown:
    """Return what the connector on a folder says, or else what its state says.

    `listed` returns the organizations that have folders of their own in it. It is not called while
    the connector answers: a list that somebody is just changing does not matter then.
    """
    shown = _running(port, folder)
    if shown is None:
        names = tuple(listed())
        return _all_stopped(folder, names) if names else _stopped(folder).to_json()
    return shown if status_of_many.is_of_many(shown) else _with_quarantine(shown, folder)


def look_at_one(port: int, folder: Path, name: str, listed: Callable[[], Iterable[str]]) -> Shown:
    """Return how one of several organizations is doing.

    Raises ConfigurationError where neither the connector nor the list has one of that name.
    """
    shown = _running(port, folder)
    if shown is not None and status_of_many.is_of_many(shown):
        rows = {row["name"]: row for row in shown["organizations"]}
        if name in rows:
            return _with_quarantine(rows[name], folder / name)
    names = tuple(listed())
    if not names:
        raise ConfigurationError(choice.WITHOUT_LIST.format(name=name))
    if name not in names:
        raise ConfigurationError(choice.unknown(name, names))
    return {"name": name, **_stopped(folder / name).to_json()}


def _with_quarantine(shown: Shown, folder: Path) -> Shown:
    """Add what is in the quarantine, where the connector has not looked itself."""
    if shown["quarantined"] is None:
        with suppress(StateUnavailable):
            shown["quarantined"] = quarantined(folder)
    return shown


def _running(port: int, folder: Path) -> Shown | None:
    """Return what the connector on a port of this machine says, None unless it is this folder's."""
    with requests.Session() as session:
        session.trust_env = False  # no proxy leads to this machine itself
        try:
            answer = session.get(
                f"http://127.0.0.1:{port}/status", timeout=TIMEOUT_SECONDS, allow_redirects=False
            )
            shown = answer.json()
        except (requests.RequestException, ValueError):
            return None
    if answer.status_code != 200 or not isinstance(shown, dict):
        return None
    is_status = shown.keys() >= KEYS or status_of_many.is_of_many(shown)
    return shown if is_status and _is_same(shown["folder"], folder) else None


def _is_same(name: str, folder: Path) -> bool:
    is_local = type(folder) is type(Path())
    return name == str(folder) or (is_local and Path(name).resolve() == folder.resolve())


def _all_stopped(folder: Path, names: Sequence[str]) -> Shown:
    """Return what the states of organizations say by themselves."""
    with ThreadPoolExecutor(FOLDERS_AT_ONCE) as pool:
        statuses = pool.map(lambda name: _stopped(folder / name), names)
        return in_all(zip(names, statuses, strict=True), "", str(folder))


def _stopped(folder: Path) -> Status:
    """Return what a state says by itself."""
    try:
        inspection = inspect(folder)
    except StateUnavailable as error:
        return Status("stopped", folder=str(folder), warnings=(str(error),))
    status = Status(
        "not answering" if inspection.owner else "stopped",
        folder=str(folder),
        quarantined=inspection.quarantine.files,
        warnings=tuple(_warnings(inspection)),
    )
    begun = inspection.begun
    if not begun:
        return status
    together = _stream("", of_all([checkpoint for _, checkpoint in begun]))
    return replace(
        status,
        watermark=together.watermark,
        lag_seconds=together.lag_seconds,
        backlog=together.backlog,
        streams=tuple(_stream(stream.services, checkpoint) for stream, checkpoint in begun),
    )


def _stream(services: str, checkpoint: Checkpoint) -> Stream:
    return Stream(
        services,
        watermark_of(checkpoint),
        round(age_seconds(checkpoint, wall_clock_ms()), 1),
        Backlog(len(checkpoint.windows), open_ms(checkpoint) / 1000),
    )


def _warnings(inspection: Inspection) -> Iterator[str]:
    yield from inspection.damage
    for folder in inspection.without_ledger:
        yield f"The ledger of delivered events is missing in {folder}."
    if inspection.owner:
        yield (
            f"The state is owned by {inspection.owner}, which does not answer on this port: set"
            " LIVENESS_PORT to its port."
        )


def _separate(terminal: Terminal, *, as_json: bool) -> None:
    if terminal.is_a_terminal and not as_json:
        terminal.clear()
    elif not as_json:
        terminal.say("")


def _show(shown: Shown, terminal: Terminal, options: argparse.Namespace) -> None:
    if options.json:
        sys.stdout.write(orjson.dumps(shown).decode() + "\n")
    elif status_of_many.is_of_many(shown):
        status_of_many.show(shown, terminal, None if options.all else status_of_many.ROWS_SHOWN)
    else:
        _show_one(shown, terminal)
    sys.stdout.flush()


def _show_one(shown: Shown, terminal: Terminal) -> None:
    tone: Tone = "good" if shown["well"] else "bad"
    rows = [(Cell("state", "dim"), Cell(shown["state"], tone))]
    rows += [(Cell(name, "dim"), Cell(text)) for name, text in _facts(shown) if text]
    terminal.table(rows)
    for failing in shown["failing"]:
        terminal.say(
            f"{failing['end']} fails since {failing['since']}, {failing['failed_tries']} tries:"
            f" {failing['message']}",
            "bad",
        )
    for warning in shown["warnings"]:
        terminal.say(warning, "bad")


def _facts(shown: Shown) -> list[tuple[str, str]]:
    last = shown["last_deliveries"]
    return [
        ("organization", shown.get("name", "")),
        ("version", shown["version"]),
        ("folder", shown["folder"]),
        ("collected up to", shown["watermark"] or "nothing yet"),
        ("lag", _number(shown["lag_seconds"], " s")),
        ("backlog left", _left(shown["backlog"])),
        *(_of_streams(shown["streams"]) if len(shown["streams"]) > 1 else []),
        ("delivered", _number(shown["delivered"], " events since its start")),
        ("late events found", _number(shown["late_events"], "")),
        ("withheld", _number(shown["withheld"], " events, read again and not sent again")),
        ("in quarantine", _number(shown["quarantined"], "")),
        ("last delivery", f"{last[-1]['events']} events at {last[-1]['at']}" if last else ""),
    ]


def _left(backlog: Shown) -> str:
    if not backlog["windows"]:
        return "none"
    left = f"{backlog['windows']} windows, {backlog['seconds'] / 3600:.1f} hours of events"
    if backlog["seconds_left"] is not None:
        left += f", about {backlog['seconds_left']:.0f} s to go"
    return left


def _of_streams(streams: list[Shown]) -> list[tuple[str, str]]:
    return [(stream["services"] or "beside all", _how_far(stream)) for stream in streams]


def _how_far(stream: Shown) -> str:
    lag = _number(stream["lag_seconds"], " s") or "not known"
    reached, left = stream["watermark"] or "nothing yet", _left(stream["backlog"])
    return f"collected up to {reached}; lag {lag}; backlog left: {left}"


def _number(value: float | None, unit: str) -> str:
    return "" if value is None else f"{value:,}{unit}"
