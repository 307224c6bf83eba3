"""Ownership of a state on S3: a lease, an object that its owner writes anew every few seconds.

Who waits takes the lease over when it was given back, when its owner has ended on this very
machine, or when the waiter saw no change for 40 s (`lease`) by its own clock. The owner relies on
it for 30 s (`lease` less `margin`) after it sent the last renewal that succeeded; beyond that,
check() renews first, or raises. So machines need no common clock, only clocks that run equally
fast. They count the time asleep too.

What remains open: check() looks before a write or a delivery, not at its arrival. One that is on
the wire for longer than `margin` may arrive after the lease was taken over: an event delivered
twice, or a file of the state overwritten. The same holds for a process that is suspended between
check() and the write, and, within one `renew_every`, where a hypervisor halts the machine and its
clocks with it. Where the storage ignores conditions, two processes that write in the same instant
may both believe they own the lease, until one of them renews it. Nobody should remove the lease
while a connector runs.
"""

import contextlib
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from s3path import S3Path

from jumpcloud_modules.errors import OwnershipLost, StateUnavailable, Stopped
from jumpcloud_modules.state import forks, processes
from jumpcloud_modules.state.lease_object import LeaseObject, Stored
from jumpcloud_modules.state.owners import Record, Waiting, from_json, this_process, to_json

FILE_NAME = "owner.lease"
GIVEN_BACK = b"{}"
TRIES = 3
SECONDS_TO_WAIT_FOR_A_RENEWAL = 5.0
SECONDS_TO_GIVE_BACK = 1.0


@dataclass(frozen=True, slots=True)
class Terms:
    """Say how long a lease lasts, and how it is renewed and taken."""

    lease: timedelta = timedelta(seconds=40)
    """Another process may take it when it has not changed for as long."""
    renew_every: timedelta = timedelta(seconds=10)
    look_every: timedelta = timedelta(seconds=2)
    """How often a process that waits looks at it."""
    margin: timedelta = timedelta(seconds=10)
    """Its owner stops relying on it this much earlier."""
    settle: timedelta = timedelta(seconds=3)
    """How long a storage that ignores conditions is given to show who wrote last."""

    @property
    def trusted_seconds(self) -> float:
        """Return how long after a renewal its owner may rely on it."""
        return (self.lease - self.margin).total_seconds()


def since_boot() -> float:
    """Return seconds that pass while the machine sleeps, too: Linux's monotonic ones do not."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


class Watch:
    """Notice for how long an object has not changed."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._etag: str | None = None
        self._since = 0.0

    def unchanged_seconds(self, etag: str) -> float:
        """Take note of the ETag just read, and return how long it has been the same."""
        if etag != self._etag:
            self._etag, self._since = etag, self._clock()
        return self._clock() - self._since


class S3Lease:
    """Own the state under a path on S3, by a lease that lapses when it is not renewed."""

    def __init__(
        self,
        folder: S3Path,
        now_ms: Callable[[], int],
        clock: Callable[[], float] = since_boot,
        terms: Terms = Terms(),
    ) -> None:
        self._folder = folder
        self._object = LeaseObject(folder / FILE_NAME)
        self._now_ms = now_ms
        self._clock = clock
        self._terms = terms
        until = (
            "until that process gives it up, or has been silent for"
            f" {terms.lease.total_seconds():.0f} s because it was killed"
        )
        self._waiting = Waiting(folder, until, 0.0, clock)
        self._watch = Watch(clock)
        self._token = secrets.token_hex(16)
        self._writes = 0
        self._record = Record()
        self._etag: str | None = None
        self._renewed_at = float("-inf")
        self._wrote_at: float | None = None
        self._settles_at = 0.0
        self._was_held = self._is_held = False
        self._turn = threading.Lock()
        self._ended = threading.Event()
        forks.let_go_in_children(self)

    def acquire(self, stop: threading.Event, tell: Callable[[str], None]) -> None:
        """Return once this process owns the state; tell for whom it waits.

        Raises Stopped; OwnershipLost where it was owned before; and StateUnavailable, after which
        the caller calls again: the time waited is not lost.
        """
        while not self.try_acquire(tell):
            if stop.wait(self.look_every_seconds):
                raise Stopped("stopped while another process owned the state")

    @property
    def look_every_seconds(self) -> float:
        """Return how long to wait before the next look."""
        return self._terms.look_every.total_seconds()

    def try_acquire(self, tell: Callable[[str], None]) -> bool:
        """Take the lease if it may be taken, without waiting; tell who has it.

        Raises OwnershipLost and StateUnavailable as `acquire` does.
        """
        if self._was_held:
            self.check()
            return True
        if not (self._take(tell) if self._wrote_at is None else self._is_settled()):
            return False
        self._waiting.ends(tell)
        return True

    def check(self) -> None:
        """Raise unless this process owns the state, which asks the storage only in doubt.

        Raises OwnershipLost, and StateUnavailable as long as nobody can tell.
        """
        if not self._is_held:
            raise self._lost()
        if self._age() >= self._terms.trusted_seconds:
            self._renew_in_turn()
        if self._age() >= self._terms.trusted_seconds:
            raise StateUnavailable(
                f"Renewing {self._object.path} takes longer than the lease may be trusted."
                " Collecting waits until it is faster: check the object storage."
            )

    def release(self) -> None:
        """Let the next process have the state, at once or, if the storage hangs, soon."""
        if not self._is_held:
            return
        self._stop_relying_on_it()
        # In a thread, since a storage that hangs must not keep the process from ending: then the
        # lease lapses by itself.
        giving = threading.Thread(target=self._mark_free, name="lease's end", daemon=True)
        giving.start()
        giving.join(SECONDS_TO_GIVE_BACK)

    def let_go_in_child(self) -> None:
        """Own nothing in a child: none of its threads renews the lease."""
        self._stop_relying_on_it()

    # Taking it

    def _take(self, tell: Callable[[str], None]) -> bool:
        """Take the lease if it may be taken, and return whether it was."""
        found = self._object.read()
        if found is not None and not self._may_take(found):
            self._waiting.goes_on(_read(found)[0], tell)
            return False
        self._record = this_process(self._now_ms())
        # Before the request: it may be written at any moment since, and others count from when
        # they see it.
        began = self._clock()
        content = self._content()
        self._etag = self._object.write(content, found.etag if found else None)
        if self._etag is None:
            return False
        # Some storages that speak S3 accept conditions and ignore them, so this has to be tried.
        self._object.try_conditions(content)
        if not self._object.is_conditional:
            self._let_it_settle(began, tell)
            return False
        self._hold(began)
        return True

    def _may_take(self, found: Stored) -> bool:
        """Tell whether it is nobody's, or ours: a write may succeed without its answer coming."""
        record, token = _read(found)
        if found.content == GIVEN_BACK or token == self._token or processes.has_ended(record.name):
            return True
        lease_seconds = self._terms.lease.total_seconds()
        return self._watch.unchanged_seconds(found.etag) >= lease_seconds

    def _let_it_settle(self, began: float, tell: Callable[[str], None]) -> None:
        """Leave the lease alone until all who wrote in the same instant have done so.

        One content is left then, and only its writer finds its own token in it.
        """
        tell(
            f"The object storage ignores conditions on writing {self._object.path}, so two"
            " connectors that start in the same second may both collect for a while; start one"
            " at a time."
        )
        self._wrote_at, self._settles_at = began, self._clock() + self._terms.settle.total_seconds()

    def _is_settled(self) -> bool:
        """Tell whether what was written without conditions is still there, and rely on it then."""
        if self._wrote_at is None or self._clock() < self._settles_at:
            return False
        self._etag = self._etag_if_ours()
        wrote_at, self._wrote_at = self._wrote_at, None
        if self._etag is not None:
            self._hold(wrote_at)
        return self._is_held

    def _etag_if_ours(self) -> str | None:
        """Return the ETag of what stands there if this process wrote it, or else None."""
        found = self._object.read()
        return found.etag if found and _read(found)[1] == self._token else None

    def _hold(self, began: float) -> None:
        self._renewed_at = began
        self._was_held = self._is_held = True
        threading.Thread(target=self._keep, name="lease", daemon=True).start()

    def _content(self) -> bytes:
        """Return the lease's content, different each time, so that each write has its own ETag."""
        self._writes += 1
        return to_json(self._record, token=self._token, writes=self._writes)

    # Keeping it

    def _keep(self) -> None:
        """Renew the lease beside whatever else is done."""
        while not self._ended.wait(self._terms.renew_every.total_seconds()):
            # check() reports it, where it is in the way.
            with contextlib.suppress(StateUnavailable, OwnershipLost):
                self._renew_in_turn()

    def _renew_in_turn(self) -> None:
        # With a timeout, since the thread that has the turn may hang in a request.
        if not self._turn.acquire(timeout=SECONDS_TO_WAIT_FOR_A_RENEWAL):
            raise StateUnavailable(
                f"The object storage does not answer when {self._object.path} is renewed."
                " Collecting waits until it does: check the object storage."
            )
        try:
            self._renew()
        finally:
            self._turn.release()

    def _renew(self) -> None:
        for _ in range(TRIES):
            if not self._is_held:
                raise self._lost()
            began = self._clock()
            etag = self._object.write(self._content(), self._etag)
            if etag is not None:
                self._etag, self._renewed_at = etag, began
                return
            # Another ETag does not prove another owner: where the answer to a write was lost, the
            # write itself may have changed it.
            self._etag = self._etag_while_ours()
        raise StateUnavailable(
            f"The lease {self._object.path} changed {TRIES} times while it was renewed."
            " Collecting waits until it stays the same: check who else writes it."
        )

    def _etag_while_ours(self) -> str | None:
        """Find the ETag of a write whose answer was lost; None where the lease was removed."""
        found = self._object.read()
        if found is None:
            return None
        if _read(found)[1] != self._token:
            self._stop_relying_on_it()
            raise self._lost()
        return found.etag

    def _stop_relying_on_it(self) -> None:
        self._is_held = False
        self._ended.set()

    def _lost(self) -> OwnershipLost:
        return OwnershipLost(
            f"This process does not own the state in {self._folder}: its lease was given back, or"
            " another process took it over while this one could not renew it. The state is loaded"
            " again by itself."
        )

    def _age(self) -> float:
        return self._clock() - self._renewed_at

    # Giving it back

    def _mark_free(self) -> None:
        """Mark the lease free if it is still ours; if that fails, it lapses by itself."""
        # In turn: a renewal that is under way would overwrite it and claim the lease again.
        with contextlib.suppress(StateUnavailable, OwnershipLost), self._turn:
            if self._object.write(GIVEN_BACK, self._etag) is None:
                etag = self._etag_while_ours()
                if etag is not None:
                    self._object.write(GIVEN_BACK, etag)


def owner_on_s3(folder: S3Path, terms: Terms = Terms()) -> Record | None:
    """Return the owner, or None if the lease is free or has lapsed, by the storage's clock.

    Raises StateUnavailable.
    """
    found = LeaseObject(folder / FILE_NAME).read()
    if found is None or found.content == GIVEN_BACK or found.age >= terms.lease:
        return None
    return _read(found)[0]


def _read(found: Stored) -> tuple[Record, str | None]:
    record, document = from_json(found.content)
    token = document.get("token")
    return record, token if isinstance(token, str) else None
