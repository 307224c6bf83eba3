"""JumpCloud's client: its headers, and a token that is refused on the way."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from jumpcloud_modules.errors import Refused, TryAgain
from jumpcloud_modules.instants import HOUR_MS
from jumpcloud_modules.jumpcloud.account import (
    Account,
    console_client,
    credentials_of,
    events_client,
)
from jumpcloud_modules.jumpcloud.clock import JumpCloudClock
from jumpcloud_modules.jumpcloud.insights import JumpCloudApi
from sandbox import Reply, Request, Sandbox, faults, generate
from sandbox.instants import now_ms
from tests.doubles import account_at, directory_insights, service_account_at


@dataclass
class _Watching:
    """Keep what each request carried, and answer as usual."""

    seen: list[dict[str, str]] = field(default_factory=list)

    def apply(self, request: Request, answer: Callable[[Request], Reply]) -> Reply:
        self.seen.append(dict(request.headers))
        return answer(request)


def _counted(sandbox: Sandbox, account: Account) -> int:
    api = directory_insights(sandbox, account=account)
    return api.count(now_ms() - HOUR_MS, None)


@pytest.mark.parametrize(("status", "is_learnt"), [(401, True), (429, True), (502, False)])
def test_the_date_of_a_gateway_is_not_jumpclouds(status: int, is_learnt: bool) -> None:
    """Whoever answers for a server that is away has a clock of his own."""
    with Sandbox() as sandbox:
        clock = JumpCloudClock()
        account = account_at(sandbox)
        client = events_client(account, credentials_of(account), clock=clock)
        sandbox.jumpcloud.faults.add(faults.Status(status))

        with pytest.raises((Refused, TryAgain)):
            client.post("/insights/directory/v1/events", b"{}")

    assert clock.is_known == is_learnt


def test_a_service_account_reads_events_with_its_token_and_no_key() -> None:
    """The organization is named, as JumpCloud demands."""
    watching = _Watching()
    with Sandbox(generate(20, now_ms() - HOUR_MS // 2, now_ms() - 1_000)) as sandbox:
        sandbox.jumpcloud.faults.add(watching, endpoint="count")
        counted = _counted(sandbox, service_account_at(sandbox, "org"))

        (token,) = sandbox.jumpcloud.tokens.given
    assert counted == 20
    assert watching.seen[0]["authorization"] == f"Bearer {token}"
    assert watching.seen[0]["x-org-id"] == "org"
    assert "x-api-key" not in watching.seen[0]


def test_the_provider_is_named_where_one_is_configured() -> None:
    """The multi-tenant portal's own events are asked for so."""
    watching = _Watching()
    with Sandbox() as sandbox:
        sandbox.jumpcloud.faults.add(watching)
        account = account_at(sandbox)
        _counted(sandbox, account)
        _counted(sandbox, replace(account, provider_id="provider-1"))

    assert [headers.get("x-provider-id") for headers in watching.seen] == [None, "provider-1"]


def test_a_revoked_token_costs_one_more_request_and_no_error() -> None:
    """It is replaced on the way."""
    with Sandbox() as sandbox:
        api = directory_insights(sandbox, account=service_account_at(sandbox))
        api.count(now_ms() - HOUR_MS, None)
        sandbox.jumpcloud.tokens.revoke()
        api.count(now_ms() - HOUR_MS, None)

        assert sandbox.jumpcloud.requests.statuses("count") == {200: 2, 401: 1}
        assert len(sandbox.jumpcloud.tokens.given) == 2


def test_a_service_account_that_may_not_read_does_not_fetch_token_after_token() -> None:
    """A refusal is the answer then."""
    with Sandbox() as sandbox:
        sandbox.jumpcloud.faults.add(faults.Status(401), endpoint="count")
        api = directory_insights(sandbox, account=service_account_at(sandbox))

        for _ in range(5):
            with pytest.raises(Refused, match="service account"):
                api.count(now_ms() - HOUR_MS, None)
        assert len(sandbox.jumpcloud.tokens.given) == 2
        assert sandbox.jumpcloud.requests.count("count") == 6


def test_a_refused_key_is_asked_with_once() -> None:
    """There is no other one."""
    with Sandbox() as sandbox:
        account = replace(account_at(sandbox), api_key="jca_of_yesterday")

        with pytest.raises(Refused, match="API key"):
            _counted(sandbox, account)
        assert sandbox.jumpcloud.requests.count() == 1


def test_a_failure_to_replace_a_token_is_the_token_host_s() -> None:
    """The person hears what is wrong, and not that an old token was refused."""
    with Sandbox() as sandbox:
        api = directory_insights(sandbox, account=service_account_at(sandbox))
        api.count(now_ms() - HOUR_MS, None)
        sandbox.jumpcloud.tokens.revoke()
        sandbox.jumpcloud.faults.add(faults.Status(503), endpoint="token")

        with pytest.raises(TryAgain, match="token host answered 503"):
            api.count(now_ms() - HOUR_MS, None)


def test_two_clients_share_one_token() -> None:
    """Credentials are one thing, and those who carry them another."""
    with Sandbox() as sandbox:
        account = service_account_at(sandbox)
        credentials = credentials_of(account)
        console = console_client(account, credentials)
        assert console is not None
        JumpCloudApi(events_client(account, credentials), ["all"]).count(now_ms() - HOUR_MS, None)
        console.ask("GET", "/organizations").close()

        assert sandbox.jumpcloud.requests.statuses() == {200: 3}
        assert len(sandbox.jumpcloud.tokens.given) == 1


def test_a_service_account_behind_a_gateway_is_told_to_whom_it_has_to_speak() -> None:
    """Its secret is sent to nobody who was not named."""
    account = Account("https://gateway.example/", client_id="id", client_secret="hunter2")

    with pytest.raises(Refused, match="base_url is not an address of JumpCloud's own"):
        credentials_of(account)


def test_no_value_shows_a_credential() -> None:
    """Values are printed in error reports."""
    account = Account("https://x/", api_key="hunter2", client_id="id", client_secret="hunter3")

    assert "hunter" not in repr(account)


def test_one_client_asks_about_several_organizations() -> None:
    """Each by its own name and nobody's else; the first one stays what it was."""
    watching = _Watching()
    with Sandbox(organizations={"a": "A", "b": "B"}) as sandbox:
        sandbox.jumpcloud.faults.add(watching)
        account = replace(account_at(sandbox, "a"), provider_id="p")
        of_a = events_client(account, credentials_of(account))
        of_b = of_a.of_organization("b")

        for client in (of_a, of_b, of_a):
            JumpCloudApi(client, ["all"]).count(now_ms() - HOUR_MS, None)

    named = [(seen.get("x-org-id"), seen.get("x-provider-id")) for seen in watching.seen]
    assert named == [("a", "p"), ("b", None), ("a", "p")]
