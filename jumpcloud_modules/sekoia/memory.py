"""Settings of the C library that have freed memory go back to the system.

glibc gives each thread an arena of its own, and keeps large blocks for later: memory that no other
thread can use.
"""

import ctypes

_M_TRIM_THRESHOLD = -1  # malloc.h
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
_LARGE_BYTES = 2 << 20
_KEPT_BYTES = 8 << 20


def keep_small() -> None:
    """Make threads that start from now on share one arena, and give large blocks back at once.

    What small blocks leave free is kept up to a bound: to give it back and take it again costs a
    page fault every 4 KiB. A C library without such settings stays as it is.
    """
    # The C library that the process has loaded anyway. musl has no mallopt.
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
