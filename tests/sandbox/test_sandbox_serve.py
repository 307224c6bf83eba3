"""The sandbox for anybody's client: fixed ports, harm, and the verdict at its end."""

from __future__ import annotations

import csv
import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
import requests

from sandbox import API_KEY
from sandbox.connector import ROOT
from sandbox.instants import instant_text, now_ms

EVENTS = 40


def _four_free_ports() -> int:
    """Return the first of four that follow each other, below those that connections get."""
    for base in range(21_000, 31_000, 4):
        with ExitStack() as taken:
            try:
                for port in range(base, base + 4):
                    taken.enter_context(socket.create_server(("127.0.0.1", port)))
            except OSError:
                continue
            return base
    raise RuntimeError("no four ports are free")


@contextmanager
def _served(base: int, *more: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "sandbox", "serve", "--port", str(base), *more]
    with subprocess.Popen(
        command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _addresses(process: subprocess.Popen[str], rows: int = 4) -> dict[str, tuple[str, str]]:
    """Read what a person is told: by end, its address and its key."""
    assert process.stdout is not None
    told = [re.split(r"  +", process.stdout.readline().strip()) for _ in range(rows)]
    return {end: (url, more.rpartition(": ")[2]) for end, url, more in told}


def _texts(page: str) -> list[str]:
    texts, place = [], 1
    while page[place - 1] != "]":
        _, end = json.JSONDecoder().raw_decode(page, place)
        texts.append(page[place:end])
        place = end + 1
    return texts


def _collect(told: dict[str, tuple[str, str]], *, but: int = 0) -> None:
    """Be a client: read all pages, and send what they hold, but for the last ones."""
    jumpcloud, api_key = told["JumpCloud"]
    intake, intake_key = told["intake"]
    query = {"service": ["all"], "start_time": instant_text(now_ms() - 86_000_000), "limit": 1000}
    page = requests.post(
        f"{jumpcloud}/insights/directory/v1/events",
        json=query,
        headers={"x-api-key": api_key},
        timeout=10,
    )
    texts = _texts(page.text)
    batch = {"intake_key": intake_key, "jsons": texts[: len(texts) - but]}
    requests.post(f"{intake}/batch", json=batch, timeout=10).raise_for_status()


def test_any_client_is_judged_when_it_is_stopped() -> None:
    """It read all of the day on the ports that were asked for, and sent each event once."""
    base = _four_free_ports()
    with _served(base, "--events", str(EVENTS), "--per-second", "0") as process:
        told = _addresses(process)
        _collect(told)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=30)

    ports = [int(re.findall(r":(\d+)", url)[0]) for url, _ in told.values()]
    assert ports == [base + 1, base + 2, base + 3, base]
    assert process.returncode == 0, errors
    assert re.search(rf"accepted +{EVENTS}\n", output)
    assert "verdict          clean" in output


def test_what_a_client_leaves_out_is_named_without_waiting_where_nobody_wants_to() -> None:
    """The second signal ends the waiting; the status says that something is lost."""
    with _served(_four_free_ports(), "--events", str(EVENTS), "--per-second", "0") as process:
        _collect(_addresses(process), but=2)
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=30)

    assert process.returncode == 1
    assert re.search(r"lost +2  \S+, \S+\n", output)


def test_events_come_and_harm_is_done_while_it_is_served() -> None:
    """The same port tells how it stands."""
    with _served(_four_free_ports(), "--events", "0", "--per-second", "50") as process:
        told = _addresses(process)
        api = told["harm, verdict"][0]
        begun = requests.post(f"{api}harms/rate-limit", json={"amount": 30}, timeout=10)
        refused = requests.post(told["JumpCloud"][0], timeout=10)
        deadline = time.monotonic() + 20
        while requests.get(f"{api}state", timeout=10).json()["so_far"]["produced"] < 10:
            assert time.monotonic() < deadline

    assert begun.status_code == 201
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "2")


def _collect_many(told: dict[str, tuple[str, str]], *, swaps_keys: bool) -> None:
    """Be a client of many: read the list, and send each organization's events with its key."""
    jumpcloud, api_key = told["JumpCloud"][0], API_KEY
    listed = list(
        csv.DictReader(requests.get(told["organizations"][0], timeout=10).text.splitlines())
    )
    keys = [row["intake_key"] for row in listed]
    if swaps_keys:
        keys[0], keys[1] = keys[1], keys[0]
    query = {"service": ["all"], "start_time": instant_text(now_ms() - 86_000_000), "limit": 1000}
    for row, key in zip(listed, keys, strict=True):
        page = requests.post(
            f"{jumpcloud}/insights/directory/v1/events",
            json=query,
            headers={"x-api-key": api_key, "x-org-id": row["organization_id"]},
            timeout=10,
        )
        batch = {"intake_key": key, "jsons": _texts(page.text)}
        requests.post(f"{told['intake'][0]}/batch", json=batch, timeout=10).raise_for_status()


@pytest.mark.parametrize("swaps_keys", [False, True])
def test_a_client_of_many_organizations_is_judged_for_each(swaps_keys: bool) -> None:
    """Two customers' events in each other's intake are found, although all arrived once."""
    more = ["--organizations", "5", "--events", str(EVENTS), "--per-second", "0"]
    with _served(_four_free_ports(), *more) as process:
        told = _addresses(process, rows=5)
        _collect_many(told, swaps_keys=swaps_keys)
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=30)

    assert process.returncode == int(swaps_keys), errors
    assert re.search(rf"accepted +{EVENTS}\n", output)
    if swaps_keys:
        assert re.search(r"^customer-0001 +8 +0 +8 +0 +0 +0 +8$", output, re.MULTILINE)
        assert re.search(r"^customer-0002 +8 +0 +8 +0 +0 +0 +8$", output, re.MULTILINE)
        assert re.search(r"^3 others +24 +24 +0 .* all of them clean$", output, re.MULTILINE)
        assert re.search(r"^misdelivered +16  \S+ \(with the key of \w+\), ", output, re.MULTILINE)
    else:
        assert re.search(r"^5 organizations +40 +40 +0 .* clean$", output, re.MULTILINE)


@pytest.mark.parametrize("count", ["1", "5001", "many"])
def test_how_many_organizations_there_can_be_is_told(count: str) -> None:
    """One is none of several."""
    with _served(0, "--organizations", count) as process:
        _, errors = process.communicate(timeout=30)

    assert process.returncode == 2
    assert "is not possible; give" in errors


def test_a_port_that_is_taken_is_told() -> None:
    """With how to name others."""
    base = _four_free_ports()
    with socket.create_server(("127.0.0.1", base + 2)), _served(base) as process:
        _, errors = process.communicate(timeout=60)

    assert process.returncode == 2
    assert errors.count("\n") == 1
    assert "name others: --port" in errors


@pytest.mark.parametrize("port", ["65533", "-1", "http"])
def test_a_port_that_cannot_be_is_refused(port: str) -> None:
    """Three more follow it."""
    with _served(0, "--port", port) as process:
        _, errors = process.communicate(timeout=30)

    assert process.returncode == 2
    assert "is not possible" in errors
