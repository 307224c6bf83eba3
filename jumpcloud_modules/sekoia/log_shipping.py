"""Send log records to the platform, which may be slow or down.

Adding a record never waits. A background thread sends them and goes on trying; past the bound the
oldest are dropped, and counted.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import requests

MAX_RECORDS = 5_000
"""Log records that wait for the platform; beyond it the oldest are dropped."""
MAX_RECORDS_AT_ONCE = 500
MAX_DELAY_SECONDS = 30.0
_TIMEOUT_SECONDS: Final = (5.0, 15.0)
_REFUSED_FOR_GOOD: Final = (400, 413, 422)

Record = dict[str, Any]


class PlatformLogs:
    """Send log records through `post`, which raises when it fails."""

    def __init__(self, post: Callable[[list[Record]], None]) -> None:
        self._post = post
        self._records: deque[Record] = deque()
        self._dropped = 0
        self._lock = threading.Lock()
        self._filled = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def ship(self, records: Iterable[Record]) -> None:
        """Have records sent soon."""
        with self._lock:
            self._records.extend(records)
            while len(self._records) > MAX_RECORDS:
                self._records.popleft()
                self._dropped += 1
            if self._records and self._thread is None:
                self._thread = threading.Thread(target=self._run, name="logs", daemon=True)
                self._thread.start()
        self._filled.set()

    def close(self, timeout_seconds: float) -> None:
        """Wait a moment for what is left to be sent."""
        self._closing.set()
        self._filled.set()
        if self._thread is not None:
            self._thread.join(timeout_seconds)

    def _run(self) -> None:
        delay_seconds = 1.0
        while not (self._closing.is_set() and not self._records):
            self._filled.wait()
            # Before the records are taken: one that is added meanwhile sets it again.
            self._filled.clear()
            while batch := self._take():
                try:
                    self._post(batch)
                except Exception:  # noqa: BLE001 -- whatever fails, it is tried again
                    self._put_back(batch)
                    if self._closing.wait(delay_seconds):
                        return
                    delay_seconds = min(MAX_DELAY_SECONDS, delay_seconds * 2)
                else:
                    delay_seconds = 1.0

    def _take(self) -> list[Record]:
        with self._lock:
            count = min(len(self._records), MAX_RECORDS_AT_ONCE)
            batch = [self._records.popleft() for _ in range(count)]
            if batch and self._dropped:
                batch.append(_record_of_dropped(self._dropped))
                self._dropped = 0
            return batch

    def _put_back(self, batch: list[Record]) -> None:
        with self._lock:
            # To the front and in their order. Where that is too many, the next `ship` drops the
            # oldest.
            self._records.extendleft(reversed(batch))


def post(url: str, headers: Mapping[str, str], records: list[Record]) -> None:
    """Post records to the platform. Raises RequestException where they have to be sent again.

    Not where the platform refuses their content: it would do so for ever.
    """
    answer = requests.post(
        url,
        json={"logs": records},
        headers=headers,
        timeout=_TIMEOUT_SECONDS,
        allow_redirects=False,
    )
    if answer.status_code not in _REFUSED_FOR_GOOD:
        answer.raise_for_status()


def _record_of_dropped(count: int) -> Record:
    return {
        "date": datetime.now(UTC).replace(tzinfo=None).isoformat(),
        "level": "warning",
        "message": f"{count} log messages were dropped while the platform took none.",
    }
