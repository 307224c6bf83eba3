"""Windows read side by side, beside the polls.

This limits how many are read at once in threads; `concurrency` limits how many of them may read
just now. Knows nothing of what reading a window means.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from jumpcloud_modules.checkpoint import Window
from jumpcloud_modules.collecting.concurrency import MAX_READERS
from jumpcloud_modules.errors import Stopped, TryLater

Task = Callable[[], None]
Spawn = Callable[[Task, float], None]
"""Have a task done beside the caller, after so many seconds at the earliest."""


def threads_named(name: str) -> Spawn:
    """Return what does each task in a thread of its own."""

    def spawn(task: Task, after_seconds: float) -> None:
        thread: threading.Thread = threading.Timer(after_seconds, task)
        if not after_seconds:
            thread = threading.Thread(target=task)
        thread.name, thread.daemon = name, True
        thread.start()

    return spawn


FOR_WINDOWS: Final = threads_named("reader")
FOR_COUNTS: Final = threads_named("audit")


class Beside:
    """Have one task at a time done beside the poll, which does not wait for it.

    What it raises is kept for `check`, unless it may be tried again later or was stopped. Without
    `spawn`, `do` runs it at once.
    """

    def __init__(self, spawn: Spawn | None) -> None:
        self._spawn = spawn
        self._is_under_way = threading.Lock()
        self._failure: deque[BaseException] = deque(maxlen=1)

    def do(self, what: Task) -> None:
        """Begin, unless what was begun before is still being done."""
        if self._spawn is None:
            what()
        elif self._is_under_way.acquire(blocking=False):
            self._spawn(lambda: self._run(what), 0.0)

    def check(self) -> None:
        """Raise what it failed with, once."""
        if self._failure:
            raise self._failure.pop()

    @property
    def is_at_work(self) -> bool:
        """Tell whether what was begun has not ended yet."""
        return self._is_under_way.locked()

    def _run(self, what: Task) -> None:
        try:
            what()
        except (Stopped, TryLater):
            return
        except Exception as error:  # noqa: BLE001 -- kept for `check`
            self._failure.append(error)
        finally:
            self._is_under_way.release()


class Readers:
    """Read windows beside the polls, the latest window first.

    `read` reads one window to its end; what it raises is kept for `check`, unless it may be tried
    again later or was stopped. `spawn` has each window read, at most `max_at_once` of them.
    """

    def __init__(
        self,
        read: Callable[[Window], None],
        max_at_once: int = MAX_READERS,
        spawn: Spawn = FOR_WINDOWS,
    ) -> None:
        self._read = read
        self._max_at_once = max_at_once
        self._spawn = spawn
        self._changed = threading.Condition()
        self._waiting: deque[Window] = deque()
        self._reading = 0
        self._is_put_off = self._is_stopped = False
        self._failure: deque[BaseException] = deque(maxlen=1)

    def offer(self, windows: Iterable[Window]) -> None:
        """Have windows read soon."""
        with self._changed:
            self._waiting.extend(windows)
            self._waiting = deque(sorted(self._waiting, key=lambda window: window.start_ms))
        self._begin()

    def check(self) -> None:
        """Raise what a reader failed with, once, and see to it that windows that wait are read."""
        self._begin()
        if self._failure:
            # Without a name for it: its traceback leads to this frame, and a name here would lead
            # back, so that nothing the reader held would go.
            raise self._failure.pop()

    @property
    def is_at_work(self) -> bool:
        """Tell whether a window is being read, or about to be."""
        return self._reading > 0

    def join(self, timeout_seconds: float) -> None:
        """Wait for the readers to end after the stop event was set."""
        with self._changed:
            self._changed.wait_for(lambda: not self._reading, max(0.0, timeout_seconds))

    def _begin(self) -> None:
        """Have as many windows read as there are, and as are read at once."""
        with self._changed:
            may_begin = not (self._is_put_off or self._is_stopped)
            room = self._max_at_once - self._reading if may_begin else 0
            beginning = max(0, min(len(self._waiting), room))
        for _ in range(beginning):
            self._begin_one()

    def _begin_one(self) -> None:
        with self._changed:
            self._reading += 1
        try:
            self._spawn(self._run, 0.0)
        except BaseException:
            self._end_one()
            raise

    def _end_one(self) -> None:
        with self._changed:
            self._reading -= 1
            self._changed.notify_all()

    def _run(self) -> None:
        """Read the latest window that waits, and have the next one read."""
        with self._changed:
            window = self._waiting.pop() if self._waiting else None
        if window is None:
            self._end_one()
        elif self._read_or_give_back(window):
            self._end_one()
            self._begin()

    def _read_or_give_back(self, window: Window) -> bool:
        """Read a window, and return whether that worked; else it waits again, unless stopped."""
        try:
            self._read(window)
        except Stopped:
            self._is_stopped = True
            self._end_one()
        except TryLater as later:
            self._give_back(window)
            self._put_off(later.seconds)
        except Exception as error:  # noqa: BLE001 -- kept for `check`
            self._failure.append(error)
            self._give_back(window)
        else:
            return True
        return False

    def _give_back(self, window: Window) -> None:
        """Read a window later: after those that wait, so that they go on while it fails."""
        with self._changed:
            self._waiting.appendleft(window)
        self._end_one()

    def _put_off(self, seconds: float) -> None:
        """Begin no other window for some seconds: all are read from the same end."""
        with self._changed:
            if self._is_put_off:
                return
            self._is_put_off = True
        self._spawn(self._go_on, seconds)

    def _go_on(self) -> None:
        self._is_put_off = False
        self._begin()
