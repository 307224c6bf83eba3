"""The connector of the SDK: the polling loop, logs, metrics and health."""

import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import orjson
from prometheus_client import Counter
from pydantic import BaseModel, ValidationError
from sekoia_automation.configuration.exception import MissingConfigurationError
from sekoia_automation.connector import Connector, EventType
from sekoia_automation.exceptions import ModuleConfigurationError, TriggerConfigurationError
from sekoia_automation.module import LogLevelStr

from jumpcloud_modules.assembly import Parts, Voice, alone, assemble
from jumpcloud_modules.collecting.measurements import Measurements
from jumpcloud_modules.collecting.stats import Counts
from jumpcloud_modules.delivery import Delivery, Quarantined
from jumpcloud_modules.errors import CannotWork, OwnershipLost, Stopped
from jumpcloud_modules.events import from_texts
from jumpcloud_modules.failure_log import Repetition
from jumpcloud_modules.http.redaction import Secrets
from jumpcloud_modules.sekoia import announcements
from jumpcloud_modules.sekoia.configuration import ConnectorConfiguration
from jumpcloud_modules.sekoia.exposition import Exposition
from jumpcloud_modules.sekoia.form_faults import explain
from jumpcloud_modules.sekoia.log_shipping import PlatformLogs, Record, post
from jumpcloud_modules.sekoia.memory import keep_small
from jumpcloud_modules.sekoia.metrics import COLLECTED_MESSAGES_DESCRIPTION, KEY_LABEL, Seen
from jumpcloud_modules.sekoia.module import JumpcloudDirectoryInsightsModule
from jumpcloud_modules.sekoia.monitoring import Answer, Monitoring
from jumpcloud_modules.sekoia.object_storage import bound
from jumpcloud_modules.sekoia.polling import Listeners, Polling
from jumpcloud_modules.sekoia.settings import settings_of
from jumpcloud_modules.sekoia.spelling import unknown_keys
from jumpcloud_modules.status import Status
from jumpcloud_modules.status_report import StatusReport

SECONDS_TO_FINISH = 2.5
"""The time that deliveries have to end after SIGTERM."""
SECONDS_BETWEEN_LOOKS = 0.25
SECONDS_TO_SEND_LAST_LOGS = 1.0
PORTS: Final = {"liveness_port": 8000, "metrics_port": 8020}
HEALTH_GRACE_SECONDS = 900
"""Health is 500 after this time plus twice `frequency` without a heartbeat."""

COLLECTED_MESSAGES = Counter(
    name=COLLECTED_MESSAGES_DESCRIPTION.name,
    documentation=COLLECTED_MESSAGES_DESCRIPTION.documentation,
    labelnames=[KEY_LABEL],
)


class JumpcloudDirectoryInsightsConnector(Connector):
    """Collect JumpCloud Directory Insights events and push them to a Sekoia intake."""

    module: JumpcloudDirectoryInsightsModule
    configuration: ConnectorConfiguration

    # A quiet directory is a healthy one: health follows the heartbeat, not the events.
    seconds_without_events = 0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._log_lock = threading.RLock()
        self._unshown = Secrets()  # the SDK has a `_secrets` of its own
        self._platform_logs = PlatformLogs(self._post_logs)
        self._is_collecting = self._is_owner = False
        self._assembled: Parts | None = None
        self._assembly_lock = threading.RLock()  # two threads would collect with parts of their own
        self._unread_keys: list[str] = []
        self._measurements = Measurements()
        self._began_at = time.monotonic()
        self._missing_receipts = Repetition()
        self._report = StatusReport(self._redacted)
        self._monitoring = Monitoring({"/health": self._health, "/status": self._status_answer})
        super().__init__(*args, **kwargs)
        listeners = Listeners(
            self._polled,
            self.log,
            lambda error, said: self.log_exception(error, message=said),
            self._measurements.failed_unexpectedly,
        )
        self._polling = Polling(self._stop_event, listeners)

    # Configuration

    @property  # type: ignore[no-redef]
    def configuration(self) -> ConnectorConfiguration:
        """Return the connector's configuration, read from the platform at first use."""
        try:
            return super().configuration  # type: ignore[return-value]
        except ValueError:
            raise TriggerConfigurationError(
                "The connector's configuration is not JSON; save the connector's form again."
            ) from None

    @configuration.setter  # type: ignore[override]
    def configuration(self, configuration: dict[str, Any]) -> None:
        try:
            self._configuration = ConnectorConfiguration.model_validate(configuration)
        except ValidationError as error:
            raise TriggerConfigurationError(" ".join(explain(error))) from None
        self._unread_keys = unknown_keys(configuration, "connector")

    # Running

    def execute(self) -> None:
        """Run until stopped; a form that cannot be read is logged, and ends it with status 1.

        What `run` finds wrong, it logs itself, and waits to be stopped.
        """
        try:
            super().execute()
        except (ModuleConfigurationError, TriggerConfigurationError) as error:
            self.log(_sentence(error), level="critical")
            raise SystemExit(1) from None
        finally:
            self._send_logs_to_api()
            self._platform_logs.close(SECONDS_TO_SEND_LAST_LOGS)

    def run(self) -> None:
        """Collect until asked to stop."""
        self._is_collecting = True
        try:
            self.prepare()
        except (
            ModuleConfigurationError,
            TriggerConfigurationError,
            MissingConfigurationError,
            CannotWork,
        ) as error:
            self.log(_sentence(error), level="critical")
            self._wait_for_stop()
            return
        for sentence in (*self.module.unread_keys, *self._unread_keys):
            self._warn(f"{sentence} Nothing reads it.")
        self.log(self._starting(), level="info")
        keep_small()
        self.last_heartbeat_threshold = HEALTH_GRACE_SECONDS + 2 * self.configuration.frequency
        # Network calls run in daemon threads, so that a read that hangs cannot hold up the exit.
        collecting = threading.Thread(target=self._collect, name="collector", daemon=True)
        self._show_metrics()
        exposition = Exposition(self._seen, self.key_label)
        exposition.register()
        collecting.start()
        while collecting.is_alive() and self.running:
            self._show_state(self._parts)
            collecting.join(SECONDS_BETWEEN_LOOKS)
        exposition.unregister()
        self._finish(self._parts, [collecting, *self._polling.threads])
        self._parts.owner.release()

    def prepare(self) -> None:
        """Make the parts, and find what waiting does not solve.

        Raises the SDK's errors for a bad configuration, and CannotWork.
        """
        _ = self._parts

    def _wait_for_stop(self) -> None:
        """Sleep instead of `Event.wait`: a signal's handler could deadlock on the event's lock."""
        while self.running:
            time.sleep(SECONDS_BETWEEN_LOOKS)

    def start_monitoring(self) -> None:
        """Open the ports for health, status and metrics, on every address for probes from outside.

        Not the SDK's own, whose port for health answers nothing else, one client at a time.
        """
        self._open_ports("")

    def _open_ports(self, address: str) -> None:
        liveness_port, metrics_port = (
            int(self.module.load_config(name, non_exist_ok=True) or port)
            for name, port in PORTS.items()
        )
        self._monitoring.open(address, liveness_port, metrics_port)

    def stop_monitoring(self) -> None:
        """Close the ports."""
        self._monitoring.close()

    def _health(self) -> Answer:
        """Return whether a restart would help, and what fails: it mends no refused key."""
        parts = self._assembled
        failing = [asdict(failing) for failing in self._report.failing(parts)] if parts else []
        context = {"well": not failing, "failing": failing, **self.liveness_context()}
        return (200 if self.is_alive() else 500), context

    def _status_answer(self) -> Answer:
        return 200, self.status().to_json()

    @property
    def data_path(self) -> Path:
        """Return the folder for the state, on a disk or on S3."""
        path = super().data_path
        bound(path)
        return path

    def status(self) -> Status:
        """Return how collecting is doing just now."""
        parts, version = self._assembled, self._version
        if parts is None or not self._is_collecting:
            return Status("starting", version, str(self._data_path or ""))
        return self._report.status(
            parts,
            version=version,
            folder=str(self.data_path),
            totals=self._measurements.stats.peek(),
            is_owner=self._is_owner,
            poll_every_seconds=self.configuration.poll_every_seconds,
        )

    def _seen(self) -> Seen:
        parts = self._assembled
        is_begun = parts is not None and self._is_owner and parts.collected_to_ms is not None
        seconds = time.monotonic() - self._began_at
        return Seen(self._measurements, self._version, seconds, parts, is_collecting=is_begun)

    @property
    def _version(self) -> str:
        return str(self.module.manifest.get("version", ""))

    def stop(self, *args: Any, **kwargs: Any) -> None:
        """End soon: commit what the intake accepted, and leave behind threads that hang."""
        super().stop(*args, **kwargs)
        if not self._is_collecting:
            sys.exit(0)  # the SDK's start-up ignores the stop event

    def _finish(self, parts: Parts, polling: Sequence[threading.Thread]) -> None:
        deadline = time.monotonic() + SECONDS_TO_FINISH
        for thread in polling:
            thread.join(max(0.0, deadline - time.monotonic()))
        for collector in parts.collectors:
            collector.join(max(0.0, deadline - time.monotonic()))
        for collector in parts.collectors:
            self._note(collector.stats.take())
        is_final = not any(thread.is_alive() for thread in polling)
        counts = self._measurements.stats.peek()
        said = announcements.stopped(parts.checkpoint, counts, is_final=is_final)
        self.log(said, level="info")

    def _starting(self) -> str:
        return announcements.starting(
            version=self._version,
            account=self.module.configuration,
            configuration=self.configuration,
            intake_url=self.configuration.intake_server or self.intake_url,
            folder=self.data_path,
        )

    def _collect(self) -> None:
        try:
            while self.running:
                self._collect_as_owner()
        except Stopped:
            return
        except CannotWork as error:
            self.log(_sentence(error), level="critical")
            self._wait_for_stop()

    def _collect_as_owner(self) -> None:
        """Collect until stopped, or until another process owns the state: then make new parts.

        Raises Stopped, and CannotWork where new parts cannot be made.
        """
        parts = self._parts
        try:
            parts.own(self._stop_event, self._warn)
            self._is_owner = True
            self._polling.run(parts.collectors, parts.names, self.configuration.poll_every_seconds)
        except OwnershipLost as error:
            self._is_owner = False
            self._warn(str(error))
            parts.owner.release()
            with self._assembly_lock:
                self._assembled = self._assemble()

    def _polled(self, counts: Counts) -> None:
        self.heartbeat()
        self._note(counts)

    # The parts

    @property
    def _parts(self) -> Parts:
        """Return the parts, made at first use. Raises the SDK's errors for a bad configuration."""
        with self._assembly_lock:
            if self._assembled is None:
                self._assembled = self._assemble()
            return self._assembled

    def _assemble(self) -> Parts:
        configuration = self.configuration
        settings = settings_of(
            configuration,
            account=self.module.account(configuration.organization_id),
            data_path=self.data_path,
            # The platform's address is looked up only where it counts: elsewhere there is none.
            intake_url=configuration.intake_server or self.intake_url,
            user_agent=self.http_default_headers["User-Agent"],
        )
        voice = Voice(
            self.log,
            self._count_accepted,
            self._tell_set_aside,
            self._unshown,
            self._measurements,
        )
        return assemble(settings, voice, alone(voice, self._stop_event))

    # Pushing

    def push_events_to_intakes(
        self,
        events: list[EventType],
        sync: bool = False,  # noqa: ARG002 -- the SDK's signature
    ) -> list[str]:
        """Push events and return their receipts, once each was accepted or set aside.

        Unlike the SDK's method of this name it does not give up: it holds and repeats until it
        is asked to stop, and raises Stopped then. `sync` is accepted and changes nothing.
        """
        self._parts.own(self._stop_event, self._warn)
        delivery = Delivery()
        self._parts.intake.deliver(from_texts([_text(event) for event in events]), delivery)
        return delivery.receipts

    # Logs, metrics, health

    def log(self, message: str, level: LogLevelStr = "info", *args: Any, **kwargs: Any) -> None:
        """Log a message here and on the platform, without waiting for it and without a key."""
        with self._log_lock:
            super().log(self._redacted(message), level, *args, **kwargs)

    def _redacted(self, message: str) -> str:
        if isinstance(self._configuration, ConnectorConfiguration):
            self._unshown.add(self._configuration.intake_key)
        if self._is_collecting:
            self._unshown.add(*self.module.known_secrets)
        return self._unshown.redact(message)

    def _send_logs_to_api(self) -> None:  # type: ignore[override]
        """Hand the pending records over, where the SDK's own method waits for the platform."""
        with self._log_lock:
            records, self._logs = self._logs, []
        self._platform_logs.ship(records)

    def _post_logs(self, records: list[Record]) -> None:
        post(self.logs_url, self._headers, records)

    @property
    def key_label(self) -> str:
        """Return what stands for the intake key in metrics: the platform's dashboards ask by it."""
        return self.configuration.intake_key

    def _warn(self, text: str) -> None:
        self.log(text, level="warning")

    def _count_accepted(self, count: int, seconds: float) -> None:
        intake_key = self.key_label
        self.put_forwarded_events(intake_key=intake_key, count=count)
        self.put_forward_events_duration(intake_key=intake_key, duration=seconds)
        self._report.note_accepted(count, seconds)
        self.heartbeat()
        self._last_events_time = self._last_heartbeat

    def _tell_set_aside(self, event: Quarantined) -> None:
        self.put_discarded_events(intake_key=self.key_label, count=1)
        self._warn(str(event))

    def _note(self, counts: Counts) -> None:
        collected = counts.read - counts.known
        COLLECTED_MESSAGES.labels(intake_key=self.key_label).inc(collected)
        self._mind_receipts(counts)

    def _mind_receipts(self, counts: Counts) -> None:
        if not counts.without_receipt:
            return
        missing = self._missing_receipts.again(counts.without_receipt)
        if missing is None:
            return
        since = f" Since this was last said: {missing}." if missing > counts.without_receipt else ""
        self._warn(
            f"The intake accepted {counts.delivered} events but gave no receipt for"
            f" {counts.without_receipt} of them; they are not sent again.{since}"
        )

    def _show_metrics(self) -> None:
        """Create the SDK's metrics before threads use them; it creates each at its first use."""
        intake_key = self.key_label
        self.put_forwarded_events(intake_key=intake_key, count=0)
        self.put_discarded_events(intake_key=intake_key, count=0)
        COLLECTED_MESSAGES.labels(intake_key=intake_key).inc(0)
        if self.forward_events_duration:
            self.forward_events_duration.labels(intake_key=intake_key)

    def _show_state(self, parts: Parts) -> None:
        if parts.is_failing or not self._is_owner:
            self.heartbeat()  # waiting out a failure, or another owner, is what it should do
        self.put_events_lag(intake_key=self.key_label, lag=self._lag_seconds(parts))

    def _lag_seconds(self, parts: Parts) -> float:
        return self._report.lag_seconds(parts, self.configuration.poll_every_seconds)


def _sentence(error: Exception) -> str:
    return f"The configuration cannot work: {error.args[0] if error.args else error}"


def _text(event: EventType) -> str:
    if isinstance(event, BaseModel):
        return event.model_dump_json()
    return event if isinstance(event, str) else orjson.dumps(event).decode()
