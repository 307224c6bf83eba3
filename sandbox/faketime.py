"""A machine's clock that is wrong, for one process: libfaketime, where the machine has it.

Steps the wall clock while the process runs; its monotonic clock and its timeouts stay right. Knows
no connector.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from pathlib import Path

# The library for programs with threads: it reads the offset under a lock.
_PLACES = ("lib*/faketime/libfaketimeMT.so.1", "lib/*/faketime/libfaketimeMT.so.1")
LIBRARY = next((path for place in _PLACES for path in Path("/usr").glob(place)), None)
MISSING = "libfaketime is not installed (Debian's package is called faketime)"

# Debian's 0.9.10 breaks Python's `time.sleep` where the monotonic clock is left alone: it takes an
# instant of that clock for one of the wall clock (wolfcw/libfaketime#426). Waits on events, locks
# and sockets are right as they are.
_SLEEP = """\
import select
import time

time.sleep = lambda seconds: select.select((), (), (), seconds) and None
"""


class FakeClock:
    """The wall clock of a process that is started with `variables`; ahead, or behind (below 0).

    It holds from a step on, also over a restart of the process.
    """

    def __init__(self, ahead_seconds: float = 0.0) -> None:
        if LIBRARY is None:
            raise RuntimeError(MISSING)
        self._folder = Path(tempfile.mkdtemp(prefix="sandbox-clock-"))
        weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        (self._folder / "sitecustomize.py").write_text(_SLEEP)
        self._offset = self._folder / "offset"
        self.ahead_seconds = 0.0
        self._set(ahead_seconds)

    def step(self, seconds: float) -> None:
        """Set the clock forward by so much, or back (below 0)."""
        self._set(self.ahead_seconds + seconds)

    def right(self) -> None:
        """Mend the clock."""
        self._set(0.0)

    @property
    def variables(self) -> dict[str, str]:
        """Return what the process must find in its environment, and no other process should."""
        return {
            "LD_PRELOAD": str(LIBRARY),
            "FAKETIME_TIMESTAMP_FILE": str(self._offset),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
            "PYTHONPATH": str(self._folder),
        }

    def clean_up_after(self, pid: int) -> None:
        """Remove what a killed process leaves in the shared memory."""
        for name in (f"faketime_shm_{pid}", f"sem.faketime_sem_{pid}"):
            (Path("/dev/shm") / name).unlink(missing_ok=True)  # noqa: S108 - its place on Linux

    def _set(self, ahead_seconds: float) -> None:
        self.ahead_seconds = ahead_seconds
        written = self._offset.with_suffix(".new")
        written.write_text(f"{ahead_seconds:+.3f}\n")
        written.replace(self._offset)  # at once: half an offset would be another one
