"""What a thousand organizations say at once is told once."""

from jumpcloud_modules.failure_log import Level
from jumpcloud_modules.organizations.messages import (
    MINUTE_SECONDS,
    NAMES_SHOWN,
    TOLD_IN_A_MINUTE,
    Messages,
)


class _Log:
    def __init__(self) -> None:
        self.lines: list[tuple[str, Level]] = []
        self.now = 0.0
        self.messages = Messages(self._log, lambda: 1_000, lambda: self.now)

    def _log(self, message: str, level: Level) -> None:
        self.lines.append((message, level))


def test_a_message_carries_the_name_of_its_organization() -> None:
    """Whoever reads the log knows whose it is."""
    log = _Log()

    log.messages.say("acme", "JumpCloud", "JumpCloud answered 401.", "error")

    assert log.lines == [("acme: JumpCloud answered 401.", "error")]


def test_what_all_say_within_a_minute_is_summed_up() -> None:
    """The first of them stand for the others, which are counted and named in part."""
    log = _Log()
    for number in range(1_000):
        log.messages.say(f"org-{number}", "JumpCloud", "It is away.", "warning")
    log.messages.sum_up()
    told_at_once = len(log.lines)

    log.now = MINUTE_SECONDS
    log.messages.sum_up()

    assert told_at_once == TOLD_IN_A_MINUTE
    assert len(log.lines) == TOLD_IN_A_MINUTE + 1
    summary, level = log.lines[-1]
    assert level == "warning"
    assert summary.startswith(f"{1_000 - TOLD_IN_A_MINUTE} more of 1000 organizations")
    assert "It is away." in summary
    assert summary.count("org-") == NAMES_SHOWN + 1


def test_other_topics_and_levels_are_told_meanwhile() -> None:
    """An outage of JumpCloud hides no refused intake key, and no recovery."""
    log = _Log()
    for number in range(10):
        log.messages.say(f"org-{number}", "JumpCloud", "It is away.", "warning")
    log.messages.say("acme", "The Sekoia intake", "It refused.", "error")
    log.messages.say("org-1", "JumpCloud", "It answers again.", "info")

    assert log.lines[-2:] == [
        ("acme: It refused.", "error"),
        ("org-1: It answers again.", "info"),
    ]


def test_the_next_minute_begins_anew() -> None:
    """And nothing is summed up where nothing was left out."""
    log = _Log()
    log.messages.say("acme", "JumpCloud", "It is away.", "warning")
    log.now = MINUTE_SECONDS
    log.messages.sum_up()
    log.messages.say("acme", "JumpCloud", "It is away.", "warning")

    assert [message for message, _ in log.lines] == ["acme: It is away."] * 2
