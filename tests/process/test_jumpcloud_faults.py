"""Each way in which JumpCloud can fail, once, in front of the real process."""

import pytest

from sandbox import Answers, Request, Sandbox, faults, make_event
from sandbox.connector import Settings
from sandbox.faults import Fault
from sandbox.instants import now_ms
from tests.process.scene import HOUR_MS, MINUTE_MS, SECOND_MS, eventually, history, scene

PAGED = Settings(chunk_size=200)


def _is_a_later_page(request: Request) -> bool:
    return bool(request.json().get("search_after"))


TRANSIENT: list[Fault] = [
    faults.Status(429, retry_after_seconds=1),
    faults.Status(429),
    faults.Status(500),
    faults.Status(502, form="html"),
    faults.Status(504, form="empty"),
    faults.ResetBeforeHeaders(),
    faults.ResetMidBody(),
    faults.TruncatedBody(),
    faults.HangMidBody(0.5),
    faults.BrokenJson(),
    faults.ObjectInsteadOfArray(),
    faults.NullBody(),
    faults.HtmlPage(),
    faults.MissingHeaders(),
    faults.MissingHeaders(("X-Search_after",)),
    faults.WrongResultCount(1),
    faults.WrongResultCount(-1),
    faults.StuckCursor(),
    faults.Descending("DESC"),
    faults.Descending("ASC"),
]


@pytest.mark.parametrize("fault", TRANSIENT, ids=repr)
def test_a_page_that_fails_is_asked_for_again_and_nothing_is_lost_or_repeated(
    fault: Fault,
) -> None:
    """The first page twice, then later ones: no loop, no skip, and few requests more."""
    with scene(
        history(1_200),
        PAGED,
        before=lambda sandbox, _: (
            sandbox.jumpcloud.faults.add(fault, endpoint="events", times=1),
            sandbox.jumpcloud.faults.add(fault, endpoint="events", times=2, when=_is_a_later_page),
        ),
    ) as on:
        on.delivers_all()
        requests_until_then = on.sandbox.jumpcloud.requests.arrivals("events")
        on.polls()

        assert [rule.fired for rule in on.sandbox.jumpcloud.faults.rules] == [1, 2]
        assert on.judgement == "clean"
        assert requests_until_then < 60


def test_new_events_do_not_wait_for_a_backlog_that_fails() -> None:
    """What cannot be read of the past keeps nobody from the present."""

    def is_of_the_backlog(request: Request) -> bool:
        return "end_time" in request.json()

    with scene(
        history(6_000, minutes=600),
        PAGED,
        before=lambda sandbox, _: sandbox.jumpcloud.faults.add(
            faults.Status(500), endpoint="events", when=is_of_the_backlog
        ),
    ) as on:
        on.sees(lambda: on.sandbox.jumpcloud.requests.statuses("events")[500], 6)
        event = make_event(now_ms())
        on.sandbox.jumpcloud.publish([event])

        assert eventually(lambda: event.text in on.sandbox.intake.texts)

        on.sandbox.jumpcloud.faults.clear()

        on.delivers_all(timeout_seconds=90)
        assert on.judgement == "clean"


@pytest.mark.lengthy
@pytest.mark.parametrize("fault", [faults.Hang(90), faults.HangMidBody(90)], ids=repr)
def test_an_answer_that_hangs_is_given_up_and_asked_for_again(fault: Fault) -> None:
    """After half a minute of silence, before the headers or in the middle of the body."""
    with scene(
        history(300),
        before=lambda sandbox, _: sandbox.jumpcloud.faults.add(fault, endpoint="events", times=1),
    ) as on:
        on.delivers_all(timeout_seconds=80)
        assert on.judgement == "clean"


@pytest.mark.parametrize(
    "answers",
    [
        Answers(end_time_inclusive=True, equal_start_and_end="refused"),
        Answers(without_end_time="until now", empty_page_cursor="empty"),
        Answers(empty_page_body="null", empty_page_cursor="stale", cursor_values="strings"),
        Answers(gzip=True, empty_buckets="left out", limit_above_maximum="clamped"),
    ],
    ids=["end inclusive", "until now", "null page", "gzip"],
)
def test_either_answer_to_what_is_not_documented_is_understood(answers: Answers) -> None:
    """New and late events arrive once each, over an exact multiple of the page."""
    with scene(history(1_000), PAGED, answers=answers) as on:
        on.delivers_all()
        late_ms = now_ms() - 50 * MINUTE_MS
        on.sandbox.jumpcloud.publish([make_event(now_ms()), make_event(late_ms)])
        on.delivers_all()
        on.polls(3)

        assert on.judgement == "clean"
        assert not on.sandbox.platform.messages("error", "critical")


def test_a_backlog_that_is_an_exact_multiple_of_the_page_ends_cleanly() -> None:
    """Its last page is empty, and the polls that follow ask for one page each."""
    with scene(history(400), Settings(chunk_size=100, audit_hours=0)) as on:
        on.delivers_all()
        before = on.sandbox.jumpcloud.requests.arrivals("events")
        reads = on.tail_reads
        on.polls(3)

        assert on.judgement == "clean"
        asked = on.sandbox.jumpcloud.requests.arrivals("events") - before
        assert asked <= on.tail_reads - reads + 2


def test_twenty_thousand_events_of_one_millisecond_come_through_small_pages() -> None:
    """Only the cursor tells them apart."""
    instant_ms = now_ms() - 5 * MINUTE_MS
    events = [make_event(instant_ms, id=f"{number:024x}") for number in range(20_000)]
    with scene(events, Settings(chunk_size=500)) as on:
        on.delivers_all()
        on.polls()

        assert on.judgement == "clean"


def test_a_redirect_is_refused_and_told_and_the_key_stays_at_home() -> None:
    """Collecting goes on by itself when the redirect is gone."""
    with Sandbox() as elsewhere, scene() as on:
        url = f"{elsewhere.jumpcloud.url}/insights/directory/v1/events"
        rule = on.sandbox.jumpcloud.faults.add(faults.Redirect(url))
        on.is_told("Redirects are not followed", "error")
        followed = elsewhere.jumpcloud.requests.arrivals()
        rule.on = False
        on.sandbox.jumpcloud.publish([make_event(now_ms())])

        assert followed == 0
        on.delivers_all()


def test_a_list_of_services_is_asked_for_as_a_list() -> None:
    """Other services' events stay where they are."""
    now = now_ms()
    wanted = [make_event(now - n * SECOND_MS, service=s) for n, s in enumerate(("sso", "radius"))]
    other = make_event(now - HOUR_MS // 2, service="directory")
    with scene([*wanted, other], Settings(service=" sso, radius,, sso")) as on:
        on.delivers(2)
        on.polls()

        asked = [entry.body["service"] for entry in on.sandbox.jumpcloud.requests.entries("events")]
        assert all(services == ["sso", "radius"] for services in asked)
        assert sorted(on.sandbox.intake.texts) == sorted(event.text for event in wanted)


def test_a_429_is_answered_with_patience() -> None:
    """Nothing is asked for before the time that Retry-After names."""
    with scene(
        history(100),
        before=lambda sandbox, _: sandbox.jumpcloud.faults.add(
            faults.Status(429, retry_after_seconds=4), endpoint="events", times=1
        ),
    ) as on:
        on.delivers_all()

        first, second = on.sandbox.jumpcloud.requests.entries("events")[:2]
        assert first.status == 429
        assert second.started - first.ended > 3.5
