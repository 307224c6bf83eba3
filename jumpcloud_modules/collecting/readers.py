"""Windows read side by side, in threads beside the polls.

Knows nothing of what reading a window means.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable
from time import monotonic

from jumpcloud_modules.checkpoint import Window
from jumpcloud_modules.collecting.concurrency import MAX_READERS
from jumpcloud_modules.errors import Stopped


class Beside:
    """Run one task at a time in a thread beside the poll, which does not wait for it.

    What it raises, except Stopped, is kept for `check`. Without a thread, `do` runs it at once.
    """

    def __init__(self, *, has_thread: bool) -> None:
        self._has_thread = has_thread
        self._thread: threading.Thread | None = None
        self._failure: deque[BaseException] = deque(maxlen=1)

    def do(self, what: Callable[[], None]) -> None:
        """Begin, unless what was begun before is still being done."""
        if not self._has_thread:
            what()
        elif self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(
                target=self._run, args=(what,), name="audit", daemon=True
            )
            self._thread.start()

    def check(self) -> None:
        """Raise what it failed with, once."""
        if self._failure:
            raise self._failure.pop()

    def join(self, timeout_seconds: float) -> None:
        """Wait for what was begun to end."""
        if self._thread is not None:
            self._thread.join(timeout_seconds)

    def _run(self, what: Callable[[], None]) -> None:
        try:
            what()
        except Stopped:
            return
        except Exception as error:  # noqa: BLE001 -- kept for `check`
            self._failure.append(error)


class Readers:
    """Read windows in background threads, the latest window first.

    `read` reads one window to its end; what it raises, except Stopped, is kept for `check`.
    """

    def __init__(self, read: Callable[[Window], None], max_threads: int = MAX_READERS) -> None:
        self._read = read
        self._max_threads = max_threads
        self._lock = threading.Lock()
        self._waiting: deque[Window] = deque()
        self._threads: list[threading.Thread] = []
        self._failure: deque[BaseException] = deque(maxlen=1)

    def offer(self, windows: Iterable[Window]) -> None:
        """Have windows read soon."""
        with self._lock:
            self._waiting.extend(windows)
            self._waiting = deque(sorted(self._waiting, key=lambda window: window.start_ms))
        self._start_threads()

    def check(self) -> None:
        """Raise what a reader failed with, once, and see to it that windows that wait are read."""
        self._start_threads()
        if self._failure:
            # Without a name for it: its traceback leads to this frame, and a name here would lead
            # back, so that nothing the reader held would go.
            raise self._failure.pop()

    def join(self, timeout_seconds: float) -> None:
        """Wait for the readers to end after the stop event was set."""
        deadline = monotonic() + timeout_seconds
        for thread in list(self._threads):
            thread.join(max(0.0, deadline - monotonic()))

    def _start_threads(self) -> None:
        with self._lock:
            self._threads = [thread for thread in self._threads if thread.is_alive()]
            for _ in range(min(len(self._waiting), self._max_threads - len(self._threads))):
                thread = threading.Thread(target=self._run, name="reader", daemon=True)
                thread.start()
                self._threads.append(thread)

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    # Under the lock: `offer` would count on a thread that is about to end.
                    self._threads.remove(threading.current_thread())
                    return
                window = self._waiting.pop()
            try:
                self._read(window)
            except Stopped:
                return
            except Exception as error:  # noqa: BLE001 -- kept for `check`
                with self._lock:
                    self._failure.append(error)
                    # The last in the row, so that a window that keeps failing does not hold up the
                    # others.
                    self._waiting.appendleft(window)
                    self._threads.remove(threading.current_thread())
                return
