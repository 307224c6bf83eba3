"""Where to go on from, by JumpCloud's time."""

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from jumpcloud_modules.checkpoint import Checkpoint, Window
from jumpcloud_modules.collecting.resume import (
    Reach,
    confirmed,
    first_start,
    not_ahead,
    within,
    within_retention,
)
from jumpcloud_modules.instants import HOUR_MS, RETENTION_MS, SECOND_MS, to_rfc3339
from tests.doubles import NOON_MS

_REACH = Reach(history_ms=24 * HOUR_MS, audit_ms=48 * HOUR_MS)
_LIMIT_MS = NOON_MS - RETENTION_MS


def _unread(checkpoint: Checkpoint, instant_ms: int) -> bool:
    """Tell whether an instant is still to be read."""
    if instant_ms < checkpoint.beginning_ms and instant_ms < checkpoint.oldest_open_ms:
        return False
    is_open = any(window.overlaps(instant_ms, instant_ms + 1) for window in checkpoint.windows)
    return is_open or instant_ms >= checkpoint.watermark_ms


_INSTANTS = st.integers(-100 * HOUR_MS, 100 * HOUR_MS).map(lambda offset: NOON_MS + offset)


@st.composite
def _checkpoints(draw: st.DrawFn) -> Checkpoint:
    """Windows lie between the beginning and the watermark, in any order."""
    beginning_ms, watermark_ms = sorted((draw(_INSTANTS), draw(_INSTANTS)))
    edges = sorted(draw(st.lists(st.integers(beginning_ms, watermark_ms), max_size=6)))
    windows = [Window(*pair) for pair in zip(edges[::2], edges[1::2], strict=False)]
    audited_ms = draw(st.none() | _INSTANTS)
    return Checkpoint(
        beginning_ms, watermark_ms, tuple(draw(st.permutations(windows))), "all", audited_ms
    )


def test_a_first_start_reaches_back_as_far_as_configured() -> None:
    """As far as is known before JumpCloud was asked for the time."""
    checkpoint = first_start(NOON_MS, _REACH)

    assert checkpoint == Checkpoint(
        NOON_MS - 24 * HOUR_MS, NOON_MS - 24 * HOUR_MS, is_provisional=True
    )


@given(st.integers(-(10**12), 10**12))
def test_a_first_start_is_where_it_is_by_jumpclouds_clock(machine_ahead_ms: int) -> None:
    """Whatever the machine's said."""
    by_the_machine = first_start(NOON_MS + machine_ahead_ms, _REACH)

    by_jumpcloud = confirmed(by_the_machine, NOON_MS - _REACH.history_ms)

    assert by_jumpcloud == replace(first_start(NOON_MS, _REACH), is_provisional=False)


@pytest.mark.parametrize("ahead_ms", [-HOUR_MS, 0, SECOND_MS])
def test_a_watermark_that_is_not_of_the_future_stays(ahead_ms: int) -> None:
    """Clocks agree to a second at best."""
    checkpoint = Checkpoint(NOON_MS - 5 * HOUR_MS, NOON_MS + ahead_ms, (), "all")

    assert not_ahead(checkpoint, NOON_MS, _REACH) == (checkpoint, "")


@pytest.mark.parametrize("ahead_ms", [SECOND_MS + 1, 10**12, 10**17])
def test_an_instant_in_the_future_begins_where_a_first_start_does_and_says_so(
    ahead_ms: int,
) -> None:
    """What happens until then would be missed."""
    start_ms = NOON_MS + ahead_ms

    checkpoint, message = not_ahead(Checkpoint(start_ms, start_ms), NOON_MS, _REACH)

    since_ms = NOON_MS - 24 * HOUR_MS
    assert (checkpoint.beginning_ms, checkpoint.watermark_ms) == (since_ms, since_ms)
    assert "which is in the future" in message
    assert to_rfc3339(since_ms) in message


def test_a_watermark_is_taken_back_as_far_as_anything_may_be_new() -> None:
    """As far as late events are looked for, but not to before the beginning."""
    long_ago = Checkpoint(NOON_MS - 900 * HOUR_MS, NOON_MS + HOUR_MS)
    a_while_ago = Checkpoint(NOON_MS - 30 * HOUR_MS, NOON_MS + HOUR_MS)

    assert not_ahead(long_ago, NOON_MS, _REACH)[0].watermark_ms == NOON_MS - 48 * HOUR_MS
    assert not_ahead(a_while_ago, NOON_MS, _REACH)[0].watermark_ms == NOON_MS - 30 * HOUR_MS


def test_nothing_configured_reaches_back_less_than_an_hour() -> None:
    """A clock is rarely ahead by more."""
    ahead = Checkpoint(NOON_MS - 900 * HOUR_MS, NOON_MS + HOUR_MS)

    checkpoint, _ = not_ahead(ahead, NOON_MS, Reach(0, 0))

    assert checkpoint.watermark_ms == NOON_MS - HOUR_MS


def test_a_clock_that_was_set_back_loses_no_open_window() -> None:
    """A backlog may reach further than anything else."""
    old = Window(NOON_MS - 200 * HOUR_MS, NOON_MS - 100 * HOUR_MS)
    ahead = Checkpoint(NOON_MS - 300 * HOUR_MS, NOON_MS + 10 * SECOND_MS, (old,), "all")

    checkpoint, _ = not_ahead(ahead, NOON_MS, _REACH)

    assert checkpoint.watermark_ms <= NOON_MS
    assert checkpoint.windows == (old,)
    assert checkpoint.scope == "all"
    assert checkpoint.beginning_ms == ahead.beginning_ms


@given(_checkpoints(), _INSTANTS)
def test_taking_a_watermark_back_leaves_nothing_out(
    checkpoint: Checkpoint, instant_ms: int
) -> None:
    """What was to be read still is, unless the beginning itself was of the future."""
    assume(checkpoint.beginning_ms <= NOON_MS)

    taken_back, message = not_ahead(checkpoint, NOON_MS, _REACH)

    assert bool(message) == (checkpoint.watermark_ms > NOON_MS + SECOND_MS)
    assert taken_back.watermark_ms <= NOON_MS + SECOND_MS
    assert taken_back.audited_ms is None or not message or taken_back.audited_ms <= NOON_MS
    assert _unread(taken_back, instant_ms) >= _unread(checkpoint, instant_ms)
    assert not_ahead(taken_back, NOON_MS, _REACH) == (taken_back, "")


def test_an_instant_within_retention_stays() -> None:
    """JumpCloud still has what follows."""
    checkpoint = Checkpoint(_LIMIT_MS, _LIMIT_MS)

    assert within_retention(checkpoint, NOON_MS) == (checkpoint, "")


def test_an_instant_beyond_retention_names_the_gap() -> None:
    """JumpCloud has forgotten those events."""
    start_ms = _LIMIT_MS - 24 * HOUR_MS

    checkpoint, message = within_retention(Checkpoint(start_ms, start_ms), NOON_MS)

    assert checkpoint.watermark_ms == checkpoint.beginning_ms == _LIMIT_MS
    assert "beyond JumpCloud's retention" in message
    assert to_rfc3339(start_ms) in message
    assert to_rfc3339(_LIMIT_MS) in message


def test_windows_beyond_retention_are_cut() -> None:
    """What is left of them is still read."""
    gone = Window(_LIMIT_MS - 2 * HOUR_MS, _LIMIT_MS - HOUR_MS)
    half = Window(_LIMIT_MS - HOUR_MS, _LIMIT_MS + HOUR_MS)
    whole = Window(_LIMIT_MS + HOUR_MS, _LIMIT_MS + 2 * HOUR_MS)
    checkpoint = Checkpoint(
        _LIMIT_MS - 5 * HOUR_MS, NOON_MS - HOUR_MS, (gone, half, whole), "all", audited_ms=7
    )

    cut, message = within_retention(checkpoint, NOON_MS)

    assert cut.windows == (Window(_LIMIT_MS, _LIMIT_MS + HOUR_MS), whole)
    assert cut.watermark_ms == checkpoint.watermark_ms
    assert (cut.scope, cut.audited_ms) == ("all", 7)
    assert message


@pytest.mark.parametrize("start_ms", [-(10**17), -62_135_596_800_000, 0])
def test_instants_at_the_beginning_of_time_are_survived(start_ms: int) -> None:
    """Nobody means them; they are told like any other."""
    checkpoint, message = within_retention(Checkpoint(start_ms, start_ms), NOON_MS)

    assert checkpoint.watermark_ms == _LIMIT_MS
    assert message


@given(_checkpoints(), _INSTANTS, _INSTANTS)
def test_what_is_within_a_limit_is_all_that_was_unread_after_it(
    checkpoint: Checkpoint, limit_ms: int, instant_ms: int
) -> None:
    """Nothing more is read, and nothing less."""
    cut = within(checkpoint, limit_ms)

    assert cut.oldest_open_ms >= limit_ms
    assert cut.beginning_ms >= limit_ms
    assert _unread(cut, instant_ms) == (instant_ms >= limit_ms and _unread(checkpoint, instant_ms))
