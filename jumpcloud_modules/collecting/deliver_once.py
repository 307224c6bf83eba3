"""Several streams of one connector: what one of them delivered, no other sends again.

JumpCloud's `all` may leave services out. Those are read by a second stream with a watermark, a
ledger and counts of its own: in counts of both together, an event that one lacks would not show.
"""

from collections.abc import Callable

from jumpcloud_modules.collecting.protocols import Deliverer
from jumpcloud_modules.delivery import Delivery
from jumpcloud_modules.events import Events


class DeliverOnce:
    """Deliver for one stream what no other stream delivered.

    `others` returns the keys of those events that another stream delivered. While another stream
    delivers an event it holds a claim on it, so the event comes here only afterwards.
    """

    def __init__(self, intake: Deliverer, others: Callable[[Events], set[int]]) -> None:
        self._intake = intake
        self._others = others

    def deliver(self, events: Events, delivery: Delivery) -> None:
        """Do as the intake does; what another stream delivered is acknowledged, not sent."""
        self._intake.deliver(self._not_elsewhere(events, delivery), delivery)

    def set_aside(self, events: Events, reason: str, delivery: Delivery) -> None:
        """Do as the intake does; what another stream set aside is acknowledged."""
        self._intake.set_aside(self._not_elsewhere(events, delivery), reason, delivery)

    def _not_elsewhere(self, events: Events, delivery: Delivery) -> Events:
        known = self._others(events)
        if not known:
            return events
        places = range(len(events))
        elsewhere = events.at([place for place in places if events.keys[place] in known])
        delivery.acknowledged.extend(elsewhere)
        delivery.elsewhere += len(elsewhere)
        return events.at([place for place in places if events.keys[place] not in known])
