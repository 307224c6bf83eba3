"""Many organizations in one sandbox: each sees its own events, with its own key, and is judged."""

from __future__ import annotations

import json
from collections.abc import Iterable

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from sandbox import (
    API_KEY,
    INTAKE_KEY,
    Event,
    Organization,
    Sandbox,
    Verdict,
    dealt,
    faults,
    generate,
    make_event,
    many,
    wait_until,
)
from sandbox.apart import SandboxProcess
from sandbox.instants import instant_text, now_ms
from sandbox.live import Live
from sandbox.running_verdict import RunningVerdict, SoFar
from sandbox.server import Addresses

NOW_MS = now_ms()
A, B, C = (one.id for one in many(3))
KEY_OF_A, KEY_OF_B, KEY_OF_C = (one.intake_key for one in many(3))
EVENTS = dealt(generate(60, NOW_MS - 60_000, NOW_MS - 1_000, seed=1), [A, B, C])


def of(organization: str, events: Iterable[Event] = EVENTS) -> list[Event]:
    """Return the events of one organization."""
    return [event for event in events if event.organization == organization]


def ask(
    at: Sandbox | Addresses,
    organization: str | None = None,
    endpoint: str = "events",
    key: str = API_KEY,
    **body: object,
) -> requests.Response:
    """Ask about an organization, or about none."""
    addresses = at.addresses if isinstance(at, Sandbox) else at
    query = {"service": ["all"], "start_time": instant_text(NOW_MS - 600_000), **body}
    headers = {"x-api-key": key} | ({"x-org-id": organization} if organization else {})
    url = f"{addresses.jumpcloud_url}/insights/directory/v1/{endpoint}"
    return requests.post(url, json=query, headers=headers, timeout=10)


def push(at: Sandbox | Addresses, key: str, events: Iterable[Event]) -> requests.Response:
    """Send events with an intake key."""
    url = (at.addresses if isinstance(at, Sandbox) else at).intake_url
    batch = {"intake_key": key, "jsons": [event.text.decode() for event in events]}
    return requests.post(f"{url}/batch", json=batch, timeout=10)


def counts(verdict: Verdict) -> dict[str, int]:
    """Return what is not as it should be."""
    names = ("lost", "duplicated", "altered", "foreign", "misdelivered")
    return {name: count for name in names if (count := getattr(verdict, name))}


def test_each_organization_sees_its_own_events_and_no_others() -> None:
    """In pages, counts, buckets and values alike."""
    with Sandbox(EVENTS, organizations=many(3)) as sandbox:
        page = ask(sandbox, B)
        count = ask(sandbox, B, "events/count").json()["count"]
        buckets = ask(sandbox, B, "events/interval", interval_unit="h").json()["buckets"]
        values = ask(sandbox, B, "events/distinct", field="service").json()["buckets"]
        without = ask(sandbox)

    own = of(B)
    assert page.content == b"[" + b",".join(event.text for event in own) + b"]"
    assert count == len(own) == 20
    assert sum(bucket["doc_count"] for bucket in buckets) == len(own)
    assert sum(value["doc_count"] for value in values) == len(own)
    assert without.json() == {"message": "Unauthorized: no organization selected"}


def test_an_event_becomes_visible_to_its_own_organization() -> None:
    """At its time, and to nobody else."""
    with Sandbox(organizations=many(2)) as sandbox:
        due_ms = now_ms() + 300
        sandbox.jumpcloud.publish([make_event(NOW_MS, organization=A, visible_ms=due_ms)])
        before = ask(sandbox, A, "events/count").json()["count"]
        came = wait_until(lambda: ask(sandbox, A, "events/count").json()["count"] == 1)

        assert (before, came) == (0, True)
        assert ask(sandbox, B, "events/count").json()["count"] == 0


def test_a_cursor_of_one_organization_is_none_of_another_s() -> None:
    """Nobody reads on in somebody else's events."""
    with Sandbox(EVENTS, organizations=many(3)) as sandbox:
        cursor = json.loads(ask(sandbox, A, limit=5).headers["X-Search_after"])

        assert ask(sandbox, A, limit=5, search_after=cursor).status_code == 200
        assert ask(sandbox, B, limit=5, search_after=cursor).status_code == 400


def test_an_organization_s_own_key_reaches_it_alone() -> None:
    """The others are left to the sandbox's key; each lists what it reaches."""
    own = Organization(C, "customer-0003", KEY_OF_C, api_key="jca_of_c_alone")
    with Sandbox(EVENTS, organizations=[*many(2), own], keys={"jca_of_two": [A, B]}) as sandbox:
        statuses = {
            (key, organization): ask(sandbox, organization, key=key).status_code
            for key in ("jca_of_c_alone", "jca_of_two", API_KEY)
            for organization in (A, C)
        }
        without = ask(sandbox, key="jca_of_c_alone")
        listed = requests.get(
            f"{sandbox.jumpcloud.url}/api/organizations",
            headers={"x-api-key": "jca_of_two"},
            timeout=10,
        ).json()["results"]

    assert statuses == {
        ("jca_of_c_alone", A): 400,
        ("jca_of_c_alone", C): 200,
        ("jca_of_two", A): 200,
        ("jca_of_two", C): 400,
        (API_KEY, A): 400,
        (API_KEY, C): 400,
    }
    assert without.content == b"[" + b",".join(event.text for event in of(C)) + b"]"
    assert [(one["id"], one["displayName"]) for one in listed] == [
        (A, "customer-0001"),
        (B, "customer-0002"),
    ]


def test_one_organization_s_keys_are_refused_and_accepted_again() -> None:
    """At both ends; the others' are not concerned."""
    own = Organization(B, "customer-0002", KEY_OF_B, api_key="jca_of_b_alone")
    with Sandbox(EVENTS, organizations=[many(1)[0], own]) as sandbox:
        sandbox.jumpcloud.refused_keys.add("jca_of_b_alone")
        sandbox.intake.refused_keys.add(KEY_OF_B)
        refused = [ask(sandbox, B, key="jca_of_b_alone"), push(sandbox, KEY_OF_B, of(B))]
        others = [ask(sandbox, A), push(sandbox, KEY_OF_A, of(A))]
        sandbox.jumpcloud.refused_keys.clear()
        sandbox.intake.refused_keys.clear()
        again = [ask(sandbox, B, key="jca_of_b_alone"), push(sandbox, KEY_OF_B, of(B))]

    assert [reply.status_code for reply in refused] == [401, 401]
    assert [reply.status_code for reply in (*others, *again)] == [200] * 4


@pytest.mark.parametrize("organization", [A, [A, C]])
def test_a_fault_may_be_limited_to_organizations(organization: str | list[str]) -> None:
    """By whom a request is about at JumpCloud, and by whose key it is at the intake."""
    with Sandbox(EVENTS, organizations=many(3)) as sandbox:
        for end in (sandbox.jumpcloud, sandbox.intake):
            end.faults.add(faults.Status(503), organization=organization)
        asked = [ask(sandbox, one).status_code for one in (A, B, C)]
        pushed = [push(sandbox, key, []).status_code for key in (KEY_OF_A, KEY_OF_B, KEY_OF_C)]
        sandbox.jumpcloud.faults.clear()
        with sandbox.jumpcloud.faults.during(faults.Status(429), organization=B):
            during = [ask(sandbox, one).status_code for one in (A, B)]

    assert asked == pushed == [503, 200, 200 if organization == A else 503]
    assert during == [200, 429]


def test_one_organization_hangs_while_the_others_answer() -> None:
    """The sandbox is not held up by it."""
    with Sandbox(EVENTS, organizations=many(2)) as sandbox:
        sandbox.jumpcloud.faults.add(faults.Hang(60), organization=A)
        with pytest.raises(requests.ReadTimeout):
            requests.post(
                f"{sandbox.jumpcloud.url}/insights/directory/v1/events",
                json={},
                headers={"x-api-key": API_KEY, "x-org-id": A},
                timeout=0.3,
            )

        assert ask(sandbox, B).status_code == 200


def test_requests_are_told_apart_by_organization() -> None:
    """So that a test can count what one of them was asked."""
    with Sandbox(EVENTS, organizations=many(2)) as sandbox:
        for organization in (A, B, A):
            ask(sandbox, organization)
        log = sandbox.jumpcloud.requests

        assert [entry.organization for entry in log.entries("events")] == [A, B, A]
        assert len(log.entries(organization=A)) == 2


def test_each_organization_has_a_verdict_of_its_own() -> None:
    """One is clean, one lost an event, one got an event twice; the sum says all of it."""
    with Sandbox(EVENTS, organizations=many(3)) as sandbox:
        push(sandbox, KEY_OF_A, of(A))
        push(sandbox, KEY_OF_B, of(B)[1:])
        push(sandbox, KEY_OF_C, [*of(C), of(C)[0]])
        verdicts, verdict = sandbox.verdicts(), sandbox.verdict()

    assert {name: counts(one) for name, one in verdicts.items()} == {
        A: {},
        B: {"lost": 1},
        C: {"duplicated": 1},
    }
    assert verdicts[B].lost_ids == (of(B)[0].label,)
    assert [(one.produced, one.accepted) for one in verdicts.values()] == [
        (20, 20),
        (20, 19),
        (20, 21),
    ]
    assert (verdict.produced, verdict.accepted) == (60, 60)
    assert counts(verdict) == {"lost": 1, "duplicated": 1}


def test_an_event_that_arrives_with_another_organization_s_key_is_found() -> None:
    """It is told of whose it is, with whose key it came; there it counts as nothing else."""
    stray = of(A)[3]
    with Sandbox(EVENTS, organizations=many(3)) as sandbox:
        running = RunningVerdict(sandbox.jumpcloud, sandbox.intake)
        push(sandbox, KEY_OF_A, [event for event in of(A) if event is not stray])
        push(sandbox, KEY_OF_B, [*of(B), stray])
        push(sandbox, KEY_OF_C, of(C))
        verdicts, verdict, so_far = sandbox.verdicts(), sandbox.verdict(), running.look()
        each = running.by_organization()

    assert counts(verdicts[A]) == {"lost": 1, "misdelivered": 1}
    assert verdicts[A].misdelivered_ids == (f"{stray.label} (with the key of {B})",)
    assert counts(verdicts[B]) == counts(verdicts[C]) == {}
    assert (verdict.accepted, counts(verdict)) == (60, {"lost": 1, "misdelivered": 1})
    assert not verdict.clean
    assert not verdict.is_but_repeated
    assert "misdelivered         1  " in verdict.table()
    assert so_far == SoFar(60, 60, waiting=1, twice=0, strange=0, misdelivered=1)
    assert each[A] == SoFar(20, 19, waiting=1, twice=0, strange=0, misdelivered=1)
    assert each[B] == SoFar(20, 20, waiting=0, twice=0, strange=0)


def test_an_event_that_arrives_with_its_own_key_too_is_misdelivered_all_the_same() -> None:
    """Nothing is lost by it, and it is no duplicate."""
    with Sandbox(EVENTS, organizations=many(2)) as sandbox:
        push(sandbox, KEY_OF_A, of(A))
        push(sandbox, KEY_OF_B, [*of(B), *of(A)])

        assert counts(sandbox.verdicts()[A]) == {"misdelivered": 20}


@pytest.mark.parametrize("is_altered", [False, True])
def test_the_sandbox_s_own_key_is_another_s_too(is_altered: bool) -> None:
    """Whatever became of its bytes."""
    event = of(A)[0]
    text = event.text.replace(b":", b" :", 1) if is_altered else event.text
    with Sandbox(of(A), organizations=many(2)) as sandbox:
        push(sandbox, INTAKE_KEY, [make_event(0, text=text)])

        assert sandbox.verdict().misdelivered_ids == (
            f"{event.label} (with the key of no organization)",
        )


def test_equal_events_of_two_organizations_are_owed_to_both() -> None:
    """As RADIUS makes them: what one got is not the other's."""
    twins = [make_event(NOW_MS, text=b'{"id":"twin"}', organization=one) for one in (A, B)]
    with Sandbox(twins, organizations=many(2)) as sandbox:
        running = RunningVerdict(sandbox.jumpcloud, sandbox.intake)
        push(sandbox, KEY_OF_A, [twins[0]])
        half, waiting = sandbox.verdicts(), running.by_organization()
        push(sandbox, KEY_OF_B, [twins[1]])

        assert {name: counts(one) for name, one in half.items()} == {A: {}, B: {"lost": 1}}
        assert [waiting[one].waiting for one in (A, B)] == [0, 1]
        assert sandbox.verdict().clean
        assert running.look().waiting == 0


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["publish", "copy", "send", "misdeliver", "stranger"]),
        st.integers(0, 2),
        st.integers(0, 50),
    )
)


@given(STEPS)
def test_what_is_counted_meanwhile_is_the_verdict_of_each(
    steps: list[tuple[str, int, int]],
) -> None:
    """Whatever came for whom with whose key."""
    organizations = many(3)
    sandbox = Sandbox(organizations=organizations)
    running = RunningVerdict(sandbox.jumpcloud, sandbox.intake)
    published: list[Event] = []
    for kind, place, number in steps:
        chosen = published[number % len(published)] if published else None
        if kind == "publish" or chosen is None:
            event = make_event(now_ms() - 1_000, organization=organizations[place].id)
            published.append(event)
            sandbox.jumpcloud.publish([event])
        elif kind == "copy":
            published.append(chosen)
            sandbox.jumpcloud.publish([chosen])
        else:
            owner = [A, B, C].index(chosen.organization)
            key = organizations[(owner + (kind == "misdeliver")) % 3].intake_key
            text = b"{}" if kind == "stranger" else chosen.text
            batch = {"intake_key": key, "jsons": [text.decode()]}
            assert sandbox.intake._take(batch).status == 200
        if number % 2:
            running.look()

    each, verdicts = running.by_organization(), sandbox.verdicts()

    assert each.keys() <= verdicts.keys()
    for organization, so_far in each.items():
        verdict = verdicts[organization]
        assert (so_far.produced, so_far.accepted) == (verdict.produced, verdict.accepted)
        assert (so_far.waiting, so_far.twice) == (verdict.lost, verdict.duplicated)
        assert (so_far.strange, so_far.misdelivered) == (verdict.foreign, verdict.misdelivered)
    assert running.look().accepted == sandbox.verdict().accepted == sandbox.intake.count


def test_organizations_without_a_key_of_their_own_are_judged_as_one() -> None:
    """They share an intake, so nothing can be misdelivered between them."""
    with Sandbox(EVENTS, organizations={A: "A", B: "B", C: "C"}) as sandbox:
        push(sandbox, INTAKE_KEY, EVENTS[:-1])
        verdicts = sandbox.verdicts()

    assert {name: counts(one) for name, one in verdicts.items()} == {"": {"lost": 1}}


def test_what_names_no_organization_belongs_to_the_first() -> None:
    """Also what was published before there was any."""
    with Sandbox([make_event(NOW_MS - 2_000)]) as sandbox:
        for organization in many(2):
            sandbox.add(organization)
        sandbox.jumpcloud.publish([make_event(NOW_MS - 1_000)])

        assert len(ask(sandbox, A).json()) == 2
        assert ask(sandbox, B).json() == []
        assert sandbox.verdicts()[A].produced == 2


def test_organizations_come_while_it_is_served() -> None:
    """With their keys at both ends; one that is there may get a further intake key."""
    with Sandbox(organizations=many(1)) as sandbox:
        before = ask(sandbox, B).status_code, push(sandbox, KEY_OF_B, []).status_code
        sandbox.add(many(1, first=2)[0])
        sandbox.add(Organization(A, "customer-0001", "another_key_of_a"))
        sandbox.jumpcloud.publish([*of(A), *of(B)])
        push(sandbox, "another_key_of_a", of(A))
        push(sandbox, KEY_OF_B, of(B))
        after = ask(sandbox, B)

        assert before == (400, 401)
        assert len(after.json()) == 20
        assert sandbox.verdict().clean


def test_live_events_come_to_all_organizations_that_are_named() -> None:
    """Others can be named while it goes on."""
    with Sandbox(organizations=many(3)) as sandbox:
        with Live(sandbox.jumpcloud, per_second=300, organizations=[A, B]) as live:
            wait_until(lambda: len(sandbox.jumpcloud.published) > 100)
            first = {event.organization for event in sandbox.jumpcloud.published}
            live.organizations = (C,)
            place = len(sandbox.jumpcloud.published) + 60
            wait_until(lambda: len(sandbox.jumpcloud.published) > place + 30)
        then = {event.organization for event in sandbox.jumpcloud.published_since(place)}

    assert first == {A, B}
    assert then == {C}


def test_many_are_told_to_a_sandbox_apart_and_judged_there() -> None:
    """Events, faults, keys, delays and verdicts by organization cross its control port."""
    organizations = many(40)
    ids = [one.id for one in organizations]
    start_ms = now_ms() - 60_000
    with SandboxProcess() as sandbox:
        sandbox.add(organizations)
        sandbox.generate(400, start_ms, start_ms + 50_000, seed=3, organizations=ids)
        events = dealt(generate(400, start_ms, start_ms + 50_000, seed=3), ids)
        sandbox.add_fault("jumpcloud", faults.Status(503), organization=ids[:2])
        sandbox.refuse_keys([organizations[3].intake_key])
        asked = [ask(sandbox.addresses, one).status_code for one in ids[:3]]
        for one in organizations[:5]:
            push(sandbox.addresses, one.intake_key, of(one.id, events))
        push(sandbox.addresses, organizations[5].intake_key, of(ids[6], events)[:1])
        verdicts, delays = sandbox.verdicts(), sandbox.delays_ms_by_organization()
        exchanges, accepted = sandbox.exchanges(), sandbox.accepted()

    assert asked == [503, 503, 200]
    assert [counts(verdicts[one]) for one in ids[:7]] == [
        {},
        {},
        {},
        {"lost": 10},
        {},
        {"lost": 10},
        {"lost": 10, "misdelivered": 1},
    ]
    assert [len(delays[one]) for one in ids[:4]] == [10, 10, 10, 0]
    assert [row[1:] for row in exchanges] == [
        ("events", organization, status)
        for organization, status in zip(ids, [503, 503, 200], strict=False)
    ]
    assert accepted == 41
