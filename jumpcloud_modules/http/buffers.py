"""A pool of memory for large bodies: a buffer is used again once nothing refers to it any more.

Without it the peak of memory is a tenth higher (docs/performance.md). Knows nothing of what the
bodies hold.
"""

import threading

MIN_KEPT_BYTES = 256 << 10
MAX_KEPT_BYTES = 8 << 20
_SPARE_PART = 16


class Buffers:
    """Lend buffers, and keep a few of them for the next call."""

    def __init__(self, max_kept: int) -> None:
        self._max_kept = max_kept
        self._kept: list[bytearray] = []
        self._lock = threading.Lock()

    def take(self, min_bytes: int) -> memoryview:
        """Return at least so many bytes, of any content.

        They are the caller's for as long as the view lives, or whatever was made of it without
        copying.
        """
        # Small blocks are the allocator's own business, and one huge page must not hold its memory
        # for ever.
        if not MIN_KEPT_BYTES <= min_bytes <= MAX_KEPT_BYTES:
            return memoryview(bytearray(min_bytes))
        with self._lock:
            free = [buffer for buffer in self._kept if _is_free(buffer)]
            for buffer in free:
                if len(buffer) >= min_bytes:
                    return memoryview(buffer)
            # All free ones are too small: one of them gives way, or the pool would stay full of
            # buffers that no page fits into.
            if free:
                self._kept = [kept for kept in self._kept if kept is not free[0]]
            # The pages of a stream are of similar size: with some spare room, the next one fits as
            # well.
            buffer = bytearray(min_bytes + min_bytes // _SPARE_PART)
            if len(self._kept) < self._max_kept:
                self._kept.append(buffer)
            return memoryview(buffer)


def _is_free(buffer: bytearray) -> bool:
    """Tell whether nothing refers to a buffer: Python refuses to resize it otherwise."""
    try:
        # A bytearray with a memoryview on it cannot change its size, so Python itself counts the
        # users: no caller has to give anything back.
        last = buffer.pop()
    except BufferError:
        return False
    buffer.append(last)
    return True
