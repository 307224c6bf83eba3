"""What other processes own on S3, and whether it may be taken from them.

A lease may be taken when it was given back, when its owner has ended on this very machine, or when
it did not change for 40 s (`lease`) by the clock of whoever waits. So machines need no common
clock, only clocks that run equally fast.

What is owned in a session may be taken once the session is over, which is for good: its process
gave it back, has ended on this machine, or was silent for that long, and then whoever waits has
ended it by a write under the condition that it is still the same. So a process that comes back
after a pause finds its session ended, and owns nothing any more. A session that is missing counts
as silent: who swept it, or removed it by hand, may have been ahead of its process, which finds that
at its next renewal. All that is owned in one session is waited for by one watch.
"""

import threading
from collections.abc import Callable

from s3path import S3Path

from jumpcloud_modules.state import processes
from jumpcloud_modules.state.lease_object import LeaseObject
from jumpcloud_modules.state.lease_record import (
    ENDED_BY_ANOTHER,
    GIVEN_BACK,
    entry_in,
    is_given_back,
    session_path,
)
from jumpcloud_modules.state.lease_terms import Terms, Watch
from jumpcloud_modules.state.objects import Stored

_MISSING = ""


class Rivals:
    """Judge what is others'. Each of its methods raises StateUnavailable."""

    def __init__(self, clock: Callable[[], float], terms: Terms) -> None:
        self._clock = clock
        self._terms = terms
        self._sessions: dict[S3Path, _WatchedSession] = {}
        self._lock = threading.Lock()

    def may_take(self, folder: S3Path, found: Stored, watch: Watch) -> bool:
        """Tell whether a state may be taken from whom `owner.lease` names; `watch` is of that."""
        if is_given_back(found):
            return True
        entry = entry_in(found)
        if entry.session is not None:
            return self.is_over(folder, entry.session)
        return processes.has_ended(entry.record.name) or (
            watch.unchanged_seconds(found.etag) >= self._terms.lease.total_seconds()
        )

    def is_over(self, folder: S3Path, session: str) -> bool:
        """Tell whether the session that owns a folder is over; end one that is silent too long."""
        path = session_path(folder.parent, session)
        with self._lock:
            watched = self._sessions.get(path)
            if watched is None:
                watched = _WatchedSession(path, self._clock, self._terms)
                self._sessions[path] = watched
        return watched.is_over()


class _WatchedSession:
    """Look at one session, however many states are waited for, and end it once it may be ended."""

    def __init__(self, path: S3Path, clock: Callable[[], float], terms: Terms) -> None:
        self._object = LeaseObject(path)
        self._clock = clock
        self._terms = terms
        self._watch = Watch(clock)
        self._looked_at = float("-inf")
        self._is_over = False
        self._turn = threading.Lock()

    def is_over(self) -> bool:
        """Tell whether it is over, by a look that is at most `look_every` old."""
        # One thread looks; the others need not wait for what they will see at their next look.
        if not self._is_over and self._turn.acquire(blocking=False):
            try:
                if self._clock() - self._looked_at >= self._terms.look_every.total_seconds():
                    self._is_over = self._look()
                    self._looked_at = self._clock()
            finally:
                self._turn.release()
        return self._is_over

    def _look(self) -> bool:
        found = self._object.read()
        unchanged_seconds = self._watch.unchanged_seconds(found.etag if found else _MISSING)
        is_silent = unchanged_seconds >= self._terms.lease.total_seconds()
        if found is None:
            return is_silent
        if is_given_back(found):
            return True
        if found.content == ENDED_BY_ANOTHER:
            # Where a storage ignores conditions, its owner may be writing it in this instant.
            return unchanged_seconds >= self._terms.settle.total_seconds()
        if processes.has_ended(entry_in(found).record.name):
            self._object.write(GIVEN_BACK, found.etag)
            return True
        if is_silent and (etag := self._object.write(ENDED_BY_ANOTHER, found.etag)):
            self._watch.unchanged_seconds(etag)
        return False
