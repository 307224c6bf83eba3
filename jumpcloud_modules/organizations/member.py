"""One organization among many: it owns its state, starts its streams and polls them, step by step.

Each step ends soon, or raises what says when to come again; so no thread belongs to an
organization. Knows neither the SDK nor how many others there are.
"""

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from time import monotonic
from typing import Final

from jumpcloud_modules.assembly import Parts, Settings, Surroundings, Voice, assemble
from jumpcloud_modules.collecting.collector import Collector
from jumpcloud_modules.collecting.measurements import Measurements
from jumpcloud_modules.collecting.stats import Counts
from jumpcloud_modules.delivery import Quarantined
from jumpcloud_modules.errors import CannotWork, OwnershipLost, Stopped, TryLater
from jumpcloud_modules.failure_log import Level, Repetition
from jumpcloud_modules.organizations.commons import Commons
from jumpcloud_modules.organizations.scheduler import SLOW_AFTER_SECONDS, Job
from jumpcloud_modules.status import Status
from jumpcloud_modules.status_report import StatusReport

SECONDS_AFTER_AN_UNEXPECTED_FAILURE: Final = 10.0
SECONDS_AFTER_WHAT_CANNOT_WORK: Final = 300.0
"""Somebody may mend the disk or the configuration meanwhile, without a restart."""
SECONDS_BETWEEN_LOOKS_AT_AN_END: Final = 0.1
SECONDS_TO_FIRST_POLL: Final = 57.0
"""First polls are spread over this time at most, however seldom an organization is polled: with the
start of the process, that is a minute."""
TOO_SOON_AFTER_FIRST_POLL: Final = 0.05
"""The share of the frequency that lies between a first poll and the next one at least."""


@dataclass(frozen=True, slots=True)
class Definition:
    """Say what one organization is: its name, and what to collect how often."""

    name: str
    settings: Settings
    poll_every_seconds: float


class Member:
    """Collect from one organization. `phase` (0 to 1) is its place within the polls' frequency."""

    def __init__(self, definition: Definition, commons: Commons, phase: float) -> None:
        self.definition = definition
        self.name = definition.name
        self.measurements = Measurements(commons.traffic)
        self._commons = commons
        self._phase = phase
        self._stop = threading.Event()
        self._report = StatusReport(commons.secrets.redact)
        self._parts: Parts | None = None
        self._is_owner = False
        self.fault = ""
        self._streams: list[Stream] = []
        self._unexpected, self._faults = Repetition(), Repetition()
        self._is_counting_slow = False
        self._job = Job(self._step)

    # From outside

    def begin(self) -> None:
        """Take part from now on."""
        seconds = seconds_to_first_poll(self._phase, self.definition.poll_every_seconds)
        self._commons.scheduler.add(self._job, seconds)

    def end(self) -> None:
        """End soon; what was accepted is committed, and the state given back."""
        self._stop.set()
        for job in (self._job, *(stream.job for stream in self._streams)):
            self._commons.scheduler.hurry(job)

    @property
    def is_over(self) -> bool:
        """Tell whether it has ended."""
        return self._job.is_over and all(stream.job.is_over for stream in self._streams)

    @property
    def parts(self) -> Parts | None:
        """Return what it collects with, None before there is anything."""
        return self._parts

    @property
    def is_collecting(self) -> bool:
        """Tell whether the state is this process's, and was found."""
        parts = self._parts
        return self._is_owner and parts is not None and parts.collected_to_ms is not None

    @property
    def is_suspect(self) -> bool:
        """Tell whether any of its streams failed or was slow the last time."""
        return self._job.is_suspect or any(stream.job.is_suspect for stream in self._streams)

    @property
    def waits_for_state(self) -> bool:
        """Tell whether it waits until it can write down what was delivered."""
        return self._parts is not None and self._parts.state_retry.is_failing

    def lag_seconds(self) -> float:
        """Return 0 when caught up, or the age of the oldest instant not collected yet."""
        parts, every = self._parts, self.definition.poll_every_seconds
        return self._report.lag_seconds(parts, every) if parts else 0.0

    def status(self) -> Status:
        """Return how collecting is doing just now."""
        parts, folder = self._parts, str(self.definition.settings.data_path)
        faults = (self.fault,) if self.fault else ()
        if parts is None:
            return Status("starting", self._commons.version, folder, warnings=faults)
        status = self._report.status(
            parts,
            version=self._commons.version,
            folder=folder,
            totals=self.measurements.stats.peek(),
            is_owner=self._is_owner,
            poll_every_seconds=self.definition.poll_every_seconds,
        )
        return replace(status, warnings=(*faults, *status.warnings))

    # Step by step

    def _step(self) -> float | None:
        """Own the state and start the first stream, then poll it. Return when to go on."""
        return self.guarded(self._job, self._own_and_poll)

    def _own_and_poll(self) -> float:
        parts = self._assembled()
        if not self._is_owner:
            if not parts.state_retry.call(partial(parts.owner.try_acquire, self._warn)):
                return parts.owner.look_every_seconds
            self._is_owner = True
        first, *others = self._streams
        if first.start():
            # Before the first poll, which may fail for as long as it likes.
            for stream in others:
                self._commons.scheduler.add(stream.job)
        return first.poll()

    def _assembled(self) -> Parts:
        if self._parts is None:
            parts = assemble(self.definition.settings, self._voice(), self._surroundings())
            self._streams = [
                Stream(self, collector, self._job if number == 0 else None)
                for number, collector in enumerate(parts.collectors)
            ]
            self._parts = parts
        return self._parts

    def guarded(self, job: Job, step: Callable[[], float]) -> float | None:
        """Do a step, and return when to do the next one; None where it has ended."""
        began = monotonic()
        self._commons.heartbeat()  # one that fails is alive, too
        if self._stop.is_set():
            return self._ended(job)
        try:
            seconds = step()
        except Stopped:
            return self._ended(job)
        except OwnershipLost as error:
            return self._lost(job, error)
        except Exception as error:  # noqa: BLE001 -- collecting goes on, whatever fails
            job.is_suspect = True
            return self._seconds_after(job, error)
        job.is_suspect = monotonic() - began > SLOW_AFTER_SECONDS
        if self.fault and job is self._job:
            self.fault = ""
            self._faults.over()
        if failures := self._unexpected.over():
            self._log(f"Collecting works again, after {failures} unexpected failures.", "info")
        return seconds

    def _seconds_after(self, job: Job, error: Exception) -> float:
        """Tell of what a step failed with, where that is due, and return when to try again."""
        if isinstance(error, TryLater):  # its failure log has told of it
            return error.seconds
        if isinstance(error, CannotWork):
            if job is self._job:
                self._let_go()
            self.fault = str(error)
            if self._faults.again() is not None:
                self._log(f"It cannot be collected: {error}", "critical")
            return SECONDS_AFTER_WHAT_CANNOT_WORK
        self._tell_unexpected(error)
        return SECONDS_AFTER_AN_UNEXPECTED_FAILURE

    def _ended(self, job: Job) -> float | None:
        """Give the state back, once nothing of any stream is under way any more."""
        if not all(stream.is_idle for stream in self._streams if stream.job is job):
            return SECONDS_BETWEEN_LOOKS_AT_AN_END
        job.is_over = True
        if job is self._job:
            for stream in self._streams[1:]:  # `end` may have come before there were any
                self._commons.scheduler.hurry(stream.job)
        if self.is_over and self._parts is not None:
            self._parts.owner.release()
            self._is_owner = False
        return None

    def _lost(self, job: Job, error: OwnershipLost) -> float | None:
        """Begin anew, with new parts: what is in memory is out of date."""
        if job is not self._job:
            self._commons.scheduler.hurry(self._job)  # which finds out, too
            return None
        self._warn(str(error))
        self._let_go()
        return 0.0

    def _let_go(self) -> None:
        """Give the state back, and drop all that was made to collect with."""
        for stream in self._streams[1:]:
            stream.job.is_over = True
        if self._parts is not None:
            self._parts.owner.release()
        self._parts, self._is_owner, self._streams = None, False, []

    def next_poll_in(self, *, is_first: bool) -> float:
        """Return the seconds until the next poll, after the first one or a later one."""
        return seconds_to_next_poll(
            monotonic() - self._commons.began_at,
            self._phase,
            self.definition.poll_every_seconds,
            is_first=is_first,
        )

    def polled(self, counts: Counts) -> None:
        """Take note of what a poll did."""
        self._commons.sums.polled(counts)

    # What its parts are given

    def _surroundings(self) -> Surroundings:
        commons = self._commons
        return Surroundings(
            self._stop,
            commons.connections,
            commons.owner_of,
            waits=False,
            count_beside=self._count_beside,
            read_beside=commons.turns.of(lambda: self.is_suspect),
            keys_in_use=commons.keys_in_use,
        )

    def _count_beside(self, task: Callable[[], None], after_seconds: float) -> None:
        def count() -> None:
            began = monotonic()
            try:
                task()
            finally:
                self._is_counting_slow = monotonic() - began > SLOW_AFTER_SECONDS

        is_suspect = self._is_counting_slow or self.is_suspect
        self._commons.scheduler.do(count, after_seconds, is_suspect=is_suspect)

    def _voice(self) -> Voice:
        def about(end: str) -> Callable[[str, Level], None]:
            return partial(self._commons.messages.say, self.name, end)

        return Voice(
            self._log,
            self._accepted,
            self._set_aside,
            self._commons.secrets,
            self.measurements,
            about,
        )

    def _accepted(self, count: int, seconds: float) -> None:
        self._report.note_accepted(count, seconds)
        self._commons.forward_seconds.observe(seconds)

    def _set_aside(self, event: Quarantined) -> None:
        self._warn(str(event))

    def _warn(self, text: str) -> None:
        self._log(text, "warning")

    def _log(self, text: str, level: Level) -> None:
        # What says the same with other figures is of one kind.
        topic = re.split(r"[\d:]", text, maxsplit=1)[0]
        self._commons.messages.say(self.name, topic, text, level)

    def _tell_unexpected(self, error: Exception) -> None:
        self.measurements.failed_unexpectedly()
        if (times := self._unexpected.again()) is not None:
            self._commons.failed_unexpectedly(self.name, error, times)


class Stream:
    """One stream of an organization: it starts, and is polled. The first has the member's job."""

    def __init__(self, member: Member, collector: Collector, job: Job | None) -> None:
        self._member = member
        self._collector = collector
        self._is_started = self._was_polled = False
        self.job = job or Job(lambda: member.guarded(self.job, self._start_and_poll))

    @property
    def is_idle(self) -> bool:
        """Tell whether nothing of it is done beside the polls just now."""
        return self._collector.is_idle

    def start(self) -> bool:
        """Start, and return whether that was still to be done."""
        if self._is_started:
            return False
        self._collector.start()
        self._is_started = True
        return True

    def poll(self) -> float:
        """Poll, and return when to poll again."""
        self._collector.poll()
        self._member.polled(self._collector.stats.take())
        is_first, self._was_polled = not self._was_polled, True
        return self._member.next_poll_in(is_first=is_first)

    def _start_and_poll(self) -> float:
        self.start()
        return self.poll()


def seconds_to_first_poll(phase: float, every_seconds: float) -> float:
    """Return when an organization is polled for the first time; `phase` is 0 to 1."""
    return phase * min(every_seconds, SECONDS_TO_FIRST_POLL)


def seconds_to_next_poll(
    since_began: float, phase: float, every_seconds: float, *, is_first: bool
) -> float:
    """Return the seconds to the next instant of the grid that an organization's polls keep to.

    First polls come a little before their instants, so that they all fit into a minute. Those
    instants are passed over.
    """
    seconds = every_seconds - (since_began - phase * every_seconds) % every_seconds
    is_too_soon = is_first and seconds < every_seconds * TOO_SOON_AFTER_FIRST_POLL
    return seconds + every_seconds if is_too_soon else seconds
