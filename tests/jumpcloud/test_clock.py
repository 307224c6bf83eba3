"""JumpCloud's time, learnt from the dates of its answers."""

from email.utils import format_datetime

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from jumpcloud_modules.instants import HOUR_MS, MINUTE_MS, SECOND_MS, floor, from_ms
from jumpcloud_modules.jumpcloud.clock import JumpCloudClock
from tests.doubles import NOON_MS


class _Net:
    """Answers of a JumpCloud whose time is known here, and of whoever stands between."""

    def __init__(self, machine_ahead_ms: int = 0) -> None:
        self.jumpcloud_ms = NOON_MS
        self.machine_ahead_ms = machine_ahead_ms
        self.told: list[str] = []
        self.clock = JumpCloudClock(
            self.told.append,
            lambda: self.jumpcloud_ms + self.machine_ahead_ms,
            lambda: self.jumpcloud_ms - NOON_MS + 5_000,
        )

    def answer(self, there_ms: int = 0, back_ms: int = 0, wrong_by_ms: int = 0) -> None:
        """Let a question take its time to JumpCloud, and the answer its time back."""
        asked_ms = self.clock.span_ms()
        self.jumpcloud_ms += there_ms
        date = _date(self.jumpcloud_ms + wrong_by_ms)
        self.jumpcloud_ms += back_ms
        self.clock.learn(date, asked_ms)

    def answers(self, count: int, wrong_by_ms: int = 0) -> None:
        """Let many answers come, each 1.1 s after the last."""
        for _ in range(count):
            self.jumpcloud_ms += 1_100
            self.answer(wrong_by_ms=wrong_by_ms)

    @property
    def behind_ms(self) -> int:
        """Return by how much the clock is behind JumpCloud's time."""
        return self.jumpcloud_ms - self.clock.now_ms()


def _date(instant_ms: int) -> str:
    return format_datetime(from_ms(floor(instant_ms, SECOND_MS)), usegmt=True)


def test_without_a_date_the_machines_clock_serves() -> None:
    """There is no other."""
    net = _Net(machine_ahead_ms=17)

    net.clock.learn(None, 0)

    assert not net.clock.is_known
    assert net.clock.now_ms() == NOON_MS + 17
    assert net.clock.ahead_of_machine_ms == 0


def test_time_passes_between_answers_by_a_clock_that_nobody_sets() -> None:
    """The machine's may be set meanwhile."""
    net = _Net()
    net.answer()

    net.machine_ahead_ms = -99 * HOUR_MS
    net.jumpcloud_ms += 12_345

    assert net.clock.is_known
    assert net.clock.now_ms() == NOON_MS + 12_345


@pytest.mark.parametrize("machine_ahead_ms", [-HOUR_MS, HOUR_MS])
def test_a_first_date_that_contradicts_the_machine_needs_another_that_agrees(
    machine_ahead_ms: int,
) -> None:
    """A gateway or a cache may have written it."""
    net = _Net(machine_ahead_ms)
    net.answer(wrong_by_ms=20 * HOUR_MS)
    after_one = (net.clock.is_known, net.clock.is_in_doubt, net.clock.now_ms())
    net.answer()
    after_another = net.clock.is_known

    net.answer()

    assert after_one == (False, True, net.jumpcloud_ms + machine_ahead_ms)
    assert not after_another
    assert net.clock.is_known
    assert not net.clock.is_in_doubt
    assert net.behind_ms == 0


def test_a_first_date_that_the_machine_confirms_is_believed_at_once() -> None:
    """Both would have to be wrong in the same way."""
    net = _Net(machine_ahead_ms=MINUTE_MS)

    net.answer()

    assert net.clock.is_known


def test_many_dates_of_whole_seconds_narrow_the_time_down() -> None:
    """Each is written at another millisecond of its second."""
    net = _Net(machine_ahead_ms=HOUR_MS)
    net.jumpcloud_ms += 990
    net.answer()
    net.answer()
    behind_after_one_ms = net.behind_ms

    net.answers(20)

    assert behind_after_one_ms == 990
    assert net.behind_ms < 100


def test_a_machine_that_agrees_tells_the_milliseconds() -> None:
    """Polls that come in the same part of each second would never narrow the time down."""
    net = _Net(machine_ahead_ms=-3)
    net.jumpcloud_ms += 990

    net.answer()

    assert net.behind_ms == 3


@given(st.integers(-999, 999), st.integers(0, 999))
def test_a_machine_that_seems_to_agree_misleads_by_less_than_a_second(
    machine_ahead_ms: int, within_second_ms: int
) -> None:
    """Dates have whole seconds."""
    net = _Net(machine_ahead_ms)
    net.jumpcloud_ms += within_second_ms

    net.answer()

    assert abs(net.behind_ms) < 1000


_LATENCIES = st.integers(0, 3_000)
_ANSWERS = st.lists(st.tuples(st.integers(0, 100_000), _LATENCIES, _LATENCIES), max_size=30)


@given(_ANSWERS, st.integers(-(10**10), 10**10))
def test_the_clock_is_never_later_than_jumpclouds_and_never_gets_worse(
    answers: list[tuple[int, int, int]], machine_ahead_ms: int
) -> None:
    """However long questions and answers take, where the machine's clock is certainly wrong."""
    assume(abs(machine_ahead_ms) > 10_000)
    net, behind_ms = _Net(machine_ahead_ms), float("inf")
    net.answer()
    net.answer()

    for wait_ms, there_ms, back_ms in answers:
        net.jumpcloud_ms += wait_ms
        net.answer(there_ms, back_ms)

        assert 0 <= net.behind_ms <= min(behind_ms, back_ms + 999)
        ahead_ms = net.clock.ahead_of_machine_ms
        assert not ahead_ms or -machine_ahead_ms - net.behind_ms == ahead_ms
        behind_ms = net.behind_ms


def test_one_date_that_contradicts_all_before_is_not_believed() -> None:
    """A proxy's cache may have written it."""
    net = _Net()
    net.answers(20)

    net.answer(wrong_by_ms=-3 * HOUR_MS)
    in_between_ms = net.behind_ms
    net.answers(1)
    net.answer(wrong_by_ms=-3 * HOUR_MS)

    assert 0 <= in_between_ms < 100
    assert 0 <= net.behind_ms < 100


def test_two_dates_that_contradict_all_before_and_not_each_other_are_believed() -> None:
    """The computer slept, or the first date of all was the wrong one."""
    net = _Net()
    net.answers(20, wrong_by_ms=5 * HOUR_MS)

    net.answers(2)

    assert 0 <= net.behind_ms < SECOND_MS


def test_two_dates_that_contradict_each_other_as_well_are_not_believed() -> None:
    """Whoever wrote them does not know the time."""
    net = _Net()
    net.answers(20)

    for hours in (1, 2, 3, 4):
        net.answer(wrong_by_ms=hours * HOUR_MS)

    assert 0 <= net.behind_ms < 100


@pytest.mark.parametrize(
    "date",
    [
        "",
        "soon",
        "Thu, 09 Oct 2025",
        "Thu, 09 Oct 2025 12:00:00",
        "Thu, 09 Oct 2025 12:00:00 -0000",
        "Thu, 99 Oct 2025 12:00:00 GMT",
        "Thu, 09 Oct 99999 12:00:00 GMT",
        "Sat, 01 Jan 0001 00:00:00 +2359",
        "Fri, 31 Dec 9999 23:59:59 -2359",
        "2025-10-09T12:00:00Z",
        "\x00",
        "9" * 5_000,
    ],
)
def test_nonsense_for_a_date_is_no_date(date: str) -> None:
    """An answer is worth its events, whatever its headers say."""
    net = _Net()
    net.clock.learn(date, 0)
    before = net.clock.is_known
    net.answers(20)

    net.clock.learn(date, net.clock.span_ms())

    assert not before or "999" in date or "0001" in date
    assert 0 <= net.behind_ms < 100


@given(st.text(max_size=40))
def test_any_text_for_a_date_is_survived(date: str) -> None:
    """No header may stop the connector."""
    net = _Net()

    net.clock.learn(date, 0)
    net.answers(20)
    net.clock.learn(date, net.clock.span_ms())

    assert 0 <= net.behind_ms < 100


@pytest.mark.parametrize(
    ("ahead_ms", "said"),
    [(2 * HOUR_MS, "7200 s ahead of JumpCloud's"), (-61_500, "61 s behind JumpCloud's")],
)
def test_a_machine_whose_clock_is_wrong_is_named_once_with_how_much_and_its_end(
    ahead_ms: int, said: str
) -> None:
    """In both directions."""
    net = _Net(machine_ahead_ms=ahead_ms)

    net.answers(50)
    while_wrong = list(net.told)
    net.machine_ahead_ms = 0
    net.answers(50)

    assert len(while_wrong) == 1
    assert said in while_wrong[0]
    assert net.told[1:] == ["This machine's clock agrees with JumpCloud's again."]


def test_a_clock_that_is_wrong_in_the_other_direction_is_named_again() -> None:
    """Or wrong by more than was said."""
    net = _Net()

    for minutes in (10, -10, -30):
        net.machine_ahead_ms = minutes * MINUTE_MS
        net.answers(20)

    sizes = ["600 s ahead of", "600 s behind", "1800 s behind"]
    assert len(net.told) == 3
    assert all(size in text for size, text in zip(sizes, net.told, strict=True))


@pytest.mark.parametrize("ahead_ms", [59 * SECOND_MS, -59 * SECOND_MS, 999, 0])
def test_a_difference_of_less_than_a_minute_is_not_worth_a_message(ahead_ms: int) -> None:
    """Nothing depends on it."""
    net = _Net(machine_ahead_ms=ahead_ms)

    net.answers(50)

    assert net.told == []


@pytest.mark.parametrize("left_ms", [-2_000, 2_000, 20_000])
def test_the_end_of_a_small_difference_is_told_although_the_clocks_never_agree_wholly(
    left_ms: int,
) -> None:
    """An alarm that never ends is not believed the next time."""
    net = _Net(machine_ahead_ms=62 * SECOND_MS)
    net.answers(20)

    net.machine_ahead_ms = left_ms
    net.answers(20)

    assert len(net.told) == 2


def test_a_difference_that_wavers_around_a_minute_is_told_once() -> None:
    """A log that repeats itself is not read."""
    net = _Net()

    for number in range(40):
        net.machine_ahead_ms = (58 + 4 * (number % 2)) * SECOND_MS
        net.answers(2)

    assert len(net.told) == 1
