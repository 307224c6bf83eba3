"""Ownership of many states on S3 by one process: a session, which is all that it renews.

    owners = S3Sessions(root, …)
    owner = owners.of(root / "acme")   to be used like any owner
    owners.release()                   gives back whatever is still owned

A process has one session at a time: an object `.owners/<token>.lease` below the root, renewed and
relied on like the lease of a single state. `owner.lease` beside each state names the session; it is
written once, when the state is taken, and once more when it is given back. The process owns what
names its session, as long as it may rely on the session. When that is lost, all is lost with it,
and a new session begins with the next state that is taken. How another process takes what is owned
in a session is described in `rivals`.

What remains open is what `s3_lease` says of its lease. Besides, a session says nothing of a single
record, so its owner looks at that every ten minutes (`confirm_every`), before a write or a
delivery. Until then, two processes may own a state whose record somebody removed by hand while its
owner ran; or, for half a minute, one that both took in the same instant from a storage that ignores
conditions.

Sessions that are over are removed by those that begin, after an hour in which nobody wrote them.
"""

import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from s3path import S3Path

from jumpcloud_modules.errors import OwnershipLost, StateUnavailable, Stopped
from jumpcloud_modules.state.lease_object import LeaseObject, remove_unchanged
from jumpcloud_modules.state.lease_record import (
    FILE_NAME,
    SESSIONS,
    Entry,
    entry_in,
    new_token,
)
from jumpcloud_modules.state.lease_terms import USUAL, Terms, Watch, since_boot
from jumpcloud_modules.state.objects import Stored
from jumpcloud_modules.state.owners import Waiting, this_process, to_json, wait_for
from jumpcloud_modules.state.renewal import SECONDS_TO_GIVE_BACK, lost
from jumpcloud_modules.state.rivals import Rivals
from jumpcloud_modules.state.s3_lease import until_given_up, without_conditions
from jumpcloud_modules.state.session import Session

LOOKS_A_SECOND = 100
"""Looks at what others own, of one process in all: who waits for more states looks less often."""
RECORDS_A_SECOND = 20
"""Those of the looks that read the record, in case that one state was given back."""
SWEPT_AFTER = timedelta(hours=1)


class S3Sessions:
    """Own any of the states in the folders below a root, in one session after the other."""

    def __init__(
        self,
        root: S3Path,
        now_ms: Callable[[], int],
        clock: Callable[[], float] = since_boot,
        terms: Terms = USUAL,
    ) -> None:
        self.now_ms, self.clock, self.terms = now_ms, clock, terms
        self.rivals = Rivals(clock, terms)
        self.waiting: weakref.WeakSet[FolderOwner] = weakref.WeakSet()
        self._root = root
        self._own: dict[str, Session] = {}
        self._current: Session | None = None
        self._turn = threading.Lock()
        self._is_told = self._is_released = False

    def of(self, folder: Path) -> "FolderOwner":
        """Return what owns the state in a folder, which lies right below the root."""
        if not isinstance(folder, S3Path) or folder.parent != self._root:
            raise ValueError(f"{folder} is not right below {self._root}")
        return FolderOwner(folder, self)

    def release(self) -> None:
        """Give back what is still owned, all with one write; nothing is taken afterwards."""
        self._is_released = True
        # A thread that hangs in a request while it begins a session ends that by itself.
        if self._turn.acquire(timeout=SECONDS_TO_GIVE_BACK):
            session, self._current = self._current, None
            self._turn.release()
            if session is not None:
                session.end()

    # For the owners

    def current(self, tell: Callable[[str], None]) -> Session:
        """Return the session to take a state in, after the last one was lost a new one.

        Raises StateUnavailable, and Stopped once all was given back.
        """
        with self._turn:
            if not self._is_released and (self._current is None or not self._current.is_held):
                self._current = self._begun(tell)
            session = self._current
        if self._is_released or session is None:
            if session is not None:
                session.end()
            raise Stopped("stopped while a state was taken")
        return session

    def own(self, session: str | None) -> Session | None:
        """Return a session that is this process's, or was; None for another's."""
        return self._own.get(session) if session else None

    @property
    def look_every_seconds(self) -> float:
        """Return how long one owner waits between two looks."""
        return self._seconds_for_all(LOOKS_A_SECOND)

    @property
    def read_every_seconds(self) -> float:
        """Return for how long one owner believes what it read in a record."""
        return self._seconds_for_all(RECORDS_A_SECOND)

    def _seconds_for_all(self, in_a_second: int) -> float:
        return max(self.terms.look_every.total_seconds(), len(self.waiting) / in_a_second)

    def _begun(self, tell: Callable[[str], None]) -> Session:
        with suppress(StateUnavailable):  # they are in nobody's way
            remove_unchanged(self._root / SESSIONS, SWEPT_AFTER)
        session = Session(self._root, self.now_ms, self.clock, self.terms)
        session.begin()
        self._own[session.token] = session
        if not session.is_conditional and not self._is_told:
            self._is_told = True
            tell(without_conditions(session.path))
        return session


class FolderOwner:
    """Own the state in one folder, in a session of this process."""

    def __init__(self, folder: S3Path, sessions: S3Sessions) -> None:
        self._folder = folder
        self._sessions = sessions
        self._clock, self._terms = sessions.clock, sessions.terms
        self._token = new_token()
        self._record = LeaseObject(folder / FILE_NAME)
        self._watch = Watch(self._clock)
        self._waiting = Waiting(folder, until_given_up(self._terms), 0.0, self._clock)
        self._others: Entry | None = None
        self._read_at = self._confirmed_at = float("-inf")
        self._session: Session | None = None
        self._settles_at: float | None = None
        self._is_on_its_way = False
        self._is_held = self._has_ended = False
        self._confirming = threading.Lock()

    # As an owner

    def acquire(self, stop: threading.Event, tell: Callable[[str], None]) -> None:
        """Return once this process owns the state; tell for whom it waits.

        Raises Stopped; OwnershipLost where it was owned before; and StateUnavailable, after which
        the caller calls again: the time waited is not lost.
        """
        wait_for(self, stop, tell)

    @property
    def look_every_seconds(self) -> float:
        """Return how long to wait before the next look: longer, where many are waited for."""
        return self._sessions.look_every_seconds

    def try_acquire(self, tell: Callable[[str], None]) -> bool:
        """Take the state if it may be taken, without waiting; tell who has it.

        Raises OwnershipLost and StateUnavailable as `acquire` does, and Stopped.
        """
        if self._is_held or self._has_ended:
            self.check()
            return True
        is_taken = self._take(tell) if self._settles_at is None else self._is_settled()
        if not is_taken:
            self._sessions.waiting.add(self)
            return False
        self._sessions.waiting.discard(self)
        self._waiting.ends(tell)
        return True

    def check(self) -> None:
        """Raise unless this process owns the state, which asks the storage only now and then.

        Raises OwnershipLost, and StateUnavailable as long as nobody can tell.
        """
        session = self._session
        if session is None or not self._is_held:
            raise lost(self._folder)
        try:
            session.check()
        except OwnershipLost:
            self._lose()
            raise lost(self._folder) from None
        if self._clock() - self._confirmed_at >= self._confirm_every_seconds(session):
            self._confirm_in_turn(session)

    def release(self) -> None:
        """Let the next process have the state, soon and without waiting for the storage."""
        session, self._session = self._session, None
        self._lose()
        self._sessions.waiting.discard(self)
        if session is not None:
            seconds = self._terms.lease.total_seconds() if self._is_on_its_way else 0.0
            session.give_back(self._record, self._token, seconds)

    # Taking it

    def _take(self, tell: Callable[[str], None]) -> bool:
        if self._others is not None and self._is_surely(self._others):
            self._waiting.goes_on(self._others.record, tell)
            return False
        found = self._record.read()
        if found is not None and not self._may_take(found, tell):
            return False
        return self._claim(self._sessions.current(tell), found.etag if found else None)

    def _is_surely(self, others: Entry) -> bool:
        """Tell whether what was read of another owner still holds, without reading it again."""
        if self._clock() - self._read_at >= self._sessions.read_every_seconds:
            return False
        session = others.session
        return session is not None and not self._sessions.rivals.is_over(self._folder, session)

    def _may_take(self, found: Stored, tell: Callable[[str], None]) -> bool:
        """Tell whether it is nobody's, or ours: a write may succeed without its answer coming."""
        entry = entry_in(found)
        if entry.token == self._token:
            return True
        own = self._sessions.own(entry.session)
        if own is not None and own.is_held:
            if not own.is_returning(entry.token) and own.is_used(entry.token):
                self._waiting.goes_on(entry.record, tell)
            return not own.is_used(entry.token)
        if own is not None or self._sessions.rivals.may_take(self._folder, found, self._watch):
            self._others = None
            return True
        self._others, self._read_at = entry, self._clock()
        self._waiting.goes_on(entry.record, tell)
        return False

    def _claim(self, session: Session, etag: str | None) -> bool:
        """Have the record name us where it has this ETag, or where there is none."""
        self._session = session
        session.use(self._token)
        self._record.is_conditional = session.is_conditional
        self._is_on_its_way = True
        etag = self._record.write(self._content(session), etag)
        self._is_on_its_way = False
        if etag is None:
            return False
        if not session.is_conditional:
            self._settles_at = self._clock() + self._terms.settle.total_seconds()
            return False
        return self._hold(session)

    def _is_settled(self) -> bool:
        """Tell whether what was written without conditions is still there."""
        session = self._session
        if session is None or self._settles_at is None or self._clock() < self._settles_at:
            return False
        found = self._record.read()
        self._settles_at = None
        return found is not None and entry_in(found).token == self._token and self._hold(session)

    def _hold(self, session: Session) -> bool:
        # It may have been lost while the record was written: then the record says nothing.
        try:
            session.check()
        except OwnershipLost:
            return False
        self._is_held, self._confirmed_at = True, self._clock()
        return True

    def _content(self, session: Session) -> bytes:
        record = this_process(self._sessions.now_ms())
        return to_json(record, token=self._token, session=session.token)

    def _lose(self) -> None:
        self._is_held, self._has_ended = False, True

    # Keeping it

    def _confirm_every_seconds(self, session: Session) -> float:
        every = self._terms.confirm_every.total_seconds()
        return every if session.is_conditional else min(every, self._terms.trusted_seconds)

    def _confirm_in_turn(self, session: Session) -> None:
        if self._confirming.acquire(blocking=False):
            try:
                self._confirm(session)
            finally:
                self._confirming.release()

    def _confirm(self, session: Session) -> None:
        """Look whether the record still names us, and write it again where it was removed."""
        began = self._clock()
        found = self._record.read()
        if found is None and self._record.write(self._content(session), None) is None:
            found = self._record.read()
        if found is not None and entry_in(found).token != self._token:
            self._lose()
            raise lost(self._folder)
        self._confirmed_at = began
