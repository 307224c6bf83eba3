"""Memory for large bodies, used again as soon as nothing looks into it any more.

Fresh memory is cleared by the kernel, page by page, when it is first written. Knows nothing of what
the bodies hold.
"""

import threading

LEAST_KEPT_BYTES = 256 << 10
MOST_KEPT_BYTES = 8 << 20
_SPARE_PART = 16


class Buffers:
    """Lend memory; a few pieces of it are kept."""

    def __init__(self, most_kept: int) -> None:
        self._most_kept = most_kept
        self._kept: list[bytearray] = []
        self._lock = threading.Lock()

    def take(self, least_bytes: int) -> memoryview:
        """Return at least so many bytes, of any content.

        They are the caller's for as long as the view lives, or whatever was made of it without
        copying.
        """
        if not LEAST_KEPT_BYTES <= least_bytes <= MOST_KEPT_BYTES:
            return memoryview(bytearray(least_bytes))
        with self._lock:
            free = [buffer for buffer in self._kept if _is_free(buffer)]
            for buffer in free:
                if len(buffer) >= least_bytes:
                    return memoryview(buffer)
            if free:
                self._kept = [kept for kept in self._kept if kept is not free[0]]
            buffer = bytearray(least_bytes + least_bytes // _SPARE_PART)
            if len(self._kept) < self._most_kept:
                self._kept.append(buffer)
            return memoryview(buffer)


def _is_free(buffer: bytearray) -> bool:
    """Tell whether nothing looks into it: Python refuses to resize it otherwise."""
    try:
        last = buffer.pop()
    except BufferError:
        return False
    buffer.append(last)
    return True
