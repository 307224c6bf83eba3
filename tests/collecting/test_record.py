"""Claims beside a storage that fails: nobody waits for what it keeps from going on."""

import threading
from pathlib import Path

from jumpcloud_modules.collecting.ends import Durable
from jumpcloud_modules.collecting.record import DeliveryRecord
from jumpcloud_modules.collecting.tracker import ProgressTracker
from jumpcloud_modules.delivery import Delivery
from jumpcloud_modules.errors import StateUnavailable
from jumpcloud_modules.events import Events
from jumpcloud_modules.http.retry import Pace
from jumpcloud_modules.state.checkpoint import State
from jumpcloud_modules.state.ledger import Ledger
from tests.doubles import NOON_MS, event_at, events_of


def _fails_once() -> None:
    raise StateUnavailable("the disk is full")


def test_who_waits_for_a_claim_keeps_nobody_from_filing_what_it_delivered(tmp_path: Path) -> None:
    """Although the storage has just failed, so that one caller at a time may try it."""
    pace, ledger = Pace(threading.Event()), Ledger(tmp_path / "ledger")
    durable = Durable(State(tmp_path), lambda _: ledger, pace)
    record = DeliveryRecord(durable, ledger, ProgressTracker())
    event, found = events_of(event_at(NOON_MS)), list[Events]()

    def claim_too() -> None:
        with record.claim(event) as fresh:
            found.append(fresh)

    waiting = threading.Thread(target=claim_too, daemon=True)
    with record.claim(event) as mine:
        try:
            pace.call(_fails_once, 1)
        except StateUnavailable:
            waiting.start()
        waiting.join(2)
        settling = threading.Thread(
            target=lambda: record.settle(Delivery(settled=mine), 0), daemon=True
        )
        settling.start()
        settling.join(30)
        is_settled = not settling.is_alive()
    waiting.join(30)

    assert is_settled
    assert found == [events_of()]
