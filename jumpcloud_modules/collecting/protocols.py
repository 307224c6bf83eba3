"""What collecting needs from outside: a source, an intake, a ledger, checkpoints, a clock.

As protocols, so that collecting itself depends neither on HTTP nor on the disk or the SDK.
"""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Protocol, Self

from jumpcloud_modules.checkpoint import Checkpoint, Found
from jumpcloud_modules.delivery import Delivery
from jumpcloud_modules.events import Events
from jumpcloud_modules.queries import Cursor, Page, Query, Unit


class Opened(Protocol):
    """A page whose headers have arrived, such as OpenPage."""

    cursor: Cursor | None

    def read(self, now_ms: int) -> Page:
        """Return the page, or raise TryAgain or PageTooLarge."""

    def close(self) -> None:
        """Leave the body unread."""


class Source(Protocol):
    """Gives pages of events, such as JumpCloudApi."""

    def open(self, query: Query) -> Opened:
        """Ask for a page, or raise TryAgain or Refused."""


class Counting(Protocol):
    """Counts events, such as JumpCloudApi."""

    def buckets(self, start_ms: int, end_ms: int, unit: Unit) -> dict[int, int]:
        """Return counts by the start of their minute or hour, or raise TryAgain or Refused."""

    def count(self, start_ms: int, end_ms: int | None) -> int:
        """Return the count of a span, which may be open, or raise TryAgain or Refused."""


class CountingSource(Source, Counting, Protocol):
    """Gives pages and counts of events, such as JumpCloudApi."""


class Clock(Protocol):
    """Tells JumpCloud's time, such as JumpCloudClock."""

    @property
    def is_known(self) -> bool:
        """Tell whether an answer carried a date."""

    @property
    def is_in_doubt(self) -> bool:
        """Tell whether the only date so far contradicts the machine's clock."""

    @property
    def ahead_of_machine_ms(self) -> int:
        """Return by how much JumpCloud's time is later than the machine's, at the least."""

    def now_ms(self) -> int:
        """Return JumpCloud's time, or else the machine's, in epoch milliseconds."""

    def machine_ms(self) -> int:
        """Return the machine's time in epoch milliseconds."""

    def span_ms(self) -> int:
        """Return milliseconds since some instant, for spans."""


class Deliverer(Protocol):
    """Delivers events, such as Intake."""

    def deliver(self, events: Events, delivery: Delivery) -> None:
        """Return when each event was accepted or set aside; note it as soon as it was."""

    def set_aside(self, events: Events, reason: str, delivery: Delivery) -> None:
        """Keep what cannot be sent."""


class DeliveryLedger(Protocol):
    """Knows what was delivered, such as Ledger; what reads or writes raises StateUnavailable."""

    @property
    def forgotten_ms(self) -> int:
        """Return the instant before which events may be forgotten."""

    def is_missing(self) -> bool:
        """Tell whether nothing of it was ever written, or all of it is lost."""

    def claim(self, events: Events) -> AbstractContextManager[Events]:
        """Give the events that are new, to this caller alone until the block ends."""

    def delivered(self, events: Events) -> set[int]:
        """Return the keys of those events that were delivered."""

    def record(self, events: Events, not_before_ms: int) -> None:
        """Take claimed events as delivered."""

    def write(self) -> None:
        """Make what was recorded survive a kill."""

    def commit(self) -> None:
        """Make what was recorded survive a power cut."""

    def count(self, start_ms: int, end_ms: int) -> int:
        """Return how many delivered events happened in a span."""

    def now_is(self, now_ms: int) -> None:
        """Take note of JumpCloud's time."""

    def know_of(self, other: Self, spans_ms: Iterable[tuple[int, int]]) -> None:
        """Know, without counting them, another scope's events of the hours that spans touch."""

    def remember_from(self, start_ms: int) -> None:
        """Take note that all from an instant on is read (again)."""

    def forget_before(self, before_ms: int, keep_ms: Iterable[int]) -> None:
        """Forget what ended before an instant, but for the hours of the instants kept."""


class Checkpoints(Protocol):
    """Keeps the checkpoint across restarts, such as CheckpointStore; raises StateUnavailable."""

    @property
    def is_save_due(self) -> bool:
        """Tell whether the last save is more than a moment ago."""

    def load(self) -> Found:
        """Return what was saved, whatever it is."""

    def save(self, checkpoint: Checkpoint) -> None:
        """Keep the checkpoint, so that a crash leaves it or what was there before."""
