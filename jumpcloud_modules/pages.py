"""A window of time read as pages, the next one fetched while this one is worked on.

A chain of pages repeats one query with a moving cursor. Where a chain breaks, the next begins at
the position of the last page: what comes twice that way, the ledger knows.
"""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from dataclasses import replace
from typing import Protocol, TypeVar

from jumpcloud_modules.api import Cursor, Page, Query
from jumpcloud_modules.errors import PageTooLarge, Refused, Stopped, TryAgain
from jumpcloud_modules.progress import Window
from jumpcloud_modules.readers import MOST_READERS
from jumpcloud_modules.retry import Pace
from jumpcloud_modules.sizes import PageSize

TRIES_BEFORE_A_NEW_CHAIN = 2
PAGES_IN_FLIGHT_TO_LOOK_AHEAD = MOST_READERS
"""A page is asked for ahead of its turn only while fewer are in memory: memory stays flat."""
_STOP_CHECK_SECONDS = 0.2

Value = TypeVar("Value")


class Source(Protocol):
    """Give pages of events, as JumpCloudApi does."""

    def page(
        self, query: Query, now_ms: int, on_cursor: Callable[[Cursor | None], None] = ...
    ) -> Page:
        """Return one page, or raise TryAgain, Refused or PageTooLarge."""


class Pages:
    """Read windows as pages from one source."""

    def __init__(
        self,
        source: Source,
        size: PageSize,
        pace: Pace,
        stop: threading.Event,
        now_ms: Callable[[], int],
    ) -> None:
        self._source = source
        self._size = size
        self._pace = pace
        self._stop = stop
        self._now_ms = now_ms
        self._in_flight = 0
        self._counting = threading.Lock()

    def read(self, window: Window) -> Iterator[Page]:
        """Yield the window's pages in order, until nothing more is there.

        Waits failures out. Raises Stopped when asked to stop.
        """
        more = True
        while more and not window.is_over:
            rows = self._size.rows()
            try:
                for page in self._chain(window, rows):
                    yield page
                    more = page.more
                    window = window.from_(page.position_ms)
            except PageTooLarge:
                self._size.shrink_to_fit(rows)
            except (TryAgain, Refused) as error:
                if isinstance(error, TryAgain) and error.burdened:
                    self._size.relieve(rows)

    def _chain(self, window: Window, rows: int) -> Iterator[Page]:
        query = Query(window.start_ms, window.end_ms, rows)
        fetches = [self._fetch(query)]
        try:
            while fetches:
                page = self._next_page(query, fetches)
                yield page
                self._leave(fetches.pop(0))
                moved = (page.position_ms or 0) > window.start_ms
                if not page.more or (moved and not self._size.suits(rows)):
                    return
                if page.cursor and not fetches:
                    fetches.append(self._fetch(replace(query, cursor=page.cursor)))
        finally:
            for fetch in fetches:
                self._leave(fetch)

    def _next_page(self, query: Query, fetches: "list[_Fetch]") -> Page:
        """Wait for the first fetch's page, and have the second begin as early as it may."""
        cursor = self._wait(fetches[0].cursor)
        if cursor and self._may_look_ahead():
            fetches.append(self._fetch(replace(query, cursor=cursor)))
        page = self._wait(fetches[0].page)
        self._size.learn(len(page.events), page.size_bytes)
        if len(fetches) > 1 and page.cursor != cursor:  # a second try named another
            self._leave(fetches.pop())
        return page

    def _may_look_ahead(self) -> bool:
        return self._size.known and self._in_flight < PAGES_IN_FLIGHT_TO_LOOK_AHEAD

    def _leave(self, _: "_Fetch") -> None:
        with self._counting:
            self._in_flight -= 1

    def _fetch(self, query: Query) -> "_Fetch":
        fetch = _Fetch()
        with self._counting:
            self._in_flight += 1

        def attempt() -> Page:
            try:
                return self._source.page(query, self._now_ms(), fetch.tell_cursor)
            except PageTooLarge as error:
                if query.limit > 1:
                    raise
                raise TryAgain(str(error)) from None

        def run() -> None:
            try:
                fetch.tell_page(self._pace.call(attempt, TRIES_BEFORE_A_NEW_CHAIN))
            except BaseException as error:  # noqa: BLE001 -- the reader raises it
                fetch.fail(error)

        threading.Thread(target=run, name="page", daemon=True).start()
        return fetch

    def _wait(self, future: "Future[Value]") -> Value:
        while not self._stop.is_set():
            try:
                return future.result(_STOP_CHECK_SECONDS)
            except NotYet:
                continue
        raise Stopped("stopped while a page was on its way")


class _Fetch:
    """One page on its way: its cursor is known before its body."""

    def __init__(self) -> None:
        self.cursor: Future[Cursor | None] = Future()
        self.page: Future[Page] = Future()

    def tell_cursor(self, cursor: Cursor | None) -> None:
        if not self.cursor.done():
            self.cursor.set_result(cursor)

    def tell_page(self, page: Page) -> None:
        self.tell_cursor(page.cursor)
        self.page.set_result(page)

    def fail(self, error: BaseException) -> None:
        if not self.cursor.done():
            self.cursor.set_exception(error)
        self.page.set_exception(error)
