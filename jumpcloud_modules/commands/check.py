"""Ask beforehand whether it will work: the configuration, JumpCloud, the intake, the state.

It changes nothing: no event is sent, no file is written, and a connector that runs is not
disturbed. What depends on a check that failed is skipped. It ends within half a minute, whatever
hangs. Where module.json lists organizations, each is checked, a few at a time: a line for each that
is well, and the whole report of each that is not.
"""

import argparse
import sys
from typing import Any, Final

import orjson

from jumpcloud_modules.commands import choice, installation
from jumpcloud_modules.commands.check_many import each
from jumpcloud_modules.commands.check_one import check
from jumpcloud_modules.commands.check_report import Check, Report
from jumpcloud_modules.commands.dispatch import NOT_WELL, WELL
from jumpcloud_modules.commands.module_json import WRONG_CONFIGURATION
from jumpcloud_modules.commands.terminal import Cell, Terminal, Tone
from jumpcloud_modules.http.redaction import Secrets
from jumpcloud_modules.sekoia.configuration import ALL_SERVICES

WAITING: Final = "Asking JumpCloud and the intake …"
TONES: dict[str, Tone] = {"ok": "good", "failed": "bad", "skipped": "dim"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Say what can be typed."""
    parser.add_argument("--json", action="store_true", help="write the report as JSON")
    parser.add_argument("--data", metavar="DIR", help="the data folder (default: the connector's)")
    choice.add_option(parser)


def run(options: argparse.Namespace) -> int:
    """Check, show the report, and return the exit status."""
    place = installation.find(data=options.data)
    if options.organization is None and place.organizations():
        return _run_all(place, is_json=options.json)
    chosen = choice.chosen(options.data, options.organization)
    secrets = Secrets()
    with Terminal(sys.stderr).waiting(WAITING):
        report = check(chosen, secrets)
    if options.json:
        sys.stdout.write(secrets.redact(_text(as_json(report))) + "\n")
    else:
        show(report, Terminal(), secrets)
    return status_of(report)


def _run_all(place: installation.Installation, *, is_json: bool) -> int:
    """Check each organization of a list, and return the exit status of the worst."""
    nameless, terminal, stderr = place.faults(), Terminal(), Terminal(sys.stderr)
    for said in [*nameless, *place.warnings()]:
        stderr.say(said, "bad")
    documents, worst = dict[str, Any](), WRONG_CONFIGURATION if nameless else WELL
    with stderr.waiting(WAITING):
        for name, report, secrets in each(place.of_this_process()):
            worst = max(worst, status_of(report))
            if is_json:
                documents[name] = orjson.loads(secrets.redact(_text(as_json(report))))
            else:
                _show_one_of_many(name, report, terminal, secrets)
    if is_json:
        sys.stdout.write(_text({"ok": worst == WELL, "organizations": documents}) + "\n")
    return worst


def _show_one_of_many(name: str, report: Report, terminal: Terminal, secrets: Secrets) -> None:
    if not report.ok:
        terminal.say(f"failed   {name}", "bad")
        show(report, terminal, secrets)
        return
    counted = report.services.get(ALL_SERVICES)
    events = "" if counted is None else f"  {counted:,} events in the last 24 hours"
    untested = [check.name for check in report.checks if check.status == "skipped"]
    terminal.say(f"ok       {name}{events}{f'; not tested: {untested[0]}' if untested else ''}")


def status_of(report: Report) -> int:
    """Return the exit status of a report."""
    if not report.is_configured:
        return WRONG_CONFIGURATION
    return WELL if report.ok else NOT_WELL


def as_json(report: Report) -> dict[str, Any]:
    """Return a report for a machine; `all` is not listed among the services."""
    checks = [
        {"name": c.name, "status": c.status, "message": c.message, "remedy": c.remedy or None}
        for c in report.checks
    ]
    services = {name: n for name, n in report.services.items() if name != ALL_SERVICES}
    return {"ok": report.ok, "checks": checks, "services": services}


def _text(document: dict[str, Any]) -> str:
    return orjson.dumps(document, option=orjson.OPT_INDENT_2).decode()


def show(report: Report, terminal: Terminal, secrets: Secrets) -> None:
    """Write a report for a person."""
    terminal.table([_row(check, secrets) for check in report.checks])
    if report.services:
        terminal.say("")
        rows = [[Cell(name), Cell(f"{count:>12,}")] for name, count in report.services.items()]
        terminal.table(rows, ["service", f"{'last 24 hours':>12}"])


def _row(check: Check, secrets: Secrets) -> list[Cell]:
    said = " ".join(filter(None, [check.message, check.remedy and f"→ {check.remedy}"]))
    tone = TONES[check.status]
    return [Cell(check.status, tone), Cell(check.name), Cell(secrets.redact(said))]
