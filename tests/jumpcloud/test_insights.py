"""JumpCloud over HTTP, held to its promises."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import orjson
import pytest

from jumpcloud_modules.errors import CollectorError, PageTooLarge, Refused, TryAgain
from jumpcloud_modules.instants import HOUR_MS, MINUTE_MS, SECOND_MS
from jumpcloud_modules.jumpcloud.insights import JumpCloudApi
from jumpcloud_modules.queries import Cursor, Page, Query
from sandbox import API_KEY, Answers, Reply, Sandbox, faults, generate, make_event
from sandbox.instants import now_ms
from tests.doubles import Says, account_at, directory_insights, texts_of


def _api(
    sandbox: Sandbox, services: tuple[str, ...] = ("all",), key: str = API_KEY
) -> JumpCloudApi:
    return directory_insights(sandbox, services, replace(account_at(sandbox), api_key=key))


def _query(limit: int = 10, cursor: Cursor | None = None) -> Query:
    start_ms = now_ms() // HOUR_MS * HOUR_MS - HOUR_MS
    return Query(start_ms, start_ms + HOUR_MS, limit, cursor)


def _pages(api: JumpCloudApi, query: Query) -> Iterator[Page]:
    more = True
    while more:
        page = api.open(query).read(now_ms())
        yield page
        query, more = replace(query, cursor=page.cursor), page.more


def _page_of(reply: Reply, query: Query | None = None) -> Page:
    with Sandbox() as sandbox:
        sandbox.jumpcloud.faults.add(Says(reply))
        return _api(sandbox).open(query or _query()).read(now_ms())


@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 30])
@pytest.mark.parametrize(
    "answers",
    [
        Answers(),
        Answers(gzip=True, empty_page_body="null", empty_page_cursor="stale"),
        Answers(cursor_values="strings", empty_page_cursor="empty", end_time_inclusive=True),
    ],
)
def test_a_chain_of_pages_returns_every_event_once_and_as_it_is(
    count: int, answers: Answers
) -> None:
    """Also where the last page is full, and however JumpCloud words an empty one."""
    query = _query()
    assert query.end_ms
    events = generate(count, query.start_ms, query.end_ms, seed=count, surrogate_share=0.2)
    with Sandbox(events, answers=answers) as sandbox:
        pages = list(_pages(_api(sandbox), query))

    found = [text for page in pages for text in texts_of(page.events)]
    assert found == [event.text for event in events]
    assert len(pages) == count // 10 + 1
    assert [page.more for page in pages] == [True] * (count // 10) + [False]


def test_the_request_says_what_is_asked_for_in_jumpclouds_words() -> None:
    """Services as a list, times in UTC with Z, an ascending order, the key in a header."""
    query = replace(_query(limit=7), start_ms=1_760_011_200_007, end_ms=None)
    with Sandbox() as sandbox:
        _api(sandbox, ("directory", "sso")).open(query).read(now_ms())

        request = sandbox.jumpcloud.requests.entries("events")[0]
    assert request.path == "/insights/directory/v1/events"
    assert request.body == {
        "service": ["directory", "sso"],
        "start_time": "2025-10-09T12:00:00.007Z",
        "limit": 7,
        "sort": "ASC",
    }


def test_the_organisation_is_named_where_one_is_configured() -> None:
    """An administrator of several is refused without it."""
    with Sandbox(organizations=["org1", "org2"]) as sandbox:
        chosen = directory_insights(sandbox, account=account_at(sandbox, "org1"))

        chosen.open(_query()).read(now_ms())
        with pytest.raises(Refused, match="no organization selected"):
            _api(sandbox).open(_query()).read(now_ms())


def test_the_cursor_is_known_before_the_body_is_read() -> None:
    """So that the next page can be asked for meanwhile."""
    query = _query()
    with Sandbox([make_event(query.start_ms + i) for i in range(11)]) as sandbox:
        sandbox.jumpcloud.faults.add(faults.TruncatedBody())

        opened = _api(sandbox).open(query)
        with pytest.raises(TryAgain):
            opened.read(now_ms())

    assert opened.cursor is not None
    assert opened.cursor[0] == query.start_ms + 9


@pytest.mark.parametrize("more_events", [0, 1])
def test_a_position_leaves_nothing_before_it_unread(more_events: int) -> None:
    """It is the time of the last event of the page."""
    query = _query()
    times_ms = [query.start_ms + i * SECOND_MS for i in range(10 + more_events)]
    with Sandbox([make_event(time_ms) for time_ms in times_ms]) as sandbox:
        page = _api(sandbox).open(query).read(now_ms())

    assert page.position_ms == times_ms[9]


def test_a_position_never_lies_in_the_future() -> None:
    """A future event is delivered, and the watermark waits for it."""
    query = replace(_query(), end_ms=None)
    present, future = query.start_ms + 5, now_ms() + HOUR_MS
    with Sandbox([make_event(present), make_event(future, visible_ms=present)]) as sandbox:
        page = _api(sandbox).open(query).read(now_ms())

    assert len(page.events) == 2
    assert page.position_ms == present


@pytest.mark.parametrize(
    "timestamp", [None, ..., "soon", "1999-01-01T00:00:00Z", "2999-01-01T00:00:00Z", 17]
)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_an_event_with_a_strange_time_does_not_block_its_page(
    timestamp: object, place: int
) -> None:
    """Wherever it stands, the page is read and its position is one of the sound events'."""
    query = _query()
    strange = make_event(query.start_ms + place * 2_000 + 1_000, timestamp=timestamp)
    events = [make_event(query.start_ms + i * 2_000) for i in range(3)] + [strange]
    with Sandbox(events) as sandbox:
        page = _api(sandbox).open(query).read(now_ms())

    assert len(page.events) == 4
    assert page.position_ms == query.start_ms + 4_000


@pytest.mark.parametrize("timestamp", [None, "1999-01-01T00:00:00Z", "2999-01-01T00:00:00Z"])
def test_a_page_of_one_sound_and_one_strange_event_is_read(timestamp: object) -> None:
    """A quiet tenant's page is no longer than that."""
    query = _query()
    for first, second in (0, 5_000), (5_000, 0):
        events = [
            make_event(query.start_ms + first),
            make_event(query.start_ms + second, timestamp=timestamp),
        ]
        with Sandbox(events) as sandbox:
            page = _api(sandbox).open(query).read(now_ms())

        assert len(page.events) == 2


def test_items_that_are_no_objects_are_told_apart_and_counted() -> None:
    """They are part of the promised count."""
    events = [make_event(now_ms(), text=text) for text in ("17", '"text"', "null", "[1]", "{}")]
    query = replace(_query(), end_ms=None)
    with Sandbox(events) as sandbox:
        page = _api(sandbox).open(query).read(now_ms())

    assert texts_of(page.events) == [b"{}"]
    assert sorted(texts_of(page.non_objects)) == sorted([b"17", b'"text"', b"null", b"[1]"])


@pytest.mark.parametrize(
    "fault",
    [
        faults.Descending("DESC"),
        faults.Descending("ASC"),
        faults.WrongResultCount(1),
        faults.WrongResultCount(-1),
        faults.BrokenJson(),
        faults.ObjectInsteadOfArray(),
        faults.HtmlPage(),
        faults.NullBody(),
        faults.TruncatedBody(),
        faults.ResetMidBody(),
    ],
)
def test_a_broken_promise_is_an_error(fault: faults.Fault) -> None:
    """Nothing of such a page is used, and a smaller one is worth a try."""
    query = _query()
    events = [make_event(query.start_ms + i * 60_000) for i in range(11)]
    with Sandbox(events) as sandbox:
        sandbox.jumpcloud.faults.add(fault)

        with pytest.raises(TryAgain) as raised:
            _api(sandbox).open(query).read(now_ms())

    assert raised.value.burdened


def test_a_cursor_that_does_not_move_is_an_error() -> None:
    """Paging on would never end."""
    query = _query()
    with Sandbox([make_event(query.start_ms + i) for i in range(31)]) as sandbox:
        api = _api(sandbox)
        first = api.open(query).read(now_ms())
        sandbox.jumpcloud.faults.add(faults.StuckCursor())

        with pytest.raises(TryAgain, match="did not move"):
            api.open(replace(query, cursor=first.cursor)).read(now_ms())


@pytest.mark.parametrize(
    ("before", "after", "is_taken"),
    [
        ([5, "b"], [5, "a"], True),
        ([5, "b"], [6, "a"], True),
        ([5, "b"], ["6", "a"], True),
        ([5, "b"], [5, "b"], False),
        ([5, "b"], [4, "c"], False),
        ([5, "b"], ["x"], False),
    ],
)
def test_a_cursor_that_goes_back_is_an_error(before: Cursor, after: Cursor, is_taken: bool) -> None:
    """Paging could go in a circle; in which order hidden ids come is not known."""
    query = _query(limit=1, cursor=before)
    text = make_event(query.start_ms + 5).text
    headers = {
        "X-Result-Count": "1",
        "X-Limit": "1",
        "X-Search_after": orjson.dumps(after).decode(),
    }

    if is_taken:
        assert _page_of(Reply(200, b"[" + text + b"]", headers), query).cursor == after
        return
    with pytest.raises(TryAgain, match="did not move on"):
        _page_of(Reply(200, b"[" + text + b"]", headers), query)


def test_headers_that_are_missing_cost_a_cursor_and_lose_nothing() -> None:
    """The page can still be used: the next query begins at its position."""
    query = _query()
    with Sandbox([make_event(query.start_ms + i * 1_000) for i in range(11)]) as sandbox:
        sandbox.jumpcloud.faults.add(faults.MissingHeaders())

        page = _api(sandbox).open(query).read(now_ms())

    assert (len(page.events), page.more, page.cursor) == (10, True, None)
    assert page.position_ms == query.start_ms + 9_000


def test_a_full_page_without_a_cursor_at_its_own_start_is_an_error() -> None:
    """There is no way on from it but a larger page."""
    query = _query()
    with Sandbox([make_event(query.start_ms) for _ in range(11)]) as sandbox:
        sandbox.jumpcloud.faults.add(faults.MissingHeaders(("X-Search_after",)))

        with pytest.raises(TryAgain, match="without a cursor"):
            _api(sandbox).open(query).read(now_ms())


def test_a_limit_that_jumpcloud_lowers_does_not_end_the_chain() -> None:
    """More follows where the count reaches the limit in force, not the one asked for."""
    text = b'[{"id":"a","timestamp":"2025-10-09T12:00:00Z"}]'
    headers = {"X-Result-Count": "1", "X-Limit": "1", "X-Search_after": '[5,"x"]'}

    page = _page_of(Reply(200, text, headers))

    assert (page.more, page.cursor) == (True, [5, "x"])


@pytest.mark.parametrize("cursor", ["{}", "[]", "soon", "", "null", "17"])
def test_a_cursor_that_is_none_is_not_used(cursor: str) -> None:
    """A full page then leads on by its position."""
    query = replace(_query(limit=1), start_ms=0, end_ms=None)
    text = b'[{"id":"a","timestamp":"2025-10-09T12:00:00Z"}]'
    headers = {"X-Result-Count": "1", "X-Limit": "1", "X-Search_after": cursor}

    page = _page_of(Reply(200, text, headers), query)

    assert (page.more, page.cursor, page.position_ms) == (True, None, 1_760_011_200_000)


@pytest.mark.parametrize("count", ["", "many", "1.0"])
def test_a_count_that_is_no_number_is_left_aside(count: str) -> None:
    """The array's own length is known anyway."""
    page = _page_of(Reply(200, b"[{}]", {"X-Result-Count": count, "X-Limit": count}))

    assert (len(page.events), page.more) == (1, False)


@pytest.mark.parametrize(
    ("status", "remedy"),
    [
        (400, "service names"),
        (401, "API key"),
        (402, "not enabled"),
        (403, "Check that the key's administrator"),
        (404, "base_url"),
        (405, "base_url"),
        (307, "Redirects are not followed"),
    ],
)
@pytest.mark.parametrize("form", ["json", "html", "empty"])
def test_a_refusal_names_its_remedy(status: int, remedy: str, form: str) -> None:
    """In the words of the form that the operator filled in."""
    with Sandbox() as sandbox:
        sandbox.jumpcloud.faults.add(faults.Status(status, form=form))  # type: ignore[arg-type]

        for ask in _requests(_api(sandbox)):
            with pytest.raises(Refused, match=remedy) as raised:
                ask()
            assert f"JumpCloud answered {status} to POST /insights" in str(raised.value)
            assert (raised.value.end, raised.value.status) == ("JumpCloud", status)
            assert f"answered {status} to {raised.value.request}" in str(raised.value)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
@pytest.mark.parametrize("form", ["json", "html", "empty"])
def test_a_passing_failure_is_worth_another_try(status: int, form: str) -> None:
    """With what the other end asks for."""
    fault = faults.Status(status, retry_after_seconds=9, form=form)  # type: ignore[arg-type]
    with Sandbox() as sandbox:
        sandbox.jumpcloud.faults.add(fault)

        for ask in _requests(_api(sandbox)):
            with pytest.raises(TryAgain, match=str(status)) as raised:
                ask()
            assert raised.value.retry_after_seconds == 9
            assert raised.value.limited == (status == 429)


@pytest.mark.parametrize("status", [200, 307, 400, 401, 429, 500])
@pytest.mark.parametrize("request_id", ["5f1c", None])
def test_an_error_carries_the_name_of_the_answer_where_there_was_one(
    status: int, request_id: str | None
) -> None:
    """JumpCloud finds it again by that: of a refusal, of a failure, of a broken promise."""
    headers = {"X-Request-Id": request_id} if request_id else {}
    with Sandbox() as sandbox:
        sandbox.jumpcloud.faults.add(Says(Reply(status, b'"no answer"', headers)))
        api = _api(sandbox)
        asked = [lambda: api.open(_query()).read(now_ms()), *list(_requests(api))[1:]]

        for ask in asked:
            with pytest.raises(CollectorError) as raised:
                ask()
            assert raised.value.request_id == request_id


def test_the_name_of_an_answer_holds_no_key() -> None:
    """It is the other end's to choose."""
    reply = Reply(500, b"", {"X-Request-Id": f"for {API_KEY}"})
    with Sandbox() as sandbox:
        sandbox.jumpcloud.faults.add(Says(reply))

        with pytest.raises(TryAgain) as raised:
            _api(sandbox).count(0, None)

    assert raised.value.request_id == "for [redacted]"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 503])
def test_the_key_is_in_no_message_even_where_the_server_repeats_it(status: int) -> None:
    """Logs travel further than configurations."""
    with Sandbox() as sandbox:
        sandbox.jumpcloud.faults.add(faults.EchoKey(status))

        for ask in _requests(_api(sandbox)):
            with pytest.raises(CollectorError) as raised:
                ask()
            assert API_KEY not in str(raised.value)
            assert "[redacted]" in str(raised.value)


def test_a_redirect_does_not_carry_the_key_away() -> None:
    """Not even to another port of the same host."""
    with Sandbox() as sandbox:
        elsewhere = sandbox.platform.url + "/insights/directory/v1/events"
        sandbox.jumpcloud.faults.add(faults.Redirect(elsewhere))

        for ask in _requests(_api(sandbox)):
            with pytest.raises(Refused, match="Redirects"):
                ask()
        assert sandbox.platform.requests.arrivals() == 0


def test_a_page_that_fills_the_memory_is_refused_but_for_a_single_event() -> None:
    """Fewer events are asked for then, down to one, which may be as large as it is."""
    query = _query(limit=2)
    events = [make_event(query.start_ms + i, padding_bytes=7 << 20) for i in range(2)]
    with Sandbox(events, answers=Answers(gzip=True)) as sandbox:
        with pytest.raises(PageTooLarge):
            _api(sandbox).open(query).read(now_ms())
        page = _api(sandbox).open(replace(query, limit=1)).read(now_ms())

    assert texts_of(page.events) == [events[0].text]


def test_events_are_counted_by_span_and_by_bucket() -> None:
    """The audit compares these with the ledger."""
    start_ms = now_ms() // HOUR_MS * HOUR_MS - 3 * HOUR_MS
    offsets_ms = [0, 1, MINUTE_MS, HOUR_MS - 1, HOUR_MS, 2 * HOUR_MS + 5]
    with Sandbox([make_event(start_ms + offset_ms) for offset_ms in offsets_ms]) as sandbox:
        api = _api(sandbox)

        count = api.count(start_ms, start_ms + HOUR_MS)
        hours = api.buckets(start_ms, start_ms + 3 * HOUR_MS, "h")
        minutes = api.buckets(start_ms, start_ms + 2 * MINUTE_MS, "m")

    assert count == 4
    assert hours == {start_ms: 4, start_ms + HOUR_MS: 1, start_ms + 2 * HOUR_MS: 1}
    assert minutes == {start_ms: 2, start_ms + MINUTE_MS: 1}


def test_buckets_may_be_named_by_floats() -> None:
    """As some JSON writers write whole numbers, over any span."""
    body = b'{"buckets":[{"key":1795208400000.0,"doc_count":2},{"key":1.795212e12,"doc_count":1}]}'
    with Sandbox() as sandbox:
        sandbox.jumpcloud.faults.add(Says(Reply(200, body)))

        found = _api(sandbox).buckets(1_795_208_400_000 - 2_000 * HOUR_MS, 1_795_215_600_000, "h")

    assert found == {1_795_208_400_000: 2, 1_795_212_000_000: 1}


@pytest.mark.parametrize("body", [b'{"buckets":[]}', b'{"buckets":null}'])
def test_no_buckets_mean_no_events(body: bytes) -> None:
    """An empty list, in either spelling."""
    with Sandbox() as sandbox:
        sandbox.jumpcloud.faults.add(Says(Reply(200, body)))

        assert _api(sandbox).buckets(0, HOUR_MS, "h") == {}


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[]", b"null", b"<html>", b"17", b"{}", b'{"message":"no"}', b'{"buckets":{}}',
        b'{"buckets":[17]}', b'{"buckets":[{}]}', b'{"buckets":[{"key":0}]}',
        b'{"buckets":[{"key":"0","doc_count":1}]}', b'{"buckets":[{"key":0,"doc_count":-1}]}',
        b'{"buckets":[{"key":0,"doc_count":true}]}', b'{"buckets":[{"key":1e99,"doc_count":1}]}',
        b'{"buckets":[{"key":0,"doc_count":1.5}]}', b'{"count":"3"}', b'{"count":-1}',
        b'{"count":null}', b'{"count":true}',
    ],
)  # fmt: skip
def test_nonsense_instead_of_counts_is_told_from_no_events(body: bytes) -> None:
    """Or late events would never be looked for."""
    with Sandbox() as sandbox:
        sandbox.jumpcloud.faults.add(Says(Reply(200, body)))
        api = _api(sandbox)

        with pytest.raises(TryAgain, match="/events/interval"):
            api.buckets(0, HOUR_MS, "h")
        with pytest.raises(TryAgain, match="/events/count"):
            api.count(0, HOUR_MS)


def test_counts_beyond_reason_are_worth_another_try_and_nothing_more() -> None:
    """They are not read into memory."""
    body = orjson.dumps({"buckets": [], "more": "x" * (17 << 20)})
    with Sandbox() as sandbox:
        sandbox.jumpcloud.faults.add(Says(Reply(200, body)))

        with pytest.raises(TryAgain):
            _api(sandbox).buckets(0, HOUR_MS, "h")


def _requests(api: JumpCloudApi) -> tuple[Callable[[], object], ...]:
    """Return each kind of request as a call."""
    return (
        lambda: api.open(_query()).read(now_ms()),
        lambda: api.count(0, HOUR_MS),
        lambda: api.buckets(0, HOUR_MS, "h"),
    )
