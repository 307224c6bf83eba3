"""Which failures a person reads about, and when: each once, in full, with its end.

A hiccup that passes at the next try is nobody's business; a refusal is said at once.
"""

from collections.abc import Callable
from time import monotonic
from typing import Literal

from jumpcloud_modules.errors import Refused
from jumpcloud_modules.retry import Failure

Level = Literal["info", "warning", "error", "critical"]

CRITICAL_AFTER_SECONDS = 3600.0
REMINDER_AFTER_SECONDS = 900.0
TRANSIENT_FAILURES_BEFORE_SAYING_SO = 3


class Troubles:
    """Tell a person about the failures of one remote end, named `end`."""

    def __init__(
        self,
        end: str,
        log: Callable[[str, Level], None],
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._end = end
        self._log = log
        self._clock = clock
        self._refused_since: float | None = None
        self._said_at: float | None = None
        self._said: str | None = None
        self._was_critical = False

    def failed(self, failure: Failure) -> None:
        """Take note of a failed try."""
        now = self._clock()
        if isinstance(failure.error, Refused):
            self._refused(failure, now)
        elif failure.in_a_row >= TRANSIENT_FAILURES_BEFORE_SAYING_SO:
            self._say(failure, now, "warning")

    def recovered(self, failures: int) -> None:
        """Take note that a try succeeded after failures."""
        if self._said is not None:
            self._log(f"{self._end} answers again, after {failures} failed tries.", "info")
        self._said = self._said_at = self._refused_since = None
        self._was_critical = False

    def _refused(self, failure: Failure, now: float) -> None:
        if self._refused_since is None:
            self._refused_since = now
        if now - self._refused_since >= CRITICAL_AFTER_SECONDS and not self._was_critical:
            self._was_critical = True
            self._log(f"{failure.error} This has lasted for an hour.", "critical")
            return
        self._say(failure, now, "error")

    def _say(self, failure: Failure, now: float, level: Level) -> None:
        said = _gist(failure)
        due = self._said_at is None or now - self._said_at >= REMINDER_AFTER_SECONDS
        if not due and (level == "warning" or said == self._said):
            return
        self._said, self._said_at = said, now
        self._log(
            f"{failure.error} Trying again by itself, next in {failure.next_try_seconds:.0f} s.",
            level,
        )


def _gist(failure: Failure) -> str:
    """Return who answered what: to which request, and in which words, varies from try to try."""
    return str(failure.error).partition(" (")[0].partition(" to ")[0]
