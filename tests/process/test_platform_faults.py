"""The platform's own failures around the real process."""

from sandbox import faults, make_event
from sandbox.instants import now_ms
from tests.process.scene import PATIENCE_SECONDS, eventually, history, scene


def test_a_log_endpoint_that_is_down_blocks_nothing_and_gets_its_messages_later() -> None:
    """All of them, once each."""
    with scene(
        history(200),
        before=lambda sandbox, _: (
            sandbox.platform.faults.add(faults.Status(503), endpoint="logs"),
            sandbox.jumpcloud.faults.add(faults.Status(403), endpoint="events", times=2),
        ),
    ) as on:
        on.delivers_all()
        on.polls(3)
        on.sees(lambda: on.sandbox.platform.requests.arrivals("logs"), 2)
        meanwhile = on.sandbox.platform.messages()
        on.sandbox.platform.faults.clear()

        assert meanwhile == []
        on.is_told("answered 403", "error")
        on.is_told("First start", "info")
        assert len(on.told("answered 403")) == 1


def test_a_log_endpoint_that_hangs_blocks_nothing() -> None:
    """New events are collected at every poll meanwhile, errors or not."""
    with scene(
        history(100),
        before=lambda sandbox, _: (
            sandbox.platform.faults.add(faults.Hang(90), endpoint="logs"),
            sandbox.jumpcloud.faults.add(faults.Status(401), endpoint="events", times=1),
        ),
    ) as on:
        on.delivers_all()
        on.polls(2)
        on.sandbox.jumpcloud.publish([make_event(now_ms())])

        on.delivers_all()
        assert on.sandbox.platform.requests.arrivals("logs")
        assert on.sandbox.platform.requests.count("logs") == 0


def test_secrets_that_are_slow_or_fail_at_first_are_waited_for() -> None:
    """Collecting begins when they are there."""
    with scene(
        history(100),
        before=lambda sandbox, _: (
            sandbox.platform.faults.add(faults.Status(503), endpoint="secrets", times=2),
            sandbox.platform.faults.add(faults.Hang(2), endpoint="secrets", times=1),
        ),
    ) as on:
        on.delivers_all()
        assert on.judgement == "clean"


def test_health_says_so_while_everything_else_fails() -> None:
    """Waiting out a failure is what the connector should do."""
    with scene(
        before=lambda sandbox, _: (
            sandbox.jumpcloud.faults.add(faults.Status(503)),
            sandbox.platform.faults.add(faults.Status(500), endpoint="logs"),
        ),
    ) as on:
        on.sees(lambda: on.sandbox.jumpcloud.requests.arrivals("events"), 4)
        lags = eventually(
            lambda: on.connector.metric("symphony_module_common_events_lags"), PATIENCE_SECONDS
        )
        health = on.connector.health()

        assert lags
        assert health is not None
        assert health.status == 200
