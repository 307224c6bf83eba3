"""How a connector is doing, as plain values: what `GET /status` and the command `status` show.

No secret and no event is among them. Knows nothing of where the values come from.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from jumpcloud_modules.checkpoint import Checkpoint
from jumpcloud_modules.instants import to_text

State = Literal["starting", "waiting for another owner", "collecting", "stopped", "not answering"]
DELIVERIES_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Backlog:
    """Say how much before the watermark is unread; `seconds` are seconds of events, not of work.

    `seconds_left` is how long the rest will take at the speed so far, None before that can be told.
    """

    windows: int = 0
    seconds: float = 0.0
    seconds_left: float | None = None


@dataclass(frozen=True, slots=True)
class Failing:
    """Say what fails, since when (RFC 3339), how often it was tried, and the last error's words."""

    end: str
    since: str
    failed_tries: int
    message: str


@dataclass(frozen=True, slots=True)
class Delivered:
    """Say when (RFC 3339) how many events were accepted, in how many seconds."""

    at: str
    events: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Stream:
    """Say how far one stream got: `all` and what is named beside it are read apart."""

    services: str
    watermark: str | None = None
    lag_seconds: float | None = None
    backlog: Backlog = field(default_factory=Backlog)


@dataclass(frozen=True, slots=True)
class Status:
    """Hold how one connector is doing; what is not known, such as of a stopped one, is None.

    `watermark`, `lag_seconds` and `backlog` are those of all `streams` together.
    """

    state: State
    version: str = ""
    folder: str = ""
    watermark: str | None = None
    lag_seconds: float | None = None
    backlog: Backlog = field(default_factory=Backlog)
    streams: tuple[Stream, ...] = ()
    late_events: int | None = None
    delivered: int | None = None
    quarantined: int | None = None
    failing: tuple[Failing, ...] = ()
    last_deliveries: tuple[Delivered, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def is_well(self) -> bool:
        """Tell whether nothing fails, and nothing is the matter with the state."""
        return not (self.failing or self.warnings)

    def to_json(self) -> dict[str, Any]:
        """Return it as it is written."""
        return {"well": self.is_well, **asdict(self)}


def watermark_of(checkpoint: Checkpoint) -> str | None:
    """Return the instant up to which new events were read, None before there is one."""
    return to_text(checkpoint.watermark_ms) if checkpoint.watermark_ms else None


def age_seconds(checkpoint: Checkpoint, now_ms: int) -> float:
    """Return the age of the oldest instant that was not collected yet."""
    return max(0.0, (now_ms - checkpoint.oldest_open_ms) / 1000)


def open_ms(checkpoint: Checkpoint) -> int:
    """Return how much time the open windows cover, in milliseconds."""
    return sum(
        (window.end_ms or window.start_ms) - window.start_ms for window in checkpoint.windows
    )


class BacklogEstimate:
    """Estimate how long a backlog will take, from how fast it has become less so far."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._largest: tuple[float, int] | None = None

    def backlog(self, checkpoint: Checkpoint) -> Backlog:
        """Return what is left of a backlog just now."""
        left_ms, now = open_ms(checkpoint), self._clock()
        if not left_ms:
            self._largest = None
            return Backlog()
        if self._largest is None or left_ms > self._largest[1]:
            self._largest = now, left_ms
        began, max_ms = self._largest
        done_ms, seconds = max_ms - left_ms, now - began
        seconds_left = round(left_ms * seconds / done_ms, 1) if done_ms and seconds else None
        return Backlog(len(checkpoint.windows), left_ms / 1000, seconds_left)
