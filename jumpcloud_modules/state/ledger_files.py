"""The ledger on disk: a journal, compacted into a file for each hour now and then.

- `about.json`: whose ledger it is, and the instant before which it has forgotten.
- `journal-<number>`: what one write added, written once; so a write costs what is new.
- `hour-<hour>-<number>-<count>`: all of an hour up to a journal number. Hours that are still to
  come share one file, under the hour AHEAD. What a compaction replaces stays until the next
  one, as the copy to fall back to.

`ledger_format` says what a file holds. Knows nothing of events, claims, or windows. Not
thread-safe.
"""

from collections.abc import Callable, Iterable, Set
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TypedDict

import orjson

from jumpcloud_modules.instants import FOREVER_MS, HOUR_MS
from jumpcloud_modules.state import storage
from jumpcloud_modules.state.ledger_format import ByHour, Entries, merge, packed, unpacked

MAX_UNCOMPACTED_ENTRIES = 60_000
"""Entries in the journal before it is compacted."""
MAX_UNCOMPACTED_FILES = 240
"""Files of the journal before it is compacted."""
ABOUT_FILE_NAME = "about.json"
AHEAD = FOREVER_MS // HOUR_MS
"""Stands for all hours that are still to come."""


@dataclass(frozen=True, slots=True)
class _HourFile:
    path: Path
    hour: int
    compacted_to: int
    count: int


class LedgerFiles:
    """Read and write one scope's ledger in a folder, or beside another scope's in a folder below.

    Every method but `add` changes or reads what is in memory, so they take turns.
    """

    def __init__(self, folder: Path, scope: str, tell: Callable[[str], None]) -> None:
        self._root = self._folder = folder
        self._scope = scope
        self._tell = tell
        self._uncompacted: ByHour = {}
        self._ahead: ByHour = {}
        self._hours: dict[int, _HourFile] = {}
        self._replaced: list[Path] = []
        self._being_replaced: list[Path] = []
        self._journals: list[Path] = []
        self._next_number = 1
        self._unsynced: set[Path] = set()
        self._ahead_file: _HourFile | None = None
        self._is_described = False
        self.is_bare = True
        self.forgotten_ms = 0

    def load(self) -> None:
        """Read what the folder holds. Raises StateUnavailable; then it can be tried again."""
        self._choose_folder()
        self._uncompacted, self._ahead, self._hours = {}, {}, {}
        self._replaced, self._journals, self._ahead_file = [], [], None
        self._unsynced = set()
        journals, hours = self._listed()
        self.is_bare = not (self._is_described or hours or journals)
        oldest_journal = min(journals, default=None)
        for files in hours.values():
            self._load_hour(files, oldest_journal)
        lost = hours.keys() - self._hours.keys()
        compacted_to = self._load_ahead(self._hours.pop(AHEAD, None), hours.get(AHEAD, []), lost)
        compacted_to |= {hour: file.compacted_to for hour, file in self._hours.items()}
        for number, path in sorted(journals.items()):
            self._load_journal(number, path, compacted_to)

    def hours(self) -> set[int]:
        """Return the hours of which anything is written down."""
        return {*self._hours, *self._uncompacted, *self._ahead}

    def count(self, hour: int) -> int:
        """Return how many entries of an hour are written down."""
        file, ahead = self._hours.get(hour), self._ahead.get(hour)
        compacted = file.count if file else len(ahead.keys) if ahead else 0
        uncompacted = self._uncompacted.get(hour)
        return compacted + (len(uncompacted.keys) if uncompacted else 0)

    def entries(self, hour: int) -> Entries:
        """Return the entries of an hour. Raises StateUnavailable."""
        entries = self._compacted(hour)
        if uncompacted := self._uncompacted.get(hour):
            entries.extend(uncompacted)
        return entries

    def add(self, entries: ByHour) -> None:
        """Write entries so that they survive a kill; `take_in` is next. Raises StateUnavailable."""
        # First: a journal without it would be taken by any scope.
        if not self._is_described:
            self._write_about(self.forgotten_ms)
        storage.write_once(self._next_journal, packed(entries))

    def take_in(self, entries: ByHour) -> None:
        """Take note that entries were written."""
        merge(self._uncompacted, entries)
        self._journals.append(self._next_journal)
        self._unsynced.add(self._next_journal)
        self._next_number += 1
        self.is_bare = False

    def take_unsynced(self) -> set[Path]:
        """Return the files that are not synced yet, for the caller to sync."""
        paths, self._unsynced = self._unsynced, set()
        return paths

    def give_back_unsynced(self, paths: set[Path]) -> None:
        """Take note that files could not be synced."""
        self._unsynced |= paths

    @property
    def is_compaction_due(self) -> bool:
        """Tell whether the journal has grown long."""
        entries = sum(len(entries.keys) for entries in self._uncompacted.values())
        return entries > MAX_UNCOMPACTED_ENTRIES or len(self._journals) > MAX_UNCOMPACTED_FILES

    def compact(self, last_hour: int) -> None:
        """Move the journal into the files of its hours, and drop what the last compaction replaced.

        Hours after `last_hour` are still to come. Raises StateUnavailable.
        """
        for number in sorted({*self._uncompacted, *self._ahead}):
            if number <= last_hour or number in self._hours:
                old = self._hours.get(number)
                self._hours[number] = self._written(number, {number: self.entries(number)})
                self._replace(old, self._hours[number])
                self._uncompacted.pop(number, None)
                self._ahead.pop(number, None)
        self._compact_ahead()
        # All that is new is written before anything old goes: after a crash in between both are
        # there, and the newer one is read.
        self.drop_copies()
        # They go at the next compaction: until then, what a damaged new file was made of can be
        # read.
        self._replaced = [*self._being_replaced, *self._journals]
        self._being_replaced.clear()
        self._journals.clear()
        self._unsynced.clear()

    def drop_copies(self) -> None:
        """Remove what the last compaction replaced. Raises StateUnavailable."""
        for path in self._replaced:
            storage.remove(path)
        self._replaced.clear()

    def forget(self, hours: Iterable[int], before_ms: int) -> None:
        """Drop hours, once it is written down that all before an instant may be forgotten.

        Raises StateUnavailable.
        """
        # Written down first: after a crash in between, no audit may look where hours are gone.
        if before_ms > self.forgotten_ms:
            self.note_forgotten(before_ms)
        for number in hours:
            if file := self._hours.get(number):
                storage.remove(file.path)  # first: a retry would not find it otherwise
                del self._hours[number]
            self._uncompacted.pop(number, None)
            self._ahead.pop(number, None)

    def note_forgotten(self, before_ms: int) -> None:
        """Write down the instant before which events may have been forgotten.

        Raises StateUnavailable.
        """
        self._write_about(before_ms)

    # The folder and what it says of itself

    def _choose_folder(self) -> None:
        """Choose the folder itself, or a folder below it where it belongs to another scope.

        A folder without a valid `about.json` is taken by a scope that has no folder of its own.
        """
        digest = blake2b(self._scope.encode(), digest_size=8).hexdigest()
        below = self._root / f"scope-{digest}"
        self._folder, content = self._root, storage.read(self._root / ABOUT_FILE_NAME)
        about = _about(content)
        if about is None or about["scope"] != self._scope:
            of_below = storage.read(below / ABOUT_FILE_NAME)
            if about or of_below is not None:
                self._folder, content, about = below, of_below, _about(of_below)
        if content is not None and about is None:
            self._tell(
                f"The ledger file {self._folder / ABOUT_FILE_NAME} is damaged: it is assumed"
                " that the ledger is this configuration's, and that nothing was dropped from it."
            )
        self._is_described = about is not None
        self.forgotten_ms = about["forgotten_ms"] if about else 0

    def _write_about(self, forgotten_ms: int) -> None:
        about: _About = {"scope": self._scope, "forgotten_ms": forgotten_ms}
        content = orjson.dumps(about, option=orjson.OPT_INDENT_2)
        storage.write_atomically(self._folder / ABOUT_FILE_NAME, content)
        self._is_described = True
        self.forgotten_ms = forgotten_ms  # not before it is written: a retry would leave it out

    # Hours

    def _compacted(self, hour: int) -> Entries:
        entries = Entries()
        file = self._hours.get(hour)
        if file:
            entries.extend(self._read_hour(file).get(hour, Entries()))
        elif ahead := self._ahead.get(hour):
            entries.extend(ahead)
        return entries

    def _read_hour(self, file: _HourFile) -> ByHour:
        found = unpacked(storage.read(file.path))
        if found is None:
            self._tell(
                f"The ledger file {file.path} is damaged: the {file.count} events it holds are"
                " no longer known as delivered and may be delivered once more."
            )
            self._hours.pop(file.hour, None)
        return found or {}

    def _written(self, number: int, hours: ByHour) -> _HourFile:
        compacted_to = self._next_number - 1
        count = sum(len(entries.keys) for entries in hours.values())
        # With the count in its name, an hour is counted without being read.
        path = self._folder / f"hour-{number}-{compacted_to:010d}-{count}"
        storage.write_atomically(path, packed(hours))
        return _HourFile(path, number, compacted_to, count)

    def _compact_ahead(self) -> None:
        """Write the hours still to come into one file."""
        still_ahead = {*self._ahead, *self._uncompacted}
        if not still_ahead and not (self._ahead_file and self._ahead_file.count):
            return
        ahead = {number: self.entries(number) for number in still_ahead}
        old, self._ahead_file = self._ahead_file, self._written(AHEAD, ahead)
        self._replace(old, self._ahead_file)
        self._ahead = ahead
        self._uncompacted.clear()

    def _replace(self, old: _HourFile | None, new: _HourFile) -> None:
        if old and old.path != new.path:
            self._being_replaced.append(old.path)

    # Reading at the start

    def _listed(self) -> tuple[dict[int, Path], dict[int, list[_HourFile]]]:
        """Return the journals by number, and the files of each hour from the oldest on."""
        journals: dict[int, Path] = {}
        hours: dict[int, list[_HourFile]] = {}
        for path in storage.files(self._folder):
            kind, *parts = path.name.split("-")
            if not all(part.isdecimal() for part in parts):
                continue
            numbers = [int(part) for part in parts]
            if kind == "journal" and len(numbers) == 1:
                journals[numbers[0]] = path
            elif kind == "hour" and len(numbers) == 3:
                hours.setdefault(numbers[0], []).append(_HourFile(path, *numbers))
        for files in hours.values():
            files.sort(key=lambda file: file.compacted_to)
        return journals, hours

    def _load_ahead(
        self, file: _HourFile | None, all_files: list[_HourFile], lost: Set[int]
    ) -> dict[int, int]:
        """Read the hours still to come, and return the journal number each goes up to.

        An hour that got a file of its own by the last compaction is in a former file: there it is
        found again if its own is damaged.
        """
        compacted_to: dict[int, int] = {}
        if file:
            self._ahead_file = file
            found = self._read_hour(file)
            self._ahead = {n: entries for n, entries in found.items() if n not in self._hours}
            compacted_to = dict.fromkeys(self._ahead, file.compacted_to)
        for former in reversed(all_files) if lost else ():
            for hour, entries in (unpacked(storage.read(former.path)) or {}).items():
                if hour in lost and hour not in self._ahead:
                    self._ahead[hour], compacted_to[hour] = entries, former.compacted_to
        return compacted_to

    def _load_hour(self, files: list[_HourFile], oldest_journal: int | None) -> None:
        """Choose an hour's newest file, or what it was made of where it is damaged."""
        self._next_number = max(self._next_number, files[-1].compacted_to + 1)
        files = list(files)
        while files:
            newest = files.pop()
            from_journal = oldest_journal is not None and oldest_journal <= newest.compacted_to
            # A damaged file counts only where something else holds its entries: otherwise the
            # newest is kept, and what is lost is told when it is read.
            if (files or from_journal) and unpacked(storage.read(newest.path)) is None:
                self._replaced.append(newest.path)
                self._tell(f"The ledger file {newest.path} is damaged: its last copy is used.")
                continue
            self._hours[newest.hour] = newest
            self._replaced += [file.path for file in files]
            return

    def _load_journal(self, number: int, path: Path, compacted_to: dict[int, int]) -> None:
        self._next_number = max(self._next_number, number + 1)
        found = unpacked(storage.read(path))
        if found is None:
            self._tell(
                f"The ledger file {path} is damaged, as a crash leaves it: what was delivered"
                " in its last moments may be delivered once more."
            )
            storage.remove(path)
            return
        waiting = {
            hour: entries for hour, entries in found.items() if compacted_to.get(hour, -1) < number
        }
        merge(self._uncompacted, waiting)
        (self._journals if waiting else self._replaced).append(path)
        if waiting:
            self._unsynced.add(path)  # whoever wrote it may have been killed before its commit

    @property
    def _next_journal(self) -> Path:
        return self._folder / f"journal-{self._next_number:010d}"


class _About(TypedDict):
    scope: str
    forgotten_ms: int


def _about(content: bytes | None) -> _About | None:
    try:
        about = orjson.loads(content or b"")
    except ValueError:
        return None
    is_one = isinstance(about, dict) and type(about.get("forgotten_ms")) is int
    return about if is_one and isinstance(about.get("scope"), str) else None
