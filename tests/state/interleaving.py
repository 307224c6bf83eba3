"""Processes that stand still at each request to a storage, so that a test decides who goes on.

Each command of a process runs in a thread of its own. It stands still before each request and,
where the storage says so, before the answer. Then the test lets it go on, has the request or the
answer lost, or has the request arrive later than its sender waits for it. Time passes when the test
says so, and for all alike.
"""

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.exceptions import ClientError
from s3path import S3Path

from jumpcloud_modules.errors import OwnershipLost, StateUnavailable, Stopped
from jumpcloud_modules.state import processes, renewal, session
from jumpcloud_modules.state.s3_lease import S3Lease
from jumpcloud_modules.state.s3_sessions import FolderOwner, S3Sessions
from tests.state.pretences import QUIET, Clock, FakeS3, ignore, now_ms

_EXPECTED = (OwnershipLost, StateUnavailable, Stopped)


class Killed(BaseException):
    """The process is gone."""


class TimedOut(Exception):
    """The sender waits no longer for a request that is still on its way."""


class Command:
    """Something that a process does; it stands still at each request."""

    def __init__(self, process: str, work: Callable[[], object]) -> None:
        self.process = process
        self.is_over = False
        self.error: BaseException | None = None
        self.at = ""
        self._work = work
        self._fails_with: BaseException | None = None
        self.loses_answer = False
        self._stands, self._goes = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def begin(self) -> None:
        """Begin, and return once it stands still or is over."""
        _running[self._thread] = self
        self._thread.start()
        self._stands.acquire()

    def go_on(self, fails_with: BaseException | None = None, *, loses_answer: bool = False) -> None:
        """Go on, or fail there, and return once it stands still again or is over."""
        self._fails_with, self.loses_answer = fails_with, loses_answer
        self._goes.release()
        self._stands.acquire()

    def stand_still(self, at: str) -> None:
        """Wait for the test, and fail as it says."""
        self.at = at
        self._stands.release()
        self._goes.acquire()
        if self._fails_with is not None:
            raise self._fails_with

    def _run(self) -> None:
        try:
            self._work()
        except (*_EXPECTED, Killed):
            pass
        except BaseException as error:  # noqa: BLE001 -- the test looks at it
            self.error = error
        _running.pop(self._thread)
        self.is_over = True
        self._stands.release()


_running: dict[threading.Thread, Command] = {}
_at_once: list[str] = []
"""The process that does something in the test's own thread."""


class SteppedS3(FakeS3):
    """A storage at which commands stand still; what is `on_its_way` arrives when it is told to."""

    def __init__(self, clock: Clock, *, stops_at_answers: bool) -> None:
        super().__init__(clock)
        self.on_its_way: list[Callable[[], Any]] = []
        self._stops_at_answers = stops_at_answers

    def arrive(self) -> None:
        """Have the oldest request arrive that is still on its way."""
        with suppress(ClientError):
            self.on_its_way.pop(0)()

    def _asked(self, verb: str, key: str, do: Callable[[], Any]) -> Any:
        command = _running.get(threading.current_thread())
        if command is None:
            return super()._asked(verb, key, do)
        try:
            command.stand_still("request")
        except TimedOut:
            if verb == "PUT":
                self.on_its_way.append(do)
            raise
        try:
            return super()._asked(verb, key, do)
        finally:
            if self._stops_at_answers:
                command.stand_still("answer")
            elif command.loses_answer:
                raise ConnectionError("reset")


@dataclass
class Process:
    """A process that owns one state or many; each `lane` does one command at a time."""

    name: str
    root: S3Path
    clock: Clock
    folder: S3Path | None = None
    """The only state that it owns; None for all below the root."""
    lives: int = 0
    lanes: dict[str, Command] = field(default_factory=dict)
    sessions: S3Sessions = field(init=False)
    owners: dict[S3Path, FolderOwner | S3Lease] = field(init=False)

    def __post_init__(self) -> None:
        self.start()

    @property
    def life(self) -> str:
        """Return the name that this process has until it ends."""
        return f"{self.name} {self.lives}"

    def start(self) -> None:
        """Begin a life, which knows nothing of the one before."""
        self.lives += 1
        self.sessions = S3Sessions(self.root, now_ms, self.clock, QUIET)
        self.owners = {}

    def kill(self) -> None:
        """End at once, amid whatever is done."""
        for command in self.lanes.values():
            if not command.is_over:
                command.go_on(Killed())
        self.lanes.clear()
        self.start()

    def is_idle(self, lane: str) -> bool:
        """Tell whether nothing is under way in a lane."""
        return lane not in self.lanes or self.lanes[lane].is_over

    def does(self, work: Callable[[], object]) -> None:
        """Do something without standing still."""
        _at_once.append(self.life)
        try:
            with suppress(*_EXPECTED):
                work()
        finally:
            _at_once.pop()

    def begin(self, lane: str, work: Callable[[], object]) -> Command:
        """Begin a command that stands still, in a lane that is idle."""
        command = self.lanes[lane] = Command(self.life, work)
        command.begin()
        return command

    def believes(self, folder: S3Path) -> bool:
        """Tell whether it would write to a state now without asking anybody."""
        owner = self.owners.get(folder)
        if isinstance(owner, S3Lease):
            return owner._lease.is_held and owner._lease.is_fresh()
        return (
            owner is not None
            and owner._is_held
            and owner._session is not None
            and owner._session.is_fresh()
        )

    def token_of(self, folder: S3Path) -> str:
        """Return by which token it owns a state."""
        owner = self.owners[folder]
        return owner._lease.token if isinstance(owner, S3Lease) else owner._token

    def folders_among(self, folders: list[S3Path]) -> list[S3Path]:
        """Return which of the states it wants."""
        return [folder for folder in folders if self.folder in (None, folder)]

    # Commands

    def look(self, folder: S3Path) -> None:
        """Look whether a state is or may be ours; begin a new life of it after one was lost."""
        owner = self.owners.get(folder)
        if owner is None:
            owner = self.owners[folder] = self._owner_of(folder)
        try:
            owner.try_acquire(ignore)
        except OwnershipLost:
            self.give_back(folder)

    def check(self, folder: S3Path) -> None:
        """Look whether a state is still this process's."""
        if folder in self.owners:
            self.owners[folder].check()

    def give_back(self, folder: S3Path) -> None:
        """Let others have a state."""
        if owner := self.owners.pop(folder, None):
            owner.release()

    def renew(self) -> None:
        """Renew what is renewed, as its threads do."""
        leases = [owner._lease for owner in self.owners.values() if isinstance(owner, S3Lease)]
        if self.sessions._current is not None:
            leases.append(self.sessions._current._lease)
        for lease in leases:
            lease._renew_in_turn()

    def mark_free(self) -> None:
        """Mark the records free that were given back, as a thread of the session's does."""
        for own in list(self.sessions._own.values()):
            own.return_once()

    def end(self) -> None:
        """End in good order, and begin another life."""
        for folder in list(self.owners):
            self.give_back(folder)
        self.sessions.release()
        self.start()

    def _owner_of(self, folder: S3Path) -> FolderOwner | S3Lease:
        if self.folder is not None:
            return S3Lease(folder, now_ms, self.clock, QUIET)
        return self.sessions.of(folder)


class _Done:
    """What stands for a thread whose work is done, or will be done by hand."""

    def join(self, timeout: float) -> None:
        """Return at once."""


def by_hand(monkeypatch: pytest.MonkeyPatch, is_alive: Callable[[str], bool] | None) -> None:
    """Have no thread begin by itself; `is_alive` tells of lives on this very machine."""

    def start(name: str, work: Callable[[], None]) -> Any:
        if name == "lease's end":
            work()
        return _Done()

    def name_of_this() -> str | None:
        command = _running.get(threading.current_thread())
        return command.process if command else _at_once[-1]

    def has_ended(name: str | None) -> bool:
        return is_alive is not None and name is not None and not is_alive(name)

    monkeypatch.setattr(renewal, "start_thread", start)
    monkeypatch.setattr(session, "start_thread", start)
    monkeypatch.setattr(renewal, "SECONDS_TO_WAIT_FOR_A_RENEWAL", 0.0)
    monkeypatch.setattr(processes, "name_of_this", name_of_this)
    monkeypatch.setattr(processes, "has_ended", has_ended)
