"""Windows read side by side."""

import threading

import pytest

from jumpcloud_modules.checkpoint import Window
from jumpcloud_modules.collecting.readers import Readers
from jumpcloud_modules.errors import Stopped
from sandbox import wait_until

_WINDOWS = [Window(number, number + 1) for number in range(10)]


class _Reading:
    """Read windows by noting them, when the gate is open."""

    def __init__(self) -> None:
        self.began: list[Window] = []
        self.ended: list[Window] = []
        self.gate = threading.Semaphore(0)
        self.errors: list[BaseException] = []

    def __call__(self, window: Window) -> None:
        self.began.append(window)
        self.gate.acquire(timeout=30)
        if self.errors:
            raise self.errors.pop()
        self.ended.append(window)

    def open(self, count: int) -> None:
        for _ in range(count):
            self.gate.release()


def test_every_window_is_read_once() -> None:
    """By as many readers as there are at most."""
    reading = _Reading()
    readers = Readers(reading, max_at_once=3)

    readers.offer(_WINDOWS[:5])
    readers.offer(_WINDOWS[5:])
    assert wait_until(lambda: len(reading.began) == 3)
    at_once = len(reading.began)
    reading.open(10)
    readers.join(20)

    assert at_once == 3
    assert sorted(reading.ended, key=lambda w: w.start_ms) == _WINDOWS
    readers.check()


def test_the_latest_window_is_read_first() -> None:
    """Recent events are worth most to a security team."""
    reading = _Reading()
    reading.open(10)
    readers = Readers(reading, max_at_once=1)

    readers.offer([_WINDOWS[3], _WINDOWS[9], _WINDOWS[1]])
    readers.join(20)

    assert reading.ended == [_WINDOWS[9], _WINDOWS[3], _WINDOWS[1]]


def test_a_failure_is_raised_once_and_its_window_is_read_again() -> None:
    """An unexpected error costs time, not events."""
    reading = _Reading()
    reading.errors.append(ValueError("unexpected"))
    reading.open(2)
    readers = Readers(reading, max_at_once=1)
    readers.offer(_WINDOWS[:1])
    readers.join(20)

    with pytest.raises(ValueError, match="unexpected"):
        readers.check()
    assert wait_until(lambda: reading.ended == _WINDOWS[:1])
    readers.check()


def test_a_window_for_which_there_was_no_thread_is_read_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The machine may have had too many of them."""
    reading = _Reading()
    reading.open(1)
    readers = Readers(reading, max_at_once=1)

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError):
            readers.offer(_WINDOWS[:1])
    readers.check()
    readers.join(20)

    assert reading.ended == _WINDOWS[:1]


def test_a_stop_ends_a_reader_without_a_failure() -> None:
    """What it was reading stays open in the state."""
    reading = _Reading()
    reading.errors.append(Stopped())
    reading.open(1)
    readers = Readers(reading, max_at_once=1)

    readers.offer(_WINDOWS[:2])
    readers.join(20)

    readers.check()
    assert reading.began == [_WINDOWS[1]]


def test_joining_waits_for_all_readers_though_some_end_meanwhile() -> None:
    """Each may be about to commit."""
    reading = _Reading()
    readers = Readers(reading, max_at_once=4)
    readers.offer(_WINDOWS[:4])
    assert wait_until(lambda: len(reading.began) == 4)
    opener = threading.Timer(0.1, reading.open, [4])

    opener.start()
    readers.join(20)

    assert len(reading.ended) == 4


def test_joining_gives_up_in_time() -> None:
    """A reader that hangs is left behind."""
    reading = _Reading()
    readers = Readers(reading, max_at_once=1)
    readers.offer(_WINDOWS[:1])

    readers.join(0.05)

    assert reading.ended == []
    reading.open(1)
