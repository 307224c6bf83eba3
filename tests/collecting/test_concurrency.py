"""How many read at a time."""

import threading
from collections.abc import Callable

import pytest

from jumpcloud_modules.collecting.concurrency import (
    MAX_READERS,
    MIN_READERS,
    SECONDS_TO_ADD_A_SLOT,
    SECONDS_TO_WATCH,
    ConcurrencyLimit,
)
from jumpcloud_modules.errors import Stopped, TryLater
from sandbox import wait_until


class _Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_slots_go_down_to_one_after_a_429_and_up_again() -> None:
    """One more every minute, up to what there was."""
    clock = _Clock()
    concurrency = ConcurrencyLimit(
        threading.Event(), max_slots=3, clock=clock, processor_seconds=lambda: 0.0
    )
    with concurrency.slot() as slot:
        while concurrency.slots < 3:
            clock.now += SECONDS_TO_WATCH
            slot.keep()
    slots = [concurrency.slots]

    concurrency.lower()
    began = clock.now
    for minutes in (0, 0.9, 1, 2, 50):
        clock.now = began + minutes * SECONDS_TO_ADD_A_SLOT
        slots.append(concurrency.slots)

    assert slots == [3, 1, 1, 2, 3, 3]


def test_slots_are_as_many_as_find_the_processor_idle() -> None:
    """More would only wait for it, with a page in memory each."""
    clock, used = _Clock(), _Clock()
    concurrency = ConcurrencyLimit(threading.Event(), clock=clock, processor_seconds=used)

    def slots_after(share: float, steps: int = 20) -> int:
        with concurrency.slot() as slot:
            for _ in range(steps):
                clock.now += SECONDS_TO_WATCH
                used.now += share * SECONDS_TO_WATCH
                slot.keep()
        return concurrency.slots

    assert slots_after(0.4, steps=0) == MIN_READERS
    assert slots_after(0.2, steps=1) == 2 * MIN_READERS
    assert slots_after(0.2) == MAX_READERS
    assert slots_after(0.4) == MAX_READERS
    assert slots_after(0.9, steps=1) == MAX_READERS - 1
    assert slots_after(0.9) == MIN_READERS
    assert slots_after(0.4) == MIN_READERS


def test_a_pause_says_nothing_of_how_busy_readers_keep_the_processor() -> None:
    """A backlog after a quiet hour begins with as many as the last one ended with."""
    clock = _Clock()
    concurrency = ConcurrencyLimit(threading.Event(), clock=clock, processor_seconds=lambda: 0.0)
    clock.now += 3_600

    with concurrency.slot() as slot:
        slot.keep()

    assert concurrency.slots == MIN_READERS


def test_who_is_one_too_many_gives_its_slot_back() -> None:
    """One of several, and to whoever waits it is no slot."""
    concurrency = ConcurrencyLimit(threading.Event(), max_slots=3, processor_seconds=lambda: 0.0)
    with concurrency.slot() as first, concurrency.slot() as second:
        assert first.keep()
        concurrency.lower()

        kept = [first.keep(), second.keep(), first.keep(), second.keep()]

    assert kept == [False, True, False, True]
    with concurrency.slot() as last:
        assert last.keep()


def _hold(
    concurrency: ConcurrencyLimit, held: list[int], leave: threading.Event
) -> Callable[[], None]:
    def hold() -> None:
        try:
            with concurrency.slot():
                held.append(1)
                leave.wait(30)
        except Stopped:
            held.append(-1)

    return hold


def test_no_more_proceed_than_there_are_slots() -> None:
    """The others follow as slots become free."""
    concurrency, held, leave = (
        ConcurrencyLimit(threading.Event(), max_slots=2),
        list[int](),
        threading.Event(),
    )
    threads = [threading.Thread(target=_hold(concurrency, held, leave)) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert wait_until(lambda: len(held) == 2)

    threads[0].join(0.4)
    at_once = len(held)
    leave.set()
    for thread in threads:
        thread.join(20)

    assert at_once == 2
    assert held == [1, 1, 1, 1]


def test_waiting_for_a_slot_hears_the_stop_event() -> None:
    """Nobody is left waiting behind a page that hangs."""
    stop, held, leave = threading.Event(), list[int](), threading.Event()
    concurrency = ConcurrencyLimit(stop, max_slots=1)
    threads = [threading.Thread(target=_hold(concurrency, held, leave)) for _ in range(2)]
    for thread in threads:
        thread.start()
    assert wait_until(lambda: len(held) == 1)

    stop.set()

    assert wait_until(lambda: sorted(held) == [-1, 1])
    leave.set()
    for thread in threads:
        thread.join(20)


def test_who_shares_threads_does_not_wait_for_a_slot() -> None:
    """After a 429 there is one, and the thread is for another organization's credentials."""
    concurrency = ConcurrencyLimit(threading.Event(), waits=False)
    concurrency.lower()

    with concurrency.slot(), pytest.raises(TryLater), concurrency.slot():
        pass
    with concurrency.slot() as slot:
        assert slot.keep()
