"""Claims beside a storage that fails: nobody waits for what it keeps from going on."""

import threading
from pathlib import Path

from jumpcloud_modules.collecting.delivery_record import DeliveryRecord
from jumpcloud_modules.collecting.dependencies import Durable
from jumpcloud_modules.collecting.tracker import CheckpointTracker
from jumpcloud_modules.delivery import Delivery
from jumpcloud_modules.errors import StateUnavailable
from jumpcloud_modules.events import Events
from jumpcloud_modules.http.retry import Retry
from jumpcloud_modules.state.checkpoint_store import CheckpointStore
from jumpcloud_modules.state.ledger import Ledger
from tests.doubles import NOON_MS, event_at, events_of


def _fails_once() -> None:
    raise StateUnavailable("the disk is full")


def test_who_waits_for_a_claim_keeps_nobody_from_filing_what_it_delivered(tmp_path: Path) -> None:
    """Although the storage has just failed, so that one caller at a time may try it."""
    retry, ledger = Retry(threading.Event()), Ledger(tmp_path / "ledger")
    durable = Durable(CheckpointStore(tmp_path), lambda _: ledger, retry)
    record = DeliveryRecord(durable, ledger, CheckpointTracker())
    event, found = events_of(event_at(NOON_MS)), list[Events]()

    def claim_too() -> None:
        with record.claim(event) as fresh:
            found.append(fresh)

    waiting = threading.Thread(target=claim_too, daemon=True)
    with record.claim(event) as mine:
        try:
            retry.call(_fails_once, 1)
        except StateUnavailable:
            waiting.start()
        waiting.join(2)
        acknowledging = threading.Thread(
            target=lambda: record.acknowledge(Delivery(acknowledged=mine), 0), daemon=True
        )
        acknowledging.start()
        acknowledging.join(30)
        is_acknowledged = not acknowledging.is_alive()
    waiting.join(30)

    assert is_acknowledged
    assert found == [events_of()]
