"""Credentials: one token for all threads, renewed in time, and shown to nobody."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jumpcloud_modules.errors import CollectorError, Refused, TryAgain
from jumpcloud_modules.http.redaction import PASSING_SECRETS_KEPT, Secrets
from jumpcloud_modules.jumpcloud import auth
from jumpcloud_modules.jumpcloud.auth import (
    LIFE_SECONDS,
    MAX_LIFE_SECONDS,
    ApiKey,
    Resting,
    ServiceAccount,
)
from sandbox import CLIENT_ID, CLIENT_SECRET, Reply, Sandbox, faults
from tests.doubles import Says

_LIFE = 3600.0


@dataclass
class _Clock:
    """Seconds that pass when they are told to."""

    seconds: float = 1_000.0
    meanwhile: list[Callable[[], object]] = field(default_factory=list)
    """What other threads do while this one looks at the clock."""

    def __call__(self) -> float:
        if self.meanwhile:
            self.meanwhile.pop()()
        return self.seconds


@dataclass
class _Subject:
    """A service account, the JumpCloud that knows it, and the clock that it goes by."""

    sandbox: Sandbox
    clock: _Clock = field(default_factory=_Clock)
    secrets: Secrets = field(default_factory=Secrets)

    def __post_init__(self) -> None:
        self.account = self.with_secret(CLIENT_SECRET)

    def with_secret(self, secret: str) -> ServiceAccount:
        url = self.sandbox.jumpcloud.url + "/oauth2/token"
        return ServiceAccount(url, CLIENT_ID, secret, self.secrets, clock=self.clock)

    @property
    def token(self) -> str:
        return self.account.headers()["Authorization"].removeprefix("Bearer ")

    @property
    def given(self) -> list[str]:
        return self.sandbox.jumpcloud.tokens.given

    @property
    def fetches(self) -> int:
        return self.sandbox.jumpcloud.requests.arrivals("token")


def _side_by_side(act: Callable[[], object], count: int = 12) -> list[object]:
    """Have so many threads act at the same time, and return what each of them had."""
    had: list[object] = []
    ready = threading.Barrier(count)

    def run() -> None:
        ready.wait()
        try:
            had.append(act())
        except CollectorError as error:
            had.append(error)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return had


def test_an_api_key_is_one_header_and_never_another() -> None:
    """A key that is refused stays refused."""
    secrets = Secrets()
    key = ApiKey("jca_key_of_a_test", secrets)

    assert key.headers() == {"x-api-key": "jca_key_of_a_test"}
    assert not key.replace(key.headers())
    assert secrets.redact("jca_key_of_a_test") == "[redacted]"


def test_a_token_is_fetched_once_and_used_again() -> None:
    """However many ask for it."""
    with Sandbox() as sandbox:
        subject = _Subject(sandbox)
        tokens = _side_by_side(lambda: subject.token)

        assert tokens == [subject.given[0]] * 12
        assert subject.fetches == 1


def test_a_token_is_renewed_before_it_ends() -> None:
    """No request has to fail for it."""
    with Sandbox() as sandbox:
        subject = _Subject(sandbox)
        first = subject.token
        subject.clock.seconds += _LIFE - auth.MAX_EARLY_SECONDS - 1
        still = subject.token
        subject.clock.seconds += 2
        second = subject.token

        assert still == first
        assert second == subject.given[1]
        assert subject.fetches == 2


def test_one_thread_renews_a_token_and_the_others_do_not_wait() -> None:
    """They have a good one."""
    with Sandbox() as sandbox:
        subject = _Subject(sandbox)
        first = subject.token
        subject.clock.seconds += _LIFE - 10
        hang = faults.Hang(seconds=1.0)
        sandbox.jumpcloud.faults.add(hang, endpoint="token")

        tokens = _side_by_side(lambda: subject.token)

        assert sorted(tokens, key=str) == sorted([first] * 11 + [subject.given[1]])
        assert subject.fetches == 2


def test_a_token_is_used_to_its_end_while_its_host_fails() -> None:
    """And the host is not asked at each request meanwhile."""
    with Sandbox() as sandbox:
        subject = _Subject(sandbox)
        first = subject.token
        rule = sandbox.jumpcloud.faults.add(faults.Status(503), endpoint="token")
        subject.clock.seconds += _LIFE - 60
        kept = [subject.token for _ in range(5)]
        subject.clock.seconds += 61
        with pytest.raises(TryAgain, match="token host answered 503"):
            _ = subject.token
        rule.on = False

        assert kept == [first] * 5
        assert subject.fetches == 3
        assert subject.token == subject.given[1]


def test_a_renewal_at_which_another_thread_failed_leaves_the_good_token_in_use() -> None:
    """Also for a thread that looked at the token before the other one had failed."""
    with Sandbox() as sandbox:
        subject = _Subject(sandbox)
        first = subject.token
        sandbox.jumpcloud.faults.add(faults.Status(503), endpoint="token")
        subject.clock.seconds += _LIFE - 60
        subject.clock.meanwhile.append(lambda: subject.token)

        assert subject.token == first
        assert subject.fetches == 2


def test_a_refused_token_is_replaced_once_for_all_threads() -> None:
    """Those that come later find the new one."""
    with Sandbox() as sandbox:
        subject = _Subject(sandbox)
        refused = subject.account.headers()

        worth_a_try = _side_by_side(lambda: subject.account.replace(refused))
        later = subject.account.replace(refused)

        assert worth_a_try == [True] * 12
        assert later
        assert subject.token == subject.given[1]
        assert subject.fetches == 2


def test_a_fresh_token_that_is_refused_too_is_not_replaced_at_once() -> None:
    """It is not the token that is wrong."""
    with Sandbox() as sandbox:
        subject = _Subject(sandbox)
        subject.account.replace(subject.account.headers())
        at_once = [subject.account.replace(subject.account.headers()) for _ in range(9)]
        subject.clock.seconds += auth.SECONDS_BETWEEN_REFUSED_TOKENS
        later = subject.account.replace(subject.account.headers())

        assert at_once == [False] * 9
        assert later
        assert subject.fetches == 3


def test_a_replacement_that_failed_is_tried_again() -> None:
    """The caller's backoff is enough of a brake."""
    with Sandbox() as sandbox:
        subject = _Subject(sandbox)
        refused = subject.account.headers()
        sandbox.jumpcloud.faults.add(faults.Status(500), endpoint="token", times=1)

        with pytest.raises(TryAgain):
            subject.account.replace(refused)
        assert subject.account.replace(refused)


def test_what_one_thread_is_told_holds_for_those_that_waited() -> None:
    """A dozen readers do not ask a failing host a dozen times."""
    with Sandbox() as sandbox:
        subject = _Subject(sandbox)
        slow = faults.Hang(seconds=1.0)
        sandbox.jumpcloud.faults.add(slow, endpoint="token")
        sandbox.jumpcloud.faults.add(faults.Status(503, retry_after_seconds=7), endpoint="token")

        told = _side_by_side(lambda: subject.token)

        assert {str(error) for error in told} == {str(told[0])}
        assert all(isinstance(error, TryAgain) for error in told)
        assert {getattr(error, "retry_after_seconds", None) for error in told} == {7.0}
        assert subject.fetches == 1


def test_a_wrong_secret_is_told_with_what_to_do_and_without_the_secret() -> None:
    """Whatever the answer repeats of it."""
    with Sandbox() as sandbox:
        subject = _Subject(sandbox)
        wrong = subject.with_secret("a-secret-of-yesterday")
        sandbox.jumpcloud.faults.add(faults.EchoKey(401), endpoint="token", times=1)

        for _ in range(2):
            with pytest.raises(Refused) as raised:
                wrong.headers()
            assert "client_id and client_secret" in str(raised.value)
            assert "a-secret-of-yesterday" not in str(raised.value)
            assert "YS1zZWNyZXQ" not in str(raised.value)
            assert (raised.value.end, raised.value.status) == (auth.END, 401)


@pytest.mark.parametrize(
    ("status", "kind", "known_as"),
    [(400, Refused, 401), (401, Refused, 401), (403, Refused, 403), (429, TryAgain, 429)],
)
def test_a_refusal_of_the_token_host_is_named_by_what_to_do(
    status: int, kind: type[CollectorError], known_as: int
) -> None:
    """OAuth has two statuses for credentials that are not known; a caller needs one."""
    with Sandbox() as sandbox:
        sandbox.jumpcloud.faults.add(faults.Status(status), endpoint="token")

        with pytest.raises(kind) as raised:
            _ = _Subject(sandbox).token

        assert raised.value.status == known_as
        assert f"answered {status} to POST /oauth2/token" in str(raised.value)


def test_a_redirect_of_the_token_host_is_refused() -> None:
    """The secret would travel along."""
    with Sandbox() as sandbox:
        elsewhere = sandbox.platform.url + "/oauth2/token"
        sandbox.jumpcloud.faults.add(faults.Redirect(elsewhere), endpoint="token")

        with pytest.raises(Refused, match="Redirects are not followed"):
            _ = _Subject(sandbox).token
        assert sandbox.platform.requests.arrivals() == 0


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"<html>",
        b'"token"',
        b"{}",
        b'{"access_token": null}',
        b'{"access_token": ""}',
        b'{"access_token": 7}',
        b'{"access_token": "two words"}',
        b'{"access_token": "a\\r\\nx-header: b"}',
        b'{"access_token": "' + b"x" * 70_000 + b'"}',
    ],
)
def test_an_answer_without_a_usable_token_is_tried_again(body: bytes) -> None:
    """And never sent as one."""
    with Sandbox() as sandbox:
        sandbox.jumpcloud.faults.add(Says(Reply(200, body)), endpoint="token")

        with pytest.raises(TryAgain, match="token host"):
            _ = _Subject(sandbox).token


@pytest.mark.parametrize(
    ("stated", "seconds"),
    [
        (3600, 3600.0),
        (3600.5, 3600.5),
        ("1800", 1800.0),
        (None, LIFE_SECONDS),
        (0, LIFE_SECONDS),
        (-1, LIFE_SECONDS),
        (True, LIFE_SECONDS),
        ("soon", LIFE_SECONDS),
        ("nan", LIFE_SECONDS),
        ([3600], LIFE_SECONDS),
        (1e300, MAX_LIFE_SECONDS),
        ("9" * 400, MAX_LIFE_SECONDS),
    ],
)
def test_a_life_that_is_odd_is_taken_for_a_short_one(stated: object, seconds: float) -> None:
    """A token that ends sooner is replaced at its first 401."""
    with Sandbox() as sandbox:
        sandbox.jumpcloud.tokens.stated_life = stated
        if stated is None:
            text = orjson.dumps({"access_token": "without-a-life", "scope": "api"})
            sandbox.jumpcloud.faults.add(Says(Reply(200, text)), endpoint="token")
        subject = _Subject(sandbox)
        first = subject.account.headers()
        early = min(auth.MAX_EARLY_SECONDS, seconds / 10)
        subject.clock.seconds += seconds - early - 0.5
        before = subject.account.headers()
        subject.clock.seconds += 1

        assert before is first
        assert subject.account.headers() is not first


@given(st.one_of(st.none(), st.booleans(), st.floats(), st.integers(), st.text()))
def test_reading_a_life_never_fails(stated: object) -> None:
    """It is a span to wait, whatever was written."""
    assert 0 < auth._life_seconds(stated) <= MAX_LIFE_SECONDS


def test_every_token_is_blanked_before_it_is_used_and_only_the_last_ones_are_kept() -> None:
    """A process that runs for a year does not look for ten thousand of them in each line."""
    with Sandbox() as sandbox:
        subject = _Subject(sandbox)
        for _ in range(PASSING_SECRETS_KEPT + 5):
            assert subject.token not in subject.secrets.redact(f"Bearer {subject.token}!")
            subject.clock.seconds += _LIFE

        last = subject.given[-PASSING_SECRETS_KEPT:]
        assert [t for t in last if t in subject.secrets.redact(t)] == []
        assert len(subject.secrets._patterns) < 4 * PASSING_SECRETS_KEPT
        assert subject.secrets.redact(CLIENT_SECRET) == "[redacted]"


def test_nothing_that_is_printed_shows_a_credential() -> None:
    """Not even the repr of what holds it."""
    with Sandbox() as sandbox:
        subject = _Subject(sandbox)

        shown = repr(subject.account) + repr(vars(subject.account)) + subject.secrets.redact("")
        assert subject.token not in shown
        assert CLIENT_SECRET not in shown


def test_many_organizations_ask_for_a_token_once_in_a_while() -> None:
    """A thousand of them must not ask a token host that is away a thousand times a minute."""

    class Away:
        secrets = Secrets()
        asked = 0
        works = False

        def headers(self) -> Mapping[str, str]:
            self.asked += 1
            if not self.works:
                raise TryAgain("away")
            return {"Authorization": "Bearer x"}

        def replace(self, refused: Mapping[str, str]) -> bool:
            return False

    away, now = Away(), [100.0]
    resting = Resting(away, 5.0, lambda: now[0])

    for _ in range(1_000):
        with pytest.raises(TryAgain, match="away"):
            resting.headers()
    asked_at_once = away.asked
    away.works = True
    now[0] += 5.0

    assert asked_at_once == 1
    assert resting.headers() == {"Authorization": "Bearer x"}
    assert resting.headers() == {"Authorization": "Bearer x"}
