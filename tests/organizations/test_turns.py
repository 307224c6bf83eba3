"""The readers of all organizations' backlogs take turns."""

import threading

import pytest

from jumpcloud_modules.collecting.readers import FOR_COUNTS, Task
from jumpcloud_modules.organizations.turns import Turns
from sandbox import wait_until


def test_organizations_take_turns_however_much_one_of_them_has() -> None:
    """One with a long backlog does not make the others wait for its end."""
    done: list[str] = []
    began, gate = threading.Event(), threading.Event()
    turns = Turns(FOR_COUNTS, threads=1)
    large, small = turns.of(lambda: False), turns.of(lambda: False)

    def first() -> None:
        began.set()
        gate.wait(60)

    large(first, 0.0)
    assert began.wait(20)
    for _ in range(4):
        large(lambda: done.append("large"), 0.0)
    small(lambda: done.append("small"), 0.0)
    small(lambda: done.append("small"), 0.0)
    gate.set()

    assert wait_until(lambda: len(done) == 6)
    assert done[:4] == ["large", "small", "large", "small"]


def test_suspects_get_only_some_of_the_threads() -> None:
    """However many organizations hang."""
    gate, hanging, done = threading.Event(), threading.Semaphore(0), threading.Event()
    turns = Turns(FOR_COUNTS, threads=3, of_suspects=1)

    def hang() -> None:
        hanging.release()
        gate.wait(60)

    for _ in range(4):
        turns.of(lambda: True)(hang, 0.0)
    assert hanging.acquire(timeout=20)
    turns.of(lambda: False)(done.set, 0.0)

    assert done.wait(20)
    assert not hanging.acquire(timeout=0.05)
    gate.set()
    assert wait_until(lambda: hanging.acquire(blocking=False))


def test_a_task_is_put_off_by_who_was_asked_to() -> None:
    """No thread waits for it."""
    later: list[tuple[Task, float]] = []
    done = threading.Event()
    turns = Turns(lambda task, seconds: later.append((task, seconds)))

    turns.of(lambda: False)(done.set, 12.0)
    assert [seconds for _, seconds in later] == [12.0]
    assert not done.is_set()
    later[0][0]()

    assert done.wait(20)


def test_a_task_that_ends_leaves_its_thread_to_the_next_one() -> None:
    """A suspect's, too."""
    done = threading.Event()
    turns = Turns(FOR_COUNTS, threads=1, of_suspects=1)

    turns.of(lambda: True)(lambda: None, 0.0)
    turns.of(lambda: True)(done.set, 0.0)

    assert done.wait(20)


def test_where_the_system_gives_no_thread_the_task_is_not_kept_and_no_place_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever gave the task is told, and may give it again."""
    done = threading.Event()
    turns = Turns(FOR_COUNTS, threads=1)
    spawn = turns.of(lambda: False)

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError):
            spawn(lambda: pytest.fail("it was given up"), 0.0)
    spawn(done.set, 0.0)

    assert done.wait(20)
