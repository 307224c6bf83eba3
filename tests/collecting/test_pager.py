"""A window read as pages, with the next one on its way."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jumpcloud_modules.checkpoint import Window
from jumpcloud_modules.collecting import protocols
from jumpcloud_modules.collecting.page_room import PageRoom
from jumpcloud_modules.collecting.page_size import PageSize
from jumpcloud_modules.collecting.pager import Pages, _Asked
from jumpcloud_modules.collecting.window_position import WindowPosition
from jumpcloud_modules.errors import PageTooLarge, Refused, Stopped, TryAgain
from jumpcloud_modules.events import Event, Events
from jumpcloud_modules.http.retry import Failure
from jumpcloud_modules.instants import HOUR_MS, MINUTE_MS
from jumpcloud_modules.queries import Cursor, Page, Query
from sandbox import Answers, Sandbox, faults, generate, make_event, wait_until
from sandbox.instants import now_ms
from tests.doubles import (
    NOON_MS,
    Waits,
    directory_insights,
    event_at,
    events_of,
    impatient_retry,
    texts_of,
)


class _Open:
    """A page whose headers are in."""

    def __init__(
        self, found: list[tuple[int, Event]], query: Query, error: Exception | None
    ) -> None:
        self._events = [event for _, event in found]
        self._more = len(found) == query.limit
        self._error = error
        self.cursor: Cursor | None = [found[-1][0]] if self._more else None
        self.closed = False

    def read(self, now_ms: int) -> Page:
        if self._error:
            raise self._error
        position_ms = self._events[-1].time_ms if self._events else None
        size_bytes = sum(len(event.raw) for event in self._events)
        return Page(
            events_of(*self._events), Events(), self._more, self.cursor, position_ms, size_bytes
        )

    def close(self) -> None:
        self.closed = True


class _Shelf:
    """Events in memory that answer queries; a script of errors comes first."""

    def __init__(self, events: list[Event], *errors: Exception | None) -> None:
        self.events = events
        self.errors = list(errors)
        self.queries: list[Query] = []
        self.opened: list[_Open] = []
        self.max_bytes = 1 << 30
        self.cursors = True
        self.now_ms = NOON_MS + 24 * HOUR_MS

    def open(self, query: Query) -> _Open:
        self.queries.append(query)
        error = self.errors.pop(0) if self.errors else None
        if error and not isinstance(error, PageTooLarge) and len(self.queries) % 2:
            raise error
        after = query.cursor[0] if query.cursor else -1
        found = [
            (place, event)
            for place, event in enumerate(self.events)
            if place > after and query.start_ms <= (event.time_ms or 0) < (query.end_ms or 1 << 50)
        ][: query.limit]
        if sum(len(event.raw) for _, event in found) > self.max_bytes:
            error = PageTooLarge("too large")
        opened = _Open(found, query, error)
        if not self.cursors:
            opened.cursor = None
        self.opened.append(opened)
        return opened


def _pages(
    shelf: _Shelf, size: PageSize, failures: list[Failure] | None = None, stop: Waits | None = None
) -> Pages:
    stop = stop or Waits()
    retry = impatient_retry(stop, failures.append if failures is not None else lambda _: None)
    return Pages(shelf, size, retry, stop, lambda: shelf.now_ms, PageRoom(2, stop))


def _all(
    pages: Pages, position: WindowPosition, go_on: Callable[[], bool] = lambda: True
) -> list[Page]:
    found = []
    for loan in pages.read(position, go_on):
        with loan:
            found.append(loan.page)
    return found


def _events(count: int, spacing_ms: int = 1_000) -> list[Event]:
    return [event_at(NOON_MS + number * spacing_ms, str(number)) for number in range(count)]


def _distinct(pages: list[Page]) -> list[int]:
    return list(dict.fromkeys(event.key for page in pages for event in page.events))


_ERRORS = st.one_of(
    st.none(),
    st.just(TryAgain("busy")),
    st.just(TryAgain("burdened", burdened=True)),
    st.just(Refused("key")),
    st.just(PageTooLarge("large")),
)


@given(
    st.integers(0, 40),
    st.integers(1, 12),
    st.lists(_ERRORS, max_size=12),
    st.booleans(),
    st.sampled_from([1, 700]),
)
def test_every_event_of_a_window_is_read_in_order_whatever_fails(
    count: int, rows: int, errors: list[Exception | None], cursors: bool, spacing_ms: int
) -> None:
    """What comes twice where a chain broke, the ledger knows; nothing is left out."""
    events = _events(count, spacing_ms)
    shelf = _Shelf(events, *errors)
    shelf.cursors = cursors or rows == 1
    window = Window(NOON_MS, NOON_MS + HOUR_MS)

    pages = _all(_pages(shelf, PageSize(rows)), WindowPosition(window))

    assert _distinct(pages) == [event.key for event in events]
    assert all(query.limit <= rows for query in shelf.queries)


@given(st.integers(0, 40), st.integers(1, 12), st.lists(st.booleans()), st.sampled_from([1, 700]))
def test_reading_that_pauses_leaves_nothing_out(
    count: int, rows: int, goes_on: list[bool], spacing_ms: int
) -> None:
    """It is taken up again at the position of the last page."""
    events = _events(count, spacing_ms)
    shelf = _Shelf(events)
    pages = _pages(shelf, PageSize(rows))
    position, found = WindowPosition(Window(NOON_MS, NOON_MS + HOUR_MS)), list[Page]()

    while not position.is_over:
        found += _all(pages, position, lambda: goes_on.pop() if goes_on else True)

    assert _distinct(found) == [event.key for event in events]


def test_reading_that_pauses_asks_for_no_page_in_vain() -> None:
    """Whoever gives way after this page does not ask for the next."""
    shelf = _Shelf(_events(50))
    pages = _pages(shelf, PageSize(10))
    window = Window(NOON_MS, NOON_MS + HOUR_MS)

    found = _all(pages, WindowPosition(window), lambda: len(shelf.queries) < 3)

    assert len(found) == len(shelf.queries) == 3


def test_without_failures_no_event_is_read_twice() -> None:
    """One query and its cursor lead through the whole window."""
    events = _events(95)
    shelf = _Shelf(events)

    pages = _all(_pages(shelf, PageSize(10)), WindowPosition(Window(NOON_MS, NOON_MS + HOUR_MS)))

    assert [event.key for page in pages for event in page.events] == [e.key for e in events]
    assert {(query.start_ms, query.end_ms) for query in shelf.queries} == {
        (NOON_MS, NOON_MS + HOUR_MS)
    }
    assert len(shelf.queries) == 10


def test_an_exact_multiple_of_the_page_ends_with_an_empty_one() -> None:
    """Cleanly."""
    shelf = _Shelf(_events(20))

    pages = _all(_pages(shelf, PageSize(10)), WindowPosition(Window(NOON_MS)))

    assert [len(page.events) for page in pages] == [10, 10, 0]


def test_a_window_with_nothing_left_is_not_asked_for() -> None:
    """JumpCloud may refuse a span that ends where it starts."""
    shelf = _Shelf(_events(3))

    pages = _all(_pages(shelf, PageSize(10)), WindowPosition(Window(NOON_MS, NOON_MS)))

    assert pages == []
    assert shelf.queries == []


def test_a_page_too_large_is_asked_for_in_halves() -> None:
    """Down to single events."""
    events = [event_at(NOON_MS + n, str(n), f',"x":"{"x" * 500}"') for n in range(20)]
    shelf = _Shelf(events)
    shelf.max_bytes = 1_200

    pages = _all(_pages(shelf, PageSize(16, page_bytes=1 << 20)), WindowPosition(Window(NOON_MS)))

    assert _distinct(pages) == [event.key for event in events]
    assert [query.limit for query in shelf.queries[:4]] == [16, 8, 4, 2]


def test_a_single_event_too_large_to_read_is_a_failure_that_is_told() -> None:
    """It cannot be asked for in halves; it holds its window, and the operator hears of it."""
    shelf, failures = _Shelf([event_at(NOON_MS, more=f',"x":"{"x" * 500}"')]), list[Failure]()
    shelf.max_bytes = 100
    stop = Waits(stop_after=5)

    with pytest.raises(Stopped):
        _all(_pages(shelf, PageSize(1), failures, stop), WindowPosition(Window(NOON_MS)))

    assert len(failures) >= 4
    assert all(str(failure.error) == "too large" for failure in failures)


def test_a_burden_shrinks_the_page_and_an_outage_does_not() -> None:
    """A smaller page does not help against a refused connection."""
    window = Window(NOON_MS)
    burdened, refused = (
        _Shelf(_events(5), *[TryAgain("x", burdened=burden)] * 4) for burden in (True, False)
    )

    for shelf in (burdened, refused):
        _all(_pages(shelf, PageSize(1_000, page_bytes=1 << 30)), WindowPosition(window))

    assert burdened.queries[-1].limit < 1_000
    assert refused.queries[-1].limit == 1_000


def test_after_every_failure_there_is_a_wait() -> None:
    """A new chain is no way around the waiting."""
    shelf, stop = _Shelf(_events(5), *[TryAgain("busy")] * 7), Waits()

    _all(_pages(shelf, PageSize(10), stop=stop), WindowPosition(Window(NOON_MS)))

    assert len(stop.seconds) == 7


def test_after_large_events_a_new_chain_asks_for_fewer() -> None:
    """The window goes on where it was."""
    small, large = (
        _events(60),
        [event_at(NOON_MS + 60_000 + n, f"l{n}", f',"x":"{"x" * 4_000}"') for n in range(60)],
    )
    shelf = _Shelf([*small, *large])

    pages = _all(_pages(shelf, PageSize(50, page_bytes=50_000)), WindowPosition(Window(NOON_MS)))

    assert _distinct(pages) == [event.key for event in shelf.events]
    assert max(page.size_bytes for page in pages[4:]) <= 100_000


def test_the_next_page_is_asked_for_while_this_one_is_worked_on() -> None:
    """As soon as its cursor is known."""
    shelf = _Shelf(_events(50))
    size = PageSize(10)
    size.learn(10, 10 * 60)
    pages, asked_ahead = _pages(shelf, size), list[bool]()

    for loan in pages.read(WindowPosition(Window(NOON_MS))):
        with loan:
            number = len(asked_ahead) + 2
            asked_ahead.append(wait_until(lambda n=number: len(shelf.queries) >= min(n, 6)))  # type: ignore[misc]

    assert asked_ahead == [True] * 6
    assert len(shelf.queries) == 6


def test_a_page_that_hangs_hears_the_stop_event() -> None:
    """Its thread is left behind."""
    stop, let_go = threading.Event(), threading.Event()

    class Hanging(_Shelf):
        def open(self, query: Query) -> _Open:
            let_go.wait(30)
            return super().open(query)

    shelf = Hanging(_events(3))
    pages = Pages(shelf, PageSize(10), impatient_retry(), stop, lambda: NOON_MS, PageRoom(2, stop))
    threading.Timer(0.1, stop.set).start()

    with pytest.raises(Stopped):
        _all(pages, WindowPosition(Window(NOON_MS)))

    let_go.set()
    assert wait_until(lambda: shelf.opened and shelf.opened[0].closed)


def test_a_page_whose_connection_broke_after_it_was_dropped_fails_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its thread ends without a stack in the log."""
    stop, let_go, fallen = threading.Event(), threading.Event(), list[object]()
    monkeypatch.setattr(threading, "excepthook", fallen.append)

    class Broken(_Open):
        def close(self) -> None:
            super().close()
            raise ConnectionResetError

    class Hanging(_Shelf):
        def open(self, query: Query) -> _Open:
            let_go.wait()
            self.opened.append(Broken([], query, None))
            return self.opened[0]

    shelf = Hanging([])
    pages = Pages(shelf, PageSize(10), impatient_retry(), stop, lambda: NOON_MS, PageRoom(2, stop))
    stop.set()
    with pytest.raises(Stopped):
        _all(pages, WindowPosition(Window(NOON_MS)))
    asking = [thread for thread in threading.enumerate() if thread.name == "page"]
    let_go.set()
    for thread in asking:
        thread.join(30)

    assert asking
    assert shelf.opened[0].closed
    assert fallen == []


def test_a_page_that_is_dropped_just_when_it_comes_is_closed_once() -> None:
    """Two threads that close one answer at a time find it half closed."""
    asked, closed = _Asked(Query(NOON_MS, None, 1)), list[str]()

    class Opened(_Open):
        def close(self) -> None:
            closed.append(threading.current_thread().name)

    class Told(Future[protocols.Opened]):
        def set_result(self, result: protocols.Opened) -> None:
            super().set_result(result)
            dropping.start()
            dropping.join(0.3)

    asked.opened = Told()
    dropping = threading.Thread(target=asked.drop, daemon=True)
    asked.tell(Opened([], asked.query, None))
    dropping.join(30)

    assert len(closed) == 1


def test_after_a_stop_no_page_is_handed_out() -> None:
    """Also where pages arrive faster than anybody looks."""
    stop = Waits()
    loans = _pages(_Shelf(_events(50)), PageSize(10), stop=stop).read(
        WindowPosition(Window(NOON_MS))
    )
    with next(loans):
        stop.set()

    with pytest.raises(Stopped):
        next(loans)


# Against the emulator


def _read(sandbox: Sandbox, window: Window, rows: int = 100) -> list[Page]:
    stop = Waits()
    api = directory_insights(sandbox)
    pages = Pages(api, PageSize(rows), impatient_retry(stop), stop, now_ms, PageRoom(2, stop))
    return _all(pages, WindowPosition(window))


def _yesterday() -> Window:
    start_ms = now_ms() // HOUR_MS * HOUR_MS - 24 * HOUR_MS
    return Window(start_ms, start_ms + 20 * HOUR_MS)


@pytest.mark.parametrize(
    "fault",
    [
        faults.Status(429),
        faults.Status(503, form="html"),
        faults.Status(401),
        faults.ResetBeforeHeaders(),
        faults.ResetMidBody(),
        faults.TruncatedBody(),
        faults.BrokenJson(),
        faults.ObjectInsteadOfArray(),
        faults.NullBody(),
        faults.HtmlPage(),
        faults.MissingHeaders(),
        faults.MissingHeaders(("X-Search_after",)),
        faults.MissingHeaders(("X-Limit",)),
        faults.MissingHeaders(("X-Result-Count",)),
        faults.WrongResultCount(),
        faults.StuckCursor(),
        faults.Descending(),
        faults.Descending("ASC"),
        faults.Redirect("http://127.0.0.1:9/"),
    ],
)
def test_a_fault_at_every_other_request_loses_no_event(fault: faults.Fault) -> None:
    """Each is retried; none ends the window early, loops, or changes the order."""
    window = _yesterday()
    assert window.end_ms
    events = generate(700, window.start_ms, window.end_ms, seed=7)
    with Sandbox(events) as sandbox:
        rule = sandbox.jumpcloud.faults.add(fault, probability=0.5)
        pages = _read(sandbox, window)
        fired = rule.fired

    texts = list(dict.fromkeys(text for page in pages for text in texts_of(page.events)))
    assert texts == [event.text for event in events]
    assert fired > 0


@pytest.mark.parametrize("equal", ["served", "refused"])
@pytest.mark.parametrize("inclusive", [True, False])
def test_an_event_at_the_very_end_of_a_window_does_not_hold_it(equal: str, inclusive: bool) -> None:
    """Whether or not JumpCloud counts the end in, and serves a span without a length."""
    window = _yesterday()
    assert window.end_ms
    events = [make_event(window.end_ms + n // 3 - 1) for n in range(9)]
    answers = Answers(end_time_inclusive=inclusive, equal_start_and_end=equal)  # type: ignore[arg-type]
    with Sandbox(events, answers=answers) as sandbox:
        sandbox.jumpcloud.faults.add(faults.MissingHeaders(("X-Search_after",)), times=1)
        pages = _read(sandbox, window, rows=4)
        refused = sandbox.jumpcloud.requests.statuses("events")[400]

    read = {text for page in pages for text in texts_of(page.events)}
    assert {event.text for event in events[:3]} <= read
    assert refused == 0


def test_positions_never_move_back_over_a_window() -> None:
    """Each may be written down as soon as its page is delivered."""
    window = _yesterday()
    assert window.end_ms
    events = generate(500, window.start_ms, window.end_ms, seed=3)
    with Sandbox(events) as sandbox:
        pages = _read(sandbox, window, rows=50)

    positions = [page.position_ms for page in pages if page.position_ms is not None]
    assert all(a <= b for a, b in pairwise(positions))
    assert positions[-1] >= window.end_ms - HOUR_MS - 60 * MINUTE_MS
