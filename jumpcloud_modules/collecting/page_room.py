"""Room for pages in memory: a page waits for it before its body is read.

Each tail has room for one; `connections` makes one more room, of the rest of
`queries.PAGES_IN_MEMORY`, for all that is read beside the tails, of however many organizations.
Knows neither where pages come from nor what becomes of them.
"""

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from jumpcloud_modules.errors import Stopped
from jumpcloud_modules.queries import Page

_STOP_CHECK_SECONDS = 0.2


class PageRoom:
    """Limit the pages in memory; other bodies wait in the network, where they cost no memory."""

    def __init__(self, pages: int, stop: threading.Event) -> None:
        self._free = threading.BoundedSemaphore(pages)
        self._stop = stop

    def lend(self, read: Callable[[], Page], passed: Callable[[Page], None]) -> "PageLoan":
        """Wait for room, read a page, and lend it; `passed` is called when it was processed.

        Raises Stopped while it waits, and whatever `read` raises, with the room given back.
        """
        while not self._free.acquire(timeout=_STOP_CHECK_SECONDS):
            if self._stop.is_set():
                raise Stopped("stopped while a page waited for room in memory")
        try:
            return PageLoan(read(), passed, self._free.release)
        except BaseException:
            self._free.release()
            raise


class PageLoan:
    """Hold a page in memory until the end of one `with` block.

    Do not keep `page` in a variable: a variable would keep the page in memory after its room was
    given to the next one. What is needed to ask for the next page stays readable.
    """

    def __init__(
        self, page: Page, passed: Callable[[Page], None], give_back: Callable[[], None]
    ) -> None:
        self._page: Page | None = page
        self._passed = passed
        self._give_back = give_back
        self.more = page.more
        self.cursor = page.cursor
        self.position_ms = page.position_ms

    @property
    def page(self) -> Page:
        """Return the page, within the block only."""
        if self._page is None:
            raise RuntimeError("the page was given back")
        return self._page

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:  # otherwise it was not worked on, and is to be read again
            self._passed(self.page)
        # In this order, or another reader's page would come while this one is still in memory.
        self._page = None
        self._give_back()
