"""The Sekoia intake over HTTP: every event accepted, or set aside and named."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import orjson
import pytest

from jumpcloud_modules.delivery import Delivery, Quarantined
from jumpcloud_modules.errors import Refused, Stopped
from jumpcloud_modules.events import Event, cut
from jumpcloud_modules.http.retry import Failure, Retry
from jumpcloud_modules.intake import client as intake_module
from jumpcloud_modules.intake.batches import MAX_EVENT_BYTES
from jumpcloud_modules.intake.client import Intake, IntakeOptions
from jumpcloud_modules.intake.quarantine import Quarantine
from jumpcloud_modules.state.folder import Folder
from sandbox import INTAKE_KEY, Reply, Sandbox, faults, generate, wait_until
from sandbox.instants import now_ms
from tests.doubles import NOON_MS, Says, Waits, event_at, events_of, impatient_retry, texts_of


@dataclass
class _End:
    """An intake, its client, and what was told of both."""

    sandbox: Sandbox
    folder: Path
    stop: Waits
    failures: list[Failure] = field(default_factory=list)
    set_aside: list[Quarantined] = field(default_factory=list)
    accepted: list[int] = field(default_factory=list)

    def intake(self, key: str = INTAKE_KEY, retry: Retry | None = None) -> Intake:
        return Intake(
            IntakeOptions(self.sandbox.addresses.intake_url + "/", key),
            Quarantine(Folder(self.folder)),
            retry or impatient_retry(self.stop, self.failures.append),
            impatient_retry(),
            on_accepted=lambda count, _: self.accepted.append(count),
            on_set_aside=self.set_aside.append,
        )

    def deliver(self, events: Sequence[Event], retry: Retry | None = None) -> Delivery:
        delivery = Delivery()
        self.intake(retry=retry).deliver(events_of(*events), delivery)
        return delivery

    def kept(self) -> list[bytes]:
        return sorted(path.read_bytes() for path in self.folder.glob("*.json"))


@pytest.fixture
def end(tmp_path: Path) -> Iterator[_End]:
    """Serve an intake."""
    with Sandbox() as sandbox:
        yield _End(sandbox, tmp_path / "quarantine", Waits())


def _events(count: int, more: str = "") -> list[Event]:
    return [event_at(NOON_MS + number, str(number), more) for number in range(count)]


def test_events_arrive_as_they_are_and_in_order_with_a_receipt_each(end: _End) -> None:
    """Odd numbers, escapes, blanks and all."""
    made = generate(300, now_ms() - 60_000, now_ms(), seed=1, surrogate_share=0.1)
    events = cut(b"[" + b",".join(event.text for event in made) + b"]").events

    delivery = end.deliver(events)

    assert end.sandbox.intake.texts == [event.text for event in made]
    assert len(set(delivery.receipts)) == 300
    assert (delivery.accepted, delivery.missing_receipts, delivery.quarantined) == (300, 0, [])
    assert end.accepted == [300]


def test_no_events_cost_no_request(end: _End) -> None:
    """A quiet poll is quiet."""
    delivery = end.deliver([])

    assert delivery.accepted == 0
    assert end.sandbox.intake.requests.arrivals() == 0


def test_bodies_are_compressed_and_far_below_the_intakes_bound(end: _End) -> None:
    """Ten mebibytes, before compression, however much a page holds and however it is escaped."""
    largest: list[int] = []

    def measure(request: object) -> bool:
        largest.append(len(request.payload))  # type: ignore[attr-defined]
        return False

    end.sandbox.intake.faults.add(faults.Status(500), when=measure)
    events = _events(150, ',"x":"' + '\\"' * 60_000 + '"')

    delivery = end.deliver(events)

    assert delivery.accepted == 150
    assert end.sandbox.intake.texts == texts_of(events)
    assert max(largest) < 10 * (1 << 20)
    assert len(largest) > 3
    wire = end.sandbox.intake.requests.received_bytes("batch")
    assert wire < sum(largest) / 5


@pytest.mark.parametrize("beyond", [0, 1])
def test_an_event_beyond_the_intakes_bound_is_set_aside(end: _End, beyond: int) -> None:
    """With its id, size and file; the ones around it arrive."""
    small = _events(2)
    frame = len(event_at(NOON_MS, "large", ',"x":""').raw)
    large = event_at(NOON_MS, "large", f',"x":"{"x" * (MAX_EVENT_BYTES - frame + beyond)}"')

    delivery = end.deliver([small[0], large, small[1]])

    assert len(large.raw) == MAX_EVENT_BYTES + beyond
    assert delivery.accepted == 3 - beyond
    assert [kept.identifier for kept in delivery.quarantined] == ["large"] * beyond
    assert end.set_aside == delivery.quarantined
    assert end.kept() == [bytes(large.raw)] * beyond
    assert all(f"{MAX_EVENT_BYTES} bytes" in kept.reason for kept in delivery.quarantined)


def test_an_event_that_is_no_utf8_is_set_aside(end: _End) -> None:
    """JSON texts travel as strings; its bytes are kept."""
    events = cut(b'[{"id":"a"},{"id":"b","x":"\xff"},{"id":"c"}]').events

    delivery = end.deliver(events)

    assert end.sandbox.intake.texts == [b'{"id":"a"}', b'{"id":"c"}']
    assert [kept.identifier for kept in delivery.quarantined] == ["b"]
    assert end.kept() == [b'{"id":"b","x":"\xff"}']


def test_many_events_that_are_no_utf8_hold_nothing_up(end: _End) -> None:
    """They are nothing that the intake refused."""
    texts = [b'{"id":"%d","x":"\xff"}' % number for number in range(230)]
    events = cut(b"[" + b",".join(texts) + b"]").events

    delivery = end.deliver(events)

    assert len(delivery.quarantined) == 230
    assert end.kept() == sorted(texts)
    assert end.stop.seconds == []


@pytest.mark.parametrize("status", [400, 422, 413])
def test_refused_events_are_isolated_while_the_rest_flows(end: _End, status: int) -> None:
    """Only they are set aside."""
    events = _events(100)
    for marker in ('"7\\"', '"64\\"', '"65\\"'):
        name = marker.strip('\\"')
        end.sandbox.intake.faults.add(faults.RefuseEvent(f'{{\\"id\\":\\"{name}\\"', status))

    delivery = end.deliver(events)

    assert sorted(kept.identifier for kept in delivery.quarantined) == ["64", "65", "7"]
    assert delivery.accepted == 97
    expected = [text for n, text in enumerate(texts_of(events)) if n not in (7, 64, 65)]
    assert end.sandbox.intake.texts == expected
    assert all("the intake" in kept.reason for kept in delivery.quarantined)
    assert end.sandbox.intake.requests.arrivals() < 60


def test_a_batch_that_the_intake_finds_too_large_is_split(end: _End) -> None:
    """Until it fits."""
    rule = end.sandbox.intake.faults.add(
        faults.Status(413), when=lambda request: len(request.payload) > 2_000
    )
    events = _events(100)

    delivery = end.deliver(events)

    assert delivery.accepted == 100
    assert delivery.quarantined == []
    assert end.sandbox.intake.texts == texts_of(events)
    assert rule.fired > 1


def test_many_refusals_in_a_row_hold_the_events_back(
    end: _End, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It cannot be the events then: the operator is told, and they flow when the cause ends."""
    monkeypatch.setattr(intake_module, "REFUSED_IN_A_ROW_BEFORE_HOLDING", 3)
    rule = end.sandbox.intake.faults.add(faults.Status(400))

    def repair(failure: Failure) -> None:
        end.failures.append(failure)
        rule.on = len(end.failures) < 5

    delivery = end.deliver(_events(8), impatient_retry(end.stop, repair))

    assert len(delivery.quarantined) == 3
    assert delivery.accepted == 5
    assert sum(end.accepted) == 5
    assert len(end.failures) == 5
    assert all(isinstance(failure.error, Refused) for failure in end.failures)
    error = end.failures[0].error
    assert "Check that the intake key is of the format" in str(error)
    assert (error.end, error.status, error.request) == ("The Sekoia intake", 400, "POST /batch")


def test_events_that_stay_refused_are_set_aside_in_the_end(
    end: _End, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing blocks the stream for ever."""
    monkeypatch.setattr(intake_module, "REFUSED_IN_A_ROW_BEFORE_HOLDING", 3)
    end.sandbox.intake.faults.add(faults.Status(422))

    delivery = end.deliver(_events(8))

    assert len(delivery.quarantined) == 8
    assert end.kept() == sorted(texts_of(_events(8)))
    assert len(end.stop.seconds) >= intake_module.HOLDING_TRIES


def test_an_outage_while_holding_sets_no_event_aside(
    end: _End, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That the intake is away says nothing of the event, and what was sent is not sent again."""
    monkeypatch.setattr(intake_module, "REFUSED_IN_A_ROW_BEFORE_HOLDING", 3)
    refusing = end.sandbox.intake.faults.add(faults.Status(400))

    def worse(failure: Failure) -> None:
        end.failures.append(failure)
        if len(end.failures) == 2:
            end.sandbox.intake.faults.clear()
            end.sandbox.intake.faults.add(faults.Status(503), times=100)

    delivery = end.deliver(_events(6), impatient_retry(end.stop, worse))

    assert refusing.fired
    assert len(delivery.quarantined) == 3
    assert end.sandbox.intake.texts == texts_of(_events(6))[3:]


@pytest.mark.parametrize("status", [401, 503])
def test_only_refusals_of_the_event_itself_count_while_holding(
    end: _End, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    """An outage, or a key that is refused, however long, leaves it as many tries as before."""
    monkeypatch.setattr(intake_module, "REFUSED_IN_A_ROW_BEFORE_HOLDING", 3)
    end.sandbox.intake.faults.add(faults.Status(400), times=7)  # four, in halves
    away = end.sandbox.intake.faults.add(
        faults.Status(status), times=intake_module.HOLDING_TRIES - 1
    )
    end.sandbox.intake.faults.add(faults.Status(400), times=1)

    delivery = end.deliver(_events(4))

    assert away.fired == intake_module.HOLDING_TRIES - 1
    assert len(delivery.quarantined) == 3
    assert end.sandbox.intake.texts == texts_of(_events(4))[3:]


def test_an_event_that_is_no_utf8_after_many_refusals_is_set_aside(
    end: _End, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It cannot be held up to the intake."""
    monkeypatch.setattr(intake_module, "REFUSED_IN_A_ROW_BEFORE_HOLDING", 2)
    for number in range(2):
        end.sandbox.intake.faults.add(faults.RefuseEvent(f'\\"id\\":\\"{number}\\"'))
    broken = cut(b'[{"id":"broken","x":"\xff"}]').events

    delivery = end.deliver([*_events(2), *broken, event_at(NOON_MS, "last")])

    assert {kept.identifier for kept in delivery.quarantined} == {"0", "1", "broken"}
    assert delivery.accepted == 1


def test_receipts_that_are_missing_are_counted_and_the_events_not_sent_again(end: _End) -> None:
    """The intake has accepted them."""
    end.sandbox.intake.faults.add(faults.ShortReceipts(missing=3))

    delivery = end.deliver(_events(10))

    assert (len(delivery.receipts), delivery.missing_receipts) == (7, 3)
    assert delivery.accepted == 10
    assert end.sandbox.intake.count == 10


def test_receipts_beyond_the_events_are_left_aside(end: _End) -> None:
    """As many as there are events belong to them."""
    end.sandbox.intake.faults.add(Says(Reply(200, orjson.dumps({"event_ids": list("abcde")}))))

    delivery = end.deliver(_events(2))

    assert delivery.receipts == ["a", "b"]
    assert delivery.missing_receipts == 0


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"null", b"{}", b'{"event_ids":null}', b'{"event_ids":"x"}']
)
def test_an_answer_without_receipts_is_none(end: _End, body: bytes) -> None:
    """A proxy says 200, too. It is sent until the intake itself answers."""
    end.sandbox.intake.faults.add(Says(Reply(200, body)), times=2)

    delivery = end.deliver(_events(2))

    assert len(delivery.receipts) == 2
    assert end.sandbox.intake.count == 2
    assert [str(failure.error) for failure in end.failures] == [
        "The Sekoia intake answered without receipts (event_ids)."
    ] * 2


@pytest.mark.parametrize("status", [200, 201, 202])
def test_every_success_is_one(end: _End, status: int) -> None:
    """With its receipts."""
    end.sandbox.intake.faults.add(Says(Reply(status, b'{"event_ids":["a"]}')))

    assert end.deliver(_events(1)).receipts == ["a"]


@pytest.mark.parametrize(
    "fault",
    [
        faults.Status(429),
        faults.Status(500),
        faults.Status(502, form="html"),
        faults.Status(503),
        faults.Status(504, form="empty"),
        faults.ResetBeforeHeaders(),
        faults.Redirect("http://127.0.0.1:9/batch"),
    ],
)
def test_a_passing_failure_is_waited_out(end: _End, fault: faults.Fault) -> None:
    """Every event arrives once."""
    end.sandbox.intake.faults.add(fault, times=5)

    delivery = end.deliver(_events(10))

    assert delivery.accepted == 10
    assert end.sandbox.intake.texts == texts_of(_events(10))
    assert len(end.failures) == 5


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refused_key_holds_everything_until_it_is_accepted(end: _End, status: int) -> None:
    """Nothing is set aside for it, and the remedy is named."""
    end.sandbox.intake.wrong_key_status = status
    end.sandbox.intake.intake_key = "another"

    def repair(failure: Failure) -> None:
        end.failures.append(failure)
        if len(end.failures) == 50:
            end.sandbox.intake.intake_key = INTAKE_KEY

    delivery = end.deliver(_events(5), impatient_retry(end.stop, repair))

    assert delivery.accepted == 5
    assert delivery.quarantined == []
    assert len(end.failures) == 50
    assert all(isinstance(failure.error, Refused) for failure in end.failures)
    assert "Check the intake key" in str(end.failures[0].error)


def test_what_the_intake_asks_for_in_retry_after_is_waited(end: _End) -> None:
    """To the second."""
    end.sandbox.intake.faults.add(faults.Status(429, retry_after_seconds=77), times=1)

    end.deliver(_events(1))

    assert end.stop.seconds == [77.0]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422, 429, 500])
def test_the_intake_key_is_in_no_message_even_where_the_intake_repeats_it(
    end: _End, status: int
) -> None:
    """Neither in a failure nor in the reason of an event set aside."""
    end.sandbox.intake.faults.add(faults.EchoKey(status), times=1)

    end.deliver(_events(1))

    told = [str(failure.error) for failure in end.failures] + [str(q) for q in end.set_aside]
    assert told
    assert all(INTAKE_KEY not in text for text in told)


@pytest.mark.parametrize("status", [401, 503])
def test_a_stop_is_heard_while_holding(end: _End, status: int) -> None:
    """Nothing is known of the events then, and nothing was set aside."""
    end.stop = Waits(stop_after=3)
    end.sandbox.intake.faults.add(faults.Status(status))

    with pytest.raises(Stopped):
        end.deliver(_events(5))

    assert end.set_aside == []
    assert end.kept() == []
    assert end.sandbox.intake.requests.arrivals() == 3


def test_a_stop_for_real_is_heard_at_once(end: _End) -> None:
    """Though the intake asked for an hour."""
    stop, stopped = threading.Event(), threading.Event()
    end.sandbox.intake.faults.add(faults.Status(503, retry_after_seconds=3600))
    intake = end.intake(retry=Retry(stop, end.failures.append))

    def deliver() -> None:
        with pytest.raises(Stopped):
            intake.deliver(events_of(*_events(1)), Delivery())
        stopped.set()

    thread = threading.Thread(target=deliver)
    thread.start()
    assert wait_until(lambda: end.failures)

    stop.set()

    assert stopped.wait(2)
    thread.join(10)


def test_after_a_stop_a_delivery_that_goes_well_is_finished(end: _End) -> None:
    """Half a page in the intake could not be told from none."""
    end.stop.set()
    events = _events(3, f',"x":"{"x" * 200_000}"') * 20

    delivery = end.deliver(events)

    assert delivery.accepted == 60
    assert len(end.sandbox.intake.batches) > 1


def test_items_that_are_no_objects_are_set_aside_with_their_reason(end: _End) -> None:
    """The intake's format reads objects only."""
    non_objects = cut(b'[17,"text",[1]]').non_objects

    delivery = Delivery()
    end.intake().set_aside(non_objects, "because it is no JSON object", delivery)

    assert len(delivery.quarantined) == 3
    assert end.kept() == sorted([b"17", b'"text"', b"[1]"])
    assert end.sandbox.intake.requests.arrivals() == 0


def test_several_threads_may_deliver_at_once(end: _End) -> None:
    """Readers side by side share one intake."""
    intake, deliveries = end.intake(), [Delivery() for _ in range(4)]
    parts = [events_of(*(event_at(NOON_MS, f"{p}-{n}") for n in range(50))) for p in range(4)]
    threads = [
        threading.Thread(target=intake.deliver, args=pair)
        for pair in zip(parts, deliveries, strict=True)
    ]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert [delivery.accepted for delivery in deliveries] == [50] * 4
    sent = [text for part in parts for text in texts_of(part)]
    assert sorted(end.sandbox.intake.texts) == sorted(sent)
