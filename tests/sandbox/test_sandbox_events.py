"""The generator makes what a careless reader would break, and makes it again."""

from __future__ import annotations

import json
import re
from collections import Counter

import pytest

from sandbox import SERVICES, generate, make_event, mostly_prompt
from sandbox.instants import instant_ms, instant_text

START_MS = instant_ms("2025-03-01T00:00:00Z")
END_MS = START_MS + 86_400_000
EVENTS = generate(6_000, START_MS, END_MS, seed=7, surrogate_share=0.01)


def test_equal_arguments_make_equal_events() -> None:
    """A run can be repeated from its seed."""
    first = generate(200, START_MS, END_MS, seed=3)
    second = generate(200, START_MS, END_MS, seed=3)
    other = generate(200, START_MS, END_MS, seed=4)

    assert first == second
    assert first != other


def test_every_service_speaks() -> None:
    """No service is left out of six thousand events."""
    assert {event.service for event in EVENTS} == set(SERVICES)


def test_each_text_is_an_object_that_names_its_event() -> None:
    """The fields beside the text are the ones inside it."""
    for event in EVENTS:
        content = json.loads(event.text)

        assert content["id"] == event.id
        assert content["service"] == event.service
        assert instant_ms(content["timestamp"]) == event.time_ms
        assert START_MS <= event.time_ms < END_MS


def test_texts_and_document_ids_are_unique_and_sorted_by_the_index() -> None:
    """The order of the index is that of time and document id."""
    keys = [(event.time_ms, event.document_id) for event in EVENTS]

    assert len({event.text for event in EVENTS}) == len(EVENTS)
    assert keys == sorted(set(keys))


def test_ids_come_in_three_shapes() -> None:
    """Hexadecimal, and UUIDs in both cases."""
    shapes = Counter(
        "hex" if len(event.id or "") == 24 else "upper" if event.id == event.id.upper() else "lower"  # type: ignore[union-attr]
        for event in EVENTS
    )

    assert set(shapes) == {"hex", "upper", "lower"}


def test_timestamps_have_zero_to_nine_fractional_digits() -> None:
    """All lengths of fraction occur in one stream."""
    stamps = (json.loads(event.text)["timestamp"] for event in EVENTS)

    digits = {len(stamp.rstrip("Z").partition(".")[2]) for stamp in stamps}

    assert digits == set(range(10))


def test_many_events_share_a_second_and_some_a_millisecond() -> None:
    """Ties are common enough to be met by chance."""
    seconds = Counter(event.time_ms // 1000 for event in EVENTS)
    instants = Counter(event.time_ms for event in EVENTS)

    assert sum(n for n in seconds.values() if n > 1) > len(EVENTS) / 3
    assert sum(n for n in instants.values() if n > 1) > len(EVENTS) / 20


def test_sizes_are_those_of_real_events() -> None:
    """Between 0.7 and 2 kB, a little over 1 kB on average."""
    sizes = [len(event.text) for event in EVENTS]

    assert 700 <= min(sizes) <= max(sizes) <= 2_100
    assert 1_000 <= sum(sizes) / len(sizes) <= 1_500


@pytest.mark.parametrize(
    "pattern",
    [
        rb"\\u00c9",
        rb"\\/",
        rb"\\ud800",
        rb":1E400",
        rb":-0\b",
        rb":1\.0\b",
        rb"\d{30}",
        b": ",
        "東京",
    ],
)
def test_texts_hold_what_re_encoding_would_change(pattern: bytes | str) -> None:
    """Escapes, odd numbers, spaces and text beyond ASCII are all there."""
    sought = pattern.encode() if isinstance(pattern, str) else pattern

    assert any(re.search(sought, event.text) for event in EVENTS)


def test_large_events_are_mdm_results_of_the_size_asked_for() -> None:
    """Pages of large events can be asked for."""
    events = generate(100, START_MS, END_MS, large_share=1.0, large_bytes=70_000)

    assert {event.service for event in events} == {"mdm"}
    assert all(69_000 < len(event.text) < 75_000 for event in events)


def test_a_share_of_events_can_be_visible_late() -> None:
    """The rest is visible the moment it happens."""
    delay_ms = mostly_prompt(late_share=0.5, latest_ms=1_000)

    events = generate(400, START_MS, END_MS, delay_ms=delay_ms)
    delays = [event.visible_ms - event.time_ms for event in events]

    assert 100 < sum(1 for delay in delays if delay == 0) < 300
    assert max(delays) <= 1_000


def test_a_hand_made_event_is_plain_where_nothing_is_said() -> None:
    """It has an id, and the timestamp of its time."""
    event = make_event(START_MS)

    content = json.loads(event.text)
    assert content["id"] == event.id
    assert content["timestamp"] == instant_text(START_MS)
    assert event.visible_ms == START_MS


def test_a_hand_made_event_can_be_strange() -> None:
    """Ids and timestamps may be missing, null, or of another type; texts may be anything."""
    assert "id" not in json.loads(make_event(START_MS, id=None).text)
    assert json.loads(make_event(START_MS, id=12).text)["id"] == 12
    assert "timestamp" not in json.loads(make_event(START_MS, timestamp=None).text)
    assert json.loads(make_event(START_MS, timestamp=...).text)["timestamp"] is None
    assert make_event(START_MS, text=b"\xff").text == b"\xff"
    assert len(make_event(START_MS, padding_bytes=300_000).text) > 300_000
    assert make_event(START_MS, id=None).label.startswith("digest:")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01T00:00:01Z", 1_000),
        ("1970-01-01T00:00:01.5Z", 1_500),
        ("1970-01-01T00:00:01.123999999Z", 1_123),
        ("1970-01-01T01:00:01+01:00", 1_000),
    ],
)
def test_an_instant_is_read_to_the_millisecond(text: str, expected: int) -> None:
    """What is finer is cut."""
    assert instant_ms(text) == expected


@pytest.mark.parametrize(
    "text", ["", "2025-01-01", "1970-01-01T00:00:01", "1970-01-01T00:00:01Z\n"]
)
def test_an_instant_that_is_not_strict_is_refused(text: str) -> None:
    """A zone is required, and nothing may follow it."""
    with pytest.raises(ValueError, match="RFC 3339"):
        instant_ms(text)
