"""A lease that this process has: an object that it writes anew every few seconds.

It relies on the lease for 30 s (`lease` less `margin`) after it sent the last renewal that
succeeded; beyond that, `check` renews first, or raises. Another process that replaced the object in
the meantime has ended it, for good. Knows nothing of how a lease is taken from others, nor of what
is owned by it.
"""

import contextlib
import threading
from collections.abc import Callable

from s3path import S3Path

from jumpcloud_modules.errors import OwnershipLost, StateUnavailable
from jumpcloud_modules.state import forks
from jumpcloud_modules.state.lease_object import LeaseObject
from jumpcloud_modules.state.lease_record import GIVEN_BACK, entry_in
from jumpcloud_modules.state.lease_terms import Terms
from jumpcloud_modules.state.objects import Stored
from jumpcloud_modules.state.owners import Record, this_process, to_json

TRIES = 3
SECONDS_TO_WAIT_FOR_A_RENEWAL = 5.0
SECONDS_TO_GIVE_BACK = 1.0


class Renewal:
    """Write a lease, rely on it and give it back; what is `owned` by it stands in messages.

    A lease that somebody removes is written again if `is_restored`, and otherwise lost.
    """

    def __init__(
        self,
        path: S3Path,
        owned: S3Path,
        token: str,
        now_ms: Callable[[], int],
        clock: Callable[[], float],
        terms: Terms,
        *,
        is_restored: bool,
    ) -> None:
        self.token = token
        self.is_held = False
        self._object = LeaseObject(path)
        self._owned = owned
        self._now_ms = now_ms
        self._clock = clock
        self._terms = terms
        self._is_restored = is_restored
        self._record = Record()
        self._writes = 0
        self._etag: str | None = None
        self._wrote_at = self._renewed_at = float("-inf")
        self._turn = threading.Lock()
        self._ended = threading.Event()
        forks.let_go_in_children(self)

    @property
    def path(self) -> S3Path:
        """Where it is."""
        return self._object.path

    @property
    def is_conditional(self) -> bool:
        """Tell whether the storage is known to heed conditions, once that was tried."""
        return self._object.is_conditional

    # Taking it

    def read(self) -> Stored | None:
        """Return what stands there. Raises StateUnavailable."""
        return self._object.read()

    def claim(self, etag: str | None) -> bool:
        """Write it where the object has this ETag, or where there is none; tell whether it was.

        Finds out, too, whether the storage heeds conditions. Raises StateUnavailable.
        """
        self._record = this_process(self._now_ms())
        # Before the request: it may be written at any moment since, and others count from when
        # they see it.
        self._wrote_at = self._clock()
        content = self._content()
        self._etag = self._object.write(content, etag)
        if self._etag is None:
            return False
        # Some storages that speak S3 accept conditions and ignore them, so this has to be tried.
        self._object.try_conditions(content)
        return True

    def is_still_ours(self) -> bool:
        """Look whether what was claimed is still there. Raises StateUnavailable."""
        found = self._object.read()
        self._etag = found.etag if found and entry_in(found).token == self.token else None
        return self._etag is not None

    def rely_on_it(self) -> None:
        """Rely on what was claimed, and renew it beside whatever else is done."""
        self._renewed_at = self._wrote_at
        self.is_held = True
        start_thread("lease", self._keep)

    # Keeping it

    def check(self) -> None:
        """Raise unless the lease may be relied on, which asks the storage only in doubt.

        Raises OwnershipLost, and StateUnavailable as long as nobody can tell.
        """
        if not self.is_held:
            raise lost(self._owned)
        if self.is_fresh():
            return
        self._renew_in_turn()
        if not self.is_fresh():
            raise StateUnavailable(
                f"Renewing {self._object.path} takes longer than the lease may be trusted."
                " Collecting waits until it is faster: check the object storage."
            )

    def is_fresh(self) -> bool:
        """Tell whether it was renewed so lately that nobody else can have taken it."""
        return self._clock() - self._renewed_at < self._terms.trusted_seconds

    def wait_for_end(self, seconds: float) -> bool:
        """Wait, and tell whether it has ended by then."""
        return self._ended.wait(seconds)

    def let_go_in_child(self) -> None:
        """Own nothing in a child: none of its threads renews the lease."""
        self._stop_relying_on_it()

    def _keep(self) -> None:
        """Renew the lease until it has ended."""
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
            if not self.is_held:
                raise lost(self._owned)
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
        if found is None and self._is_restored:
            return None
        if found is None or entry_in(found).token != self.token:
            self._stop_relying_on_it()
            raise lost(self._owned)
        return found.etag

    def _content(self) -> bytes:
        """Return the lease's content, different each time, so that each write has its own ETag."""
        self._writes += 1
        return to_json(self._record, token=self.token, writes=self._writes)

    def _stop_relying_on_it(self) -> None:
        self.is_held = False
        self._ended.set()

    # Giving it back

    def end(self) -> None:
        """Let others have it, at once or, if the storage hangs, soon."""
        if not self.is_held:
            return
        self._stop_relying_on_it()
        # In a thread, since a storage that hangs must not keep the process from ending: then the
        # lease lapses by itself.
        start_thread("lease's end", self._mark_free).join(SECONDS_TO_GIVE_BACK)

    def _mark_free(self) -> None:
        """Mark the lease free if it is still ours; if that fails, it lapses by itself."""
        # In turn: a renewal that is under way would overwrite it and claim the lease again.
        with contextlib.suppress(StateUnavailable, OwnershipLost), self._turn:
            if self._object.write(GIVEN_BACK, self._etag) is None:
                etag = self._etag_while_ours()
                if etag is not None:
                    self._object.write(GIVEN_BACK, etag)


def start_thread(name: str, work: Callable[[], None]) -> threading.Thread:
    """Do some work beside all else, which does not keep the process from ending."""
    thread = threading.Thread(target=work, name=name, daemon=True)
    thread.start()
    return thread


def lost(owned: S3Path) -> OwnershipLost:
    """Return the error of whoever owned the state there, or never did."""
    return OwnershipLost(
        f"This process does not own the state in {owned}: its lease was given back, or another"
        " process took it over while this one could not renew it. The state is loaded again by"
        " itself."
    )
