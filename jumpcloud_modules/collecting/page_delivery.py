"""Deliver a page: its new events go to the intake, and then into the ledger as delivered.

Knows nothing of how pages are read, or of what else is still to be read.
"""

from jumpcloud_modules.checkpoint import Window
from jumpcloud_modules.collecting.delivery_record import DeliveryRecord
from jumpcloud_modules.collecting.protocols import Deliverer
from jumpcloud_modules.collecting.stats import Stats
from jumpcloud_modules.delivery import Delivery
from jumpcloud_modules.instants import SECOND_MS
from jumpcloud_modules.queries import Page

EARLIER_THAN_ASKED_MS = SECOND_MS
"""By how much an event may claim to be older than what was asked for: the index may round."""


class PageDelivery:
    """Deliver pages for whoever reads them."""

    def __init__(self, intake: Deliverer, record: DeliveryRecord, stats: Stats) -> None:
        self._intake = intake
        self._record = record
        self._stats = stats

    def deliver(self, page: Page, window: Window) -> Delivery:
        """Deliver the new events of a window's page, file them, and return what became of them."""
        delivery, not_before_ms = Delivery(), window.start_ms - EARLIER_THAN_ASKED_MS
        with self._record.claim(page.events) as fresh, self._record.claim(page.non_objects) as odd:
            try:
                self._intake.set_aside(odd, "because it is no JSON object", delivery)
                self._intake.deliver(fresh, delivery)
            except Exception:
                # What has its receipt is filed while it is still claimed: no other reader that
                # meets it meanwhile, nor a restart, may take it for new.
                self._record.acknowledge(delivery, not_before_ms)
                raise
            self._record.acknowledge(delivery, not_before_ms)
        self._stats.count_page(page, delivery)
        return delivery
