"""Memory for bodies, used again."""

import threading

import msgspec
import pytest

from jumpcloud_modules.http.buffers import MAX_KEPT_BYTES, MIN_KEPT_BYTES, Buffers

_cut = msgspec.json.Decoder(list[msgspec.Raw]).decode


def _filled(view: memoryview, text: bytes) -> memoryview:
    view[: len(text)] = text
    return view[: len(text)]


def test_memory_is_used_again_when_nothing_looks_into_it() -> None:
    """A backlog's pages follow each other in the same place."""
    buffers = Buffers(max_kept=2)
    view = buffers.take(MIN_KEPT_BYTES)
    first = id(view.obj)

    del view

    assert id(buffers.take(MIN_KEPT_BYTES).obj) == first


@pytest.mark.parametrize("what", ["view", "part", "raw"])
def test_memory_that_something_looks_into_is_left_alone(what: str) -> None:
    """An event that is kept for longer than its page stays what it is."""
    buffers = Buffers(max_kept=2)
    view = _filled(buffers.take(MIN_KEPT_BYTES), b'[{"id":"1"},{"id":"2"}]')
    kept = {"view": view, "part": view[12:22], "raw": _cut(view)[1]}[what]
    before = bytes(kept)
    del view

    other = buffers.take(MIN_KEPT_BYTES)
    other[:30] = b"x" * 30

    assert bytes(kept) == before


def test_no_more_is_kept_than_asked_for() -> None:
    """Whoever comes when all is lent gets memory that is given back."""
    buffers = Buffers(max_kept=1)
    lent = buffers.take(MIN_KEPT_BYTES)
    passing = buffers.take(MIN_KEPT_BYTES)
    kept, gone = id(lent.obj), id(passing.obj)

    del lent, passing
    again = [buffers.take(MIN_KEPT_BYTES), buffers.take(MIN_KEPT_BYTES)]

    assert gone != kept
    assert [id(view.obj) for view in again].count(kept) == 1


def test_a_larger_body_takes_the_place_of_a_smaller_one() -> None:
    """As events grow, so does what is kept; never the number."""
    buffers = Buffers(max_kept=1)
    small = buffers.take(MIN_KEPT_BYTES)
    del small
    large = buffers.take(4 * MIN_KEPT_BYTES)
    place = id(large.obj)

    del large

    assert len(buffers.take(MIN_KEPT_BYTES)) >= 4 * MIN_KEPT_BYTES
    assert id(buffers.take(MIN_KEPT_BYTES).obj) == place


@pytest.mark.parametrize("size", [0, 1, MIN_KEPT_BYTES - 1, MAX_KEPT_BYTES + 1])
def test_small_and_huge_bodies_are_not_kept(size: int) -> None:
    """They would waste what is kept, or hold it for ever."""
    view = Buffers(max_kept=2).take(size)

    assert len(view) == size


def test_no_two_threads_share_memory() -> None:
    """However closely they follow each other."""
    buffers, clashes = Buffers(max_kept=3), list[bytes]()

    def use(mark: bytes) -> None:
        for _ in range(300):
            view = buffers.take(MIN_KEPT_BYTES)
            view[:1_000] = mark * 1_000
            if bytes(view[:1_000]) != mark * 1_000:
                clashes.append(mark)

    threads = [threading.Thread(target=use, args=(bytes([number]),)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert clashes == []
