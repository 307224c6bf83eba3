"""Ownership of a state on S3: a lease, an object that its owner writes anew every few seconds.

Who waits takes the lease over when it was given back, when its owner has ended on this very
machine, or when the waiter saw no change for 40 s (`lease`) by its own clock. The owner relies on
it for 30 s (`lease` less `margin`) after it sent the last renewal that succeeded; beyond that,
check() renews first, or raises. So machines need no common clock, only clocks that run equally
fast. They count the time asleep too. A folder that a process owns in a session, as one among many,
is waited for as `rivals` says.

What remains open: check() looks before a write or a delivery, not at its arrival. One that is on
the wire for longer than `margin` may arrive after the lease was taken over: an event delivered
twice, or a file of the state overwritten. The same holds for a process that is suspended between
check() and the write, and, within one `renew_every`, where a hypervisor halts the machine and its
clocks with it. Where the storage ignores conditions, two processes that write in the same instant
may both believe they own the lease, until one of them renews it. Nobody should remove the lease
while a connector runs.
"""

import threading
from collections.abc import Callable

from s3path import S3Path

from jumpcloud_modules.state.lease_object import LeaseObject
from jumpcloud_modules.state.lease_record import (
    ENDED_BY_ANOTHER,
    FILE_NAME,
    entry_in,
    is_given_back,
    new_token,
    session_path,
)
from jumpcloud_modules.state.lease_terms import USUAL, Terms, Watch, since_boot
from jumpcloud_modules.state.objects import Stored
from jumpcloud_modules.state.owners import Record, Waiting, wait_for
from jumpcloud_modules.state.renewal import Renewal
from jumpcloud_modules.state.rivals import Rivals


class S3Lease:
    """Own the state under a path on S3, by a lease that lapses when it is not renewed."""

    def __init__(
        self,
        folder: S3Path,
        now_ms: Callable[[], int],
        clock: Callable[[], float] = since_boot,
        terms: Terms = USUAL,
    ) -> None:
        self._folder = folder
        self._clock = clock
        self._terms = terms
        path, token = folder / FILE_NAME, new_token()
        self._lease = Renewal(path, folder, token, now_ms, clock, terms, is_restored=True)
        self._rivals = Rivals(clock, terms)
        self._watch = Watch(clock)
        self._waiting = Waiting(folder, until_given_up(terms), 0.0, clock)
        self._settles_at: float | None = None
        self._was_held = False

    def acquire(self, stop: threading.Event, tell: Callable[[str], None]) -> None:
        """Return once this process owns the state; tell for whom it waits.

        Raises Stopped; OwnershipLost where it was owned before; and StateUnavailable, after which
        the caller calls again: the time waited is not lost.
        """
        wait_for(self, stop, tell)

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
        if not (self._take(tell) if self._settles_at is None else self._is_settled()):
            return False
        self._was_held = True
        self._lease.rely_on_it()
        self._waiting.ends(tell)
        return True

    def check(self) -> None:
        """Raise unless this process owns the state, which asks the storage only in doubt.

        Raises OwnershipLost, and StateUnavailable as long as nobody can tell.
        """
        self._lease.check()

    def release(self) -> None:
        """Let the next process have the state, at once or, if the storage hangs, soon."""
        self._lease.end()

    def _take(self, tell: Callable[[str], None]) -> bool:
        """Take the lease if it may be taken, and return whether it was."""
        found = self._lease.read()
        if found is not None and not self._may_take(found):
            self._waiting.goes_on(entry_in(found).record, tell)
            return False
        if not self._lease.claim(found.etag if found else None):
            return False
        if not self._lease.is_conditional:
            tell(without_conditions(self._lease.path))
            # Until all who wrote in the same instant have done so: one content is left then, and
            # only its writer finds its own token in it.
            self._settles_at = self._clock() + self._terms.settle.total_seconds()
            return False
        return True

    def _may_take(self, found: Stored) -> bool:
        """Tell whether it is nobody's, or ours: a write may succeed without its answer coming."""
        if entry_in(found).token == self._lease.token:
            return True
        return self._rivals.may_take(self._folder, found, self._watch)

    def _is_settled(self) -> bool:
        """Tell whether what was written without conditions is still there."""
        if self._settles_at is None or self._clock() < self._settles_at:
            return False
        is_ours = self._lease.is_still_ours()
        self._settles_at = None
        return is_ours


def until_given_up(terms: Terms) -> str:
    """Say how a wait for a lease ends."""
    return (
        "until that process gives it up, or has been silent for"
        f" {terms.lease.total_seconds():.0f} s because it was killed"
    )


def without_conditions(path: S3Path) -> str:
    """Say what follows where a storage ignores conditions."""
    return (
        f"The object storage ignores conditions on writing {path}, so two connectors that start in"
        " the same second may both collect for a while; start one at a time."
    )


def owner_on_s3(folder: S3Path, terms: Terms = USUAL) -> Record | None:
    """Return the owner, or None if its lease is free or has lapsed, by the storage's clock.

    Raises StateUnavailable.
    """
    found = LeaseObject(folder / FILE_NAME).read()
    if found is None or is_given_back(found):
        return None
    entry = entry_in(found)
    # What is owned in a session is as good as the session.
    if entry.session is not None:
        found = LeaseObject(session_path(folder.parent, entry.session)).read()
    return entry.record if found is not None and _is_held(found, terms) else None


def _is_held(found: Stored, terms: Terms) -> bool:
    is_over = is_given_back(found) or found.content == ENDED_BY_ANOTHER
    return not is_over and found.age < terms.lease
