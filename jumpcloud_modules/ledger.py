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
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from jumpcloud_modules import storage
from jumpcloud_modules.events import Event
from jumpcloud_modules.instants import HOUR_MS, MINUTE_MS

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

    def claim(self, events: Sequence[Event]) -> list[Event]:
        """Return the events that were neither delivered nor claimed, and claim them.

        Whoever claims must `record` or `release`. Raises StateUnavailable, with nothing claimed.
        """
        with self._lock:
            self._load_once()
            hours = {e.time_ms // HOUR_MS for e in events if e.time_ms is not None}
            known = [self._hour(number).keys for number in (UNDATED_HOUR, *sorted(hours))]
            fresh = _unknown(events, [self._claimed, *known])
            self._claimed.update({event.key for event in fresh})
        return fresh

    def release(self, events: Iterable[Event]) -> None:
        """Give up a claim."""
        with self._lock:
            self._claimed.difference_update(event.key for event in events)

    def record(self, events: Iterable[Event], not_before_ms: int) -> None:
        """File claimed events as delivered, to be written at the next commit.

        An event that claims to be older than `not_before_ms`, the start of the query that found
        it, is filed as undated: its own time is not where JumpCloud keeps it.
        """

        def hour_of(event: Event) -> int:
            time_ms = event.time_ms
            if time_ms is None or time_ms < not_before_ms:
                return UNDATED_HOUR
            return time_ms // HOUR_MS

        with self._lock:
            for number, group in groupby(events, hour_of):
                self._file(number, list(group))

    def _file(self, number: int, events: list[Event]) -> None:
        keys = [event.key for event in events]
        minutes = [(event.time_ms or 0) // MINUTE_MS % 60 for event in events]
        pending = self._pending_of(number)
        pending.keys.extend(keys)
        pending.minutes.extend(minutes)
        if hour := self._in_use.get(number):  # one put away meanwhile is read at its next use
            hour.keys.update(keys)
            for minute, count in Counter(minutes).items():
                hour.minutes[minute] += count
        self._claimed.difference_update(keys)

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


def _unknown(events: Sequence[Event], known: Sequence[Set[int]]) -> list[Event]:
    """Return each event once whose key is in none of the sets."""
    keys = {event.key for event in events}
    if len(keys) == len(events) and all(some.isdisjoint(keys) for some in known):
        return list(events)
    fresh: dict[int, Event] = {}
    for event in events:
        if event.key not in fresh and not any(event.key in some for some in known):
            fresh[event.key] = event
    return list(fresh.values())


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
