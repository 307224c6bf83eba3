"""How many files this process may have open: on a disk, each state it owns is one of them."""

import contextlib
import resource
import sys


def raise_limit() -> int:
    """Allow as many open files as the system lets this process have; return how many those are.

    The usual 1,024 are meant for programs that call select(), which nothing here does.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # macOS names no limit here, and refuses to set it so.
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft
