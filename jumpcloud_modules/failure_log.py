"""Log failures so that a person can follow them: each once, in full, and later that it is over.

A failure that is gone at the next try is not logged; a refusal is logged at once. Each `Retry` has
a failure log of its own: a success elsewhere ends no incident here. Knows nothing of what is tried.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Literal

from jumpcloud_modules.errors import Refused
from jumpcloud_modules.http.retry import Failure

Level = Literal["info", "warning", "error", "critical"]
Kind = tuple[str | None, int | None] | None
"""Who refused with which status; None for all failures that may pass by themselves.

Not which request: a revoked key is one incident, whatever is asked for with it.
"""

CRITICAL_AFTER_SECONDS = 3600.0
"""Refusals that last as long are critical."""
REMINDER_AFTER_SECONDS = 900.0
"""The time to the first reminder; it doubles from one to the next."""
MAX_REMINDER_SECONDS = 3600.0
"""The time between two reminders, at most."""
TRANSIENT_FAILURES_BEFORE_SAYING_SO = 3
"""Failures in a row before one is logged that may pass by itself."""
# Longer than any wait before a request's next try: what fails again within it was never mended. A
# longer Retry-After does not count, since a calm only begins with a success. Short enough for
# two short refusals within an hour not to look like one that lasts, which stops the connector.
CALM_AFTER_SECONDS = 300.0
"""A failure that comes back after this time of successes is a new one."""


@dataclass(slots=True)
class _Incident:
    """Hold one kind of failure from its first try to the end of the calm after its last."""

    began: float
    failures: int = 0
    untold: int = 0
    told_at: float | None = None
    reminders: int = 0
    calm_since: float | None = None
    end_was_told: bool = False
    came_back: bool = False
    was_critical: bool = False
    last_words: str = ""

    def note_failure(self, words: str) -> None:
        self.last_words = words
        self.failures += 1
        self.untold += 1
        self.calm_since = None
        if self.end_was_told:
            self.end_was_told, self.came_back, self.reminders = False, True, 0

    def note_told(self, now: float) -> None:
        self.reminders += self.told_at is not None
        self.told_at, self.untold = now, 0

    def is_due(self, now: float) -> bool:
        """Tell whether to log it: at first, and then less and less often."""
        if self.told_at is None:
            return True
        return now - self.told_at >= _rest_seconds(self.reminders)

    def is_over(self, now: float) -> bool:
        return self.calm_since is not None and now - self.calm_since >= CALM_AFTER_SECONDS

    def owes_its_end(self, now: float) -> bool:
        """Tell whether to log its end: at a first success, or if it came back, once that lasts."""
        is_told = self.told_at is not None and not self.end_was_told
        return is_told and (not self.came_back or self.is_over(now))


def _rest_seconds(reminders: int) -> float:
    """Return how long to say nothing after so many reminders: ever longer, up to an hour."""
    return min(REMINDER_AFTER_SECONDS * 2.0 ** min(reminders, 10), MAX_REMINDER_SECONDS)


class Repetition:
    """Say when something that comes again and again is told: at first, then ever more seldom."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._begin()

    def _begin(self) -> None:
        self._times = self._untold = 0
        self._reminders = -1
        self._told_at = 0.0

    def again(self, times: int = 1) -> int | None:
        """Take note of it; return how often it came untold where it is due, or else None."""
        with self._lock:
            now = self._clock()
            self._times += times
            self._untold += times
            is_told = self._reminders >= 0
            if is_told and now - self._told_at < _rest_seconds(self._reminders):
                return None
            untold, self._untold = self._untold, 0
            self._reminders += 1
            self._told_at = now
            return untold

    def over(self) -> int:
        """Take note of its end, and return how often it came."""
        with self._lock:
            times = self._times
            self._begin()
            return times


@dataclass(frozen=True, slots=True)
class Ongoing:
    """Describe what fails just now: where, for how long, how often, with what last message.

    `is_refused` says that a person is needed; otherwise it may pass by itself.
    """

    end: str
    seconds: float
    failed_tries: int
    message: str
    is_refused: bool = False


class Tellers:
    """Choose which of several failure logs reports a failure that they have in common.

    It is the first one that has it, for as long as it goes on failing: a log whose requests have
    ended must not keep the others silent.
    """

    def __init__(self) -> None:
        self._tellers: dict[Kind, tuple[object, float]] = {}
        self._lock = threading.Lock()

    def claim(self, kind: Kind, record: object, now: float) -> bool:
        """Return whether this log is the one to report what just failed."""
        with self._lock:
            teller, failed_at = self._tellers.get(kind, (record, now))
            if teller is not record and now - failed_at < CALM_AFTER_SECONDS:
                return False
            self._tellers[kind] = record, now
            return True

    def leave(self, kind: Kind, record: object) -> None:
        """Let another log report a failure that is over in this one."""
        with self._lock:
            if kind in self._tellers and self._tellers[kind][0] is record:
                del self._tellers[kind]


class FailureLog:
    """Tell a person about the failures of one `Retry`, named `end`; from any thread.

    `consequence` is a sentence for its messages: what waits meanwhile. Failure logs that share
    `tellers` report a failure that they have in common once.
    """

    def __init__(
        self,
        end: str,
        log: Callable[[str, Level], None],
        clock: Callable[[], float] = monotonic,
        *,
        consequence: str = "",
        tellers: Tellers | None = None,
    ) -> None:
        self._end = end
        self._log = log
        self._clock = clock
        self._consequence = consequence
        self._tellers = tellers or Tellers()
        self._incidents: dict[Kind, _Incident] = {}
        self._lock = threading.Lock()

    def goes_on(self) -> list[Ongoing]:
        """Return what fails just now."""
        with self._lock:
            now = self._clock()
            return [
                Ongoing(
                    self._end,
                    now - incident.began,
                    incident.failures,
                    incident.last_words,
                    is_refused=kind is not None,
                )
                for kind, incident in self._incidents.items()
                if incident.calm_since is None
            ]

    def failed(self, failure: Failure) -> None:
        """Take note of a failed try."""
        kind = _kind(failure)
        # A long wait is worth a word: the next failure in a row would only come after it.
        is_short = failure.next_try_seconds < CALM_AFTER_SECONDS
        if kind is None and is_short and failure.in_a_row < TRANSIENT_FAILURES_BEFORE_SAYING_SO:
            return
        with self._lock:
            now = self._clock()
            incident = self._incidents.get(kind)
            if incident is None or incident.is_over(now):
                incident = self._incidents[kind] = _Incident(began=now)
                if kind is None:  # the first ones in a row were not worth a word, but count
                    incident.failures = failure.in_a_row - 1
            incident.note_failure(failure.error.told)
            if self._tellers.claim(kind, self, now):
                self._tell(failure, incident, now)

    def recovered(self, failures: int) -> None:
        """Take note that a try succeeded after failures: of none while all is well."""
        # Called at each success, so without the lock: a failure that comes in this very moment is
        # over at a later success.
        if not self._incidents:
            return
        with self._lock:
            now = self._clock()
            for kind, incident in self._incidents.items():
                if incident.calm_since is None:
                    incident.calm_since = now
                    self._tellers.leave(kind, self)
            self._tell_end(failures, now)
            self._incidents = {k: t for k, t in self._incidents.items() if not t.is_over(now)}

    def _tell(self, failure: Failure, incident: _Incident, now: float) -> None:
        is_refused = isinstance(failure.error, Refused)
        lasts = now - incident.began >= CRITICAL_AFTER_SECONDS
        if is_refused and lasts and not incident.was_critical:
            incident.was_critical = True
            self._log(f"{failure.error.told} This has lasted for an hour.", "critical")
        elif incident.is_due(now):
            self._log(self._text(failure, incident), "error" if is_refused else "warning")
        else:
            return
        incident.note_told(now)

    def _text(self, failure: Failure, incident: _Incident) -> str:
        since = ""
        if incident.told_at is not None:
            since = f"Failed tries since this was last said: {incident.untold}."
        next_try = f"Trying again by itself, next in {failure.next_try_seconds:.0f} s."
        return " ".join(filter(None, [failure.error.told, self._consequence, since, next_try]))

    def _tell_end(self, failures: int, now: float) -> None:
        ended = [incident for incident in self._incidents.values() if incident.owes_its_end(now)]
        if not ended:
            return
        for incident in ended:
            incident.end_was_told = True
        failed = max(failures, sum(incident.failures for incident in ended))
        self._log(f"{self._end} answers again, after {failed} failed tries.", "info")


def _kind(failure: Failure) -> Kind:
    """Return what makes two failures the same to a person."""
    error = failure.error
    return (error.end, error.status) if isinstance(error, Refused) else None
