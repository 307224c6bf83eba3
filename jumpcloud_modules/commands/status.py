"""Show how collecting is doing: what a running connector says, or else what its state says.

    status            once
    status --watch    again and again, until Ctrl-C
    status --json     as GET /status gives it

The running connector is asked on LIVENESS_PORT of this machine. Where none answers there, the data
folder is read, which tells how far collecting got and what is left.
"""

import argparse
import sys
import time
from pathlib import Path
from typing import Any, Final

import orjson
import requests

from jumpcloud_modules.commands import installation
from jumpcloud_modules.commands.dispatch import NOT_WELL, WELL
from jumpcloud_modules.commands.terminal import Cell, Terminal, Tone
from jumpcloud_modules.errors import StateUnavailable
from jumpcloud_modules.state.inspection import inspect
from jumpcloud_modules.status import Backlog, Status, open_ms, watermark_of

TIMEOUT_SECONDS: Final = (1.0, 3.0)
SECONDS_BETWEEN_LOOKS: Final = 2.0

Shown = dict[str, Any]


def configure(parser: argparse.ArgumentParser) -> None:
    """Say what can be typed."""
    parser.add_argument("--json", action="store_true", help="write it as JSON, one object a look")
    parser.add_argument("--watch", action="store_true", help="go on until Ctrl-C")
    parser.add_argument("--data", metavar="DIR", help="the data folder (default: configured)")


def run(options: argparse.Namespace) -> int:
    """Show the status, and return the exit status: of the last look, where it is watched."""
    place, terminal = installation.find(data=options.data), Terminal()
    while True:
        shown = _running(place.liveness_port) or _stopped(place.folder)
        if options.watch and not options.json:
            terminal.clear()
        _show(shown, terminal, as_json=options.json)
        if not options.watch:
            return WELL if shown["well"] else NOT_WELL
        time.sleep(SECONDS_BETWEEN_LOOKS)


def _running(port: int) -> Shown | None:
    """Return what the connector on a port of this machine says, None where there is none."""
    try:
        answer = requests.Session().get(
            f"http://127.0.0.1:{port}/status", timeout=TIMEOUT_SECONDS, allow_redirects=False
        )
        shown = answer.json()
    except (requests.RequestException, ValueError):
        return None
    is_ours = answer.status_code == 200 and isinstance(shown, dict) and "watermark" in shown
    return shown if is_ours else None


def _stopped(folder: Path) -> Shown:
    """Return what a state says by itself."""
    try:
        inspection = inspect(folder)
    except StateUnavailable as error:
        return Status("stopped", warnings=(str(error),)).to_json()
    progress = inspection.found.progress
    warnings = [inspection.found.warning] if inspection.is_damaged else []
    if inspection.is_ledger_missing:
        warnings.append("The ledger of delivered events is missing.")
    if inspection.owner:
        warnings.append(
            f"The state is owned by {inspection.owner}, which does not answer on this port: set"
            " LIVENESS_PORT to its port."
        )
    if progress is None:
        return Status("stopped", warnings=tuple(warnings)).to_json()
    return Status(
        "stopped",
        watermark=watermark_of(progress),
        backlog=Backlog(len(progress.windows), open_ms(progress) / 1000),
        quarantined=inspection.quarantine.files,
        warnings=tuple(warnings),
    ).to_json()


def _show(shown: Shown, terminal: Terminal, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(orjson.dumps(shown).decode() + "\n")
        sys.stdout.flush()
        return
    tone: Tone = "good" if shown["well"] else "bad"
    rows = [(Cell("state"), Cell(shown["state"], tone))]
    rows += [(Cell(name), Cell(text)) for name, text in _facts(shown) if text]
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
    backlog, last = shown["backlog"], shown["last_deliveries"]
    left = ""
    if backlog["windows"]:
        left = f"{backlog['windows']} windows, {backlog['seconds'] / 3600:.1f} hours of events"
        if backlog["seconds_left"] is not None:
            left += f", about {backlog['seconds_left']:.0f} s to go"
    return [
        ("version", shown["version"]),
        ("collected up to", shown["watermark"] or "nothing yet"),
        ("lag", _number(shown["lag_seconds"], " s")),
        ("backlog left", left or "none"),
        ("delivered", _number(shown["delivered"], " events since its start")),
        ("late events found", _number(shown["late_events"], "")),
        ("in quarantine", _number(shown["quarantined"], "")),
        ("last delivery", f"{last[-1]['events']} events at {last[-1]['at']}" if last else ""),
    ]


def _number(value: float | None, unit: str) -> str:
    return "" if value is None else f"{value:,}{unit}"
