"""A sandbox in a process of its own, so that its processor time is not the test's."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.request import Request, urlopen

from sandbox.events import Event
from sandbox.faults import Fault
from sandbox.organizations import Organization
from sandbox.query import Answers
from sandbox.server import Addresses, End
from sandbox.verdict import Verdict

_ROOT = Path(__file__).resolve().parent.parent


class SandboxProcess:
    """A sandbox in another process, from `with` to its end; steered over its control port."""

    def __init__(self, *, keep_texts: bool = False, python: str = sys.executable) -> None:
        self._command = [python, "-m", "sandbox", "serve", "--json", "--with-parent"]
        self._command += ["--port", "0", "--events", "0", "--per-second", "0"]
        self._command += ["--keep-texts"] if keep_texts else []

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        if self._process.stdout is None:
            raise RuntimeError("the sandbox has no output")
        told = json.loads(self._process.stdout.readline())
        self._control_url = told.pop("control_url")
        self.addresses = Addresses(**told)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.wait()

    @property
    def pid(self) -> int:
        """Return the id of the sandbox's process."""
        return self._process.pid

    def add(self, organizations: Iterable[Organization]) -> None:
        """Let organizations exist at both ends."""
        self._ask("POST", "organizations", {"organizations": [asdict(o) for o in organizations]})

    def refuse_keys(self, keys: Iterable[str]) -> None:
        """Refuse these API keys and intake keys from now on, and accept all others."""
        self._ask("PATCH", "keys", {"refused": list(keys)})

    def generate(self, count: int, start_ms: int, end_ms: int, **options: Any) -> None:
        """Publish generated events; the options are `generate`'s, late_share and latest_ms.

        With `organizations` (ids) they are dealt to these in turn.
        """
        wish = {"count": count, "start_ms": start_ms, "end_ms": end_ms, **options}
        self._ask("POST", "generate", wish)

    def publish(self, events: Iterable[Event]) -> None:
        """Publish events of the caller's making."""
        fields = [{**asdict(e), "text": base64.b64encode(e.text).decode()} for e in events]
        self._ask("POST", "publish", {"events": fields})

    def go_live(self, **options: Any) -> None:
        """Publish events as time passes; the options are `Live`'s."""
        self._ask("POST", "live", options)

    def end_live(self) -> None:
        """Publish no more."""
        self._ask("DELETE", "live")

    def add_fault(self, end: End, fault: Fault, **rule: Any) -> int:
        """Set a fault off at an end; the options are `Faults.add`'s. Return the rule's number."""
        fields = asdict(fault)  # type: ignore[call-overload]  # each fault is a dataclass
        wish = {"end": end, "fault": type(fault).__name__, "fields": fields, **rule}
        return int(self._ask("POST", "faults", wish)["rule"])

    def switch_fault(self, rule: int, *, on: bool) -> int:
        """Switch a rule on or off; return how often it has fired."""
        return int(self._ask("PATCH", "faults", {"rule": rule, "on": on})["fired"])

    def clear_faults(self) -> None:
        """Take all rules of all ends away."""
        self._ask("DELETE", "faults")

    def chaos(self, seed: int, rate: float, *, repeats: bool = False) -> None:
        """Let a share of all requests fail, as `Sandbox.chaos` does."""
        self._ask("POST", "chaos", {"seed": seed, "rate": rate, "repeats": repeats})

    def set_answers(self, answers: Answers) -> None:
        """Answer otherwise from now on."""
        self._ask("POST", "answers", asdict(answers))

    def statistics(self) -> dict[str, Any]:
        """Return what each end has seen: requests, statuses, events, bytes; errors."""
        content: dict[str, Any] = self._ask("GET", "statistics")
        return content

    def accepted(self) -> int:
        """Count the events that the intake has accepted."""
        return int(self._ask("GET", "accepted")["accepted"])

    def delays_ms(self) -> Sequence[int]:
        """List the times from visible to accepted."""
        content: list[int] = self._ask("GET", "delays")
        return content

    def delays_ms_by_organization(self) -> dict[str, list[int]]:
        """List the same by the id of the events' organization."""
        content: dict[str, list[int]] = self._ask("GET", "delays-by-organization")
        return content

    def exchanges(self) -> list[tuple[float, str, str, int]]:
        """List JumpCloud's exchanges: when each began, its endpoint, organization and status.

        The times are in seconds, monotonic ones of this machine.
        """
        return [tuple(row) for row in self._ask("GET", "requests")]

    def messages(self, *levels: str) -> list[str]:
        """List what was logged to the platform, of these levels only where any are named."""
        lines = self._ask("GET", "logs")
        return [line["message"] for line in lines if not levels or line["level"] in levels]

    def verdict(
        self, *, since_ms: int | None = None, visible_until_ms: int | None = None
    ) -> Verdict:
        """Judge what was accepted."""
        due = {"since_ms": since_ms, "visible_until_ms": visible_until_ms}
        return _verdict(self._ask("POST", "verdict", due))

    def verdicts(
        self, *, since_ms: int | None = None, visible_until_ms: int | None = None
    ) -> dict[str, Verdict]:
        """Judge each organization that has an intake key of its own, as `Sandbox.verdicts`."""
        due = {"since_ms": since_ms, "visible_until_ms": visible_until_ms}
        content = self._ask("POST", "verdicts", due)
        return {organization: _verdict(fields) for organization, fields in content.items()}

    def _ask(self, method: str, endpoint: str, wish: object = None) -> Any:
        payload = None if wish is None else json.dumps(wish).encode()
        request = Request(f"{self._control_url}/{endpoint}", payload, method=method)  # noqa: S310 - loopback
        with urlopen(request, timeout=300) as answer:  # noqa: S310 - loopback
            return json.load(answer)


def _verdict(content: dict[str, Any]) -> Verdict:
    fields: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in content.items()
    }
    return Verdict(**fields)
