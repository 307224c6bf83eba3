"""The process of many organizations, as a probe sees it."""

import threading
from pathlib import Path

import pytest

from jumpcloud_modules.commands import many as product
from sandbox import Sandbox, make_event, many, wait_until
from sandbox.instants import now_ms
from sandbox.self_hosted import ManyConnectorProcess


def test_a_process_that_waits_for_a_full_disk_is_not_restarted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A restart would not help, and would send again what was delivered and not written down."""
    monkeypatch.setattr(product, "HEALTH_GRACE_SECONDS", -1.0)
    (one,) = many(1)
    with Sandbox(organizations=[one]) as sandbox:
        told = ManyConnectorProcess(sandbox.addresses, [one])
        process = product.build(told.module_path, tmp_path, {}, "9.9.9", "tests")
        running = threading.Thread(target=process.run, daemon=True)
        running.start()
        sandbox.jumpcloud.publish([make_event(now_ms(), organization=one.id)])
        assert wait_until(lambda: sandbox.intake.count == 1)
        ledger, away = tmp_path / one.name / "ledger", tmp_path / "away"
        ledger.rename(away)
        ledger.write_text("no folder")
        sandbox.jumpcloud.publish([make_event(now_ms(), organization=one.id)])

        assert wait_until(lambda: process.health()[1]["seconds_since_last_step"] > 2.0)
        assert process.health()[0] == 200

        ledger.unlink()
        away.rename(ledger)
        assert wait_until(lambda: process.health()[1]["seconds_since_last_step"] < 1.0)
        process.stop()
        running.join(20)
        assert sandbox.verdict().clean
