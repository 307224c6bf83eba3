"""Which polls a person reads about."""

from dataclasses import dataclass, field, replace

from jumpcloud_modules.checkpoint import Checkpoint, Window
from jumpcloud_modules.collecting.stats import Counts
from jumpcloud_modules.sekoia.poll_log import QUIET_LINE_SECONDS, PollLog

QUIET = Counts(pages=1, read=1, known=1)
BUSY = Counts(pages=1, read=3, known=1, delivered=2)
CAUGHT_UP = Checkpoint(0, 1_790_000_000_000)


@dataclass
class _Polls:
    """Polls a minute apart, and the lines that they left."""

    now: float = 0.0
    lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._log = PollLog(clock=lambda: self.now)

    def poll(self, counts: Counts, checkpoint: Checkpoint = CAUGHT_UP, times: int = 1) -> list[str]:
        """Poll so often, and return the lines that came of it."""
        before = len(self.lines)
        for _ in range(times):
            self.now += 60
            line = self._log.line(counts, checkpoint, 0.1)
            self.lines += [line] if line else []
        return self.lines[before:]


def test_the_first_poll_leaves_a_line() -> None:
    """Whoever started it sees that it works, however quiet it is."""
    assert _Polls().poll(QUIET) == [
        (
            "Polled in 0.1 s: 1 events read in 1 pages, 0 delivered, 1 known already, 0 set aside;"
            " newest 2026-09-21T14:13:20.000Z."
        )
    ]


def test_a_quiet_connector_leaves_a_line_an_hour() -> None:
    """With how many polls it stands for: 24 a day, where there were 1440."""
    polls = _Polls()
    polls.poll(QUIET)

    lines = polls.poll(QUIET, times=24 * 60)

    assert lines == ["Polled 60 times in 60 min, nothing new; newest 2026-09-21T14:13:20.000Z."] * (
        24 * 3600 // int(QUIET_LINE_SECONDS)
    )


def test_a_poll_that_moved_something_leaves_a_line_at_once() -> None:
    """Delivered, set aside, or late; the hour begins anew with it."""
    polls = _Polls()
    polls.poll(QUIET, times=40)

    for counts in (BUSY, replace(QUIET, set_aside=1), replace(QUIET, late=1)):
        assert len(polls.poll(counts)) == 1

    assert polls.poll(QUIET, times=59) == []
    assert len(polls.poll(QUIET)) == 1


def test_a_backlog_that_grows_or_ends_leaves_a_line() -> None:
    """The end of it is what whoever waits for it looks for."""
    polls, behind = _Polls(), replace(CAUGHT_UP, windows=(Window(1, 2), Window(2, 3)))
    polls.poll(QUIET)

    assert polls.poll(QUIET, behind)[0].endswith("; 2 stretches of backlog still open.")
    assert polls.poll(QUIET, behind) == []
    assert len(polls.poll(QUIET, CAUGHT_UP)) == 1


def test_a_stream_of_several_is_named() -> None:
    """In both kinds of lines."""
    log = PollLog("pam", lambda: now)
    now = 0.0
    first = log.line(QUIET, CAUGHT_UP, 0.1)
    now = QUIET_LINE_SECONDS

    assert first is not None
    assert first.startswith("Polled pam in")
    assert (log.line(QUIET, CAUGHT_UP, 0.1) or "").startswith("Polled pam 1 times")
