"""Write the ledger and the checkpoint in an order in which a crash neither loses nor repeats.

Each write is repeated until it works. Knows nothing of windows being read.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from time import monotonic

from jumpcloud_modules.checkpoint import Checkpoint
from jumpcloud_modules.collecting.dependencies import Durable
from jumpcloud_modules.collecting.protocols import DeliveryLedger
from jumpcloud_modules.collecting.tracker import CheckpointTracker
from jumpcloud_modules.delivery import Delivery
from jumpcloud_modules.errors import StateUnavailable
from jumpcloud_modules.events import Events


class DeliveryRecord:
    """Write one scope's ledger and the checkpoint: what is added, to the ledger first.

    What is forgotten goes the other way round (`forgetting`).
    `on_commit` hears how many seconds each commit took.
    """

    def __init__(
        self,
        durable: Durable,
        ledger: DeliveryLedger,
        tracker: CheckpointTracker,
        on_commit: Callable[[float], None] = lambda _: None,
    ) -> None:
        self._on_commit = on_commit
        self._durable = durable
        self._retry = durable.retry
        self._ledger = ledger
        self._tracker = tracker
        self._commit_lock = threading.Lock()

    def now_is(self, now_ms: int) -> None:
        """Take note of JumpCloud's time."""
        self._ledger.now_is(now_ms)

    def count(self, start_ms: int, end_ms: int) -> int:
        """Return how many delivered events happened in a span."""
        return self._retry.call(lambda: self._ledger.count(start_ms, end_ms))

    @contextmanager
    def claim(self, events: Events) -> Iterator[Events]:
        """Give the events that are new, to this caller alone until the block ends."""
        with ExitStack() as claims:
            yield self._claimed(events, claims)

    def _claimed(self, events: Events, claims: ExitStack) -> Events:
        while True:
            try:
                # Not with the storage's backoff: who waits here for another's claim would keep
                # the turn that the other needs to file what it delivered, and neither would go on.
                return claims.enter_context(self._ledger.claim(events))
            except StateUnavailable:
                self._retry.call(lambda: self._ledger.delivered(events))

    def acknowledge(self, delivery: Delivery, not_before_ms: int) -> None:
        """File what is not to be sent again, so that it survives a kill, before anything else."""
        self._ledger.record(delivery.acknowledged, not_before_ms)
        self.check_owner()
        self._retry.call(self._ledger.write)

    def advance(self, change: Callable[[Checkpoint], Checkpoint]) -> None:
        """Move the checkpoint past what was acknowledged, and commit that if it is due."""
        self._tracker.change(change)
        self._commit_now_and_then()

    def commit(self) -> None:
        """Make it survive a power cut, too: the ledger first, then the checkpoint."""
        with self._commit_lock:
            self._write_down()

    def _commit_now_and_then(self) -> None:
        """Commit while pages follow each other, unless somebody does so just now."""
        # Waiting for another thread's commit would hold up this page; the next takes it along.
        if self._durable.state.is_save_due and self._commit_lock.acquire(blocking=False):
            try:
                self._write_down()
            finally:
                self._commit_lock.release()

    def forget_before(self, before_ms: int, keep_ms: Iterable[int]) -> None:
        """Forget the hours that end before an instant, but for those of the instants kept."""
        self._retry.call(lambda: self._ledger.forget_before(before_ms, keep_ms))

    def check_owner(self) -> None:
        """Raise OwnershipLost where another process may own the state by now."""
        self._retry.call(self._durable.check_owner)

    def _write_down(self) -> None:
        began = monotonic()
        # Taken first: of all that it passed, the ledger was written before.
        checkpoint = self._tracker.checkpoint
        self.check_owner()
        self._retry.call(self._ledger.commit)
        self._retry.call(lambda: self._durable.state.save(checkpoint))
        self._on_commit(monotonic() - began)
