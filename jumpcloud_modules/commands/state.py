"""Show how far collecting got, or start over from an instant.

    state show             what the data folder tells; it may be a running connector's
    state reset --hours 48 collect anew from there at the next start; the connector must be stopped

A reset withholds what the ledger knows as delivered, which reaches about audit_hours back. With
--again the ledger is set aside, and everything since then is sent again. Late events from before
the instant are not looked for any more. What was there is kept beside the state.
"""

import argparse
import sys
import threading
from pathlib import Path
from typing import Any, Final

import orjson

from jumpcloud_modules.checkpoint import Checkpoint
from jumpcloud_modules.commands import choice, installation
from jumpcloud_modules.commands.dispatch import NOT_WELL, WELL
from jumpcloud_modules.commands.module_json import ConfigurationError
from jumpcloud_modules.commands.spans import instant_before
from jumpcloud_modules.commands.terminal import Cell, Terminal
from jumpcloud_modules.errors import Stopped
from jumpcloud_modules.instants import RETENTION, to_text
from jumpcloud_modules.state.inspection import (
    Inspection,
    StreamState,
    inspect,
    is_of_a_connector,
)
from jumpcloud_modules.state.ownership import ownership, wall_clock_ms, who_owns
from jumpcloud_modules.state.starting_over import Kept, start_over

SECONDS_FOR_A_LEASE_TO_LAPSE: Final = 60.0
MAX_WINDOWS_SHOWN: Final = 5


def configure(parser: argparse.ArgumentParser) -> None:
    """Say what can be typed."""
    parser.set_defaults(do=None)
    actions = parser.add_subparsers(metavar="show|reset", required=True)
    show = actions.add_parser("show", help="show how far collecting got")
    show.add_argument("--json", action="store_true", help="write it as JSON")
    show.set_defaults(do=_show)
    reset = actions.add_parser("reset", help="start over from an instant")
    since = reset.add_mutually_exclusive_group(required=True)
    since.add_argument("--since", metavar="INSTANT", help="such as 2026-11-01T00:00:00Z, or 2d")
    since.add_argument("--hours", metavar="N", help="so many hours ago")
    reset.add_argument("--again", action="store_true", help="send again what was delivered since")
    reset.set_defaults(do=_reset)
    for action in (show, reset):
        action.add_argument("--data", metavar="DIR", help="the data folder (default: configured)")
        choice.add_option(action)


def run(options: argparse.Namespace) -> int:
    """Show or reset, and return the exit status."""
    folder = _folder(options)
    if options.data and not is_of_a_connector(folder):
        raise ConfigurationError(f"{folder} holds no state of a connector; name another folder.")
    status: int = options.do(options, folder)
    return status


def _folder(options: argparse.Namespace) -> Path:
    """Return the folder that is meant: one that is named may be that of one among several."""
    if options.data and options.organization is None:
        folder = installation.find(data=options.data).folder
        if is_of_a_connector(folder):
            return folder
    return choice.chosen(options.data, options.organization).folder


# Showing


def _show(options: argparse.Namespace, folder: Path) -> int:
    found = inspect(folder)
    document = as_document(folder, found)
    if options.json:
        sys.stdout.write(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode() + "\n")
    else:
        Terminal().table([[Cell(name, "dim"), Cell(text)] for name, text in _lines(folder, found)])
    return NOT_WELL if found.damage or found.without_ledger else WELL


def as_document(folder: Path, found: Inspection) -> dict[str, Any]:
    """Return what was found for a machine: instants as RFC 3339, None for what there is not."""
    owner = found.owner
    return {
        "folder": str(folder),
        "owner": owner and {"host": owner.host, "pid": owner.pid, "since": owner.since},
        "quarantine": {"events": found.quarantine.files, "bytes": found.quarantine.size_bytes},
        "streams": [_stream(stream) for stream in found.streams],
    }


def _stream(stream: StreamState) -> dict[str, Any]:
    checkpoint = stream.found.checkpoint
    return {
        "folder": str(stream.folder),
        "services": stream.services,
        "damage": stream.found.warning or None,
        "progress": checkpoint and _checkpoint(checkpoint),
        "ledger": {"files": stream.ledger.files, "bytes": stream.ledger.size_bytes},
    }


def _checkpoint(checkpoint: Checkpoint) -> dict[str, Any]:
    return {
        "beginning": to_text(checkpoint.beginning_ms),
        "watermark": to_text(checkpoint.watermark_ms),
        "windows": [
            {
                "start": to_text(window.start_ms),
                "end": None if window.end_ms is None else to_text(window.end_ms),
            }
            for window in checkpoint.windows
        ],
        "audited": None if checkpoint.audited_ms is None else to_text(checkpoint.audited_ms),
        "scope": checkpoint.scope,
    }


def _lines(folder: Path, found: Inspection) -> list[tuple[str, str]]:
    first, *beside = found.streams
    lines = [
        ("folder", str(folder)),
        ("owner", f"a connector, {found.owner}" if found.owner else "nobody"),
        ("quarantine", f"{found.quarantine.files} events, {found.quarantine.size_bytes:,} bytes"),
        *_stream_lines(first),
    ]
    for stream in beside:
        lines += [("", ""), ("beside it", str(stream.folder)), *_stream_lines(stream)]
    return lines


def _stream_lines(stream: StreamState) -> list[tuple[str, str]]:
    lines = [
        ("damage", stream.found.warning or "none"),
        *_checkpoint_lines(stream.found.checkpoint),
        ("ledger", f"{stream.ledger.files} files, {stream.ledger.size_bytes:,} bytes"),
    ]
    if stream.is_ledger_missing:
        lines.append(("", "The ledger is missing: late events from before are not looked for."))
    return lines


def _checkpoint_lines(checkpoint: Checkpoint | None) -> list[tuple[str, str]]:
    if checkpoint is None:
        return [("read up to", "nothing was collected yet")]
    windows = [
        ("open", f"{to_text(w.start_ms)} to {to_text(w.end_ms) if w.end_ms else 'now'}")
        for w in checkpoint.windows[:MAX_WINDOWS_SHOWN]
    ]
    more = len(checkpoint.windows) - MAX_WINDOWS_SHOWN
    return [
        ("read up to", to_text(checkpoint.watermark_ms)),
        ("but for", f"{len(checkpoint.windows)} stretches of backlog"),
        *windows,
        *([("", f"and {more} more")] if more > 0 else []),
        ("from", to_text(checkpoint.beginning_ms)),
        ("of", checkpoint.scope),
    ]


# Starting over


def _reset(options: argparse.Namespace, folder: Path) -> int:
    now_ms = wall_clock_ms()
    since_ms = instant_before(_typed(options), now_ms)
    if not is_of_a_connector(folder):
        raise ConfigurationError(f"There is no state in {folder} that could be reset.")
    if record := who_owns(folder):
        raise ConfigurationError(_refusal(folder, str(record)))
    owner, stop = ownership(folder), threading.Event()
    patience = threading.Timer(SECONDS_FOR_A_LEASE_TO_LAPSE, stop.set)
    patience.daemon = True
    patience.start()
    try:
        owner.acquire(stop, Terminal(sys.stderr).say)
    except Stopped:
        raise ConfigurationError(_refusal(folder, "another process")) from None
    try:
        before = inspect(folder)
        kept = [
            start_over(stream.folder, since_ms, now_ms, again=options.again)
            for stream in before.streams
        ]
    finally:
        patience.cancel()
        owner.release()
    terminal = Terminal()
    for line in [*_told(since_ms, before, again=options.again), *_told_of_copies(kept)]:
        terminal.say(line)
    return WELL


def _typed(options: argparse.Namespace) -> str:
    if options.hours is None:
        return str(options.since)
    typed, most = str(options.hours), RETENTION.days * 24
    if not (typed.isascii() and typed.isdecimal() and int(typed) <= most):
        raise ConfigurationError(f"--hours {options.hours}: give a number from 0 to {most}.")
    return f"{options.hours}h"


def _refusal(folder: Path, owner: str) -> str:
    return (
        f"The state in {folder} is owned by {owner}, so it cannot be reset; stop the connector"
        " first."
    )


def _told(since_ms: int, before: Inspection, *, again: bool) -> list[str]:
    lines = [f"The next start collects events since {to_text(since_ms)}."]
    if again:
        lines.append("What was delivered since then is sent again.")
    else:
        lines.append(
            "What the ledger knows as delivered is not sent again; it reaches about audit_hours"
            " back. --again sends everything."
        )
    lines.append("Late events from before that instant are not looked for any more.")
    oldest_ms = min((checkpoint.oldest_open_ms for _, checkpoint in before.begun), default=since_ms)
    if oldest_ms < since_ms:
        lines.append(
            f"What was not collected yet between {to_text(oldest_ms)} and then is left out."
        )
    return lines


def _told_of_copies(kept: list[Kept]) -> list[str]:
    lines = []
    documents = [str(copies.document) for copies in kept if copies.document is not None]
    if documents:
        places = ", and ".join(f"{document} back as context.json" for document in documents)
        beside = " beside it" if len(documents) > 1 else ""
        lines.append(f"To undo it, put {places}{beside} before that start.")
    lines += [
        f"The ledger is kept in {copies.ledger}; delete it when you need it no more."
        for copies in kept
        if copies.ledger is not None
    ]
    return lines
