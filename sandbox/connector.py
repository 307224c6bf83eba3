"""The connector under test, as the real process, told only what the platform tells it.

Knows the command line, the environment and the two ports; knows nothing of the code inside.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from sandbox.faketime import FakeClock
from sandbox.server import Addresses

COMMAND = "JumpcloudDirectoryInsightsConnector"
VALIDATION_COMMAND = "validate_module_configuration"
ROOT = Path(__file__).resolve().parent.parent
_PORTS = range(12_000, 32_000)
_SECONDS_TO_WRITE_STACKS = 5.0
_LAST_LINES = 150


@dataclass(frozen=True, slots=True)
class Settings:
    """What a person would fill into the two forms.

    `more` adds or replaces keys of the connector's form, `account` those of the account's.
    """

    service: str = "all"
    frequency: int = 1
    chunk_size: int = 10_000
    history_hours: int = 24
    audit_hours: int = 168
    audit_frequency: int = 5
    organization_id: str | None = None
    more: Mapping[str, Any] = field(default_factory=dict)
    account: Mapping[str, Any] = field(default_factory=lambda: {"apikey": "placeholder"})


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process has cost.

    The peak is the kernel's high-water mark, read ten times a second: the one that a parent
    gets at the end may be the parent's own.
    """

    cpu_seconds: float
    peak_rss_bytes: int
    rss_bytes: int = 0  # just now


@dataclass(frozen=True, slots=True)
class Health:
    """What the liveness port says."""

    status: int
    content: Mapping[str, Any]


class ConnectorProcess:
    """`python ./main.py <command>` in the repository's root, started, watched and ended.

    State stays in `data_folder` over `stop`, `kill` and another `start`. The true API key is
    in none of the variables: the process fetches it from the platform's secrets. With a `clock`,
    that is the time of day for the process. `answers` are the last ones of its ports, by path.
    """

    def __init__(
        self,
        addresses: Addresses,
        settings: Settings | None = None,
        *,
        data_folder: Path | None = None,
        root: Path = ROOT,
        command: str = COMMAND,
        environment: Mapping[str, str] | None = None,
        python: str = sys.executable,
        clock: FakeClock | None = None,
    ) -> None:
        self.addresses = addresses
        self.settings = settings or Settings()
        self.scratch = Path(tempfile.mkdtemp(prefix="sandbox-"))
        weakref.finalize(self, shutil.rmtree, self.scratch, ignore_errors=True)
        self.data_folder = data_folder or self.scratch / "data"
        self.data_folder.mkdir(parents=True, exist_ok=True)
        self.root, self.command, self.python = root, command, python
        self.environment = dict(environment or {})
        self.clock = clock
        self.liveness_port, self.metrics_port = _free_ports(2)
        self.answers: dict[str, bytes] = {}
        self._output_path = self.scratch / "output"
        self._process: subprocess.Popen[bytes] | None = None
        self.starts = 0
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._spent = Usage(0.0, 0)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        """Return the id of the process last started."""
        return self._started().pid

    @property
    def running(self) -> bool:
        """Tell whether the process was started and has not ended."""
        return self._process is not None and not self._ended.is_set()

    @property
    def status(self) -> int | None:
        """Return the exit status (negative: the signal that ended it), None while it runs."""
        return self._started().returncode if self._ended.is_set() else None

    @property
    def output(self) -> str:
        """Return what all the starts so far have written to standard output and error."""
        path = self._output_path
        return path.read_text(errors="replace") if path.exists() else ""

    def output_since(self, offset: int) -> tuple[str, int]:
        """Return the whole lines written since an offset in bytes, and the offset after them."""
        if not self._output_path.exists():
            return "", offset
        with self._output_path.open("rb") as output:
            output.seek(offset)
            lines = output.read().rpartition(b"\n")[0]
        return lines.decode(errors="replace"), offset + len(lines) + bool(lines)

    def start(self) -> Self:
        """Start the process (again)."""
        if self.running:
            raise RuntimeError("the connector is running already")
        self._ended = threading.Event()
        with self._output_path.open("ab") as output:
            self._process = subprocess.Popen(
                [self.python, "./main.py", *filter(None, [self.command])],
                cwd=self.root,
                env=self._variables(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a Ctrl-C is for whoever watches
            )
        self.starts += 1
        self._spent = Usage(0.0, 0)
        for watch in (self._reap, self._sample):
            threading.Thread(target=watch, args=(self._process, self._ended), daemon=True).start()
        return self

    def stop(self, timeout_seconds: float = 30.0) -> int:
        """Ask the process to end (SIGTERM), and return its exit status.

        Raises TimeoutError, after a kill, where it does not obey; it tells where its threads were.
        """
        self.send_signal(signal.SIGTERM)
        try:
            return self.wait(timeout_seconds)
        except TimeoutError as error:
            self.send_signal(signal.SIGABRT)  # Python writes down the stack of each thread
            self._ended.wait(_SECONDS_TO_WRITE_STACKS)
            self.kill()
            end = "\n".join(self.output.splitlines()[-_LAST_LINES:])
            raise TimeoutError(f"{error}; it wrote:\n{end}") from None

    def kill(self) -> None:
        """End the process where it stands (SIGKILL)."""
        if self._process is not None:
            self.send_signal(signal.SIGKILL)
            self._ended.wait()

    def wait(self, timeout_seconds: float = 60.0) -> int:
        """Wait for the process to end by itself, and return its exit status."""
        if not self._ended.wait(timeout_seconds):
            raise TimeoutError(f"the connector still runs after {timeout_seconds} s")
        return self._started().returncode

    def usage(self) -> Usage:
        """Return what the process last started has cost so far, or in all."""
        return self._spent if self._ended.is_set() else _usage_of(self.pid, self._spent)

    def health(self) -> Health | None:
        """Read the liveness port; None where nobody listens yet."""
        answer = self._get(self.liveness_port, "/health")
        return None if answer is None else Health(answer[0], json.loads(answer[1]))

    def doing(self) -> dict[str, Any] | None:
        """Read what `GET /status` says; None where nobody listens yet, or answers otherwise."""
        answer = self._get(self.liveness_port, "/status")
        try:
            content = json.loads(answer[1]) if answer and answer[0] == 200 else None
        except ValueError:
            return None
        return content if isinstance(content, dict) else None

    def metrics(self) -> dict[str, float]:
        """Read the Prometheus port: each sample's name and labels, as written, and its value."""
        answer = self._get(self.metrics_port, "/metrics")
        lines = answer[1].decode().splitlines() if answer else []
        samples = (line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))
        return {name: float(value) for name, value in samples}

    def metric(self, name: str) -> float | None:
        """Add up a metric over its labels; None where it is not there."""
        found = [v for k, v in self.metrics().items() if k.partition("{")[0] == name]
        return sum(found) if found else None

    def variables(self) -> dict[str, str]:
        """Return what tells the process its configuration."""
        return platform_variables(self)

    def _get(self, port: int, path: str) -> tuple[int, bytes] | None:
        answer = _get(f"http://127.0.0.1:{port}{path}")
        if answer is not None:
            self.answers[path] = answer[1]
        return answer

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("the connector was not started")
        return self._process

    def _variables(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        return {
            **kept,
            "PYTHONFAULTHANDLER": "1",
            **self.variables(),
            **(self.clock.variables if self.clock else {}),
            **self.environment,
        }

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal, if the process runs."""
        with self._lock:  # never after the reaping, when the id may be another's
            if self.running:
                os.kill(self.pid, number)

    def _reap(self, process: subprocess.Popen[bytes], ended: threading.Event) -> None:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        with self._lock:
            _, status, spent = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            cpu_seconds = spent.ru_utime + spent.ru_stime
            self._spent = Usage(cpu_seconds, self._spent.peak_rss_bytes)
            if self.clock:
                self.clock.clean_up_after(process.pid)
            ended.set()

    def _sample(self, process: subprocess.Popen[bytes], ended: threading.Event) -> None:
        while not ended.wait(0.1):
            usage = _usage_of(process.pid, self._spent)
            with self._lock:
                if not ended.is_set():
                    self._spent = usage


def platform_variables(connector: ConnectorProcess) -> dict[str, str]:
    """Return the environment variables that the platform would set, and no others."""
    addresses = connector.addresses
    form = {name: value for name, value in asdict(connector.settings).items() if value is not None}
    account, more = form.pop("account"), form.pop("more")
    form |= {"intake_key": addresses.intake_key, **more}
    return {
        "MODULE_CONFIGURATION": json.dumps({"base_url": addresses.jumpcloud_url, **account}),
        "CONNECTOR_CONFIGURATION": json.dumps(form),
        "TOKEN": addresses.token,
        "URL_CALLBACK": f"{addresses.platform_url}/callback",
        "URL_SECRETS": f"{addresses.platform_url}/secrets",
        "URL_LOGS": f"{addresses.platform_url}/logs",
        "INTAKE_URL": addresses.intake_url,
        "LIVENESS_PORT": str(connector.liveness_port),
        "METRICS_PORT": str(connector.metrics_port),
        "SUB_FOLDER": str(connector.data_folder.resolve()),
    }


# Each port once before any comes again: two connectors that start together never share one. Not
# from the common source of chance, which tests seed.
_shuffled_ports = itertools.cycle(random.SystemRandom().sample(_PORTS, len(_PORTS)))


def _free_ports(count: int) -> list[int]:
    """Choose ports below those that the kernel gives to connections, so that they stay free."""
    ports: list[int] = []
    while len(ports) < count:
        port = next(_shuffled_ports)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            ports.append(port)
    return ports


def _usage_of(pid: int, before: Usage) -> Usage:
    """Read /proc; what is no longer there (the process is ending) stays as it was before."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return before
    ticks = int(fields[11]) + int(fields[12])
    peaks = [int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")]
    now = [int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:")]
    cpu_seconds = ticks / os.sysconf("SC_CLK_TCK")
    return Usage(cpu_seconds, max([before.peak_rss_bytes, *peaks]), sum(now))


def _get(url: str) -> tuple[int, bytes] | None:
    try:
        with urlopen(url, timeout=5) as answer:  # noqa: S310 - a loopback address of ours
            return answer.status, answer.read()
    except HTTPError as refusal:
        return refusal.code, refusal.read()
    except (URLError, ConnectionError, TimeoutError):
        return None


def wait_for_health(connector: ConnectorProcess, timeout_seconds: float = 20.0) -> Health:
    """Wait until the liveness port answers, and return what it says."""
    deadline = time.monotonic() + timeout_seconds
    while (health := connector.health()) is None:
        if time.monotonic() > deadline or not connector.running:
            raise TimeoutError(f"no health from the connector; it wrote:\n{connector.output}")
        time.sleep(0.05)
    return health
