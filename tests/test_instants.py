"""Instants as milliseconds and as text."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jumpcloud_modules.events import parse_time
from jumpcloud_modules.instants import (
    HOUR_MS,
    MINUTE_MS,
    ceil,
    floor,
    from_iso8601,
    from_ms,
    to_ms,
    to_rfc3339,
)

_INSTANTS_MS = st.integers(-62_135_596_800_000, 253_402_300_799_999)


@given(_INSTANTS_MS)
def test_an_instant_survives_being_written_and_read(instant_ms: int) -> None:
    """From the year 1 to the year 9999, by both readers."""
    text = to_rfc3339(instant_ms)

    assert from_iso8601(text) == parse_time(text) == from_ms(instant_ms)
    assert to_ms(from_iso8601(text)) == instant_ms


def test_an_instant_is_written_as_jumpcloud_writes_it() -> None:
    """UTC with Z, three fractional digits, nothing after it."""
    assert to_rfc3339(1_760_011_200_007) == "2025-10-09T12:00:00.007Z"


@pytest.mark.parametrize(
    "text", ["2025-10-09T12:00:00", "2025-10-09T12:00:00Z", "2025-10-09T14:00:00+02:00"]
)
def test_an_instant_without_a_zone_is_in_utc(text: str) -> None:
    """Module 1.8.2 and people write all of these."""
    assert from_iso8601(text) == from_ms(1_760_011_200_000)


@pytest.mark.parametrize("text", ["", "yesterday", "2025-10-09T25:00:00Z", "{}"])
def test_what_is_no_instant_is_refused(text: str) -> None:
    """The reader of the state turns this into a message."""
    with pytest.raises(ValueError, match=r".*"):
        from_iso8601(text)


@given(_INSTANTS_MS, st.sampled_from([1, 1000, MINUTE_MS, HOUR_MS]))
def test_an_instant_lies_between_its_floor_and_its_ceiling(instant_ms: int, unit_ms: int) -> None:
    """Both are whole units, at most one apart, also before 1970."""
    low, high = floor(instant_ms, unit_ms), ceil(instant_ms, unit_ms)

    assert low <= instant_ms <= high
    assert low % unit_ms == high % unit_ms == 0
    assert high - low == (unit_ms if low != instant_ms else 0)


@given(st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)))  # noqa: DTZ001 -- zone added below
def test_reading_rounds_down_to_the_millisecond(moment: datetime) -> None:
    """Microseconds beyond it never move an instant forward."""
    aware = moment.replace(tzinfo=UTC)

    read = to_ms(from_iso8601(aware.isoformat()))

    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    assert epoch + timedelta(milliseconds=read) <= aware
    assert aware < epoch + timedelta(milliseconds=read + 1)
