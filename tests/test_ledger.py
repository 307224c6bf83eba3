"""What was delivered, as the ledger remembers it."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from jumpcloud_modules import ledger as ledger_module
from jumpcloud_modules import storage
from jumpcloud_modules.errors import StateUnavailable
from jumpcloud_modules.events import UNDATED, Event, Events
from jumpcloud_modules.instants import HOUR_MS, MINUTE_MS
from jumpcloud_modules.ledger import Ledger
from tests.doubles import NOON_MS, BreakingDisk, Crash, event_at, events_of, undated_event


def _deliver(ledger: Ledger, *events: Event, not_before_ms: int = 0) -> Events:
    fresh = ledger.claim(events_of(*events))
    ledger.record(fresh, not_before_ms)
    ledger.commit()
    return fresh


def _unknown(ledger: Ledger, *events: Event) -> Events:
    fresh = ledger.claim(events_of(*events))
    ledger.release(fresh)
    return fresh


@contextmanager
def _small_bounds(
    entries: int = 6, files: int = 3, keys: int = 4, hours: int = 2
) -> Iterator[None]:
    """Let folds and evictions happen after a few events instead of many thousands."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ledger_module, "MOST_UNFOLDED_ENTRIES", entries)
        patch.setattr(ledger_module, "MOST_UNFOLDED_FILES", files)
        patch.setattr(ledger_module, "MOST_KEYS_IN_USE", keys)
        patch.setattr(ledger_module, "MOST_HOURS_IN_USE", hours)
        yield


def test_an_event_is_new_once(tmp_path: Path) -> None:
    """It is delivered, and from then on it is known, also after a restart."""
    event = event_at(NOON_MS)
    ledger = Ledger(tmp_path)

    first = _deliver(ledger, event)

    assert first == events_of(event)
    assert ledger.claim(events_of(event)) == events_of()
    assert Ledger(tmp_path).claim(events_of(event)) == events_of()


def test_an_event_that_comes_twice_in_a_page_is_claimed_once(tmp_path: Path) -> None:
    """Two equal events are one."""
    event, again = event_at(NOON_MS), event_at(NOON_MS)

    assert Ledger(tmp_path).claim(events_of(event, again)) == events_of(event)


def test_a_claim_keeps_others_from_delivering_the_same(tmp_path: Path) -> None:
    """Until it is given up."""
    event = event_at(NOON_MS)
    ledger = Ledger(tmp_path)
    ledger.claim(events_of(event))

    meanwhile = ledger.claim(events_of(event))
    ledger.release(events_of(event))

    assert meanwhile == events_of()
    assert ledger.claim(events_of(event)) == events_of(event)


def test_a_claim_does_not_survive_a_restart(tmp_path: Path) -> None:
    """What was only claimed was not delivered."""
    event = event_at(NOON_MS)
    Ledger(tmp_path).claim(events_of(event))

    assert Ledger(tmp_path).claim(events_of(event)) == events_of(event)


def test_what_was_recorded_without_a_commit_does_not_survive_a_restart(tmp_path: Path) -> None:
    """It may be delivered once more, but it is never lost."""
    event = event_at(NOON_MS)
    ledger = Ledger(tmp_path)
    ledger.record(ledger.claim(events_of(event)), 0)

    assert ledger.claim(events_of(event)) == events_of()
    assert Ledger(tmp_path).claim(events_of(event)) == events_of(event)


def test_a_commit_without_news_writes_nothing(tmp_path: Path) -> None:
    """A quiet poll costs no file."""
    ledger = Ledger(tmp_path)
    _deliver(ledger, event_at(NOON_MS))

    with BreakingDisk(at=1) as disk:
        ledger.commit()

    assert disk.changes == 0


def test_a_commit_costs_what_is_new_whatever_is_known(tmp_path: Path) -> None:
    """A thousand known events add no byte to it."""
    ledger = Ledger(tmp_path)
    _deliver(ledger, *(event_at(NOON_MS + i, str(i)) for i in range(1_000)))
    before = set(tmp_path.iterdir())

    _deliver(ledger, event_at(NOON_MS, "new"))

    (written,) = set(tmp_path.iterdir()) - before
    assert written.stat().st_size < 50


def test_counting_rounds_out_to_whole_minutes(tmp_path: Path) -> None:
    """JumpCloud's buckets are minutes and hours."""
    ledger = Ledger(tmp_path)
    offsets_ms = [0, MINUTE_MS - 1, MINUTE_MS, HOUR_MS - 1, HOUR_MS]
    _deliver(ledger, *(event_at(NOON_MS + o, str(o)) for o in offsets_ms))

    assert ledger.count(NOON_MS, NOON_MS + MINUTE_MS) == 2
    assert ledger.count(NOON_MS + 5, NOON_MS + 6) == 2
    assert ledger.count(NOON_MS, NOON_MS + HOUR_MS) == 4
    assert ledger.count(NOON_MS - HOUR_MS, NOON_MS + 2 * HOUR_MS) == 5
    assert ledger.count(NOON_MS, NOON_MS) == 0


@pytest.mark.parametrize("more", ["", ',"timestamp":null', ',"timestamp":"soon"'])
def test_an_event_without_a_time_is_known_and_in_no_count(tmp_path: Path, more: str) -> None:
    """JumpCloud keeps it somewhere, but it does not say where."""
    event = event_at(NOON_MS, more=more) if more else event_at(NOON_MS)
    event = Event(event.raw, event.key, UNDATED)
    ledger = Ledger(tmp_path)
    _deliver(ledger, event)

    assert ledger.count(NOON_MS - HOUR_MS, NOON_MS + HOUR_MS) == 0
    assert Ledger(tmp_path).claim(events_of(event)) == events_of()


def test_events_out_of_order_around_an_hour_are_filed_in_their_own_hours(tmp_path: Path) -> None:
    """JumpCloud sorts by milliseconds: what shares one comes in any order."""
    offsets_ms = [-2, 1, -1, 0, -MINUTE_MS, HOUR_MS, 2]
    events = [event_at(NOON_MS + offset, str(offset)) for offset in offsets_ms]
    ledger = Ledger(tmp_path)
    _deliver(ledger, *events)

    counts = [ledger.count(NOON_MS + h * HOUR_MS, NOON_MS + (h + 1) * HOUR_MS) for h in (-1, 0, 1)]
    assert counts == [3, 3, 1]
    for event in events:
        assert _unknown(Ledger(tmp_path), event) == events_of()


def test_an_event_that_claims_to_be_older_than_its_query_counts_nowhere(tmp_path: Path) -> None:
    """Or an hour would seem complete because of an event that JumpCloud keeps elsewhere."""
    strange, sound = event_at(NOON_MS - HOUR_MS, "a"), event_at(NOON_MS, "b")
    ledger = Ledger(tmp_path)
    _deliver(ledger, strange, sound, not_before_ms=NOON_MS)

    assert ledger.count(NOON_MS - HOUR_MS, NOON_MS) == 0
    assert ledger.count(NOON_MS, NOON_MS + HOUR_MS) == 1
    assert Ledger(tmp_path).claim(events_of(strange, sound)) == events_of()


@pytest.mark.parametrize("year_ms", [-62_135_596_800_000, -1, 0, 253_402_300_799_999])
def test_events_at_the_ends_of_time_are_known_like_others(tmp_path: Path, year_ms: int) -> None:
    """Whatever they claim, they are found again."""
    event = event_at(year_ms)
    with _small_bounds():
        ledger = Ledger(tmp_path)
        _deliver(ledger, event, not_before_ms=NOON_MS)
        for number in range(9):
            _deliver(ledger, event_at(NOON_MS, str(number)))

        assert Ledger(tmp_path).claim(events_of(event)) == events_of()


def test_pruning_forgets_old_hours_but_those_in_use(tmp_path: Path) -> None:
    """And events without a time, which are few."""
    old, kept, new = (event_at(NOON_MS + i * HOUR_MS, str(i)) for i in range(3))
    undated = undated_event(17)
    with _small_bounds(entries=0):
        ledger = Ledger(tmp_path)
        _deliver(ledger, old, kept, new, undated)

        ledger.prune(NOON_MS + 2 * HOUR_MS, keep_ms=[NOON_MS + HOUR_MS + 5])

        known = Ledger(tmp_path)
        assert _unknown(ledger, old, kept, new, undated) == events_of(old)
        assert _unknown(known, kept, new, undated) == events_of()
        assert ledger.count(NOON_MS, NOON_MS + 3 * HOUR_MS) == 2


def test_the_folder_does_not_grow_with_the_number_of_commits(tmp_path: Path) -> None:
    """Folds put the journal away, and what they replaced goes at the next."""
    with _small_bounds(entries=1_000, files=5):
        ledger = Ledger(tmp_path)
        for number in range(100):
            _deliver(ledger, event_at(NOON_MS + number, str(number)))

        assert len(list(tmp_path.iterdir())) <= 2 * (5 + 1) + 2
        assert Ledger(tmp_path).count(NOON_MS, NOON_MS + MINUTE_MS) == 100


def test_a_failing_disk_leaves_nothing_claimed_by_nobody(tmp_path: Path) -> None:
    """A claim that could not look an hour up is made again, and then it is whole."""
    events = [event_at(NOON_MS + i * HOUR_MS, str(i)) for i in range(4)]
    with _small_bounds(entries=0, hours=1):
        _deliver(Ledger(tmp_path), event_at(NOON_MS + 2 * HOUR_MS, "known"))
        ledger = Ledger(tmp_path)
        ledger.commit()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(storage, "read", _unreadable)
            with pytest.raises(StateUnavailable):
                ledger.claim(events_of(*events))

        assert ledger.claim(events_of(*events)) == events_of(*events)


def test_delivered_events_are_filed_even_while_the_disk_cannot_be_read(tmp_path: Path) -> None:
    """They have their receipts: not filing them would send them again."""
    events = [event_at(NOON_MS + i * HOUR_MS, str(i)) for i in range(4)]
    with _small_bounds(entries=0, hours=1):
        _deliver(Ledger(tmp_path), *(event_at(NOON_MS + i * HOUR_MS, f"old{i}") for i in range(4)))
        ledger = Ledger(tmp_path)
        ledger.claim(events_of(*events))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(storage, "read", _unreadable)
            ledger.record(events_of(*events), 0)
        ledger.commit()

        assert ledger.claim(events_of(*events)) == events_of()
        assert Ledger(tmp_path).claim(events_of(*events)) == events_of()
        assert Ledger(tmp_path).count(NOON_MS, NOON_MS + 4 * HOUR_MS) == 8


def test_a_folder_that_cannot_be_read_at_first_is_read_later(tmp_path: Path) -> None:
    """Object storage may be away at a start, too, and nothing is counted twice then."""
    event = event_at(NOON_MS)
    _deliver(Ledger(tmp_path), event)
    _deliver(Ledger(tmp_path), event_at(NOON_MS, "2"))
    reads = [0]

    def read_once(path: Path) -> bytes | None:
        reads[0] += 1
        return path.read_bytes() if reads[0] == 1 else _unreadable(path)

    ledger = Ledger(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(storage, "read", read_once)
        with pytest.raises(StateUnavailable):
            ledger.commit()

    assert ledger.claim(events_of(event)) == events_of()
    assert ledger.count(NOON_MS, NOON_MS + HOUR_MS) == 2


def test_many_threads_claim_each_event_once(tmp_path: Path) -> None:
    """Readers of overlapping windows never deliver the same event."""
    events = [event_at(NOON_MS + i * MINUTE_MS * 7, str(i)) for i in range(500)]
    claimed: list[Event] = []
    with _small_bounds(entries=50, files=5, keys=40, hours=3):
        ledger = Ledger(tmp_path)
        commit = threading.Lock()

        def read() -> None:
            for start in range(0, 500, 25):
                fresh = ledger.claim(events_of(*events[start : start + 50]))
                claimed.extend(fresh)
                with commit:
                    ledger.record(fresh, 0)
                    ledger.commit()

        threads = [threading.Thread(target=read) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)

        assert Counter(e.key for e in claimed) == Counter(e.key for e in events)
        assert Ledger(tmp_path).claim(events_of(*events)) == events_of()


# Against a plain set

_EVENTS = [event_at(NOON_MS + n % 5 * HOUR_MS + n * 91_000, str(n)) for n in range(40)] + [
    undated_event(99)
]
_NUMBERS = st.lists(st.integers(0, 40), min_size=1, max_size=5)
_MINUTES = st.integers(0, 6 * 60)


class LedgerLikeASet(RuleBasedStateMachine):
    """A ledger and a set, through commits, folds, evictions, prunes, failures and crashes."""

    def __init__(self) -> None:
        super().__init__()
        self.bounds = _small_bounds()
        self.bounds.__enter__()
        self.temporary = TemporaryDirectory()
        self.folder = Path(self.temporary.name)
        self.ledger = Ledger(self.folder)
        self.written: set[int] = set()
        self.recorded: set[int] = set()
        self.pruned_to_ms = 0

    def teardown(self) -> None:
        """Check everything once more, as a restart finds it."""
        self.commit()
        self.restart()
        assert self.known(set(range(len(_EVENTS)))) == self.relevant(self.written)
        self.bounds.__exit__(None, None, None)
        self.temporary.cleanup()

    def relevant(self, numbers: set[int]) -> set[int]:
        """Leave out what was pruned: it may be known or not, nobody asks."""
        return {n for n in numbers if (_EVENTS[n].time_ms or NOON_MS * 2) >= self.pruned_to_ms}

    def known(self, numbers: set[int]) -> set[int]:
        """Ask the ledger which of the events it knows."""
        asked = sorted(self.relevant(numbers))
        unknown = {event.key for event in _unknown(self.ledger, *(_EVENTS[n] for n in asked))}
        return {n for n in asked if _EVENTS[n].key not in unknown}

    @rule(numbers=_NUMBERS)
    def record(self, numbers: list[int]) -> None:
        """Claim and record."""
        asked = self.relevant(set(numbers))
        new = asked - self.written - self.recorded

        fresh = self.ledger.claim(events_of(*(_EVENTS[n] for n in numbers if n in asked)))
        self.ledger.record(fresh, 0)

        assert {event.key for event in fresh} == {_EVENTS[n].key for n in new}
        self.recorded |= new

    @rule()
    def commit(self) -> None:
        """Write what was recorded."""
        self.ledger.commit()
        self.written, self.recorded = self.written | self.recorded, set()

    @rule(numbers=_NUMBERS)
    def deliver(self, numbers: list[int]) -> None:
        """Claim, record and write, as a page does."""
        self.record(numbers)
        self.commit()

    @rule()
    def restart(self) -> None:
        """Forget what was not written."""
        self.ledger, self.recorded = Ledger(self.folder), set()

    @rule(hour=st.integers(0, 5))
    def prune(self, hour: int) -> None:
        """Forget the hours before one."""
        self.pruned_to_ms = max(self.pruned_to_ms, NOON_MS + hour * HOUR_MS)
        self.ledger.prune(self.pruned_to_ms, [])

    @rule(at=st.integers(1, 6))
    def commit_on_a_disk_that_fails_once(self, at: int) -> None:
        """Write again what could not be written."""
        with BreakingDisk(at):
            try:
                self.ledger.commit()
            except StateUnavailable:
                self.ledger.commit()
        self.written, self.recorded = self.written | self.recorded, set()

    @rule(at=st.integers(1, 6), halfway=st.booleans())
    def crash_while_committing(self, at: int, halfway: bool) -> None:
        """What was delivered a moment ago may be known or not, all else is as it was."""
        recorded, self.recorded = self.recorded, set()
        try:
            with BreakingDisk(at, crash=True, halfway=halfway):
                self.ledger.commit()
        except Crash:
            self.restart()
            self.written |= self.known(recorded)
            self.restart()
        else:
            self.written |= recorded

    @rule(one=_MINUTES, other=_MINUTES)
    def count(self, one: int, other: int) -> None:
        """Count a span of whole minutes."""
        start_ms = max(self.pruned_to_ms, NOON_MS + min(one, other) * MINUTE_MS)
        end_ms = max(start_ms, NOON_MS + max(one, other) * MINUTE_MS)
        times = [_EVENTS[n].time_ms or 0 for n in self.written | self.recorded]

        counted = self.ledger.count(start_ms, end_ms)

        assert counted == sum(1 for time_ms in times if start_ms <= time_ms < end_ms)

    @invariant()
    def what_is_known_is_the_set(self) -> None:
        """Nothing more, nothing less."""
        everything = set(range(len(_EVENTS)))
        assert self.known(everything) == self.relevant(self.written | self.recorded)


TestAnyHistoryAnswersLikeAPlainSet = LedgerLikeASet.TestCase
TestAnyHistoryAnswersLikeAPlainSet.settings = settings(max_examples=60, stateful_step_count=25)


# Damage


def _story(folder: Path) -> list[Event]:
    """Deliver enough for two folds and a few journals over three hours."""
    events = [event_at(NOON_MS + n % 3 * HOUR_MS + n, str(n)) for n in range(24)]
    with _small_bounds(entries=1_000, files=4):
        ledger = Ledger(folder)
        for start in range(0, 24, 2):
            _deliver(ledger, *events[start : start + 2])
    return events


def _spoil(path: Path, how: str) -> None:
    content = path.read_bytes()
    if how == "missing":
        path.unlink()
    elif how == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "longer":
        path.write_bytes(content + b"\x00")
    else:
        path.write_bytes(content[:-3] + b"\xff\xff\xff")


def _files_of_story(tmp_path: Path) -> list[str]:
    _story(tmp_path)
    return sorted(path.name for path in tmp_path.iterdir())


@pytest.mark.parametrize("how", ["truncated", "garbage", "empty", "longer", "missing"])
def test_damage_to_any_one_file_never_makes_an_unknown_event_known(
    tmp_path: Path, how: str
) -> None:
    """What is damaged is forgotten at most, said so, and what comes afterwards is remembered."""
    for name in _files_of_story(tmp_path / "names"):
        folder = tmp_path / name
        events = _story(folder)
        _spoil(folder / name, how)
        told: list[str] = []
        with _small_bounds(entries=1_000, files=4):
            ledger = Ledger(folder, told.append)
            forgotten = _unknown(ledger, *events)
            never = _unknown(ledger, event_at(NOON_MS, "never"))

            _deliver(ledger, *forgotten, event_at(NOON_MS, "never"))
            for number in range(12):
                _deliver(ledger, event_at(NOON_MS, f"later{number}"))
            known = Ledger(folder, told.append)
            assert known.claim(events_of(*events)) == events_of()
            assert known.count(NOON_MS, NOON_MS + 3 * HOUR_MS) == 24 + 1 + 12

        assert len(never) == 1
        assert told or how == "missing" or not forgotten
        assert all("damaged" in text for text in told)


@pytest.mark.parametrize("how", ["truncated", "garbage", "empty"])
def test_damage_to_what_a_fold_just_wrote_costs_nothing(tmp_path: Path, how: str) -> None:
    """Its previous copy and the journals it was made from are still there."""
    events = [event_at(NOON_MS + n, str(n)) for n in range(12)]
    with _small_bounds(entries=1_000, files=4):
        ledger = Ledger(tmp_path)
        for event in events[:10]:
            _deliver(ledger, event)
        newest = max(tmp_path.glob("hour-*"), key=lambda path: path.name.split("-")[2])
        assert len(list(tmp_path.glob("hour-*"))) == 2
        _spoil(newest, how)
        told: list[str] = []

        known = Ledger(tmp_path, told.append)

        assert known.claim(events_of(*events)) == events_of(*events[10:])
        assert known.count(NOON_MS, NOON_MS + HOUR_MS) == 10
    assert len(told) == 1
    assert "copy is used" in told[0]


@pytest.mark.parametrize("mode", ["crash", "crash halfway", "fail"])
def test_a_break_between_any_two_file_operations_of_a_fold_loses_and_invents_nothing(
    tmp_path: Path, mode: str
) -> None:
    """At each of them: what was committed is known, and what was not delivered is not."""
    at, happened = 0, True
    while happened:
        at += 1
        folder = tmp_path / str(at)
        events = _story(folder)
        extra = [event_at(NOON_MS + n % 4 * HOUR_MS, f"x{n}") for n in range(8)]
        told: list[str] = []
        with _small_bounds(entries=1, files=0):
            ledger = Ledger(folder, told.append)
            ledger.record(ledger.claim(events_of(*extra)), 0)
            with BreakingDisk(at, crash=mode != "fail", halfway=mode != "crash") as disk:
                try:
                    ledger.commit()
                except StateUnavailable:
                    ledger.commit()
                except Crash:
                    ledger = Ledger(folder, told.append)
            happened = disk.happened
            for survivor in (ledger, Ledger(folder, told.append)):
                assert _unknown(survivor, *events) == events_of()
                unknown = _unknown(survivor, *extra)
                assert unknown in (events_of(), events_of(*extra))
                assert not unknown or mode != "fail"
                count = survivor.count(NOON_MS, NOON_MS + 4 * HOUR_MS)
                assert count == len(events) + len(extra) - len(unknown)
            _deliver(ledger, *extra, event_at(NOON_MS, "after"))
            assert _unknown(Ledger(folder), *events, *extra) == events_of()

    assert at > 8


def test_files_that_are_not_the_ledgers_are_left_alone(tmp_path: Path) -> None:
    """Whatever a person or a file system put there."""
    event = event_at(NOON_MS)
    _deliver(Ledger(tmp_path), event)
    for name in ("README", "hour-x-y-z", "hour-1-2", "lost+found", "journal-0000000009.unfinished"):
        (tmp_path / name).write_bytes(b"?")

    known = Ledger(tmp_path)

    assert known.claim(events_of(event)) == events_of()
    assert (tmp_path / "README").exists()


def test_a_stray_file_named_like_a_journal_does_not_stop_the_ledger(tmp_path: Path) -> None:
    """Its name is not believed."""
    event = event_at(NOON_MS)
    _deliver(Ledger(tmp_path), event)
    (tmp_path / "journal-copy").write_bytes(b"?")

    assert Ledger(tmp_path).claim(events_of(event)) == events_of()


def _unreadable(path: Path) -> bytes | None:
    raise StateUnavailable(f"{path} cannot be read")
