"""Which failures a person reads about."""

import pytest

from jumpcloud_modules.errors import Refused, TryAgain
from jumpcloud_modules.retry import Failure
from jumpcloud_modules.troubles import (
    CRITICAL_AFTER_SECONDS,
    REMINDER_AFTER_SECONDS,
    Level,
    Troubles,
)


class _Log:
    def __init__(self) -> None:
        self.lines: list[tuple[Level, str]] = []
        self.now = 0.0
        self.troubles = Troubles("JumpCloud", self._write, lambda: self.now)
        self.in_a_row = 0

    def _write(self, text: str, level: Level) -> None:
        self.lines.append((level, text))

    @property
    def levels(self) -> list[Level]:
        return [level for level, _ in self.lines]

    def fail(self, error: TryAgain | Refused, seconds: float = 30.0) -> None:
        self.in_a_row += 1
        self.troubles.failed(Failure(error, self.in_a_row, seconds))
        self.now += seconds

    def recover(self) -> None:
        self.troubles.recovered(self.in_a_row)
        self.in_a_row = 0


def test_a_hiccup_is_nobodys_business() -> None:
    """Nor is its end."""
    log = _Log()

    for _ in range(5):
        log.fail(TryAgain("busy"))
        log.fail(TryAgain("busy"))
        log.recover()

    assert log.lines == []


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


def test_a_long_outage_is_remembered_from_time_to_time() -> None:
    """A person who joins later sees it, too; it is never critical."""
    log = _Log()

    for _ in range(400):
        log.fail(TryAgain("busy"))

    assert set(log.levels) == {"warning"}
    assert len(log.lines) == pytest.approx(400 * 30 / REMINDER_AFTER_SECONDS, abs=2)


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
    log.fail(Refused("The key is not valid."))

    log.fail(Refused("The address is blocked."))

    assert log.levels == ["error", "error"]


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
    """It is another trouble."""
    log = _Log()
    for _ in range(2):
        while log.in_a_row * 30 <= CRITICAL_AFTER_SECONDS + 30:
            log.fail(Refused("The key is not valid."))
        log.recover()

    assert log.levels.count("critical") == 2
    assert log.levels.count("info") == 2
