"""Tell whether a process of this machine has ended, by a name that is never used twice.

Names come from Linux' /proc. Where that is missing, or the process ran elsewhere (another machine,
another boot, another container), it counts as still running.
"""

import os
from pathlib import Path

_PROC = Path("/proc")
_START_FIELD = 19  # of /proc/<pid>/stat, counted after the name in brackets; see proc(5)


def name_of_this() -> str | None:
    """Return this process's unique name: boot, process namespace, number, start."""
    started = _start_of(os.getpid())
    place = _place()
    return f"{place} {os.getpid()} {started}" if place and started else None


def has_ended(name: str | None) -> bool:
    """Tell whether a process of that name ran here, and surely runs no more."""
    place, _, rest = (name or "").partition(" ")
    number, _, started = rest.partition(" ")
    if not place or place != _place() or not number.isdecimal() or not started:
        return False
    found = _start_of(int(number))
    # Numbers are used again after a while, by a process with another start.
    return _is_nobody(int(number)) if found is None else found != started


def _place() -> str | None:
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{(_PROC / 'self/ns/pid').readlink()}"
    except OSError:
        return None


def _is_nobody(number: int) -> bool:
    """Tell whether no process has this number: /proc may hide those of other users."""
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):  # another user's
        pass
    return False


def _start_of(number: int) -> str | None:
    """Return when a process started, in the kernel's ticks: "" once it ended, None if unseen."""
    try:
        # The name in brackets may itself hold spaces and brackets.
        fields = (_PROC / str(number) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    # Z and X are processes that have ended, but whose parent has not asked for their status.
    is_over = len(fields) <= _START_FIELD or fields[0] in "ZX"
    return "" if is_over else fields[_START_FIELD]
