"""How many files this process may have open: on a disk, each state it owns is one of them."""

import contextlib
import resource
import sys
from typing import Final

ROOM_FOR_THE_REST: Final = 128
"""Files that states of many organizations leave to connections, ports and what is just written."""


def are_too_many(descriptor: int) -> bool:
    """Tell whether a file that stays open takes the room of what comes and goes.

    The system gives the lowest number that is free, so the number tells how many files are open.
    """
    return descriptor >= resource.getrlimit(resource.RLIMIT_NOFILE)[0] - ROOM_FOR_THE_REST > 0


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
