"""The emulated token host and console keep to what is documented, over real HTTP."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import requests

from sandbox import (
    API_KEY,
    CLIENT_ID,
    CLIENT_SECRET,
    ORGANIZATION_ID,
    Sandbox,
    SandboxError,
    faults,
)

_FORM = {"grant_type": "client_credentials", "scope": "api"}
_KEY = {"x-api-key": API_KEY}


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Serve two organizations."""
    with Sandbox(organizations={"a": "Customer A", "b": "Customer B"}) as served:
        yield served


def ask_for_token(
    sandbox: Sandbox, secret: str = CLIENT_SECRET, form: dict[str, str] | None = None
) -> requests.Response:
    """Ask as a service account does."""
    return requests.post(
        f"{sandbox.jumpcloud.url}/oauth2/token",
        data=_FORM if form is None else form,
        auth=(CLIENT_ID, secret),
        timeout=10,
    )


def bearer(sandbox: Sandbox) -> dict[str, str]:
    """Return the header of a new token."""
    return {"Authorization": f"Bearer {ask_for_token(sandbox).json()['access_token']}"}


def count(sandbox: Sandbox, headers: dict[str, str]) -> requests.Response:
    """Ask for a count of events."""
    return requests.post(
        f"{sandbox.jumpcloud.url}/insights/directory/v1/events/count",
        json={"service": ["all"], "start_time": "2026-01-01T00:00:00Z"},
        headers=headers,
        timeout=10,
    )


def organizations(sandbox: Sandbox, query: str, headers: dict[str, str]) -> requests.Response:
    """Ask for a page of organizations."""
    return requests.get(
        f"{sandbox.jumpcloud.url}/api/organizations{query}", headers=headers, timeout=10
    )


def test_a_token_has_the_documented_form(sandbox: Sandbox) -> None:
    """One hour, the scope api, and no refresh token."""
    first, second = (ask_for_token(sandbox).json() for _ in range(2))

    assert first["expires_in"] == 3600
    assert first["scope"] == "api"
    assert first["token_type"] == "bearer"
    assert set(first) == {"access_token", "expires_in", "scope", "token_type"}
    assert sandbox.jumpcloud.tokens.given == [first["access_token"], second["access_token"]]


@pytest.mark.parametrize(
    ("secret", "form", "status", "error"),
    [
        ("wrong", _FORM, 401, "invalid_client"),
        (CLIENT_SECRET, {}, 400, "unsupported_grant_type"),
        (CLIENT_SECRET, {**_FORM, "grant_type": "password"}, 400, "unsupported_grant_type"),
        (CLIENT_SECRET, {**_FORM, "scope": "all"}, 400, "invalid_scope"),
    ],
)
def test_what_is_no_service_account_gets_no_token(
    sandbox: Sandbox, secret: str, form: dict[str, str], status: int, error: str
) -> None:
    """In OAuth's words."""
    answer = ask_for_token(sandbox, secret, form)

    assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert sandbox.jumpcloud.tokens.given == []


def test_a_token_opens_the_events_of_an_organization_that_is_named(sandbox: Sandbox) -> None:
    """And only then; beside a key it opens nothing."""
    token = bearer(sandbox)

    assert count(sandbox, token).json() == {"message": "Unauthorized: no organization selected"}
    assert count(sandbox, token | {"x-org-id": "a"}).status_code == 200
    assert count(sandbox, token | {"x-org-id": "c"}).status_code == 400
    assert count(sandbox, token | _KEY | {"x-org-id": "a"}).status_code == 401
    assert count(sandbox, {"Authorization": "Bearer x", "x-org-id": "a"}).status_code == 401


def test_a_token_ends(sandbox: Sandbox) -> None:
    """By the sandbox's clock, or when it is revoked."""
    sandbox.jumpcloud.tokens.life_seconds = 0.3
    short = bearer(sandbox) | {"x-org-id": "a"}
    sandbox.jumpcloud.tokens.life_seconds = 3600
    long = bearer(sandbox) | {"x-org-id": "a"}
    time.sleep(0.4)

    assert count(sandbox, short).status_code == 401
    assert count(sandbox, long).status_code == 200
    sandbox.jumpcloud.tokens.revoke()
    assert count(sandbox, long).status_code == 401
    assert count(sandbox, bearer(sandbox) | {"x-org-id": "a"}).status_code == 200


def test_organizations_are_listed_page_by_page(sandbox: Sandbox) -> None:
    """Ten by default, a hundred at most, with the number in all."""
    sandbox.jumpcloud.organizations = {f"o{number:03}": "x" for number in range(120)}

    def sizes(query: str) -> tuple[int, int]:
        document = organizations(sandbox, query, _KEY).json()
        return len(document["results"]), document["totalCount"]

    assert sizes("") == (10, 120)
    assert sizes("?limit=1000&sort=_id") == (100, 120)
    assert sizes("?limit=100&skip=100&sort=_id") == (20, 120)
    assert sizes("?limit=100&skip=200") == (0, 120)


def test_organizations_are_for_those_who_are_let_in(sandbox: Sandbox) -> None:
    """The route takes no organization."""
    assert organizations(sandbox, "", {"x-api-key": "wrong"}).status_code == 401
    assert organizations(sandbox, "", _KEY | {"x-org-id": "a"}).status_code == 403
    found = organizations(sandbox, "", bearer(sandbox)).json()["results"]
    assert [(one["_id"], one["displayName"]) for one in found] == [
        ("a", "Customer A"),
        ("b", "Customer B"),
    ]


def test_one_organization_need_not_be_named() -> None:
    """A key of a single one has nothing to choose."""
    with Sandbox() as sandbox:
        found = organizations(sandbox, "", _KEY).json()["results"]

        assert [one["id"] for one in found] == [ORGANIZATION_ID]
        assert count(sandbox, _KEY).status_code == 200


def test_the_token_host_fails_like_the_others(sandbox: Sandbox) -> None:
    """Its endpoint is called token; a refusal may repeat what it was asked with."""
    rule = sandbox.jumpcloud.faults.add(faults.EchoKey(403), endpoint="token")
    echoed = ask_for_token(sandbox).text
    rule.on = False

    assert "Basic " in echoed
    assert ask_for_token(sandbox).status_code == 200


def test_what_is_not_imitated_fails_the_test() -> None:
    """Another order would need another emulator."""
    with pytest.raises(SandboxError, match="does not imitate"), Sandbox() as sandbox:
        organizations(sandbox, "?sort=displayName", _KEY)
