"""A real Prometheus with the alert rules sped up, and what it says. Knows no connector."""

import json
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import yaml

PROGRAM = shutil.which("prometheus")
MISSING = "prometheus is not installed (apt-get install prometheus)"
RULES = Path(__file__).resolve().parents[1] / "deploy/prometheus/jumpcloud.rules.yml"
FASTER = 60
SECONDS = {"s": 1, "m": 60, "h": 3_600}
SECONDS_BETWEEN_SCRAPES = 0.5
PATIENCE_SECONDS = 180.0


def sped_up(rules: str, factor: int = FASTER) -> dict[str, Any]:
    """Return rules in which a minute is a second: `for`, ranges, and limits of metrics in seconds.

    Nothing else of them changes.
    """
    document: dict[str, Any] = yaml.safe_load(rules)
    for group in document["groups"]:
        for rule in group["rules"]:
            rule["expr"] = re.sub(
                r"\[(\d+[smh])\]", lambda d: f"[{_shorter(d[1], factor)}]", rule["expr"]
            )
            rule["expr"] = re.sub(
                r"(_seconds\) > )([1-9]\d*)",
                lambda limit: f"{limit[1]}{int(limit[2]) / factor:g}",
                rule["expr"],
            )
            if "for" in rule:
                rule["for"] = _shorter(rule["for"], factor)
    return document


def _shorter(duration: str, factor: int) -> str:
    return f"{int(duration[:-1]) * SECONDS[duration[-1]] * 1000 // factor}ms"


@dataclass(frozen=True, slots=True)
class Prometheus:
    """Ask a running Prometheus."""

    address: str

    def vector(self, expression: str) -> list[dict[str, Any]]:
        """Return what an expression comes to just now."""
        return self._asked("query", query=expression)

    def matrix(self, expression: str, since: float, until: float) -> list[dict[str, Any]]:
        """Return what an expression came to, second by second."""
        return self._asked("query_range", query=expression, start=since, end=until, step=1)

    def firing(self) -> set[str]:
        """Return the names of the alerts that fire."""
        found = self.vector('ALERTS{alertstate="firing"}')
        return {sample["metric"]["alertname"] for sample in found}

    def _asked(self, path: str, **parameters: object) -> list[dict[str, Any]]:
        url = f"http://{self.address}/api/v1/{path}?{urlencode(parameters)}"
        with urlopen(url, timeout=30) as answer:
            result: list[dict[str, Any]] = json.loads(answer.read())["data"]["result"]
        return result


@contextmanager
def prometheus(folder: Path, metrics_port: int) -> Iterator[Prometheus]:
    """Run one that scrapes a port of this machine as the job `jumpcloud`."""
    rules = yaml.safe_dump(sped_up(RULES.read_text(encoding="utf-8")))
    (folder / "rules.yml").write_text(rules, encoding="utf-8")
    (folder / "prometheus.yml").write_text(
        yaml.safe_dump(
            {
                "global": {"scrape_interval": "500ms", "evaluation_interval": "500ms"},
                "rule_files": ["rules.yml"],
                "scrape_configs": [
                    {
                        "job_name": "jumpcloud",
                        "static_configs": [{"targets": [f"127.0.0.1:{metrics_port}"]}],
                    }
                ],
            }
        ),
        encoding="utf-8",
    )
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(
            [
                str(PROGRAM),
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={address}",
                "--log.level=warn",
            ],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        asked = Prometheus(address)
        eventually(lambda: asked.vector("up == 1"), "Prometheus scrapes")
        # It takes five seconds of its own to begin to, which sped up look like an absence.
        eventually(lambda: not asked.firing(), "the alerts of before that end")
        yield asked
    finally:
        process.kill()
        process.wait()


def eventually(happened: Callable[[], object], what: str) -> float:
    """Wait for something to become true, and return when it was; the machine is shared."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            if happened():
                return time.time()
        except OSError:  # it does not listen yet
            pass
        if time.monotonic() > deadline:
            raise AssertionError(f"it did not happen within {PATIENCE_SECONDS} s: {what}")
        time.sleep(0.25)
