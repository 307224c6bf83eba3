"""Where to go on from: what the state says, measured by JumpCloud's time.

Values and arithmetic; the collector reads the state, asks for the time, and tells the messages.
"""

from dataclasses import dataclass, replace

from jumpcloud_modules.instants import (
    HOUR_MS,
    MINUTE_MS,
    RETENTION_MS,
    SECOND_MS,
    to_rfc3339,
    to_text,
)
from jumpcloud_modules.progress import Progress

UNREMARKABLE_MS = 5 * MINUTE_MS


@dataclass(frozen=True, slots=True)
class Reach:
    """Say how far back a first start collects, and how far back late events are looked for."""

    history_ms: int
    audit_ms: int

    @property
    def longest_ms(self) -> int:
        """Return how far back something may be new: never less than an hour."""
        return max(self.history_ms, self.audit_ms, HOUR_MS)


def first_start(now_ms: int, reach: Reach) -> Progress:
    """Begin where a first start does, as far as the time is known before JumpCloud was asked."""
    beginning_ms = now_ms - reach.history_ms
    return Progress(beginning_ms, beginning_ms, is_provisional=True)


def confirmed(progress: Progress, start_ms: int) -> Progress:
    """Move a first start, which went by the machine's clock, to where it is by JumpCloud's."""
    return replace(progress, beginning_ms=start_ms, watermark_ms=start_ms, is_provisional=False)


def not_ahead(
    progress: Progress, now_ms: int, reach: Reach, accepted_ms: int | None = None
) -> tuple[Progress, str]:
    """Take a watermark of the future back, and return why, or nothing where that is no wonder.

    `accepted_ms` is the latest start that JumpCloud accepted in this process: up to there nothing
    was left out. Without one, what a clock that was ahead may have left out is read again, as far
    as it may be new. What was delivered of that, the ledger knows.
    """
    ahead_ms = progress.watermark_ms - now_ms
    if ahead_ms <= SECOND_MS:
        return progress, ""
    if accepted_ms is not None and progress.beginning_ms <= accepted_ms <= now_ms:
        taken_back = _taken_back(progress, progress.beginning_ms, accepted_ms, now_ms)
        # Several servers answer, and no two clocks agree.
        return taken_back, "" if ahead_ms <= UNREMARKABLE_MS else _why(progress, taken_back)
    is_beginning_usable = progress.beginning_ms <= now_ms
    beginning_ms = progress.beginning_ms if is_beginning_usable else now_ms - reach.history_ms
    reach_ms = reach.longest_ms if is_beginning_usable else reach.history_ms
    watermark_ms = max(now_ms - reach_ms, beginning_ms)
    taken_back = _taken_back(progress, beginning_ms, watermark_ms, now_ms)
    return taken_back, _why(progress, taken_back)


def _why(before: Progress, after: Progress) -> str:
    return (
        f"The state names {to_text(before.watermark_ms)}, which is in the future:"
        f" collecting events since {to_rfc3339(after.watermark_ms)}; what is known as delivered is"
        " not sent again."
    )


def _taken_back(progress: Progress, beginning_ms: int, watermark_ms: int, now_ms: int) -> Progress:
    """Return the progress with another watermark.

    Windows stay as they are, since readers may be at work on them, but for those of the future:
    JumpCloud would refuse them until their time has come.
    """
    return replace(
        progress,
        beginning_ms=beginning_ms,
        watermark_ms=watermark_ms,
        windows=tuple(window for window in progress.windows if window.start_ms <= now_ms),
        audited_ms=min(progress.audited_ms or watermark_ms, watermark_ms),
    )


def within(progress: Progress, limit_ms: int) -> Progress:
    """Leave out what is before an instant."""
    windows = tuple(
        window.rest_from(limit_ms)
        for window in progress.windows
        if window.end_ms is None or window.end_ms > limit_ms
    )
    return replace(
        progress,
        beginning_ms=max(progress.beginning_ms, limit_ms),
        watermark_ms=max(progress.watermark_ms, limit_ms),
        windows=windows,
    )


def within_retention(progress: Progress, now_ms: int) -> tuple[Progress, str]:
    """Leave out what JumpCloud no longer has, and return what to tell of it, or nothing."""
    limit_ms = now_ms - RETENTION_MS
    if progress.oldest_open_ms >= limit_ms:
        return progress, ""
    message = (
        f"Events between {to_text(progress.oldest_open_ms)} and {to_rfc3339(limit_ms)} are"
        " beyond JumpCloud's retention and cannot be collected any more."
    )
    return within(progress, limit_ms), message
