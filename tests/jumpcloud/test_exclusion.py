"""Event types that are left out at the source."""

import json
from dataclasses import replace
from typing import Any

import pytest

from jumpcloud_modules.errors import Refused
from jumpcloud_modules.instants import HOUR_MS
from jumpcloud_modules.jumpcloud.account import credentials_of, events_client
from jumpcloud_modules.jumpcloud.exclusion import Exclusion
from jumpcloud_modules.jumpcloud.insights import JumpCloudApi
from jumpcloud_modules.queries import Query
from sandbox import Answers, Sandbox, generate
from sandbox.instants import now_ms
from tests.doubles import account_at, texts_of

LEFT_OUT = ["User_Update", "ldap_bind"]
EVERYTHING = generate(600, now_ms() - HOUR_MS, now_ms() - 1_000, seed=7, surrogate_share=0.05)


def _type_of(text: bytes) -> str:
    return str(json.loads(text)["event_type"])


WANTED = [
    event.text for event in EVERYTHING if _type_of(event.text) not in ("user_update", "ldap_bind")
]


def _api(sandbox: Sandbox, told: list[str]) -> JumpCloudApi:
    exclusion = Exclusion(LEFT_OUT, told.append)
    account = account_at(sandbox)
    return JumpCloudApi(events_client(account, credentials_of(account)), ["all"], exclusion)


def _read(api: JumpCloudApi) -> list[bytes]:
    query, texts, more = Query(now_ms() - 2 * HOUR_MS, None, 100), list[bytes](), True
    while more:
        page = api.open(query).read(now_ms())
        texts += texts_of(page.events)
        query, more = replace(query, cursor=page.cursor), page.more
    return texts


def _terms(sandbox: Sandbox) -> list[Any]:
    return [entry.body.get("search_term") for entry in sandbox.jumpcloud.requests.entries()]


def test_types_are_left_out_of_pages_and_counts_alike() -> None:
    """By JumpCloud, which keeps its values in lower case."""
    told: list[str] = []
    with Sandbox(EVERYTHING) as sandbox:
        api = _api(sandbox, told)
        texts = _read(api)
        count = api.count(now_ms() - 2 * HOUR_MS, None)
        buckets = api.buckets(now_ms() - 2 * HOUR_MS, now_ms(), "h")
        terms = _terms(sandbox)

    assert len(WANTED) < len(EVERYTHING)
    assert texts == WANTED
    assert count == sum(buckets.values()) == len(WANTED)
    assert terms == [{"not": [{"event_type": ["ldap_bind", "user_update"]}]}] * len(terms)
    assert told == []


def test_without_types_nothing_is_asked_for() -> None:
    """The request is what it always was."""
    exclusion = Exclusion()

    exclusion.worked({})

    assert exclusion.of_pages == exclusion.of_counts == {}
    assert not exclusion.refused({})


@pytest.mark.parametrize("form", ["array", "object"])
def test_the_form_that_jumpcloud_takes_is_found_by_one_request_more(form: Any) -> None:
    """Which one that is, its documents do not say."""
    with Sandbox(EVERYTHING, answers=Answers(terms=form)) as sandbox:
        texts = _read(_api(sandbox, []))
        statuses = sandbox.jumpcloud.requests.statuses("events")

    assert texts == WANTED
    assert statuses[400] == (0 if form == "array" else 1)


def test_a_condition_that_is_refused_in_both_forms_is_a_refusal() -> None:
    """Collecting everything instead would be another thing than what was asked for."""
    with Sandbox(EVERYTHING, answers=Answers(search_term="refused")) as sandbox:
        api = _api(sandbox, [])

        for _ in range(2):
            with pytest.raises(Refused, match="400"):
                api.open(Query(now_ms() - HOUR_MS, None, 100))

        assert sandbox.jumpcloud.requests.statuses("events")[400] == 3


def test_a_refusal_for_another_reason_does_not_change_a_form_that_works() -> None:
    """Such as a start that lies in JumpCloud's future."""
    with Sandbox(EVERYTHING) as sandbox:
        api = _api(sandbox, [])
        _read(api)
        before = len(_terms(sandbox))
        with pytest.raises(Refused, match="400"):
            api.open(Query(now_ms() + HOUR_MS, None, 100))

        terms = _terms(sandbox)
    assert len(terms) == before + 1
    assert terms[-1] == terms[0]


def test_types_that_come_all_the_same_are_delivered_and_told_once() -> None:
    """And counts are asked for without the condition then: they would count something else."""
    told: list[str] = []
    with Sandbox(EVERYTHING, answers=Answers(search_term="ignored")) as sandbox:
        api = _api(sandbox, told)
        texts = [*_read(api), *_read(api)]
        sandbox.jumpcloud.answers = Answers()
        count = api.count(now_ms() - 2 * HOUR_MS, None)

    assert texts == [event.text for event in EVERYTHING] * 2
    assert count == len(EVERYTHING)
    (message,) = told
    assert "although excluded_event_types leaves them out" in message


def test_an_event_that_only_mentions_a_type_is_no_broken_promise() -> None:
    """What stands deeper inside, or in a text, is not its own type."""
    told: list[str] = []
    event = EVERYTHING[0]
    inside = (
        rb'{"timestamp":"2026-01-01T00:00:00Z","x":{"event_type":"ldap_bind"},"event_type":"a"}'
    )
    with Sandbox([replace(event, text=inside)], answers=Answers(search_term="ignored")) as sandbox:
        texts = _read(_api(sandbox, told))

    assert texts == [inside]
    assert told == []
