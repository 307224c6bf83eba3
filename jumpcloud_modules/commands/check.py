"""Ask beforehand whether it will work: the configuration, JumpCloud, the intake, the state.

It changes nothing: no event is sent, no file is written, and a connector that runs is not
disturbed. What depends on a check that failed is skipped. It ends within half a minute, whatever
hangs.
"""

import argparse
import sys

import orjson

from jumpcloud_modules.commands import installation
from jumpcloud_modules.commands.checking import check
from jumpcloud_modules.commands.dispatch import NOT_WELL, WELL
from jumpcloud_modules.commands.document import WRONG_CONFIGURATION
from jumpcloud_modules.commands.report import Check, Report
from jumpcloud_modules.commands.terminal import Cell, Terminal, Tone
from jumpcloud_modules.http.redaction import Secrets
from jumpcloud_modules.sekoia.configuration import ALL_SERVICES

TONES: dict[str, Tone] = {"ok": "good", "failed": "bad", "skipped": "dim"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Say what can be typed."""
    parser.add_argument("--json", action="store_true", help="write the report as JSON")
    parser.add_argument("--data", metavar="DIR", help="the data folder (default: the connector's)")


def run(options: argparse.Namespace) -> int:
    """Check, show the report, and return the exit status."""
    secrets = Secrets()
    with Terminal(sys.stderr).waiting("Asking JumpCloud and the intake …"):
        report = check(installation.find(data=options.data), secrets)
    if options.json:
        sys.stdout.write(secrets.redact(as_json(report)) + "\n")
    else:
        show(report, Terminal(), secrets)
    return status_of(report)


def status_of(report: Report) -> int:
    """Return the exit status of a report."""
    if not report.is_configured:
        return WRONG_CONFIGURATION
    return WELL if report.ok else NOT_WELL


def as_json(report: Report) -> str:
    """Write a report for a machine; `all` is not listed among the services."""
    checks = [
        {"name": c.name, "status": c.status, "message": c.message, "remedy": c.remedy or None}
        for c in report.checks
    ]
    services = {name: n for name, n in report.services.items() if name != ALL_SERVICES}
    document = {"ok": report.ok, "checks": checks, "services": services}
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
