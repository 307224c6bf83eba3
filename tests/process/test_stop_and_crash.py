"""The real process asked to end, or ended."""

import random
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from jumpcloud_modules.queries import PAGES_IN_MEMORY
from sandbox import Sandbox, faults
from sandbox.connector import ConnectorProcess, Settings
from sandbox.live import Live
from tests.process.scene import Scene, eventually, history, scene

PAGE = 100


@pytest.mark.alone
def test_sigterm_while_idle_ends_the_process_within_two_seconds_with_status_zero() -> None:
    """And its last words reach the platform."""
    with scene(history(100), Settings(frequency=60, audit_frequency=60)) as on:
        on.delivers_all()
        on.sees(lambda: on.sandbox.jumpcloud.requests.arrivals("interval"), 1)
        began = time.monotonic()
        status = on.connector.stop(timeout_seconds=2)

        assert status == 0
        assert time.monotonic() - began < 2
        assert on.told("100 delivered")


@pytest.mark.alone
def test_sigterm_ends_the_process_within_five_seconds_whatever_it_is_doing() -> None:
    """Busy, with both ends hanging, refused, with the platform hanging, or hardly begun."""
    scenes = {
        "busy": scene(history(10_000), Settings(chunk_size=20)),
        "both ends hang": scene(
            history(500), Settings(chunk_size=50), before=lambda s, _: _hang_soon(s)
        ),
        "refused": scene(before=lambda s, _: s.jumpcloud.faults.add(faults.Status(401))),
        "held by the intake": scene(
            history(50), before=lambda s, _: s.intake.faults.add(faults.Status(429, 3_000))
        ),
        "logs hang": scene(
            history(50), before=lambda s, _: s.platform.faults.add(faults.Hang(60), endpoint="logs")
        ),
    }
    entered = {name: each.__enter__() for name, each in scenes.items()}
    assert eventually(
        lambda: all(on.sandbox.jumpcloud.requests.arrivals() > 1 for on in entered.values())
    )
    time.sleep(1.0)

    with ThreadPoolExecutor(len(entered)) as pool:
        ends = dict(zip(entered, pool.map(_stop, entered.values()), strict=True))
    verdicts = {name: on.sandbox.verdict().duplicated for name, on in entered.items()}
    for each in scenes.values():
        each.__exit__(None, None, None)

    assert {name: status for name, (status, _) in ends.items()} == dict.fromkeys(scenes, 0)
    assert max(seconds for _, seconds in ends.values()) < 5
    assert verdicts == dict.fromkeys(scenes, 0)


@pytest.mark.alone
def test_sigterm_while_the_secrets_hang_ends_the_process() -> None:
    """Its start-up has an ear for it too."""
    with Sandbox() as sandbox:
        sandbox.platform.faults.add(faults.Hang(60), endpoint="secrets")
        with ConnectorProcess(sandbox.addresses) as connector:
            assert eventually(lambda: sandbox.platform.requests.arrivals("secrets"))

            assert connector.stop(timeout_seconds=5) == 0


def test_what_has_its_receipt_is_not_sent_again_after_a_sigterm() -> None:
    """Stops in the middle of a backlog repeat nothing at all."""
    chance = random.Random(4)
    with scene(
        history(8_000),
        Settings(chunk_size=PAGE),
        before=lambda s, _: s.intake.faults.add(faults.SlowReceipts(latency_ms=200)),
    ) as on:
        for _ in range(4):
            accepted = on.sandbox.intake.count
            on.delivers(accepted + chance.randrange(1, 500))
            on.connector.stop(timeout_seconds=10)
            assert on.sandbox.intake.count < len(on.sandbox.jumpcloud.published)
            on.connector.start()

        on.delivers_all()
        assert on.judgement == "clean"


def test_kills_at_random_instants_lose_nothing_and_repeat_only_what_was_in_flight() -> None:
    """At most the pages in memory, for each kill."""
    seed = 1
    chance = random.Random(seed)
    kills, page = 7, 10
    with (
        scene(history(3_000, seed), Settings(chunk_size=page)) as on,
        Live(on.sandbox.jumpcloud, per_second=40, latest_ms=3_000, seed=seed) as live,
    ):
        for _ in range(kills):
            time.sleep(chance.uniform(0.05, 1.4))
            on.connector.kill()
            on.connector.start()
        live.stop()
        on.loses_nothing()
        on.polls(3)
        verdict = on.sandbox.verdict()

        assert (verdict.lost, verdict.altered, verdict.foreign) == (0, 0, 0)
        assert verdict.duplicated <= kills * PAGES_IN_MEMORY * page


def _stop(on: Scene) -> tuple[int, float]:
    began = time.monotonic()
    status = on.connector.stop(timeout_seconds=15)
    return status, time.monotonic() - began


def _hang_soon(sandbox: Sandbox) -> None:
    sandbox.intake.faults.add(faults.HangThenReset(60))
    pages = sandbox.jumpcloud.requests
    sandbox.jumpcloud.faults.add(
        faults.Hang(60), endpoint="events", when=lambda _: pages.arrivals("events") > 3
    )
