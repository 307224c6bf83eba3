"""The SDK's side: configuration in, the polling loop, logs, metrics and health out."""

import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

import orjson
import requests
from prometheus_client import Counter
from pydantic import BaseModel, ValidationError
from sekoia_automation.configuration.exception import MissingConfigurationError
from sekoia_automation.connector import Connector, EventType
from sekoia_automation.exceptions import ModuleConfigurationError, TriggerConfigurationError
from sekoia_automation.module import LogLevelStr

from jumpcloud_modules.assembly import Parts, Settings, Voice, assemble
from jumpcloud_modules.collecting.collector import Collector
from jumpcloud_modules.collecting.measurements import Measurements
from jumpcloud_modules.collecting.plan import Plan
from jumpcloud_modules.collecting.stats import Counts
from jumpcloud_modules.delivery import Delivery, Quarantined
from jumpcloud_modules.errors import CannotWork, OwnershipLost, Stopped
from jumpcloud_modules.events import from_texts
from jumpcloud_modules.failure_log import Repetition
from jumpcloud_modules.http.redaction import Secrets
from jumpcloud_modules.instants import HOUR_MS, SECOND_MS, to_rfc3339
from jumpcloud_modules.sekoia import announcements
from jumpcloud_modules.sekoia.configuration import ConnectorConfiguration, explain
from jumpcloud_modules.sekoia.log_shipping import PlatformLogs, Record
from jumpcloud_modules.sekoia.memory import keep_small
from jumpcloud_modules.sekoia.metrics import (
    COLLECTED_MESSAGES_DESCRIPTION,
    KEY_LABEL,
    Exposition,
    Seen,
)
from jumpcloud_modules.sekoia.module import JumpcloudDirectoryInsightsModule
from jumpcloud_modules.sekoia.monitoring import Answer, Monitoring
from jumpcloud_modules.sekoia.poll_log import PollLog
from jumpcloud_modules.sekoia.spelling import unknown_keys
from jumpcloud_modules.status import (
    DELIVERIES_SHOWN,
    BacklogEstimate,
    Delivered,
    Failing,
    State,
    Status,
    watermark_of,
)

SECONDS_TO_FINISH = 2.5
"""The time that deliveries have to end after SIGTERM."""
SECONDS_BETWEEN_LOOKS = 0.25
SECONDS_TO_SEND_LAST_LOGS = 1.0
SECONDS_BEFORE_REPEATING_AN_UNEXPECTED_FAILURE = 10.0
LOGS_TIMEOUT_SECONDS = (5.0, 15.0)
LOGS_REFUSED_FOR_GOOD = (400, 413, 422)
LAG_GRACE_SECONDS = 30.0
PORTS: Final = {"liveness_port": 8000, "metrics_port": 8020}
HEALTH_GRACE_SECONDS = 900
"""Health is 500 after this time and two polls' without a sign of life."""

COLLECTED_MESSAGES = Counter(
    name=COLLECTED_MESSAGES_DESCRIPTION.name,
    documentation=COLLECTED_MESSAGES_DESCRIPTION.meaning,
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
        self._missing_receipts = Repetition()
        self._began_at = time.monotonic()
        self._beside: list[threading.Thread] = []
        self._backlog_estimate = BacklogEstimate(time.monotonic)
        self._last_deliveries: deque[Delivered] = deque(maxlen=DELIVERIES_SHOWN)
        self._monitoring = Monitoring({"/health": self._health, "/status": self._status_answer})
        super().__init__(*args, **kwargs)

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

    @property
    def frequency(self) -> int:
        """Return the seconds from one poll to the next."""
        return self.configuration.frequency

    # Running

    def execute(self) -> None:
        """Run until stopped; a configuration that cannot work is told and ends it."""
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
        self.last_heartbeat_threshold = HEALTH_GRACE_SECONDS + 2 * self.frequency
        keep_small()
        # The network is for threads that may be left behind: a signal cannot interrupt a read.
        collecting = threading.Thread(target=self._collect, name="collector", daemon=True)
        self._show_metrics()
        exposition = Exposition(self._seen, self.key_label)
        exposition.register()
        collecting.start()
        while collecting.is_alive() and self.running:
            self._show_state(self._parts)
            collecting.join(SECONDS_BETWEEN_LOOKS)
        exposition.unregister()
        self._finish(self._parts, [collecting, *self._beside])
        self._parts.owner.release()

    def prepare(self) -> None:
        """Make the parts, and find what no waiting would mend.

        Raises the SDK's errors for a bad configuration, and CannotWork.
        """
        _ = self._parts

    def _wait_for_stop(self) -> None:
        """Wait without the event's lock, which a signal's handler in this thread takes too."""
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
        """Say whether a restart would help, and beside it what fails: none mends a refused key."""
        failing = [asdict(failing) for failing in self._failing(self._assembled)]
        context = {"well": not failing, "failing": failing, **self.liveness_context()}
        return (200 if self.is_alive() else 500), context

    def _status_answer(self) -> Answer:
        return 200, self.status().to_json()

    def status(self) -> Status:
        """Return how collecting is doing just now."""
        parts, version = self._assembled, self._version
        if parts is None or not self._is_collecting:
            return Status("starting", version, str(self._data_path or ""))
        checkpoint, counts = parts.checkpoint, self._measurements.stats.peek()
        is_begun = self._is_begun(parts)
        waits: State = "starting" if self._is_owner else "waiting for another owner"
        return Status(
            state="collecting" if is_begun else waits,
            version=version,
            folder=str(self.data_path),
            watermark=watermark_of(checkpoint),
            lag_seconds=round(self._lag_seconds(parts), 1) if is_begun else None,
            backlog=self._backlog_estimate.backlog(checkpoint),
            late_events=counts.late,
            delivered=counts.delivered,
            quarantined=parts.quarantine.count(),
            failing=self._failing(parts),
            last_deliveries=tuple(self._last_deliveries),
        )

    def _is_begun(self, parts: Parts | None) -> bool:
        return parts is not None and self._is_owner and parts.collected_to_ms is not None

    def _failing(self, parts: Parts | None) -> tuple[Failing, ...]:
        now = time.time()
        return tuple(
            Failing(
                failing.end,
                to_rfc3339(int((now - failing.seconds) * 1000)),
                failing.failed_tries,
                self._redacted(failing.message),
            )
            for _, log in (parts.failure_logs if parts else ())
            for failing in log.goes_on()
        )

    def _seen(self) -> Seen:
        parts = self._assembled
        return Seen(
            self._measurements,
            self._version,
            time.monotonic() - self._began_at,
            parts,
            is_collecting=self._is_begun(parts),
        )

    @property
    def _version(self) -> str:
        return str(self.module.manifest.get("version", ""))

    def stop(self, *args: Any, **kwargs: Any) -> None:
        """End soon: what has its receipt is committed, what hangs is left behind."""
        super().stop(*args, **kwargs)
        if not self._is_collecting:
            sys.exit(0)  # the SDK's start-up waits without an ear for the stop event

    def _finish(self, parts: Parts, polling: Sequence[threading.Thread]) -> None:
        deadline = time.monotonic() + SECONDS_TO_FINISH
        for thread in polling:
            thread.join(max(0.0, deadline - time.monotonic()))
        for collector in parts.collectors:
            collector.join(max(0.0, deadline - time.monotonic()))
        for collector in parts.collectors:
            self._note(collector.stats.take())
        is_final = not any(thread.is_alive() for thread in polling)
        said = announcements.stopped(
            parts.checkpoint, self._measurements.stats.peek(), is_final=is_final
        )
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

    def _collect_as_owner(self) -> None:
        """Collect until stopped, or until the state is another's: then all is assembled anew."""
        parts = self._parts
        try:
            parts.own(self._stop_event, self._warn)
            self._is_owner = True
            self._collect_streams(parts)
        except OwnershipLost as error:
            self._is_owner, self._assembled = False, None
            self._warn(str(error))
            parts.owner.release()

    def _collect_streams(self, parts: Parts) -> None:
        """Poll the first stream here and the others beside it, once the first has begun.

        One that is refused holds up no other.
        """
        first, *others = parts.collectors
        self._start(first)
        self._beside = [
            threading.Thread(target=self._collect_beside, args=stream, name="stream", daemon=True)
            for stream in zip(others, parts.names[1:], strict=True)
        ]
        for thread in self._beside:
            thread.start()
        self._poll_until_stopped(first)

    def _collect_beside(self, collector: Collector, name: str) -> None:
        try:
            self._start(collector)
            self._poll_until_stopped(collector, name)
        except (Stopped, OwnershipLost):  # the first stream tells of it
            return

    def _start(self, collector: Collector) -> None:
        unexpected = Repetition()
        while not self._is_started(collector, unexpected):
            self._stop_event.wait(SECONDS_BEFORE_REPEATING_AN_UNEXPECTED_FAILURE)

    def _poll_until_stopped(self, collector: Collector, name: str = "") -> None:
        poll_log, unexpected = PollLog(name), Repetition()
        while self.running:
            began = time.monotonic()
            self._poll(collector, poll_log, unexpected)
            self._stop_event.wait(max(0.0, self._interval - (time.monotonic() - began)))

    def _is_started(self, collector: Collector, unexpected: Repetition) -> bool:
        try:
            collector.start()
        except (Stopped, OwnershipLost):
            raise
        except Exception as error:  # noqa: BLE001 -- collecting begins, whatever failed before
            self._tell_unexpected(
                error, "Starting failed unexpectedly and is tried again", unexpected
            )
            return not self.running
        return True

    def _tell_unexpected(self, error: Exception, message: str, unexpected: Repetition) -> None:
        """Log a mistake of the program with its stack: at first, then ever more seldom."""
        self._measurements.failed_unexpectedly()
        times = unexpected.again()
        if times is not None:
            since = f" (failures since this was last said: {times})" if times > 1 else ""
            self.log_exception(error, message=message + since)

    def _poll(self, collector: Collector, poll_log: PollLog, unexpected: Repetition) -> None:
        began = time.monotonic()
        try:
            collector.poll()
        except (Stopped, OwnershipLost):
            raise
        except Exception as error:  # noqa: BLE001 -- collecting goes on, whatever fails
            self._tell_unexpected(error, "Collecting failed unexpectedly and goes on", unexpected)
            self._stop_event.wait(SECONDS_BEFORE_REPEATING_AN_UNEXPECTED_FAILURE)
            return
        self.heartbeat()
        counts = collector.stats.take()
        self._note(counts)
        if failures := unexpected.over():
            self.log(f"Collecting works again, after {failures} unexpected failures.", level="info")
        if line := poll_log.line(counts, collector.checkpoint, time.monotonic() - began):
            self.log(line, level="info")

    @property
    def _interval(self) -> int:
        if self.configuration.audit_hours:
            return min(self.frequency, self.configuration.audit_frequency)
        return self.frequency

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
        settings = Settings(
            plan=self._plan,
            data_path=self.data_path,
            account=self.module.account(configuration.organization_id),
            streams=configuration.streams,
            excluded_event_types=configuration.excluded_types,
            intake_url=configuration.intake_server or self.intake_url,
            intake_key=configuration.intake_key,
            user_agent=self.http_default_headers["User-Agent"],
        )
        voice = Voice(
            self.log,
            self._count_accepted,
            self._tell_set_aside,
            self._unshown,
            self._measurements,
        )
        return assemble(settings, voice, self._stop_event)

    @property
    def _plan(self) -> Plan:
        configuration = self.configuration
        return Plan(
            history_ms=configuration.history_hours * HOUR_MS,
            audit_ms=configuration.audit_hours * HOUR_MS,
            audit_every_ms=configuration.audit_frequency * SECOND_MS - SECOND_MS // 2,
            scope="",  # completed by each stream's services
            max_rows=configuration.chunk_size,
        )

    @property
    def _organization_id(self) -> str | None:
        return self.configuration.organization_id or self.module.configuration.organization_id

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
        answer = requests.post(
            self.logs_url,
            json={"logs": records},
            headers=self._headers,
            timeout=LOGS_TIMEOUT_SECONDS,
            allow_redirects=False,
        )
        if answer.status_code not in LOGS_REFUSED_FOR_GOOD:
            answer.raise_for_status()

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
        at = to_rfc3339(time.time_ns() // 1_000_000)
        self._last_deliveries.append(Delivered(at, count, round(seconds, 3)))
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
        """Make the SDK's metrics before threads use them: it makes each at its first use."""
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
        """Return 0 when caught up, or the age of the oldest instant not collected yet."""
        if (collected_to_ms := parts.collected_to_ms) is None:  # since when it cannot even begin
            return time.monotonic() - self._began_at if parts.is_failing else 0.0
        age = max(0.0, (parts.clock.now_ms() - collected_to_ms) / 1000)
        is_behind = parts.is_failing or bool(parts.checkpoint.windows)
        return age if is_behind or age > self._interval + LAG_GRACE_SECONDS else 0.0


def _sentence(error: Exception) -> str:
    return f"The configuration cannot work: {error.args[0] if error.args else error}"


def _text(event: EventType) -> str:
    if isinstance(event, BaseModel):
        return event.model_dump_json()
    return event if isinstance(event, str) else orjson.dumps(event).decode()
