"""A window of time read as pages, the next one fetched while this one is worked on.

A chain of pages repeats one query with a moving cursor. Where a chain breaks, the next begins at
the position of the last page: what comes twice that way, the ledger knows.
"""

import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from contextlib import contextmanager
from dataclasses import replace

from jumpcloud_modules.collecting.page_size import PageSize
from jumpcloud_modules.collecting.protocols import Opened, Source
from jumpcloud_modules.errors import PageTooLarge, Refused, Stopped, TryAgain
from jumpcloud_modules.http.retry import Pace
from jumpcloud_modules.progress import Window
from jumpcloud_modules.queries import Cursor, Page, Query

TRIES_BEFORE_A_NEW_CHAIN = 2
"""Tries of one page before paging begins anew without a cursor."""
_STOP_CHECK_SECONDS = 0.2


class Pages:
    """Read windows as pages from one source.

    At most `pages_in_memory` are held at once, however many windows are read side by side: other
    bodies wait on the wire.
    """

    def __init__(
        self,
        source: Source,
        size: PageSize,
        pace: Pace,
        stop: threading.Event,
        now_ms: Callable[[], int],
        pages_in_memory: int,
    ) -> None:
        self._source = source
        self._size = size
        self._pace = pace
        self._stop = stop
        self._now_ms = now_ms
        self._room = threading.BoundedSemaphore(pages_in_memory)

    def read(
        self, window: Window, go_on: Callable[[], bool] = lambda: True
    ) -> Generator[Page, None, None]:
        """Yield the window's pages in order, until nothing more is there or not to go on.

        `go_on` is asked before each request, and keeps to its no. Waits failures out. Raises
        Stopped when asked to stop.
        """
        more = True
        while more and not window.is_over and go_on():
            rows = self._size.rows()
            try:
                for page in self._chain(window, rows, go_on):
                    yield page
                    more = page.more
                    window = window.rest_from(page.position_ms)
                    del page  # while the next one is read, its events would stay in memory
            except PageTooLarge:
                self._size.shrink_to_fit(rows)
            except (TryAgain, Refused) as error:
                if isinstance(error, TryAgain) and error.burdened:
                    self._size.relieve(rows)

    def _chain(self, window: Window, rows: int, go_on: Callable[[], bool]) -> Iterator[Page]:
        query = Query(window.start_ms, window.end_ms, rows)
        asked: _Asked | None = self._ask(query)
        try:
            while asked:
                opened, query = self._wait(asked.opened), asked.query
                going_on = go_on()
                asked = self._ask_ahead(query, opened.cursor) if going_on else None
                with self._page_in_memory():
                    page = self._read(opened, query)
                    self._size.learn(len(page.events), page.size_bytes)
                    more, cursor = page.more, page.cursor
                    moved = (page.position_ms or 0) > window.start_ms
                    yield page
                    del page
                if not more or (moved and not (going_on and self._size.suits(rows))):
                    return
                if cursor != (asked and asked.query.cursor):
                    asked = self._ask_instead(asked, query, cursor)
        finally:
            if asked:
                asked.drop()

    def _ask(self, query: Query) -> "_Asked":
        asked = _Asked(query)

        def run() -> None:
            try:
                asked.tell(
                    self._pace.call(lambda: self._source.open(query), TRIES_BEFORE_A_NEW_CHAIN)
                )
            except BaseException as error:  # noqa: BLE001 -- the reader raises it
                asked.opened.set_exception(error)

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
                return (ready.pop() if ready else self._source.open(query)).read(self._now_ms())
            except PageTooLarge as error:
                if query.limit > 1:
                    raise
                raise TryAgain(str(error)) from None

        return self._pace.call(attempt, TRIES_BEFORE_A_NEW_CHAIN)

    def _wait(self, future: "Future[Opened]") -> Opened:
        while True:
            self._check_stop()
            try:
                return future.result(_STOP_CHECK_SECONDS)
            except NotYet:
                if future.done():  # meanwhile, or it is the error of the page itself
                    return future.result()

    @contextmanager
    def _page_in_memory(self) -> Iterator[None]:
        while not self._room.acquire(timeout=_STOP_CHECK_SECONDS):
            self._check_stop()
        try:
            yield
        finally:
            self._room.release()

    def _check_stop(self) -> None:
        if self._stop.is_set():
            raise Stopped("stopped while a page was on its way")


class _Asked:
    """One page that was asked for; its headers come later, unless it is dropped before."""

    def __init__(self, query: Query) -> None:
        self.query = query
        self.opened: Future[Opened] = Future()
        self._dropped = threading.Event()

    def tell(self, opened: Opened) -> None:
        self.opened.set_result(opened)
        if self._dropped.is_set():
            opened.close()

    def drop(self) -> None:
        self._dropped.set()
        if self.opened.done() and not self.opened.exception():
            self.opened.result().close()
