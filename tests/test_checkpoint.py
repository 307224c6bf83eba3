"""Windows, and how far the connector got."""

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st

from jumpcloud_modules.checkpoint import Checkpoint, Found, Window
from jumpcloud_modules.state.checkpoint_store import CheckpointStore

_MS = st.integers(0, 10_000)
_WINDOWS = st.builds(
    lambda start, length: Window(start, None if length is None else start + length),
    _MS,
    st.one_of(st.none(), st.integers(0, 5_000)),
)
_NOW_MS = 1_760_011_200_000


@given(_WINDOWS, st.lists(st.one_of(st.none(), _MS), max_size=5))
def test_a_window_only_ever_shrinks_from_its_start(
    window: Window, positions: list[int | None]
) -> None:
    """Its start neither moves back nor past its end."""
    rest = window

    for position_ms in positions:
        before = rest.start_ms
        rest = rest.rest_from(position_ms)
        assert before <= rest.start_ms
        assert rest.end_ms == window.end_ms
        if window.end_ms is not None:
            assert rest.start_ms <= window.end_ms


@given(_WINDOWS)
def test_a_window_is_over_when_no_instant_is_left(window: Window) -> None:
    """JumpCloud may refuse such a span."""
    instants = range(
        window.start_ms, window.start_ms + 1 if window.end_ms is None else window.end_ms
    )

    assert window.is_over == (not instants)


@given(_WINDOWS, _MS, st.integers(1, 5_000))
def test_a_window_overlaps_a_span_where_they_share_an_instant(
    window: Window, start_ms: int, length_ms: int
) -> None:
    """Ends are exclusive."""
    end_ms = start_ms + length_ms
    window_end_ms = 20_000 if window.end_ms is None else window.end_ms
    shared = range(max(start_ms, window.start_ms), min(end_ms, window_end_ms))

    assert window.is_over or window.overlaps(start_ms, end_ms) == bool(shared)


@given(_MS, st.lists(st.one_of(st.none(), _MS), max_size=5))
def test_the_watermark_never_moves_back(start_ms: int, positions: list[int | None]) -> None:
    """A page without a usable time leaves it where it is."""
    checkpoint = Checkpoint(start_ms, start_ms)

    for position_ms in positions:
        checkpoint = checkpoint.with_tail_at(position_ms)

    assert checkpoint.watermark_ms == max([start_ms, *(p for p in positions if p is not None)])
    assert checkpoint.tail == Window(checkpoint.watermark_ms)


def test_a_window_that_is_read_shrinks_and_closes_in_its_place() -> None:
    """The others stay as they are, in their order."""
    one, two, three = Window(0, 10), Window(10, 20), Window(20, 30)
    checkpoint = Checkpoint(0, 0).with_backfill([one, two, three], 30)

    half = checkpoint.with_rest(two, two.rest_from(15))
    closed = half.without(Window(15, 20))

    assert (checkpoint.watermark_ms, checkpoint.oldest_open_ms) == (30, 0)
    assert half.windows == (one, Window(15, 20), three)
    assert closed.windows == (one, three)


def test_an_open_window_is_cut_into_slices_in_its_place() -> None:
    """No instant is left out between the others."""
    one, two = Window(0, 10), Window(10, 20)
    checkpoint = Checkpoint(0, 0).with_backfill([one, two], 20)

    cut = checkpoint.cut(one, [Window(0, 3), Window(3, 10)])

    assert cut.windows == (Window(0, 3), Window(3, 10), two)
    assert cut.cut(one, [Window(0, 1)]) == cut


def test_an_audit_reaches_back_from_the_last_one_or_else_from_the_watermark() -> None:
    """What the last one could not see is still looked for."""
    assert Checkpoint(0, 30).audit_from_ms == 30
    assert Checkpoint(0, 30, audited_ms=0).audit_from_ms == 0


def test_a_window_that_is_not_open_changes_nothing() -> None:
    """Windows of late events are not part of the checkpoint."""
    checkpoint = Checkpoint(0, 30, (Window(0, 10),))

    assert checkpoint.with_rest(Window(5, 6), Window(6, 6)) == checkpoint
    assert checkpoint.without(Window(5, 6)) == checkpoint


def test_what_182_would_go_on_from_leaves_nothing_unread() -> None:
    """It begins at the named instant: the second after the newest event, or the oldest window."""
    fresh = Checkpoint(1_000, 1_000)
    caught_up = Checkpoint(1_000, 61_500)
    behind = Checkpoint(1_000, 61_500, (Window(30_000, 40_000), Window(20_000, 30_000)))

    assert fresh.most_recent_date_seen_ms == 1_000
    assert caught_up.most_recent_date_seen_ms == 62_000
    assert behind.most_recent_date_seen_ms == 20_000


@given(
    st.integers(_NOW_MS - 10_000_000, _NOW_MS),
    st.integers(0, 10_000_000),
    st.lists(_WINDOWS, max_size=4),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=10),
    st.none() | st.integers(_NOW_MS - 10_000_000, _NOW_MS),
    st.booleans(),
)
def test_a_checkpoint_survives_a_restart(
    watermark_ms: int,
    age_ms: int,
    windows: list[Window],
    scope: str,
    audited_ms: int | None,
    is_provisional: bool,
) -> None:
    """What is written down is what is found."""
    moved = [
        Window(
            _NOW_MS - 20_000 + w.start_ms, None if w.end_ms is None else _NOW_MS - 20_000 + w.end_ms
        )
        for w in windows
    ]
    checkpoint = Checkpoint(
        watermark_ms - age_ms, watermark_ms, tuple(moved), scope, audited_ms, is_provisional
    )
    with TemporaryDirectory() as folder:
        CheckpointStore(Path(folder)).save(checkpoint)

        found = CheckpointStore(Path(folder)).load()

    assert found == Found(checkpoint)
