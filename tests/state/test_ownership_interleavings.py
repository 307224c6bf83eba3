"""Never two owners of one state, in whatever order processes, requests and failures come."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from s3path import S3Path

from jumpcloud_modules.state.lease_record import FILE_NAME, SESSIONS
from tests.state.interleaving import Command, Process, SteppedS3, TimedOut, by_hand
from tests.state.pretences import Clock

LANES = {"renew": "renewal", "mark free": "return"}
"""In which lane a command runs, but for those that own something or give it back."""


@dataclass(frozen=True)
class Story:
    """One process begins something and stands still amid it, while the others go on as usual.

    Its request may be lost, or its answer, or arrive late. Then it goes on step by step, each
    between steps of the others; or it is killed, or stands still until another story is over.
    """

    number: int
    what: str
    folder: int
    steps: int
    seconds: int
    outcome: str
    order: list[bool]
    end: str
    is_a_session_removed: bool


_STORIES = st.builds(
    Story,
    number=st.integers(0, 2),
    what=st.sampled_from(["look", "check", "renew", "give back", "mark free", "end"]),
    folder=st.integers(0, 1),
    steps=st.integers(0, 9),
    seconds=st.sampled_from([0, 2, 10, 20, 26, 28, 36, 44, 60]),
    outcome=st.sampled_from(["goes on", "goes on", "reset", "timed out"]),
    order=st.lists(st.booleans(), max_size=12),
    end=st.sampled_from(["goes on", "goes on", "stands still", "killed"]),
    is_a_session_removed=st.sampled_from([False, False, False, True]),
)


class World:
    """Three processes and two states. Between any two requests, no state may have two owners."""

    def __init__(self, *, is_one_of_one_state: bool) -> None:
        self.clock = Clock()
        self.storage = SteppedS3(self.clock, stops_at_answers=True)
        self.storage.after = lambda _: self.nothing_is_wrong()
        self.root = self.storage.serve("interleaved") / "root"
        self.folders = [self.root / "acme", self.root / "globex"]
        only = self.folders[0] if is_one_of_one_state else None
        self.processes = [
            Process("a", self.root, self.clock),
            Process("b", self.root, self.clock),
            Process("c", self.root, self.clock, only),
        ]
        self.paused: set[str] = set()

    def is_alive(self, name: str) -> bool:
        """Tell whether a life of a process goes on."""
        return any(process.life == name for process in self.processes)

    def kill(self, process: Process) -> None:
        """End a process; another life of it begins at once."""
        process.kill()
        self.paused.discard(process.name)

    def go_on_as_usual(self, seconds: int) -> None:
        """Have each process that does not stand still renew, give back, look and check."""
        for _ in range(0, seconds, 2):
            for process in self.processes:
                if process.name not in self.paused:
                    self._work(process)
            self.clock.now += 2

    def _work(self, process: Process) -> None:
        if self.clock.now % 10 == 0:
            process.does(process.renew)
        process.does(process.mark_free)
        for folder in process.folders_among(self.folders):
            process.does(partial(process.look, folder))
        self.nothing_is_wrong()

    def happens(self, story: Story) -> None:
        """Let a story happen, with whoever stands still already."""
        process, folder = self.processes[story.number], self.folders[story.folder]
        if folder not in process.folders_among(self.folders):
            return
        if process.name not in self.paused:
            self._stand_still(process, story, folder)
        if story.is_a_session_removed:
            self._remove_a_session()
        self.go_on_as_usual(story.seconds)
        if story.end == "killed":
            self.kill(process)
        self._step(process, story.outcome)
        for is_its_turn in story.order:
            if is_its_turn:
                self._step(process)
            else:
                self.go_on_as_usual(2)
        if story.end == "goes on":
            self.resume(process)
            self.go_on_as_usual(4)
            self.arrive()

    def _stand_still(self, process: Process, story: Story, folder: S3Path) -> None:
        ways: dict[str, Callable[[], object]] = {
            "look": partial(process.look, folder),
            "check": partial(process.check, folder),
            "give back": partial(process.give_back, folder),
            "end": process.end,
            "renew": process.renew,
            "mark free": process.mark_free,
        }
        self.paused.add(process.name)
        process.begin(LANES.get(story.what, "work"), ways[story.what])
        for _ in range(story.steps):
            self._step(process)

    def _remove_a_session(self) -> None:
        sessions = sorted(key for key in self.storage.objects if SESSIONS in key)
        for key in sessions[:1]:
            del self.storage.objects[key]

    def _step(self, process: Process, outcome: str = "goes on") -> None:
        errors = {"reset": ConnectionError("reset"), "timed out": TimedOut()}
        for command in process.lanes.values():
            self.nothing_is_wrong()
            if not command.is_over:
                command.go_on(errors.get(outcome))
        self.nothing_is_wrong()

    def resume(self, process: Process) -> None:
        """Have it do whatever it was about to do."""
        while not all(command.is_over for command in process.lanes.values()):
            self._step(process)
        self.paused.discard(process.name)

    def arrive(self) -> None:
        """Have the requests arrive that nobody waits for any more."""
        while self.storage.on_its_way:
            self.storage.arrive()
            self.nothing_is_wrong()

    def nothing_is_wrong(self) -> None:
        """No state has two owners; who owns one stands in its record; nothing fails oddly."""
        for folder in self.folders:
            owners = [process for process in self.processes if process.believes(folder)]
            assert len(owners) <= 1, f"{[owner.life for owner in owners]} own {folder}"
            for owner in owners:
                content, _ = self.storage.objects[f"{folder.key}/{FILE_NAME}"]
                assert owner.token_of(folder) in content.decode(), f"{owner.life} owns {folder}"
        commands = [command for process in self.processes for command in process.lanes.values()]
        assert not any(command.error for command in commands), [c.error for c in commands]

    def the_first_process_takes_all(self) -> None:
        """However the others ended, and whatever is still on its way: within a minute."""
        first, *others = self.processes
        for process in others:
            self.kill(process)
            self.paused.add(process.name)
        self.arrive()
        self.resume(first)
        self.go_on_as_usual(60)

        assert [first.believes(folder) for folder in self.folders] == [True, True]


@settings(max_examples=400)
@given(
    stories=st.lists(_STORIES, min_size=1, max_size=5),
    is_one_of_one_state=st.booleans(),
    is_one_machine=st.booleans(),
)
def test_no_story_of_pauses_kills_and_lost_requests_gives_a_state_two_owners(
    stories: list[Story], is_one_of_one_state: bool, is_one_machine: bool
) -> None:
    """And in the end one process owns all."""
    with pytest.MonkeyPatch.context() as patch:
        world = World(is_one_of_one_state=is_one_of_one_state)
        by_hand(patch, world.is_alive if is_one_machine else None)
        try:
            world.go_on_as_usual(4)
            for story in stories:
                world.happens(story)
            world.the_first_process_takes_all()
        finally:
            for process in world.processes:
                process.kill()


# Every order of a few requests, up to a number of switches


@dataclass
class Race:
    """Two processes that each do a few things, one after the other, where a third may have been."""

    clock: Clock = field(default_factory=Clock)
    storage: SteppedS3 = field(init=False)
    root: S3Path = field(init=False)
    programs: list[list[Callable[[], Command | None]]] = field(default_factory=list)
    processes: list[Process] = field(default_factory=list)
    _under_way: list[Command | None] = field(default_factory=list)
    _last: int = 0
    _left: int = 3

    def __post_init__(self) -> None:
        self.storage = SteppedS3(self.clock, stops_at_answers=False)
        self.root = self.storage.serve("raced") / "root"

    @property
    def acme(self) -> S3Path:
        """Return the state that all want."""
        return self.root / "acme"

    def process(self, name: str, *, is_of_one_state: bool = False) -> Process:
        """Return a process that has begun its session, where it has one."""
        process = Process(name, self.root, self.clock, self.acme if is_of_one_state else None)
        self.processes.append(process)
        if not is_of_one_state:
            process.does(partial(process.look, self.root / name))
        return process

    def runs(self, process: Process, *work: Callable[[], object] | int) -> None:
        """Have a process do something, one thing after the other; a number is seconds to wait."""
        self.programs.append([partial(self._begin, process, each) for each in work])

    def does(self, begin: "Callable[[Race], None]") -> None:
        """Come to where the race begins."""
        begin(self)
        self._under_way = [None for _ in self.programs]

    def options(self) -> list[tuple[int, str]]:
        """Name who may do the next step, and what may become of it; first what costs nothing."""
        able = [number for number, _ in enumerate(self.programs) if self._is_able(number)]
        able.sort(key=lambda number: number != self._last)
        options = [(number, "goes on") for number in able if self._cost(number) <= self._left]
        failures = ("is lost", "has no answer")
        return options + [
            (number, failure)
            for number in able
            if self._under_way[number] and self._cost(number) + 2 <= self._left
            for failure in failures
        ]

    def step(self, number: int, outcome: str) -> None:
        """Begin the next command of a process, or let it go on with the one that stands still."""
        self._left -= self._cost(number) + (0 if outcome == "goes on" else 2)
        self._last = number
        command = self._under_way[number]
        if command is None:
            command = self.programs[number].pop(0)()
        elif outcome == "is lost":
            command.go_on(ConnectionError("reset"))
        else:
            command.go_on(loses_answer=outcome == "has no answer")
        assert command is None or command.error is None, command.error
        self._under_way[number] = None if command is None or command.is_over else command

    def _is_able(self, number: int) -> bool:
        return self._under_way[number] is not None or bool(self.programs[number])

    def _cost(self, number: int) -> int:
        """Return 1 for a turn that another process might have kept."""
        return int(number != self._last and self._is_able(self._last))

    def _begin(self, process: Process, work: Callable[[], object] | int) -> Command | None:
        if isinstance(work, int):
            self.clock.now += work
            return None
        return process.begin("work", work)


def _a_slow_owner_comes_back(race: Race) -> None:
    slow, waiter = race.process("slow"), race.process("waiter")
    slow.does(partial(slow.look, race.acme))
    waiter.does(partial(waiter.look, race.acme))
    race.clock.now += 41
    waiter.does(waiter.renew)
    race.runs(slow, slow.renew, partial(slow.check, race.acme), partial(slow.look, race.acme))
    race.runs(waiter, *_looks(waiter, race.acme))


def _two_wait_for_one_that_was_killed(race: Race, *, is_of_one_state: bool = False) -> None:
    killed, one = race.process("killed"), race.process("one")
    other = race.process("other", is_of_one_state=is_of_one_state)
    killed.does(partial(killed.look, race.acme))
    one.does(partial(one.look, race.acme))
    other.does(partial(other.look, race.acme))
    race.clock.now += 41
    one.does(one.renew)
    other.does(other.renew)
    killed.kill()
    race.runs(one, *_looks(one, race.acme))
    race.runs(other, *_looks(other, race.acme))


def _one_of_one_state_waits_too(race: Race) -> None:
    _two_wait_for_one_that_was_killed(race, is_of_one_state=True)


def _a_state_is_given_back_and_wanted_again(race: Race) -> None:
    owner, waiter = race.process("owner"), race.process("waiter")
    owner.does(partial(owner.look, race.acme))
    waiter.does(partial(waiter.look, race.acme))
    give_back, look = partial(owner.give_back, race.acme), partial(owner.look, race.acme)
    race.runs(owner, give_back, owner.mark_free, look, owner.mark_free, look)
    race.runs(waiter, 2, partial(waiter.look, race.acme), 2, partial(waiter.look, race.acme))


def _an_owner_ends_and_begins_again(race: Race) -> None:
    owner, waiter = race.process("owner"), race.process("waiter")
    owner.does(partial(owner.look, race.acme))
    waiter.does(partial(waiter.look, race.acme))
    race.runs(owner, owner.end, partial(owner.look, race.acme))
    race.runs(waiter, 2, *_looks(waiter, race.acme))


def _two_begin(race: Race) -> None:
    one, other = race.process("one"), race.process("other", is_of_one_state=True)
    race.runs(one, *_looks(one, race.acme))
    race.runs(other, *_looks(other, race.acme))


def _looks(process: Process, folder: S3Path) -> list[Callable[[], object] | int]:
    look = partial(process.look, folder)
    return [look, 2, look, 2, look]


@pytest.mark.parametrize(
    "begin",
    [
        _a_slow_owner_comes_back,
        _two_wait_for_one_that_was_killed,
        _one_of_one_state_waits_too,
        _a_state_is_given_back_and_wanted_again,
        _an_owner_ends_and_begins_again,
        _two_begin,
    ],
)
def test_no_order_of_requests_gives_a_state_two_owners(
    begin: Callable[[Race], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every order is tried in which the processes take up to three turns more than they must.

    With up to one, each request is lost in one run, and its answer in another.
    """
    by_hand(monkeypatch, None)
    choices: list[list[int]] = [[]]
    tried = owned = 0
    while choices:
        race = Race()
        race.does(begin)
        choices.extend(_run(race, choices.pop()))
        tried += 1
        owned += any(process.believes(race.acme) for process in race.processes)
        for process in race.processes:
            process.kill()

    assert tried > 100
    assert owned > tried / 2


def _run(race: Race, chosen: list[int]) -> list[list[int]]:
    """Run a race by choices, of which the first are given; return what else could be chosen."""
    made: list[int] = []
    others: list[list[int]] = []
    while options := race.options():
        if len(made) >= len(chosen):
            others += [[*made, other] for other in range(1, len(options))]
        choice = chosen[len(made)] if len(made) < len(chosen) else 0
        made.append(choice)
        race.step(*options[choice])
        owners = [process.name for process in race.processes if process.believes(race.acme)]
        assert len(owners) <= 1, f"{owners}, after {made}"
    return others
