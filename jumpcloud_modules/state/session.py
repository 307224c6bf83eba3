"""A session: the one lease by which a process owns many states on S3.

Each state's record names it, with the token of the state's owner in this process. Records are
marked free here; that they are written, and looked at, is the owners' business in `s3_sessions`.
"""

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from s3path import S3Path

from jumpcloud_modules.errors import StateUnavailable
from jumpcloud_modules.state.lease_object import LeaseObject
from jumpcloud_modules.state.lease_record import GIVEN_BACK, entry_in, new_token, session_path
from jumpcloud_modules.state.lease_terms import Terms
from jumpcloud_modules.state.renewal import Renewal, start_thread


@dataclass(frozen=True, slots=True)
class _Return:
    """Say which record is to be marked free; before `until` it may still be on its way there."""

    record: LeaseObject
    token: str
    until: float


class Session:
    """One span of time in which a process owns states, by the tokens of their owners."""

    def __init__(
        self, root: S3Path, now_ms: Callable[[], int], clock: Callable[[], float], terms: Terms
    ) -> None:
        self.token = new_token()
        self.path = session_path(root, self.token)
        self._clock, self._terms = clock, terms
        # Nobody else writes a new one here, so a session that was removed is over.
        self._lease = Renewal(self.path, root, self.token, now_ms, clock, terms, is_restored=False)
        self._used: set[str | None] = set()
        self._returns: dict[str | None, _Return] = {}
        self._lock = threading.Lock()

    def begin(self) -> None:
        """Write it, and renew it from now on. Raises StateUnavailable."""
        if not self._lease.claim(None):
            raise StateUnavailable(
                f"The lease {self.path} changed while it was begun. Collecting waits until another"
                " one stays the same: check who else writes there."
            )
        self._lease.rely_on_it()

    @property
    def is_held(self) -> bool:
        """Tell whether it is neither lost nor given back, as far as is known."""
        return self._lease.is_held

    @property
    def is_conditional(self) -> bool:
        """Tell whether the storage heeds conditions."""
        return self._lease.is_conditional

    def check(self) -> None:
        """Raise OwnershipLost once it is over, StateUnavailable in doubt."""
        self._lease.check()

    def is_fresh(self) -> bool:
        """Tell whether it may be relied on without asking the storage."""
        return self._lease.is_held and self._lease.is_fresh()

    def end(self) -> None:
        """Let others have all that is owned in it."""
        self._lease.end()

    def use(self, token: str) -> None:
        """Take note of who may own a state in it, before the record says so."""
        with self._lock:
            self._used.add(token)

    def is_used(self, token: str | None) -> bool:
        """Tell whether this is an owner's token whose record was not given back yet."""
        return token in self._used

    def is_returning(self, token: str | None) -> bool:
        """Tell whether the record of this token is about to be given back."""
        return token in self._returns

    # A record that stayed would keep its state from all others until the session ends. So one that
    # cannot be given back is tried again until then, in a thread that renews nothing.

    def give_back(self, record: LeaseObject, token: str, on_its_way_seconds: float) -> None:
        """Mark a record free soon, which may be written until so many seconds have passed."""
        with self._lock:
            is_first = not self._returns
            self._returns[token] = _Return(record, token, self._clock() + on_its_way_seconds)
        if is_first:
            start_thread("records' end", self._return_all)

    def _return_all(self) -> None:
        while self.return_once() and not self._lease.wait_for_end(
            self._terms.look_every.total_seconds()
        ):
            pass

    def return_once(self) -> bool:
        """Try to mark each record free that is waiting for it; tell whether any is left."""
        for waiting in list(self._returns.values()):
            if not self._lease.is_held:
                return False  # all records that name it are free
            with suppress(StateUnavailable):
                if self._is_free(waiting):
                    with self._lock:
                        self._returns.pop(waiting.token, None)
                        self._used.discard(waiting.token)
        return bool(self._returns)

    def _is_free(self, waiting: _Return) -> bool:
        found = waiting.record.read()
        if found is not None and entry_in(found).token == waiting.token:
            return waiting.record.write(GIVEN_BACK, found.etag) is not None
        return self._clock() >= waiting.until
