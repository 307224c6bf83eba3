"""The connector on the SDK, in this process, against the emulators."""

import json
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import generate_latest
from sekoia_automation.exceptions import TriggerConfigurationError

from jumpcloud_modules.sekoia import connector as connector_module
from jumpcloud_modules.sekoia import polling
from jumpcloud_modules.sekoia.connector import JumpcloudDirectoryInsightsConnector
from jumpcloud_modules.sekoia.module import JumpcloudDirectoryInsightsModule
from sandbox import API_KEY, INTAKE_KEY, Sandbox, faults, generate, make_event, wait_until
from sandbox.instants import now_ms

_HOUR_MS = 3_600_000


@dataclass
class _Running:
    """A connector that can be started in a thread, and what it is configured with."""

    sandbox: Sandbox
    folder: Path
    monkeypatch: pytest.MonkeyPatch
    threads: list[threading.Thread] = field(default_factory=list)
    connectors: list[JumpcloudDirectoryInsightsConnector] = field(default_factory=list)

    def build(
        self, apikey: str = API_KEY, **configuration: object
    ) -> JumpcloudDirectoryInsightsConnector:
        addresses = self.sandbox.addresses
        module = JumpcloudDirectoryInsightsModule()
        module.configuration = {"base_url": addresses.jumpcloud_url, "apikey": apikey}
        connector = JumpcloudDirectoryInsightsConnector(module, self.folder)
        values = {"intake_key": INTAKE_KEY, "frequency": 1, "history_hours": 24, **configuration}
        connector.configuration = values  # type: ignore[assignment]
        self.connectors.append(connector)
        return connector

    def start(self, act: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(target=act, daemon=True)
        thread.start()
        self.threads.append(thread)
        return thread

    def stop(self) -> float:
        """Stop all of it, and return the seconds it took."""
        began = time.monotonic()
        for connector in self.connectors:
            connector._is_collecting = True
            connector.stop()
        for thread in self.threads:
            thread.join(20)
        return time.monotonic() - began

    def messages(self, *levels: str) -> list[str]:
        return self.sandbox.platform.messages(*levels)


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[_Running]:
    """Serve the three ends, and give the platform's variables to the SDK."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    now = now_ms()
    with Sandbox(generate(200, now - 20 * _HOUR_MS, now - 1_000, seed=9)) as sandbox:
        addresses = sandbox.addresses
        for name, value in {
            "INTAKE_URL": addresses.intake_url,
            "TOKEN": addresses.token,
            "URL_LOGS": f"{addresses.platform_url}/logs",
            "URL_SECRETS": f"{addresses.platform_url}/secrets",
            "URL_CALLBACK": f"{addresses.platform_url}/callback",
        }.items():
            monkeypatch.setenv(name, value)
        parts = _Running(sandbox, tmp_path, monkeypatch)
        yield parts
        parts.stop()
    for number, handler in handlers.items():
        signal.signal(number, handler)


def test_it_collects_until_it_is_stopped(running: _Running) -> None:
    """What is there and what comes, each event once, and it ends soon."""
    connector = running.build()
    running.start(connector.run)
    assert wait_until(lambda: running.sandbox.intake.count == 200, 20)

    running.sandbox.jumpcloud.publish([make_event(now_ms())])
    arrived = wait_until(lambda: running.sandbox.intake.count == 201, 20)
    seconds = running.stop()

    assert arrived
    assert seconds < 4
    assert running.sandbox.verdict().clean, running.sandbox.verdict().table()


def test_the_provider_belongs_to_the_scope_only_where_it_is_named(running: _Running) -> None:
    """Whoever names none goes on with the ledger that there is."""
    connector = running.build()
    without = connector._assemble().collectors[0]._plan.scope

    connector.module.configuration = {
        **connector.module.configuration.model_dump(),
        "provider_id": "p1",
    }

    assert connector._assemble().collectors[0]._plan.scope == f"{without} provider p1"


def test_a_restart_goes_on_where_it_was(running: _Running) -> None:
    """From the data path alone."""
    running.start(running.build().run)
    assert wait_until(lambda: running.sandbox.intake.count == 200, 20)
    running.stop()
    running.sandbox.jumpcloud.publish([make_event(now_ms())])

    running.start(running.build().run)

    assert wait_until(lambda: running.sandbox.intake.count == 201, 20)
    document = json.loads((running.folder / "context.json").read_bytes())
    assert document["most_recent_date_seen"].endswith("Z")
    assert running.sandbox.verdict().clean


def test_a_line_a_poll_tells_what_moved_and_a_quiet_one_leaves_none(running: _Running) -> None:
    """With counts, and without a key; it reaches the platform."""
    connector = running.build()
    running.start(connector.run)
    assert wait_until(lambda: running.sandbox.intake.count == 200, 20)

    def delivered_by_the_log() -> int:
        connector._send_logs_to_api()
        return _delivered(running.messages())

    assert wait_until(lambda: delivered_by_the_log() == 200, 20)
    polls, lines = running.sandbox.jumpcloud.requests, len(_polled(running.messages()))
    asked = polls.count("events")
    assert wait_until(lambda: polls.count("events") > asked + 2, 20)
    connector._send_logs_to_api()
    assert len(_polled(running.messages())) <= lines + 1  # the end of the backlog, perhaps
    assert all(key not in text for text in running.messages() for key in (API_KEY, INTAKE_KEY))


def _polled(messages: list[str]) -> list[str]:
    return [message for message in messages if message.startswith("Polled")]


def _delivered(messages: list[str]) -> int:
    found = (re.search(r"(\d+) delivered", message) for message in messages)
    return sum(int(number[1]) for number in found if number)


def test_lag_is_nothing_when_caught_up_and_grows_while_failing(running: _Running) -> None:
    """The platform's dashboards show it."""
    connector = running.build()
    collector = connector._parts.collectors[0]
    running.start(connector.run)
    assert wait_until(lambda: running.sandbox.intake.count == 200, 20)
    assert wait_until(lambda: collector._tail.caught_up_ms and not collector.checkpoint.windows, 10)
    caught_up = connector._lag_seconds(connector._parts)

    running.sandbox.jumpcloud.api_key = "another"
    assert wait_until(lambda: connector._parts.is_failing, 10)
    first = connector._lag_seconds(connector._parts)
    assert wait_until(lambda: connector._lag_seconds(connector._parts) > first + 0.5, 10)

    assert caught_up == 0
    assert connector.is_alive()


def test_a_refused_key_is_said_once_as_an_error_and_not_hammered(running: _Running) -> None:
    """With the remedy, without the key."""
    running.sandbox.jumpcloud.api_key = "another"
    connector = running.build()
    running.start(connector.run)
    assert wait_until(lambda: running.messages("error"), 10)

    began = time.monotonic()
    assert not wait_until(lambda: len(running.messages("error")) > 1, 2)

    requests = running.sandbox.jumpcloud.requests.count(since=began)
    assert requests <= 6
    assert "Check that the API key or the service account is valid" in running.messages("error")[0]
    assert running.messages("critical") == []
    assert API_KEY not in running.messages("error")[0]


def test_the_platforms_log_endpoint_cannot_hold_up_collecting(running: _Running) -> None:
    """Down or slow, also for errors."""
    running.sandbox.platform.faults.add(faults.Status(500), endpoint="logs")
    connector = running.build()
    running.start(connector.run)

    began = time.monotonic()
    connector.log("an error", level="error")
    seconds = time.monotonic() - began

    assert seconds < 1
    assert wait_until(lambda: running.sandbox.intake.count == 200, 20)


def test_events_pushed_by_the_sdks_name_arrive_with_their_receipts(running: _Running) -> None:
    """Dictionaries and texts alike."""
    connector = running.build()

    receipts = connector.push_events_to_intakes([{"id": "a"}, '{"id": "b", "n": 1e400}'])

    assert len(receipts) == 2
    assert running.sandbox.intake.texts == [b'{"id":"a"}', b'{"id": "b", "n": 1e400}']


def test_pushing_no_events_costs_nothing(running: _Running) -> None:
    """Nor does it fail."""
    assert running.build().push_events_to_intakes([]) == []
    assert running.sandbox.intake.requests.arrivals() == 0


def test_while_an_end_fails_the_connector_is_healthy_for_as_long_as_it_tries(
    running: _Running,
) -> None:
    """A restart would mend nothing."""
    running.sandbox.jumpcloud.faults.add(faults.Status(503))
    connector = running.build()
    running.start(connector.run)
    assert wait_until(lambda: running.sandbox.jumpcloud.requests.arrivals() > 1, 20)

    connector._last_heartbeat -= timedelta(days=1)

    assert wait_until(connector.is_alive, 20)


def test_a_collector_that_hangs_for_long_is_not_healthy(running: _Running) -> None:
    """A restart may help then."""
    running.sandbox.jumpcloud.faults.add(faults.Hang(60))
    connector = running.build()
    running.start(connector.run)
    assert wait_until(lambda: running.sandbox.jumpcloud.requests.arrivals() > 0, 20)

    connector._last_heartbeat -= timedelta(seconds=connector.last_heartbeat_threshold - 60)
    still_alive = connector.is_alive()
    connector._last_heartbeat -= timedelta(seconds=120)

    assert still_alive
    assert not connector.is_alive()


def test_what_was_collected_and_forwarded_is_counted(running: _Running) -> None:
    """Once each, and the counter has the name that dashboards rely on."""
    connector, counted = running.build(), list[int]()
    running.monkeypatch.setattr(
        connector, "put_forwarded_events", lambda **told: counted.append(told["count"])
    )
    before = connector_module.COLLECTED_MESSAGES.labels(intake_key=INTAKE_KEY)._value.get()
    running.start(connector.run)
    assert wait_until(lambda: sum(counted) == 200, 20)
    running.stop()

    after = connector_module.COLLECTED_MESSAGES.labels(intake_key=INTAKE_KEY)._value.get()
    assert after - before == 200
    assert b"symphony_module_jumpcloud_collected_messages_total{" in generate_latest()


def test_an_unexpected_failure_is_told_and_collecting_goes_on(running: _Running) -> None:
    """No programming error stops the stream for good."""
    running.monkeypatch.setattr(polling, "SECONDS_BEFORE_REPEATING_AN_UNEXPECTED_FAILURE", 0.05)
    connector = running.build()
    collector, failures = connector._parts.collectors[0], [ZeroDivisionError("unexpected")] * 2
    poll = collector.poll

    def failing() -> None:
        if failures:
            raise failures.pop()
        poll()

    running.monkeypatch.setattr(collector, "poll", failing)
    running.start(connector.run)

    assert wait_until(lambda: running.sandbox.intake.count == 200, 20)
    assert wait_until(lambda: running.messages("error"), 10)
    assert "Collecting failed unexpectedly" in running.messages("error")[0]
    told = "Collecting works again, after 2 unexpected failures."

    def is_told() -> bool:
        connector._send_logs_to_api()  # it is logged a moment after the intake has the events
        return told in running.messages("info")

    assert wait_until(is_told, 10)
    assert len(running.messages("error")) == 1


def test_an_event_set_aside_is_counted_and_named(running: _Running) -> None:
    """With its file, next to the state."""
    running.sandbox.jumpcloud.publish([make_event(now_ms(), id="large", padding_bytes=300_000)])
    connector, discarded = running.build(), list[int]()
    running.monkeypatch.setattr(
        connector, "put_discarded_events", lambda **told: discarded.append(told["count"])
    )
    running.start(connector.run)
    assert wait_until(lambda: sum(discarded), 20)
    running.stop()
    connector._send_logs_to_api()

    assert wait_until(lambda: any("large" in text for text in running.messages("warning")), 10)
    assert len(list((running.folder / "quarantine").iterdir())) == 1
    assert sum(discarded) == 1


@pytest.mark.parametrize(
    ("configuration", "sentence"),
    [({"frequency": 0}, "frequency"), ({"chunk_size": 10_001}, "chunk_size")],
)
def test_a_bad_configuration_is_one_sentence(
    running: _Running, configuration: dict[str, Any], sentence: str
) -> None:
    """About the field, without the key."""
    with pytest.raises(TriggerConfigurationError, match=sentence) as raised:
        running.build(**configuration)

    assert INTAKE_KEY not in str(raised.value)


def test_an_empty_key_is_critical_and_waits_for_a_person(running: _Running) -> None:
    """Restarting by itself would change nothing."""
    connector = running.build(apikey="")
    running.start(connector.run)

    assert wait_until(lambda: running.messages("critical"), 10)
    assert "apikey" in running.messages("critical")[0]
    assert running.sandbox.jumpcloud.requests.arrivals() == 0
    assert running.stop() < 4


def test_a_data_folder_that_cannot_be_written_is_critical_and_waits_for_a_person(
    running: _Running,
) -> None:
    """As a wrong configuration: trying again would mend nothing."""
    running.folder = Path("/sys")
    connector = running.build()
    running.start(connector.run)

    assert wait_until(lambda: running.messages("critical"), 10)
    assert "The data folder /sys cannot be written" in running.messages("critical")[0]
    assert running.sandbox.jumpcloud.requests.arrivals() == 0
    assert running.stop() < 4


def test_a_key_of_the_forms_that_nothing_reads_is_a_warning(running: _Running) -> None:
    """Forms evolve: a key that was, or will be, stops nobody."""
    connector = running.build(frequncy=7)
    connector.module.configuration = {
        "base_url": running.sandbox.addresses.jumpcloud_url,
        "apikey": API_KEY,
        "regoin": "EU",
    }
    running.start(connector.run)
    assert wait_until(lambda: running.sandbox.intake.count == 200, 20)
    running.stop()
    connector._send_logs_to_api()

    assert wait_until(lambda: len(running.messages("warning")) >= 2, 10)
    told = running.messages("warning")
    assert any(text.startswith("module.regoin: there is no such key") for text in told)
    assert (
        "connector.frequncy: there is no such key; did you mean frequency? Nothing reads it."
        in told
    )


@pytest.mark.parametrize("end", ["jumpcloud", "intake"])
def test_a_stop_is_in_time_while_an_end_hangs(running: _Running, end: str) -> None:
    """What hangs is left behind."""
    rule = getattr(running.sandbox, end).faults.add(faults.Hang(60))
    connector = running.build()
    running.start(connector.run)
    assert wait_until(lambda: rule.fired, 10)

    assert running.stop() < 5
