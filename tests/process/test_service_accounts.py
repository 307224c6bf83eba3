"""A service account's tokens, by the real process: their end, failures of their host, secrecy."""

from pathlib import Path

import pytest

from sandbox import CLIENT_ID, CLIENT_SECRET, Sandbox, faults, make_event
from sandbox.connector import Settings
from sandbox.instants import now_ms
from tests.process.scene import history, scene

ACCOUNT = {"client_id": CLIENT_ID, "organization_id": "org"}


def _settings(chunk_size: int = 10_000) -> Settings:
    return Settings(chunk_size=chunk_size, account=ACCOUNT)


def _with_secret(sandbox: Sandbox, _: Path) -> None:
    sandbox.platform.secrets = {"client_secret": CLIENT_SECRET}


def _with_short_tokens(sandbox: Sandbox, folder: Path) -> None:
    _with_secret(sandbox, folder)
    sandbox.jumpcloud.tokens.life_seconds = 2.0
    sandbox.jumpcloud.faults.add(faults.EchoKey(500), endpoint="interval", times=2)
    sandbox.jumpcloud.faults.add(faults.EchoKey(403), endpoint="events", times=1)
    sandbox.jumpcloud.faults.add(faults.EchoKey(500), endpoint="token", times=1)
    sandbox.jumpcloud.faults.add(faults.SlowPages(latency_ms=600, per_event_ms=0))


@pytest.mark.lengthy
def test_tokens_end_and_are_revoked_amid_a_backlog_without_loss_or_repetition() -> None:
    """Nor is a token or the secret shown, although both ends repeat them."""
    with scene(history(12_000), _settings(chunk_size=100), before=_with_short_tokens) as on:
        tokens = on.sandbox.jumpcloud.tokens
        on.delivers(1_000)
        on.sees(lambda: len(tokens.given), 2)
        tokens.life_seconds = 3_600.0  # or it would be renewed before anybody used it once more
        on.sees(lambda: len(tokens.given), len(tokens.given) + 1)
        refused = on.sandbox.jumpcloud.requests.statuses()[401]
        tokens.revoke()
        on.sees(lambda: on.sandbox.jumpcloud.requests.statuses()[401], refused + 1)
        given_while_behind = len(tokens.given)
        behind = 12_000 - on.sandbox.intake.count
        on.delivers_all(timeout_seconds=90)
        on.polls()

        assert behind > 0
        assert given_while_behind >= 2
        assert on.judgement == "clean"
        assert on.told("[redacted]")


def test_a_secret_that_was_replaced_is_told_once_and_collecting_goes_on_with_the_new_one() -> None:
    """The person changes it at JumpCloud back, or in the form; nothing is lost meanwhile."""
    with scene(history(300), _settings(), before=_with_secret) as on:
        on.delivers_all()
        tokens = on.sandbox.jumpcloud.tokens
        tokens.client_secret = "another"
        tokens.revoke()
        on.is_told("Check client_id and client_secret", "error")
        on.sandbox.jumpcloud.publish([make_event(now_ms())])
        tokens.client_secret = CLIENT_SECRET
        on.delivers_all(timeout_seconds=60)

        assert on.judgement == "clean"
        assert len(on.told("Check client_id and client_secret")) == 1
        on.is_told("answers again")


def test_an_account_of_two_kinds_of_credentials_is_told_as_critical() -> None:
    """Which of them is meant is the person's to say."""

    def with_both(sandbox: Sandbox, _: Path) -> None:
        sandbox.platform.secrets = {"client_secret": CLIENT_SECRET, "apikey": "jca_key_of_a_test"}

    with scene(settings=_settings(), before=with_both) as on:
        on.is_told("an API key and a service account are given", "critical")

        assert on.sandbox.jumpcloud.requests.arrivals() == 0
