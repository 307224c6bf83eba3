"""A page in memory, and the room it takes, for one block."""

import gc
import threading

import pytest

from jumpcloud_modules.checkpoint import Window
from jumpcloud_modules.collecting.page_room import PageRoom
from jumpcloud_modules.collecting.window_position import WindowPosition
from jumpcloud_modules.errors import Stopped, TryAgain
from jumpcloud_modules.events import Events
from jumpcloud_modules.queries import Page
from tests.doubles import NOON_MS, Crash


def _page(position_ms: int | None = NOON_MS) -> Page:
    return Page(Events(), Events(), True, [1], position_ms, 1)


def _pages_alive() -> int:
    return sum(type(some) is Page for some in gc.get_objects())


def _ignore(_: Page) -> None:
    """Nobody keeps a position."""


@pytest.mark.parametrize("end", [None, ValueError, Stopped, Crash, GeneratorExit])
def test_the_room_is_free_after_the_block_however_that_ends(
    end: type[BaseException] | None,
) -> None:
    """Or the next page would wait for ever."""
    room = PageRoom(1, threading.Event())

    def work() -> None:
        with room.lend(_page, _ignore):
            if end:
                raise end

    for _ in range(3):
        if end is None:
            work()
        else:
            with pytest.raises(end):
                work()

    assert room.lend(_page, _ignore).page == _page()


def test_a_page_that_cannot_be_read_takes_no_room() -> None:
    """Reading it is tried again."""
    room = PageRoom(1, threading.Event())

    def failing() -> Page:
        raise TryAgain("broken off")

    for _ in range(3):
        with pytest.raises(TryAgain):
            room.lend(failing, _ignore)

    assert room.lend(_page, _ignore).more


def test_a_page_is_gone_before_its_room_is_free() -> None:
    """Another reader's would come on top of it."""
    alive: list[int] = []
    room = PageRoom(1, threading.Event())
    release, others = room._free.release, _pages_alive()

    def counting(n: int = 1) -> None:
        alive.append(_pages_alive() - others)
        release(n)

    room._free.release = counting  # type: ignore[method-assign]
    for _ in range(3):
        with room.lend(_page, _ignore) as loan:
            assert loan.page.size_bytes

    assert alive == [0, 0, 0]


def test_a_page_has_no_name_after_its_block() -> None:
    """What leads on from it stays."""
    room = PageRoom(1, threading.Event())

    with room.lend(_page, _ignore) as loan:
        pass

    with pytest.raises(RuntimeError):
        _ = loan.page
    assert (loan.more, loan.cursor, loan.position_ms) == (True, [1], NOON_MS)


def test_waiting_for_room_hears_the_stop_event() -> None:
    """However long another reader holds its page."""
    stop = threading.Event()
    room = PageRoom(1, stop)
    room.lend(_page, _ignore)
    threading.Timer(0.1, stop.set).start()

    with pytest.raises(Stopped):
        room.lend(_page, _ignore)


@pytest.mark.parametrize(
    ("position_ms", "left_from_ms"),
    [
        (NOON_MS + 5, NOON_MS + 5),
        (None, NOON_MS),
        (NOON_MS - 5, NOON_MS),
        (NOON_MS + 99, NOON_MS + 9),
    ],
)
def test_a_page_moves_the_reading_when_its_block_ends(
    position_ms: int | None, left_from_ms: int
) -> None:
    """Not before, never back, and not past the end of the window."""
    room = PageRoom(1, threading.Event())
    position = WindowPosition(Window(NOON_MS, NOON_MS + 9))

    with room.lend(lambda: _page(position_ms), position.passed):
        before = position.rest.start_ms

    assert before == NOON_MS
    assert position.rest.start_ms == left_from_ms


def test_a_page_that_was_not_worked_on_moves_nothing() -> None:
    """It is read again."""
    room = PageRoom(1, threading.Event())
    position = WindowPosition(Window(NOON_MS, NOON_MS + 9))

    def breaking_off() -> None:
        with room.lend(lambda: _page(NOON_MS + 5), position.passed):
            raise ValueError

    with pytest.raises(ValueError, match=r"^$"):
        breaking_off()

    assert position.rest == position.window
    assert not position.is_over
