"""Where to go on from: what the state says, measured by JumpCloud's time.

Values and arithmetic; the collector reads the state, asks for the time, and tells the messages.
"""

from dataclasses import dataclass, replace

from jumpcloud_modules.instants import HOUR_MS, RETENTION_MS, SECOND_MS, to_rfc3339
from jumpcloud_modules.progress import Progress, Window


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


def by_jumpclouds_clock(progress: Progress, ahead_of_machine_ms: int) -> Progress:
    """Move a first start, which went by the machine's clock, to where it is by JumpCloud's."""
    if not progress.is_provisional:
        return progress
    return replace(
        progress,
        beginning_ms=progress.beginning_ms + ahead_of_machine_ms,
        watermark_ms=progress.watermark_ms + ahead_of_machine_ms,
        is_provisional=False,
    )


def not_ahead(progress: Progress, now_ms: int, reach: Reach) -> tuple[Progress, str]:
    """Take a watermark of the future back, and return why, or nothing where it is none.

    What may have been left out by a clock that was ahead is read again, as far as it may be new;
    what was delivered of that, the ledger knows.
    """
    if progress.watermark_ms <= now_ms + SECOND_MS:
        return progress, ""
    is_beginning_usable = progress.beginning_ms <= now_ms
    beginning_ms = progress.beginning_ms if is_beginning_usable else now_ms - reach.history_ms
    reach_ms = reach.longest_ms if is_beginning_usable else reach.history_ms
    watermark_ms = max(now_ms - reach_ms, beginning_ms)
    message = (
        f"The state names {_text(progress.watermark_ms)}, which is in the future:"
        f" collecting events since {to_rfc3339(watermark_ms)}; what is known as delivered is not"
        " sent again."
    )
    windows = tuple(
        Window(window.start_ms, min(window.end_ms or watermark_ms, watermark_ms))
        for window in progress.windows
        if window.start_ms < watermark_ms
    )
    audited_ms = min(progress.audited_ms or watermark_ms, watermark_ms)
    taken_back = replace(
        progress,
        beginning_ms=beginning_ms,
        watermark_ms=watermark_ms,
        windows=windows,
        audited_ms=audited_ms,
    )
    return taken_back, message


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
        f"Events between {_text(progress.oldest_open_ms)} and {to_rfc3339(limit_ms)} are"
        " beyond JumpCloud's retention and cannot be collected any more."
    )
    return within(progress, limit_ms), message


def _text(instant_ms: int) -> str:
    try:
        return to_rfc3339(instant_ms)
    except OverflowError:
        return f"{instant_ms} ms"
