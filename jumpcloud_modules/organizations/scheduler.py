"""When what is done, and by how many threads: jobs that come again, and tasks that are done once.

A job says after each run when it is due again. Jobs run in two lanes: the quick one is for those
that went well and fast the last time; a job that failed, or that took long, is a suspect and runs
in the slow one until it does better. One that turns out slow while it runs moves over, too. So
whoever hangs takes no place from the others. `member` adds the polls; what is done is not known
here.
"""

import heapq
import itertools
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import SimpleQueue
from time import monotonic
from typing import Final

from jumpcloud_modules.organizations.lateness import Lateness

QUICK_LANE: Final = 16
"""Jobs that run at a time while they run as they should."""
SLOW_LANE: Final = 128
"""Jobs that run at a time besides, because they hang or failed: threads that wait cost little."""
SLOW_AFTER_SECONDS: Final = 1.0
SECONDS_WITHOUT_A_THREAD: Final = 1.0
"""When to ask for a thread again that the system refused."""

Run = Callable[[], float | None]
"""Do a part of the work, and return after how many seconds to go on; None ends it."""


@dataclass(eq=False, slots=True)
class Job:
    """Something that is done again and again, by one thread at a time.

    `run` returns after how many seconds it is due again, None for never; it raises nothing.
    `is_suspect` says that it may take long.
    """

    run: Run
    is_suspect: bool = False
    is_over: bool = False
    due_at: float = 0.0
    is_running: bool = False
    is_hurried: bool = False


@dataclass(slots=True)
class _Running:
    """Hold a job that runs: since when, and in which lane."""

    job: Job
    since: float
    is_slow: bool


@dataclass(order=True, slots=True)
class _Due:
    """Hold an entry of the heap; it is void once the job's own `due_at` differs."""

    at: float
    number: int
    job: Job = field(compare=False)


class Scheduler:
    """Run jobs when they are due, until stopped; any thread may add some."""

    def __init__(
        self,
        quick: int = QUICK_LANE,
        slow: int = SLOW_LANE,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._kept_threads = quick
        self._free = {False: quick, True: slow}
        self._clock = clock
        self._changed = threading.Condition()
        self._due: list[_Due] = []
        self._numbers = itertools.count()
        self._ready: dict[bool, deque[Job]] = {False: deque(), True: deque()}
        self._running: dict[Job, _Running] = {}
        self._handed: SimpleQueue[Job | None] = SimpleQueue()
        self._threads = self._idle = 0
        self._is_stopped = False
        self.lateness = Lateness(clock)

    def add(self, job: Job, in_seconds: float = 0.0) -> None:
        """Run a job after some seconds, and then as often as it says."""
        with self._changed:
            self._put(job, self._clock() + in_seconds)
            self._changed.notify()

    def do(self, task: Callable[[], None], in_seconds: float = 0.0, *, is_suspect: bool) -> None:
        """Do something once, after some seconds."""

        def run() -> None:
            task()

        self.add(Job(run, is_suspect), in_seconds)

    def hurry(self, job: Job) -> None:
        """Run a job now, or once more where it runs just now."""
        with self._changed:
            if job.is_running:
                job.is_hurried = True
            elif not job.is_over:
                self._put(job, self._clock())
                self._changed.notify()

    def run(self) -> None:
        """Hand jobs to threads as they are due, until `stop`."""
        with self._changed:
            while not self._is_stopped:
                now = self._clock()
                self._collect_due(now)
                self._move_slow_ones(now)
                self._start_ready(now)
                self._changed.wait(self._seconds_to_wait(now))
            for _ in range(self._threads):
                self._handed.put(None)

    def stop(self) -> None:
        """Start nothing more; what runs goes on to its end."""
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()

    # With the lock held

    def _put(self, job: Job, at: float) -> None:
        job.due_at = at
        heapq.heappush(self._due, _Due(at, next(self._numbers), job))

    def _collect_due(self, now: float) -> None:
        while self._due and self._due[0].at <= now:
            due = heapq.heappop(self._due)
            if due.at == due.job.due_at and not due.job.is_over and not due.job.is_running:
                due.job.is_running = True
                self._ready[due.job.is_suspect].append(due.job)

    def _move_slow_ones(self, now: float) -> None:
        """Let jobs that take long leave the quick lane, as far as the slow one has room."""
        for running in self._running.values():
            if not self._free[True]:
                return
            if not running.is_slow and now - running.since >= SLOW_AFTER_SECONDS:
                running.is_slow = True
                self._free[True] -= 1
                self._free[False] += 1

    def _start_ready(self, now: float) -> None:
        for is_slow, ready in self._ready.items():
            while ready and self._free[is_slow] and self._has_thread():
                job = ready.popleft()
                self._free[is_slow] -= 1
                self._running[job] = _Running(job, now, is_slow)
                self.lateness.saw(now - job.due_at)
                self._idle -= 1
                self._handed.put(job)

    def _has_thread(self) -> bool:
        """Tell whether a thread waits for a job, or could be started; the system may refuse one."""
        if self._idle:
            return True
        try:
            threading.Thread(target=self._work, name="worker", daemon=True).start()
        except RuntimeError:
            return False
        self._threads += 1
        self._idle += 1
        return True

    def _seconds_to_wait(self, now: float) -> float | None:
        """Return when to look again; whoever ends or adds a job calls earlier."""
        instants = [self._due[0].at] if self._due else []
        if any(ready and self._free[is_slow] for is_slow, ready in self._ready.items()):
            instants.append(now + SECONDS_WITHOUT_A_THREAD)
        if self._free[True]:
            instants += [
                running.since + SLOW_AFTER_SECONDS
                for running in self._running.values()
                if not running.is_slow
            ]
        return max(0.0, min(instants) - now) if instants else None

    # In the threads

    def _work(self) -> None:
        is_kept = True
        while is_kept and (job := self._handed.get()) is not None:
            seconds, is_kept = None, False
            try:
                seconds = job.run()
                is_kept = True
            finally:  # a mistake ends the thread
                with self._changed:
                    self._ended(job, seconds)
                    # More than a few need not wait for another job.
                    is_kept = is_kept and self._idle < self._kept_threads
                    self._idle += is_kept
                    self._threads -= not is_kept

    def _ended(self, job: Job, seconds: float | None) -> None:
        running = self._running.pop(job)
        self._free[running.is_slow] += 1
        job.is_running = False
        if seconds is None:
            job.is_over = True
        else:
            self._put(job, self._clock() + (0.0 if job.is_hurried else seconds))
        job.is_hurried = False
        self._changed.notify_all()
