"""Which organizations the credentials reach, whatever the console answers."""

from dataclasses import dataclass

import orjson
import pytest

from jumpcloud_modules.errors import Refused, TryAgain
from jumpcloud_modules.jumpcloud.account import Account, console_client, credentials_of
from jumpcloud_modules.jumpcloud.console import MAX_PAGES, Organization, listed, organizations
from sandbox import ORGANIZATION_ID, Reply, Request, Sandbox, faults
from tests.doubles import Says, account_at, service_account_at


def _reached(sandbox: Sandbox, account: Account | None = None) -> list[Organization]:
    account = account or account_at(sandbox, "it is not named here")
    client = console_client(account, credentials_of(account))
    assert client is not None
    return organizations(client)


@dataclass
class _SaysInTurn:
    """Answer one page after the other."""

    pages: list[object]

    def apply(self, request: Request, answer: object) -> Reply:
        return Reply(200, orjson.dumps(self.pages.pop(0)))


def _read(*pages: object) -> list[Organization]:
    """Read what the console answers, which is asked no more often than that."""
    with Sandbox() as sandbox:
        sandbox.jumpcloud.faults.add(_SaysInTurn(list(pages)))
        return _reached(sandbox)


@pytest.mark.parametrize("count", [0, 1, 99, 100, 101, 250])
def test_every_organization_is_listed_once(count: int) -> None:
    """Page by page, as many as there are; where none is named there is one."""
    named = {f"org{number:03}": f"Customer {number}" for number in range(count)}
    with Sandbox(organizations=named) as sandbox:
        found = _reached(sandbox)

    expected = named or {ORGANIZATION_ID: "Sandbox"}
    assert found == [Organization(key, name) for key, name in expected.items()]


def test_a_service_account_lists_them_too() -> None:
    """With its token, and without naming one."""
    with Sandbox(organizations={"a": "A", "b": "B"}) as sandbox:
        assert [str(found) for found in _reached(sandbox, service_account_at(sandbox))] == [
            "A (a)",
            "B (b)",
        ]


def test_a_console_with_a_lower_limit_is_read_to_the_end() -> None:
    """A short page is no end."""
    pages = [{"results": [{"_id": f"{n}"}], "totalCount": 3} for n in range(3)]

    assert [found.id for found in _read(*pages)] == ["0", "1", "2"]


def test_without_a_total_an_empty_page_is_the_end() -> None:
    """Also where the answer is a bare list."""
    assert [found.id for found in _read([{"id": "a"}], [{"id": "b"}], [])] == ["a", "b"]


def test_a_console_that_ignores_where_to_begin_is_not_read_for_ever() -> None:
    """What comes again is no news."""
    with Sandbox() as sandbox:
        page = Reply(200, b'{"results": [{"id": "a", "name": "A"}], "totalCount": 99}')
        sandbox.jumpcloud.faults.add(Says(page))

        assert _reached(sandbox) == [Organization("a", "A")]
        assert sandbox.jumpcloud.requests.count() == 2


def test_a_console_that_never_ends_is_left() -> None:
    """After a bound that no message could show."""

    class _Endless:
        asked = 0

        def apply(self, _request: Request, _answer: object) -> Reply:
            self.asked += 1
            return Reply(200, orjson.dumps([{"id": f"{self.asked}"}]))

    endless = _Endless()
    with Sandbox() as sandbox:
        sandbox.jumpcloud.faults.add(endless)

        assert len(_reached(sandbox)) == endless.asked == MAX_PAGES


@pytest.mark.parametrize(
    ("pages", "is_complete"),
    [
        ([{"results": [{"id": "a"}], "totalCount": 1}], True),
        ([[{"id": "a"}], []], True),
        ([[{"id": "a"}], [{"id": "a"}]], True),
        ([{"results": [{"id": "a"}, {"id": 7}], "totalCount": 2}], True),
        ([{"results": [{"id": "a"}], "totalCount": 2}, {"results": [], "totalCount": 2}], False),
        ([{"results": [{"id": "a"}], "totalCount": 9}] * 2, False),
        ([[{"id": f"{n}"}] for n in range(MAX_PAGES)], False),
    ],
)
def test_whether_the_list_is_whole_is_told(pages: list[object], is_complete: bool) -> None:
    """As far as the console says how many there are, or that there are no more."""
    with Sandbox() as sandbox:
        sandbox.jumpcloud.faults.add(_SaysInTurn(list(pages)))
        account = account_at(sandbox)
        client = console_client(account, credentials_of(account))
        assert client is not None

        assert listed(client).is_complete == is_complete


@pytest.mark.parametrize(
    ("record", "found"),
    [
        ({"id": "a", "displayName": "A"}, ["A (a)"]),
        ({"_id": "a", "name": "A\n B"}, ["A B (a)"]),
        ({"_id": "a", "displayName": "\x1b[31mA\u202e"}, ["[31mA (a)"]),
        ({"_id": "a", "displayName": None}, ["a"]),
        ({"_id": "a", "displayName": ["x"]}, ["a"]),
        ({"displayName": "A"}, []),
        ({"id": 7}, []),
        ("a", []),
        (None, []),
    ],
)
def test_a_record_is_read_in_whatever_form(record: object, found: list[str]) -> None:
    """What cannot be named is left out."""
    page = {"results": [record], "totalCount": 1}

    assert [str(organization) for organization in _read(page)] == found


@pytest.mark.parametrize("body", [b"", b"null", b"{}", b'{"results": {}}', b"<html>", b"7"])
def test_an_answer_that_is_no_list_is_named(body: bytes) -> None:
    """The caller says what it means for its question."""
    with Sandbox() as sandbox:
        sandbox.jumpcloud.faults.add(Says(Reply(200, body)))

        with pytest.raises(TryAgain, match="something else than organizations"):
            _reached(sandbox)


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refusal_names_the_question(status: int) -> None:
    """Without what it was asked with."""
    with Sandbox() as sandbox:
        sandbox.jumpcloud.faults.add(faults.EchoKey(status))

        with pytest.raises(Refused, match=rf"answered {status} to GET /organizations ") as raised:
            _reached(sandbox)
        assert sandbox.addresses.api_key not in str(raised.value)
