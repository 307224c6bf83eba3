"""The bytes of a ledger's file: the same on every machine."""

import sys
import zlib
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jumpcloud_modules.state.ledger_format import Entries, packed, unpacked

_KEYS = st.lists(st.integers(0, 2**64 - 1), max_size=5)
_CONTENT = (
    b"\x01\x00\x00\x00\x00\x00\x00\x00"  # hour 1
    b"\x02\x00\x00\x00\x00\x00\x00\x00"  # two entries
    b"\x08\x07\x06\x05\x04\x03\x02\x01"
    b"\xff\x00\x00\x00\x00\x00\x00\x00"
    b"\x07\x3b"
)
_FILE = b"JCL1" + zlib.crc32(_CONTENT).to_bytes(4, "little") + _CONTENT
_KEYS_OF_FILE = [0x0102030405060708, 0xFF]


def test_a_file_is_little_endian() -> None:
    """As those are that exist: they were written on such machines."""
    entries = Entries(array("Q", _KEYS_OF_FILE), array("B", [7, 59]))

    assert packed({1: entries}) == _FILE
    assert unpacked(_FILE) == {1: entries}


def test_a_machine_of_the_other_byte_order_swaps_what_it_reads_and_writes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is in memory stays as it is while it is written."""
    monkeypatch.setattr(sys, "byteorder", "big" if sys.byteorder == "little" else "little")
    entries = Entries(array("Q", _KEYS_OF_FILE), array("B", [7, 59]))
    content = packed({1: entries})[8:]

    swapped = array("Q", content[16:32])
    swapped.byteswap()
    assert list(swapped) == list(entries.keys) == _KEYS_OF_FILE
    assert unpacked(packed({0: entries})) == {0: entries}


@given(st.dictionaries(st.integers(0, 10**7), _KEYS, max_size=4))
def test_what_was_packed_is_unpacked(keys_by_hour: dict[int, list[int]]) -> None:
    """For any hours and keys."""
    hours = {
        number: Entries(array("Q", keys), array("B", [place % 60 for place in range(len(keys))]))
        for number, keys in keys_by_hour.items()
    }

    assert unpacked(packed(hours)) == hours


@pytest.mark.parametrize("place", range(len(_FILE)))
def test_one_changed_byte_is_noticed(place: int) -> None:
    """Wherever it is."""
    content = bytearray(_FILE)
    content[place] ^= 1

    assert unpacked(bytes(content)) is None


@pytest.mark.parametrize("content", [None, b"", b"JCL1", _FILE[:-1]])
def test_what_is_cut_off_is_no_file(content: bytes | None) -> None:
    """As a crash leaves it."""
    assert unpacked(content) is None
