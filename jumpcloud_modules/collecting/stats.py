"""Counts of pages and events, summed up over all readers since they were last taken."""

import threading
from dataclasses import dataclass

from jumpcloud_modules.delivery import Delivery
from jumpcloud_modules.queries import Page


@dataclass(frozen=True, slots=True)
class Counts:
    """Count pages and events: `known` were delivered before and not sent again."""

    pages: int = 0
    read: int = 0
    known: int = 0
    delivered: int = 0
    set_aside: int = 0
    without_receipt: int = 0
    late: int = 0

    def __add__(self, more: "Counts") -> "Counts":
        """Return the counts of both."""
        # Field by field: `astuple` copies each number, which took a tenth of a quiet poll.
        return Counts(
            self.pages + more.pages,
            self.read + more.read,
            self.known + more.known,
            self.delivered + more.delivered,
            self.set_aside + more.set_aside,
            self.without_receipt + more.without_receipt,
            self.late + more.late,
        )


class Stats:
    """Add up what readers did; what is counted here counts in `whole` as well."""

    def __init__(self, whole: "Stats | None" = None) -> None:
        self._whole = whole
        self._lock = threading.Lock()
        self._counts = Counts()

    def count_page(self, page: Page, delivery: Delivery) -> None:
        """Take note of a page and of what became of those of its events that were new."""
        read = len(page.events) + len(page.non_objects)
        self._add(
            Counts(
                pages=1,
                read=read,
                known=read - len(delivery.acknowledged) + delivery.elsewhere,
                delivered=delivery.accepted,
                set_aside=len(delivery.quarantined),
                without_receipt=delivery.missing_receipts,
            )
        )

    def count_late(self, events: int) -> None:
        """Take note of late events that were found; they are counted as delivered, too."""
        self._add(Counts(late=events))

    def _add(self, more: Counts) -> None:
        with self._lock:
            self._counts += more
        if self._whole:
            self._whole._add(more)  # noqa: SLF001 -- its own class

    def peek(self) -> Counts:
        """Return the counts, and go on counting."""
        return self._counts

    def take(self) -> Counts:
        """Return the counts and begin again at nothing."""
        with self._lock:
            counts, self._counts = self._counts, Counts()
            return counts
