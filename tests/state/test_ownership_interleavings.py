"""Never two owners of one state, in whatever order processes, requests and failures come."""

from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from jumpcloud_modules.state.lease_record import FILE_NAME, SESSIONS
from tests.state.interleaving import Command, Process, SteppedS3, TimedOut, by_hand
from tests.state.pretences import Clock

LANES = ("work", "renewal", "return")


class Processes(RuleBasedStateMachine):
    """Three processes and two states: each works as usual, unless it stands still or fails.

    Between two steps of anybody no state may have two owners. In the end the first process alone is
    left, and must own all.
    """

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.clock = Clock()
        self.storage = SteppedS3(self.clock, stops_at_answers=True)
        self.root = self.storage.serve("interleaved") / "root"
        self.folders = [self.root / "acme", self.root / "globex"]
        self.processes: list[Process] = []
        self.paused: set[str] = set()

    @initialize(is_one_of_one_state=st.booleans(), is_one_machine=st.booleans())
    def begin_all(self, is_one_of_one_state: bool, is_one_machine: bool) -> None:
        """Have two processes of many states, and one more, or one of one state."""
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
        """Let the first process take all."""
        try:
            if self.processes:
                self.the_first_process_takes_all()
        finally:
            for process in self.processes:
                process.kill()
            self.patch.undo()

    # As usual

    @rule(seconds=st.sampled_from([2, 4, 10, 20, 26, 36, 44, 60]), order=st.permutations(range(3)))
    def go_on_as_usual(self, seconds: int, order: list[int]) -> None:
        """Have each process that does not stand still renew, look and check in turn."""
        for _ in range(0, seconds, 2):
            for number in order:
                process = self.processes[number]
                if process.name not in self.paused:
                    self._work(process, is_renewal_due=int(self.clock.now) % 10 == 0)
            self.clock.now += 2

    def _work(self, process: Process, *, is_renewal_due: bool) -> None:
        if is_renewal_due:
            self._whole(process, "renewal", process.renew)
        self._whole(process, "return", process.mark_free)
        for folder in process.folders_among(self.folders):
            self._whole(process, "work", partial(process.look, folder))

    def _whole(self, process: Process, lane: str, work: Callable[[], object]) -> None:
        command = process.begin(lane, work)
        self._to_the_end(command)

    def _to_the_end(self, command: Command) -> None:
        self.nothing_is_wrong()
        while not command.is_over:
            command.go_on()
            self.nothing_is_wrong()

    # What comes between

    @rule(
        number=st.integers(0, 2),
        what=st.sampled_from(["look", "look", "check", "renew", "give back", "mark free", "end"]),
        folder=st.integers(0, 1),
        steps=st.integers(0, 9),
    )
    def stand_still(self, number: int, what: str, folder: int, steps: int) -> None:
        """Have a process begin something, and stand still amid it."""
        process = self.processes[number]
        path = self.folders[folder]
        if process.name in self.paused or path not in process.folders_among(self.folders):
            return
        ways: dict[str, tuple[str, Callable[[], object]]] = {
            "look": ("work", partial(process.look, path)),
            "check": ("work", partial(process.check, path)),
            "give back": ("work", partial(process.give_back, path)),
            "end": ("work", process.end),
            "renew": ("renewal", process.renew),
            "mark free": ("return", process.mark_free),
        }
        lane, work = ways[what]
        command = process.begin(lane, work)
        self.paused.add(process.name)
        for _ in range(steps):
            self.nothing_is_wrong()
            if not command.is_over:
                command.go_on()

    @precondition(lambda self: self.paused)
    @rule(
        data=st.data(),
        outcome=st.sampled_from(["", "", "reset", "timed out"]),
        is_resumed=st.booleans(),
    )
    def one_step(self, data: st.DataObject, outcome: str, is_resumed: bool) -> None:
        """Have one that stands still do its next step, or fail there, and perhaps all others."""
        process = self._one_of(data)
        for lane in LANES:
            if not process.is_idle(lane):
                error = {"reset": ConnectionError("reset"), "timed out": TimedOut()}.get(outcome)
                process.lanes[lane].go_on(error)
                self.nothing_is_wrong()
                if is_resumed:
                    self._to_the_end(process.lanes[lane])
        if is_resumed:
            self.paused.discard(process.name)

    def _one_of(self, data: st.DataObject) -> Process:
        paused = [process for process in self.processes if process.name in self.paused]
        return paused[data.draw(st.integers(0, len(paused) - 1))]

    @precondition(lambda self: self.storage.on_its_way)
    @rule()
    def arrive(self) -> None:
        """Have a request arrive that nobody waits for any more."""
        self.storage.arrive()

    @rule(number=st.integers(0, 2))
    def kill(self, number: int) -> None:
        """End a process; another life of it begins at once."""
        self.processes[number].kill()
        self.paused.discard(self.processes[number].name)

    @precondition(lambda self: any(SESSIONS in key for key in self.storage.objects))
    @rule(data=st.data())
    def remove_a_session(self, data: st.DataObject) -> None:
        """Remove it by hand."""
        keys = sorted(key for key in self.storage.objects if SESSIONS in key)
        del self.storage.objects[keys[data.draw(st.integers(0, len(keys) - 1))]]

    # What holds

    @invariant()
    def nothing_is_wrong(self) -> None:
        """No state has two owners; who owns one stands in its record; nothing fails oddly."""
        for folder in self.folders:
            owners = [process for process in self.processes if process.believes(folder)]
            assert len(owners) <= 1, f"{[owner.life for owner in owners]} own {folder}"
            for owner in owners:
                content, _ = self.storage.objects[f"{folder.key}/{FILE_NAME}"]
                assert owner.token_of(folder) in content.decode(), f"{owner.life} owns {folder}"
        errors = [command.error for process in self.processes for command in process.lanes.values()]
        assert not any(errors), errors

    def the_first_process_takes_all(self) -> None:
        """However the others ended, and whatever is still on its way: within a minute."""
        first, *others = self.processes
        for process in others:
            process.kill()
            self.paused.add(process.name)
        while self.storage.on_its_way:
            self.storage.arrive()
        for lane in LANES:
            if not first.is_idle(lane):
                self._to_the_end(first.lanes[lane])
        self.paused.discard(first.name)
        self.go_on_as_usual(60, [0, 1, 2])

        assert [first.believes(folder) for folder in self.folders] == [True, True]


TestProcesses = Processes.TestCase
TestProcesses.settings = settings(max_examples=100, stateful_step_count=30)
