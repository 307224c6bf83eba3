"""Never two owners of one state, in whatever order processes, requests and failures come."""

from collections.abc import Callable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from s3path import S3Path

from jumpcloud_modules.state.lease_record import SESSIONS
from tests.state.interleaving import Command, Process, SteppedS3, TimedOut, by_hand
from tests.state.pretences import Clock

LANES = ("work", "renewal", "return")


class Processes(RuleBasedStateMachine):
    """Three processes and two states: what each does, what fails, and how time passes."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.clock = Clock()
        self.storage = SteppedS3(self.clock, stops_at_answers=True)
        self.root = self.storage.serve("interleaved") / "root"
        self.folders = [self.root / "acme", self.root / "globex"]
        self.processes: list[Process] = []

    @initialize(is_one_of_one_state=st.booleans(), is_one_machine=st.booleans())
    def begin_all(self, is_one_of_one_state: bool, is_one_machine: bool) -> None:
        only = self.folders[0] if is_one_of_one_state else None
        self.processes = [
            Process("a", self.root, self.clock),
            Process("b", self.root, self.clock),
            Process("c", self.root, self.clock, only),
        ]
        by_hand(self.patch, self._is_alive if is_one_machine else None)

    def _is_alive(self, name: str) -> bool:
        return any(process.life == name for process in self.processes)

    def teardown(self) -> None:
        try:
            if self.processes:
                self.the_last_process_takes_all()
        finally:
            for process in self.processes:
                process.kill()
            self.patch.undo()

    # What processes do

    @rule(number=st.integers(0, 2), folder=st.integers(0, 1))
    def look(self, number: int, folder: int) -> None:
        process, path = self.processes[number], self.folders[folder]
        if process.is_idle("work") and process.folder in (None, path):
            process.begin("work", lambda: process.look(path))

    @rule(number=st.integers(0, 2), folder=st.integers(0, 1))
    def check(self, number: int, folder: int) -> None:
        process = self.processes[number]
        if process.is_idle("work"):
            process.begin("work", lambda: process.check(self.folders[folder]))

    @rule(number=st.integers(0, 2), folder=st.integers(0, 1))
    def give_back(self, number: int, folder: int) -> None:
        process = self.processes[number]
        # A lease that is marked free waits for its renewal.
        if process.is_idle("work") and (process.folder is None or process.is_idle("renewal")):
            process.begin("work", lambda: process.give_back(self.folders[folder]))

    @rule(number=st.integers(0, 2))
    def renew(self, number: int) -> None:
        process = self.processes[number]
        if process.is_idle("renewal") and process.is_idle("work"):
            process.begin("renewal", process.renew)

    @rule(number=st.integers(0, 2))
    def mark_free(self, number: int) -> None:
        process = self.processes[number]
        if process.is_idle("return"):
            process.begin("return", process.mark_free)

    @rule(number=st.integers(0, 2))
    def end(self, number: int) -> None:
        process = self.processes[number]
        if all(process.is_idle(lane) for lane in LANES):
            process.begin("work", process.end)

    # What becomes of it

    @precondition(lambda self: self._under_way())
    @rule(data=st.data())
    def go_on(self, data: st.DataObject) -> None:
        self._one_of(data).go_on()

    @precondition(lambda self: self._under_way())
    @rule(data=st.data())
    def go_on_to_the_end(self, data: st.DataObject) -> None:
        command = self._one_of(data)
        while not command.is_over:
            command.go_on()

    @precondition(lambda self: self._under_way())
    @rule(data=st.data())
    def fail(self, data: st.DataObject) -> None:
        """Lose the request, or the answer."""
        self._one_of(data).go_on(ConnectionError("reset"))

    @precondition(lambda self: self._under_way())
    @rule(data=st.data())
    def wait_too_long(self, data: st.DataObject) -> None:
        """Have the request arrive later."""
        self._one_of(data).go_on(TimedOut())

    @precondition(lambda self: self.storage.on_its_way)
    @rule()
    def arrive(self) -> None:
        self.storage.arrive()

    @rule(number=st.integers(0, 2))
    def kill(self, number: int) -> None:
        self.processes[number].kill()

    @precondition(lambda self: any(SESSIONS in key for key in self.storage.objects))
    @rule(data=st.data())
    def remove_a_session(self, data: st.DataObject) -> None:
        keys = sorted(key for key in self.storage.objects if SESSIONS in key)
        del self.storage.objects[keys[data.draw(st.integers(0, len(keys) - 1))]]

    @rule(seconds=st.sampled_from([1, 2, 3, 10, 29, 31, 38, 41, 60, 700]))
    def pass_time(self, seconds: int) -> None:
        self.clock.now += seconds

    def _under_way(self) -> list[Command]:
        return [
            process.lanes[lane]
            for process in self.processes
            for lane in LANES
            if not process.is_idle(lane)
        ]

    def _one_of(self, data: st.DataObject) -> Command:
        commands = self._under_way()
        return commands[data.draw(st.integers(0, len(commands) - 1))]

    # What holds

    @invariant()
    def no_state_has_two_owners(self) -> None:
        for folder in self.folders:
            assert len(_believers(self.processes, folder)) <= 1

    @invariant()
    def no_command_fails_unexpectedly(self) -> None:
        errors = [c.error for process in self.processes for c in process.lanes.values()]
        assert not any(errors), errors

    def the_last_process_takes_all(self) -> None:
        """However the others ended, and whatever is still on its way: within a minute."""
        for process in self.processes[1:]:
            process.kill()
        last = self.processes[0]
        while self.storage.on_its_way:
            self.storage.arrive()
        for command in self._under_way():
            while not command.is_over:
                command.go_on()
        for _ in range(31):
            for work in (last.renew, last.mark_free, *_looks(last, self.folders)):
                command = last.begin("work", work)
                while not command.is_over:
                    command.go_on()
            self.clock.now += 2

        assert [last.believes(folder) for folder in self.folders] == [True, True]


def _looks(process: Process, folders: list[S3Path]) -> list[Callable[[], None]]:
    return [lambda folder=folder: process.look(folder) for folder in folders]  # type: ignore[misc]


def _believers(processes: list[Process], folder: S3Path) -> list[str]:
    return [process.life for process in processes if process.believes(folder)]


TestProcesses = Processes.TestCase
TestProcesses.settings = settings(max_examples=150, stateful_step_count=60)
