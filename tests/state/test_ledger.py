"""What was delivered, as the ledger remembers it."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from jumpcloud_modules.errors import StateUnavailable, Stopped
from jumpcloud_modules.events import UNDATED, Event, Events
from jumpcloud_modules.instants import FOREVER_MS, HOUR_MS, MINUTE_MS
from jumpcloud_modules.state import ledger as ledger_module
from jumpcloud_modules.state import ledger_files, storage
from jumpcloud_modules.state.claims import Claims
from jumpcloud_modules.state.ledger import Ledger
from jumpcloud_modules.state.ledger_format import unpacked
from tests.doubles import (
    NOON_MS,
    BreakingDisk,
    Crash,
    event_at,
    events_of,
    new_of,
    recorded,
    undated_event,
)


def _deliver(ledger: Ledger, *events: Event, not_before_ms: int = 0) -> Events:
    fresh = recorded(ledger, events_of(*events), not_before_ms)
    ledger.commit()
    return fresh


def _unknown(ledger: Ledger, *events: Event) -> Events:
    return new_of(ledger, events_of(*events))


@contextmanager
def _small_bounds(
    entries: int = 6, files: int = 3, keys: int = 4, hours: int = 2
) -> Iterator[None]:
    """Let compactions and evictions happen after a few events instead of many thousands."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ledger_files, "MAX_UNCOMPACTED_ENTRIES", entries)
        patch.setattr(ledger_files, "MAX_UNCOMPACTED_FILES", files)
        patch.setattr(ledger_module, "MAX_KEYS_IN_USE", keys)
        patch.setattr(ledger_module, "MAX_HOURS_IN_USE", hours)
        yield


def test_an_event_is_new_once(tmp_path: Path) -> None:
    """It is delivered, and from then on it is known, also after a restart."""
    event = event_at(NOON_MS)
    ledger = Ledger(tmp_path)

    first = _deliver(ledger, event)

    assert first == events_of(event)
    assert new_of(ledger, events_of(event)) == events_of()
    assert new_of(Ledger(tmp_path), events_of(event)) == events_of()


def test_an_event_that_comes_twice_in_a_page_is_claimed_once(tmp_path: Path) -> None:
    """Two equal events are one."""
    event, again = event_at(NOON_MS), event_at(NOON_MS)

    assert new_of(Ledger(tmp_path), events_of(event, again)) == events_of(event)


@pytest.mark.parametrize("is_delivered", [True, False])
@pytest.mark.parametrize("shared", [True, False])
def test_a_claim_keeps_others_waiting_until_it_is_known_whether_the_event_is_new(
    tmp_path: Path, is_delivered: bool, shared: bool
) -> None:
    """Who passed over it meanwhile would lose it where its delivery fails, and a kill follows."""
    event, claims = event_at(NOON_MS), Claims()
    ledger = Ledger(tmp_path / "one", claims=claims)
    other = ledger if shared else Ledger(tmp_path / "other", claims=claims)
    found: list[Events] = []
    waiting = threading.Thread(target=lambda: found.append(new_of(other, events_of(event))))

    with ledger.claim(events_of(event)):
        waiting.start()
        waiting.join(0.2)
        meanwhile = list(found)
        if is_delivered:
            ledger.record(events_of(event), 0)
            other.record(events_of(event), 0)
    waiting.join(20)

    assert meanwhile == []
    assert found == [events_of() if is_delivered else events_of(event)]


@pytest.mark.parametrize("end", [ValueError, Stopped, Crash, GeneratorExit])
def test_a_claim_ends_with_its_block_however_that_ends(
    tmp_path: Path, end: type[BaseException]
) -> None:
    """What was recorded by then stays known; the rest is new again."""
    one, two = event_at(NOON_MS, "1"), event_at(NOON_MS, "2")
    ledger = Ledger(tmp_path)

    def broken_off() -> None:
        with ledger.claim(events_of(one, two)):
            ledger.record(events_of(one), 0)
            raise end

    with pytest.raises(end):
        broken_off()

    assert new_of(ledger, events_of(one, two)) == events_of(two)


def test_a_claim_of_a_generator_that_is_closed_ends_with_it(tmp_path: Path) -> None:
    """Nobody has to come back for it."""
    event = event_at(NOON_MS)
    ledger = Ledger(tmp_path)

    def claiming() -> Iterator[Events]:
        with ledger.claim(events_of(event)) as fresh:
            yield fresh

    reading = claiming()
    next(reading)
    del reading

    assert new_of(ledger, events_of(event)) == events_of(event)


def test_a_claim_does_not_survive_a_restart(tmp_path: Path) -> None:
    """What was only claimed was not delivered."""
    event = event_at(NOON_MS)

    with Ledger(tmp_path).claim(events_of(event)):
        meanwhile = new_of(Ledger(tmp_path), events_of(event))

    assert meanwhile == events_of(event)


def test_what_was_recorded_and_not_written_does_not_survive_a_restart(tmp_path: Path) -> None:
    """It may be delivered once more, but it is never lost."""
    event = event_at(NOON_MS)
    ledger = Ledger(tmp_path)
    recorded(ledger, events_of(event))

    assert new_of(ledger, events_of(event)) == events_of()
    assert new_of(Ledger(tmp_path), events_of(event)) == events_of(event)


def test_what_was_written_and_not_committed_survives_a_kill(tmp_path: Path) -> None:
    """A receipt is noted before anything else is waited for."""
    events = [event_at(NOON_MS + n * HOUR_MS, str(n)) for n in range(3)]
    ledger = Ledger(tmp_path)
    for event in events:
        recorded(ledger, events_of(event))
        ledger.write()

    assert new_of(Ledger(tmp_path), events_of(*events)) == events_of()


def test_a_commit_syncs_what_several_writes_wrote_and_only_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sync costs milliseconds, and a write of each page none."""
    synced: list[str] = []
    monkeypatch.setattr(storage, "sync", lambda path: synced.append(path.name))
    ledger = Ledger(tmp_path)
    for number in range(3):
        recorded(ledger, events_of(event_at(NOON_MS, str(number))), 0)
        ledger.write()
    before = list(synced)

    ledger.commit()
    ledger.commit()

    assert before == []
    assert sorted(synced) == [path.name for path in sorted(tmp_path.glob("journal-*"))]


def test_a_sync_that_fails_is_made_up_for_by_the_next_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a power cut would take what a commit had promised."""
    ledger = Ledger(tmp_path)
    recorded(ledger, events_of(event_at(NOON_MS)))
    ledger.write()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(storage, "sync", _unreadable)
        with pytest.raises(StateUnavailable):
            ledger.commit()
    synced: list[Path] = []
    monkeypatch.setattr(storage, "sync", synced.append)

    ledger.commit()

    assert synced == list(tmp_path.glob("journal-*"))


def test_a_write_that_fails_is_made_up_for_by_the_next(tmp_path: Path) -> None:
    """Under the same name, so that nothing counts twice although it may have succeeded."""
    one, two = event_at(NOON_MS, "1"), event_at(NOON_MS, "2")
    ledger = Ledger(tmp_path)
    ledger.commit()
    recorded(ledger, events_of(one))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(storage, "write_once", _writing_and_failing)
        with pytest.raises(StateUnavailable):
            ledger.write()
    after_the_failure = Ledger(tmp_path).count(NOON_MS, NOON_MS + HOUR_MS)

    _deliver(ledger, two)

    assert after_the_failure == 1
    assert ledger.count(NOON_MS, NOON_MS + HOUR_MS) == 2
    assert Ledger(tmp_path).count(NOON_MS, NOON_MS + HOUR_MS) == 2
    assert new_of(Ledger(tmp_path), events_of(one, two)) == events_of()


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
    assert new_of(Ledger(tmp_path), events_of(event)) == events_of()


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
    assert new_of(Ledger(tmp_path), events_of(strange, sound)) == events_of()


@pytest.mark.parametrize("year_ms", [-62_135_596_800_000, -1, 0, 253_402_300_799_999])
def test_events_at_the_ends_of_time_are_known_like_others(tmp_path: Path, year_ms: int) -> None:
    """Whatever they claim, they are found again."""
    event = event_at(year_ms)
    with _small_bounds():
        ledger = Ledger(tmp_path)
        _deliver(ledger, event, not_before_ms=NOON_MS)
        for number in range(9):
            _deliver(ledger, event_at(NOON_MS, str(number)))

        assert new_of(Ledger(tmp_path), events_of(event)) == events_of()


def test_many_hours_that_fill_at_once_stay_within_the_keys_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As slices of a backlog do, which are read side by side."""
    monkeypatch.setattr(ledger_module, "MAX_KEYS_IN_USE", 100)
    ledger = Ledger(tmp_path)

    for page in range(20):
        for hour in range(8):
            found = events_of(
                *(event_at(NOON_MS + hour * HOUR_MS, f"{page}-{n}") for n in range(20))
            )
            recorded(ledger, found, NOON_MS)

    in_use = [len(hour.keys) for hour in ledger._in_use.values()]
    assert sum(in_use) <= 100 + max(in_use)
    assert ledger.count(NOON_MS, NOON_MS + 8 * HOUR_MS) == 20 * 8 * 20


def test_forgetting_takes_old_hours_but_those_in_use(tmp_path: Path) -> None:
    """And events without a time, which are few."""
    old, kept, new = (event_at(NOON_MS + i * HOUR_MS, str(i)) for i in range(3))
    undated = undated_event(17)
    with _small_bounds(entries=0):
        ledger = Ledger(tmp_path)
        _deliver(ledger, old, kept, new, undated)

        ledger.forget_before(NOON_MS + 2 * HOUR_MS, keep_ms=[NOON_MS + HOUR_MS + 5])

        known = Ledger(tmp_path)
        assert _unknown(ledger, old, kept, new, undated) == events_of(old)
        assert _unknown(known, kept, new, undated) == events_of()
        assert ledger.count(NOON_MS, NOON_MS + 3 * HOUR_MS) == 2


def test_the_folder_does_not_grow_with_the_number_of_commits(tmp_path: Path) -> None:
    """Compaction puts the journal away, and what they replaced goes at the next."""
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
                new_of(ledger, events_of(*events))

        assert new_of(ledger, events_of(*events)) == events_of(*events)


def test_delivered_events_are_filed_even_while_the_disk_cannot_be_read(tmp_path: Path) -> None:
    """They have their receipts: not filing them would send them again."""
    events = [event_at(NOON_MS + i * HOUR_MS, str(i)) for i in range(4)]
    with _small_bounds(entries=0, hours=1):
        _deliver(Ledger(tmp_path), *(event_at(NOON_MS + i * HOUR_MS, f"old{i}") for i in range(4)))
        ledger = Ledger(tmp_path)
        with ledger.claim(events_of(*events)), pytest.MonkeyPatch.context() as patch:
            patch.setattr(storage, "read", _unreadable)
            ledger.record(events_of(*events), 0)
        ledger.commit()

        assert new_of(ledger, events_of(*events)) == events_of()
        assert new_of(Ledger(tmp_path), events_of(*events)) == events_of()
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

    assert new_of(ledger, events_of(event)) == events_of()
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
                with ledger.claim(events_of(*events[start : start + 50])) as fresh:
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
        assert new_of(Ledger(tmp_path), events_of(*events)) == events_of()


def test_what_was_recorded_before_a_write_returns_is_on_the_disk(tmp_path: Path) -> None:
    """Whoever wrote it, and although every third write fails."""
    disk = _DiskThatFailsNowAndThen()
    missing: list[int] = []
    ledger = Ledger(tmp_path)
    ledger.commit()

    def deliver(thread: int) -> None:
        for number in range(60):
            event = event_at(NOON_MS + number, f"{thread}-{number}")
            recorded(ledger, events_of(event))
            _until_it_works(ledger.write)
            if event.key not in disk.keys:
                missing.append(event.key)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(storage, "write_once", disk.write_once)
        _in_threads(deliver, 8)

    assert missing == []
    assert len(disk.keys) == 8 * 60


# Scopes


def test_two_scopes_in_one_folder_do_not_know_each_others_events(tmp_path: Path) -> None:
    """Counts of one cannot be compared with those of the other."""
    event = event_at(NOON_MS)
    _deliver(Ledger(tmp_path, scope="one"), event)
    other = Ledger(tmp_path, scope="two")

    delivered = _deliver(other, event, event_at(NOON_MS, "2"))

    assert len(delivered) == 2
    assert Ledger(tmp_path, scope="one").count(NOON_MS, FOREVER_MS) == 1
    assert Ledger(tmp_path, scope="two").count(NOON_MS, FOREVER_MS) == 2


def test_going_back_to_a_scope_finds_what_it_knew(tmp_path: Path) -> None:
    """Its events do not come again."""
    events = {name: event_at(NOON_MS, name) for name in ("one", "two", "three")}
    for name, event in events.items():
        ledger = Ledger(tmp_path, scope=name)
        _deliver(ledger, event)
        ledger.forget_before(NOON_MS - len(name) * HOUR_MS, [])

    for name, event in events.items():
        again = Ledger(tmp_path, scope=name)

        assert new_of(again, events_of(*events.values())) == events_of(
            *(other for other in events.values() if other is not event)
        )
        assert again.forgotten_ms == NOON_MS - len(name) * HOUR_MS


def test_a_folder_that_does_not_say_whose_it_is_is_adopted(tmp_path: Path) -> None:
    """An earlier build wrote no about.json."""
    event = event_at(NOON_MS)
    _deliver(Ledger(tmp_path), event)
    (tmp_path / ledger_files.ABOUT_FILE_NAME).unlink()

    adopted = Ledger(tmp_path, scope="all")

    assert not adopted.is_missing()
    assert adopted.forgotten_ms == 0
    assert _unknown(adopted, event) == events_of()
    _deliver(adopted, event_at(NOON_MS, "2"))
    assert new_of(Ledger(tmp_path, scope="other"), events_of(event)) == events_of(event)
    assert new_of(Ledger(tmp_path, scope="all"), events_of(event)) == events_of()


_DAMAGED_ABOUTS = [
    b"",
    b"{",
    b"[]",
    b"\x00\xff",
    b'{"scope":"one"}',
    b'{"scope":1,"forgotten_ms":2}',
    b'{"scope":"one","forgotten_ms":true}',
]


@pytest.mark.parametrize("damaged", _DAMAGED_ABOUTS)
def test_a_damaged_description_costs_no_events_and_is_told(tmp_path: Path, damaged: bytes) -> None:
    """Who comes next takes the folder for theirs, unless they have one of their own below."""
    first, second = event_at(NOON_MS, "1"), event_at(NOON_MS, "2")
    _deliver(Ledger(tmp_path, scope="one"), first)
    _deliver(Ledger(tmp_path, scope="two"), second)
    (tmp_path / ledger_files.ABOUT_FILE_NAME).write_bytes(damaged)
    told: list[str] = []

    two = Ledger(tmp_path, told.append, scope="two")
    known_by_two = _unknown(two, first, second)
    one = Ledger(tmp_path, told.append, scope="one")

    assert known_by_two == events_of(first)
    assert _unknown(one, first, second) == events_of(second)
    assert len(told) == 1
    assert "about.json is damaged" in told[0]
    _deliver(one, event_at(NOON_MS, "3"))
    assert new_of(Ledger(tmp_path, told.append, scope="two"), events_of(first)) == events_of(first)
    assert len(told) == 1


def test_the_description_of_a_scope_below_may_be_damaged_as_well(tmp_path: Path) -> None:
    """Its folder is named for its scope."""
    event = event_at(NOON_MS)
    Ledger(tmp_path, scope="one").commit()
    _deliver(Ledger(tmp_path, scope="two"), event)
    (below,) = tmp_path.glob("scope-*")
    (below / ledger_files.ABOUT_FILE_NAME).write_bytes(b"{")
    told: list[str] = []

    assert new_of(Ledger(tmp_path, told.append, scope="two"), events_of(event)) == events_of()
    assert len(told) == 1


def test_events_of_another_scope_are_known_without_being_counted(tmp_path: Path) -> None:
    """From the hour of the change on, either may have delivered an event."""
    inside, ahead = event_at(NOON_MS, "in"), event_at(NOON_MS + 99 * HOUR_MS, "ahead")
    outside = event_at(NOON_MS - 1, "out")
    former = Ledger(tmp_path, scope="former")
    _deliver(former, inside, outside, ahead)
    ledger = Ledger(tmp_path, scope="new")
    _deliver(ledger, event_at(NOON_MS, "own"))

    ledger.know_of(former, [(NOON_MS + 5, FOREVER_MS)])
    ledger.commit()

    for known in (ledger, Ledger(tmp_path, scope="new")):
        assert _unknown(known, inside, outside, ahead) == events_of(outside)
        assert known.count(NOON_MS - HOUR_MS, FOREVER_MS) == 1


# What is forgotten


def test_a_ledger_is_missing_until_it_wrote_although_nothing(tmp_path: Path) -> None:
    """Or a tenant without events would seem to have lost its ledger at each restart."""
    ledger = Ledger(tmp_path)
    before = ledger.is_missing()

    ledger.commit()

    assert before
    assert not ledger.is_missing()
    assert not Ledger(tmp_path).is_missing()
    assert Ledger(tmp_path, scope="other").is_missing()


def test_the_instant_of_forgetting_survives_restarts_and_moves_back_only_when_told(
    tmp_path: Path,
) -> None:
    """No audit may look where the ledger has forgotten."""
    ledger = Ledger(tmp_path)
    ledger.commit()

    ledger.forget_before(NOON_MS + 5, [])
    ledger.forget_before(NOON_MS - HOUR_MS, [])
    ledger.remember_from(NOON_MS + HOUR_MS)
    forgotten_ms = Ledger(tmp_path).forgotten_ms
    ledger.remember_from(NOON_MS - 7)

    assert forgotten_ms == NOON_MS
    assert ledger.forgotten_ms == Ledger(tmp_path).forgotten_ms == NOON_MS - 7


def test_what_is_forgotten_is_written_down_although_the_disk_failed_at_first(
    tmp_path: Path,
) -> None:
    """Nothing is removed before that, and a second try does not take it for done."""
    event = event_at(NOON_MS)
    with _small_bounds(entries=0):
        ledger = Ledger(tmp_path)
        _deliver(ledger, event)

        with BreakingDisk(at=1), pytest.raises(StateUnavailable):
            ledger.forget_before(NOON_MS + HOUR_MS, [])
        known_after_the_failure = new_of(Ledger(tmp_path), events_of(event)) == events_of()
        ledger.forget_before(NOON_MS + HOUR_MS, [])

    assert known_after_the_failure
    assert Ledger(tmp_path).forgotten_ms == NOON_MS + HOUR_MS


@pytest.mark.parametrize("at", [1, 2, 3])
def test_forgetting_on_a_disk_that_fails_once_leaves_no_file(tmp_path: Path, at: int) -> None:
    """Or the hour would come back at a restart, after its events were read and counted again."""
    with _small_bounds(entries=0):
        ledger = Ledger(tmp_path)
        _deliver(ledger, event_at(NOON_MS, "1"), event_at(NOON_MS + HOUR_MS, "2"))

        with BreakingDisk(at) as disk, pytest.raises(StateUnavailable):
            ledger.forget_before(NOON_MS + 2 * HOUR_MS, [])
        ledger.forget_before(NOON_MS + 2 * HOUR_MS, [])

    assert disk.happened
    assert list(tmp_path.glob("hour-*")) == []


@pytest.mark.parametrize("at", range(1, 8))
def test_what_is_remembered_again_is_written_down_although_the_disk_failed_at_first(
    tmp_path: Path, at: int
) -> None:
    """Or a restart would go on after what was to be read again."""
    with _small_bounds(entries=3):
        ledger = Ledger(tmp_path)
        for number in range(6):
            _deliver(ledger, event_at(NOON_MS + number % 2 * HOUR_MS, str(number)))
        ledger.forget_before(NOON_MS + HOUR_MS, [])

        with BreakingDisk(at) as disk:
            try:
                ledger.remember_from(NOON_MS)
            except StateUnavailable:
                ledger.remember_from(NOON_MS)

        assert disk.happened
        assert Ledger(tmp_path).forgotten_ms == NOON_MS
        for known in (ledger, Ledger(tmp_path)):
            assert known.count(NOON_MS + HOUR_MS, FOREVER_MS) == 3
        assert Ledger(tmp_path).count(NOON_MS, NOON_MS + HOUR_MS) == 0


@pytest.mark.parametrize("entries", [0, 3, 1_000])
def test_what_was_forgotten_and_came_again_counts_once_after_a_restart(
    tmp_path: Path, entries: int
) -> None:
    """Else the ledger would count more than JumpCloud holds, and hide a late event."""
    events = [event_at(NOON_MS + number, str(number)) for number in range(6)]
    with _small_bounds(entries=entries):
        ledger = Ledger(tmp_path)
        for event in events:
            _deliver(ledger, event)
        ledger.forget_before(NOON_MS + HOUR_MS, [])

        ledger.remember_from(NOON_MS)
        again = _deliver(ledger, *events)

        assert len(again) == 6
        assert Ledger(tmp_path).count(NOON_MS, NOON_MS + HOUR_MS) == 6


# Hours still to come


def _far(count: int) -> list[Event]:
    return [event_at(NOON_MS + n * HOUR_MS + n, str(n)) for n in range(count)]


def test_thousands_of_hours_still_to_come_share_one_file(tmp_path: Path) -> None:
    """A device whose clock is ahead may spread its events over years."""
    events = _far(3_000)
    ledger = Ledger(tmp_path)
    ledger.now_is(NOON_MS - HOUR_MS)
    with _small_bounds(entries=0, keys=100, hours=10):
        _deliver(ledger, *events)

        assert len(list(tmp_path.glob("hour-*"))) == 1
        for known in (ledger, Ledger(tmp_path)):
            assert _unknown(known, *events) == events_of()
            assert known.count(NOON_MS, FOREVER_MS) == 3_000
            assert known.count(NOON_MS + 10 * HOUR_MS, NOON_MS + 20 * HOUR_MS) == 10


@pytest.mark.parametrize("minutes", [-1, 0, 59, 60, 150, 600])
def test_an_hour_whose_time_comes_moves_to_a_file_of_its_own(tmp_path: Path, minutes: int) -> None:
    """Right before, right after, and across restarts it is known and counts."""
    events = _far(8)
    more = [event_at(NOON_MS - HOUR_MS, "before"), event_at(NOON_MS + HOUR_MS, "more")]
    with _small_bounds(entries=0):
        ledger = Ledger(tmp_path)
        ledger.now_is(NOON_MS - HOUR_MS)
        _deliver(ledger, *events)
        ledger.now_is(NOON_MS + minutes * MINUTE_MS)
        known = [_unknown(each, *events) for each in (ledger, Ledger(tmp_path))]

        _deliver(ledger, *more)

        assert known == [events_of(), events_of()]
        own = {int(path.name.split("-")[1]) for path in tmp_path.glob("hour-*")}
        assert len(own - {ledger_files.AHEAD}) == 1 + min(8, 1 + minutes // 60)
        for each in (ledger, Ledger(tmp_path)):
            assert _unknown(each, *events, *more) == events_of()
            assert each.count(NOON_MS, NOON_MS + HOUR_MS) == 1
            assert each.count(NOON_MS + HOUR_MS, NOON_MS + 2 * HOUR_MS) == 2
            assert each.count(NOON_MS - HOUR_MS, FOREVER_MS) == 10


@pytest.mark.parametrize("how", ["truncated", "garbage", "empty"])
@pytest.mark.parametrize("spoilt", ["ahead", "own"])
def test_damage_to_a_compaction_that_moved_an_hour_costs_nothing(
    tmp_path: Path, how: str, spoilt: str
) -> None:
    """The file it was in before is the copy to fall back to."""
    events = _far(4)
    with _small_bounds(entries=0):
        ledger = Ledger(tmp_path)
        ledger.now_is(NOON_MS - HOUR_MS)
        _deliver(ledger, *events)
        _deliver(ledger, event_at(NOON_MS + 2 * HOUR_MS, "more"))
        ledger.now_is(NOON_MS)
        _deliver(ledger, event_at(NOON_MS, "own"))
        number = ledger_files.AHEAD if spoilt == "ahead" else NOON_MS // HOUR_MS
        _spoil(max(tmp_path.glob(f"hour-{number}-*")), how)
        told: list[str] = []

        known = Ledger(tmp_path, told.append)

        assert _unknown(known, *events, event_at(NOON_MS, "own")) == events_of()
        assert known.count(NOON_MS, FOREVER_MS) == 6
        _deliver(known, event_at(NOON_MS, "later"))
        assert Ledger(tmp_path).count(NOON_MS, FOREVER_MS) == 7
    assert len(told) == 1
    assert "copy is used" in told[0]


# Against a plain set

_EVENTS = [event_at(NOON_MS + n % 5 * HOUR_MS + n * 91_000, str(n)) for n in range(40)] + [
    undated_event(99)
]
_NUMBERS = st.lists(st.integers(0, 40), min_size=1, max_size=5)
_MINUTES = st.integers(0, 6 * 60)


_SCOPES = st.sampled_from(["all", "sso", "ldap"])
_HOURS = st.integers(0, 5)
_CHANGES = st.integers(1, 8)


@dataclass
class _Model:
    """What one scope's ledger knows: in memory, after a kill, and after a power cut."""

    recorded: set[int] = field(default_factory=set)
    written: set[int] = field(default_factory=set)
    committed: set[int] = field(default_factory=set)
    forgotten_ms: int = 0


class LedgerLikeASet(RuleBasedStateMachine):
    """A ledger and sets, through all that can happen to them, in three scopes of one folder."""

    def __init__(self) -> None:
        super().__init__()
        self.bounds = _small_bounds()
        self.bounds.__enter__()
        self.patch = pytest.MonkeyPatch()
        self.synced: set[Path] = set()
        self.patch.setattr(storage, "sync", self.synced.add)
        self.temporary = TemporaryDirectory()
        self.folder = Path(self.temporary.name)
        self.models: dict[str, _Model] = {}
        self.now_ms = NOON_MS
        self.go_on_as("all")

    def teardown(self) -> None:
        """Check everything once more, as a restart finds it."""
        self.commit()
        for scope in list(self.models):
            self.go_on_as(scope)
            self.what_is_known_is_the_set()
            self.what_is_counted_is_the_set(self.model.forgotten_ms, FOREVER_MS)
        self.patch.undo()
        self.bounds.__exit__(None, None, None)
        self.temporary.cleanup()

    def relevant(self, numbers: set[int]) -> set[int]:
        """Leave out what was forgotten: it may be known or not, nobody asks."""
        forgotten_ms = self.model.forgotten_ms
        return {n for n in numbers if (_EVENTS[n].time_ms or NOON_MS * 2) >= forgotten_ms}

    def known(self, numbers: set[int]) -> set[int]:
        """Ask the ledger which of the events it knows."""
        asked = sorted(self.relevant(numbers))
        unknown = {event.key for event in _unknown(self.ledger, *(_EVENTS[n] for n in asked))}
        return {n for n in asked if _EVENTS[n].key not in unknown}

    @rule(numbers=_NUMBERS)
    def record(self, numbers: list[int]) -> None:
        """Claim and record."""
        asked = self.relevant(set(numbers))
        new = asked - self.model.written - self.model.recorded

        fresh = recorded(self.ledger, events_of(*(_EVENTS[n] for n in numbers if n in asked)))

        assert {event.key for event in fresh} == {_EVENTS[n].key for n in new}
        self.model.recorded |= new

    @rule()
    def write(self) -> None:
        """Write what was recorded."""
        self.ledger.write()
        self.model.written |= self.model.recorded
        self.model.recorded = set()

    @rule()
    def commit(self) -> None:
        """Write what was recorded, and sync."""
        self.ledger.commit()
        self.committed()

    def committed(self) -> None:
        """Take note of a commit."""
        self.model.written |= self.model.recorded
        self.model.committed = set(self.model.written)
        self.model.recorded = set()

    @rule(numbers=_NUMBERS)
    def deliver(self, numbers: list[int]) -> None:
        """Claim, record and write, as a page does."""
        self.record(numbers)
        self.write()

    @rule()
    def restart(self) -> None:
        """Forget what was not written."""
        self.go_on_as(self.scope)

    @rule(scope=_SCOPES)
    def go_on_as(self, scope: str) -> None:
        """Start with the same configuration, or with another."""
        for model in self.models.values():
            model.recorded = set()
        self.scope, self.model = scope, self.models.setdefault(scope, _Model())
        self.ledger = Ledger(self.folder, scope=scope)
        self.ledger.now_is(self.now_ms)

    @rule(is_torn=st.booleans())
    def power_cut(self, is_torn: bool) -> None:
        """Lose what was not synced, or half of it."""
        for path in set(self.folder.rglob("journal-*")) - self.synced:
            content = path.read_bytes()
            path.unlink()
            if is_torn:
                path.write_bytes(content[: len(content) // 2])
        for scope in list(self.models):
            self.go_on_as(scope)
            model = self.model
            known = self.known(model.written)
            assert known >= self.relevant(model.committed)
            model.written = known | (model.written - self.relevant(model.written))
            model.committed &= model.written

    @rule(hour=st.integers(-1, 7))
    def now_is(self, hour: int) -> None:
        """Move the time on, or back."""
        self.now_ms = NOON_MS + hour * HOUR_MS
        self.ledger.now_is(self.now_ms)

    @rule(hour=_HOURS, at=_CHANGES)
    def forget(self, hour: int, at: int) -> None:
        """Forget the hours before one, on a disk that may fail once."""
        before_ms = NOON_MS + hour * HOUR_MS
        with BreakingDisk(at):
            try:
                self.ledger.forget_before(before_ms, [])
            except StateUnavailable:
                self.ledger.forget_before(before_ms, [])
        self.model.forgotten_ms = max(self.model.forgotten_ms, before_ms)

    @rule(hour=_HOURS, at=_CHANGES)
    def crash_while_forgetting(self, hour: int, at: int) -> None:
        """Nothing is gone before it is written down that it is."""
        before_ms = NOON_MS + hour * HOUR_MS
        try:
            with BreakingDisk(at, crash=True):
                self.ledger.forget_before(before_ms, [])
            self.model.forgotten_ms = max(self.model.forgotten_ms, before_ms)
        except Crash:
            self.restart()
            found_ms = self.ledger.forgotten_ms
            assert found_ms in (self.model.forgotten_ms, before_ms)
            self.model.forgotten_ms = found_ms

    @rule(hour=_HOURS, at=_CHANGES)
    def remember(self, hour: int, at: int) -> None:
        """Read again from an instant on, on a disk that may fail once."""
        model = self.model
        model.forgotten_ms = min(model.forgotten_ms, NOON_MS + hour * HOUR_MS)
        with BreakingDisk(at):
            try:
                self.ledger.remember_from(NOON_MS + hour * HOUR_MS)
            except StateUnavailable:
                self.ledger.remember_from(NOON_MS + hour * HOUR_MS)
        self.forget_what_is_unknown()

    def forget_what_is_unknown(self) -> None:
        """Ask what is still known of hours that were forgotten."""
        everything = set(range(len(_EVENTS)))
        gone = self.relevant(everything) - self.known(everything)
        self.model.recorded -= gone
        self.model.written -= gone
        self.model.committed -= gone

    @rule(at=_CHANGES)
    def commit_on_a_disk_that_fails_once(self, at: int) -> None:
        """Write again what could not be written."""
        with BreakingDisk(at):
            try:
                self.ledger.commit()
            except StateUnavailable:
                self.ledger.commit()
        self.committed()

    @rule(at=_CHANGES, halfway=st.booleans())
    def crash_while_committing(self, at: int, halfway: bool) -> None:
        """What was delivered a moment ago may be known or not, all else is as it was."""
        recorded = self.model.recorded
        try:
            with BreakingDisk(at, crash=True, halfway=halfway):
                self.ledger.commit()
        except Crash:
            self.restart()
            self.model.written |= self.known(recorded) | (recorded - self.relevant(recorded))
        else:
            self.committed()

    @rule(one=_MINUTES, other=_MINUTES)
    def count(self, one: int, other: int) -> None:
        """Count a span of whole minutes."""
        start_ms = max(self.model.forgotten_ms, NOON_MS + min(one, other) * MINUTE_MS)
        end_ms = max(start_ms, NOON_MS + max(one, other) * MINUTE_MS)
        self.what_is_counted_is_the_set(start_ms, end_ms)

    def what_is_counted_is_the_set(self, start_ms: int, end_ms: int) -> None:
        """Each event once."""
        times = [_EVENTS[n].time_ms or 0 for n in self.model.written | self.model.recorded]

        counted = self.ledger.count(start_ms, end_ms)

        assert counted == sum(1 for time_ms in times if max(start_ms, 1) <= time_ms < end_ms)

    @invariant()
    def what_is_known_is_the_set(self) -> None:
        """Nothing more, nothing less."""
        everything = set(range(len(_EVENTS)))
        assert self.known(everything) == self.relevant(self.model.written | self.model.recorded)
        assert self.ledger.forgotten_ms == self.model.forgotten_ms


TestAnyHistoryAnswersLikeAPlainSet = LedgerLikeASet.TestCase
TestAnyHistoryAnswersLikeAPlainSet.settings = settings(max_examples=60, stateful_step_count=25)


# Damage


def _story(folder: Path) -> list[Event]:
    """Deliver enough for two compactions and a few journals over three hours."""
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
            assert new_of(known, events_of(*events)) == events_of()
            assert known.count(NOON_MS, NOON_MS + 3 * HOUR_MS) == 24 + 1 + 12

        assert len(never) == 1
        assert told or how == "missing" or not forgotten
        assert all("damaged" in text for text in told)


@pytest.mark.parametrize("how", ["truncated", "garbage", "empty"])
def test_damage_to_what_a_compaction_just_wrote_costs_nothing(tmp_path: Path, how: str) -> None:
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

        assert new_of(known, events_of(*events)) == events_of(*events[10:])
        assert known.count(NOON_MS, NOON_MS + HOUR_MS) == 10
    assert len(told) == 1
    assert "copy is used" in told[0]


@pytest.mark.parametrize("mode", ["crash", "crash halfway", "fail"])
def test_a_break_between_any_two_file_operations_of_a_compaction_loses_and_invents_nothing(
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
            recorded(ledger, events_of(*extra))
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

    assert new_of(known, events_of(event)) == events_of()
    assert (tmp_path / "README").exists()


@pytest.mark.parametrize(
    "name", ["journal-copy", "journal-0000000001-copy", "journal-\u00b2", "hour-\u00b2-1-1"]
)
def test_a_stray_file_named_like_a_journal_does_not_stop_the_ledger(
    tmp_path: Path, name: str
) -> None:
    """Its name is not believed, nor what it holds."""
    event = event_at(NOON_MS)
    _deliver(Ledger(tmp_path), event)
    (journal,) = tmp_path.glob("journal-*")
    (tmp_path / name).write_bytes(journal.read_bytes())

    known = Ledger(tmp_path)

    assert new_of(known, events_of(event)) == events_of()
    assert known.count(NOON_MS, FOREVER_MS) == 1


@pytest.mark.parametrize("length", range(40))
def test_a_journal_torn_anywhere_costs_only_itself_and_is_told(tmp_path: Path, length: int) -> None:
    """A power cut leaves it so before it was synced."""
    kept, torn = event_at(NOON_MS, "1"), event_at(NOON_MS, "2")
    ledger = Ledger(tmp_path)
    _deliver(ledger, kept)
    _deliver(ledger, torn)
    newest = max(tmp_path.glob("journal-*"))
    content = newest.read_bytes()
    newest.write_bytes(content[:length])
    told: list[str] = []

    known = Ledger(tmp_path, told.append)

    is_whole = length >= len(content)
    assert _unknown(known, kept, torn) == (events_of() if is_whole else events_of(torn))
    assert len(told) == (not is_whole)
    _deliver(known, torn)
    assert Ledger(tmp_path).count(NOON_MS, FOREVER_MS) == 2


def test_a_write_that_failed_and_arrives_late_takes_nothing_back(tmp_path: Path) -> None:
    """On S3 a request that was given up may have an effect after those that followed it."""
    one, two = event_at(NOON_MS, "1"), event_at(NOON_MS, "2")
    ledger, given_up = Ledger(tmp_path), list[tuple[Path, bytes]]()
    ledger.commit()
    recorded(ledger, events_of(one))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(storage, "write_once", _giving_up(given_up))
        with pytest.raises(StateUnavailable):
            ledger.write()
    _deliver(ledger, two)

    for path, content in given_up:
        path.write_bytes(content)

    assert new_of(Ledger(tmp_path), events_of(one, two)) == events_of()
    assert Ledger(tmp_path).count(NOON_MS, NOON_MS + HOUR_MS) == 2


def _giving_up(given_up: list[tuple[Path, bytes]]) -> Callable[[Path, bytes], None]:
    def write_once(path: Path, content: bytes) -> None:
        given_up.append((path, content))
        raise StateUnavailable("no answer")

    return write_once


def _unreadable(path: Path) -> bytes | None:
    raise StateUnavailable(f"{path} cannot be read")


def _writing_and_failing(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    raise StateUnavailable("the answer was lost")


class _DiskThatFailsNowAndThen:
    """Fail every third write, and know the keys of all others."""

    def __init__(self) -> None:
        self.keys: set[int] = set()
        self._writes = 0

    def write_once(self, path: Path, content: bytes) -> None:
        self._writes += 1
        if self._writes % 3 == 0:
            raise StateUnavailable("the disk is full")
        for entries in (unpacked(content) or {}).values():
            self.keys.update(entries.keys)


def _until_it_works(act: Callable[[], None]) -> None:
    while True:
        try:
            return act()
        except StateUnavailable:
            continue


def _in_threads(act: Callable[[int], None], count: int) -> None:
    threads = [threading.Thread(target=act, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
