"""Cutting a page into events, and what is read of each."""

import calendar
import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jumpcloud_modules.events import UNDATED, cut, from_texts, identifier, parse_time
from jumpcloud_modules.instants import to_ms
from tests.doubles import texts_of

_DIGITS = st.text("0123456789", min_size=1, max_size=30)
_NUMBERS = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["", "-"]),
    st.builds(lambda first, rest: first + rest, st.sampled_from("123456789"), _DIGITS),
    st.one_of(st.just(""), _DIGITS.map(".{}".format)),
    st.sampled_from(["", "e5", "E-300", "e+400"]),
)
_ESCAPES = st.sampled_from(
    [
        "\\ud800",
        "\\udfff",
        "\\ud83d\\ude00",
        "\\u0000",
        "\\/",
        '\\"',
        "\\\\",
        "[",
        "]",
        "{",
        ",",
        "é",
    ]
)
_PLAIN = st.text(st.characters(exclude_categories=["Cs"]), max_size=8).map(
    lambda text: json.dumps(text, ensure_ascii=False)[1:-1]
)
_STRINGS = st.lists(st.one_of(_ESCAPES, _PLAIN), max_size=4).map(lambda p: f'"{"".join(p)}"')
_BLANKS = st.text(" \t\r\n", max_size=3)
_SCALARS = st.one_of(
    st.sampled_from(["null", "true", "false", "0", "{}", "[]"]), _NUMBERS, _STRINGS
)


def _objects(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    names = st.one_of(st.sampled_from(['"id"', '"timestamp"']), _STRINGS)
    member = st.builds("{}{}:{}{}".format, names, _BLANKS, _BLANKS, values)
    return st.lists(member, max_size=4).map(lambda members: f"{{{','.join(members)}}}")


def _arrays(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(values, max_size=4).map(lambda items: f"[{' , '.join(items)}]")


_VALUES = st.recursive(_SCALARS, lambda v: st.one_of(_objects(v), _arrays(v)), max_leaves=8)


@given(st.lists(st.one_of(_objects(_VALUES), _VALUES), max_size=6), st.data())
def test_a_page_is_cut_into_exactly_the_texts_it_was_joined_from(
    texts: list[str], data: st.DataObject
) -> None:
    """Whatever JSON the items are, and whatever blanks stand between them, none changes a byte."""
    blanks = data.draw(st.lists(_BLANKS, min_size=2 * len(texts), max_size=2 * len(texts)))
    spaced = [a + text + b for a, text, b in zip(blanks[::2], texts, blanks[1::2], strict=True)]

    found = cut(f"[{','.join(spaced)}]".encode())

    objects = [text.encode() for text in texts if text.startswith("{")]
    others = [text.encode() for text in texts if not text.startswith("{")]
    assert texts_of(found.events) == objects
    assert texts_of(found.non_objects) == others


@given(_objects(_VALUES), st.lists(_VALUES, max_size=3), st.lists(_VALUES, max_size=3))
def test_an_event_has_the_same_key_whatever_stands_around_it(
    text: str, before: list[str], after: list[str]
) -> None:
    """A key belongs to the event alone, so that the ledger knows it on any page."""
    alone = cut(f"[{text}]".encode()).events[0]

    page = cut(f"[{','.join([*before, text, *after])}]".encode())

    found = [event for event in page.events if bytes(event.raw) == text.encode()]
    assert {(event.key, event.time_ms) for event in found} == {(alone.key, alone.time_ms)}


@pytest.mark.parametrize(
    "page",
    [
        b"",
        b"[",
        b"{}",
        b'{"results":[]}',
        b"[1",
        b"[1,]",
        b"[,1]",
        b"[1 2]",
        b"[1]]",
        b'["a',
        b'"a"',
    ],
)
def test_a_text_that_is_no_array_is_refused(page: bytes) -> None:
    """A page that is not what was promised must never pass as an empty one."""
    with pytest.raises(ValueError, match=r".*"):
        cut(page)


@given(st.lists(_objects(_VALUES), min_size=1, max_size=4), st.data())
def test_a_page_that_breaks_off_is_refused(texts: list[str], data: st.DataObject) -> None:
    """No beginning of an array is an array."""
    page = f"[{','.join(texts)}]".encode()
    length = data.draw(st.integers(0, len(page) - 1))

    with pytest.raises(ValueError, match=r".*"):
        cut(page[:length])


@pytest.mark.parametrize("page", [b"null", b" null\n", b"[]", b" [ ] "])
def test_an_empty_answer_has_no_events(page: bytes) -> None:
    """`null` is how one server writes an empty array."""
    found = cut(page)

    assert not found.events
    assert not found.non_objects


def test_a_page_may_come_in_a_buffer_that_is_used_again() -> None:
    """The slices hold on to the page's memory, or have their own."""
    found = cut(memoryview(bytearray(b'[{"id":"a"},{"id":"\\ud800"}]')))

    assert texts_of(found.events) == [b'{"id":"a"}', b'{"id":"\\ud800"}']


def test_bytes_that_are_no_utf8_are_kept_as_they_are() -> None:
    """What cannot be sent can still be kept, counted and named."""
    page = b'[{"id":"a","x":"\xff\xfe"},{"id":"b","x":"\\ud800 \xff"}]'

    found = cut(page)

    assert texts_of(found.events) == [
        b'{"id":"a","x":"\xff\xfe"}',
        b'{"id":"b","x":"\\ud800 \xff"}',
    ]


def test_numbers_that_json_does_not_know_are_forwarded_as_they_came() -> None:
    """NaN is no JSON, but a server that writes it must not stop the stream."""
    found = cut(b'[{"id":"a","x":NaN},{"id":"b","x":-Infinity}]')

    assert texts_of(found.events) == [b'{"id":"a","x":NaN}', b'{"id":"b","x":-Infinity}']


@pytest.mark.parametrize("depth", [500, 5_000, 200_000])
def test_an_event_nested_beyond_reason_does_not_block_its_page(depth: int) -> None:
    """Decoders give up on it; cutting needs no decoder."""
    deep = b'{"id":"deep","x":' + b"[" * depth + b"]" * depth + b"}"

    found = cut(b'[{"id":"a"},' + deep + b',{"id":"\\ud800"}]')

    assert texts_of(found.events) == [b'{"id":"a"}', deep, b'{"id":"\\ud800"}']


def test_events_with_equal_id_and_timestamp_are_the_same_event() -> None:
    """Identity is the pair, whatever else the text holds and however it is laid out."""
    one, other = cut(
        b'[{"id":"a","timestamp":"2025-10-09T12:00:00Z","x":1},'
        b'{"x":2, "timestamp": "2025-10-09T12:00:00Z", "id" : "a"}]'
    ).events

    assert one.key == other.key


_T, _LATER = '"timestamp":"2025-10-09T12:00:00Z"', '"timestamp":"2025-10-09T12:00:01Z"'


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (f'{{"id":"a",{_T}}}', f'{{"id":"b",{_T}}}'),
        (f'{{"id":"a",{_T}}}', f'{{"id":"a",{_LATER}}}'),
        (f'{{"id":1,{_T}}}', f'{{"id":"1",{_T}}}'),
        (f'{{"x":1,{_T}}}', f'{{"x":2,{_T}}}'),
        (f'{{"id":"","x":1,{_T}}}', f'{{"id":"","x":2,{_T}}}'),
        (f'{{"id":null,"x":1,{_T}}}', f'{{"id":null,"x":2,{_T}}}'),
        ('{"id":"a","x":1}', '{"id":"a","x":2}'),
        ('{"id":"a","timestamp":null,"x":1}', '{"id":"a","timestamp":null,"x":2}'),
        (f'{{"id":"\\ud800",{_T}}}', f'{{"id":"\\ud801",{_T}}}'),
    ],
)
def test_different_events_have_different_keys(one: str, other: str) -> None:
    """Where id or timestamp is missing, the whole text tells events apart."""
    first, second = cut(f"[{one},{other}]".encode()).events

    assert first.key != second.key


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('{"id":"5f1e","timestamp":"x"}', "5f1e"),
        ('{"id":17,"timestamp":"x"}', "17"),
    ],
)
def test_an_event_is_named_by_its_id(text: str, name: str) -> None:
    """A person looks it up in JumpCloud by that."""
    event = from_texts([text])[0]

    assert identifier(event) == name


@pytest.mark.parametrize("text", ['{"x":1}', '{"id":null}', '{"id":""}', '{"x":"\\ud800"}'])
def test_an_event_without_an_id_is_named_by_its_key(text: str) -> None:
    """It is the name of its file in the quarantine, too."""
    event = from_texts([text])[0]

    assert identifier(event) == f"{event.key:016x}"


def test_the_name_of_an_event_is_short_whatever_its_id_holds() -> None:
    """No event's body reaches a log in the place of its id."""
    event = from_texts([f'{{"id":{{"secret":"{"x" * 5_000}"}}}}'])[0]

    assert len(identifier(event)) <= 100


_SECONDS = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31)).map(  # noqa: DTZ001 -- UTC below
    lambda instant: instant.replace(microsecond=0)
)


def _read_ms(timestamp: str) -> int | None:
    time = parse_time(timestamp)
    return None if time is None else to_ms(time)


@given(_SECONDS, st.text("0123456789", max_size=9))
def test_a_timestamp_is_read_as_whole_milliseconds(second: datetime, digits: str) -> None:
    """JumpCloud writes 0 to 9 fractional digits; its index rounds them down."""
    fraction = f".{digits}" if digits else ""
    text = f"{second.isoformat()}{fraction}Z"

    read = _read_ms(text)

    milliseconds = int(digits.ljust(3, "0")[:3])
    assert read == calendar.timegm(second.timetuple()) * 1000 + milliseconds


@given(
    st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1)),  # noqa: DTZ001 -- the zone comes apart
    st.integers(-14 * 60, 14 * 60),
)
def test_a_timestamp_with_an_offset_is_the_same_instant(local: datetime, minutes: int) -> None:
    """Rounded down as exactly as one in UTC."""
    instant = local.replace(tzinfo=timezone(timedelta(minutes=minutes)))

    read = _read_ms(instant.isoformat())

    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    assert read == (instant - epoch) // timedelta(milliseconds=1)


_TIMESTAMPS = st.one_of(
    _SECONDS.map("{:%Y-%m-%dT%H:%M:%SZ}".format),
    st.sampled_from(
        [
            "2025-10-09T12:00:00.108339055Z", "2025-10-09T14:00:00+02:00", "2025-10-09T12:00:00",
            "20251009T120000Z", "2025-10-09", "soon", "", "-", "0001-01-01T00:00:00+14:00",
        ]
    ),
)  # fmt: skip


@given(st.lists(_TIMESTAMPS, max_size=6))
def test_times_of_a_page_are_read_as_each_alone_would_be(timestamps: list[str]) -> None:
    """Whatever forms stand side by side; what cannot be read is undated."""
    page = json.dumps([{"id": "a", "timestamp": timestamp} for timestamp in timestamps])

    found = cut(page.encode()).events

    assert found.times == [parse_time(timestamp) or UNDATED for timestamp in timestamps]


@pytest.mark.parametrize(
    "timestamp",
    [
        "", "null", "yesterday", "2025-13-09T12:00:00Z", "2025-10-09T12:00:61Z",
        "2025-10-09T12:00:00.1x3Z", "1760011200000", "{}", "true", "2025-10-09T12:00:00.123Z ",
    ],
)  # fmt: skip
def test_what_is_no_timestamp_is_no_time(timestamp: str) -> None:
    """The event is forwarded all the same; only its place in time is unknown."""
    assert parse_time(timestamp) is None


@given(st.text(max_size=40))
def test_reading_a_timestamp_never_fails(timestamp: str) -> None:
    """Anything may stand there."""
    read = parse_time(timestamp)

    assert read is None or read.tzinfo is UTC
