"""The command line: `python -m sandbox run` and `python -m sandbox serve`."""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import replace

from sandbox.run import STATUSES, Plan, run
from sandbox.scenarios import BY_NAME, EVERYDAY, Scenario, listed
from sandbox.serve import PORT, Service, serve

_FAULT_RATE = 0.2
_FEWEST, _MOST = 2, 5_000
_LAST_PORT = 65_532
_ORGANIZATIONS_AN_EVENT = 10  # of so many, one has an event in a second


def main(arguments: list[str] | None = None) -> int:
    """Read the command line and do what it says; return the exit status."""
    chosen = _parser().parse_args(arguments)
    if chosen.command == "serve":
        return serve(
            Service(
                port=chosen.port,
                events=chosen.events,
                per_second=chosen.per_second,
                organizations=chosen.organizations,
                seed=chosen.seed,
                keep_texts=chosen.keep_texts,
                for_a_program=chosen.json,
                with_parent=chosen.with_parent,
            )
        )
    if chosen.list_scenarios:
        print(listed())
        return 0
    return run(
        Plan(
            _scenario(chosen),
            live_seconds=chosen.seconds,
            seed=chosen.seed,
            with_page=chosen.page,
            page_port=chosen.port,
            stay=chosen.stay,
        )
    )


def _scenario(chosen: argparse.Namespace) -> Scenario:
    """Return what was asked for, with more or fewer events and with faults where these were."""
    scenario = BY_NAME[chosen.scenario] if chosen.scenario else EVERYDAY
    if chosen.events is not None:
        scenario = replace(scenario, events=chosen.events)
    if chosen.per_second is not None:
        scenario = replace(scenario, per_second=chosen.per_second)
    if chosen.late_share is not None:
        scenario = replace(scenario, late_share=chosen.late_share)
    if chosen.organizations:
        title = f"{scenario.title}, {chosen.organizations:,} organizations"
        scenario = replace(scenario, organizations=chosen.organizations, title=title)
        if chosen.per_second is None:
            usual = max(scenario.per_second, chosen.organizations / _ORGANIZATIONS_AN_EVENT)
            scenario = replace(scenario, per_second=usual)
    return replace(scenario, fault_rate=_FAULT_RATE) if chosen.faults else scenario


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sandbox", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser(
        "run", help="run the connector against the sandbox", epilog=STATUSES
    )
    running.add_argument("--seconds", type=_seconds, help="how long events keep coming (25)")
    running.add_argument("--events", type=_count, help="events that wait (20,000)")
    running.add_argument("--per-second", type=_rate, help="events that come meanwhile (5)")
    running.add_argument(
        "--late-share", type=_share, help="how many of them come up to 5 s late, 0 to 1 (0.2)"
    )
    running.add_argument("--scenario", choices=BY_NAME, metavar="NAME", help="a story, by its name")
    running.add_argument(
        "--organizations", type=_several, help="collect for so many, each with its intake key"
    )
    running.add_argument("--no-page", dest="page", action="store_false", help="serve no page")
    running.add_argument("--stay", action="store_true", help="keep it and the page until Ctrl-C")
    running.add_argument("--port", type=_port, default=0, help="of the page (any)")
    running.add_argument("--list-scenarios", action="store_true", help="list them, and end")
    running.add_argument("--faults", action="store_true", help="let both ends fail now and then")
    running.add_argument("--seed", type=int, default=1, help="of the events and the faults")
    serving = commands.add_parser(
        "serve",
        help="serve the sandbox to any client, until it is stopped",
        epilog="Exit status: 0 where the verdict is clean, 1 where not, 2 where a port is taken.",
    )
    serving.add_argument(
        "--port", type=_port, default=PORT, help=f"the first of four ({PORT}); 0: any"
    )
    serving.add_argument("--events", type=_count, default=20_000, help="of the last day (20,000)")
    serving.add_argument("--per-second", type=_rate, default=5.0, help="events that come (5)")
    serving.add_argument(
        "--organizations", type=_several, default=0, help="so many under one key, each its intake"
    )
    serving.add_argument("--seed", type=int, default=1, help="of the events")
    serving.add_argument("--json", action="store_true", help="tell the addresses to a program")
    serving.add_argument("--keep-texts", action="store_true", help="keep every accepted event")
    serving.add_argument("--with-parent", action="store_true", help="end with standard input")
    return parser


def _seconds(text: str) -> float:
    return _not_below_zero(text, "seconds")


def _rate(text: str) -> float:
    return _not_below_zero(text, "a number")


def _share(text: str) -> float:
    share = _not_below_zero(text, "a number from 0 to 1")
    if share > 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not possible; give a number from 0 to 1")
    return share


def _not_below_zero(text: str, what: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not possible; give {what}, 0 or more")
    return number


def _port(text: str) -> int:
    port = _count(text)
    if port > _LAST_PORT:
        raise argparse.ArgumentTypeError(f"{text!r} is not possible; give 0 to {_LAST_PORT}")
    return port


def _several(text: str) -> int:
    count = _count(text)
    if not _FEWEST <= count <= _MOST:
        raise argparse.ArgumentTypeError(f"{text!r} is not possible; give {_FEWEST} to {_MOST:,}")
    return count


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not possible; give a whole number, 0 or more"
        )
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
