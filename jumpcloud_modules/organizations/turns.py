"""The readers of all organizations' backlogs: a few threads, which the organizations take in turns.

An organization whose ends fail or hang is a suspect: all suspects together get only some of the
threads. Knows nothing of what is read.
"""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from jumpcloud_modules.collecting.concurrency import MAX_READERS
from jumpcloud_modules.collecting.readers import Spawn, Task

READERS_OF_SUSPECTS: Final = 2


@dataclass(eq=False, slots=True)
class _Queue:
    """Hold one organization's tasks, in their order."""

    is_suspect: Callable[[], bool]
    tasks: deque[Task] = field(default_factory=deque)


class Turns:
    """Do tasks of many organizations in a few threads: of each in turn, one task at a time.

    `later` does something after some seconds.
    """

    def __init__(
        self,
        later: Spawn,
        threads: int = MAX_READERS,
        of_suspects: int = READERS_OF_SUSPECTS,
    ) -> None:
        self._later = later
        self._free = threads
        self._free_for_suspects = of_suspects
        self._lock = threading.Lock()
        self._waiting: deque[_Queue] = deque()

    def of(self, is_suspect: Callable[[], bool]) -> Spawn:
        """Return what takes one organization's tasks."""
        queue = _Queue(is_suspect)

        def spawn(task: Task, after_seconds: float) -> None:
            if after_seconds:
                self._later(lambda: self._add(queue, task), after_seconds)
            else:
                self._add(queue, task)

        return spawn

    def _add(self, queue: _Queue, task: Task) -> None:
        """Have a task done. Raises RuntimeError where the system gives no thread for it."""
        with self._lock:
            if self._free:
                threading.Thread(target=self._work, name="reader", daemon=True).start()
                self._free -= 1
            queue.tasks.append(task)
            if len(queue.tasks) == 1:
                self._waiting.append(queue)

    def _work(self) -> None:
        while True:
            with self._lock:
                taken = self._take()
                if taken is None:
                    self._free += 1
                    return
            task, is_suspect = taken
            try:
                task()
            finally:
                if is_suspect:
                    with self._lock:
                        self._free_for_suspects += 1

    def _take(self) -> tuple[Task, bool] | None:
        """Take a task of the organization whose turn it is, and put that last in the row."""
        for _ in range(len(self._waiting)):
            queue = self._waiting.popleft()
            is_suspect = queue.is_suspect()
            if is_suspect and not self._free_for_suspects:
                self._waiting.append(queue)
                continue
            task = queue.tasks.popleft()
            if queue.tasks:
                self._waiting.append(queue)
            self._free_for_suspects -= is_suspect
            return task, is_suspect
        return None
