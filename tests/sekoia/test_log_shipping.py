"""Log records on their way to a platform that may be down."""

import threading
from collections.abc import Callable

from jumpcloud_modules.sekoia.log_shipping import (
    MAX_RECORDS,
    MAX_RECORDS_AT_ONCE,
    PlatformLogs,
    Record,
)
from sandbox import wait_until


class _Platform:
    """Take records while up; `hanging` holds a request until it is set."""

    def __init__(self) -> None:
        self.up = True
        self.records: list[Record] = []
        self.posts: list[int] = []
        self.hanging = threading.Event()
        self.hanging.set()

    def __call__(self, records: list[Record]) -> None:
        self.posts.append(len(records))
        self.hanging.wait(30)
        if not self.up:
            raise OSError("down")
        self.records += records

    def messages(self) -> list[str]:
        return [record["message"] for record in self.records]


def _records(count: int, first: int = 0) -> list[Record]:
    return [{"message": str(number)} for number in range(first, first + count)]


def _numbers(count: int, first: int = 0) -> list[str]:
    return [str(number) for number in range(first, first + count)]


def _closed(act: Callable[[PlatformLogs, _Platform], None]) -> _Platform:
    platform = _Platform()
    logs = PlatformLogs(platform)
    act(logs, platform)
    platform.hanging.set()
    logs.close(20)
    return platform


def test_records_arrive_in_order_before_the_end() -> None:
    """Closing waits for them."""
    platform = _closed(lambda logs, _: logs.ship(_records(MAX_RECORDS_AT_ONCE + 1)))

    assert platform.messages() == _numbers(MAX_RECORDS_AT_ONCE + 1)
    assert max(platform.posts) <= MAX_RECORDS_AT_ONCE


def test_adding_a_record_does_not_wait_for_a_platform_that_hangs() -> None:
    """Collecting goes on meanwhile."""
    platform = _Platform()
    platform.hanging.clear()
    logs = PlatformLogs(platform)

    for number in range(3):
        logs.ship(_records(1, first=number))
    none_arrived = platform.messages()
    platform.hanging.set()
    logs.close(20)

    assert none_arrived == []
    assert platform.messages() == _numbers(3)


def test_records_arrive_once_the_platform_is_back() -> None:
    """In their order, each once."""
    platform = _Platform()
    platform.up = False
    logs = PlatformLogs(platform)
    logs.ship(_records(3))
    assert wait_until(lambda: len(platform.posts) == 1)

    platform.up = True
    logs.ship(_records(2, first=3))

    assert wait_until(lambda: len(platform.records) == 5)
    assert platform.messages() == _numbers(5)
    logs.close(20)


def test_a_platform_that_stays_down_costs_no_more_than_the_bound() -> None:
    """The oldest records go, and their number is told."""
    platform = _Platform()
    platform.hanging.clear()
    logs = PlatformLogs(platform)
    logs.ship(_records(1))
    assert wait_until(lambda: len(platform.posts) == 1)

    logs.ship(_records(MAX_RECORDS + 7, first=1))
    platform.hanging.set()
    logs.close(20)

    told = [message for message in platform.messages() if "dropped" in message]
    others = [message for message in platform.messages() if "dropped" not in message]
    assert told == ["7 log messages were dropped while the platform took none."]
    assert others == ["0", *_numbers(MAX_RECORDS, first=8)]


def test_closing_does_not_wait_for_a_platform_that_hangs() -> None:
    """The process ends in time."""
    platform = _Platform()
    platform.hanging.clear()
    logs = PlatformLogs(platform)
    logs.ship(_records(1))
    assert wait_until(lambda: len(platform.posts) == 1)

    logs.close(0.05)

    assert platform.messages() == []
    platform.hanging.set()


def test_closing_does_not_wait_out_the_delay_of_a_failing_platform() -> None:
    """A stop comes at any moment."""
    platform = _Platform()
    platform.up = False
    logs = PlatformLogs(platform)
    logs.ship(_records(1))
    assert wait_until(lambda: len(platform.posts) == 1)

    logs.close(20)

    assert logs._thread is not None
    assert not logs._thread.is_alive()


def test_closing_what_was_never_used_does_nothing() -> None:
    """No thread was started for it."""
    platform = _closed(lambda *_: None)

    assert platform.posts == []
