"""How large pages may be: how many events to ask for at once.

A page has about the same number of bytes, whatever the events are like.
"""

import threading

PAGE_BYTES = 7 << 19
"""The size that the number of events asked for aims at."""
FIRST_GUESS_EVENT_BYTES = 32 << 10
"""The size of an event that the first page is asked for by."""
MIN_ROWS_UNDER_BURDEN = 100
_FORGETTING = 0.5


class PageSize:
    """Learn the size of events and turn it into a number of rows, shared by all readers."""

    def __init__(self, max_rows: int, page_bytes: int = PAGE_BYTES) -> None:
        self._max_rows = max_rows
        self._page_bytes = page_bytes
        self._event_bytes = float(FIRST_GUESS_EVENT_BYTES)
        self.known = False
        self._ceiling = max_rows
        self._lock = threading.Lock()

    def rows(self) -> int:
        """Return how many events to ask for now."""
        fitting = int(self._page_bytes / self._event_bytes)
        return max(1, min(self._max_rows, self._ceiling, fitting))

    def suits(self, rows: int) -> bool:
        """Tell whether a page of so many rows is still about the right size."""
        fitting = self.rows()
        return fitting / 2 < rows < fitting * 2

    def learn(self, count: int, size_bytes: int) -> None:
        """Take note of a page that arrived: growth counts at once, shrinking by halves."""
        if not count:
            return
        with self._lock:
            seen = size_bytes / count
            kept = self._event_bytes * _FORGETTING + seen * (1 - _FORGETTING)
            # A page that is too large has to be asked for again; one that is too small costs
            # little.
            self._event_bytes = max(seen, kept) if self.known else seen
            self.known = True
            self._ceiling = min(self._max_rows, self._ceiling * 2)

    def shrink_to_fit(self, rows: int) -> None:
        """Halve after a page of so many rows was too large."""
        with self._lock:
            self._event_bytes = max(self._event_bytes, 2 * self._page_bytes / max(rows, 1))
            self._ceiling = max(1, rows // 2)

    def relieve(self, rows: int) -> None:
        """Halve after a page of so many rows failed under its burden, but not endlessly."""
        with self._lock:
            self._ceiling = max(min(MIN_ROWS_UNDER_BURDEN, self._max_rows), rows // 2)
