"""Group events into batches of a size that the intake takes, and write their compressed bodies.

Knows nothing of HTTP, of receipts, or of what is refused.
"""

from collections.abc import Iterator, Sequence

import msgspec
import orjson
from isal import isal_zlib
from msgspec import Raw

from jumpcloud_modules.errors import BatchRejected, BatchTooLarge
from jumpcloud_modules.events import Events

MAX_EVENT_BYTES = 250_000
"""A larger event goes to the quarantine."""
BATCH_BYTES = 5 << 20
"""The size of the events in a batch, before compression."""
MAX_BODY_BYTES = 10 * (1 << 20) - (1 << 16)
"""The size of a body before compression, at most."""
_COMPRESSION_LEVEL = 1
_GZIP = 31
_TEXTS_IN_A_PIECE = 64

_encode_into = msgspec.json.Encoder().encode_into  # cheaper than making a text of each piece


def batches(events: Events) -> Iterator[Events]:
    """Group events by size; one that is too large for the intake stands alone."""
    sizes = list(map(len, events.raws))
    # Most pages are one batch, and are passed on without a copy.
    if events and sum(sizes) <= BATCH_BYTES and max(sizes) <= MAX_EVENT_BYTES:
        yield events
        return
    start = size_bytes = 0
    for index, event_bytes in enumerate(sizes):
        too_large = event_bytes > MAX_EVENT_BYTES
        if index > start and (too_large or size_bytes + event_bytes > BATCH_BYTES):
            yield events[start:index]
            start, size_bytes = index, 0
        size_bytes += event_bytes
        if too_large:
            yield events[start : index + 1]
            start, size_bytes = index + 1, 0
    if start < len(events):
        yield events[start:]


def compressed_body(texts: Sequence[Raw], intake_key: str) -> bytes:
    """Write the intake's body for JSON texts, and compress it piece by piece.

    Raises BatchTooLarge past what the intake takes before compression, and BatchRejected where a
    text is not UTF-8.
    """
    compressor = isal_zlib.compressobj(_COMPRESSION_LEVEL, wbits=_GZIP)
    parts = []
    size_bytes = 0
    for piece in _body_pieces(texts, intake_key):
        size_bytes += len(piece)
        parts.append(compressor.compress(piece))
    if size_bytes > MAX_BODY_BYTES:
        raise BatchTooLarge(f"because its batch is {size_bytes} bytes")
    return b"".join([*parts, compressor.flush()])


def _body_pieces(texts: Sequence[Raw], intake_key: str) -> Iterator[bytes | bytearray]:
    """Yield the body piece by piece; each is overwritten by the next."""
    yield b'{"intake_key":%b,"jsons":[' % orjson.dumps(intake_key)
    piece = bytearray()
    for start in range(0, len(texts), _TEXTS_IN_A_PIECE):
        try:
            strings = [str(text, "utf-8") for text in texts[start : start + _TEXTS_IN_A_PIECE]]
        except UnicodeDecodeError:
            raise BatchRejected("because it is not valid UTF-8") from None
        _encode_into(strings, piece)
        # A list was encoded: its brackets give way to a comma and to nothing, so that the pieces
        # join to one list and no text is copied.
        piece[0] = ord("," if start else " ")
        piece.pop()
        yield piece
    yield b"]}"
