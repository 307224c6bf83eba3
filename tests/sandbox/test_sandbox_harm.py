"""Harm over HTTP: who may do it, what is refused, and the verdict that is kept meanwhile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from sandbox import API_KEY, INTAKE_KEY, Event, Sandbox, make_event, many, wait_until
from sandbox.guard import guarded, refused_for
from sandbox.harm import HARMS
from sandbox.harm_to_one import HARMS_TO_ONE
from sandbox.http import Request, RequestLog, Server
from sandbox.incidents import Incident, counted
from sandbox.instants import now_ms
from sandbox.running_verdict import RunningVerdict
from sandbox.scene import Scene

HOST = "127.0.0.1:8100"


def _request(method: str = "POST", **headers: str) -> Request:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request(method, "/api/harms/kill", {"host": HOST, **named}, b"", 0)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": f"http://{HOST}", "sec_fetch_site": "same-origin"},
        {"host": "localhost:8100", "origin": "http://localhost:8100"},
        {"host": "[::1]:8100"},
        {"sec_fetch_site": "none"},
    ],
)
def test_a_person_on_this_machine_may_change_things(headers: dict[str, str]) -> None:
    """By a command, or from the sandbox's own page."""
    assert refused_for(_request(**headers)) == ""


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://elsewhere.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9999"},
        {"origin": f"https://{HOST}"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"host": "elsewhere.example", "origin": "http://elsewhere.example"},
        {"host": "127.0.0.1.elsewhere.example"},
        {"host": "[broken"},
        {"host": ""},
    ],
)
def test_a_page_from_elsewhere_presses_no_button(headers: dict[str, str]) -> None:
    """Neither by a form, nor under a name of its own that leads here."""
    assert refused_for(_request(**headers)) != ""


def test_a_name_that_leads_here_reads_nothing_either() -> None:
    """A page that was loaded under such a name could."""
    assert refused_for(_request("GET", host="elsewhere.example")) != ""
    assert refused_for(_request("GET", origin="http://elsewhere.example")) == ""


@pytest.fixture
def scene() -> Iterator[Scene]:
    """Return a sandbox with a few events, for a client that is not ours."""
    events = [make_event(now_ms() - 5_000) for _ in range(3)]
    with Sandbox(events) as sandbox, Scene(sandbox) as scene:
        yield scene


@pytest.fixture
def api(scene: Scene) -> Iterator[str]:
    """Return the address of its API."""
    server = Server("api", guarded(scene.api.answer), RequestLog(), scene.sandbox.errors)
    server.start()
    yield f"{server.url}/api"
    server.stop()


def test_the_port_itself_refuses_another_page(api: str, scene: Scene) -> None:
    """With the reason, and nothing is done."""
    answer = requests.post(
        f"{api}/harms/burst", headers={"Origin": "http://elsewhere.example"}, timeout=10
    )

    assert answer.status_code == 403
    assert "another origin" in answer.json()["message"]
    assert scene.incidents.all == []


@pytest.mark.parametrize(
    ("method", "path", "payload", "status", "said"),
    [
        ("POST", "harms/earthquake", b"", 404, "no harm of the name 'earthquake'"),
        ("POST", "harms/burst", b"{", 400, "not JSON"),
        ("POST", "harms/burst", b'{"amount": "many"}', 400, "names no amount"),
        ("POST", "harms/burst", b'{"amount": true}', 400, "names no amount"),
        ("POST", "harms/burst", b'{"amount": 1e9}', 400, "1 to 100000 events"),
        ("POST", "harms/kill", b"", 409, "not one that the sandbox started"),
        ("POST", "harms", b"", 404, "not known"),
        ("GET", "nothing", b"", 404, "not known"),
        ("GET", "incidents/7", b"", 404, "no incident 7"),
        ("DELETE", "incidents/7", b"", 404, "no incident 7"),
        ("DELETE", "incidents/x", b"", 404, "no incident x"),
    ],
)
def test_what_cannot_be_done_is_answered_with_a_sentence(
    api: str, method: str, path: str, payload: bytes, status: int, said: str
) -> None:
    """And with the status that fits."""
    answer = requests.request(method, f"{api}/{path}", data=payload, timeout=10)

    assert answer.status_code == status
    assert said in answer.json()["message"]


def test_each_harm_is_listed_with_its_bounds_and_what_is_missing(api: str) -> None:
    """What is offered lies within what is allowed; a process that is not ours is left alone."""
    listed = requests.get(f"{api}/harms", timeout=10).json()

    assert [harm["name"] for harm in listed] == [harm.name for harm in (*HARMS, *HARMS_TO_ONE)]
    for harm in listed:
        assert all(harm["least"] <= value <= harm["most"] for value in harm["choices"].values())
        assert bool(harm["missing"]) == (harm["place"] == "connector" or harm["to_one"])


@pytest.fixture
def several() -> Iterator[Scene]:
    """Return a sandbox of three organizations, the third with an API key of its own."""
    organizations = many(3, own_key_every=3)
    events = [make_event(now_ms() - 5_000, organization=one.id) for one in organizations]
    with (
        Sandbox(events, organizations=organizations) as sandbox,
        Scene(sandbox, organizations=organizations) as scene,
    ):
        yield scene


def _asked(scene: Scene) -> list[int]:
    """Ask about each organization with its key, and return the answers' statuses."""
    return [
        requests.post(
            f"{scene.sandbox.jumpcloud.url}/insights/directory/v1/events/count",
            json={"service": ["all"], "start_time": "2026-11-01T00:00:00Z"},
            headers={"x-api-key": one.api_key or API_KEY, "x-org-id": one.id},
            timeout=30,
        ).status_code
        for one in scene.target.organizations
    ]


def _sent(scene: Scene) -> list[int]:
    """Send each organization's events with its key, and return the answers' statuses."""
    published = scene.sandbox.jumpcloud.published
    sent = set(scene.sandbox.intake.digests)
    return [
        requests.post(
            f"{scene.sandbox.intake.url}/batch",
            json={
                "intake_key": one.intake_key,
                "jsons": [
                    event.text.decode()
                    for event in published
                    if event.organization == one.id and event.digest() not in sent
                ],
            },
            timeout=10,
        ).status_code
        for one in scene.target.organizations
    ]


def _end(scene: Scene, incident: Incident) -> list[str]:
    """End it, let a client send what came after it, and return what is told of it."""
    scene.incidents.end(incident.number)
    assert wait_until(lambda: incident.state == "recovering")
    assert wait_until(lambda: _sent(scene) and incident.settled.is_set())
    return list(incident.told)


def test_a_key_of_one_organization_is_refused_and_no_other(several: Scene) -> None:
    """First of one that has its own, then of one of those that share one."""
    assert _sent(several) == [200, 200, 200]
    for place in (2, 1):
        incident = several.incidents.begin("one-expired-key", 600)
        assert wait_until(lambda: 401 in _asked(several))
        asked = _asked(several)
        told = _end(several, incident)

        assert [number for number, status in enumerate(asked) if status == 401] == [place]
        assert told[0] == f"customer-000{place + 1}: its API key was refused."
        assert told[-1].endswith("0 lost, 0 twice, 0 altered: clean.")
    assert _asked(several) == [200, 200, 200]


def test_an_intake_key_of_one_organization_is_refused_and_no_other(several: Scene) -> None:
    """Until it is over."""
    assert _sent(several) == [200, 200, 200]
    incident = several.incidents.begin("one-refused-intake-key", 600)
    assert wait_until(lambda: 401 in _sent(several))
    sent = _sent(several)
    told = _end(several, incident)

    assert sorted(sent) == [200, 200, 401]
    assert told[0].endswith(": its intake key was refused.")
    assert _sent(several) == [200, 200, 200]


def test_of_all_keys_none_is_accepted_by_the_harm_to_all(several: Scene) -> None:
    """Those of single organizations are among them."""
    for name in ("refused-key", "refused-intake-key"):
        several.incidents.begin(name, 600)

    assert wait_until(lambda: set(_asked(several)) == {401})
    assert wait_until(lambda: set(_sent(several)) == {401})
    several.incidents.end_all()
    assert wait_until(lambda: set(_asked(several)) == set(_sent(several)) == {200})


def test_harm_with_events_comes_to_all_organizations(several: Scene) -> None:
    """Late ones, a burst, and those that show that collecting goes on."""
    several.incidents.begin("burst", 30)
    published = several.sandbox.jumpcloud
    assert wait_until(lambda: len(published.published) >= 36)

    counts = Counter(event.organization for event in published.published)
    assert set(counts.values()) == {12}


def test_one_organization_s_harm_needs_several(api: str) -> None:
    """With how to have them."""
    answer = requests.post(f"{api}/harms/one-hangs", timeout=10)

    assert answer.status_code == 409
    assert "--organizations" in answer.json()["message"]


def test_the_verdict_and_the_keys_of_several_are_told(several: Scene) -> None:
    """The keys in the form of a connector's list."""
    server = Server("api", guarded(several.api.answer), RequestLog(), several.sandbox.errors)
    server.start()
    _sent(several)
    several.observer.look()

    verdict = requests.get(f"{server.url}/api/verdict", timeout=10).json()
    listed = requests.get(f"{server.url}/api/organizations.csv", timeout=10).text
    state = requests.get(f"{server.url}/api/state", timeout=10).json()
    server.stop()

    first = several.target.organizations[0]
    assert verdict["organizations"][first.id]["clean"] is True
    assert listed.splitlines()[:2] == [
        "name,organization_id,intake_key,apikey",
        f"customer-0001,{first.id},{first.intake_key},",
    ]
    assert [one["word"] for one in state["organizations"]] == ["all arrived"] * 3


def test_a_client_that_is_not_ours_is_judged_by_the_same_verdict(api: str, scene: Scene) -> None:
    """What it sent on counts, while harm lasts and afterwards."""
    begun = requests.post(f"{api}/harms/jumpcloud-outage", json={"amount": 600}, timeout=10).json()
    with pytest.raises(requests.ConnectionError):
        requests.post(scene.sandbox.jumpcloud.url, timeout=10)
    requests.delete(f"{api}/incidents/{begun['number']}", timeout=10)
    assert wait_until(lambda: len(scene.sandbox.jumpcloud.published) == 4)

    _send(scene.sandbox, [event.text for event in scene.sandbox.jumpcloud.published])

    assert wait_until(lambda: scene.incidents.are_settled)
    incident = requests.get(f"{api}/incidents/{begun['number']}", timeout=10).json()
    state = requests.get(f"{api}/state", timeout=10).json()
    assert incident["told"][-1] == (
        "Verdict: 4 published, 4 accepted, 0 lost, 0 twice, 0 altered: clean."
    )
    assert requests.get(f"{api}/verdict", timeout=10).json()["clean"] is True
    assert state["so_far"]["accepted"] == 4
    assert state["state"] == "not ours"


def test_it_is_told_how_many_answers_were_wrong(api: str, scene: Scene) -> None:
    """Of broken pages no status tells."""
    begun = requests.post(f"{api}/harms/slow-pages", json={"amount": 600}, timeout=10).json()
    requests.post(scene.sandbox.jumpcloud.url, timeout=10)
    requests.delete(f"{api}/incidents/{begun['number']}", timeout=10)
    assert wait_until(lambda: len(scene.sandbox.jumpcloud.published) == 4)

    _send(scene.sandbox, [event.text for event in scene.sandbox.jumpcloud.published])

    assert wait_until(lambda: scene.incidents.are_settled)
    assert scene.incidents.all[0].told[0] == "That befell 1 of JumpCloud's answers."


def _send(sandbox: Sandbox, texts: list[bytes]) -> None:
    batch = {"intake_key": INTAKE_KEY, "jsons": [text.decode() for text in texts]}
    requests.post(f"{sandbox.intake.url}/batch", json=batch, timeout=10).raise_for_status()


@given(
    st.lists(st.tuples(st.sampled_from(["publish", "copy", "send", "stranger"]), st.integers(0)))
)
def test_the_verdict_so_far_is_the_verdict(steps: list[tuple[str, int]]) -> None:
    """Whatever came in whatever order; an altered or foreign event is strange to it."""
    sandbox = Sandbox()
    running = RunningVerdict(sandbox.jumpcloud, sandbox.intake)
    published: list[Event] = []
    for kind, number in steps:
        if kind == "publish" or not published:
            published.append(make_event(now_ms() - 1_000))
            sandbox.jumpcloud.publish(published[-1:])
        elif kind == "copy":
            published.append(published[number % len(published)])
            sandbox.jumpcloud.publish(published[-1:])
        else:
            text = published[number % len(published)].text
            _take(sandbox, text if kind == "send" else text + b" ")
        if number % 2:
            running.look()

    so_far, verdict = running.look(), sandbox.verdict()

    assert so_far.produced == verdict.produced
    assert so_far.accepted == verdict.accepted
    assert so_far.twice == verdict.duplicated
    assert so_far.strange == verdict.altered + verdict.foreign
    assert so_far.waiting - _altered_only(sandbox) == verdict.lost


def test_what_nobody_could_read_yet_is_not_published() -> None:
    """So that what is published is what was accepted and what is on its way."""
    seen, late = make_event(now_ms()), make_event(now_ms(), visible_ms=now_ms() + 60_000)
    sandbox = Sandbox([seen, late])

    so_far = RunningVerdict(sandbox.jumpcloud, sandbox.intake).look()

    assert (so_far.produced, so_far.published, so_far.waiting, so_far.hidden) == (2, 1, 1, 1)


def _altered_only(sandbox: Sandbox) -> int:
    """Count the events that arrived with other bytes alone: altered, and so not lost."""
    accepted = set(sandbox.intake.digests)
    arrived = {text.rstrip() for text in sandbox.intake.texts}
    digests = {event.digest(): event.text for event in sandbox.jumpcloud.published}
    return sum(1 for d, text in digests.items() if d not in accepted and text in arrived)


def _take(sandbox: Sandbox, text: bytes) -> None:
    batch: dict[str, Any] = {"intake_key": INTAKE_KEY, "jsons": [text.decode()]}
    assert sandbox.intake._take(batch).status == 200


@pytest.mark.parametrize(
    ("count", "told"), [(0, "0 events"), (1, "1 event"), (2_000, "2,000 events")]
)
def test_a_count_agrees_with_its_noun(count: int, told: str) -> None:
    """As a person would say it."""
    assert counted(count, "event") == told
