"""The alerts and the dashboard, by a real Prometheus that scrapes the real process."""

import json
import math
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import time
from typing import Any

import pytest

from sandbox import API_KEY, faults, make_event
from sandbox.connector import Settings, wait_for_health
from sandbox.instants import now_ms
from sandbox.live import Live
from tests.process.scene import Scene, history, scene
from tests.prometheus import MISSING, PROGRAM, Prometheus, eventually, prometheus
from tools.dashboard import PANELS_OF_ONE

RECORDING = os.environ.get("RECORD_DASHBOARD")
"""Where to write what the dashboard shows of the run, for the picture in the documents."""

POINTS_APART = 1


@dataclass
class _Run:
    """A connector, the Prometheus that watches it, and what it has been put through so far."""

    on: Scene
    watch: Prometheus
    began: float = field(default_factory=time)
    phases: list[tuple[str, float, float]] = field(default_factory=list)

    @contextmanager
    def raises(self, alert: str) -> Iterator[None]:
        """Wait, inside a cause, for its alert; and after it for the end of the alert."""
        since = time()
        yield
        eventually(lambda: alert not in self.watch.firing(), f"the end of {alert}")
        self.phases.append((alert, since, time()))

    def fires(self, alert: str) -> None:
        """Wait for an alert."""
        eventually(lambda: alert in self.watch.firing(), alert)

    def at_another_time(self) -> list[tuple[str, float]]:
        """List the alerts that fired without their cause, with the second of the run."""
        return [
            (alert["metric"]["alertname"], round(instant - self.began))
            for alert in self.watch.matrix('ALERTS{alertstate="firing"}', self.began, time())
            for instant, _ in alert["values"]
            if not any(
                alert["metric"]["alertname"] == name and since <= instant <= until
                for name, since, until in self.phases
            )
        ]


@pytest.mark.lengthy
@pytest.mark.skipif(PROGRAM is None, reason=MISSING)
def test_each_alert_fires_for_its_cause_and_ends_and_the_dashboard_shows_it() -> None:
    """A first start raises none; an outage, a refused key, a refused event and an end each one."""
    with (
        tempfile.TemporaryDirectory() as folder,
        scene(
            history(12_000, minutes=20 * 60),
            Settings(chunk_size=250),
            before=lambda sandbox, _: sandbox.jumpcloud.faults.add(
                faults.SlowPages(latency_ms=1_500), endpoint="events"
            ),
        ) as on,
        Live(on.sandbox.jumpcloud, per_second=5, late_share=0.2, latest_ms=6_000),
        prometheus(Path(folder), on.connector.metrics_port) as watch,
    ):
        run = _Run(on, watch)
        _first_start(run)
        _outage(run)
        _refused_key(run)
        _refused_intake(run)
        _quarantine(run)
        _end_and_restart(run)

        assert run.at_another_time() == []
        keys = (API_KEY, on.sandbox.intake.intake_key)
        alerts = json.dumps(watch.vector("ALERTS"))
        assert not any(key in alerts for key in keys)
        assert _without_data(run) == []
        if RECORDING:
            Path(RECORDING).write_text(json.dumps(_recorded(run)) + "\n", "utf-8")


def _first_start(run: _Run) -> None:
    backlog = "symphony_module_jumpcloud_backlog_seconds"
    eventually(lambda: run.watch.vector(f"{backlog} > 3600"), "a backlog")
    eventually(lambda: run.watch.vector(f"{backlog} == 0"), "the end of the backlog")
    run.on.sandbox.jumpcloud.faults.clear()

    assert run.watch.vector("max_over_time(symphony_module_common_events_lags[10m]) > 3600")
    assert run.at_another_time() == []


def _outage(run: _Run) -> None:
    with run.raises("JumpCloudUnavailable"):
        rule = run.on.sandbox.jumpcloud.faults.add(faults.Status(503))
        run.fires("JumpCloudUnavailable")
        rule.on = False


def _refused_key(run: _Run) -> None:
    with run.raises("JumpCloudKeyRefused"):
        run.on.sandbox.jumpcloud.api_key = "another"
        run.fires("JumpCloudKeyRefused")
        run.on.sandbox.jumpcloud.api_key = API_KEY


def _refused_intake(run: _Run) -> None:
    with run.raises("JumpCloudIntakeRefused"):
        rule = run.on.sandbox.intake.faults.add(faults.Status(401))
        run.fires("JumpCloudIntakeRefused")
        rule.on = False


def _quarantine(run: _Run) -> None:
    with run.raises("JumpCloudQuarantine"):
        run.on.sandbox.jumpcloud.publish([make_event(now_ms(), padding_bytes=300_000)])
        run.fires("JumpCloudQuarantine")


def _end_and_restart(run: _Run) -> None:
    with run.raises("JumpCloudAbsent"):
        assert run.on.connector.stop() == 0
        run.fires("JumpCloudAbsent")
        run.on.connector.start()
        wait_for_health(run.on.connector, 90)


# The dashboard


def _shown(run: _Run, expression: str) -> list[dict[str, Any]]:
    """Return what a panel's query shows of the whole run."""
    for variable, value in {
        "$__rate_interval": "10s",
        "$job": "jumpcloud",
        "$instance": ".*",
        "$organization": ".*",
    }.items():
        expression = expression.replace(variable, value)
    return run.watch.matrix(expression, run.began, time())


def _without_data(run: _Run) -> list[str]:
    """List the panels with a query that returns nothing that could be drawn."""
    return [
        panel.title
        for panel in PANELS_OF_ONE
        for query in panel.queries
        if not any(
            math.isfinite(float(value))
            for series in _shown(run, query.expression)
            for _, value in series["values"]
        )
    ]


def _recorded(run: _Run) -> dict[str, Any]:
    """Return what each panel shows: instants in seconds of the run, values as they were."""
    return {
        "seconds": round(time() - run.began),
        "causes": [
            {"alert": alert, "from": round(since - run.began), "to": round(until - run.began)}
            for alert, since, until in run.phases
        ],
        "panels": [
            {
                "title": panel.title,
                "series": [
                    {
                        "query": query.expression,
                        "name": _legend(query.legend, series["metric"]),
                        "points": [
                            [round(instant - run.began), float(f"{float(value):.3g}")]
                            for instant, value in series["values"][::POINTS_APART]
                            if math.isfinite(float(value))
                        ],
                    }
                    for query in panel.queries
                    for series in _shown(run, query.expression)
                ],
            }
            for panel in PANELS_OF_ONE
        ],
    }


def _legend(legend: str, labels: dict[str, str]) -> str:
    for name, value in labels.items():
        legend = legend.replace("{{" + name + "}}", value)
    return legend
