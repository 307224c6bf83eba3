"""The process tests run side by side: each waits most of its time for back-off and polls.

A test here is a plain function whose only arguments are its parameters. The first one that is due
starts all that were selected, a few at a time; each then waits for its own end. Those marked
`lengthy` are started first. Those marked `alone` measure time and have the machine for themselves,
after the others.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait

import pytest

from tests import leaks

AT_ONCE = 8
"""More make a machine of two cores so slow that what a stop has seconds for is not done in time."""
MAX_SECONDS_TO_WAIT = 900
"""For a test's turn and its end: the first one waits for all that are lengthy."""
_ALONE, _LENGTHY = "alone", "lengthy"
_running: dict[str, Future[None]] = {}
_STARTED = pytest.StashKey[bool]()


def pytest_configure(config: pytest.Config) -> None:
    """Name the markers."""
    config.addinivalue_line("markers", f"{_ALONE}: measures time, so nothing runs beside it")
    config.addinivalue_line("markers", f"{_LENGTHY}: waits for long, so it is started first")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests that run alone last among those of this folder."""
    places = [number for number, item in enumerate(items) if _is_here(item)]
    here = sorted((items[place] for place in places), key=lambda item: _is(item, _ALONE))
    for place, item in zip(places, here, strict=True):
        items[place] = item
        item.add_marker(pytest.mark.timeout(MAX_SECONDS_TO_WAIT))


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Wait for a test that runs in the background; let the others be called as usual."""
    session = pyfuncitem.session
    if not _is_here(pyfuncitem) or session.config.getoption("usepdb"):
        return None
    if not session.stash.get(_STARTED, False):
        session.stash[_STARTED] = True
        _start(session)
    if _is(pyfuncitem, _ALONE):
        wait(_running.values())
        return None
    _running[pyfuncitem.nodeid].result()
    return True


def _start(session: pytest.Session) -> None:
    pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="process-test")
    for item in sorted(session.items, key=lambda item: not _is(item, _LENGTHY)):
        if isinstance(item, pytest.Function) and _is_here(item) and not _is(item, _ALONE):
            _running[item.nodeid] = pool.submit(_call(item))


def _call(item: pytest.Function) -> Callable[[], None]:
    parameters = item.callspec.params if hasattr(item, "callspec") else {}

    def call() -> None:
        with leaks.watching():
            item.obj(**parameters)

    return call


def _is_here(item: pytest.Item) -> bool:
    return "tests/process/" in item.nodeid


def _is(item: pytest.Item, marker: str) -> bool:
    return item.get_closest_marker(marker) is not None
