"""The connector with the real JumpCloud, and the emulated or the real intake.

Keys come from the environment, go to the connector as it would get them, and are never shown.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import replace

from sandbox.connector import ROOT, ConnectorProcess, Settings
from sandbox.display import Display, Figures
from sandbox.server import Sandbox

_US_REGION = "https://api.jumpcloud.com/"
_SECONDS = 60.0
_PASSED_ON = ("HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy", "REQUESTS_CA_BUNDLE")


def run_with_real_jumpcloud(seconds: float | None, display: Display) -> int:
    """Read the real JumpCloud into the emulated intake, and list what arrived."""
    base_url = os.environ.get("JUMPCLOUD_BASE_URL") or _US_REGION
    settings = Settings(
        frequency=10,
        audit_frequency=60,
        organization_id=os.environ.get("JUMPCLOUD_ORG_ID") or None,
    )
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    with Sandbox(api_key=os.environ["JUMPCLOUD_API_KEY"]) as sandbox:
        display.say(f"Reading {base_url}; the intake ({sandbox.intake.url}) is emulated.")
        addresses = replace(sandbox.addresses, jumpcloud_url=base_url)
        with ConnectorProcess(addresses, settings, environment=environment) as connector:
            _watch(_SECONDS if seconds is None else seconds, display, sandbox, connector)
            status = connector.stop() if connector.running else connector.wait()
        display.say("\n" + arrived_table(sandbox.intake.texts))
        for message in sandbox.platform.messages("warning", "error", "critical"):
            display.say(f"The connector said: {message}")
        return status


def run_end_to_end(seconds: float | None, display: Display) -> int:
    """Run the self-hosted connector as it is, until Ctrl-C or for so many seconds."""
    display.say("Reading the real JumpCloud into the real intake; Ctrl-C ends it.")
    process = subprocess.Popen([sys.executable, "./main.py"], cwd=ROOT)
    try:
        return process.wait(seconds)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        process.terminate()
        return process.wait()


def arrived_table(texts: list[bytes]) -> str:
    """List what arrived by service and event type, and count what came more than once."""
    kinds = Counter(_kind(text) for text in texts)
    lines = [
        f"{service:<22} {event_type:<44} {n:>9,}"
        for (service, event_type), n in sorted(kinds.items())
    ]
    lines.append(f"{'in all':<67} {len(texts):>9,}")
    lines.append(f"{'of these repeated':<67} {len(texts) - len(set(texts)):>9,}")
    return "\n".join(lines)


def _watch(seconds: float, display: Display, sandbox: Sandbox, connector: ConnectorProcess) -> None:
    started = time.monotonic()
    with suppress(KeyboardInterrupt):
        while connector.running and (elapsed := time.monotonic() - started) < seconds:
            display.show(
                Figures(
                    elapsed_seconds=elapsed,
                    produced=None,
                    accepted=sandbox.intake.count,
                    jumpcloud_requests=None,
                    intake_requests=sandbox.intake.requests.arrivals(),
                    lag_seconds=connector.metric("symphony_module_common_events_lags"),
                )
            )
            time.sleep(0.5)


def _kind(text: bytes) -> tuple[str, str]:
    try:
        event = json.loads(text)
    except ValueError:
        return "(not JSON)", ""
    if not isinstance(event, dict):
        return "(no object)", ""
    return str(event.get("service", "-")), str(event.get("event_type", "-"))
