"""What a run came to, to keep and to pass on: one HTML file that needs no network, and JSON.

Knows what was observed; knows nothing of how it came about.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

from sandbox.api import sample_to_json, verdict_to_json
from sandbox.charts import HEIGHT, WIDTH, Chart, charts
from sandbox.incidents import Incident, harm_spans, sentence
from sandbox.observer import Line, Sample
from sandbox.ranking import Row, counts_of, rows_of
from sandbox.scenarios import Scenario
from sandbox.target import Touch
from sandbox.verdict import Verdict

STYLE = Path(__file__).resolve().parent / "page/style.css"


@dataclass(frozen=True, slots=True)
class Report:
    """All that is told of a run; `is_good` is what its exit status says.

    `organizations` are the verdicts of several, by name; `touches` says what was done to which.
    """

    scenario: Scenario
    verdict: Verdict
    kills: int
    samples: list[Sample]
    incidents: list[Incident]
    lines: list[Line]
    is_good: bool
    cpu_seconds: float
    peak_rss_bytes: int
    organizations: Mapping[str, Verdict] = field(default_factory=dict)
    touches: Sequence[Touch] = ()

    def write(self, folder: Path, now: datetime | None = None) -> Path:
        """Write both files, named by the scenario and the time; return the HTML's path."""
        now = now or datetime.now(UTC)
        folder.mkdir(parents=True, exist_ok=True)
        page = folder / f"{self.scenario.name}-{now:%Y%m%dT%H%M%SZ}.html"
        page.write_text(self.html(now), encoding="utf-8")
        content = json.dumps(self.to_json(), indent=1, ensure_ascii=False)
        page.with_suffix(".json").write_text(content + "\n", encoding="utf-8")
        return page

    def to_json(self) -> dict[str, Any]:
        """Return it for a program."""
        return {
            "scenario": asdict(self.scenario),
            "good": self.is_good,
            "verdict": verdict_to_json(self.verdict),
            "organizations": {
                name: verdict_to_json(verdict) for name, verdict in self.organizations.items()
            },
            "cpu_seconds": round(self.cpu_seconds, 2),
            "peak_rss_bytes": self.peak_rss_bytes,
            "incidents": [incident.to_json() for incident in self.incidents],
            "log": [asdict(line) for line in self.lines],
            "samples": [sample_to_json(sample) for sample in self.samples],
        }

    def html(self, now: datetime) -> str:
        """Return it for a person."""
        title = escape(self.scenario.title)
        word, name = ("good", "well") if self.is_good else ("NOT good", "ill")
        drawn = charts(self.samples, harm_spans(self.incidents, self.samples[-1].elapsed_seconds))
        return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}: {word}</title>
<style>
{STYLE.read_text(encoding="utf-8")}</style>
</head>
<body>
<main>
<h1>{title}</h1>
<p>{escape(self.scenario.story)}</p>
<p>The connector carried events from JumpCloud to Sekoia's intake; a machine played both.</p>
<p class="faint">{now:%Y-%m-%d %H:%M:%S} UTC; {self.samples[-1].elapsed_seconds:.0f} s;
{self.cpu_seconds:.1f} s of processor time; {self.peak_rss_bytes / 1e6:.0f} MB at most.</p>
<h2>The verdict is <span class="{name}">{word}</span></h2>
{_verdict(self.verdict)}
<p>{escape(sentence(self.verdict, self.kills))}</p>
{_organizations(rows_of(self.organizations, self.touches))}<h2>What was seen</h2>
<p class="faint">From the beginning to the end. What is shaded is harm, until all had arrived.
The scales are logarithmic, but for memory.</p>
<div class="charts">
{"".join(map(chart_html, drawn))}</div>
<h2>What was done, and what the connector did about it</h2>
{"".join(map(_incident, self.incidents)) or "<p>No harm was done beside what the story says.</p>"}
<h2>What the connector logged</h2>
{_log(self.lines)}
</main>
</body>
</html>
"""


def chart_html(chart: Chart) -> str:
    """Return a chart as a figure, with its summary for whoever sees no lines."""
    title, summary = escape(chart.title), escape(chart.summary)
    lines = "".join(
        f'<path class="line-{number}" d="{line.path}"/>'
        for number, line in enumerate(chart.lines, 1)
    )
    return f"""<figure>
<figcaption><strong>{title}</strong> <small>top: {escape(chart.top)}</small></figcaption>
<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" role="img"
aria-label="{title}. {summary}"><path class="bands" d="{chart.bands}"/>{lines}</svg>
{legend_html(chart)}<small class="faint">{summary}</small>
</figure>
"""


def legend_html(chart: Chart) -> str:
    """Return which line is which; nothing where there is one."""
    if len(chart.lines) < 2:
        return ""
    keys = "".join(
        f'<li><svg class="chart" viewBox="0 0 24 8" aria-hidden="true">'
        f'<path class="line-{number}" d="M0 4H24"/></svg> {escape(line.name)}</li>'
        for number, line in enumerate(chart.lines, 1)
    )
    return f'<ul class="legend">{keys}</ul>\n'


def _verdict(verdict: Verdict) -> str:
    rows = [
        ("published", verdict.produced, ()),
        ("accepted", verdict.accepted, ()),
        ("lost", verdict.lost, verdict.lost_ids),
        ("twice", verdict.duplicated, verdict.duplicated_ids),
        ("altered", verdict.altered, verdict.altered_ids),
        ("made up", verdict.foreign, verdict.foreign_ids),
        ("misdelivered", verdict.misdelivered, verdict.misdelivered_ids),
    ]
    cells = "".join(
        f'<tr><th scope="row">{name}</th><td class="number">{count:,}</td>'
        f"<td>{escape(', '.join(ids))}</td></tr>"
        for name, count, ids in rows
    )
    return f'<table class="verdict"><tbody>{cells}</tbody></table>'


def _organizations(rows: list[Row]) -> str:
    """Return the worst of several organizations; nothing where there is only one."""
    if not rows:
        return ""
    heads = "".join(
        f'<th scope="col" class="number">{name}</th>' for name, _ in counts_of(rows[0].verdict)
    )
    lines = "".join(f"<tr>{_cells(row)}</tr>\n" for row in rows)
    return (
        '<h2>The organizations</h2>\n<div class="card wide" tabindex="0" role="group"'
        ' aria-label="The organizations"><table><thead><tr><th scope="col">organization</th>'
        f'{heads}<th scope="col">what was done</th></tr></thead><tbody>\n{lines}</tbody></table>'
        "</div>\n"
    )


def _cells(row: Row) -> str:
    word, tone = ("clean", "well") if row.verdict.clean else ("NOT clean", "ill")
    counts = "".join(f'<td class="number">{n:,}</td>' for _, n in counts_of(row.verdict))
    name = f'{escape(row.name)} <span class="{tone}">{word}</span>'
    return f'<th scope="row">{name}</th>{counts}<td>{escape(row.note)}</td>'


def _incident(incident: Incident) -> str:
    harm = incident.harm
    told = "".join(f"<li>{escape(text)}</li>" for text in incident.told)
    return (
        f'<section class="card"><h3>{escape(harm.title)}, {harm.amount.name_of(incident.amount)}'
        f"</h3><p>{escape(harm.does)} {escape(harm.should)}</p><ul>{told}</ul></section>\n"
    )


def _log(lines: list[Line]) -> str:
    rows = "".join(
        f'<tr><td class="number">{line.elapsed_seconds:.1f} s</td>'
        f'<td class="level">{escape(line.level)}</td>'
        f"<td>{escape(line.message)}</td></tr>\n"
        for line in lines
        if not line.is_of_a_poll
    )
    heads = '<th scope="col" class="number">after</th><th scope="col">level</th>'
    return (
        f'<div class="card"><table><thead><tr>{heads}<th scope="col">message</th></tr></thead>'
        f"<tbody>\n{rows}</tbody></table></div>"
    )
