"""What is still to be read: windows of time, and the watermark that the tail starts from.

Values only; `state/checkpoint_store.py` writes them down.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from jumpcloud_modules.instants import SECOND_MS, floor


@dataclass(frozen=True, slots=True)
class Window:
    """Span the time from `start_ms` (inclusive) to `end_ms` (exclusive; None is open)."""

    start_ms: int
    end_ms: int | None = None

    def rest_from(self, position_ms: int | None) -> "Window":
        """Return the window from a position on; its start never moves back."""
        if position_ms is None or position_ms <= self.start_ms:
            return self
        if self.end_ms is not None and position_ms > self.end_ms:
            return replace(self, start_ms=self.end_ms)
        return replace(self, start_ms=position_ms)

    @property
    def is_over(self) -> bool:
        """Tell whether nothing is left of the window: JumpCloud may refuse such a span."""
        return self.end_ms is not None and self.start_ms >= self.end_ms

    def overlaps(self, start_ms: int, end_ms: int) -> bool:
        """Tell whether the window shares an instant with a span."""
        return self.start_ms < end_ms and (self.end_ms is None or start_ms < self.end_ms)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Say how far the connector got.

    Nothing before `beginning_ms` is looked for. Everything from there to
    `watermark_ms` has been read once, but for `windows`, which are still open. `scope` names what
    was asked for, because counts of another scope cannot be compared. `audited_ms` is the instant
    up to which all that was late has been looked for and read. `is_tail_read` is false while pages
    of the tail are still to come, `is_provisional` while JumpCloud's time is not known.
    """

    beginning_ms: int
    watermark_ms: int
    windows: tuple[Window, ...] = ()
    scope: str = ""
    audited_ms: int | None = None
    is_provisional: bool = False
    is_tail_read: bool = field(default=True, compare=False)

    @property
    def tail(self) -> Window:
        """Return the window that new events appear in."""
        return Window(self.watermark_ms)

    @property
    def oldest_open_ms(self) -> int:
        """Return the instant before which everything has been read once."""
        return min((window.start_ms for window in self.windows), default=self.watermark_ms)

    @property
    def audit_from_ms(self) -> int:
        """Return the instant from which the next audit looks back."""
        return self.watermark_ms if self.audited_ms is None else self.audited_ms

    @property
    def most_recent_date_seen_ms(self) -> int:
        """Return the instant that module 1.8.2 would go on from without a loss.

        1.8.2 names the start of the second after the newest event it sent.
        """
        if self.windows or not self.is_tail_read or self.watermark_ms == self.beginning_ms:
            return self.oldest_open_ms
        return floor(self.watermark_ms, SECOND_MS) + SECOND_MS

    def rest_of(self, window: Window) -> Window:
        """Return what is left of a window that was open before, or the window itself."""
        return next((rest for rest in self.windows if rest.end_ms == window.end_ms), window)

    def with_tail_at(self, position_ms: int | None, *, is_read: bool = True) -> "Checkpoint":
        """Move the watermark forward to a position, with or without more pages to come."""
        watermark_ms = max(self.watermark_ms, position_ms or 0)
        return replace(self, watermark_ms=watermark_ms, is_tail_read=is_read)

    def with_rest(self, window: Window, rest: Window) -> "Checkpoint":
        """Shrink an open window to what is left of it."""
        return self._replacing(window, (rest,))

    def back_at(self, position_ms: int) -> "Checkpoint":
        """Move the watermark back to a position, if it is later."""
        return replace(self, watermark_ms=min(self.watermark_ms, position_ms))

    def without(self, window: Window) -> "Checkpoint":
        """Close a window that has been read to its end."""
        return self._replacing(window, ())

    def cut(self, window: Window, slices: Iterable[Window]) -> "Checkpoint":
        """Put slices in the place of an open window."""
        return self._replacing(window, tuple(slices))

    def with_backfill(self, windows: Iterable[Window], watermark_ms: int) -> "Checkpoint":
        """Open windows up to a new watermark, which must leave no time between them and it."""
        return replace(self, windows=(*self.windows, *windows), watermark_ms=watermark_ms)

    def _replacing(self, window: Window, by: tuple[Window, ...]) -> "Checkpoint":
        if window not in self.windows:
            return self
        index = self.windows.index(window)
        return replace(self, windows=(*self.windows[:index], *by, *self.windows[index + 1 :]))


def of_all(parts: Sequence[Checkpoint]) -> Checkpoint:
    """Return how far several streams got together: as far as the one that is furthest behind.

    Those that have not begun count only where none has; there is at least one stream.
    """
    begun = [checkpoint for checkpoint in parts if checkpoint.watermark_ms] or parts
    return Checkpoint(
        beginning_ms=min(checkpoint.beginning_ms for checkpoint in begun),
        watermark_ms=min(checkpoint.watermark_ms for checkpoint in begun),
        windows=tuple(window for checkpoint in begun for window in checkpoint.windows),
    )


@dataclass(frozen=True, slots=True)
class Found:
    """Say what the state holds at a start, and what there is to tell about it.

    `checkpoint` is None where it does not say how far collecting got. `is_takeover` says that it
    goes on from an instant that 1.8.2 or a person named. `is_beginning_lost` says that nobody knows
    how far back late events were looked for.
    """

    checkpoint: Checkpoint | None
    message: str = ""
    warning: str = ""
    is_takeover: bool = False
    is_beginning_lost: bool = False


def organization_of(scope: str) -> tuple[str, str]:
    """Return the region and the organization of a scope, as `assembly` writes it.

    Both are empty where no organization is named: the credentials reach only one.
    """
    region, _, rest = scope.partition(" ")
    organization_id = rest.partition(" ")[0]
    return (region, organization_id) if organization_id else ("", "")
