"""Draw logo.png: a cloud whose events fall into a tray.

::

    python -m tools.logo
"""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

SIZE: Final = 256
SAMPLES: Final = 4  # by each side of a pixel
LOGO: Final = Path(__file__).resolve().parent.parent / "logo.png"

Color = tuple[int, int, int, int]
Shape = Callable[[float, float], bool]

NIGHT: Final[Color] = (18, 38, 74, 255)
WHITE: Final[Color] = (255, 255, 255, 255)
MINT: Final[Color] = (65, 214, 171, 255)
NOTHING: Final[Color] = (0, 0, 0, 0)


def circle(x: float, y: float, radius: float) -> Shape:
    """Return a disc."""
    return lambda px, py: (px - x) ** 2 + (py - y) ** 2 <= radius**2


def box(left: float, top: float, right: float, bottom: float, radius: float = 0) -> Shape:
    """Return a rectangle with rounded corners."""

    def holds(px: float, py: float) -> bool:
        dx = max(left + radius - px, 0, px - (right - radius))
        dy = max(top + radius - py, 0, py - (bottom - radius))
        return dx**2 + dy**2 <= radius**2

    return holds


def arrow_head(x: float, top: float, half_width: float, height: float) -> Shape:
    """Return a triangle that points down."""
    return lambda px, py: (
        top <= py <= top + height and abs(px - x) <= half_width * (1 - (py - top) / height)
    )


# From the front to the back.
PICTURE: Final[list[tuple[Color, list[Shape]]]] = [
    (MINT, [box(117, 92, 139, 168), arrow_head(128, 158, 34, 36)]),
    (
        WHITE,
        [
            circle(84, 104, 32),
            circle(122, 76, 40),
            circle(168, 98, 38),
            box(84, 92, 168, 136, 6),
        ],
    ),
    (
        WHITE,
        [
            box(48, 164, 66, 222, 8),
            box(190, 164, 208, 222, 8),
            box(48, 204, 208, 222, 8),
        ],
    ),
    (NIGHT, [box(0, 0, 256, 256, 48)]),
]


def color_at(x: float, y: float) -> Color:
    """Return the colour of a point."""
    for color, shapes in PICTURE:
        if any(holds(x, y) for holds in shapes):
            return color
    return NOTHING


def pixel(column: int, row: int) -> bytes:
    """Return the mean of a pixel's samples, as four bytes."""
    steps = [(step + 0.5) / SAMPLES for step in range(SAMPLES)]
    found = [color_at(column + dx, row + dy) for dx in steps for dy in steps]
    opacity = sum(color[3] for color in found)
    if not opacity:
        return bytes(4)
    mixed = (sum(color[part] * color[3] for color in found) // opacity for part in range(3))
    return bytes([*mixed, opacity // len(found)])


def png() -> bytes:
    """Return the picture as a PNG file."""
    rows = (b"".join(pixel(column, row) for column in range(SIZE)) for row in range(SIZE))
    lines = b"".join(b"\0" + row for row in rows)
    header = struct.pack(">IIBBBBB", SIZE, SIZE, 8, 6, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(lines, 9)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_part(name, body) for name, body in parts)


def _part(name: bytes, body: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(name + body))
    return struct.pack(">I", len(body)) + name + body + checksum


if __name__ == "__main__":
    LOGO.write_bytes(png())
