"""Windows of time read as pages, the next one fetched while this one is worked on.

A chain of pages repeats one query with a moving cursor. Where a page fails, a new chain begins at
the position of the last page; events that come twice that way are in the ledger already. Knows
nothing of what becomes of a page.
"""

import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from contextlib import suppress
from dataclasses import replace
from functools import partial

from jumpcloud_modules.collecting.page_room import PageLoan, PageRoom
from jumpcloud_modules.collecting.page_size import PageSize
from jumpcloud_modules.collecting.protocols import Opened, Source
from jumpcloud_modules.collecting.window_position import WindowPosition
from jumpcloud_modules.errors import (
    CollectorError,
    PageTooLarge,
    Refused,
    Stopped,
    TryAgain,
    TryLater,
)
from jumpcloud_modules.http.retry import Retry
from jumpcloud_modules.queries import Cursor, Page, Query

TRIES_BEFORE_A_NEW_CHAIN = 2
"""Tries of one page before paging begins anew without a cursor."""
_STOP_CHECK_SECONDS = 0.2


class Pages:
    """Read windows as pages from one source.

    Each page waits for `room` in memory, however many windows are read side by side. A failure for
    which `is_callers_to_handle` returns true is raised after two tries; any other is tried until it
    works.
    """

    def __init__(
        self,
        source: Source,
        size: PageSize,
        retry: Retry,
        stop: threading.Event,
        now_ms: Callable[[], int],
        room: PageRoom,
        is_callers_to_handle: Callable[[CollectorError], bool] = lambda _: False,
    ) -> None:
        self._source = source
        self._size = size
        self._retry = retry
        self._stop = stop
        self._now_ms = now_ms
        self._room = room
        self._is_callers_to_handle = is_callers_to_handle

    def read(
        self, position: WindowPosition, go_on: Callable[[], bool] = lambda: True
    ) -> Generator[PageLoan, None, None]:
        """Yield the pages of what is left of a window, in order, to its end or until not `go_on`.

        Process each page in a `with` block before taking the next one. `go_on` is called before
        each request; once it has returned false, it must go on doing so. Raises Stopped when asked
        to stop.
        """
        while not position.is_over and go_on():
            rows = self._size.rows()
            try:
                yield from self._chain(position, rows, go_on)
            except PageTooLarge:
                self._size.shrink_to_fit(rows)
            except (TryAgain, Refused) as error:
                self._learn_from(error, rows)
            except TryLater as later:
                # As many tries as that, each by a chain of its own, say what they say above.
                if later.error and later.in_a_row >= TRIES_BEFORE_A_NEW_CHAIN:
                    self._learn_from(later.error, rows)
                raise

    def _learn_from(self, error: TryAgain | Refused, rows: int) -> None:
        """Ask for less after a failure that this may mend; raise what the caller is to handle."""
        if self._is_callers_to_handle(error):
            raise error
        if isinstance(error, TryAgain) and error.burdened:
            self._size.relieve(rows)

    def _chain(
        self, position: WindowPosition, rows: int, go_on: Callable[[], bool]
    ) -> Iterator[PageLoan]:
        query = Query(position.rest.start_ms, position.rest.end_ms, rows)
        asked: _Asked | None = self._ask(query)
        try:
            while asked:
                opened, query = self._wait(asked.opened), asked.query
                going_on = go_on()
                # Asked for before this body is read, so that JumpCloud works on it meanwhile.
                asked = self._ask_ahead(query, opened.cursor) if going_on else None
                loan = self._room.lend(partial(self._read, opened, query), position.passed)
                yield loan
                # A chain whose page did not move is kept: a new one would begin at the same place.
                moved = (loan.position_ms or 0) > query.start_ms
                if not loan.more or (moved and not (going_on and self._size.suits(rows))):
                    return
                if loan.cursor != (asked and asked.query.cursor):
                    asked = self._ask_instead(asked, query, loan.cursor)
        finally:
            # A generator may be closed in the middle of a window; nobody else knows of this
            # request.
            if asked:
                asked.drop()

    def _ask(self, query: Query) -> "_Asked":
        asked = _Asked(query)

        def run() -> None:
            try:
                opened = self._retry.call(
                    lambda: self._source.open(query), TRIES_BEFORE_A_NEW_CHAIN
                )
            except BaseException as error:  # noqa: BLE001 -- the reader raises it
                asked.opened.set_exception(error)
            else:
                asked.tell(opened)

        # In a thread, since requests cannot send a request without waiting for its headers.
        threading.Thread(target=run, name="page", daemon=True).start()
        return asked

    def _ask_ahead(self, query: Query, cursor: Cursor | None) -> "_Asked | None":
        """Ask for the page after this one, unless its size is likely to be changed."""
        return self._ask(replace(query, cursor=cursor)) if cursor and self._size.known else None

    def _ask_instead(
        self, asked: "_Asked | None", query: Query, cursor: Cursor | None
    ) -> "_Asked | None":
        if asked:
            asked.drop()
        return self._ask(replace(query, cursor=cursor)) if cursor else None

    def _read(self, opened: Opened, query: Query) -> Page:
        """Read the body of a page; a further try asks for the page anew."""
        ready: list[Opened] = [opened]

        def attempt() -> Page:
            try:
                # A connection whose body broke off cannot go on, so only the first try has one.
                return (ready.pop() if ready else self._source.open(query)).read(self._now_ms())
            except PageTooLarge as error:
                if query.limit > 1:
                    raise
                raise _no_smaller(error) from None

        page = self._retry.call(attempt, TRIES_BEFORE_A_NEW_CHAIN)
        self._size.learn(len(page.events), page.size_bytes)
        return page

    def _wait(self, future: "Future[Opened]") -> Opened:
        while True:
            if self._stop.is_set():
                raise Stopped("stopped while a page was on its way")
            try:
                # With a timeout, since the stop event does not wake who waits for a future.
                return future.result(_STOP_CHECK_SECONDS)
            except NotYet:
                if future.done():  # meanwhile, or it is the error of the page itself
                    return future.result()


def _no_smaller(error: PageTooLarge) -> TryAgain:
    """Return the error for a single event that is too large: it cannot be asked for in halves."""
    return TryAgain(
        str(error),
        end=error.end,
        status=error.status,
        request=error.request,
        request_id=error.request_id,
    )


class _Asked:
    """A request for a page, whose headers arrive later; it can be dropped before that."""

    def __init__(self, query: Query) -> None:
        self.query = query
        self.opened: Future[Opened] = Future()
        self._lock = threading.Lock()
        self._is_dropped = False

    def tell(self, opened: Opened) -> None:
        with self._lock:  # so that one of the two closes the connection, and not both
            self.opened.set_result(opened)
            is_dropped = self._is_dropped
        if is_dropped:
            _hang_up(opened)

    def drop(self) -> None:
        with self._lock:
            self._is_dropped, is_told = True, self.opened.done()
        if is_told and not self.opened.exception():
            _hang_up(self.opened.result())


def _hang_up(opened: Opened) -> None:
    """Close what nobody wants any more; that the connection broke meanwhile is no failure."""
    with suppress(OSError):
        opened.close()
