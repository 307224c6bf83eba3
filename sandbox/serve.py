"""The emulated ends on fixed ports, for anybody's client, until they are stopped; then a verdict.

Also the process behind `apart.SandboxProcess`, which is told by options what to leave out.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from dataclasses import asdict, dataclass

from sandbox.api import PREFIX
from sandbox.control import Control
from sandbox.events import Event, dealt, generate
from sandbox.guard import guarded
from sandbox.http import Reply, Request, RequestLog, Server
from sandbox.instants import now_ms
from sandbox.organizations import many
from sandbox.ranking import rows_of, table
from sandbox.scene import Scene
from sandbox.server import Ports, Sandbox

PORT = 8700
_DAY_MS = 86_400_000
_MARGIN_MS = 300_000
_SETTLE_SECONDS = 60.0
_LOOK_SECONDS = 0.2
_FOREVER_MS = 1 << 62
_NOT_POSSIBLE = 2


@dataclass(frozen=True, slots=True)
class Service:
    """What to serve: from which port on (0: any), how many events wait and come a second.

    To how many `organizations` that one API key reaches (0: to a single one).
    `for_a_program`: one line of JSON tells the addresses, and nothing else is said.
    """

    port: int = PORT
    events: int = 20_000
    per_second: float = 5.0
    organizations: int = 0
    seed: int = 1
    keep_texts: bool = False
    for_a_program: bool = False
    with_parent: bool = False


def serve(service: Service) -> int:
    """Serve until SIGTERM or Ctrl-C (or, `with_parent`, the end of standard input).

    Returns 0 where the verdict is clean, 1 where not, and 2 where a port is taken.
    """
    ending = _Ending()
    base = service.port
    ports = Ports(base + 1, base + 2, base + 3) if base else Ports()
    organizations = many(service.organizations)
    ids = [one.id for one in organizations]
    sandbox = Sandbox(
        dealt(_history(service), ids) if ids else _history(service),
        organizations=organizations,
        keep_texts=service.keep_texts,
        ports=ports,
    )
    try:
        sandbox.start()
        control = Control(sandbox)
        with Scene(sandbox, organizations=organizations) as scene:
            server = _server(scene, control, base)
            server.start()
            if service.per_second:
                rate = {"per_second": service.per_second, "seed": service.seed}
                control.go_live({**rate, "organizations": scene.target.live})
            _tell(service, sandbox, server)
            if service.with_parent:
                threading.Thread(target=ending.await_parent, daemon=True).start()
            ending.asked.wait()
            control.end_live()
            is_clean = service.for_a_program or _judged(scene, ending)
            server.stop()
    except OSError as error:
        sys.stderr.write(
            f"The ports from {base} on cannot be used ({error}); name others: --port\n"
        )
        return _NOT_POSSIBLE
    finally:
        sandbox.stop()
    return 0 if is_clean else 1


class _Ending:
    """What ends it, and what ends the waiting for a verdict."""

    def __init__(self) -> None:
        self.asked, self.asked_again = threading.Event(), threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._ask())

    def _ask(self) -> None:
        (self.asked_again if self.asked.is_set() else self.asked).set()

    def await_parent(self) -> None:
        sys.stdin.buffer.read()
        self.asked.set()


def _history(service: Service) -> list[Event]:
    now = now_ms()
    return generate(service.events, now - _DAY_MS + _MARGIN_MS, now, service.seed)


def _server(scene: Scene, control: Control, port: int) -> Server:
    def answer(request: Request) -> Reply:
        of_people = request.path.startswith(PREFIX)
        return scene.api.answer(request) if of_people else control.answer(request)

    return Server("control", guarded(answer), RequestLog(), scene.sandbox.errors, port)


def _tell(service: Service, sandbox: Sandbox, server: Server) -> None:
    addresses = sandbox.addresses
    if service.for_a_program:
        print(json.dumps({**asdict(addresses), "control_url": server.url}), flush=True)
        return
    of_intake, and_org = f"intake_key: {addresses.intake_key}", ""
    if service.organizations:
        of_intake, and_org = "intake_key: its own for each organization", ", and x-org-id"
    rows = [
        ("JumpCloud", addresses.jumpcloud_url, f"x-api-key: {addresses.api_key}{and_org}"),
        ("intake", addresses.intake_url, of_intake),
        ("platform", addresses.platform_url, f"token: {addresses.token}"),
        ("harm, verdict", server.url + PREFIX, "state, harms, incidents, verdict"),
    ]
    if service.organizations:
        whose = f"name, id and intake key of {service.organizations:,}"
        rows.append(("organizations", f"{server.url}{PREFIX}organizations.csv", whose))
    print("\n".join(f"{name:<14} {url:<46} {key}" for name, url, key in rows))
    print(
        f"{service.events:,} events of the last day wait, {service.per_second:g} more come every"
        " second. Ctrl-C ends it with a verdict.",
        flush=True,
    )


def _judged(scene: Scene, ending: _Ending) -> bool:
    """Wait for what is on its way, tell the verdict, and return whether it is clean."""
    print("No more events come. The verdict follows when all have arrived, within a minute;")
    print("Ctrl-C again does not wait.", flush=True)
    deadline = time.monotonic() + _SETTLE_SECONDS
    while scene.observer.so_far.is_owed(_FOREVER_MS) and time.monotonic() < deadline:
        if ending.asked_again.wait(_LOOK_SECONDS):
            break
    verdict = scene.verdict()
    if verdicts := scene.verdicts():
        print("\n" + table(rows_of(verdicts, scene.target.touches)))
    print("\n" + verdict.table(), flush=True)
    return verdict.clean
