"""What is to be seen of a run, twice a second: both ends' counts and the connector's own words.

Knows the sandbox and the process; knows nothing of who looks.
"""

from __future__ import annotations

import itertools
import re
import threading
import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from sandbox.connector import ConnectorProcess
from sandbox.running_verdict import RunningVerdict, SoFar
from sandbox.server import Sandbox
from sandbox.standings import Standing, as_one, count_well, reported_of, standings

SECONDS_BETWEEN_SAMPLES = 0.5
_SAMPLES_KEPT = 2_400
_LINES_KEPT = 500
_FAILING_KEPT = 20
_SECONDS_BETWEEN_LONG_REPORTS = 2.0
_LONG_REPORT = 20  # organizations; to write it costs the connector something
_LINE = re.compile(  # of the SDK's connector, or of a self-hosted one
    r"(?:[-\d]+ [:\d]+ - \w+ - (?P<level>[A-Z]+) -|[-\d]+T[:.\d]+Z (?P<own_level>[A-Z]+))"
    r" (?P<message>.*)"
)
_COUNTED = ("late_events", "withheld", "delivered")


@dataclass(frozen=True, slots=True)
class Sample:
    """One look. What only the connector knows is None while it does not answer.

    `statuses` counts requests by end and status (0: no answer) since the beginning; `late`,
    `withheld` and `set_aside` are counted over all starts of the process. Of several organizations
    the lag is the largest, and the other figures are sums.
    """

    elapsed_seconds: float
    so_far: SoFar
    statuses: Mapping[str, Mapping[int, int]]
    state: str = "not running"
    lag_seconds: float | None = None
    backlog_windows: int | None = None
    late: int = 0
    withheld: int = 0
    set_aside: int = 0
    rss_bytes: int = 0
    starts: int = 0
    failing: tuple[Mapping[str, Any], ...] = ()
    organizations: int = 0
    organizations_well: int = 0


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the connector's log, and when in the run it was seen; numbered from 1 on."""

    number: int
    elapsed_seconds: float
    level: str
    message: str

    @property
    def is_of_a_poll(self) -> bool:
        """Tell whether it is the line that each poll leaves."""
        return self.message.startswith("Polled")


class _LogReader:
    """Reads what a connector wrote since the last look: its output, or what the platform got."""

    def __init__(self, sandbox: Sandbox, connector: ConnectorProcess | None) -> None:
        self._sandbox, self._connector = sandbox, connector
        self._place = 0

    def read(self) -> list[tuple[str, str]]:
        """Return the levels and messages of the new lines."""
        if self._connector is None:
            lines = self._sandbox.platform.logs_since(self._place)
            self._place += len(lines)
            return [(line.level, line.message) for line in lines]
        text, self._place = self._connector.output_since(self._place)
        found = (_LINE.match(line) for line in text.splitlines())
        return [
            ((one["level"] or one["own_level"]).lower(), one["message"]) for one in found if one
        ]


@dataclass(slots=True)
class _Counts:
    """What a connector counts since its start, added up over its starts."""

    starts: int = 0
    before: Counter[str] = field(default_factory=Counter)
    now: dict[str, int] = field(default_factory=dict)

    def note(self, starts: int, report: Mapping[str, Any]) -> None:
        if starts != self.starts:
            self.before.update(self.now)
            self.starts, self.now = starts, {}
        self.now.update({name: report.get(name) or 0 for name in _COUNTED})

    def total(self, name: str) -> int:
        return self.before[name] + self.now.get(name, 0)


class Observer:
    """A thread that looks while the `with` block lasts; any thread may read what it saw.

    Without a connector of ours it looks at the ends alone.
    """

    def __init__(self, sandbox: Sandbox, connector: ConnectorProcess | None = None) -> None:
        self.sandbox, self.connector = sandbox, connector
        self.so_far = RunningVerdict(sandbox.jumpcloud, sandbox.intake)
        self._started = time.monotonic()
        self._counts = _Counts()
        self._log_reader = _LogReader(sandbox, connector)
        self._line_numbers = itertools.count(1)
        self._lines: deque[Line] = deque(maxlen=_LINES_KEPT)
        self._set_aside = 0
        self._report: tuple[float, Mapping[str, Any] | None] = (0.0, None)
        self._standings: list[Standing] = []
        self._looking, self._lock = threading.Lock(), threading.Lock()
        self._ending = threading.Event()
        self._samples: deque[Sample] = deque(maxlen=_SAMPLES_KEPT)
        self._thread = threading.Thread(target=self._look_again_and_again, daemon=True)

    def __enter__(self) -> Self:
        self.look()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ending.set()
        self._thread.join()

    @property
    def latest(self) -> Sample:
        """Return the last sample."""
        return self._samples[-1]

    @property
    def samples(self) -> list[Sample]:
        """List the samples in order; of a run of more than twenty minutes the last ones."""
        with self._lock:
            return list(self._samples)

    def lines_after(self, number: int) -> list[Line]:
        """List the log's lines after one; of very many, the last five hundred."""
        with self._lock:
            return [line for line in self._lines if line.number > number]

    @property
    def standings(self) -> list[Standing]:
        """List how the organizations stand, the worst first; none where there is only one."""
        return self._standings

    def look(self) -> Sample:
        """Take a sample now."""
        with self._looking:  # a process that hangs keeps a look waiting for seconds
            sample = self._sample()
            elapsed_seconds = sample.elapsed_seconds
            lines = [
                Line(next(self._line_numbers), elapsed_seconds, *read)
                for read in self._log_reader.read()
            ]
            with self._lock:
                self._samples.append(sample)
                self._lines.extend(lines)
        return sample

    def _look_again_and_again(self) -> None:
        while not self._ending.wait(SECONDS_BETWEEN_SAMPLES):
            self.look()

    def _sample(self) -> Sample:
        sandbox, connector = self.sandbox, self.connector
        ends = (sandbox.jumpcloud, sandbox.intake, sandbox.platform)
        told = self._told()
        starts = connector.starts if connector is not None else 0
        if told:
            self._counts.note(starts, told)
            self._set_aside = told.get("quarantined") or self._set_aside
        self._standings = self._stand(told)
        return Sample(
            elapsed_seconds=time.monotonic() - self._started,
            so_far=self.so_far.look(),
            statuses={end.name: end.requests.totals() for end in ends},
            state=self._state(told),
            lag_seconds=told.get("lag_seconds"),
            backlog_windows=told.get("backlog", {}).get("windows"),
            late=self._counts.total("late_events"),
            withheld=self._counts.total("withheld"),
            set_aside=self._set_aside,
            rss_bytes=connector.usage().rss_bytes if connector and connector.running else 0,
            starts=starts,
            failing=tuple(told.get("failing", ()))[:_FAILING_KEPT],
            organizations=len(self._standings),
            organizations_well=count_well(self._standings),
        )

    def _told(self) -> Mapping[str, Any]:
        """Return what the connector says of itself; a long report is asked for less often."""
        connector, (asked_at, report) = self.connector, self._report
        if connector is None or not connector.running:
            self._report = (0.0, None)
            return {}
        is_long = report is not None and len(report.get("organizations", ())) >= _LONG_REPORT
        if not is_long or time.monotonic() - asked_at >= _SECONDS_BETWEEN_LONG_REPORTS:
            report = connector.doing()
            self._report = (time.monotonic(), report)
        return as_one(report or {})

    def _stand(self, told: Mapping[str, Any]) -> list[Standing]:
        sandbox = self.sandbox
        if not sandbox.intake.keys:
            return []
        reported = reported_of(told) if told else None
        names = dict(sandbox.jumpcloud.organizations)
        return standings(names, self.so_far.by_organization(), reported)

    def _state(self, told: Mapping[str, Any]) -> str:
        if self.connector is None:
            return "not ours"
        if not self.connector.running:
            return "not running"
        return str(told.get("state", "starting"))
