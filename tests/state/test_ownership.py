"""One owner for a state, on a disk and on S3."""

import errno
import fcntl
import gc
import itertools
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from s3path import S3Path, register_configuration_parameter

from jumpcloud_modules.errors import OwnershipLost, StateUnavailable, Stopped
from jumpcloud_modules.state.disk_lock import DiskLock
from jumpcloud_modules.state.lease_record import GIVEN_BACK
from jumpcloud_modules.state.lease_terms import Terms, since_boot
from jumpcloud_modules.state.owners import Record, Waiting, from_json, this_process
from jumpcloud_modules.state.ownership import ownership, who_owns
from jumpcloud_modules.state.s3_lease import S3Lease, owner_on_s3
from tests.doubles import NOON_MS, Waits
from tests.state.pretences import (
    QUIET,
    Clock,
    Looks,
    client_of,
    ignore,
    now_ms,
    unreachable,
    without_conditions,
)

_BUCKET = "connector-data"
_BRISK = Terms(
    lease=timedelta(seconds=0.8),
    renew_every=timedelta(seconds=0.1),
    look_every=timedelta(seconds=0.05),
    margin=timedelta(seconds=0.2),
)


# On a disk


def _second_look() -> Waits:
    """Lose patience after the wait that follows the first message."""
    return Waits(stop_after=2)


def test_a_second_lock_waits_and_says_by_whom_the_folder_is_owned(tmp_path: Path) -> None:
    """Host, process, since when, and what to do."""
    told: list[str] = []
    first, stop = ownership(tmp_path, now_ms), _second_look()
    first.acquire(threading.Event(), ignore)
    owner = who_owns(tmp_path)

    with pytest.raises(Stopped):
        DiskLock(tmp_path, now_ms, stop.clock).acquire(stop, told.append)

    assert owner == this_process(NOON_MS)
    assert len(told) == 1
    assert f"owned by process {os.getpid()} on host {owner.host}" in told[0]
    assert "since 2025-10-09T12:00:00.000Z" in told[0]
    assert "until that process ends" in told[0]
    assert "stop one of them" in told[0]


def test_one_look_takes_a_free_folder_and_tells_who_has_another(
    tmp_path: Path, folder: S3Path
) -> None:
    """Without waiting, so that one thread may look at many folders."""
    for place in (tmp_path, folder):
        told: list[str] = []
        first, second = ownership(place), ownership(place)
        taken = [first.try_acquire(told.append), first.try_acquire(told.append)]
        waiting = second.try_acquire(told.append)
        first.release()
        after = second.try_acquire(told.append)

        assert (taken, waiting, after) == ([True, True], False, True)
        second.check()
        with pytest.raises(OwnershipLost):
            first.try_acquire(told.append)
        assert 0 < second.look_every_seconds <= 2
        second.release()


def test_looks_that_are_apart_make_one_wait(tmp_path: Path) -> None:
    """It is told at the second look, then ever more seldom, and so is its end."""
    told: list[str] = []
    clock = Waits()
    first, second = ownership(tmp_path), DiskLock(tmp_path, now_ms, clock.clock)
    first.acquire(threading.Event(), ignore)
    for _ in range(61):
        second.try_acquire(told.append)
        clock.wait(second.look_every_seconds)
    first.release()

    assert second.try_acquire(told.append)
    assert len(told) == 2
    assert "owned by process" in told[0]
    assert "owned by this process, after 61 s" in told[1]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"host": 7}', b"\xff"])
def test_an_owner_whose_record_is_illegible_is_not_made_up(tmp_path: Path, content: bytes) -> None:
    """It owns the state all the same."""
    told: list[str] = []
    stop = _second_look()
    DiskLock(tmp_path, now_ms).acquire(threading.Event(), ignore)
    (tmp_path / "owner.lock").write_bytes(content)

    with pytest.raises(Stopped):
        DiskLock(tmp_path, now_ms, stop.clock).acquire(stop, told.append)

    assert "owned by another process, which left no legible record" in told[0]
    assert who_owns(tmp_path) == Record()


def test_a_lock_given_back_is_the_next_ones_at_once(tmp_path: Path) -> None:
    """And the former owner has it no more, however often it gives it back."""
    first, second = ownership(tmp_path), ownership(tmp_path)
    first.acquire(threading.Event(), ignore)
    first.acquire(threading.Event(), ignore)
    first.check()
    first.release()
    nobody = who_owns(tmp_path)
    second.acquire(Waits(stop_after=1), ignore)
    first.release()

    second.check()
    assert nobody is None
    assert who_owns(tmp_path) is not None
    with pytest.raises(OwnershipLost, match="does not own the state"):
        first.check()


def test_a_lock_that_was_never_taken_is_nobodys(tmp_path: Path) -> None:
    """Looking leaves no trace."""
    assert who_owns(tmp_path / "absent") is None
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(OwnershipLost):
        ownership(tmp_path).check()


def test_looking_at_who_owns_a_folder_delays_an_owner_and_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first look that fails is not spoken of."""
    told: list[str] = []
    stop = Waits()
    (tmp_path / "owner.lock").touch()
    looking = (tmp_path / "owner.lock").open()
    fcntl.flock(looking, fcntl.LOCK_SH)
    monkeypatch.setattr(stop, "wait", lambda _: looking.close())

    DiskLock(tmp_path, now_ms, stop.clock).acquire(stop, told.append)

    assert told == []
    assert who_owns(tmp_path) is not None


def test_a_lock_whose_file_was_removed_is_taken_anew_by_one_of_both(tmp_path: Path) -> None:
    """Otherwise each would own a file of its own."""
    first, second = ownership(tmp_path), ownership(tmp_path)
    first.acquire(threading.Event(), ignore)
    (tmp_path / "owner.lock").unlink()
    second.acquire(threading.Event(), ignore)

    with pytest.raises(OwnershipLost):
        first.check()
    first.release()
    second.check()


def test_an_ownership_has_one_life(tmp_path: Path, folder: S3Path) -> None:
    """A thread that was left behind with what was in memory must not find itself an owner again."""
    for place in (tmp_path, folder):
        owner = ownership(place, now_ms)
        owner.acquire(threading.Event(), ignore)
        owner.release()

        with pytest.raises(OwnershipLost):
            owner.acquire(threading.Event(), ignore)
        assert who_owns(place) is None


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOTSUP, errno.EINVAL])
def test_a_file_system_without_locks_is_told_and_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """Once."""
    told: list[str] = []
    monkeypatch.setattr(fcntl, "flock", _failing(code))
    owner = ownership(tmp_path)

    owner.acquire(threading.Event(), told.append)
    owner.acquire(threading.Event(), told.append)
    owner.check()
    owner.release()

    assert len(told) == 1
    assert "has no locks" in told[0]
    assert who_owns(tmp_path) is None


def test_a_disk_that_fails_is_named_as_one_to_wait_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file in the folder's place, one that is read-only, or an error of the device."""
    plain = tmp_path / "plain"
    plain.touch()
    with pytest.raises(StateUnavailable, match="could not be locked"):
        ownership(plain).acquire(threading.Event(), ignore)
    with pytest.raises(StateUnavailable, match="could not be read"):
        who_owns(plain)

    monkeypatch.setattr(fcntl, "flock", _failing(errno.EIO))
    with pytest.raises(StateUnavailable, match="Input/output error"):
        ownership(tmp_path).acquire(threading.Event(), ignore)
    monkeypatch.setattr(os, "open", _failing(errno.EROFS))
    with pytest.raises(StateUnavailable, match="Read-only file system"):
        ownership(tmp_path).acquire(threading.Event(), ignore)


def test_a_full_disk_does_not_keep_the_lock_from_being_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record is only for people."""
    monkeypatch.setattr(os, "pwrite", _failing(errno.ENOSPC))
    owner = ownership(tmp_path)

    owner.acquire(threading.Event(), ignore)

    owner.check()
    assert who_owns(tmp_path) == Record()


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_a_lock_is_free_when_its_process_ends(tmp_path: Path, end: signal.Signals) -> None:
    """A program that it started does not keep it, nor does a child that it forked own it."""
    holder, _ = _holder(tmp_path, "subprocess.Popen(['sleep', '5'], stdout=-3)")
    owner = who_owns(tmp_path)
    holder.send_signal(end)
    holder.wait()

    assert owner is not None
    assert owner.pid == holder.pid
    assert who_owns(tmp_path) is None


def test_a_forked_child_owns_nothing_and_takes_nothing_away(tmp_path: Path) -> None:
    """Not even by giving back what it does not own."""
    holder, written = _holder(
        tmp_path,
        """
        child = os.fork()
        if not child:
            try:
                owner.check()
            except OwnershipLost:
                owner.release()
                os._exit(7)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        """,
    )
    owner = who_owns(tmp_path)
    holder.kill()
    holder.wait()

    assert written == ["7\n"]
    assert owner is not None
    assert owner.pid == holder.pid


def test_a_lock_that_nobody_uses_any_more_is_gone(tmp_path: Path) -> None:
    """One is made for each life of each state, for as long as the process lives."""
    owner = ownership(tmp_path)
    owner.acquire(threading.Event(), ignore)
    owner.release()
    seen = weakref.ref(owner)

    del owner
    gc.collect()

    assert seen() is None


def _failing(code: int) -> Callable[..., None]:
    def fail(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    return fail


def _holder(folder: Path, more: str) -> "tuple[subprocess.Popen[str], list[str]]":
    """Start a process that owns a folder and does something more; return what it wrote of that."""
    text = f"""
import os, subprocess, threading, time
from pathlib import Path
from jumpcloud_modules.errors import OwnershipLost
from jumpcloud_modules.state.ownership import ownership
owner = ownership(Path({str(folder)!r}))
owner.acquire(threading.Event(), print)
{textwrap.dedent(more)}
owner.check()
print("owned", flush=True)
time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout as output:
        return process, list(itertools.takewhile(lambda line: line != "owned\n", output))


# What is told


def test_waiting_is_told_ever_more_seldom_and_its_end_once() -> None:
    """After one minute, two, four, and never later than after an hour."""
    told: list[tuple[float, str]] = []
    now = 0.0
    waiting = Waiting(Path("/data"), "until it ends", 0.0, lambda: now)

    def tell(text: str) -> None:
        told.append((now, text))

    for minute in range(6 * 60):
        now = minute * 60.0
        waiting.goes_on(Record("a", 1, "x"), tell)
    waiting.ends(tell)
    waiting.ends(tell)

    minutes = [int(at // 60) for at, _ in told]
    assert minutes == [0, 1, 3, 7, 15, 31, 63, 123, 183, 243, 303, 359]
    assert told[-1][1] == "The state in /data is owned by this process, after 21540 s."


def test_a_wait_that_was_not_told_has_no_end_to_tell() -> None:
    """A rolling restart is nobody's business where it is quick."""
    told: list[str] = []
    waiting = Waiting(Path("/data"), "until it ends", 0.5, lambda: 0.0)

    waiting.goes_on(Record(), told.append)
    waiting.ends(told.append)

    assert told == []


# On S3


def _held(folder: S3Path, clock: Clock | None = None, terms: Terms = QUIET) -> S3Lease:
    lease = S3Lease(folder, now_ms, clock or Clock(), terms)
    lease.acquire(threading.Event(), ignore)
    return lease


def test_a_lease_is_taken_given_back_and_taken_at_once(folder: S3Path) -> None:
    """And the former owner's giving back again frees nothing."""
    nobody = who_owns(folder)
    first, second = _held(folder), S3Lease(folder, now_ms, Clock(), QUIET)
    owner = who_owns(folder)
    first.acquire(threading.Event(), ignore)
    first.check()
    first.release()
    given_back = who_owns(folder)
    second.acquire(Waits(stop_after=1), ignore)
    first.release()

    second.check()
    assert (nobody, owner, given_back) == (None, this_process(NOON_MS), None)
    assert who_owns(folder) == this_process(NOON_MS)
    with pytest.raises(OwnershipLost, match="does not own the state"):
        first.check()


def test_a_waiter_says_by_whom_the_state_is_owned_and_takes_a_silent_lease(folder: S3Path) -> None:
    """After the lease's time, and not before: a killed owner says nothing."""
    told: list[str] = []
    clock = Clock()
    _held(folder)
    looks = Looks(clock)

    waiter = S3Lease(folder, now_ms, clock, QUIET)
    waiter.acquire(looks, told.append)

    waiter.check()
    assert 40 <= looks.waited <= 42
    assert "owned by process" in told[0]
    assert "has been silent for 40 s" in told[0]
    assert told[1:] == [f"The state in {folder} is owned by this process, after 40 s."]


def test_a_lease_that_is_renewed_is_never_taken(folder: S3Path) -> None:
    """By the waiter's own clock: the owner's may show any time."""
    clock = Clock()
    owner = _held(folder, renewed := Clock(5.0))

    def renew() -> None:
        renewed.now += QUIET.trusted_seconds
        owner.check()

    looks = Looks(clock, stop_after=400, between=[renew])
    with pytest.raises(Stopped):
        S3Lease(folder, now_ms, clock, QUIET).acquire(looks, ignore)

    owner.check()


def test_a_lease_of_nobody_legible_lapses_too(folder: S3Path) -> None:
    """Damage does not keep the state for ever."""
    told: list[str] = []
    client = client_of(folder)
    client.put_object(Bucket=folder.bucket, Key=f"{folder.key}/owner.lease", Body=b"\xff{")
    looks = Looks(clock := Clock())

    owner = who_owns(folder)
    S3Lease(folder, now_ms, clock, QUIET).acquire(looks, told.append)

    assert owner == Record()
    assert "another process, which left no legible record" in told[0]
    assert looks.waited >= 40


def test_of_two_waiters_one_wins(folder: S3Path) -> None:
    """Also of eight, at a first start, after a stop and after a kill; never two."""
    for before in ("nothing", "given back", "silent"):
        place = folder / before
        if before != "nothing":
            former = _held(place)
        if before == "given back":
            former.release()
        clock = Clock()
        leases = [S3Lease(place, now_ms, clock, QUIET) for _ in range(8)]
        stops = [Waits(stop_after=1) for _ in leases]
        _try_all(leases, stops)
        if before == "silent":
            clock.now += 41
            _try_all(leases, [Waits(stop_after=1) for _ in leases])

        assert sum(map(_is_owner, leases)) == 1


def _try_all(leases: list[S3Lease], stops: list[Waits]) -> None:
    start = threading.Barrier(len(leases))

    def attempt(lease: S3Lease, stop: Waits) -> None:
        start.wait()
        try:
            lease.acquire(stop, ignore)
        except Stopped:
            return

    with ThreadPoolExecutor(len(leases)) as pool:
        list(pool.map(attempt, leases, stops))


def _is_owner(lease: S3Lease) -> bool:
    try:
        lease.check()
    except OwnershipLost:
        return False
    return True


def test_who_was_suspended_and_meanwhile_replaced_owns_nothing_for_good(folder: S3Path) -> None:
    """Nor does it free, or keep from renewing, the new owner's lease."""
    clock = Clock()
    paused = _held(folder, clock)
    new = S3Lease(folder, now_ms, waiters := Clock(), QUIET)
    new.acquire(Looks(waiters), ignore)
    clock.now += 120

    for _ in range(2):
        with pytest.raises(OwnershipLost, match="took it over"):
            paused.check()
    paused.release()
    waiters.now += 35
    new.check()
    assert who_owns(folder) is not None


def test_a_former_owner_that_knows_nothing_yet_frees_nothing(folder: S3Path) -> None:
    """It gives back only what it wrote itself."""
    former = _held(folder)
    new = S3Lease(folder, now_ms, waiters := Clock(), QUIET)
    new.acquire(Looks(waiters), ignore)

    former.release()
    waiters.now += 35

    new.check()
    assert who_owns(folder) is not None


def test_who_was_suspended_and_not_replaced_goes_on(folder: S3Path) -> None:
    """It renews the lease first, so that a waiter begins to wait anew."""
    clock, waiters = Clock(), Clock()
    paused = _held(folder, clock)
    waiter = S3Lease(folder, now_ms, waiters, QUIET)
    with pytest.raises(Stopped):
        waiter.acquire(Looks(waiters, stop_after=38), ignore)
    clock.now += 120
    paused.check()

    with pytest.raises(Stopped):
        waiter.acquire(Looks(waiters, stop_after=38), ignore)
    paused.check()


def test_a_fresh_lease_asks_the_storage_nothing(
    folder: S3Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is looked at before each commit."""
    clock = Clock()
    lease = _held(folder, clock)
    monkeypatch.setattr(client_of(folder), "put_object", unreachable)
    clock.now += 29

    lease.check()

    clock.now += 2
    with pytest.raises(StateUnavailable, match="or the object storage"):
        lease.check()


def test_a_storage_that_is_away_keeps_the_owner_waiting_and_then_on(
    folder: S3Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody could take the lease meanwhile, if nobody did."""
    clock = Clock()
    lease = _held(folder, clock)
    clock.now += 300
    with monkeypatch.context() as away:
        away.setattr(client_of(folder), "put_object", unreachable)
        with pytest.raises(StateUnavailable):
            lease.check()

    lease.check()


def test_a_storage_that_is_away_has_one_name_for_all_its_failures(folder: S3Path) -> None:
    """The caller's backoff waits for it."""
    away = S3Path("/away/tenant")
    resource = boto3.Session("an-id", "a-secret", region_name="us-east-1").resource(
        "s3",
        endpoint_url="http://127.0.0.1:9",
        config=Config(retries={"total_max_attempts": 1}),
    )
    register_configuration_parameter(S3Path("/away"), resource=resource)

    for place in (away, S3Path(f"/no-{folder.bucket}", "x")):
        with pytest.raises(StateUnavailable):
            ownership(place).acquire(threading.Event(), ignore)
    with pytest.raises(StateUnavailable, match=re.escape(str(away))):
        who_owns(away)


def test_what_was_waited_before_a_failure_counts(
    folder: S3Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And is not told a second time."""
    told: list[str] = []
    looks = Looks(clock := Clock())
    _held(folder)
    waiter = S3Lease(folder, now_ms, clock, QUIET)

    def break_once() -> None:
        if looks.waited == 30:
            raise StateUnavailable("away")

    looks.between.append(break_once)
    with pytest.raises(StateUnavailable):
        waiter.acquire(looks, told.append)
    waiter.acquire(looks, told.append)

    assert 40 <= looks.waited <= 42
    assert len(told) == 2


@pytest.mark.parametrize("act", ["acquire", "renew", "release"])
def test_a_write_whose_answer_was_lost_is_recognised_as_our_own(
    folder: S3Path, monkeypatch: pytest.MonkeyPatch, act: str
) -> None:
    """The client repeats it, and meets what it wrote itself."""
    clock, client = Clock(), client_of(folder)
    lease = S3Lease(folder, now_ms, clock, QUIET)
    put = client.put_object

    def put_without_answer(**arguments: Any) -> None:
        put(**arguments)
        monkeypatch.setattr(client, "put_object", put)
        raise ConnectionError("reset")

    if act == "acquire":
        monkeypatch.setattr(client, "put_object", put_without_answer)
        with pytest.raises(StateUnavailable):
            lease.acquire(threading.Event(), ignore)
    lease.acquire(Waits(stop_after=1), ignore)
    clock.now += 31
    if act != "acquire":
        monkeypatch.setattr(client, "put_object", put_without_answer)
        with pytest.raises(StateUnavailable):
            lease.check()
    if act != "release":
        lease.check()
    lease.release()

    assert who_owns(folder) is None


def test_a_lease_that_was_removed_is_written_again(folder: S3Path) -> None:
    """Nobody took it."""
    clock = Clock()
    lease = _held(folder, clock)
    (folder / "owner.lease").unlink()
    clock.now += 31

    lease.check()

    assert who_owns(folder) is not None


def test_a_lease_is_renewed_beside_the_work(folder: S3Path) -> None:
    """And through failures that are shorter than it."""
    lease = S3Lease(folder, now_ms, since_boot, _BRISK)
    lease.acquire(threading.Event(), ignore)
    waiter = S3Lease(folder, now_ms, since_boot, _BRISK)
    stop = threading.Event()
    threading.Timer(1.5, stop.set).start()
    threading.Timer(0.5, lambda: _break_for(folder, 0.25)).start()

    with pytest.raises(Stopped):
        waiter.acquire(stop, ignore)

    assert _is_owner(lease)
    lease.release()


def _break_for(folder: S3Path, seconds: float) -> None:
    with pytest.MonkeyPatch.context() as away:
        away.setattr(client_of(folder), "put_object", unreachable)
        time.sleep(seconds)


def test_the_renewal_finds_another_owner_before_anybody_asks(folder: S3Path) -> None:
    """And ends."""
    lease = S3Lease(folder, now_ms, Clock(), _BRISK)
    lease.acquire(threading.Event(), ignore)
    client = client_of(folder)
    client.put_object(Bucket=folder.bucket, Key=f"{folder.key}/owner.lease", Body=b'{"token": "x"}')

    _wait_until(lambda: not _is_owner(lease))
    assert lease._lease.wait_for_end(20)


def test_a_release_does_not_wait_for_a_storage_that_hangs(
    folder: S3Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lease lapses by itself then."""
    lease, answering = _held(folder), threading.Event()
    monkeypatch.setattr(client_of(folder), "put_object", lambda **_: answering.wait())
    began = time.monotonic()

    lease.release()

    assert time.monotonic() - began < 2
    answering.set()


def test_a_check_does_not_wait_for_a_renewal_that_hangs(
    folder: S3Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says that the storage does not answer."""
    clock, answering, asked = Clock(), threading.Event(), threading.Event()
    lease = _held(folder, clock)
    monkeypatch.setattr("jumpcloud_modules.state.renewal.SECONDS_TO_WAIT_FOR_A_RENEWAL", 0.1)

    def hang(**_: object) -> None:
        asked.set()
        answering.wait()
        raise ConnectionError("reset")

    monkeypatch.setattr(client_of(folder), "put_object", hang)
    clock.now += 31
    with ThreadPoolExecutor(1) as pool:
        hanging = pool.submit(lease.check)
        asked.wait()
        with pytest.raises(StateUnavailable, match="does not answer"):
            lease.check()
        answering.set()

    assert isinstance(hanging.exception(), StateUnavailable)


def test_a_renewal_that_took_too_long_is_not_relied_on(
    folder: S3Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It counts from when it was asked for."""
    clock, client = Clock(), client_of(folder)
    lease = _held(folder, clock)
    put = client.put_object

    def put_slowly(**arguments: Any) -> Any:
        answer = put(**arguments)
        clock.now += 31
        return answer

    monkeypatch.setattr(client, "put_object", put_slowly)
    clock.now += 31

    with pytest.raises(StateUnavailable, match="longer than"):
        lease.check()


@pytest.mark.parametrize("unable", ["ignores", "refuses", "refuses IfMatch"])
def test_a_storage_without_conditions_is_told_and_made_the_best_of(
    folder: S3Path, monkeypatch: pytest.MonkeyPatch, unable: str
) -> None:
    """One of two owns it in the end, and none frees the other's."""
    told: list[str] = []
    without_conditions(folder, monkeypatch, unable)
    clock = Clock()
    first = S3Lease(folder, now_ms, clock, QUIET)
    first.acquire(Looks(clock), told.append)
    with pytest.raises(Stopped):
        S3Lease(folder, now_ms, clock, QUIET).acquire(Looks(clock, stop_after=20), ignore)
    first.check()
    new = S3Lease(folder, now_ms, waiters := Clock(), QUIET)
    new.acquire(Looks(waiters), ignore)
    clock.now += 100

    assert len(told) == 1
    assert "ignores conditions" in told[0]
    with pytest.raises(OwnershipLost):
        first.check()
    first.release()
    waiters.now += 31
    new.check()
    new.release()
    assert who_owns(folder) is None


def test_without_conditions_the_last_of_two_writers_is_the_owner(
    folder: S3Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each looks again after a while."""
    client, looks = client_of(folder), Looks(Clock(), stop_after=30)
    put = client.put_object
    without_conditions(folder, monkeypatch, "ignores")
    place = {"Bucket": folder.bucket, "Key": f"{folder.key}/owner.lease"}
    looks.between.append(lambda: put(**place, Body=b'{"token": "another"}'))

    with pytest.raises(Stopped):
        S3Lease(folder, now_ms, looks.clock, QUIET).acquire(looks, ignore)

    assert from_json(client.get_object(**place)["Body"].read())[1] == {"token": "another"}


def test_a_lapsed_lease_is_nobodys(folder: S3Path) -> None:
    """By the storage's own clock, which no machine's is compared with."""
    lease = S3Lease(folder, now_ms, Clock(), QUIET)
    lease.acquire(threading.Event(), ignore)
    assert owner_on_s3(folder, Terms(lease=timedelta(hours=1))) is not None
    assert owner_on_s3(folder, Terms(lease=timedelta())) is None


def test_a_lease_given_back_says_nothing_of_its_owner(folder: S3Path) -> None:
    """So nobody waits for it."""
    lease = _held(folder)

    lease.release()

    place = {"Bucket": folder.bucket, "Key": f"{folder.key}/owner.lease"}
    assert client_of(folder).get_object(**place)["Body"].read() == GIVEN_BACK


def _wait_until(happened: Callable[[], object], timeout_seconds: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_seconds
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)
