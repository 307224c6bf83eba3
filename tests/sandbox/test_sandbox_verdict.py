"""The verdict counts by exact bytes, and names what is wrong."""

from __future__ import annotations

import json

from sandbox import INTAKE_KEY, Event, Intake, Request, delays_ms, judge, make_event

EVENTS = [make_event(1_000 + number, visible_ms=1_000 + number) for number in range(5)]


def intake_with(*texts: bytes) -> Intake:
    """Return an intake that has accepted these texts in one batch."""
    intake = Intake()
    batch = {"intake_key": INTAKE_KEY, "jsons": [text.decode() for text in texts]}
    payload = json.dumps(batch).encode()
    assert intake.answer(Request("POST", "/batch", {}, payload, len(payload))).status == 200
    return intake


def texts(events: list[Event]) -> list[bytes]:
    """Return the events' bytes."""
    return [event.text for event in events]


def test_all_accepted_once_is_clean() -> None:
    """Order does not matter."""
    verdict = judge(EVENTS, intake_with(*reversed(texts(EVENTS))))

    assert verdict.clean
    assert (verdict.produced, verdict.accepted) == (5, 5)
    assert "clean" in verdict.table()


def test_what_never_came_is_lost() -> None:
    """It is named by its id."""
    verdict = judge(EVENTS, intake_with(*texts(EVENTS[1:])))

    assert not verdict.clean
    assert (verdict.lost, verdict.lost_ids) == (1, (EVENTS[0].id,))
    assert "NOT CLEAN" in verdict.table()


def test_what_came_again_is_duplicated() -> None:
    """Each time too many counts."""
    verdict = judge(EVENTS, intake_with(*texts(EVENTS), EVENTS[2].text, EVENTS[2].text))

    assert (verdict.duplicated, verdict.duplicated_ids) == (2, (EVENTS[2].id,))


def test_other_bytes_under_a_known_id_are_altered_and_not_lost() -> None:
    """A space is enough."""
    changed = EVENTS[0].text.replace(b":", b": ", 1)

    verdict = judge(EVENTS, intake_with(changed, *texts(EVENTS[1:])))

    assert (verdict.altered, verdict.altered_ids) == (1, (EVENTS[0].id,))
    assert (verdict.lost, verdict.foreign) == (0, 0)


def test_what_was_never_produced_is_foreign() -> None:
    """It has an id of its own, or none."""
    verdict = judge(EVENTS, intake_with(*texts(EVENTS), b'{"id":"other"}', b"not JSON"))

    assert (verdict.foreign, verdict.foreign_ids) == (2, ("other", "(not JSON)"))
    assert not verdict.clean


def test_equal_twins_may_come_once_or_twice_and_not_thrice() -> None:
    """Nothing is lost with a copy that says nothing new."""
    twin = EVENTS[0]

    once = judge([twin, twin], intake_with(twin.text))
    twice = judge([twin, twin], intake_with(twin.text, twin.text))
    thrice = judge([twin, twin], intake_with(twin.text, twin.text, twin.text))

    assert (once.clean, once.folded) == (True, 1)
    assert (twice.clean, twice.folded) == (True, 0)
    assert (thrice.clean, thrice.duplicated) == (False, 1)


def test_only_what_is_due_can_be_lost() -> None:
    """Too old, not visible yet, or excused: none of it has to come, but it may, once."""
    due = {"since_ms": 1_001, "visible_until_ms": 1_003, "without": [EVENTS[2]]}

    exact = judge(EVENTS, intake_with(EVENTS[1].text, EVENTS[3].text), **due)  # type: ignore[arg-type]
    more = judge(EVENTS, intake_with(*texts(EVENTS)), **due)  # type: ignore[arg-type]
    less = judge(EVENTS, intake_with(EVENTS[1].text), **due)  # type: ignore[arg-type]

    assert (exact.clean, exact.produced) == (True, 2)
    assert more.clean
    assert [one.accepted for one in (exact, more, less)] == [2, 2, 1]
    assert less.lost_ids == (EVENTS[3].id,)


def test_events_without_an_id_are_named_by_their_digest() -> None:
    """They are told apart by their bytes."""
    nameless = make_event(1_000, id=None)

    verdict = judge([nameless], Intake())

    assert verdict.lost_ids == (nameless.label,)


def test_long_lists_are_cut_and_counts_are_not() -> None:
    """Twenty labels are enough to begin with."""
    many = [make_event(number) for number in range(50)]

    verdict = judge(many, Intake())

    assert (verdict.lost, len(verdict.lost_ids)) == (50, 20)


def test_delays_run_from_visible_to_accepted() -> None:
    """Each event that arrived counts once."""
    intake = intake_with(*texts(EVENTS[:2]), EVENTS[0].text)

    delays = delays_ms(EVENTS, intake)

    accepted_ms = intake.batches[0].epoch_ms
    assert delays == [accepted_ms - event.visible_ms for event in EVENTS[:2]]
