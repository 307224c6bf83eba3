"""Memory for large bodies, used again as soon as nothing looks into it any more.

Fresh memory is cleared by the kernel, page by page, when it is first written. Knows nothing of what
the bodies hold.
"""

import threading

MIN_KEPT_BYTES = 256 << 10
MAX_KEPT_BYTES = 8 << 20
_SPARE_PART = 16


class Buffers:
    """Lend memory; a few pieces of it are kept."""

    def __init__(self, max_kept: int) -> None:
        self._max_kept = max_kept
        self._kept: list[bytearray] = []
        self._lock = threading.Lock()

    def take(self, min_bytes: int) -> memoryview:
        """Return at least so many bytes, of any content.

        They are the caller's for as long as the view lives, or whatever was made of it without
        copying.
        """
        if not MIN_KEPT_BYTES <= min_bytes <= MAX_KEPT_BYTES:
            return memoryview(bytearray(min_bytes))
        with self._lock:
            free = [buffer for buffer in self._kept if _is_free(buffer)]
            for buffer in free:
                if len(buffer) >= min_bytes:
                    return memoryview(buffer)
            if free:
                self._kept = [kept for kept in self._kept if kept is not free[0]]
            buffer = bytearray(min_bytes + min_bytes // _SPARE_PART)
            if len(self._kept) < self._max_kept:
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
