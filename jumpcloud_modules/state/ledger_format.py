"""The bytes of a ledger's file: entries by hour, with a checksum.

::

    JCL1                        4 bytes
    CRC-32 of what follows      4 bytes, little-endian, as all numbers here
    for each hour, ascending:
        hour since the epoch    8 bytes, signed
        number of entries       8 bytes, signed
        keys                    8 bytes each, unsigned
        minutes of the hour     1 byte each

Values and bytes only: knows nothing of files.
"""

import sys
import zlib
from array import array
from dataclasses import dataclass, field

_MAGIC = b"JCL1"
_HEADER_BYTES = 8
_HOUR_BYTES = 16


@dataclass(slots=True)
class Entries:
    """Columns of one hour's entries: keys, and the minute of the hour."""

    keys: "array[int]" = field(default_factory=lambda: array("Q"))
    minutes: "array[int]" = field(default_factory=lambda: array("B"))

    def extend(self, other: "Entries") -> None:
        """Append entries."""
        self.keys.extend(other.keys)
        self.minutes.extend(other.minutes)


ByHour = dict[int, Entries]


def merge(into: ByHour, more: ByHour) -> None:
    """Append entries, hour by hour."""
    for number, entries in more.items():
        into.setdefault(number, Entries()).extend(entries)


def packed(hours: ByHour) -> bytes:
    """Write entries as a file holds them."""
    parts = []
    for number, entries in sorted(hours.items()):
        parts.append(_little_endian(array("q", [number, len(entries.keys)])).tobytes())
        parts += [_little_endian(entries.keys).tobytes(), entries.minutes.tobytes()]
    content = b"".join(parts)
    return _MAGIC + zlib.crc32(content).to_bytes(4, "little") + content


def unpacked(content: bytes | None) -> ByHour | None:
    """Return the entries by hour, or None where the checksum does not agree."""
    if not content or len(content) < _HEADER_BYTES or content[:4] != _MAGIC:
        return None
    if zlib.crc32(content[_HEADER_BYTES:]) != int.from_bytes(content[4:_HEADER_BYTES], "little"):
        return None
    hours: ByHour = {}
    position = _HEADER_BYTES
    while position < len(content):
        start = position + _HOUR_BYTES
        number, count = _little_endian(array("q", content[position:start]))
        position = start + 9 * count
        keys = _little_endian(array("Q", content[start : start + 8 * count]))
        hours[number] = Entries(keys, array("B", content[start + 8 * count : position]))
    return hours


def _little_endian(numbers: "array[int]") -> "array[int]":
    """Turn numbers from the machine's byte order into the file's, or back."""
    if sys.byteorder == "little":
        return numbers
    # A copy: what is written stays in use, in this machine's order.
    swapped = array(numbers.typecode, numbers)
    swapped.byteswap()
    return swapped
