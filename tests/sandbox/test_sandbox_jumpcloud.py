"""The emulated Directory Insights API keeps to what is documented, over real HTTP."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from sandbox import API_KEY, Answers, Event, Sandbox, SandboxError, generate, make_event
from sandbox.instants import instant_ms, instant_text, now_ms

NOW_MS = now_ms()
START_MS = NOW_MS - 3_600_000
EVENTS = generate(1_000, START_MS, NOW_MS - 1_000, seed=5, surrogate_share=0.01)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Serve the events of this file."""
    with Sandbox(EVENTS) as served:
        yield served


def ask(
    sandbox: Sandbox,
    endpoint: str = "events",
    *,
    headers: dict[str, str] | None = None,
    **body: Any,
) -> requests.Response:
    """Ask the emulator; the hour of the events and all services unless the body says otherwise."""
    asked = {"service": ["all"], "start_time": instant_text(START_MS), **body}
    asked = {key: value for key, value in asked.items() if value is not None}
    url = f"{sandbox.jumpcloud.url}/insights/directory/v1/{endpoint}"
    return requests.post(
        url, json=asked, headers={"x-api-key": API_KEY, **(headers or {})}, timeout=10
    )


def read_all(sandbox: Sandbox, **body: Any) -> tuple[list[bytes], list[int]]:
    """Page to the end; return the events' raw texts and the pages' sizes."""
    texts: list[bytes] = []
    sizes: list[int] = []
    while True:
        page = ask(sandbox, **body)
        page.raise_for_status()
        texts += cut(page.content)
        sizes.append(int(page.headers["X-Result-Count"]))
        if page.headers["X-Result-Count"] != page.headers["X-Limit"]:
            return texts, sizes
        body["search_after"] = json.loads(page.headers["X-Search_after"])


def cut(page: bytes) -> list[bytes]:
    """Cut an array into the raw texts of its items."""
    text, place, items = page.decode(), 1, []
    while text not in ("[]", "null"):
        _, end = json.JSONDecoder().raw_decode(text, place)
        items.append(text[place:end].encode())
        place = end + 1
        if text[end] == "]":
            break
    return items


def test_pages_bring_each_event_once_and_byte_for_byte(sandbox: Sandbox) -> None:
    """The order is that of the index, and the last page is short."""
    texts, sizes = read_all(sandbox, limit=300)

    assert texts == [event.text for event in EVENTS]
    assert sizes == [300, 300, 300, 100]


def test_an_exact_multiple_of_the_limit_ends_with_an_empty_page(sandbox: Sandbox) -> None:
    """A full page never says that it is the last."""
    _, sizes = read_all(sandbox, limit=500)

    assert sizes == [500, 500, 0]


def test_descending_pages_bring_the_same_events_backwards(sandbox: Sandbox) -> None:
    """The cursor works in both directions."""
    texts, _ = read_all(sandbox, limit=300, sort="DESC")

    assert texts == [event.text for event in reversed(EVENTS)]


def test_a_list_of_services_brings_only_theirs(sandbox: Sandbox) -> None:
    """Filters page like everything else."""
    texts, _ = read_all(sandbox, limit=50, service=["sso", "radius"])

    assert texts == [event.text for event in EVENTS if event.service in ("sso", "radius")]


def test_the_headers_of_a_page_are_those_documented(sandbox: Sandbox) -> None:
    """The cursor is the time and the document id of the last event."""
    page = ask(sandbox, limit=10)

    last = EVENTS[9]
    assert page.headers["x-result-count"] == "10"
    assert page.headers["x-limit"] == "10"
    assert page.headers["x-sort"] == "ASC"
    assert json.loads(page.headers["x-search_after"]) == [last.time_ms, last.document_id]
    assert page.headers["x-request-id"]


@pytest.mark.parametrize("inclusive", [False, True])
def test_start_is_inclusive_and_the_end_as_the_answers_say(inclusive: bool) -> None:
    """Both answers to the open question can be played."""
    events = [make_event(START_MS + offset) for offset in (0, 5, 10)]
    with Sandbox(events, answers=Answers(end_time_inclusive=inclusive)) as sandbox:
        found = cut(ask(sandbox, end_time=instant_text(START_MS + 10)).content)

    assert found == [event.text for event in events[: 3 if inclusive else 2]]


def test_an_event_is_returned_once_it_is_visible() -> None:
    """Late events appear in their old place."""
    clock = [NOW_MS]
    prompt, late = make_event(START_MS + 9), make_event(START_MS, visible_ms=NOW_MS + 5_000)
    with Sandbox([prompt, late], now_ms=lambda: clock[0]) as sandbox:
        before = cut(ask(sandbox).content)
        clock[0] += 5_000
        after = cut(ask(sandbox).content)

    assert before == [prompt.text]
    assert after == [late.text, prompt.text]


def test_events_beyond_the_retention_are_gone() -> None:
    """Ninety days are kept unless the answers say fifteen."""
    old = make_event(NOW_MS - 20 * 86_400_000)
    month_ago = instant_text(NOW_MS - 30 * 86_400_000)
    with Sandbox([old]) as sandbox:
        kept = cut(ask(sandbox, start_time=month_ago).content)
        sandbox.jumpcloud.answers = Answers(retention_days=15)
        gone = cut(ask(sandbox, start_time=month_ago).content)

    assert kept == [old.text]
    assert gone == []


@pytest.mark.parametrize("change", [{"limit": 11}, {"end_time": instant_text(NOW_MS)}, {"note": 1}])
def test_a_cursor_belongs_to_its_query(sandbox: Sandbox, change: dict[str, Any]) -> None:
    """Any other key of the body, the limit included, must be repeated."""
    page = ask(sandbox, limit=10)
    cursor = json.loads(page.headers["X-Search_after"])

    same = ask(sandbox, limit=10, search_after=cursor)
    other = ask(sandbox, **{"limit": 10, **change}, search_after=cursor)
    sandbox.jumpcloud.answers = Answers(strict_paging=False)
    tolerated = ask(sandbox, **{"limit": 10, **change}, search_after=cursor)

    assert [same.status_code, other.status_code, tolerated.status_code] == [200, 400, 200]


def test_a_cursor_that_was_changed_is_refused(sandbox: Sandbox) -> None:
    """It goes back as it came."""
    cursor = json.loads(ask(sandbox, limit=10).headers["X-Search_after"])

    reply = ask(sandbox, limit=10, search_after=[str(cursor[0]), cursor[1]])

    assert reply.status_code == 400


@pytest.mark.parametrize("limit", [None, 0, -1, "ten", True, 1.5])
def test_a_senseless_limit_falls_back_to_a_thousand(sandbox: Sandbox, limit: object) -> None:
    """Nothing is said about it but in X-Limit."""
    assert ask(sandbox, limit=limit).headers["X-Limit"] == "1000"


def test_a_limit_above_the_maximum_is_refused_or_clamped(sandbox: Sandbox) -> None:
    """Both answers can be played."""
    refused = ask(sandbox, limit=10_001)
    sandbox.jumpcloud.answers = Answers(limit_above_maximum="clamped")
    clamped = ask(sandbox, limit=10_001)

    assert refused.status_code == 400
    assert clamped.headers["X-Limit"] == "10000"


def test_an_unknown_sort_is_ascending(sandbox: Sandbox) -> None:
    """X-Sort tells the effective one."""
    assert ask(sandbox, sort="sideways").headers["X-Sort"] == "ASC"


@pytest.mark.parametrize(
    "body",
    [
        {"service": None},
        {"service": "all"},
        {"service": []},
        {"start_time": None},
        {"start_time": "yesterday"},
        {"start_time": instant_text(START_MS) + "\n"},
        {"start_time": instant_text(NOW_MS + 3_600_000)},
        {"end_time": instant_text(START_MS - 1)},
        {"search_after": [1]},
    ],
)
def test_a_bad_request_is_refused_with_a_message(sandbox: Sandbox, body: dict[str, Any]) -> None:
    """Refusals are objects with one message."""
    reply = ask(sandbox, **body)

    assert reply.status_code == 400
    assert list(reply.json()) == ["message"]


def test_a_start_after_the_end_is_refused_in_the_documented_words(sandbox: Sandbox) -> None:
    """The message names both instants."""
    reply = ask(sandbox, end_time=instant_text(START_MS - 1))

    expected = f"{instant_text(START_MS)} > {instant_text(START_MS - 1)}"
    assert reply.json()["message"] == f"Start Time not after End Time {expected}"


@pytest.mark.parametrize(
    "end_time", [None, instant_text(NOW_MS + 7_200_000)], ids=["open", "later"]
)
def test_a_start_in_the_future_is_refused_whatever_the_end(
    sandbox: Sandbox, end_time: str | None
) -> None:
    """The future is what is ahead of the emulator's own clock."""
    reply = ask(sandbox, start_time=instant_text(NOW_MS + 3_600_000), end_time=end_time)

    assert reply.status_code == 400
    assert reply.json()["message"].startswith("Start Time not after End Time")


def test_every_answer_is_dated_by_the_emulator_s_clock() -> None:
    """Whatever its status."""
    with Sandbox(now_ms=lambda: instant_ms("2040-01-01T00:00:01.999Z")) as sandbox:
        page, unauthorized = ask(sandbox), ask(sandbox, headers={"x-api-key": "another"})
        unknown, refused = ask(sandbox, "unknown"), ask(sandbox, service="all")
    replies = [page, unauthorized, unknown, refused]

    assert [reply.status_code for reply in replies] == [200, 401, 404, 400]
    assert {reply.headers["Date"] for reply in replies} == {"Sun, 01 Jan 2040 00:00:01 GMT"}


def test_an_unknown_service_is_refused_with_the_valid_ones(sandbox: Sandbox) -> None:
    """The message lists them."""
    reply = ask(sandbox, service=["sso", "unheard_of"])

    assert reply.status_code == 400
    assert "unheard_of" in reply.json()["message"]
    assert "password_manager" in reply.json()["message"]


@pytest.mark.parametrize(("answer", "status"), [("served", 200), ("refused", 400)])
def test_an_empty_span_is_served_or_refused(sandbox: Sandbox, answer: Any, status: int) -> None:
    """Both answers can be played where start equals end."""
    sandbox.jumpcloud.answers = Answers(equal_start_and_end=answer)

    assert ask(sandbox, end_time=instant_text(START_MS)).status_code == status


@pytest.mark.parametrize(
    ("answer", "cursor"), [("absent", None), ("empty", ""), ("stale", "as asked")]
)
def test_the_cursor_of_an_empty_page_is_as_the_answers_say(answer: Any, cursor: Any) -> None:
    """All three answers can be played, and the body can be null."""
    answers = Answers(empty_page_cursor=answer, empty_page_body="null")
    with Sandbox([make_event(START_MS)], answers=answers) as sandbox:
        used = ask(sandbox, limit=1).headers["X-Search_after"]
        page = ask(sandbox, limit=1, search_after=json.loads(used))

    assert page.text == "null"
    assert page.headers["X-Result-Count"] == "0"
    assert page.headers.get("X-Search_after") == (used if cursor == "as asked" else cursor)


def test_cursor_values_can_be_strings() -> None:
    """A client that gives the cursor back as it came does not notice."""
    with Sandbox(EVENTS, answers=Answers(cursor_values="strings")) as sandbox:
        cursor = json.loads(ask(sandbox, limit=10).headers["X-Search_after"])
        texts, _ = read_all(sandbox, limit=400)

    assert isinstance(cursor[0], str)
    assert len(texts) == len(EVENTS)


def test_replies_are_compressed_only_where_that_is_asked_for() -> None:
    """Accept-Encoding decides, once the answers allow it."""
    with Sandbox(EVENTS, answers=Answers(gzip=True)) as sandbox:
        small = ask(sandbox, headers={"Accept-Encoding": "gzip"})
        plain = ask(sandbox, headers={"Accept-Encoding": "identity"})

        assert small.headers["Content-Encoding"] == "gzip"
        assert "Content-Encoding" not in plain.headers
        assert small.content == plain.content


def test_keys_and_organizations_are_checked() -> None:
    """Each refusal has the documented status."""
    with Sandbox(EVENTS, organizations=["one", "three"]) as sandbox:
        sandbox.jumpcloud.forbidden_keys.add("a command runner's")

        assert ask(sandbox, headers={"x-api-key": "wrong"}).status_code == 401
        assert ask(sandbox, headers={"x-api-key": "a command runner's"}).status_code == 403
        assert ask(sandbox).json() == {"message": "Unauthorized: no organization selected"}
        assert ask(sandbox, headers={"x-org-id": "two"}).status_code == 400
        assert ask(sandbox, headers={"x-org-id": "one"}).status_code == 200
        sandbox.jumpcloud.insights_enabled = False
        assert ask(sandbox, headers={"x-org-id": "one"}).status_code == 402


def test_only_post_and_only_known_paths_are_served(sandbox: Sandbox) -> None:
    """Everything else is 404 or 405."""
    url = f"{sandbox.jumpcloud.url}/insights/directory/v1/events"

    assert requests.get(url, timeout=5).status_code == 405
    assert ask(sandbox, "events/other").status_code == 404


def test_counts_agree_with_the_pages(sandbox: Sandbox) -> None:
    """All of them, and those of one service."""
    expected = sum(1 for event in EVENTS if event.service == "sso")

    assert ask(sandbox, "events/count").json() == {"count": len(EVENTS)}
    assert ask(sandbox, "events/count", service=["sso"]).json() == {"count": expected}


@pytest.mark.parametrize(("unit", "value", "width_ms"), [("m", None, 60_000), ("s", "90", 90_000)])
def test_interval_counts_events_by_bucket(
    sandbox: Sandbox, unit: str, value: str | None, width_ms: int
) -> None:
    """Buckets begin at multiples of their width, and miss no event."""
    reply = ask(sandbox, "events/interval", interval_unit=unit, interval_value=value)

    counts: dict[int, int] = {}
    for event in EVENTS:
        key = event.time_ms // width_ms * width_ms
        counts[key] = counts.get(key, 0) + 1
    buckets = reply.json()["buckets"]
    assert {b["key"]: b["doc_count"] for b in buckets if b["doc_count"]} == counts
    assert all(instant_ms(b["key_as_string"]) == b["key"] for b in buckets)


def test_empty_buckets_are_listed_or_left_out() -> None:
    """Both answers can be played."""
    events = [make_event(START_MS), make_event(START_MS + 600_000)]
    with Sandbox(events) as sandbox:
        listed = ask(sandbox, "events/interval", interval_unit="m").json()["buckets"]
        sandbox.jumpcloud.answers = Answers(empty_buckets="left out")
        left_out = ask(sandbox, "events/interval", interval_unit="m").json()["buckets"]

    assert [bucket["doc_count"] for bucket in listed] == [1, *[0] * 9, 1]
    assert [bucket["doc_count"] for bucket in left_out] == [1, 1]


def test_days_begin_at_midnight_of_the_zone() -> None:
    """The zone moves the buckets, and shows in their names."""
    event = make_event(instant_ms("2025-06-01T23:30:00Z"))
    with Sandbox([event], now_ms=lambda: event.time_ms + 1_000) as sandbox:
        reply = ask(
            sandbox,
            "events/interval",
            start_time="2025-06-01T00:00:00Z",
            interval_unit="d",
            timezone="+0200",
        )

    assert [bucket["key_as_string"] for bucket in reply.json()["buckets"]] == [
        "2025-06-02T00:00:00.000+02:00"
    ]


def test_too_many_buckets_are_too_complex(sandbox: Sandbox) -> None:
    """The documented status is 500."""
    sandbox.jumpcloud.answers = Answers(max_buckets=10)

    assert ask(sandbox, "events/interval", interval_unit="s").status_code == 500


@pytest.mark.parametrize("shape", ["buckets", "values"])
def test_distinct_lists_values_in_both_shapes(sandbox: Sandbox, shape: Any) -> None:
    """The sources disagree on the shape, so both can be played."""
    sandbox.jumpcloud.answers = Answers(distinct=shape)

    content = ask(sandbox, "events/distinct", field="service").json()
    values = content["service"] if shape == "values" else [b["key"] for b in content["buckets"]]

    assert set(values) == {event.service for event in EVENTS}


def test_what_is_not_imitated_fails_the_test_that_asks_for_it() -> None:
    """A projection gets 501, and the sandbox raises at its end."""

    def use() -> None:
        with Sandbox(EVENTS) as sandbox:
            assert ask(sandbox, fields=["id"]).status_code == 501

    with pytest.raises(SandboxError, match="fields"):
        use()


def test_the_log_tells_what_was_asked_and_sent(sandbox: Sandbox) -> None:
    """Bodies, statuses, bytes and events can be counted."""
    since = time.monotonic()
    page = ask(sandbox, limit=10)
    ask(sandbox, "events/count", headers={"x-api-key": "wrong"})

    log = sandbox.jumpcloud.requests
    assert log.entries("events")[0].body["limit"] == 10
    assert log.events("events", since) == 10
    assert log.sent_bytes("events") == len(page.content)
    assert log.statuses("count") == {401: 1}
    assert log.arrivals() == 2


def test_publishing_while_serving_keeps_the_order(sandbox: Sandbox) -> None:
    """Few or many new events, each finds its place."""
    few = [make_event(START_MS + 17), make_event(START_MS + 3)]
    many = generate(500, START_MS, NOW_MS - 1_000, seed=6)

    sandbox.jumpcloud.publish(few)
    sandbox.jumpcloud.publish(many)
    texts, _ = read_all(sandbox, limit=1_000)

    def place(event: Event) -> tuple[int, str]:
        return event.time_ms, event.document_id

    assert texts == [event.text for event in sorted([*EVENTS, *few, *many], key=place)]


NOT_THESE = ["user_update", "ldap_bind"]


def types_of(texts: list[bytes]) -> set[str]:
    """Return the types of events."""
    return {json.loads(text)["event_type"] for text in texts}


@pytest.mark.parametrize("form", ["array", "object"])
def test_event_types_are_left_out_of_pages_and_counts(sandbox: Sandbox, form: str) -> None:
    """Asked for in either form that is seen in JumpCloud's documents."""
    condition = {"event_type": NOT_THESE}
    term = {"not": [condition] if form == "array" else condition}
    everything = [event.text for event in EVENTS]
    wanted = [text for text in everything if json.loads(text)["event_type"] not in NOT_THESE]

    texts, _ = read_all(sandbox, search_term=term, limit=100)
    count = ask(sandbox, "events/count", search_term=term).json()["count"]
    buckets = ask(sandbox, "events/interval", search_term=term, interval_unit="h").json()["buckets"]

    assert set(NOT_THESE) < types_of(everything)
    assert texts == wanted
    assert count == len(wanted) == sum(bucket["doc_count"] for bucket in buckets)


def test_a_search_term_may_be_ignored_or_refused(sandbox: Sandbox) -> None:
    """Or be taken in one form only: which one JumpCloud takes is not known."""
    arrayed = {"not": [{"event_type": ["ldap_bind"]}]}
    counts = {}
    for name, answers in {
        "ignored": Answers(search_term="ignored"),
        "refused": Answers(search_term="refused"),
        "in an object": Answers(terms="object"),
        "in an array": Answers(terms="array"),
    }.items():
        sandbox.jumpcloud.answers = answers
        reply = ask(sandbox, "events/count", search_term=arrayed)
        counts[name] = reply.json().get("count", reply.status_code)

    assert counts["ignored"] == len(EVENTS)
    assert counts["refused"] == counts["in an object"] == 400
    assert 0 < counts["in an array"] < len(EVENTS)


def test_a_search_term_that_is_not_imitated_fails_the_test() -> None:
    """Rather than letting it pass for one that matched everything."""
    with pytest.raises(SandboxError), Sandbox(EVENTS) as sandbox:
        assert ask(sandbox, search_term={"and": [{"success": True}]}).status_code == 501


def test_all_may_leave_services_out(sandbox: Sandbox) -> None:
    """As it is reported of PAM; asked for by its name, it is there."""
    sandbox.jumpcloud.answers = Answers(outside_all=("sso",))
    inside = [event.text for event in EVENTS if event.service != "sso"]

    texts, _ = read_all(sandbox)
    named = ask(sandbox, "events/count", service=["sso"]).json()["count"]

    assert texts == inside
    assert ask(sandbox, "events/count").json()["count"] == len(inside)
    assert named == len(EVENTS) - len(inside) > 0
