"""Many organizations in one self-hosted process, as module.json's `organizations` lists them.

The list is read again where one of its files changes, and at SIGHUP. State goes to a folder for
each organization in DATA_DIR.
"""

import logging
import signal
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from time import monotonic
from types import FrameType
from typing import Final

import sentry_sdk

from jumpcloud_modules.collecting.measurements import Measurements, Traffic
from jumpcloud_modules.commands.fingerprint import fingerprint
from jumpcloud_modules.commands.module_json import ConfigurationError
from jumpcloud_modules.commands.organization_source import Source
from jumpcloud_modules.connections import Connections
from jumpcloud_modules.errors import StateUnavailable
from jumpcloud_modules.failure_log import Level
from jumpcloud_modules.http.redaction import Secrets
from jumpcloud_modules.http.throttle import Pace
from jumpcloud_modules.organizations.commons import Commons
from jumpcloud_modules.organizations.member import Definition, Member
from jumpcloud_modules.organizations.messages import Messages
from jumpcloud_modules.organizations.report import Report, is_failing
from jumpcloud_modules.organizations.roster import Roster
from jumpcloud_modules.organizations.scheduler import Scheduler
from jumpcloud_modules.organizations.turns import Turns
from jumpcloud_modules.sekoia.exposition import ExpositionOfMany
from jumpcloud_modules.sekoia.memory import keep_small
from jumpcloud_modules.sekoia.metrics import InAll, Seen
from jumpcloud_modules.sekoia.monitoring import Answer, Monitoring
from jumpcloud_modules.state.inspection import is_of_a_connector
from jumpcloud_modules.state.open_files import raise_limit
from jumpcloud_modules.state.ownership import ownerships

MAX_REQUESTS_PER_SECOND: Final = 50.0
"""Requests to JumpCloud of a process of many organizations, unless the variable says otherwise."""
SECONDS_BETWEEN_LOOKS: Final = 0.25
SECONDS_BETWEEN_LOOKS_AT_FILES: Final = 5.0
"""How soon a changed list is noticed without a SIGHUP."""
SECONDS_BETWEEN_LOOKS_AT_AN_END: Final = 0.05
SECONDS_BETWEEN_SUMS: Final = 60.0
SECONDS_TO_FINISH: Final = 3.0
HEALTH_GRACE_SECONDS: Final = 900.0
"""Health is 500 after this time plus twice the largest `frequency` without a step."""
TOKENS_KEPT: Final = 10_000
MAX_FAULTS_LOGGED: Final = 20
"""Of a list that cannot be used; `check` tells all of them."""
REQUESTS_A_POLL: Final = 2
FORMER_LIST_GOES_ON: Final = "The list of organizations cannot be used; the former one goes on."
LOG_LEVELS: Final[dict[Level, int]] = {
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
}


class Process:
    """Collect from all organizations of a source until asked to stop."""

    def __init__(
        self,
        source: Source,
        definitions: list[Definition],
        folder: Path,
        version: str,
        per_second: float,
    ) -> None:
        self._source = source
        self._definitions = definitions
        self._folder = folder
        self._per_second = per_second
        self._pace = Pace(per_second)
        self._stop = threading.Event()
        self._is_asked_to_stop = self._is_asked_to_read = False
        self._heard_at = monotonic()
        self._log = logging.getLogger("jumpcloud").log
        self._secrets = Secrets(passing_kept=TOKENS_KEPT)
        self._owners = ownerships(folder)
        self.roster: Roster
        messages = Messages(self.say, lambda: len(self.roster))
        scheduler = Scheduler()
        traffic = Traffic()
        connections = Connections(
            self._stop,
            self._secrets,
            lambda text: self.say(text, "warning"),
            lambda end: lambda *seen: traffic.answered(end, *seen),
            self._pace,
        )
        self.commons = Commons(
            version,
            scheduler,
            Turns(lambda task, seconds: scheduler.do(task, seconds, is_suspect=True)),
            messages,
            self._secrets,
            connections,
            traffic,
            self._owners.of,
            self._failed_unexpectedly,
            self._heartbeat,
        )
        self.roster = Roster(self.commons)
        self.report = Report(self.roster, self.commons, str(folder))

    def run(self) -> None:
        """Collect."""
        keep_small()
        raise_limit()
        commons = self.commons
        self.say(self._starting(), "info")
        self._warn_of_too_many()
        self._warn_of_leftover()
        self._hide_keys()
        self.roster.apply(self._definitions)
        scheduling = threading.Thread(target=commons.scheduler.run, name="scheduler", daemon=True)
        scheduling.start()
        summed_at = looked_at = monotonic()
        while not self._is_asked_to_stop:
            # Not `Event.wait`: a signal's handler could deadlock on the event's lock.
            time.sleep(SECONDS_BETWEEN_LOOKS)
            now = monotonic()
            if self._is_asked_to_read or now - looked_at >= SECONDS_BETWEEN_LOOKS_AT_FILES:
                looked_at = now
                self._read_again()
            if now - summed_at >= SECONDS_BETWEEN_SUMS:
                self.say(self.report.sums(now - summed_at), "info")
                summed_at = now
            self.roster.tick()
            commons.messages.sum_up()
        self._finish()

    def stop(self, _number: int = 0, _frame: FrameType | None = None) -> None:
        """End soon."""
        self._is_asked_to_stop = True

    def read_again(self, _number: int = 0, _frame: FrameType | None = None) -> None:
        """Read the list again soon."""
        self._is_asked_to_read = True

    def say(self, message: str, level: Level) -> None:
        """Log a message without any key."""
        self._log(LOG_LEVELS[level], "%s", self._secrets.redact(message))

    def health(self) -> Answer:
        """Return whether a restart would help, and what fails."""
        silent = monotonic() - self._heard_at
        longest = max((each.poll_every_seconds for each in self._definitions), default=0.0)
        # A full disk keeps all threads, and a restart would forget what they have to write down.
        is_alive = silent < HEALTH_GRACE_SECONDS + 2 * longest or self.report.waits_for_state
        return 200 if is_alive else 500, self.report.health(round(silent, 1))

    def status(self) -> Answer:
        """Return how all organizations are doing, worst first."""
        return 200, self.report.status()

    def _heartbeat(self) -> None:
        self._heard_at = monotonic()

    def _read_again(self) -> None:
        is_asked, self._is_asked_to_read = self._is_asked_to_read, False
        if not is_asked and not self._source.has_changed:
            return
        try:
            self._definitions = self._source.read()
        except ConfigurationError as error:
            self.say(f"{FORMER_LIST_GOES_ON} {_on_one_line(error)}", "error")
            return
        except Exception as error:  # noqa: BLE001 -- collecting goes on, whatever fails
            stack = "".join(traceback.format_exception(error)).rstrip()
            self.say(f"{FORMER_LIST_GOES_ON} {stack}", "error")
            sentry_sdk.capture_exception(error)
            return
        self._hide_keys()
        change = self.roster.apply(self._definitions)
        self.say(f"The list was read again, {len(self.roster)} organizations: {change}.", "info")
        self._warn_of_too_many()

    def _hide_keys(self) -> None:
        """Have no message show a key: of all at once, which takes a hundredth of one by one."""
        self._secrets.add(*(each.settings.intake.key for each in self._definitions))

    def _warn_of_too_many(self) -> None:
        needed = sum(REQUESTS_A_POLL / each.poll_every_seconds for each in self._definitions)
        sustained = self._pace.sustained_per_second
        if needed > sustained:
            self.say(
                f"{len(self._definitions)} organizations need about {needed:.0f} requests a second,"
                f" and at most {sustained:.0f} are sent: raise frequency,"
                " MAX_REQUESTS_PER_SECOND or the number of shards.",
                "warning",
            )

    def _warn_of_leftover(self) -> None:
        """Tell of what one connector knew before there was a list: nobody else would miss it."""
        try:
            is_there = is_of_a_connector(self._folder)
        except StateUnavailable:  # each organization tells of it
            return
        if is_there:
            self.say(
                f"{self._folder} itself holds the state of a single connector, which no"
                " organization of the list goes on from: while nothing runs, move what is not an"
                " organization's folder to the folder of its organization, or remove it.",
                "warning",
            )

    def _failed_unexpectedly(self, name: str, error: Exception, times: int) -> None:
        since = f" (failures since this was last said: {times})" if times > 1 else ""
        stack = "".join(traceback.format_exception(error)).rstrip()
        said = f"Collecting failed unexpectedly and goes on{since}: {stack}"
        self.commons.messages.say(name, "", said, "error")
        sentry_sdk.capture_exception(error)

    def _finish(self) -> None:
        """Let what is under way end, for a few seconds, and give the states back."""
        self._stop.set()
        self.roster.end()
        deadline = monotonic() + SECONDS_TO_FINISH
        while not self.roster.is_over and monotonic() < deadline:
            time.sleep(SECONDS_BETWEEN_LOOKS_AT_AN_END)
        self.commons.scheduler.stop()
        self._owners.release()
        self.commons.messages.sum_up(at_once=True)
        self.say(self.report.stopped(), "info")

    def _starting(self) -> str:
        shard = f", shard {self._source.shard}" if self._source.shard else ""
        return (
            f"JumpCloud Directory Insights {self.commons.version} starts:"
            f" {len(self._definitions)} organizations{shard}, data folder {self.report.folder},"
            f" at most {self._per_second:g} requests to JumpCloud a second."
        )


def build(
    path: Path, folder: Path, environment: Mapping[str, str], version: str, user_agent: str
) -> Process:
    """Return the process that a list describes.

    Raises ConfigurationError with a sentence for all that cannot work.
    """
    source = Source(path, folder, environment, user_agent)
    per_second = _per_second(environment)
    return Process(source, source.read(), folder, version, per_second)


def collect(process: Process, monitoring: Monitoring) -> None:
    """Collect until SIGTERM or SIGINT, and read the list again at SIGHUP."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, process.stop)
    signal.signal(signal.SIGHUP, process.read_again)
    metrics = _exposition(process)
    metrics.register()
    try:
        process.run()
    finally:
        metrics.unregister()
        monitoring.close()


def _exposition(process: Process) -> ExpositionOfMany:
    commons, roster = process.commons, process.roster
    everything = Measurements(commons.traffic)

    def see(measurements: Measurements, member: Member | None = None) -> Seen:
        return Seen(
            measurements,
            commons.version,
            monotonic() - commons.began_at,
            member.parts if member else None,
            is_collecting=member is not None and member.is_collecting,
            lag_seconds=member.lag_seconds() if member else 0.0,
        )

    def see_each() -> Iterator[tuple[str, str, Seen]]:
        for member in roster:
            key = fingerprint(member.definition.settings.intake.key)
            yield member.name, key, see(member.measurements, member)

    def see_in_all() -> InAll:
        return InAll(
            len(roster),
            sum(map(is_failing, roster)),
            commons.sums.polls_in_all,
            commons.scheduler.lateness.seconds(),
        )

    return ExpositionOfMany(
        see_each, lambda: see(everything), commons.forward_seconds.distribution, see_in_all
    )


def _on_one_line(error: ConfigurationError) -> str:
    """Return what is wrong, as much of it as a log should have."""
    lines = str(error).splitlines()
    return " ".join(lines[:MAX_FAULTS_LOGGED]) + (" …" if len(lines) > MAX_FAULTS_LOGGED else "")


def _per_second(environment: Mapping[str, str]) -> float:
    text = environment.get("MAX_REQUESTS_PER_SECOND") or str(MAX_REQUESTS_PER_SECOND)
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 10_000:
        raise ConfigurationError(
            f"MAX_REQUESTS_PER_SECOND {text!r} is not possible; give a number such as 50."
        )
    return value
