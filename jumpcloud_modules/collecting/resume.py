"""The instants of a start: that of a first one, and those that a saved one must not be beyond.

Values and arithmetic, by JumpCloud's time; `startup` reads the state, asks for the time, and tells
the messages.
"""

from dataclasses import dataclass, replace

from jumpcloud_modules.checkpoint import Checkpoint
from jumpcloud_modules.instants import (
    HOUR_MS,
    MINUTE_MS,
    RETENTION_MS,
    SECOND_MS,
    to_rfc3339,
    to_text,
)

UNREMARKABLE_MS = 5 * MINUTE_MS


@dataclass(frozen=True, slots=True)
class Reach:
    """Say how far back a first start collects, and how far back late events are looked for."""

    history_ms: int
    audit_ms: int

    @property
    def max_ms(self) -> int:
        """Return how far back something may be new: never less than an hour."""
        return max(self.history_ms, self.audit_ms, HOUR_MS)


def first_start(now_ms: int, reach: Reach) -> Checkpoint:
    """Return a first start's checkpoint by the machine's clock, before JumpCloud was asked."""
    beginning_ms = now_ms - reach.history_ms
    return Checkpoint(beginning_ms, beginning_ms, is_provisional=True)


def confirmed(checkpoint: Checkpoint, start_ms: int) -> Checkpoint:
    """Correct a first start, which went by the machine's clock, to JumpCloud's time."""
    return replace(checkpoint, beginning_ms=start_ms, watermark_ms=start_ms, is_provisional=False)


def not_ahead(
    checkpoint: Checkpoint, now_ms: int, reach: Reach, accepted_start_ms: int | None = None
) -> tuple[Checkpoint, str]:
    """Move a watermark that is in the future back; return a message if a person should know.

    `accepted_start_ms` is the latest start that JumpCloud accepted in this process: up to there
    nothing was left out. Without one, what a clock that was ahead may have left out is read again,
    as far as it may be new. What was delivered of that, the ledger knows.
    """
    ahead_ms = checkpoint.watermark_ms - now_ms
    # JumpCloud's dates are whole seconds.
    if ahead_ms <= SECOND_MS:
        return checkpoint, ""
    if accepted_start_ms is not None and checkpoint.beginning_ms <= accepted_start_ms <= now_ms:
        taken_back = _taken_back(checkpoint, checkpoint.beginning_ms, accepted_start_ms, now_ms)
        # Several servers answer, and no two clocks agree.
        return taken_back, "" if ahead_ms <= UNREMARKABLE_MS else _why(checkpoint, taken_back)
    is_beginning_usable = checkpoint.beginning_ms <= now_ms
    beginning_ms = checkpoint.beginning_ms if is_beginning_usable else now_ms - reach.history_ms
    reach_ms = reach.max_ms if is_beginning_usable else reach.history_ms
    watermark_ms = max(now_ms - reach_ms, beginning_ms)
    taken_back = _taken_back(checkpoint, beginning_ms, watermark_ms, now_ms)
    return taken_back, _why(checkpoint, taken_back)


def _why(before: Checkpoint, after: Checkpoint) -> str:
    return (
        f"The state names {to_text(before.watermark_ms)}, which is in the future:"
        f" collecting events since {to_rfc3339(after.watermark_ms)}; what is known as delivered is"
        " not sent again."
    )


def _taken_back(
    checkpoint: Checkpoint, beginning_ms: int, watermark_ms: int, now_ms: int
) -> Checkpoint:
    """Return the checkpoint with another watermark.

    Windows stay as they are, since readers may be at work on them, but for those of the future:
    JumpCloud would refuse them until their time has come.
    """
    return replace(
        checkpoint,
        beginning_ms=beginning_ms,
        watermark_ms=watermark_ms,
        windows=tuple(window for window in checkpoint.windows if window.start_ms <= now_ms),
        audited_ms=min(checkpoint.audited_ms or watermark_ms, watermark_ms),
    )


def within(checkpoint: Checkpoint, limit_ms: int) -> Checkpoint:
    """Return the checkpoint without what is before an instant."""
    windows = tuple(
        window.rest_from(limit_ms)
        for window in checkpoint.windows
        if window.end_ms is None or window.end_ms > limit_ms
    )
    return replace(
        checkpoint,
        beginning_ms=max(checkpoint.beginning_ms, limit_ms),
        watermark_ms=max(checkpoint.watermark_ms, limit_ms),
        windows=windows,
    )


def within_retention(checkpoint: Checkpoint, now_ms: int) -> tuple[Checkpoint, str]:
    """Leave out what JumpCloud no longer has, and return a message if there was any."""
    limit_ms = now_ms - RETENTION_MS
    if checkpoint.oldest_open_ms >= limit_ms:
        return checkpoint, ""
    message = (
        f"Events between {to_text(checkpoint.oldest_open_ms)} and {to_rfc3339(limit_ms)} are"
        " beyond JumpCloud's retention and cannot be collected any more."
    )
    return within(checkpoint, limit_ms), message
