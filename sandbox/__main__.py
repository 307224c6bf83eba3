"""The command line: `python -m sandbox run` and `python -m sandbox serve`."""

from __future__ import annotations

import argparse
import sys

from sandbox.apart import serve
from sandbox.run import Plan, run


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
    running = commands.add_parser("run", help="run the connector against the sandbox")
    running.add_argument("--seconds", type=float, help="how long events keep coming (25)")
    running.add_argument("--events", type=int, default=20_000, help="events of the day before")
    running.add_argument("--faults", action="store_true", help="let both ends fail now and then")
    running.add_argument("--seed", type=int, default=1, help="of the events and the faults")
    serving = commands.add_parser("serve", help="serve the sandbox until it is stopped")
    serving.add_argument("--keep-texts", action="store_true", help="keep every accepted event")
    serving.add_argument("--with-parent", action="store_true", help="end with standard input")
    return parser


if __name__ == "__main__":
    sys.exit(main())
