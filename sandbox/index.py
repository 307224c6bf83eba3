"""What one organization has published: findable by time, each event from its `visible_ms` on.

Knows events; knows no API. Not thread-safe.
"""

from __future__ import annotations

import heapq
import itertools
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence

from sandbox.events import Event
from sandbox.query import Buckets

_MANY = 1_000

Key = tuple[int, str]


class Shelf:
    """Events in the order of the index, findable by time and document id."""

    def __init__(self) -> None:
        self._keys: list[Key] = []
        self._events: list[Event] = []

    def __len__(self) -> int:
        return len(self._events)

    def add(self, events: Sequence[Event]) -> None:
        """Put events in their places: at the end at no cost, elsewhere a few at a time."""
        events = sorted(events, key=_key)
        if events and (not self._keys or _key(events[0]) > self._keys[-1]):
            self._events += events
            self._keys += map(_key, events)
            return
        if len(events) > _MANY:
            self._events = sorted([*self._events, *events], key=_key)
            self._keys = [_key(event) for event in self._events]
            return
        for event in events:
            place = bisect_right(self._keys, _key(event))
            self._keys.insert(place, _key(event))
            self._events.insert(place, event)

    def bounds(self, start_ms: int, end_ms: int | None) -> tuple[int, int]:
        """Find where `[start_ms, end_ms)` begins and ends."""
        low = bisect_left(self._keys, (start_ms,))
        high = len(self._keys) if end_ms is None else bisect_left(self._keys, (end_ms,))
        return low, max(low, high)

    def after(self, cursor: Key) -> int:
        """Find the first place behind a cursor."""
        return bisect_right(self._keys, cursor)

    def before(self, cursor: Key) -> int:
        """Find the end of the places in front of a cursor."""
        return bisect_left(self._keys, cursor)

    def events(self, low: int, high: int) -> list[Event]:
        """Copy a range of events."""
        return self._events[low:high]

    def groups(self, low: int, high: int, buckets: Buckets) -> Iterable[tuple[int, int, int]]:
        """Yield (bucket start in ms, low, high) of each bucket that holds events."""
        while low < high:
            since_ms = self._keys[low][0] - buckets.offset_ms
            start_ms = since_ms // buckets.width_ms * buckets.width_ms + buckets.offset_ms
            end = bisect_left(self._keys, (start_ms + buckets.width_ms,), low, high)
            yield start_ms, low, end
            low = end


class Index:
    """An organization's shelf, and the events that are not visible yet."""

    def __init__(self) -> None:
        self._shelf = Shelf()
        self._waiting: list[tuple[int, int, Event]] = []
        self._numbers = itertools.count()

    def add(self, events: Iterable[Event], now_ms: int) -> None:
        """Let events exist."""
        visible = []
        for event in events:
            if event.visible_ms <= now_ms:
                visible.append(event)
            else:
                heapq.heappush(self._waiting, (event.visible_ms, next(self._numbers), event))
        self._shelf.add(visible)

    def shelf(self, now_ms: int) -> Shelf:
        """Return all that is visible by now."""
        due = []
        while self._waiting and self._waiting[0][0] <= now_ms:
            due.append(heapq.heappop(self._waiting)[2])
        if due:
            self._shelf.add(due)
        return self._shelf


def _key(event: Event) -> Key:
    return event.time_ms, event.document_id
