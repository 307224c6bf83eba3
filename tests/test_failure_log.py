"""Which failures a person reads about."""

from collections import Counter
from itertools import pairwise

from jumpcloud_modules.errors import Refused, TryAgain
from jumpcloud_modules.failure_log import (
    CALM_AFTER_SECONDS,
    CRITICAL_AFTER_SECONDS,
    REMINDER_AFTER_SECONDS,
    FailureLog,
    Level,
    Repetition,
    Tellers,
)
from jumpcloud_modules.http.backoff import (
    MAX_TRANSIENT_DELAY_SECONDS,
    REFUSED_DELAYS_SECONDS,
)
from jumpcloud_modules.http.retry import Failure, Retry
from tests.doubles import Waits

HOUR_SECONDS = 3600


class _Scene:
    """A stretch of time, the lines that were written in it, and retries that are tried in it."""

    def __init__(self) -> None:
        self.stop = Waits()
        self.lines: list[tuple[Level, str]] = []
        self.tellers = Tellers()

    def retry(self, end: str, consequence: str = "") -> Retry:
        failure_log = FailureLog(
            end, self._write, self.stop.clock, consequence=consequence, tellers=self.tellers
        )
        return Retry(self.stop, failure_log.failed, failure_log.recovered, self.stop.clock)

    def fail(self, retry: Retry, error: TryAgain | Refused) -> None:
        def attempt() -> None:
            raise error

        try:
            retry.call(attempt, 1)
        except (TryAgain, Refused):
            return

    def succeed(self, retry: Retry) -> None:
        retry.call(lambda: None)

    def levels(self, beginning: str = "") -> Counter[Level]:
        return Counter(level for level, text in self.lines if text.startswith(beginning))

    def _write(self, text: str, level: Level) -> None:
        self.lines.append((level, text))


def _refused(status: int) -> Refused:
    return Refused(f"JumpCloud answered {status}.", end="JumpCloud", status=status)


class _Log:
    def __init__(self) -> None:
        self.lines: list[tuple[Level, str]] = []
        self.now = 0.0
        self.failure_log = FailureLog("JumpCloud", self._write, lambda: self.now)
        self.in_a_row = 0

    def _write(self, text: str, level: Level) -> None:
        self.lines.append((level, text))

    @property
    def levels(self) -> list[Level]:
        return [level for level, _ in self.lines]

    def fail(self, error: TryAgain | Refused, seconds: float = 30.0) -> None:
        self.in_a_row += 1
        self.failure_log.failed(Failure(error, self.in_a_row, seconds))
        self.now += seconds

    def recover(self) -> None:
        self.failure_log.recovered(self.in_a_row)
        self.in_a_row = 0

    def stay_calm(self, seconds: float = CALM_AFTER_SECONDS) -> None:
        self.now += seconds
        self.recover()


def test_a_hiccup_is_nobodys_business() -> None:
    """Nor is its end."""
    log = _Log()

    for _ in range(5):
        log.fail(TryAgain("busy"))
        log.fail(TryAgain("busy"))
        log.recover()

    assert log.lines == []


def test_a_wait_of_an_hour_is_said_at_once() -> None:
    """The third failure in a row would come after two hours of silence."""
    log = _Log()
    log.fail(TryAgain("busy.", retry_after_seconds=HOUR_SECONDS), seconds=HOUR_SECONDS)
    log.recover()

    assert len(log.lines) == 2
    assert log.lines[0][1].endswith("next in 3600 s.")


def test_an_outage_is_said_once_with_its_end() -> None:
    """However often it is tried meanwhile, and however its message varies."""
    log = _Log()

    for number in range(20):
        log.fail(TryAgain(f"busy {number}."))
    log.recover()

    assert log.lines == [
        ("warning", "busy 2. Trying again by itself, next in 30 s."),
        ("info", "JumpCloud answers again, after 20 failed tries."),
    ]


def test_the_tries_that_were_not_worth_a_word_count() -> None:
    """What a status shows is what the end of the outage tells."""
    log = _Log()
    for _ in range(4):
        log.fail(TryAgain("no answer"))

    failed_tries = log.failure_log.goes_on()[0].failed_tries
    log.recover()

    assert failed_tries == 4
    assert log.lines[-1] == ("info", "JumpCloud answers again, after 4 failed tries.")


def test_a_long_outage_is_remembered_from_time_to_time() -> None:
    """Ever more seldom, down to once an hour, with what failed since; it is never critical."""
    log, said_at = _Log(), list[float]()

    while log.now < 3 * HOUR_SECONDS:
        began, lines = log.now, len(log.lines)
        log.fail(TryAgain("busy."))
        said_at += [began] * (len(log.lines) - lines)

    quarter = REMINDER_AFTER_SECONDS
    assert set(log.levels) == {"warning"}
    assert [b - a for a, b in pairwise(said_at)] == [quarter, 2 * quarter, 4 * quarter, 4 * quarter]
    assert log.lines[1][1] == (
        "busy. Failed tries since this was last said: 30. Trying again by itself, next in 30 s."
    )


def test_reminders_never_end() -> None:
    """However long an outage lasts."""
    log = _Log()

    for _ in range(2_000):
        log.fail(TryAgain("busy"), seconds=HOUR_SECONDS)

    assert len(log.lines) == 2_000


def test_a_refusal_is_said_at_once_and_once() -> None:
    """It needs a person."""
    log = _Log()

    for _ in range(10):
        log.fail(Refused("The key is not valid."))

    assert log.lines == [
        ("error", "The key is not valid. Trying again by itself, next in 30 s."),
    ]


def test_another_refusal_is_said_as_well() -> None:
    """The operator changed something, and it was not enough."""
    log = _Log()
    log.fail(Refused("The key is not valid.", status=401))

    log.fail(Refused("The address is blocked.", status=403))
    log.fail(Refused("The key is not valid.", status=401))

    assert [text.split(".")[0] for _, text in log.lines] == [
        "The key is not valid",
        "The address is blocked",
    ]


def test_a_refusal_in_other_words_is_the_same() -> None:
    """A message names the request and quotes the answer; who refused with which status counts."""
    log = _Log()

    for request in ("POST /events", "POST /events/count") * 5:
        text = f"JumpCloud answered 401 to {request}."
        log.fail(Refused(text, end="JumpCloud", status=401, request=request))

    assert log.levels == ["error"]


def test_a_refusal_that_lasts_for_an_hour_is_critical_once() -> None:
    """The platform then asks a person, and may stop the connector."""
    log = _Log()

    while log.now <= 2 * CRITICAL_AFTER_SECONDS:
        log.fail(Refused("The key is not valid."))
        assert ("critical" in log.levels) == (log.now > CRITICAL_AFTER_SECONDS + 30 - 1)

    assert log.levels.count("critical") == 1
    assert any("lasted for an hour" in text for _, text in log.lines)


def test_an_outage_before_a_refusal_does_not_count_as_refused() -> None:
    """A proxy's 403 at the end of a long outage is no reason to be stopped by the platform."""
    log = _Log()
    while log.now <= 2 * CRITICAL_AFTER_SECONDS:
        log.fail(TryAgain("down"))

    log.fail(Refused("The address is blocked."))

    assert log.levels[-1] != "critical"
    assert log.lines[-1][1].startswith("The address is blocked.")


def test_a_hiccup_within_a_refusal_does_not_begin_its_hour_anew() -> None:
    """It was refused before, and it is refused still."""
    log = _Log()

    while log.now <= CRITICAL_AFTER_SECONDS + 60:
        log.fail(Refused("The key is not valid."))
        log.fail(TryAgain("busy"))

    assert log.levels.count("critical") == 1


def test_after_a_recovery_everything_is_said_anew() -> None:
    """It is another incident, once the first one has stayed away for a while."""
    log = _Log()
    for _ in range(2):
        while log.in_a_row * 30 <= CRITICAL_AFTER_SECONDS + 30:
            log.fail(Refused("The key is not valid."))
        log.recover()
        log.stay_calm()

    assert log.levels[:2] == ["error", "error"]
    assert log.levels.count("critical") == 2
    assert log.levels.count("info") == 2


def test_two_short_refusals_are_two_incidents() -> None:
    """Each is said at once, and so is its end; together they are not critical."""
    log = _Log()

    for _ in range(6):
        log.fail(_refused(401))
        log.recover()
        log.stay_calm(20 * 60)

    assert log.levels == ["error", "info"] * 6


def test_a_calm_is_longer_than_any_wait_before_a_next_try() -> None:
    """Else a failure that goes on would look like another one."""
    longest = max(MAX_TRANSIENT_DELAY_SECONDS, *REFUSED_DELAYS_SECONDS)

    assert longest * 2 < CALM_AFTER_SECONDS < REMINDER_AFTER_SECONDS


# A part fails beside what succeeds


def test_a_part_that_stays_refused_beside_healthy_ones_is_said_seldom_and_is_critical() -> None:
    """On the same retry: the healthy request's success is no end."""
    scene = _Scene()
    retry = scene.retry("JumpCloud")

    while scene.stop.clock() < 2 * HOUR_SECONDS:
        scene.fail(retry, _refused(400))
        scene.succeed(retry)
        scene.stop.wait(25)

    assert scene.levels() == {"error": 3, "info": 1, "critical": 1}
    assert scene.lines[1] == ("info", "JumpCloud answers again, after 1 failed tries.")
    assert "Failed tries since this was last said: 30." in scene.lines[2][1]


def test_the_end_of_what_came_back_is_said_once_it_lasts() -> None:
    """With all the tries that failed."""
    scene = _Scene()
    retry = scene.retry("JumpCloud")
    for _ in range(20):
        scene.fail(retry, _refused(400))
        scene.succeed(retry)
        scene.stop.wait(25)

    for _ in range(20):
        scene.succeed(retry)
        scene.stop.wait(25)

    assert scene.levels() == {"error": 1, "info": 2}
    assert scene.lines[-1] == ("info", "JumpCloud answers again, after 20 failed tries.")


def test_what_succeeds_on_one_retry_ends_no_incident_on_another() -> None:
    """The backlog is refused for three hours, the tail recovers from a hiccup now and then."""
    scene = _Scene()
    tail, backlog = scene.retry("JumpCloud"), scene.retry("JumpCloud (backlog)")

    for number in range(3 * HOUR_SECONDS // 30):
        scene.fail(backlog, _refused(400))
        if number % 60 == 0:
            scene.fail(tail, TryAgain("JumpCloud could not be reached."))
        scene.succeed(tail)

    assert scene.levels() == {"error": 4, "critical": 1}


def test_another_incident_and_its_end_are_said_at_once_beside_one_that_comes_and_goes() -> None:
    """A refused slice must not hide a refused key."""
    scene = _Scene()
    retry = scene.retry("JumpCloud")
    for _ in range(5):
        scene.fail(retry, _refused(400))
        scene.succeed(retry)
    del scene.lines[:]

    for _ in range(3):
        scene.fail(retry, _refused(401))
    scene.succeed(retry)

    assert scene.lines == [
        ("error", "JumpCloud answered 401. Trying again by itself, next in 5 s."),
        ("info", "JumpCloud answers again, after 3 failed tries."),
    ]


def test_an_outage_that_comes_back_is_the_same_one_and_a_hiccup_after_it_is_none() -> None:
    """Three failures in a row make an outage, each time."""
    log = _Log()
    for _ in range(4):
        log.fail(TryAgain("down"))
    log.recover()
    log.fail(TryAgain("down"))
    log.recover()
    assert log.levels == ["warning", "info"]

    for _ in range(2):
        for _ in range(4):
            log.fail(TryAgain("down"))
        log.recover()
    log.stay_calm()

    assert log.levels == ["warning", "info", "info"]


def test_a_failure_that_was_overtaken_by_a_success_ends_with_the_next_one() -> None:
    """It was sent before the success, and answered after it: no failures precede the next one."""
    log = _Log()

    log.failure_log.failed(Failure(_refused(401), 0, 5))
    log.failure_log.recovered(0)

    assert log.levels == ["error", "info"]
    assert log.lines[-1][1] == "JumpCloud answers again, after 1 failed tries."


def test_what_two_retries_have_in_common_is_said_by_the_first() -> None:
    """A revoked key is one message, and its end another; what waits for it is said."""
    scene = _Scene()
    backlog = scene.retry("JumpCloud (backlog)", "The backlog waits for it.")
    tail = scene.retry("JumpCloud")

    for _ in range(10):
        scene.fail(backlog, _refused(401))
        scene.fail(tail, _refused(401))
    scene.succeed(backlog)
    scene.succeed(tail)

    waits = "The backlog waits for it. Trying again by itself, next in 5 s."
    assert scene.lines == [
        ("error", f"JumpCloud answered 401. {waits}"),
        ("info", "JumpCloud (backlog) answers again, after 10 failed tries."),
    ]


def test_what_is_left_when_the_first_retry_recovers_is_said_by_the_other() -> None:
    """Its incident is its own, and goes on."""
    scene = _Scene()
    backlog, tail = scene.retry("JumpCloud (backlog)"), scene.retry("JumpCloud")
    scene.fail(backlog, _refused(401))
    scene.fail(tail, _refused(401))
    scene.succeed(backlog)

    scene.fail(tail, _refused(401))
    scene.succeed(tail)

    assert scene.levels("JumpCloud answered") == {"error": 2}
    assert scene.lines[-1] == ("info", "JumpCloud answers again, after 2 failed tries.")


def test_a_retry_that_is_not_tried_any_more_keeps_no_other_silent() -> None:
    """Its incident has no end, but nobody hears of it either."""
    scene = _Scene()
    backlog, tail = scene.retry("JumpCloud (backlog)"), scene.retry("JumpCloud")
    scene.fail(backlog, _refused(401))

    while scene.stop.clock() < 2 * HOUR_SECONDS:
        scene.fail(tail, _refused(401))

    assert scene.levels()["critical"] == 1


def test_an_answer_s_own_name_stands_with_what_it_said() -> None:
    """JumpCloud's support asks for it."""
    log = _Log()

    log.fail(Refused("JumpCloud answered 401.", status=401, request_id="4f1c"))
    log.now += CRITICAL_AFTER_SECONDS
    log.fail(Refused("JumpCloud answered 401.", status=401, request_id="4f1d"))

    assert log.lines[0][1].startswith("JumpCloud answered 401. X-Request-Id: 4f1c. Trying again")
    assert log.lines[-1] == (
        "critical",
        "JumpCloud answered 401. X-Request-Id: 4f1d. This has lasted for an hour.",
    )
    assert log.failure_log.goes_on()[0].message == "JumpCloud answered 401. X-Request-Id: 4f1d."


def test_what_repeats_is_said_at_first_and_then_ever_more_seldom_with_its_count() -> None:
    """After a quarter of an hour, half an hour, then every hour; its end begins anew."""
    now = 0.0
    repetition = Repetition(lambda: now)
    said = list[tuple[float, int]]()

    for minute in range(4 * 60):
        now = minute * 60.0
        if (times := repetition.again()) is not None:
            said.append((now, times))

    quarter = REMINDER_AFTER_SECONDS
    assert said == [
        (0, 1),
        (quarter, 15),
        (3 * quarter, 30),
        (7 * quarter, 60),
        (11 * quarter, 60),
        (15 * quarter, 60),
    ]
    assert repetition.over() == 4 * 60
    assert repetition.over() == 0
    assert repetition.again() == 1
