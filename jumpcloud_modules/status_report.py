"""How collecting is doing just now, put together from its parts: for `GET /status` and the lag.

Knows nothing of the SDK.
"""

import time
from collections import defaultdict, deque
from collections.abc import Callable

from jumpcloud_modules.assembly import Parts
from jumpcloud_modules.checkpoint import Checkpoint
from jumpcloud_modules.collecting.stats import Counts
from jumpcloud_modules.instants import to_rfc3339
from jumpcloud_modules.status import (
    DELIVERIES_SHOWN,
    BacklogEstimate,
    DeliveredBatch,
    Failing,
    State,
    Status,
    Stream,
    watermark_of,
)

LAG_GRACE_SECONDS = 30.0
"""What is older than one poll by less than this is no lag."""


class StatusReport:
    """Remember what a status needs besides the parts; `redacted` takes secrets out of a message."""

    def __init__(self, redacted: Callable[[str], str]) -> None:
        self._redacted = redacted
        self._began_at = time.monotonic()
        self._backlog_estimates = defaultdict[str, BacklogEstimate](
            lambda: BacklogEstimate(time.monotonic)
        )
        self._last_deliveries: deque[DeliveredBatch] = deque(maxlen=DELIVERIES_SHOWN)

    def note_accepted(self, count: int, seconds: float) -> None:
        """Take note that the intake has accepted events, in so many seconds."""
        at = to_rfc3339(time.time_ns() // 1_000_000)
        self._last_deliveries.append(DeliveredBatch(at, count, round(seconds, 3)))

    def lag_seconds(self, parts: Parts, poll_every_seconds: float) -> float:
        """Return 0 when caught up, or the age of the oldest instant not collected yet."""
        if (collected_to_ms := parts.collected_to_ms) is None:  # since when it cannot even begin
            return time.monotonic() - self._began_at if parts.is_failing else 0.0
        return _lag_seconds(parts, collected_to_ms, parts.checkpoint, poll_every_seconds)

    def status(
        self,
        parts: Parts,
        *,
        version: str,
        folder: str,
        totals: Counts,
        is_owner: bool,
        poll_every_seconds: float,
    ) -> Status:
        """Return the status; `totals` are the counts of this process."""
        is_begun = is_owner and parts.collected_to_ms is not None
        waits: State = "starting" if is_owner else "waiting for another owner"

        def stream(name: str, checkpoint: Checkpoint, collected_to_ms: int | None) -> Stream:
            lag_seconds = None
            if is_begun and collected_to_ms is not None:
                lag = _lag_seconds(parts, collected_to_ms, checkpoint, poll_every_seconds)
                lag_seconds = round(lag, 1)
            backlog = self._backlog_estimates[name].backlog(checkpoint)
            return Stream(name, watermark_of(checkpoint), lag_seconds, backlog)

        together = stream("", parts.checkpoint, parts.collected_to_ms)
        return Status(
            state="collecting" if is_begun else waits,
            version=version,
            folder=folder,
            watermark=together.watermark,
            lag_seconds=together.lag_seconds,
            backlog=together.backlog,
            streams=tuple(
                stream(services, collector.checkpoint, collector.collected_to_ms)
                for services, collector in zip(parts.names, parts.collectors, strict=True)
            ),
            late_events=totals.late,
            withheld=totals.known,
            delivered=totals.delivered,
            quarantined=parts.quarantine.count(),
            failing=self.failing(parts),
            last_deliveries=tuple(self._last_deliveries),
        )

    def failing(self, parts: Parts) -> tuple[Failing, ...]:
        """Return what fails just now."""
        now = time.time()
        return tuple(
            Failing(
                ongoing.end,
                to_rfc3339(int((now - ongoing.seconds) * 1000)),
                ongoing.failed_tries,
                self._redacted(ongoing.message),
            )
            for _, log in parts.failure_logs
            for ongoing in log.goes_on()
        )


def _lag_seconds(
    parts: Parts, collected_to_ms: int, checkpoint: Checkpoint, poll_every_seconds: float
) -> float:
    age = max(0.0, (parts.clock.now_ms() - collected_to_ms) / 1000)
    is_behind = parts.is_failing or bool(checkpoint.windows)
    return age if is_behind or age > poll_every_seconds + LAG_GRACE_SECONDS else 0.0
