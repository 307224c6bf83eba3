"""What was delivered: the keys of events, filed by the hour they happened in.

It answers which events are new, and how many of a span are known. On disk (local or S3):

- `journal-<number>`: what one commit added, written once; so a commit costs what is new.
- `hour-<hour>-<number>-<count>`: all of an hour up to a journal number, folded together now and
  then. What a fold replaces stays until the next fold, as the copy to fall back to.

Each file carries its checksum. Memory holds the counts, the entries not yet folded, and the keys
of the few hours in use. Knows nothing of windows or of delivery.
"""

import threading
import zlib
from array import array
from bisect import bisect_right
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from jumpcloud_modules import storage
from jumpcloud_modules.events import Events
from jumpcloud_modules.instants import HOUR_MS, MINUTE_MS, from_ms, to_ms

MOST_KEYS_IN_USE = 40_000
MOST_HOURS_IN_USE = 64
MOST_UNFOLDED_ENTRIES = 60_000
MOST_UNFOLDED_FILES = 240
UNDATED_HOUR = 0
"""The hour that events without a usable time are filed under; it is never pruned."""

_MAGIC = b"JCL1"


@dataclass(slots=True)
class _Entries:
    """Columns of one hour's entries: keys, and the minute of the hour."""

    keys: "array[int]" = field(default_factory=lambda: array("Q"))
    minutes: "array[int]" = field(default_factory=lambda: array("B"))

    def extend(self, other: "_Entries") -> None:
        self.keys.extend(other.keys)
        self.minutes.extend(other.minutes)


@dataclass(slots=True)
class _Hour:
    """One hour in use: its keys, and how many of them each minute has."""

    keys: set[int]
    minutes: list[int]


@dataclass(frozen=True, slots=True)
class _HourFile:
    path: Path
    hour: int
    folded_to: int
    count: int


class Ledger:
    """Keep the keys of delivered events in a folder.

    The folder is read at first use. One thread at a time may commit; the other methods may be
    called from any thread.
    """

    def __init__(self, folder: Path, tell: Callable[[str], None] = lambda _: None) -> None:
        self._folder = folder
        self._tell = tell
        self._lock = threading.RLock()
        self._in_use: OrderedDict[int, _Hour] = OrderedDict()
        self._claimed: set[int] = set()
        self._pending: dict[int, _Entries] = {}
        self._journal: dict[int, _Entries] = {}
        self._files: dict[int, _HourFile] = {}
        self._replaced: list[Path] = []
        self._journal_paths: list[Path] = []
        self._next_number = 1
        self._is_loaded = False
        self._is_bare = True

    def claim(self, events: Events) -> Events:
        """Return the events that were neither delivered nor claimed, and claim them.

        Whoever claims must `record` or `release`. Raises StateUnavailable, with nothing claimed.
        """
        with self._lock:
            self._load_once()
            hours = {UNDATED_HOUR, *(number for number, _ in _by_hour(events))}
            known = [self._hour(number).keys for number in sorted(hours)]
            fresh = _unknown(events, [self._claimed, *known])
            self._claimed.update(fresh.keys)
        return fresh

    def release(self, events: Events) -> None:
        """Give up a claim."""
        with self._lock:
            self._claimed.difference_update(events.keys)

    def record(self, events: Events, not_before_ms: int) -> None:
        """File claimed events as delivered, to be written at the next commit.

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
        entries = _Entries(array("Q", events.keys), array("B", minutes))
        self._pending_of(number).extend(entries)
        if hour := self._in_use.get(number):  # one put away meanwhile is read at its next use
            hour.keys.update(events.keys)
            for minute, count in Counter(minutes).items():
                hour.minutes[minute] += count
        self._claimed.difference_update(events.keys)

    def count(self, start_ms: int, end_ms: int) -> int:
        """Return how many delivered events happened in a span, rounded out to whole minutes."""
        with self._lock:
            self._load_once()
            first, last = start_ms // MINUTE_MS, -(-end_ms // MINUTE_MS)
            total = 0
            minute = first
            while minute < last:
                number = minute // 60
                end = min(last, (number + 1) * 60)
                if minute == number * 60 and end == minute + 60:
                    total += self._count_of_hour(number)
                elif self._count_of_hour(number):
                    total += sum(self._hour(number).minutes[minute % 60 : end - number * 60])
                minute = end
            return total

    def is_missing(self) -> bool:
        """Tell whether there are no files, not even those of a ledger without events.

        Raises StateUnavailable.
        """
        with self._lock:
            self._load_once()
            return self._is_bare

    def commit(self) -> None:
        """Write what was recorded since the last commit, the first time even if that is nothing.

        Raises StateUnavailable.
        """
        with self._lock:
            self._load_once()
            if not self._pending and not self._is_bare:
                return
            path = self._folder / f"journal-{self._next_number:010d}"
            storage.write_once(path, _packed(self._pending))
            self._is_bare = False
            self._next_number += 1
            self._journal_paths.append(path)
            for number, entries in self._pending.items():
                self._journal.setdefault(number, _Entries()).extend(entries)
            self._pending.clear()
            if self._is_fold_due():
                self._fold()

    def prune(self, before_ms: int, keep_ms: Iterable[int]) -> None:
        """Forget the hours that end before an instant, but for those that hold an instant kept."""
        with self._lock:
            self._load_once()
            kept = {instant_ms // HOUR_MS for instant_ms in keep_ms} | {UNDATED_HOUR}
            limit = before_ms // HOUR_MS
            for number in [n for n in self._known_hours() if n < limit and n not in kept]:
                self._in_use.pop(number, None)
                self._journal.pop(number, None)
                if file := self._files.pop(number, None):
                    storage.remove(file.path)

    def _known_hours(self) -> set[int]:
        return {*self._files, *self._journal, *self._in_use} - set(self._pending)

    def _count_of_hour(self, number: int) -> int:
        if hour := self._in_use.get(number):
            return len(hour.keys)
        file = self._files.get(number)
        unfolded = (self._journal.get(number), self._pending.get(number))
        return (file.count if file else 0) + sum(len(e.keys) for e in unfolded if e)

    def _pending_of(self, number: int) -> _Entries:
        return self._pending.setdefault(number, _Entries())

    def _hour(self, number: int) -> _Hour:
        hour = self._in_use.get(number)
        if hour is None:
            hour = self._in_use[number] = self._loaded(number)
            self._put_away()
        self._in_use.move_to_end(number)
        return hour

    def _loaded(self, number: int) -> _Hour:
        entries = self._entries_on_disk(number)
        for more in (self._journal.get(number), self._pending.get(number)):
            if more:
                entries.extend(more)
        minutes = entries.minutes.tobytes()
        return _Hour(set(entries.keys), [minutes.count(minute) for minute in range(60)])

    def _put_away(self) -> None:
        total = sum(len(h.keys) for n, h in self._in_use.items() if n != UNDATED_HOUR)
        for number in list(self._in_use)[:-1]:
            if total <= MOST_KEYS_IN_USE and len(self._in_use) <= MOST_HOURS_IN_USE:
                return
            if number != UNDATED_HOUR:
                total -= len(self._in_use.pop(number).keys)

    def _entries_on_disk(self, number: int) -> _Entries:
        file = self._files.get(number)
        if not file:
            return _Entries()
        found = _unpacked(storage.read(file.path))
        if found is None:
            self._tell(
                f"The ledger file {file.path} is damaged: the {file.count} events of its hour are"
                " no longer known as delivered and may be delivered once more."
            )
            del self._files[number]
            return _Entries()
        return found.get(number, _Entries())

    def _is_fold_due(self) -> bool:
        entries = sum(len(entries.keys) for entries in self._journal.values())
        return entries > MOST_UNFOLDED_ENTRIES or len(self._journal_paths) > MOST_UNFOLDED_FILES

    def _fold(self) -> None:
        """Move the journal into the files of its hours, and drop what the last fold replaced."""
        folded_to = self._next_number - 1
        replaced = list(self._journal_paths)
        for number in list(self._journal):
            entries = self._entries_on_disk(number)
            entries.extend(self._journal[number])
            name = f"hour-{number}-{folded_to:010d}-{len(entries.keys)}"
            storage.write_atomically(self._folder / name, _packed({number: entries}))
            if old := self._files.get(number):
                replaced.append(old.path)
            self._files[number] = _HourFile(
                self._folder / name, number, folded_to, len(entries.keys)
            )
            del self._journal[number]
        for path in self._replaced:
            storage.remove(path)
        self._replaced = replaced
        self._journal_paths.clear()

    def _load_once(self) -> None:
        """Read the folder at first use, and again from its beginning where that failed."""
        if self._is_loaded:
            return
        self._files.clear()
        self._journal.clear()
        self._replaced.clear()
        self._journal_paths.clear()
        self._load()
        self._is_loaded = True

    def _load(self) -> None:
        journals: dict[int, Path] = {}
        hours: dict[int, list[_HourFile]] = {}
        for path in storage.files(self._folder):
            kind, *parts = path.name.split("-")
            numbers = [int(part) for part in parts if part.isdigit()]
            if kind == "journal" and len(numbers) == 1:
                journals[numbers[0]] = path
            elif kind == "hour" and len(numbers) == 3:
                hours.setdefault(numbers[0], []).append(_HourFile(path, *numbers))
        self._is_bare = not hours and not journals
        oldest_journal = min(journals, default=None)
        for files in hours.values():
            self._load_hour(sorted(files, key=lambda file: file.folded_to), oldest_journal)
        for number, path in sorted(journals.items()):
            self._load_journal(number, path)

    def _load_hour(self, files: list[_HourFile], oldest_journal: int | None) -> None:
        """Choose an hour's newest file, or what it was made of where it is damaged."""
        self._next_number = max(self._next_number, files[-1].folded_to + 1)
        while files:
            newest = files.pop()
            from_journal = oldest_journal is not None and oldest_journal <= newest.folded_to
            if (files or from_journal) and _unpacked(storage.read(newest.path)) is None:
                self._replaced.append(newest.path)
                self._tell(f"The ledger file {newest.path} is damaged: its last copy is used.")
                continue
            self._files[newest.hour] = newest
            self._replaced += [file.path for file in files]
            return

    def _load_journal(self, number: int, path: Path) -> None:
        self._next_number = max(self._next_number, number + 1)
        found = _unpacked(storage.read(path))
        if found is None:
            self._tell(
                f"The ledger file {path} is damaged, as a crash leaves it: what was delivered"
                " in its last moments may be delivered once more."
            )
            storage.remove(path)
            return
        waiting = False
        for hour, entries in found.items():
            file = self._files.get(hour)
            if file is None or file.folded_to < number:
                self._journal.setdefault(hour, _Entries()).extend(entries)
                waiting = True
        (self._journal_paths if waiting else self._replaced).append(path)


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
        end = bisect_right(events.times, hour, start, key=_hour_of)
        yield events[start:end]
        start = end


def _hour_of(time: datetime) -> int:
    return to_ms(time) // HOUR_MS


def _unknown(events: Events, known: Sequence[Set[int]]) -> Events:
    """Return each event once whose key is in none of the sets."""
    keys = set(events.keys)
    if len(keys) == len(events) and all(some.isdisjoint(keys) for some in known):
        return events
    fresh: dict[int, int] = {}
    for place, key in enumerate(events.keys):
        if key not in fresh and not any(key in some for some in known):
            fresh[key] = place
    return events.at(list(fresh.values()))


def _packed(hours: dict[int, _Entries]) -> bytes:
    parts = []
    for number, entries in sorted(hours.items()):
        parts.append(array("q", [number, len(entries.keys)]).tobytes())
        parts += [entries.keys.tobytes(), entries.minutes.tobytes()]
    content = b"".join(parts)
    return _MAGIC + zlib.crc32(content).to_bytes(4, "little") + content


def _unpacked(content: bytes | None) -> dict[int, _Entries] | None:
    """Return the entries by hour, or None where the checksum does not agree."""
    if not content or content[:4] != _MAGIC:
        return None
    if zlib.crc32(content[8:]) != int.from_bytes(content[4:8], "little"):
        return None
    hours: dict[int, _Entries] = {}
    position = 8
    while position < len(content):
        number, count = array("q", content[position : position + 16])
        position += 16
        keys, minutes = array("Q"), array("B")
        keys.frombytes(content[position : position + 8 * count])
        position += 8 * count
        minutes.frombytes(content[position : position + count])
        position += count
        hours[number] = _Entries(keys, minutes)
    return hours
