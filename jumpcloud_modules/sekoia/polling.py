"""Poll the streams of a connector, each in a thread, until it is asked to stop.

An unexpected failure ends no stream: it is logged, and collecting goes on. Knows nothing of the
SDK.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from jumpcloud_modules.collecting.collector import Collector
from jumpcloud_modules.collecting.stats import Counts
from jumpcloud_modules.errors import OwnershipLost, Stopped
from jumpcloud_modules.failure_log import Repetition
from jumpcloud_modules.sekoia.poll_log import PollLog

SECONDS_BEFORE_REPEATING_AN_UNEXPECTED_FAILURE = 10.0


@dataclass(frozen=True, slots=True)
class Listeners:
    """Hold what to call, from any of the threads.

    `polled` gets the counts of a poll that ended, `log` a line for a person, and `failed` an
    unexpected failure with a sentence on what it means, where that is due. `count_unexpected` is
    called for each.
    """

    polled: Callable[[Counts], None]
    log: Callable[[str], None]
    failed: Callable[[Exception, str], None]
    count_unexpected: Callable[[], None] = lambda: None


class Polling:
    """Start collectors and poll them; `threads` are those of all streams but the first."""

    def __init__(self, stop: threading.Event, listeners: Listeners) -> None:
        self._stop = stop
        self._listeners = listeners
        self.threads: list[threading.Thread] = []

    def run(
        self, collectors: Sequence[Collector], names: Sequence[str], every_seconds: float
    ) -> None:
        """Poll the first stream here and the others beside it, once the first has begun.

        A stream that is refused does not hold up the others. Raises Stopped or OwnershipLost.
        """
        first, *others = collectors
        self._start(first)
        self.threads = [
            threading.Thread(
                target=self._run_beside,
                args=(collector, name, every_seconds),
                name="stream",
                daemon=True,
            )
            for collector, name in zip(others, names[1:], strict=True)
        ]
        for thread in self.threads:
            thread.start()
        self._poll_until_stopped(first, "", every_seconds)

    def _run_beside(self, collector: Collector, name: str, every_seconds: float) -> None:
        try:
            self._start(collector)
            self._poll_until_stopped(collector, name, every_seconds)
        except (Stopped, OwnershipLost):  # the first stream tells of it
            return

    def _start(self, collector: Collector) -> None:
        """Start a collector, again and again until it does or the connector is stopped."""
        unexpected = Repetition()
        while True:
            try:
                collector.start()
                return
            except (Stopped, OwnershipLost):
                raise
            except Exception as error:  # noqa: BLE001 -- collecting begins, whatever failed before
                self._tell_unexpected(
                    error, "Starting failed unexpectedly and is tried again", unexpected
                )
            if self._stop.wait(SECONDS_BEFORE_REPEATING_AN_UNEXPECTED_FAILURE):
                return

    def _poll_until_stopped(self, collector: Collector, name: str, every_seconds: float) -> None:
        poll_log, unexpected = PollLog(name), Repetition()
        while not self._stop.is_set():
            began = time.monotonic()
            self._poll(collector, poll_log, unexpected)
            self._stop.wait(max(0.0, every_seconds - (time.monotonic() - began)))

    def _poll(self, collector: Collector, poll_log: PollLog, unexpected: Repetition) -> None:
        began = time.monotonic()
        try:
            collector.poll()
        except (Stopped, OwnershipLost):
            raise
        except Exception as error:  # noqa: BLE001 -- collecting goes on, whatever fails
            self._tell_unexpected(error, "Collecting failed unexpectedly and goes on", unexpected)
            self._stop.wait(SECONDS_BEFORE_REPEATING_AN_UNEXPECTED_FAILURE)
            return
        counts = collector.stats.take()
        self._listeners.polled(counts)
        if failures := unexpected.over():
            self._listeners.log(f"Collecting works again, after {failures} unexpected failures.")
        if line := poll_log.line(counts, collector.checkpoint, time.monotonic() - began):
            self._listeners.log(line)

    def _tell_unexpected(self, error: Exception, message: str, unexpected: Repetition) -> None:
        """Report a mistake of the program: at first, and then less and less often."""
        self._listeners.count_unexpected()
        times = unexpected.again()
        if times is not None:
            since = f" (failures since this was last said: {times})" if times > 1 else ""
            self._listeners.failed(error, message + since)
