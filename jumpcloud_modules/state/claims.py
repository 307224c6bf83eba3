"""Claims on events that are being delivered: other threads wait until it is known how that ended.

Shared by ledgers that may hold the same events. Knows keys only.
"""

import threading
from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager

from jumpcloud_modules.errors import Stopped
from jumpcloud_modules.events import Events

_STOP_CHECK_SECONDS = 0.2


class Claims:
    """Hold the keys of events that are being delivered, each by one caller at a time."""

    def __init__(self, stop: threading.Event | None = None) -> None:
        self._stop = stop or threading.Event()
        self._claimed: set[int] = set()
        self._released = threading.Condition()

    @contextmanager
    def taking(self, keys: Set[int], fresh: Callable[[], Events]) -> Iterator[Events]:
        """Claim what `fresh` returns of events with these keys until the end of the block.

        `fresh` is called once none of them is claimed. A thread that waits holds no claims of the
        same page, and one that delivers never waits here, so no two wait for each other. Raises
        Stopped when asked to stop while waiting, and whatever `fresh` raises, with nothing claimed.
        """
        self._take(keys)
        held = keys
        try:
            # All of them are held meanwhile, and the lock is not: the storage may have to be asked,
            # and what others delivered is to be released without waiting for it.
            mine = fresh()
            if len(mine) < len(held):
                kept = held & set(mine.keys)
                self._release(held - kept)
                held = kept
            yield mine
        finally:
            self._release(held)

    def _take(self, keys: Set[int]) -> None:
        with self._released:
            # A position that passed an event in flight would be committed: were the other's
            # delivery to fail, and the process to end, nobody would read the event again.
            while not self._claimed.isdisjoint(keys):
                if self._stop.is_set():
                    raise Stopped("stopped while another delivers the same events")
                self._released.wait(_STOP_CHECK_SECONDS)
            self._claimed.update(keys)

    def _release(self, keys: Set[int]) -> None:
        if not keys:
            return
        with self._released:
            self._claimed.difference_update(keys)
            self._released.notify_all()
