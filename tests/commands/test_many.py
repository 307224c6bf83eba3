"""The process of many organizations, as a probe sees it."""

import threading
from pathlib import Path

import pytest

from jumpcloud_modules.collecting.collector import Collector
from jumpcloud_modules.commands import many as product
from jumpcloud_modules.commands.organization_source import Source
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


def test_a_mistake_of_the_program_is_logged_with_its_stack_and_without_a_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As that of a single connector is: without it nobody can find the mistake."""
    (one,) = many(1)

    def fail(_: Collector) -> None:
        raise ValueError(f"a mistake with {one.intake_key}")

    monkeypatch.setattr(Collector, "poll", fail)
    with Sandbox(organizations=[one]) as sandbox:
        told = ManyConnectorProcess(sandbox.addresses, [one])
        process = product.build(told.module_path, tmp_path, {}, "9.9.9", "tests")
        running = threading.Thread(target=process.run, daemon=True)
        running.start()
        assert wait_until(lambda: "a mistake" in caplog.text)
        process.stop()
        running.join(20)

    assert f"{one.name}: Collecting failed unexpectedly and goes on" in caplog.text
    assert "in guarded" in caplog.text
    assert one.intake_key not in caplog.text


def test_a_mistake_while_the_list_is_read_again_is_logged_and_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """With its stack; the former list goes on."""
    (one,) = many(1)
    with Sandbox(organizations=[one]) as sandbox:
        told = ManyConnectorProcess(sandbox.addresses, [one])
        process = product.build(told.module_path, tmp_path, {}, "9.9.9", "tests")

        def fail(_: Source) -> None:
            raise ValueError("a mistake")

        monkeypatch.setattr(Source, "read", fail)
        running = threading.Thread(target=process.run, daemon=True)
        running.start()
        process.read_again()
        assert wait_until(lambda: "a mistake" in caplog.text)
        sandbox.jumpcloud.publish([make_event(now_ms(), organization=one.id)])
        assert wait_until(lambda: sandbox.intake.count == 1)
        process.stop()
        running.join(20)

    assert "the former one goes on. Traceback" in caplog.text
