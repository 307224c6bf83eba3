"""The command line: `python -m sandbox run` and `python -m sandbox serve`."""

from __future__ import annotations

import argparse
import math
import sys

from sandbox.apart import serve
from sandbox.run import STATUSES, Plan, run


def main(arguments: list[str] | None = None) -> int:
    """Read the command line and do what it says; return the exit status."""
    chosen = _parser().parse_args(arguments)
    if chosen.command == "serve":
        return serve(keep_texts=chosen.keep_texts, with_parent=chosen.with_parent)
    return run(
        Plan(
            live_seconds=chosen.seconds,
            events=chosen.events,
            with_faults=chosen.faults,
            seed=chosen.seed,
        )
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sandbox", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser(
        "run", help="run the connector against the sandbox", epilog=STATUSES
    )
    running.add_argument("--seconds", type=_seconds, help="how long events keep coming (25)")
    running.add_argument("--events", type=_count, default=20_000, help="events of the day before")
    running.add_argument("--faults", action="store_true", help="let both ends fail now and then")
    running.add_argument("--seed", type=int, default=1, help="of the events and the faults")
    serving = commands.add_parser("serve", help="serve the sandbox until it is stopped")
    serving.add_argument("--keep-texts", action="store_true", help="keep every accepted event")
    serving.add_argument("--with-parent", action="store_true", help="end with standard input")
    return parser


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not possible; give seconds, 0 or more")
    return seconds


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not possible; give a whole number, 0 or more"
        )
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
