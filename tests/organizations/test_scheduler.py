"""Jobs that come again, in two lanes: who hangs or fails takes no place from the others."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from jumpcloud_modules.organizations.scheduler import SLOW_AFTER_SECONDS, Job, Scheduler
from sandbox import wait_until


@contextmanager
def scheduling(quick: int = 2, slow: int = 2) -> Iterator[Scheduler]:
    """Run a scheduler for the length of a block."""
    scheduler = Scheduler(quick, slow)
    thread = threading.Thread(target=scheduler.run, daemon=True)
    thread.start()
    try:
        yield scheduler
    finally:
        scheduler.stop()
        thread.join(20)
        assert not thread.is_alive()


class _Gate:
    """A job that waits at a gate."""

    def __init__(self, *, is_suspect: bool = False) -> None:
        self.began = threading.Semaphore(0)
        self.gate = threading.Event()
        self.runs = 0
        self.job = Job(self._run, is_suspect)

    def _run(self) -> float | None:
        self.runs += 1
        self.began.release()
        self.gate.wait(60)
        return None


def test_a_job_comes_again_when_it_says() -> None:
    """And never again once it says None."""
    times = iter([0.0, 0.01, None])
    runs: list[int] = []

    def run() -> float | None:
        runs.append(1)
        return next(times)

    job = Job(run)
    with scheduling() as scheduler:
        scheduler.add(job)
        assert wait_until(lambda: job.is_over)

    assert len(runs) == 3


def test_no_job_is_run_by_two_threads_at_once() -> None:
    """However often it is hurried: it runs once more afterwards."""
    held = _Gate()
    with scheduling() as scheduler:
        scheduler.add(held.job)
        assert held.began.acquire(timeout=20)
        for _ in range(5):
            scheduler.hurry(held.job)
        assert held.runs == 1
        held.gate.set()
        assert wait_until(lambda: held.job.is_over)

    assert held.runs == 1


def test_a_hurried_job_runs_at_once() -> None:
    """Though it would be due in an hour only."""
    runs: list[float] = []

    def run() -> float:
        runs.append(1)
        return 3_600.0

    job = Job(run)
    with scheduling() as scheduler:
        scheduler.add(job, 3_600.0)
        scheduler.hurry(job)
        assert wait_until(lambda: len(runs) == 1 and not job.is_running)
        scheduler.hurry(job)
        assert wait_until(lambda: len(runs) == 2)


def test_suspects_that_hang_leave_the_quick_lane_to_the_others() -> None:
    """All the places of the slow lane are theirs, and none of the quick one."""
    hanging = [_Gate(is_suspect=True) for _ in range(5)]
    with scheduling(quick=1, slow=2) as scheduler:
        for held in hanging:
            scheduler.add(held.job)
        assert wait_until(lambda: sum(held.runs for held in hanging) == 2)
        quick = [Job(lambda: None) for _ in range(50)]
        for job in quick:
            scheduler.add(job)
        assert wait_until(lambda: all(job.is_over for job in quick))
        assert sum(held.runs for held in hanging) == 2
        for held in hanging:
            held.gate.set()
        assert wait_until(lambda: all(held.job.is_over for held in hanging))


def test_a_job_that_turns_out_slow_moves_over() -> None:
    """It has held its place in the quick lane for no longer than a second."""
    held = _Gate()
    after = Job(lambda: None)
    with scheduling(quick=1, slow=1) as scheduler:
        scheduler.add(held.job)
        assert held.began.acquire(timeout=20)
        scheduler.add(after)
        assert wait_until(lambda: after.is_over, timeout_seconds=SLOW_AFTER_SECONDS + 20)
        assert not held.gate.is_set()
        held.gate.set()


def test_threads_that_are_no_longer_needed_end() -> None:
    """A wave of hanging ones leaves no threads behind but those of the quick lane."""
    before = {thread for thread in threading.enumerate() if thread.name == "worker"}
    hanging = [_Gate(is_suspect=True) for _ in range(20)]
    with scheduling(quick=2, slow=20) as scheduler:
        for held in hanging:
            scheduler.add(held.job)
        assert wait_until(lambda: sum(held.runs for held in hanging) == 20)
        for held in hanging:
            held.gate.set()
        assert wait_until(lambda: all(held.job.is_over for held in hanging))

        def workers() -> int:
            names = (t for t in threading.enumerate() if t.name == "worker" and t not in before)
            return len(list(names))

        assert wait_until(lambda: workers() <= 2)


def test_jobs_that_are_due_together_all_run() -> None:
    """A thousand of them, by two threads."""
    done = [Job(lambda: None) for _ in range(1_000)]
    with scheduling() as scheduler:
        for job in done:
            scheduler.add(job)
        assert wait_until(lambda: all(job.is_over for job in done))


def test_where_the_system_gives_no_more_threads_those_that_there_are_do_the_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A container may have a limit; the scheduler goes on, and nothing is left out."""
    held, start, refused = _Gate(), threading.Thread.start, threading.Event()

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "worker" and held.runs:
            refused.set()
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with scheduling(quick=2) as scheduler:
        scheduler.add(held.job)
        assert held.began.acquire(timeout=20)
        others = [Job(lambda: None) for _ in range(5)]
        for job in others:
            scheduler.add(job)
        assert refused.wait(20)
        held.gate.set()
        assert wait_until(lambda: all(job.is_over for job in others))


def test_a_thread_that_ends_with_a_mistake_is_not_counted_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What comes next has a new one."""
    monkeypatch.setattr(threading, "excepthook", lambda _: None)

    def fail() -> None:
        raise ValueError("a mistake")

    after = Job(lambda: None)
    with scheduling(quick=1, slow=1) as scheduler:
        scheduler.do(fail, is_suspect=False)
        assert wait_until(lambda: not any(t.name == "worker" for t in threading.enumerate()))
        scheduler.add(after)
        assert wait_until(lambda: after.is_over)
