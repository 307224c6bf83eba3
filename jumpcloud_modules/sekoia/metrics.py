"""What Prometheus is told beside the SDK's metrics: each named, explained, and read when asked for.

What is read are plain numbers: counting them was paid for where they were counted.
docs/metrics.md is written from the tables below.
"""

import platform
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Final, Literal, get_args

from jumpcloud_modules.assembly import Parts
from jumpcloud_modules.collecting.late_events import Audited
from jumpcloud_modules.collecting.measurements import Distribution, End, Kind, Measurements
from jumpcloud_modules.status import open_ms

PREFIX: Final = "symphony_module_jumpcloud"
OF_THE_SDK: Final = "symphony_module_common"
KEY_LABEL: Final = "intake_key"
ORGANIZATION_LABEL: Final = "organization"
"""Of a process that collects a list of organizations only."""

Type = Literal["counter", "gauge", "histogram"]
Sample = tuple[tuple[str, ...], float | Distribution]
"""The values of a metric's labels, but for the intake key, and its own value."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Hold what is read: the measurements of the process, and its parts where there are any.

    `is_collecting` says that the state is this process's, and that it was found. `lag_seconds` is
    read here of many organizations only; of a single one the SDK shows it.
    """

    measurements: Measurements
    version: str
    seconds_since_start: float
    parts: Parts | None = None
    is_collecting: bool = False
    lag_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class InAll:
    """Hold what is read of a process of many organizations: how many there are, and its pace."""

    organizations: int
    failing: int
    polls: int
    late_seconds: float


@dataclass(frozen=True, slots=True)
class Description:
    """Say what a metric is. A counter's name gets `_total` when it is shown."""

    name: str
    type: Type
    unit: str
    documentation: str
    labels: tuple[str, ...] = ()

    @property
    def shown_as(self) -> str:
        """Return the name that queries use."""
        return f"{self.name}_total" if self.type == "counter" else self.name


@dataclass(frozen=True, slots=True)
class Measured:
    """Join a metric's description with how it is read.

    `is_of_process`: where a process has several organizations, it is read of all together.
    """

    description: Description
    read: Callable[[Seen], Iterable[Sample]]
    is_of_process: bool = False


def _single(value: float | Distribution | None) -> list[Sample]:
    return [] if value is None else [((), value)]


def _failing(seen: Seen) -> Iterator[Sample]:
    """Say of each end and kind whether it fails: one that does not is 0, rather than absent."""
    logs = seen.parts.failure_logs if seen.parts else ()
    failing: set[tuple[str, str]] = {
        (end, "refused" if ongoing.is_refused else "unavailable")
        for end, log in logs
        for ongoing in log.goes_on()
    }
    for end, kind in product(get_args(End), get_args(Kind)):
        yield (end, kind), float((end, kind) in failing)


def _new_events_lag(seen: Seen) -> list[Sample]:
    parts = seen.parts
    if parts is None or not seen.is_collecting:
        return []
    read_to = [collector.new_events_read_to_ms for collector in parts.collectors]
    instants = [instant for instant in read_to if instant is not None]
    return _single(_age_seconds(parts, min(instants)) if instants else None)


def _watermark_age(seen: Seen) -> list[Sample]:
    parts = seen.parts
    if parts is None or not seen.is_collecting:
        return []
    return _single(_age_seconds(parts, parts.checkpoint.watermark_ms))


def _age_seconds(parts: Parts, instant_ms: int) -> float:
    """Return an age by JumpCloud's clock: this machine's may be wrong."""
    return max(0, parts.clock.now_ms() - instant_ms) / 1000


def _backlog_seconds(seen: Seen) -> list[Sample]:
    return _single(open_ms(seen.parts.checkpoint) / 1000 if seen.parts else None)


def _backlog_windows(seen: Seen) -> list[Sample]:
    return _single(len(seen.parts.checkpoint.windows) if seen.parts else None)


def _shortfall(seen: Seen) -> list[Sample]:
    audits = _audits(seen)
    return _single(sum(audit.shortfall for audit in audits) if audits else None)


def _audit_age(seen: Seen) -> list[Sample]:
    ages = [audit.seconds_ago for audit in _audits(seen)]
    return _single(max((seen.seconds_since_start if a is None else a for a in ages), default=None))


def _audits(seen: Seen) -> list[Audited]:
    collectors = seen.parts.collectors if seen.parts and seen.is_collecting else ()
    return [audited for collector in collectors if (audited := collector.audited)]


MEASURED: Final = (
    Measured(
        Description(
            f"{PREFIX}_http_requests",
            "counter",
            "requests",
            documentation=(
                "requests to JumpCloud and to the intake. `status` is the answer's, `none` where"
                " no answer came"
            ),
            labels=("end", "endpoint", "status"),
        ),
        lambda seen: seen.measurements.traffic.requests().items(),
        is_of_process=True,
    ),
    Measured(
        Description(
            f"{PREFIX}_http_request_duration_seconds",
            "histogram",
            "seconds",
            documentation=(
                "from the start of a request to the headers of its answer, or to giving it up."
                " Reading a page's body is not in it"
            ),
            labels=("end", "endpoint"),
        ),
        lambda seen: seen.measurements.traffic.request_seconds().items(),
        is_of_process=True,
    ),
    Measured(
        Description(
            f"{PREFIX}_failed_tries",
            "counter",
            "tries",
            documentation=(
                "tries that failed and are made again. `kind` is `refused` where a person is"
                " needed, `unavailable` where it may pass by itself"
            ),
            labels=("end", "kind", "status"),
        ),
        lambda seen: seen.measurements.failures().items(),
    ),
    Measured(
        Description(
            f"{PREFIX}_failing",
            "gauge",
            "boolean",
            documentation=(
                "1 while an end refuses, or fails for the third time in a row; 0 from the first"
                " success on"
            ),
            labels=("end", "kind"),
        ),
        _failing,
    ),
    Measured(
        Description(
            f"{PREFIX}_unexpected_failures",
            "counter",
            "failures",
            documentation="mistakes in the program: collecting goes on after ten seconds",
        ),
        lambda seen: _single(seen.measurements.unexpected),
    ),
    Measured(
        Description(
            f"{PREFIX}_collecting",
            "gauge",
            "boolean",
            documentation=(
                "1 once the state is this process's and was found; 0 while it starts, waits for"
                " another owner, or cannot work"
            ),
        ),
        lambda seen: _single(float(seen.is_collecting)),
    ),
    Measured(
        Description(
            f"{PREFIX}_new_events_lag_seconds",
            "gauge",
            "seconds",
            documentation=(
                "since new events were last read to their end, by JumpCloud's clock. A backlog"
                " does not count: at a first start it is small, and only falling behind makes it"
                " grow"
            ),
        ),
        _new_events_lag,
    ),
    Measured(
        Description(
            f"{PREFIX}_watermark_age_seconds",
            "gauge",
            "seconds",
            documentation=(
                "the age of the newest event that was read, by JumpCloud's clock; it grows while"
                " the directory is quiet"
            ),
        ),
        _watermark_age,
    ),
    Measured(
        Description(
            f"{PREFIX}_backlog_seconds",
            "gauge",
            "seconds",
            documentation=(
                "the time that a first start, or a restart after downtime, has still to read; 0"
                " when there is no backlog"
            ),
        ),
        _backlog_seconds,
    ),
    Measured(
        Description(
            f"{PREFIX}_backlog_slices",
            "gauge",
            "slices",
            documentation="slices of the backlog that are still open",
        ),
        _backlog_windows,
    ),
    Measured(
        Description(
            f"{PREFIX}_duplicates_withheld",
            "counter",
            "events",
            documentation=(
                "events that were read again and not sent again: the newest millisecond of each"
                " poll, and the minutes of late events"
            ),
        ),
        lambda seen: _single(seen.measurements.stats.peek().known),
    ),
    Measured(
        Description(
            f"{PREFIX}_late_event_delay_seconds",
            "histogram",
            "seconds",
            documentation=(
                "how old late events were when they were delivered; `_count` is how many there were"
            ),
        ),
        lambda seen: _single(seen.measurements.late.distribution()),
    ),
    Measured(
        Description(
            f"{PREFIX}_missing_receipts",
            "counter",
            "events",
            documentation="events of accepted batches for which the intake gave no receipt",
        ),
        lambda seen: _single(seen.measurements.stats.peek().without_receipt),
    ),
    Measured(
        Description(
            f"{PREFIX}_quarantined_events",
            "gauge",
            "events",
            documentation=(
                "events in the quarantine. Absent until the first one is set aside after a start,"
                " since counting them asks the storage"
            ),
        ),
        lambda seen: _single(seen.parts.quarantine.count() if seen.parts else None),
    ),
    Measured(
        Description(
            f"{PREFIX}_audit_shortfall_events",
            "gauge",
            "events",
            documentation=(
                "events that JumpCloud counts, and did not give when their minutes were read"
                " again, as of the last whole search for late events"
            ),
        ),
        _shortfall,
    ),
    Measured(
        Description(
            f"{PREFIX}_audit_age_seconds",
            "gauge",
            "seconds",
            documentation=(
                "since the last whole search for late events ended, or since the start; absent"
                " where `audit_hours` is 0"
            ),
        ),
        _audit_age,
    ),
    Measured(
        Description(
            f"{PREFIX}_commit_duration_seconds",
            "histogram",
            "seconds",
            documentation=(
                "from the start of a commit until it survives a power cut, waits for the storage"
                " included"
            ),
        ),
        lambda seen: _single(seen.measurements.traffic.commits.distribution()),
        is_of_process=True,
    ),
    Measured(
        Description(
            f"{PREFIX}_build_info",
            "gauge",
            "always 1",
            documentation="which version runs, on which Python",
            labels=("version", "python"),
        ),
        lambda seen: [((seen.version, platform.python_version()), 1.0)],
        is_of_process=True,
    ),
)
"""What is read from the measurements and the parts, when Prometheus asks."""

COLLECTED_MESSAGES_DESCRIPTION: Final = Description(
    f"{PREFIX}_collected_messages",
    "counter",
    "events",
    documentation=(
        "new events read from JumpCloud: accepted or set aside, counted at the end of each poll"
    ),
)
COUNTED_BY_THE_SDK: Final = (
    Description(
        f"{OF_THE_SDK}_forwarded_events",
        "counter",
        "events",
        documentation="events that the intake accepted",
    ),
    Description(
        f"{OF_THE_SDK}_discarded_events",
        "counter",
        "events",
        documentation="events set aside in the quarantine",
    ),
    Description(
        f"{OF_THE_SDK}_forward_events_duration",
        "histogram",
        "seconds",
        documentation="from the first try of a batch to its receipt",
    ),
    Description(
        f"{OF_THE_SDK}_events_lags",
        "gauge",
        "seconds",
        documentation=(
            "since the oldest instant that is not collected yet, a backlog included; 0 when"
            " caught up; it grows while something fails"
        ),
    ),
)
"""What all modules of Sekoia show, and its dashboards rely on."""
OF_ALL_ORGANIZATIONS: Final[tuple[tuple[Description, Callable[[InAll], float]], ...]] = (
    (
        Description(
            f"{PREFIX}_organizations",
            "gauge",
            "organizations",
            documentation="organizations of the list that this process collects from",
        ),
        lambda seen: seen.organizations,
    ),
    (
        Description(
            f"{PREFIX}_organizations_failing",
            "gauge",
            "organizations",
            documentation="those of them of which anything is tried again just now",
        ),
        lambda seen: seen.failing,
    ),
    (
        Description(
            f"{PREFIX}_polls",
            "counter",
            "polls",
            documentation="polls of all organizations that went well",
        ),
        lambda seen: seen.polls,
    ),
    (
        Description(
            f"{PREFIX}_schedule_late_seconds",
            "gauge",
            "seconds",
            documentation=(
                "by how much the latest of the polls and other steps of the last minute or two"
                " began late: large where the process has more to do than it can"
            ),
        ),
        lambda seen: seen.late_seconds,
    ),
)
"""What is shown besides where a process has a list of organizations, without any label."""
DESCRIPTIONS: Final = (
    *(measured.description for measured in MEASURED),
    COLLECTED_MESSAGES_DESCRIPTION,
    *COUNTED_BY_THE_SDK,
    *(description for description, _ in OF_ALL_ORGANIZATIONS),
)
"""Every metric that there is."""


def _of_the_sdk(name: str) -> Description:
    return next(one for one in COUNTED_BY_THE_SDK if one.name == f"{OF_THE_SDK}_{name}")


def _known(seen: Seen) -> int:
    return seen.measurements.stats.peek().known


FORWARD_EVENTS_DURATION: Final = _of_the_sdk("forward_events_duration")
IN_PLACE_OF_THE_SDK: Final = (
    Measured(
        COLLECTED_MESSAGES_DESCRIPTION,
        lambda seen: _single(seen.measurements.stats.peek().read - _known(seen)),
    ),
    Measured(
        _of_the_sdk("forwarded_events"),
        lambda seen: _single(seen.measurements.stats.peek().delivered),
    ),
    Measured(
        _of_the_sdk("discarded_events"),
        lambda seen: _single(seen.measurements.stats.peek().set_aside),
    ),
    Measured(_of_the_sdk("events_lags"), lambda seen: _single(seen.lag_seconds)),
)
"""What the SDK shows of a connector of one organization, and cannot show of each of many."""
LABELLED_BY_ORGANIZATION: Final = frozenset(
    measured.description.name
    for measured in (*MEASURED, *IN_PLACE_OF_THE_SDK)
    if not measured.is_of_process
)
"""The metrics that have the label `organization` where there are many."""
