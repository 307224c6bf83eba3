"""Windows read side by side by a few threads, fewer while JumpCloud asks for less.

Knows nothing of what reading a window means.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from time import monotonic

from jumpcloud_modules.errors import Stopped
from jumpcloud_modules.progress import Window

MOST_READERS = 8
SECONDS_TO_WIDEN = 60.0


class Lanes:
    """Let a few proceed at a time: one after a 429, then one more every minute."""

    def __init__(
        self,
        stop: threading.Event,
        most: int = MOST_READERS,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._stop = stop
        self._most = most
        self._clock = clock
        self._taken = 0
        self._narrowed_at: float | None = None
        self._changed = threading.Condition()

    def narrow(self) -> None:
        """Go down to one lane."""
        with self._changed:
            self._narrowed_at = self._clock()

    @property
    def width(self) -> int:
        """Return how many lanes are open now."""
        if self._narrowed_at is None:
            return self._most
        widened = int((self._clock() - self._narrowed_at) / SECONDS_TO_WIDEN)
        return min(self._most, 1 + widened)

    @contextmanager
    def one(self) -> Iterator[None]:
        """Hold a lane. Raises Stopped when asked to stop while waiting for it."""
        with self._changed:
            while self._taken >= self.width:
                if self._stop.is_set():
                    raise Stopped("stopped while waiting for a lane")
                self._changed.wait(0.25)
            self._taken += 1
        try:
            yield
        finally:
            with self._changed:
                self._taken -= 1
                self._changed.notify()


class Readers:
    """Read windows in background threads, the latest window first.

    `read` reads one window to its end; whatever it raises but Stopped is kept for `check`.
    """

    def __init__(self, read: Callable[[Window], None], most: int = MOST_READERS) -> None:
        self._read = read
        self._most = most
        self._lock = threading.Lock()
        self._waiting: deque[Window] = deque()
        self._threads: list[threading.Thread] = []
        self._failure: BaseException | None = None

    def offer(self, windows: Iterable[Window]) -> None:
        """Have windows read soon."""
        with self._lock:
            self._waiting.extend(windows)
            self._waiting = deque(sorted(self._waiting, key=lambda window: window.start_ms))
            self._threads = [thread for thread in self._threads if thread.is_alive()]
            for _ in range(min(len(self._waiting), self._most - len(self._threads))):
                thread = threading.Thread(target=self._run, name="reader", daemon=True)
                self._threads.append(thread)
                thread.start()

    def check(self) -> None:
        """Raise what a reader failed with, once; what it was reading is read again."""
        failure, self._failure = self._failure, None
        if failure is None:
            return
        self.offer(())
        try:
            raise failure
        finally:
            del failure  # its traceback leads to this frame: nothing the reader held would go

    def join(self, timeout_seconds: float) -> None:
        """Wait for the readers to end after the stop event was set."""
        deadline = monotonic() + timeout_seconds
        for thread in list(self._threads):
            thread.join(max(0.0, deadline - monotonic()))

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._threads.remove(threading.current_thread())
                    return
                window = self._waiting.pop()
            try:
                self._read(window)
            except Stopped:
                return
            except Exception as error:  # noqa: BLE001 -- kept for `check`
                with self._lock:
                    self._failure = error
                    self._waiting.appendleft(window)
                    self._threads.remove(threading.current_thread())
                return
