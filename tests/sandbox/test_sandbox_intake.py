"""The emulated intake and platform take what the real ones take, and remember it."""

from __future__ import annotations

import gzip
import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from sandbox import INTAKE_KEY, TOKEN, Sandbox, generate, make_event
from sandbox.instants import now_ms

NOW_MS = now_ms()
EVENTS = generate(50, NOW_MS - 60_000, NOW_MS, seed=2, surrogate_share=0.1)
TEXTS = [event.text.decode() for event in EVENTS]


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Serve the events of this file."""
    with Sandbox(EVENTS) as served:
        yield served


def push(sandbox: Sandbox, events: Any, key: str = INTAKE_KEY) -> requests.Response:
    """Push a batch as the connector would, uncompressed."""
    batch = {"intake_key": key, "jsons": events}
    return requests.post(f"{sandbox.intake.url}/batch", json=batch, timeout=10)


def test_a_batch_is_kept_in_order_and_receipted(sandbox: Sandbox) -> None:
    """There is one unique receipt for each event."""
    receipts = push(sandbox, TEXTS).json()["event_ids"]

    assert sandbox.intake.texts == [event.text for event in EVENTS]
    assert len({uuid.UUID(receipt) for receipt in receipts}) == len(EVENTS)
    assert sandbox.intake.batches[0].count == len(EVENTS)


def test_a_compressed_batch_is_taken(sandbox: Sandbox) -> None:
    """Its size on the wire is what the log counts."""
    wire = gzip.compress(json.dumps({"intake_key": INTAKE_KEY, "jsons": TEXTS}).encode())

    reply = requests.post(
        f"{sandbox.intake.url}/batch", data=wire, headers={"Content-Encoding": "gzip"}, timeout=10
    )

    assert reply.status_code == 200
    assert sandbox.intake.count == len(EVENTS)
    assert sandbox.intake.requests.received_bytes("batch") == len(wire)


def test_a_damaged_compression_is_refused(sandbox: Sandbox) -> None:
    """Nothing of it is kept."""
    reply = requests.post(
        f"{sandbox.intake.url}/batch", data=b"xx", headers={"Content-Encoding": "gzip"}, timeout=10
    )

    assert reply.status_code == 400
    assert sandbox.intake.count == 0


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_wrong_key_is_refused_as_told(sandbox: Sandbox, status: int) -> None:
    """The status can be chosen."""
    sandbox.intake.wrong_key_status = status

    assert push(sandbox, TEXTS, key="wrong").status_code == status
    assert sandbox.intake.count == 0


@pytest.mark.parametrize("events", ["text", [{}], ["{}", 1], None])
def test_what_is_not_a_list_of_strings_is_refused(sandbox: Sandbox, events: Any) -> None:
    """All or nothing."""
    assert push(sandbox, events).status_code == 400
    assert sandbox.intake.count == 0


def test_a_payload_over_ten_mebibytes_is_refused(sandbox: Sandbox) -> None:
    """Compression does not help: the limit is that of the payload."""
    batch = {"intake_key": INTAKE_KEY, "jsons": ["x" * 200_000] * 55}
    wire = gzip.compress(json.dumps(batch).encode())

    reply = requests.post(
        f"{sandbox.intake.url}/batch", data=wire, headers={"Content-Encoding": "gzip"}, timeout=10
    )

    assert reply.status_code == 413


def test_an_event_over_250_kibibytes_is_refused_alone(sandbox: Sandbox) -> None:
    """The others pass; where there are no others, the status is 413."""
    large = "x" * (250 * 1024 + 1)

    mixed = push(sandbox, ["{}", large])
    alone = push(sandbox, [large])

    assert len(mixed.json()["event_ids"]) == 1
    assert alone.status_code == 413
    assert sandbox.intake.texts == [b"{}"]
    assert len(sandbox.intake.refused) == 2


def test_a_lean_intake_keeps_the_digests_of_what_it_knows() -> None:
    """Texts that were never published are kept, to be shown."""
    with Sandbox(EVENTS, keep_texts=False) as sandbox:
        push(sandbox, [*TEXTS, '{"id":"stranger"}'])

        assert sandbox.intake.texts == [b'{"id":"stranger"}']
        assert sandbox.intake.digests[: len(EVENTS)] == [event.digest() for event in EVENTS]
        assert [a.length for a in sandbox.intake.arrivals()][:3] == [
            len(e.text) for e in EVENTS[:3]
        ]


def test_the_platform_hands_out_its_secrets_to_the_token_alone(sandbox: Sandbox) -> None:
    """The shape is that of the platform."""
    url = f"{sandbox.platform.url}/secrets"

    known = requests.get(url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=5)
    unknown = requests.get(url, timeout=5)

    key = sandbox.jumpcloud.api_key
    assert known.json() == {"value": {"apikey": key}, "node_value": {}}
    assert unknown.status_code == 401


def test_the_platform_keeps_the_log(sandbox: Sandbox) -> None:
    """Messages can be read by level."""
    lines = [
        {"date": "2025-01-01T00:00:00", "level": level, "message": f"a {level}"}
        for level in ("info", "error")
    ]

    requests.post(
        f"{sandbox.platform.url}/logs",
        json={"logs": lines},
        headers={"Authorization": f"Bearer {TOKEN}"},
        timeout=5,
    )

    assert sandbox.platform.messages() == ["a info", "a error"]
    assert sandbox.platform.messages("error") == ["a error"]


def test_the_callback_answers_with_the_configuration_and_keeps_the_result(sandbox: Sandbox) -> None:
    """That is how an account is validated."""
    url, headers = f"{sandbox.platform.url}/callback", {"Authorization": f"Bearer {TOKEN}"}

    reply = requests.patch(url, json={"status": "running"}, headers=headers, timeout=5)
    requests.patch(url, json={"status": "finished", "results": {}}, headers=headers, timeout=5)

    value = reply.json()["module_configuration"]["value"]
    assert value == {"base_url": sandbox.jumpcloud.url, "apikey": sandbox.jumpcloud.api_key}
    assert sandbox.platform.callbacks[-1]["status"] == "finished"


def test_an_unplugged_end_refuses_connections_and_comes_back_on_its_port(sandbox: Sandbox) -> None:
    """Open connections are hung up."""
    session = requests.Session()
    batch = {"intake_key": INTAKE_KEY, "jsons": [make_event(NOW_MS).text.decode()]}
    url = f"{sandbox.intake.url}/batch"
    session.post(url, json=batch, timeout=5).raise_for_status()

    with sandbox.unplugged("intake"), pytest.raises(requests.ConnectionError):
        session.post(url, json=batch, timeout=5)
    session.post(url, json=batch, timeout=5).raise_for_status()

    assert sandbox.intake.count == 2
