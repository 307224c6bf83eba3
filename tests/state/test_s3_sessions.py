"""Many states owned by one process on S3, in one session."""

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from s3path import S3Path

from jumpcloud_modules.errors import OwnershipLost, StateUnavailable, Stopped
from jumpcloud_modules.state import processes
from jumpcloud_modules.state.lease_record import SESSIONS
from jumpcloud_modules.state.lease_terms import Terms
from jumpcloud_modules.state.owners import this_process
from jumpcloud_modules.state.ownership import Owner, ownership, ownerships, who_owns
from jumpcloud_modules.state.s3_lease import S3Lease, owner_on_s3
from jumpcloud_modules.state.s3_sessions import FolderOwner, S3Sessions
from jumpcloud_modules.state.session import Session
from tests.doubles import NOON_MS, Waits
from tests.state.pretences import (
    QUIET,
    Clock,
    FakeS3,
    Looks,
    client_of,
    ignore,
    now_ms,
    unreachable,
    without_conditions,
)


@pytest.fixture
def root(folder: S3Path) -> S3Path:
    """Return where the folders of the states are."""
    return folder


def _sessions(root: S3Path, clock: Clock | None = None, terms: Terms = QUIET) -> S3Sessions:
    return S3Sessions(root, now_ms, clock or Clock(), terms)


def _held(sessions: S3Sessions, *folders: S3Path) -> list[FolderOwner]:
    owners = [sessions.of(folder) for folder in folders]
    for owner in owners:
        owner.acquire(Waits(stop_after=1), ignore)
    return owners


def _is_owner(owner: Owner) -> bool:
    try:
        owner.check()
    except OwnershipLost:
        return False
    return True


def _current(sessions: S3Sessions) -> Session:
    assert sessions._current is not None
    return sessions._current


def _renew(sessions: S3Sessions) -> None:
    """Renew the session now, as its thread does every ten seconds."""
    _current(sessions)._lease._renew_in_turn()


def _sessions_in(root: S3Path) -> list[S3Path]:
    return list((root / SESSIONS).iterdir())


def _threads_since(before: set[threading.Thread]) -> set[threading.Thread]:
    return set(threading.enumerate()) - before


def _look_for(owner: Owner, clock: Clock, seconds: float) -> bool:
    """Look as often as an owner says, and tell whether it owns the state in the end."""
    until = clock.now + seconds
    while not owner.try_acquire(ignore) and clock.now < until:
        clock.now += owner.look_every_seconds
    return _is_owner(owner)


# Taking and giving back


def test_many_states_are_owned_in_one_session(root: S3Path) -> None:
    """Each record names it; one object is renewed, by one thread."""
    threads = set(threading.enumerate())
    sessions = ownerships(root, now_ms)
    folders = [root / name for name in ("acme", "globex", "initech")]
    owners = [sessions.of(folder) for folder in folders]

    taken = [owner.try_acquire(ignore) for owner in owners]

    assert taken == [True, True, True]
    assert all(map(_is_owner, owners))
    assert [who_owns(folder) for folder in folders] == [this_process(NOON_MS)] * 3
    assert len(_sessions_in(root)) == 1
    assert [thread.name for thread in _threads_since(threads)].count("lease") == 1
    sessions.release()


def test_a_state_given_back_is_the_next_ones_and_no_other(root: S3Path) -> None:
    """The rest of the session goes on."""
    first, second = _sessions(root), _sessions(root)
    acme, globex = _held(first, root / "acme", root / "globex")
    waiting = second.of(root / "globex")

    acme.release()
    _current(first).return_once()

    (taken,) = _held(second, root / "acme")
    assert _is_owner(taken)
    assert not _is_owner(acme)
    assert _is_owner(globex)
    assert not waiting.try_acquire(ignore)


def test_all_is_given_back_with_one_write(root: S3Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many states there are; and nothing is taken afterwards."""
    first, second = _sessions(root), _sessions(root)
    folders = [root / f"org-{number}" for number in range(20)]
    owners = _held(first, *folders)
    written: list[str] = []
    put = client_of(root).put_object

    def put_and_note(**asked: Any) -> Any:
        written.append(asked["Key"])
        return put(**asked)

    with monkeypatch.context() as noting:
        noting.setattr(client_of(root), "put_object", put_and_note)
        first.release()
        first.release()

    assert len(written) == 1
    assert [who_owns(folder) for folder in folders] == [None] * 20
    assert not any(map(_is_owner, owners))
    assert all(map(_is_owner, _held(second, *folders)))
    with pytest.raises(Stopped):
        first.of(root / "another").try_acquire(ignore)


def test_an_owner_in_a_session_has_one_life(root: S3Path) -> None:
    """As everywhere; what looks for the state next is another owner."""
    sessions = _sessions(root)
    (owner,) = _held(sessions, root / "acme")
    never = sessions.of(root / "globex")
    owner.release()
    never.release()

    for ended in (owner, never):
        with pytest.raises(OwnershipLost):
            ended.try_acquire(ignore)


def test_a_state_may_be_taken_again_in_the_same_session(root: S3Path) -> None:
    """An organization that was removed from a list, and added again: nobody is told of a wait."""
    told: list[str] = []
    sessions = _sessions(root)
    (first,) = _held(sessions, root / "acme")
    again = sessions.of(root / "acme")
    while_owned = again.try_acquire(ignore)
    first.release()
    third = sessions.of(root / "acme")
    third.acquire(Looks(Clock(), between=[_current(sessions).return_once]), told.append)

    assert not while_owned
    assert _is_owner(third)
    assert told == []


def test_a_folder_elsewhere_is_refused(root: S3Path) -> None:
    """Its record could not name the session."""
    with pytest.raises(ValueError, match="not right below"):
        _sessions(root).of(root / "acme" / "deeper")


def test_a_state_that_cannot_be_given_back_is_tried_again(
    root: S3Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise nobody could take it until the session ends."""
    first = _sessions(root)
    (acme,) = _held(first, root / "acme")
    with monkeypatch.context() as away:
        away.setattr(client_of(root), "get_object", unreachable)
        acme.release()
        assert _current(first).return_once()

    assert not _current(first).return_once()
    assert who_owns(root / "acme") is None


def test_a_release_does_not_wait_for_a_storage_that_hangs(
    root: S3Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither of one state, nor, for long, of all."""
    answering = threading.Event()
    sessions = _sessions(root)
    (acme,) = _held(sessions, root / "acme")
    for name in ("get_object", "put_object"):
        monkeypatch.setattr(client_of(root), name, lambda **_: answering.wait())
    ended = threading.Event()

    def release() -> None:
        acme.release()
        sessions.release()
        ended.set()

    threading.Thread(target=release).start()

    assert ended.wait(20)
    answering.set()


# Waiting


def test_a_silent_session_is_ended_and_its_states_taken(root: S3Path) -> None:
    """After the lease's time and not before, and what ended it settles first."""
    told: list[str] = []
    first, clock = _sessions(root), Clock()
    _held(first, root / "acme")
    looks = Looks(clock)

    waiter = _sessions(root, clock).of(root / "acme")
    waiter.acquire(looks, told.append)

    assert 43 <= looks.waited <= 48
    assert "owned by process" in told[0]
    assert "has been silent for 40 s" in told[0]
    assert len(told) == 2


def test_a_slow_owner_that_comes_back_has_lost_everything(root: S3Path) -> None:
    """Also what nobody took; it takes that again, in a new session."""
    clock, waiters = Clock(), Clock()
    slow, other = _sessions(root, clock), _sessions(root, waiters)
    acme, globex = _held(slow, root / "acme", root / "globex")
    taken = other.of(root / "acme")
    assert _look_for(taken, waiters, 50)
    clock.now += 50

    for lost in (acme, globex):
        with pytest.raises(OwnershipLost, match=f"the state in {lost._folder}: .* took it over"):
            lost.check()
        lost.release()
    again = slow.of(root / "globex")
    assert not slow.of(root / "acme").try_acquire(ignore)
    assert again.try_acquire(ignore)
    assert _is_owner(taken)
    assert _is_owner(again)
    assert not _is_owner(globex)


def test_a_session_that_is_renewed_is_never_ended(root: S3Path) -> None:
    """By the waiter's own clock: the owner's may show any time."""
    clock = Clock()
    owner = _sessions(root, renewed := Clock(5.0))
    (acme,) = _held(owner, root / "acme")

    def renew() -> None:
        renewed.now += QUIET.trusted_seconds
        acme.check()

    looks = Looks(clock, stop_after=400, between=[renew])
    with pytest.raises(Stopped):
        _sessions(root, clock).of(root / "acme").acquire(looks, ignore)

    assert _is_owner(acme)


def test_a_session_whose_process_has_ended_here_is_over_at_once(
    root: S3Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a restart on the same machine after a kill."""
    _held(_sessions(root), root / "acme", root / "globex")
    monkeypatch.setattr(processes, "has_ended", lambda name: name == processes.name_of_this())

    taken = _held(_sessions(root), root / "acme", root / "globex")

    assert all(map(_is_owner, taken))


def test_a_renewal_wins_over_whoever_ends_the_session_in_the_same_instant(
    root: S3Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The waiter begins to wait anew."""
    waiters = Clock()
    owner, other = _sessions(root), _sessions(root, waiters)
    (acme,) = _held(owner, root / "acme")
    waiter = other.of(root / "acme")
    waiter.try_acquire(ignore)
    waiters.now += 41
    put = client_of(root).put_object

    def renew_first(**asked: Any) -> Any:
        monkeypatch.setattr(client_of(root), "put_object", put)
        _renew(owner)
        return put(**asked)

    monkeypatch.setattr(client_of(root), "put_object", renew_first)

    assert not _look_for(waiter, waiters, 38)
    assert _is_owner(acme)
    assert _look_for(waiter, waiters, 10)


def test_whoever_ends_a_session_wins_over_a_renewal_in_the_same_instant(
    root: S3Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The owner finds that it owns nothing any more, though it was about to."""
    waiters = Clock()
    owner, other = _sessions(root), _sessions(root, waiters)
    (acme,) = _held(owner, root / "acme")
    waiter = other.of(root / "acme")
    waiter.try_acquire(ignore)
    waiters.now += 41
    put = client_of(root).put_object

    def end_first(**asked: Any) -> Any:
        monkeypatch.setattr(client_of(root), "put_object", put)
        waiter.try_acquire(ignore)
        return put(**asked)

    monkeypatch.setattr(client_of(root), "put_object", end_first)

    with pytest.raises(OwnershipLost):
        _renew(owner)
    assert not _is_owner(acme)
    assert _look_for(waiter, waiters, 10)


def test_of_many_waiters_one_takes_each_state(root: S3Path) -> None:
    """Of those of a session that was given back, and of one that is silent; never two."""
    for before in ("given back", "silent"):
        place = root / before
        former = _sessions(place)
        folders = [place / f"org-{number}" for number in range(4)]
        _held(former, *folders)
        if before == "given back":
            former.release()
        clock = Clock()
        all_sessions = [_sessions(place, clock) for _ in range(6)]
        owners = [[each.of(folder) for folder in folders] for each in all_sessions]
        for _ in range(30):
            _look_side_by_side(owners)
            clock.now += 2

        held = [sum(_is_owner(of[number]) for of in owners) for number in range(4)]
        assert held == [1, 1, 1, 1]


def _look_side_by_side(owners: list[list[FolderOwner]]) -> None:
    start = threading.Barrier(len(owners))

    def look(of_one: list[FolderOwner]) -> None:
        start.wait()
        for owner in of_one:
            owner.try_acquire(ignore)

    with ThreadPoolExecutor(len(owners)) as pool:
        list(pool.map(look, owners))


def test_a_state_given_back_and_taken_between_two_looks_is_still_anothers(root: S3Path) -> None:
    """The session of its new owner counts, not the one that was watched."""
    waiters = Clock()
    first, second = _sessions(root), _sessions(root)
    (acme,) = _held(first, root / "acme")
    waiter = _sessions(root, waiters).of(root / "acme")
    waiter.try_acquire(ignore)
    waiters.now += 39
    acme.release()
    _current(first).return_once()
    (taken,) = _held(second, root / "acme")

    assert not _look_for(waiter, waiters, 38)
    assert _is_owner(taken)


def test_two_owners_of_a_state_in_one_process_wait_for_each_other(root: S3Path) -> None:
    """By mistake; it would deliver everything twice as well."""
    told: list[str] = []
    sessions = _sessions(root)
    _held(sessions, root / "acme")

    assert not sessions.of(root / "acme").try_acquire(told.append)
    assert f"owned by process {os.getpid()}" in told[0]


# What fails meanwhile


@pytest.mark.parametrize("lost", [1, 2, 3, 4])
def test_a_write_whose_answer_was_lost_is_recognised_as_our_own(
    root: S3Path, monkeypatch: pytest.MonkeyPatch, lost: int
) -> None:
    """Of the session, of the two tries of conditions, and of the record."""
    sessions, client = _sessions(root), client_of(root)
    put, writes = client.put_object, iter(range(1, 100))

    def put_without_answer(**asked: Any) -> Any:
        number = next(writes)
        answer = None
        try:
            answer = put(**asked)
        finally:
            if number == lost:
                raise ConnectionError("reset")
        return answer

    monkeypatch.setattr(client, "put_object", put_without_answer)
    acme = sessions.of(root / "acme")
    with pytest.raises(StateUnavailable):
        acme.try_acquire(ignore)

    assert acme.try_acquire(ignore)
    assert _is_owner(acme)
    acme.release()
    _current(sessions).return_once()
    assert who_owns(root / "acme") is None


def test_a_renewal_whose_answer_was_lost_is_recognised_too(
    root: S3Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no sign of another owner."""
    clock, client = Clock(), client_of(root)
    (acme,) = _held(_sessions(root, clock), root / "acme")
    put = client.put_object

    def put_without_answer(**asked: Any) -> None:
        put(**asked)
        monkeypatch.setattr(client, "put_object", put)
        raise ConnectionError("reset")

    monkeypatch.setattr(client, "put_object", put_without_answer)
    clock.now += 31

    with pytest.raises(StateUnavailable):
        acme.check()
    acme.check()


def test_a_record_that_arrives_after_its_owner_gave_up_is_given_back(
    root: S3Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was on its way when the request seemed to have failed."""
    clock, client = Clock(), client_of(root)
    sessions = _sessions(root, clock)
    _held(sessions, root / "globex")
    acme = sessions.of(root / "acme")
    put = client.put_object
    late: list[dict[str, Any]] = []

    def put_later(**asked: Any) -> None:
        late.append(asked)
        raise ConnectionError("timed out")

    with monkeypatch.context() as slow:
        slow.setattr(client, "put_object", put_later)
        with pytest.raises(StateUnavailable):
            acme.try_acquire(ignore)
    acme.release()
    assert _current(sessions).return_once()
    put(**late[0])
    clock.now += 2

    assert not _current(sessions).return_once()
    assert who_owns(root / "acme") is None


def test_a_session_that_was_removed_by_hand_is_lost(root: S3Path) -> None:
    """Its process begins another one at once; whoever waits does so for the lease's time."""
    waiters = Clock()
    sessions = _sessions(root)
    (acme,) = _held(sessions, root / "acme")
    (path,) = _sessions_in(root)
    path.unlink()
    waiter = _sessions(root, waiters).of(root / "acme")
    too_early = _look_for(waiter, waiters, 38)
    with pytest.raises(OwnershipLost):
        _renew(sessions)

    assert not too_early
    assert not _is_owner(acme)
    assert _is_owner(*_held(sessions, root / "acme"))
    assert not _look_for(waiter, waiters, 38)


def test_a_session_that_stays_removed_keeps_nobody_waiting_for_ever(root: S3Path) -> None:
    """Its process has been gone for long, and another one has swept it."""
    waiters = Clock()
    _held(_sessions(root), root / "acme")
    (path,) = _sessions_in(root)
    path.unlink()

    waiter = _sessions(root, waiters).of(root / "acme")

    assert _look_for(waiter, waiters, 42)


def test_a_record_that_was_removed_is_written_again(root: S3Path) -> None:
    """It is looked at every ten minutes, where the state is used."""
    clock = Clock()
    (acme,) = _held(_sessions(root, clock), root / "acme")
    (root / "acme" / "owner.lease").unlink()
    clock.now += 599
    acme.check()
    before = who_owns(root / "acme")
    clock.now += 2

    acme.check()

    assert before is None
    assert who_owns(root / "acme") is not None


def test_a_record_that_is_anothers_costs_that_state_and_no_other(root: S3Path) -> None:
    """Somebody removed it, and another process has taken the state meanwhile."""
    clock = Clock()
    acme, globex = _held(_sessions(root, clock), root / "acme", root / "globex")
    (root / "acme" / "owner.lease").unlink()
    (taken,) = _held(_sessions(root), root / "acme")
    clock.now += 601

    assert not _is_owner(acme)
    assert _is_owner(globex)
    assert _is_owner(taken)


def test_a_storage_that_is_away_is_waited_for_and_nothing_is_lost(
    root: S3Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody could take anything meanwhile, if nobody did."""
    clock = Clock()
    sessions = _sessions(root, clock)
    (acme,) = _held(sessions, root / "acme")
    clock.now += 300
    with monkeypatch.context() as away:
        away.setattr(client_of(root), "put_object", unreachable)
        with pytest.raises(StateUnavailable):
            acme.check()
        with pytest.raises(StateUnavailable):
            _sessions(root).of(root / "globex").try_acquire(ignore)

    acme.check()


def test_a_forked_child_owns_nothing() -> None:
    """Its parent's thread renews what is the parent's."""
    program = """
import os
from jumpcloud_modules.errors import OwnershipLost
from jumpcloud_modules.state.s3_sessions import S3Sessions
from tests.state.pretences import QUIET, Clock, FakeS3, ignore, now_ms
root = FakeS3(Clock()).serve("forked")
acme = S3Sessions(root, now_ms, Clock(), QUIET).of(root / "acme")
acme.try_acquire(ignore)
child = os.fork()
if not child:
    try:
        acme.check()
    except OwnershipLost:
        os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
acme.check()
"""
    command = [sys.executable, "-W", "ignore", "-c", program]

    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout

    assert said == "7\n"


# Sessions that are over


def test_sessions_that_are_over_are_swept_by_those_that_begin() -> None:
    """After an hour, by the storage's own clock; those that are renewed stay."""
    clock = Clock()
    root = (storage := FakeS3(clock)).serve("swept") / "root"
    first, second = _sessions(root, clock), _sessions(root, clock)
    _held(first, root / "acme")
    _held(second, root / "globex")
    first.release()
    clock.now += 3590
    _renew(second)
    clock.now += 20
    before = len(_kept(storage))

    _held(_sessions(root, clock), root / "acme")

    assert before == 2
    assert len(_kept(storage)) == 2
    _renew(second)


def _kept(storage: FakeS3) -> list[str]:
    return [key for key in storage.objects if SESSIONS in key]


def test_a_session_that_slept_while_it_was_swept_is_lost() -> None:
    """It is not written again, since its states may be another's."""
    clock = Clock()
    root = FakeS3(clock).serve("slept") / "root"
    (acme,) = _held(_sessions(root, clock), root / "acme")
    clock.now += 4000
    _held(_sessions(root, clock), root / "globex")

    assert not _is_owner(acme)


# One state or many


def test_a_process_of_one_state_waits_for_a_session(root: S3Path) -> None:
    """It does not take the record, which never changes, for a lease that has lapsed."""
    clock, waiters = Clock(), Clock()
    sessions = _sessions(root, clock)
    acme, globex = _held(sessions, root / "acme", root / "globex")
    single = S3Lease(root / "acme", now_ms, waiters, QUIET)

    def renew() -> None:
        clock.now += 2
        if clock.now % 10 == 0:
            _renew(sessions)

    with pytest.raises(Stopped):
        single.acquire(Looks(waiters, stop_after=200, between=[renew]), ignore)
    owned_before = [_is_owner(acme), _is_owner(globex)]
    looks = Looks(waiters)
    single.acquire(looks, ignore)
    clock.now += 50

    assert owned_before == [True, True]
    assert 40 <= looks.waited <= 48
    assert _is_owner(single)
    assert [_is_owner(acme), _is_owner(globex)] == [False, False]
    assert not sessions.of(root / "acme").try_acquire(ignore)


def test_a_session_waits_for_a_process_of_one_state(root: S3Path) -> None:
    """As one process of one state for another; its lease is renewed, given back, or lapses."""
    clock, waiters = Clock(), Clock()
    sessions = _sessions(root, waiters)
    first, second = (S3Lease(root / name, now_ms, clock, QUIET) for name in ("acme", "globex"))
    for single in (first, second):
        single.acquire(threading.Event(), ignore)
    acme, globex = sessions.of(root / "acme"), sessions.of(root / "globex")
    too_early = [_look_for(owner, waiters, 19) for owner in (acme, globex)]
    first.release()

    assert too_early == [False, False]
    assert acme.try_acquire(ignore)
    assert _look_for(globex, waiters, 40)
    clock.now += 60
    assert not _is_owner(second)


def test_a_state_moves_from_one_kind_of_process_to_the_other_and_back(root: S3Path) -> None:
    """Each gives it back in a way that the other one knows."""
    for _ in range(2):
        single = S3Lease(root / "acme", now_ms, Clock(), QUIET)
        single.acquire(Waits(stop_after=1), ignore)
        single.release()
        sessions = _sessions(root)
        (many,) = _held(sessions, root / "acme")
        assert _is_owner(many)
        sessions.release()


def test_who_owns_a_state_is_told_of_one_in_a_session(root: S3Path) -> None:
    """For as long as the session is renewed, by the storage's own clock."""
    sessions = _sessions(root)
    nobody = who_owns(root / "acme")
    _held(sessions, root / "acme")

    assert nobody is None
    assert who_owns(root / "acme") == this_process(NOON_MS)
    assert owner_on_s3(root / "acme", Terms(lease=timedelta())) is None
    (path,) = _sessions_in(root)
    path.unlink()
    assert who_owns(root / "acme") is None


@pytest.mark.parametrize("session", ["../../elsewhere", "", 7, "a" * 31])
def test_a_record_whose_session_is_illegible_lapses_like_a_lease(
    root: S3Path, session: str | int
) -> None:
    """And leads to no other object."""
    content = f'{{"host": "a", "pid": 1, "since": "x", "session": "{session}"}}'.encode()
    client_of(root).put_object(Bucket=root.bucket, Key=f"{root.key}/acme/owner.lease", Body=content)
    acme = _sessions(root, clock := Clock()).of(root / "acme")

    assert not _look_for(acme, clock, 38)
    assert _look_for(acme, clock, 4)


# A storage that ignores conditions


@pytest.mark.parametrize("unable", ["ignores", "refuses", "refuses IfMatch"])
def test_a_storage_without_conditions_is_told_once_and_all_states_settle_together(
    root: S3Path, monkeypatch: pytest.MonkeyPatch, unable: str
) -> None:
    """Not one after the other."""
    told: list[str] = []
    without_conditions(root, monkeypatch, unable)
    sessions = _sessions(root, clock := Clock())
    owners = [sessions.of(root / f"org-{number}") for number in range(10)]

    looks = [[owner.try_acquire(told.append) for owner in owners] for _ in range(2)]
    clock.now += 3
    looks.append([owner.try_acquire(told.append) for owner in owners])

    assert looks == [[False] * 10, [False] * 10, [True] * 10]
    assert len(told) == 1
    assert "ignores conditions" in told[0]


def test_without_conditions_the_last_of_two_writers_owns_the_state(
    root: S3Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each looks again after a while, and later once more."""
    without_conditions(root, monkeypatch, "ignores")
    first, second = _sessions(root, clock := Clock()), _sessions(root, clock)
    loser, winner = first.of(root / "acme"), second.of(root / "acme")
    put = client_of(root).put_object

    def put_last(**asked: Any) -> Any:
        monkeypatch.setattr(client_of(root), "put_object", put)
        loser.try_acquire(ignore)
        return put(**asked)

    for sessions, name in ((first, "begun"), (second, "begun too")):
        sessions.of(root / name).try_acquire(ignore)
    monkeypatch.setattr(client_of(root), "put_object", put_last)
    winner.try_acquire(ignore)
    clock.now += 3

    assert [loser.try_acquire(ignore), winner.try_acquire(ignore)] == [False, True]
    assert _is_owner(winner)


def test_without_conditions_a_record_that_was_overwritten_is_found_in_half_a_minute(
    root: S3Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write that took longer than it was given to settle."""
    without_conditions(root, monkeypatch, "ignores")
    sessions = _sessions(root, clock := Clock())
    acme = sessions.of(root / "acme")
    acme.acquire(Looks(clock), ignore)
    client_of(root).put_object(
        Bucket=root.bucket, Key=f"{root.key}/acme/owner.lease", Body=b'{"token": "another"}'
    )
    clock.now += 31

    assert not _is_owner(acme)


def test_without_conditions_a_session_that_was_renewed_while_it_was_ended_goes_on(
    root: S3Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever ended it looks again before it takes anything."""
    without_conditions(root, monkeypatch, "ignores")
    waiters = Clock()
    owner = _sessions(root, clock := Clock())
    acme = owner.of(root / "acme")
    acme.acquire(Looks(clock), ignore)
    waiter = _sessions(root, waiters).of(root / "acme")
    waiter.try_acquire(ignore)
    waiters.now += 41
    put = client_of(root).put_object

    def put_and_be_overwritten(**asked: Any) -> Any:
        monkeypatch.setattr(client_of(root), "put_object", put)
        content = client_of(root).get_object(Bucket=asked["Bucket"], Key=asked["Key"])
        before = content["Body"].read()
        put(**asked)
        return put(Bucket=asked["Bucket"], Key=asked["Key"], Body=before)

    monkeypatch.setattr(client_of(root), "put_object", put_and_be_overwritten)

    assert not _look_for(waiter, waiters, 6)
    assert _is_owner(acme)


# What it costs


@pytest.fixture
def storage() -> FakeS3:
    """Return a storage in memory, whose time passes with its clock."""
    return FakeS3(Clock())


def _many(storage: FakeS3, bucket: str, count: int) -> tuple[S3Path, list[S3Path]]:
    root = storage.serve(bucket)
    return root, [root / f"org-{number}" for number in range(count)]


def test_a_thousand_states_that_are_polled_cost_six_writes_and_a_hundred_looks_a_minute(
    storage: FakeS3,
) -> None:
    """The session is renewed every ten seconds; each record is looked at every ten minutes."""
    root, folders = _many(storage, "idle", 1_000)
    clock = Clock()
    sessions = _sessions(root, clock, Terms())
    owners = _held(sessions, *folders)
    taking = storage.requests.copy()
    storage.requests.clear()
    lease = _current(sessions)._lease
    lease._stop_relying_on_it()  # and its thread with it
    lease.is_held = True

    def poll() -> None:
        if clock.now % 60 == 0:
            for owner in owners:
                owner.check()

    lease._ended = Looks(clock, stop_after=20 * 60, between=[poll])
    lease._keep()

    assert taking == {"LIST": 1, "GET": 1_000, "PUT": 1_003}
    assert storage.requests["PUT"] in {20 * 6, 20 * 6 - 1}
    assert storage.requests["GET"] in {1_000, 2_000}
    assert storage.requests.keys() == {"PUT", "GET"}


def test_waiting_for_a_thousand_states_of_one_session_costs_one_watch(storage: FakeS3) -> None:
    """And looks at the records, of which there are no more than twenty a second."""
    root, folders = _many(storage, "waited", 1_000)
    former = _sessions(root)
    _held(former, *folders)
    clock = Clock()
    sessions = _sessions(root, clock)
    owners = [sessions.of(folder) for folder in folders]
    for owner in owners:
        owner.try_acquire(ignore)
    watched: list[str] = []
    storage.before = lambda key: watched.append(key) if SESSIONS in key else None
    storage.requests.clear()
    for _ in range(60):
        _renew(former)
        for owner in owners:
            clock.now += 10 / len(owners)
            owner.try_acquire(ignore)

    looks_at_the_session = len(watched) - storage.requests["PUT"]
    assert owners[0].look_every_seconds == 10
    assert storage.requests["PUT"] == 60
    assert looks_at_the_session <= 600 / 2
    assert storage.requests["GET"] - looks_at_the_session <= 20 * 600
    assert not any(map(_is_owner, owners))


def test_a_thousand_states_of_a_silent_session_are_taken_within_a_minute(storage: FakeS3) -> None:
    """By a process that is told to look at each as often as it says."""
    root, folders = _many(storage, "taken", 1_000)
    _held(_sessions(root), *folders)
    clock = Clock()
    sessions = _sessions(root, clock)
    owners = [sessions.of(folder) for folder in folders]

    seconds = _seconds_to_take(owners, clock)

    assert seconds <= 60


def test_a_thousand_states_on_a_storage_without_conditions_settle_together(
    storage: FakeS3,
) -> None:
    """In seconds, not in an hour."""
    root, folders = _many(storage, "settled", 1_000)
    storage.is_heeding = False
    clock = Clock()
    sessions = _sessions(root, clock)

    seconds = _seconds_to_take([sessions.of(folder) for folder in folders], clock)

    assert seconds <= 30


def _seconds_to_take(owners: list[FolderOwner], clock: Clock) -> float:
    """Look at each in turn, as a scheduler does, until all are owned; each step takes 1 ms."""
    began = clock.now
    due = [(clock.now, number) for number in range(len(owners))]
    while due:
        at, number = due.pop(0)
        clock.now = max(clock.now + 0.001, at)
        if not owners[number].try_acquire(ignore):
            due.append((clock.now + owners[number].look_every_seconds, number))
    return clock.now - began


# A real process


def test_a_killed_process_leaves_its_states_to_the_next_one_on_the_machine(
    root: S3Path, endpoint: str
) -> None:
    """At once, all of them."""
    program = f"""
import boto3, time
from s3path import S3Path, register_configuration_parameter
from jumpcloud_modules.state.ownership import ownerships
resource = boto3.Session("an-id", "a-secret", region_name="us-east-1").resource(
    "s3", endpoint_url={endpoint!r})
register_configuration_parameter(S3Path("/{root.bucket}"), resource=resource)
owners = ownerships(S3Path({str(root)!r}))
mine = [owners.of(S3Path({str(root)!r}) / name) for name in ("acme", "globex")]
print(all(owner.try_acquire(print) for owner in mine), flush=True)
time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout as output:
        said = output.readline()
    owner = who_owns(root / "acme")
    sessions = _sessions(root, clock := Clock())
    while_alive = sessions.of(root / "acme").try_acquire(ignore)
    process.send_signal(signal.SIGKILL)
    process.wait()
    clock.now += 2
    taken = [sessions.of(root / name).try_acquire(ignore) for name in ("acme", "globex")]

    assert said == "True\n"
    assert owner is not None
    assert owner.pid == process.pid
    assert not while_alive
    assert taken == [True, True]


def test_a_session_is_renewed_beside_the_work(root: S3Path) -> None:
    """So a waiter never takes what is owned in it."""
    brisk = Terms(
        lease=timedelta(seconds=0.8),
        renew_every=timedelta(seconds=0.1),
        look_every=timedelta(seconds=0.05),
        margin=timedelta(seconds=0.2),
        settle=timedelta(),
    )
    first, second = (S3Sessions(root, now_ms, terms=brisk) for _ in range(2))
    acme = first.of(root / "acme")
    acme.try_acquire(ignore)
    stop = threading.Event()
    threading.Timer(1.5, stop.set).start()

    with pytest.raises(Stopped):
        second.of(root / "acme").acquire(stop, ignore)

    assert _is_owner(acme)
    first.release()


def test_what_nobody_uses_any_more_is_forgotten(root: S3Path) -> None:
    """An owner that waited no longer counts among those that wait."""
    _held(_sessions(root), root / "acme")
    sessions = _sessions(root)
    for _ in range(3):
        sessions.of(root / "acme").try_acquire(ignore)

    assert len(sessions.waiting) == 0
    assert ownership(root / "acme").look_every_seconds == 2
