"""Write Grafana's dashboard with Grafana's own builders, or tell that it differs.

::

    python -m tools.dashboard [--check]
"""

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeVar

from grafana_foundation_sdk.builders import common as build_common
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common, dashboard
from grafana_foundation_sdk.models import prometheus as models

from jumpcloud_modules.sekoia.metrics import LABELLED_BY_ORGANIZATION, OF_THE_SDK, PREFIX

PATH: Final = Path(__file__).resolve().parent.parent / "deploy/grafana/jumpcloud.json"
UID: Final = "jumpcloud-directory-insights"
OF_ALL: Final = '{job="$job",instance=~"$instance"}'
"""Which samples a panel looks at, of metrics of a whole process."""
OF_EACH: Final = '{job="$job",instance=~"$instance",organization=~"$organization"}'
"""Which samples a panel looks at, of metrics that each organization has."""
EACH: Final = "by (instance, organization)"
DATA_SOURCE: Final = dashboard.DataSourceRef(type_val="prometheus", uid="$datasource")
Kind = TypeVar("Kind", stat.Panel, timeseries.Panel, table.Panel)
COLUMNS: Final = 24
STAT_HEIGHT: Final = 4
LINES_HEIGHT: Final = 8


@dataclass(frozen=True, slots=True)
class Query:
    """Ask Prometheus, and name what it returns by its labels."""

    expression: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """Answer one question; `red_from` is the value that is bad, None where none is.

    `is_of_many`: it is there for a list of organizations.
    """

    title: str
    meaning: str
    queries: tuple[Query, ...]
    kind: Literal["number", "name", "lines", "table"] = "lines"
    unit: str = "short"
    red_from: float | None = None
    is_of_many: bool = False


def _rate(metric: str, by: str) -> str:
    return f"sum by ({by}) (rate({metric}{_samples(metric)}[$__rate_interval]))"


def _samples(metric: str) -> str:
    names = (metric.removesuffix("_total"), metric.removesuffix("_bucket"))
    return OF_ALL if LABELLED_BY_ORGANIZATION.isdisjoint(names) else OF_EACH


def _quantile(share: float, metric: str, by: str = "") -> str:
    labels = f"le, {by}" if by else "le"
    rate = _rate(f"{metric}_bucket", labels)
    return f"histogram_quantile({share}, {rate})"


ROWS: Final[tuple[tuple[str, tuple[Panel, ...]], ...]] = (
    (
        "Is it well?",
        (
            Panel(
                "Fails now",
                "How many of JumpCloud, the backlog, the intake and the state fail just now.",
                (Query(f"sum({PREFIX}_failing{OF_EACH})"),),
                "number",
                red_from=1,
            ),
            Panel(
                "New events are behind by",
                "A first start or a backlog does not count.",
                (Query(f"max({PREFIX}_new_events_lag_seconds{OF_EACH})"),),
                "number",
                "s",
                900,
            ),
            Panel(
                "Backlog left",
                "The time that is still to be read after a first start or downtime.",
                (Query(f"sum({PREFIX}_backlog_seconds{OF_EACH})"),),
                "number",
                "s",
            ),
            Panel(
                "Set aside in 24 h",
                "Events that went to the quarantine: see docs/operations.md.",
                (Query(f"sum(increase({OF_THE_SDK}_discarded_events_total{OF_EACH}[24h]))"),),
                "number",
                red_from=1,
            ),
            Panel(
                "Counted and not given",
                "Events that JumpCloud counts and did not give when it was asked again.",
                (Query(f"sum({PREFIX}_audit_shortfall_events{OF_EACH})"),),
                "number",
                red_from=1,
            ),
            Panel(
                "Version",
                "Which version runs.",
                (Query(f"{PREFIX}_build_info{OF_ALL}", "{{version}}"),),
                "name",
            ),
        ),
    ),
    (
        "Which organizations?",
        (
            Panel(
                "Organizations, worst first",
                "What fails, how late new events are, what is left of a backlog, events in 24 h.",
                (
                    Query(f"sum {EACH} ({PREFIX}_failing{OF_EACH})", "failing"),
                    Query(
                        f"max {EACH} ({PREFIX}_new_events_lag_seconds{OF_EACH})",
                        "behind, s",
                    ),
                    Query(f"sum {EACH} ({PREFIX}_backlog_seconds{OF_EACH})", "backlog, s"),
                    Query(
                        f"sum {EACH} (increase({OF_THE_SDK}_forwarded_events_total{OF_EACH}[24h]))",
                        "events",
                    ),
                ),
                "table",
                is_of_many=True,
            ),
            Panel(
                "Organizations of a list",
                "How many there are, and of how many anything is tried again just now.",
                (
                    Query(f"sum({PREFIX}_organizations{OF_ALL})", "in all"),
                    Query(f"sum({PREFIX}_organizations_failing{OF_ALL})", "failing"),
                ),
                is_of_many=True,
            ),
            Panel(
                "Polls begin late by",
                "The latest of the last minute or two: large where there is too much to do.",
                (Query(f"max by (instance) ({PREFIX}_schedule_late_seconds{OF_ALL})"),),
                unit="s",
                is_of_many=True,
            ),
        ),
    ),
    (
        "Is anything late?",
        (
            Panel(
                "Behind by",
                "New events, and the oldest instant that is not collected yet, backlog included.",
                (
                    Query(f"max({PREFIX}_new_events_lag_seconds{OF_EACH})", "new events"),
                    Query(f"max({OF_THE_SDK}_events_lags{OF_EACH})", "oldest not collected"),
                ),
                unit="s",
            ),
            Panel(
                "Backlog",
                "It falls to 0; new events do not wait for it.",
                (Query(f"sum({PREFIX}_backlog_seconds{OF_EACH})", "still to read"),),
                unit="s",
            ),
            Panel(
                "Events published late",
                "Found by JumpCloud's counts, and how old they were when they were delivered.",
                (
                    Query(_quantile(0.5, f"{PREFIX}_late_event_delay_seconds"), "half within"),
                    Query(_quantile(0.95, f"{PREFIX}_late_event_delay_seconds"), "95 % within"),
                ),
                unit="s",
            ),
            Panel(
                "Last whole search for late events",
                "How long ago it ended.",
                (Query(f"max({PREFIX}_audit_age_seconds{OF_EACH})", "ago"),),
                unit="s",
            ),
        ),
    ),
    (
        "What fails, since when?",
        (
            Panel(
                "Failing",
                "1 while it fails. `refused` needs a person; `unavailable` may pass by itself.",
                (
                    Query(
                        f"max by (end, kind) ({PREFIX}_failing{OF_EACH})",
                        "{{end}} {{kind}}",
                    ),
                ),
            ),
            Panel(
                "Failed tries a second",
                "By status; `none` where no answer came.",
                (
                    Query(
                        _rate(f"{PREFIX}_failed_tries_total", "end, kind, status"),
                        "{{end}} {{kind}} {{status}}",
                    ),
                ),
                unit="reqps",
            ),
            Panel(
                "Requests a second",
                "By status.",
                (
                    Query(
                        _rate(f"{PREFIX}_http_requests_total", "end, status"),
                        "{{end}} {{status}}",
                    ),
                ),
                unit="reqps",
            ),
            Panel(
                "In the quarantine",
                "Known once an event was set aside after a start.",
                (Query(f"sum({PREFIX}_quarantined_events{OF_EACH})", "events"),),
            ),
        ),
    ),
    (
        "What does it cost?",
        (
            Panel(
                "Events a second",
                "Accepted by the intake, and read again but not sent again.",
                (
                    Query(_rate(f"{OF_THE_SDK}_forwarded_events_total", "job"), "forwarded"),
                    Query(_rate(f"{PREFIX}_duplicates_withheld_total", "job"), "withheld"),
                ),
                unit="cps",
            ),
            Panel(
                "Seconds of a request",
                "Until the headers of its answer: 95 of 100 are quicker.",
                (
                    Query(
                        _quantile(0.95, f"{PREFIX}_http_request_duration_seconds", "endpoint"),
                        "{{endpoint}}",
                    ),
                ),
                unit="s",
            ),
            Panel(
                "Seconds of a commit, of a batch",
                "95 of 100 are quicker.",
                (
                    Query(_quantile(0.95, f"{PREFIX}_commit_duration_seconds"), "commit"),
                    Query(_quantile(0.95, f"{OF_THE_SDK}_forward_events_duration"), "batch"),
                ),
                unit="s",
            ),
            Panel(
                "Processor",
                "Cores in use.",
                (Query(_rate("process_cpu_seconds_total", "instance"), "{{instance}}"),),
            ),
            Panel(
                "Memory",
                "Resident.",
                (Query(f"process_resident_memory_bytes{OF_ALL}", "{{instance}}"),),
                unit="bytes",
            ),
        ),
    ),
)
"""The questions of whoever looks, from the first one on."""
PANELS: Final = tuple(panel for _, panels in ROWS for panel in panels)
PANELS_OF_ONE: Final = tuple(panel for panel in PANELS if not panel.is_of_many)


def document() -> str:
    """Return the dashboard's JSON."""
    board = (
        build.Dashboard("JumpCloud Directory Insights")
        .uid(UID)
        .tags(["jumpcloud", "sekoia"])
        .description("How the connector is doing. Written by tools/dashboard.py.")
        .readonly()
        .time("now-6h", "now")
        .refresh("30s")
        .with_variable(build.DatasourceVariable("datasource").type("prometheus"))
        .with_variable(_variable("job", f"label_values({PREFIX}_build_info, job)"))
        .with_variable(
            _variable("instance", f'label_values({PREFIX}_build_info{{job="$job"}}, instance)')
            .include_all(True)
            .multi(True)
        )
        .with_variable(
            # A single organization has no such label: `.*` matches its absence, too.
            _variable("organization", f"label_values({PREFIX}_collecting{OF_ALL}, organization)")
            .include_all(True)
            .all_value(".*")
            .multi(True)
        )
    )
    for title, panels in ROWS:
        board.with_row(build.Row(title))
        span = max(COLUMNS // len(panels), COLUMNS // 6)
        for panel in panels:
            board.with_panel(_built(panel, span))
    return json.dumps(board.build(), cls=JSONEncoder, indent=2, sort_keys=True) + "\n"


def _variable(name: str, query: str) -> build.QueryVariable:
    return (
        build.QueryVariable(name)
        .datasource(DATA_SOURCE)
        .query(query)
        .refresh(dashboard.VariableRefresh.ON_DASHBOARD_LOAD)
    )


def _built(panel: Panel, span: int) -> stat.Panel | timeseries.Panel | table.Panel:
    if panel.kind == "table":
        return _table(panel, span)
    if panel.kind == "lines":
        lines = timeseries.Panel().height(LINES_HEIGHT).min(0).fill_opacity(10)
        return _filled(lines, panel, span)
    number = stat.Panel().height(STAT_HEIGHT)
    if panel.kind == "name":
        number.text_mode(common.BigValueTextMode.NAME)
    return _filled(number, panel, span)


def _filled(builder: Kind, panel: Panel, span: int) -> Kind:
    builder.title(panel.title).description(panel.meaning).unit(panel.unit).span(span)
    builder.datasource(DATA_SOURCE).thresholds(_thresholds(panel.red_from))
    for number, query in enumerate(panel.queries):
        target = prometheus.Dataquery().expr(query.expression).ref_id(chr(ord("A") + number))
        if panel.kind == "table":
            target.instant().format(models.PromQueryFormat.TABLE)
        builder.with_target(target.legend_format(query.legend or "__auto"))
    return builder


def _table(panel: Panel, span: int) -> table.Panel:
    """Return a row for each organization: what Prometheus says now, joined by its labels."""
    rows = _filled(table.Panel().height(LINES_HEIGHT), panel, span)
    columns = {
        f"Value #{chr(ord('A') + number)}": query.legend
        for number, query in enumerate(panel.queries)
    }
    organize = {"excludeByName": {"Time": True}, "renameByName": columns}
    rows.with_transformation(dashboard.DataTransformerConfig(id_val="merge", options={}))
    rows.with_transformation(dashboard.DataTransformerConfig(id_val="organize", options=organize))
    return rows.sort_by(
        [
            build_common.TableSortByFieldState().display_name(query.legend).desc(True)
            for query in panel.queries[:2]
        ]
    )


def _thresholds(red_from: float | None) -> build.ThresholdsConfig:
    steps = [dashboard.Threshold(value=None, color="green")]
    if red_from is not None:
        steps.append(dashboard.Threshold(value=red_from, color="red"))
    return build.ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE).steps(steps)


def main(arguments: list[str] | None = None) -> int:
    """Write or check the dashboard, and return the exit status."""
    parser = argparse.ArgumentParser(description="Write Grafana's dashboard.")
    parser.add_argument("--check", action="store_true", help="only tell whether it differs")
    text = document()
    if not parser.parse_args(arguments).check:
        PATH.parent.mkdir(parents=True, exist_ok=True)
        PATH.write_text(text, encoding="utf-8")
        return 0
    if PATH.read_text(encoding="utf-8") == text:
        return 0
    sys.stderr.write("deploy/grafana/jumpcloud.json differs from tools/dashboard.py: make docs\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
