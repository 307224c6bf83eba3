"""Each fault looks to a client like the real thing, and rules say when it happens."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
import requests

from sandbox import API_KEY, INTAKE_KEY, Sandbox, SandboxError, faults, generate
from sandbox.instants import instant_text, now_ms

NOW_MS = now_ms()
START_MS = NOW_MS - 60_000
EVENTS = generate(40, START_MS, NOW_MS - 1_000, seed=9, surrogate_share=0)
TEXTS = [event.text.decode() for event in EVENTS]


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Serve the events of this file."""
    with Sandbox(EVENTS) as served:
        yield served


def ask(sandbox: Sandbox, endpoint: str = "events", **body: Any) -> requests.Response:
    """Ask JumpCloud for the minute of the events, without following a redirect."""
    return requests.post(
        f"{sandbox.jumpcloud.url}/insights/directory/v1/{endpoint}",
        json={"service": ["all"], "start_time": instant_text(START_MS), **body},
        headers={"x-api-key": API_KEY},
        timeout=(1, 0.5),
        allow_redirects=False,
    )


def push(sandbox: Sandbox, texts: list[str]) -> requests.Response:
    """Push a batch to the intake."""
    batch = {"intake_key": INTAKE_KEY, "jsons": texts}
    return requests.post(f"{sandbox.intake.url}/batch", json=batch, timeout=(1, 0.5))


def test_a_status_comes_with_its_retry_after_and_body(sandbox: Sandbox) -> None:
    """JSON or HTML, as told."""
    sandbox.jumpcloud.faults.add(faults.Status(429, retry_after_seconds=7), times=1)
    sandbox.jumpcloud.faults.add(faults.Status(502, form="html"), times=1)

    first, second, third = ask(sandbox), ask(sandbox), ask(sandbox)

    assert (first.status_code, first.headers["Retry-After"]) == (429, "7")
    assert (second.status_code, second.text[:6]) == (502, "<html>")
    assert third.status_code == 200


def test_a_rule_fires_so_many_times_at_its_endpoint_alone(sandbox: Sandbox) -> None:
    """Other endpoints do not use it up."""
    rule = sandbox.jumpcloud.faults.add(faults.Status(503), endpoint="events", times=2)

    statuses = [ask(sandbox, name).status_code for name in ("events/count", *["events"] * 3)]

    assert statuses == [200, 503, 503, 200]
    assert rule.fired == 2


def test_rules_can_be_switched_and_taken_away_while_serving(sandbox: Sandbox) -> None:
    """A test decides when a fault begins and ends."""
    rule = sandbox.jumpcloud.faults.add(faults.Status(500))
    statuses = [ask(sandbox).status_code]
    rule.on = False
    statuses.append(ask(sandbox).status_code)
    with sandbox.jumpcloud.faults.during(faults.Status(504)):
        statuses.append(ask(sandbox).status_code)
    statuses.append(ask(sandbox).status_code)

    assert statuses == [500, 200, 504, 200]


def test_a_rule_can_look_at_the_request(sandbox: Sandbox) -> None:
    """Whatever a test needs to aim at."""
    sandbox.jumpcloud.faults.add(faults.Status(500), when=lambda r: r.json()["limit"] > 10)

    assert ask(sandbox, limit=10).status_code == 200
    assert ask(sandbox, limit=11).status_code == 500


def test_chances_come_from_the_seed(sandbox: Sandbox) -> None:
    """The same requests fail again."""
    sandbox.jumpcloud.faults.add(faults.Status(500), probability=0.5)

    runs = []
    for seed in (3, 3, 4):
        sandbox.jumpcloud.faults.seed(seed)
        runs.append([ask(sandbox).status_code for _ in range(12)])

    assert runs[0] == runs[1] != runs[2]
    assert set(runs[0]) == {200, 500}


@pytest.mark.parametrize(
    "fault",
    [
        faults.ResetBeforeHeaders(),
        faults.ResetMidBody(),
        faults.TruncatedBody(),
        faults.HangThenReset(seconds=0.1),
        faults.AcceptedWithoutReply(),
    ],
)
def test_a_broken_connection_is_an_error_for_the_client(
    sandbox: Sandbox, fault: faults.Fault
) -> None:
    """The exchange counts no event as sent."""
    sandbox.jumpcloud.faults.add(fault)

    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        ask(sandbox)

    (entry,) = sandbox.jumpcloud.requests.entries()
    assert (entry.whole, entry.events) == (False, 0)


@pytest.mark.parametrize("fault", [faults.Hang(seconds=2), faults.HangMidBody(seconds=2)])
def test_a_hanging_answer_runs_into_the_clients_timeout(
    sandbox: Sandbox, fault: faults.Fault
) -> None:
    """The sandbox itself ends at once."""
    sandbox.jumpcloud.faults.add(fault)
    started = time.monotonic()

    with pytest.raises((requests.Timeout, requests.ConnectionError)):
        ask(sandbox)
    sandbox.stop()

    assert time.monotonic() - started < 1.5


def test_slow_pages_take_their_latency_and_the_time_of_their_events(sandbox: Sandbox) -> None:
    """The headers come after the latency, the body over the rest."""
    sandbox.jumpcloud.faults.add(faults.SlowPages(latency_ms=100, per_event_ms=5))
    started = time.monotonic()

    page = ask(sandbox)

    assert 0.09 < page.elapsed.total_seconds() < 0.3
    assert time.monotonic() - started >= 0.1 + 0.005 * len(EVENTS)
    assert len(page.json()) == len(EVENTS)


def test_slow_receipts_take_the_time_of_the_events_pushed(sandbox: Sandbox) -> None:
    """The reply is late; the events are in."""
    sandbox.intake.faults.add(faults.SlowReceipts(latency_ms=50, per_event_ms=2))
    started = time.monotonic()

    reply = push(sandbox, TEXTS)

    assert time.monotonic() - started >= 0.05 + 0.002 * len(EVENTS)
    assert len(reply.json()["event_ids"]) == len(EVENTS)


@pytest.mark.parametrize(
    ("fault", "body_starts"),
    [
        (faults.ObjectInsteadOfArray(), b"{"),
        (faults.NullBody(), b"null"),
        (faults.HtmlPage(), b"<html>"),
    ],
)
def test_a_200_can_hold_something_else(
    sandbox: Sandbox, fault: faults.Fault, body_starts: bytes
) -> None:
    """The status says that all is well."""
    sandbox.jumpcloud.faults.add(fault)

    reply = ask(sandbox)

    assert reply.status_code == 200
    assert reply.content.startswith(body_starts)


def test_broken_json_comes_under_a_length_that_fits(sandbox: Sandbox) -> None:
    """Only a parser notices."""
    sandbox.jumpcloud.faults.add(faults.BrokenJson())

    reply = ask(sandbox)

    with pytest.raises(requests.JSONDecodeError):
        reply.json()


def test_headers_can_be_missing_or_contradict_the_page(sandbox: Sandbox) -> None:
    """The page itself is untouched."""
    with sandbox.jumpcloud.faults.during(faults.MissingHeaders()):
        bare = ask(sandbox)
    with sandbox.jumpcloud.faults.during(faults.WrongResultCount(difference=-3)):
        contradicted = ask(sandbox)

    assert not [name for name in bare.headers if name.lower() in ("x-sort", "x-search_after")]
    assert contradicted.headers["X-Result-Count"] == str(len(contradicted.json()) - 3)


@pytest.mark.parametrize("ahead_seconds", [3_600, -86_400])
def test_an_answer_can_be_dated_wrongly(sandbox: Sandbox, ahead_seconds: int) -> None:
    """Refusals too."""
    sandbox.jumpcloud.faults.add(faults.WrongDate(ahead_seconds))
    sandbox.jumpcloud.faults.add(faults.Status(503), times=1)

    dates = [parsedate_to_datetime(ask(sandbox).headers["Date"]) for _ in range(2)]

    off = [date.timestamp() - ahead_seconds - now_ms() / 1000 for date in dates]
    assert all(-5 < seconds <= 0 for seconds in off)


def test_an_answer_can_be_undated_or_dated_with_nonsense(sandbox: Sandbox) -> None:
    """The page itself is untouched."""
    with sandbox.jumpcloud.faults.during(faults.NoDate()):
        undated = ask(sandbox)
    with sandbox.jumpcloud.faults.during(faults.NonsenseDate("yesterday")):
        nonsense = ask(sandbox)

    assert "Date" not in undated.headers
    assert nonsense.headers["Date"] == "yesterday"
    assert len(undated.json()) == len(nonsense.json()) == len(EVENTS)


def test_a_stuck_cursor_repeats_the_one_that_was_used(sandbox: Sandbox) -> None:
    """The page behind it is right."""
    sandbox.jumpcloud.faults.add(faults.StuckCursor())
    used = ask(sandbox, limit=10).headers["X-Search_after"]

    page = ask(sandbox, limit=10, search_after=json.loads(used))

    assert page.headers["X-Search_after"] == used
    assert page.json()[0]["id"] == EVENTS[10].id


@pytest.mark.parametrize("named", ["ASC", "DESC"])
def test_a_descending_page_names_either_order(sandbox: Sandbox, named: Any) -> None:
    """ASC was asked for."""
    sandbox.jumpcloud.faults.add(faults.Descending(named=named))

    page = ask(sandbox, sort="ASC")

    assert page.headers["X-Sort"] == named
    assert [event["id"] for event in page.json()] == [event.id for event in reversed(EVENTS)]


def test_a_redirect_names_its_target(sandbox: Sandbox) -> None:
    """Nobody is forced to follow."""
    sandbox.jumpcloud.faults.add(faults.Redirect("http://127.0.0.1:9/", status=302))

    reply = ask(sandbox)

    assert (reply.status_code, reply.headers["Location"]) == (302, "http://127.0.0.1:9/")


def test_wrong_counts_miscount(sandbox: Sandbox) -> None:
    """Each bucket and the total are off by the difference."""
    sandbox.jumpcloud.faults.add(faults.WrongCounts(difference=2))

    count = ask(sandbox, "events/count").json()["count"]
    buckets = ask(sandbox, "events/interval", interval_unit="w").json()["buckets"]

    assert count == len(EVENTS) + 2
    assert sum(bucket["doc_count"] - 2 for bucket in buckets) == len(EVENTS)


def test_a_message_can_echo_the_key(sandbox: Sandbox) -> None:
    """Whoever logs the message logs the key."""
    sandbox.jumpcloud.faults.add(faults.EchoKey())
    sandbox.intake.faults.add(faults.EchoKey(status=403))

    assert API_KEY in ask(sandbox).json()["message"]
    assert INTAKE_KEY in push(sandbox, TEXTS).json()["message"]


def test_an_accepted_batch_without_a_reply_is_in(sandbox: Sandbox) -> None:
    """The client cannot know."""
    sandbox.intake.faults.add(faults.AcceptedWithoutReply())

    with pytest.raises(requests.ConnectionError):
        push(sandbox, TEXTS)

    assert sandbox.intake.count == len(EVENTS)


def test_a_reset_before_headers_accepts_nothing(sandbox: Sandbox) -> None:
    """The batch was never looked at."""
    sandbox.intake.faults.add(faults.ResetBeforeHeaders())

    with pytest.raises(requests.ConnectionError):
        push(sandbox, TEXTS)

    assert sandbox.intake.count == 0


def test_short_receipts_lack_some_for_events_that_are_in(sandbox: Sandbox) -> None:
    """All events are kept."""
    sandbox.intake.faults.add(faults.ShortReceipts(missing=3))

    assert len(push(sandbox, TEXTS).json()["event_ids"]) == len(EVENTS) - 3
    assert sandbox.intake.count == len(EVENTS)


def test_a_refused_event_refuses_every_batch_that_holds_it(sandbox: Sandbox) -> None:
    """Without it the rest is fine."""
    sandbox.intake.faults.add(faults.RefuseEvent(marker=EVENTS[3].id or "", status=422))

    together = push(sandbox, TEXTS)
    rest = push(sandbox, TEXTS[:3] + TEXTS[4:])

    assert (together.status_code, rest.status_code) == (422, 200)


def test_chaos_lets_about_the_share_asked_for_fail(sandbox: Sandbox) -> None:
    """Without repeats, whatever fails at the intake was not accepted unless it says so."""
    sandbox.chaos(seed=1, rate=0.5)
    receipts = 0
    for text in TEXTS:
        try:
            reply = push(sandbox, [text])
        except (requests.ConnectionError, requests.Timeout):
            continue
        receipts += reply.status_code == 200

    assert 0.3 < receipts / len(TEXTS) < 0.75


def test_an_error_inside_an_emulator_fails_the_test() -> None:
    """It is answered 500, and raised at the end."""

    def use() -> None:
        with Sandbox(EVENTS) as sandbox:
            sandbox.jumpcloud.faults.add(faults.Status(503), when=lambda _: bool(1 // 0))
            assert ask(sandbox).status_code == 500

    with pytest.raises(SandboxError, match="ZeroDivisionError"):
        use()
