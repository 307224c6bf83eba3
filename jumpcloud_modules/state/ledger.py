"""What was delivered: the keys of events, filed by the hour they happened in.

It answers which events are new, and how many of a span are known. It belongs to one scope (region,
organization, services), and knows the instant before which it has forgotten. In memory are the
counts, the entries not yet compacted, and the keys of the few hours in use; the rest is on the
disk. Knows nothing of windows or of delivery.
"""

import threading
from array import array
from bisect import bisect_right
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from jumpcloud_modules.events import Events
from jumpcloud_modules.instants import HOUR_MS, MINUTE_MS, from_ms, to_ms
from jumpcloud_modules.state import storage
from jumpcloud_modules.state.claims import Claims
from jumpcloud_modules.state.ledger_files import AHEAD, LedgerFiles
from jumpcloud_modules.state.ledger_format import ByHour, Entries, merge

MAX_KEYS_IN_USE = 40_000
"""Keys held in memory, besides those of the hour in use."""
MAX_HOURS_IN_USE = 64
UNDATED_HOUR = 0
"""The hour that events without a usable time are filed under; it is never pruned."""


@dataclass(frozen=True, slots=True)
class KeysInUse:
    """Say how many keys are held in memory, and of how many hours."""

    keys: int
    hours: int


@dataclass(slots=True)
class _Hour:
    """One hour in use: its keys, and how many of them each minute has."""

    keys: set[int]
    minutes: list[int]


class Ledger:
    """Keep the keys of one scope's delivered events in a folder.

    The folder is read at first use. All methods may be called from any thread.
    """

    def __init__(
        self,
        folder: Path,
        tell: Callable[[str], None] = lambda _: None,
        scope: str = "",
        claims: Claims | None = None,
        keys_in_use: KeysInUse | None = None,
    ) -> None:
        self._files = LedgerFiles(folder, scope, tell)
        self._claims = claims or Claims()
        self._limits = keys_in_use or KeysInUse(MAX_KEYS_IN_USE, MAX_HOURS_IN_USE)
        # Taken in this order: `_write_lock` or `_sync_lock`, then `_lock`. A journal is written and
        # synced without `_lock`, so that others can claim events meanwhile.
        self._lock = threading.RLock()
        self._write_lock = threading.Lock()
        self._sync_lock = threading.Lock()
        self._in_use: OrderedDict[int, _Hour] = OrderedDict()
        self._pending: ByHour = {}
        self._being_written: ByHour = {}
        self._last_hour = AHEAD
        self._is_loaded = False

    @contextmanager
    def claim(self, events: Events) -> Iterator[Events]:
        """Give the events that were not delivered, to one caller for one block.

        Waits while any of them is claimed, since only then is it known whether it is new. However
        the block ends, what it recorded counts as delivered, and the rest is new again. Raises
        StateUnavailable, with nothing claimed.
        """
        keys = set(events.keys)
        with self._claims.taking(keys, lambda: self._fresh(events, keys)) as fresh:
            yield fresh

    def _fresh(self, events: Events, keys: Set[int]) -> Events:
        with self._lock:
            return _unknown(events, keys, self._known_sets(events))

    def delivered(self, events: Events) -> set[int]:
        """Return the keys of those events that were delivered. Raises StateUnavailable."""
        with self._lock:
            keys = set(events.keys)
            return set().union(*(keys & known for known in self._known_sets(events)))

    def _known_sets(self, events: Events) -> list[set[int]]:
        self._load_once()
        # Where an event claims to be older than its query, it is filed as undated; a later query
        # may find it under its own hour.
        hours = {UNDATED_HOUR, *(number for number, _ in _by_hour(events))}
        return [self._hour(number).keys for number in sorted(hours)]

    def record(self, events: Events, not_before_ms: int) -> None:
        """File claimed events as delivered; `write` makes that outlast the process.

        An event that claims to be older than `not_before_ms`, the start of the query that found
        it, is filed as undated: its own time is not where JumpCloud keeps it.
        """
        undated, dated = events.divided_at(from_ms(not_before_ms))
        with self._lock:
            if undated:
                self._file(UNDATED_HOUR, undated)
            for number, of_hour in _by_hour(dated):
                self._file(number, of_hour)

    def _file(self, number: int, events: Events) -> None:
        minutes = bytes([time.minute for time in events.times])
        entries = Entries(array("Q", events.keys), array("B", minutes))
        merge(self._pending, {number: entries})
        if hour := self._in_use.get(number):  # one evicted meanwhile is read at its next use
            hour.keys.update(events.keys)
            for minute, count in Counter(minutes).items():
                hour.minutes[minute] += count
            self._evict()  # many readers fill many hours at once

    def count(self, start_ms: int, end_ms: int) -> int:
        """Return how many delivered events happened in a span, rounded out to whole minutes.

        `end_ms` may be FOREVER_MS.
        """
        first, last = start_ms // MINUTE_MS, -(-end_ms // MINUTE_MS)
        with self._lock:
            self._load_once()
            hours = self._hours_within(range(first // 60, (last - 1) // 60 + 1))
            return sum(self._count_within(number, first, last) for number in hours)

    def _hours_within(self, hours: range) -> Iterable[int]:
        known = self._known_hours() if len(hours) > self._limits.hours else hours
        return [number for number in known if number in hours and number != UNDATED_HOUR]

    def _count_within(self, number: int, first: int, last: int) -> int:
        """Count an hour's events between two minutes since the epoch."""
        start, end = max(0, first - number * 60), min(60, last - number * 60)
        count = self._count_of_hour(number)
        return (
            count if not count or end - start == 60 else sum(self._hour(number).minutes[start:end])
        )

    def know_of(self, other: "Ledger", spans_ms: Iterable[tuple[int, int]]) -> None:
        """Take over another scope's events of the hours that spans touch, without counting them.

        Raises StateUnavailable.
        """
        # Before this ledger's lock is taken: two ledgers never wait for each other.
        keys = other.keys_within(spans_ms)
        with self._lock:
            self._load_once()
            keys -= self._hour(UNDATED_HOUR).keys
            entries = Entries(array("Q", keys), array("B", bytes(len(keys))))
            merge(self._pending, {UNDATED_HOUR: entries})
            self._in_use.pop(UNDATED_HOUR, None)

    def keys_within(self, spans_ms: Iterable[tuple[int, int]]) -> set[int]:
        """Return the keys of the hours that spans touch, and of the events without a time.

        Raises StateUnavailable.
        """
        hours = [(start_ms // HOUR_MS, end_ms // HOUR_MS) for start_ms, end_ms in spans_ms]
        with self._lock:
            self._load_once()
            touched = [
                number
                for number in self._known_hours() - {UNDATED_HOUR}
                if any(first <= number <= last for first, last in hours)
            ]
            return {key for number in (UNDATED_HOUR, *touched) for key in self._hour(number).keys}

    @property
    def forgotten_ms(self) -> int:
        """Return the instant before which events may be forgotten. Raises StateUnavailable."""
        with self._lock:
            self._load_once()
            return self._files.forgotten_ms

    def remember_from(self, start_ms: int) -> None:
        """Note that all from an instant on is read (again) and has to be remembered.

        Copies of forgotten files are removed first: after a restart, their events would count
        twice. Raises StateUnavailable.
        """
        with self._write_lock, self._lock:
            self._load_once()
            if start_ms < self._files.forgotten_ms:
                self._files.compact(self._last_hour)
                self._files.drop_copies()
                self._files.note_forgotten(start_ms)

    def is_missing(self) -> bool:
        """Tell whether there are no files, not even those of a ledger without events.

        Raises StateUnavailable.
        """
        with self._lock:
            self._load_once()
            return self._files.is_empty

    def now_is(self, now_ms: int) -> None:
        """Take note of JumpCloud's time: what happened in a later hour is still to come."""
        self._last_hour = now_ms // HOUR_MS

    def write(self) -> None:
        """Make what was recorded survive a kill; write a first file even for nothing.

        A thread that waits for another's write finds its own events written, too. Raises
        StateUnavailable.
        """
        with self._write_lock:
            while self._is_anything_to_write():
                self._files.add(self._being_written)
                with self._lock:
                    self._files.take_in(self._being_written)
                    self._being_written = {}
                    if self._files.is_compaction_due:
                        self._files.compact(self._last_hour)

    def commit(self) -> None:
        """Make what was recorded survive a power cut. Raises StateUnavailable."""
        self.write()
        with self._sync_lock:
            with self._lock:
                paths = self._files.take_unsynced()
            try:
                for path in paths:
                    storage.sync(path)
                for folder in {path.parent for path in paths}:
                    storage.sync_folder(folder)
            except BaseException:
                with self._lock:
                    self._files.give_back_unsynced(paths)
                raise

    def forget_before(self, before_ms: int, keep_ms: Iterable[int]) -> None:
        """Forget the hours that end before an instant, but for those that hold an instant kept.

        Raises StateUnavailable.
        """
        with self._write_lock, self._lock:
            self._load_once()
            kept = {instant_ms // HOUR_MS for instant_ms in keep_ms} | {UNDATED_HOUR}
            limit = before_ms // HOUR_MS
            old = [n for n in self._known_hours() if n < limit and n not in kept]
            # The next write would bring back an hour of which something is not written yet.
            unwritten = {*self._being_written, *self._pending}
            old = [number for number in old if number not in unwritten]
            self._files.forget(old, limit * HOUR_MS)
            for number in old:
                self._in_use.pop(number, None)

    def _is_anything_to_write(self) -> bool:
        """Choose what is written next, and tell whether there is anything.

        Until `take_in` it is neither pending nor in a file that is known: whoever looks for keys
        looks there, too. After a failure it is the very same once more: the write that failed may
        yet have an effect, however late, and must not put a file back that has more in it by then.
        """
        with self._lock:
            self._load_once()
            if not self._being_written:
                self._being_written, self._pending = self._pending, {}
            return bool(self._being_written) or self._files.is_empty

    def _known_hours(self) -> set[int]:
        return {*self._files.hours(), *self._in_use, *self._being_written, *self._pending}

    def _count_of_hour(self, number: int) -> int:
        if hour := self._in_use.get(number):
            return len(hour.keys)
        unwritten = (self._being_written.get(number), self._pending.get(number))
        return self._files.count(number) + sum(len(e.keys) for e in unwritten if e)

    def _hour(self, number: int) -> _Hour:
        hour = self._in_use.get(number)
        if hour is None:
            hour = self._in_use[number] = self._loaded(number)
            self._evict()
        self._in_use.move_to_end(number)
        return hour

    def _loaded(self, number: int) -> _Hour:
        entries = self._files.entries(number)
        for more in (self._being_written.get(number), self._pending.get(number)):
            if more:
                entries.extend(more)
        minutes = entries.minutes.tobytes()
        return _Hour(set(entries.keys), [minutes.count(minute) for minute in range(60)])

    def _evict(self) -> None:
        total = sum(len(h.keys) for n, h in self._in_use.items() if n != UNDATED_HOUR)
        # Never the hour used last: the next page is most likely of that hour.
        for number in list(self._in_use)[:-1]:
            if total <= self._limits.keys and len(self._in_use) <= self._limits.hours:
                return
            if number != UNDATED_HOUR:
                total -= len(self._in_use.pop(number).keys)

    def _load_once(self) -> None:
        """Read the folder at first use, and again from its beginning where that failed."""
        if not self._is_loaded:
            self._files.load()
            self._is_loaded = True


def _by_hour(events: Events) -> Iterator[tuple[int, Events]]:
    """Yield events by the hour they happened in."""
    runs = list(_runs(events))
    if not all(_hour_of(min(run.times)) == _hour_of(max(run.times)) for run in runs):
        runs = list(_runs(events.by_time()))
    for run in runs:
        yield _hour_of(run.times[0]), run


def _runs(events: Events) -> Iterator[Events]:
    """Cut events into runs of one hour each, if they come in the order of their hours."""
    start = 0
    while start < len(events):
        hour = _hour_of(events.times[start])
        # Pages are sorted by time: an hour's end is found without looking at each event.
        end = bisect_right(events.times, hour, start, key=_hour_of)
        yield events[start:end]
        start = end


def _hour_of(time: datetime) -> int:
    return to_ms(time) // HOUR_MS


def _unknown(events: Events, keys: Set[int], known: Sequence[Set[int]]) -> Events:
    """Return each event once whose key is in none of the sets; `keys` are the events' own."""
    known_keys = set().union(*(keys & some for some in known))
    if not known_keys and len(keys) == len(events):
        return events
    fresh: dict[int, int] = {}
    for place, key in enumerate(events.keys):
        if key not in known_keys:
            fresh.setdefault(key, place)
    return events.at(list(fresh.values()))
