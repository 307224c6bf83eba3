"""How long to wait before the next try."""

import email.utils
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jumpcloud_modules.errors import Refused, TryAgain
from jumpcloud_modules.http.backoff import delay_seconds, retry_after_seconds


@given(st.integers(1, 10_000))
def test_a_hiccup_is_tried_again_within_a_minute_and_never_at_once(in_a_row: int) -> None:
    """The delay doubles from a second, with jitter, up to a minute."""
    delay = delay_seconds(TryAgain("busy"), in_a_row)

    longest = min(60.0, 2.0 ** min(in_a_row - 1, 10))
    assert longest / 2 <= delay <= longest


@given(st.integers(1, 100), st.floats(0, 1e9))
def test_what_the_other_end_asks_for_is_heard_within_reason(in_a_row: int, asked: float) -> None:
    """Retry-After comes first, but zero is no reason to hammer, and a year none to give up."""
    delay = delay_seconds(TryAgain("limited", retry_after_seconds=asked), in_a_row)

    assert delay == min(max(asked, 1.0), 3600.0)


def test_a_refusal_costs_at_most_six_requests_in_eight_seconds_and_recovers_in_a_minute() -> None:
    """The operator's new key is noticed soon, and the old one is not hammered."""
    delays = [delay_seconds(Refused("key"), in_a_row) for in_a_row in range(1, 50)]

    assert delays[0] + delays[1] > 8
    assert max(delays) <= 60


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("0", 0.0),
        ("17", 17.0),
        (" 17 ", 17.0),
        ("-5", 0.0),
        ("1.5", None),
        ("soon", None),
        ("9" * 400, None),
        ("9" * 5000, None),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("Thu, 01 Jan 99999999999999999999 00:00:00 GMT", None),
    ],
)
def test_retry_after_is_read_in_every_form(header: str | None, seconds: float | None) -> None:
    """Seconds, a date, or nothing that helps: never an error."""
    assert retry_after_seconds(header) == seconds


def test_retry_after_as_a_date_is_the_time_until_then() -> None:
    """As HTTP allows it."""
    date = email.utils.format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)

    seconds = retry_after_seconds(date)

    assert seconds is not None
    assert 40 < seconds <= 100


@given(st.text(st.characters(max_codepoint=255), max_size=40))
def test_reading_retry_after_never_fails(header: str) -> None:
    """Whatever a proxy writes there."""
    seconds = retry_after_seconds(header)

    assert seconds is None or seconds >= 0
