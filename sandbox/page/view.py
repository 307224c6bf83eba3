"""What the page shows of a run at a moment: texts that are ready to be shown, and paths to draw.

All is worked out here, so that the page itself keeps no figures. Knows a scene and a scenario;
knows no HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sandbox.charts import Chart, charts
from sandbox.harm import offered
from sandbox.incidents import Incident, counted, harm_spans
from sandbox.observer import SECONDS_BETWEEN_SAMPLES, Line, Sample
from sandbox.scene import Scene
from sandbox.standings import Standing, count_well
from sandbox.target import Place

_SECONDS_DRAWN = 120
_SAMPLES_DRAWN = int(_SECONDS_DRAWN / SECONDS_BETWEEN_SAMPLES)
_SAMPLES_OF_A_RATE = 5
_INCIDENTS_SHOWN = 20
_ROWS_SHOWN = 10
_LARGER_UNITS = ((86_400, "days"), (3_600, "h"), (60, "min"))
_OF_JUMPCLOUD: tuple[Place, ...] = ("JumpCloud", "events")

Tone = str  # "well", "busy" or "ill": each has a sign and a word beside its colour


def view(scene: Scene) -> dict[str, Any]:
    """Return what changes twice a second."""
    samples = scene.observer.samples[-_SAMPLES_DRAWN:]
    latest, incidents = samples[-1], scene.incidents.all
    is_calm = scene.incidents.are_settled and not latest.failing
    spans = harm_spans(incidents, latest.elapsed_seconds)
    return {
        "verdict": _verdict(latest, scene.target.kills, is_calm=is_calm),
        "states": _states(latest, incidents),
        "figures": _figures(
            latest,
            samples[-_SAMPLES_OF_A_RATE] if len(samples) >= _SAMPLES_OF_A_RATE else samples[0],
        ),
        "charts": [_chart(chart) for chart in charts(samples, spans)],
        "incidents": [_incident(one) for one in incidents[-_INCIDENTS_SHOWN:]],
        "organizations": _organizations(scene.observer.standings),
        "missing": {harm.name: harm.missing(scene.target) for harm in offered(scene.target)},
    }


def _organizations(found: Sequence[Standing]) -> dict[str, Any] | None:
    """Return the worst of several organizations, and how many are well; None where there is one."""
    if not found:
        return None
    shown, rest, well = found[:_ROWS_SHOWN], found[_ROWS_SHOWN:], count_well(found)
    tones = {one.tone for one in found}
    return {
        "tone": "ill" if "ill" in tones else "busy" if "busy" in tones else "well",
        "word": f"{well:,} of {len(found):,} are well",
        "rows": [_organization(one) for one in shown],
        "more": f"{len(rest):,} more, {count_well(rest):,} of them well." if rest else "",
    }


def _organization(one: Standing) -> dict[str, str]:
    return {
        "name": one.name,
        "tone": one.tone,
        "word": one.word,
        "published": f"{one.so_far.published:,}",
        "accepted": f"{one.so_far.accepted:,}",
        "lag": lag_text(one.lag_seconds),
    }


def lag_text(seconds: float | None) -> str:
    """Write a span in the largest unit of which it is at least two."""
    if seconds is None:
        return "not known"
    fitting = (one for one in _LARGER_UNITS if seconds >= 2 * one[0])
    size, unit = next(fitting, (1, "s"))
    return f"{seconds / size:,.0f} {unit}"


def line_to_json(line: Line) -> dict[str, Any]:
    """Return a line of the log as it is shown."""
    after = f"{line.elapsed_seconds:.1f} s"
    return {
        "after": after,
        "level": line.level,
        "message": line.message,
        "poll": line.is_of_a_poll,
    }


def _verdict(sample: Sample, kills: int, *, is_calm: bool) -> dict[str, str]:
    so_far = sample.so_far
    set_aside = f"{sample.set_aside:,} set aside, " if sample.set_aside else ""
    detail = (
        f"{so_far.published:,} published, {so_far.accepted:,} accepted, {set_aside}"
        f"{so_far.waiting:,} on their way, {so_far.twice:,} twice, {so_far.strange:,} altered."
    )
    if so_far.misdelivered:
        detail += f" {so_far.misdelivered:,} came with another organization's intake key."
    if so_far.strange or so_far.misdelivered or (so_far.twice and not kills):
        return _tone("ill", "Not as promised") | {"detail": detail}
    if so_far.twice:
        detail += " What came twice was in flight when it was killed; no more is promised then."
    if so_far.waiting and not is_calm:
        return _tone("busy", "Events wait; none has been given up") | {"detail": detail}
    return _tone("well", "Nothing is lost, nothing altered") | {"detail": detail}


def _tone(tone: Tone, word: str) -> dict[str, str]:
    return {"tone": tone, "word": word}


def _states(sample: Sample, incidents: Sequence[Incident]) -> dict[str, dict[str, str]]:
    under_way = [one for one in incidents if not one.over.is_set()]
    return {
        "jumpcloud": _end_state([one for one in under_way if one.harm.place in _OF_JUMPCLOUD]),
        "connector": _connector_state(sample),
        "intake": _end_state([one for one in under_way if one.harm.place == "intake"]),
    }


def _end_state(under_way: Sequence[Incident]) -> dict[str, str]:
    if not under_way:
        return _tone("well", "answers")
    return _tone("ill", ", ".join(one.harm.title for one in under_way))


def _connector_state(sample: Sample) -> dict[str, str]:
    if sample.failing:
        ends = ", ".join(str(failing["end"]) for failing in sample.failing)
        ends = ends.replace("The ", "the ")
        return _tone("busy", f"waits for {ends}, and tries again")
    if sample.state == "collecting":
        behind = sample.backlog_windows
        return _tone("busy", "reads a backlog") if behind else _tone("well", "collecting")
    return _tone("ill" if sample.state == "not running" else "busy", sample.state)


def _figures(now: Sample, before: Sample) -> dict[str, str]:
    seconds = max(now.elapsed_seconds - before.elapsed_seconds, SECONDS_BETWEEN_SAMPLES)
    accepted = now.so_far.accepted - before.so_far.accepted
    read = accepted + now.withheld - before.withheld
    return {
        "elapsed": f"{now.elapsed_seconds:.0f} s",
        "published": f"{now.so_far.published:,}",
        "jumpcloud-answers": _answers(now.statuses["jumpcloud"]),
        "read-rate": f"{max(0, read) / seconds:,.0f} events/s",
        "lag": lag_text(now.lag_seconds),
        "late": f"{now.late:,}",
        "withheld": f"{now.withheld:,}",
        "set-aside": f"{now.set_aside:,}",
        "memory": f"{now.rss_bytes / 1e6:.0f} MB" if now.rss_bytes else "none",
        "starts": counted(now.starts, "start"),
        "accepted-rate": f"{accepted / seconds:,.0f} events/s",
        "accepted": f"{now.so_far.accepted:,}",
        "waiting": f"{now.so_far.waiting:,}",
        "intake-answers": _answers(now.statuses["intake"]),
    }


def _answers(statuses: Mapping[int, int]) -> str:
    told = [
        f"{counted(count, 'request')} {'with ' + str(status) if status else 'not at all'}"
        for status, count in sorted(statuses.items())
    ]
    return ", ".join(told) or "nothing yet"


def _chart(chart: Chart) -> dict[str, Any]:
    return {**asdict(chart), "lines": [line.path for line in chart.lines]}


def _incident(incident: Incident) -> dict[str, Any]:
    tones = {"recovered": "well", "under way": "ill", "recovering": "busy"}
    return {
        "number": incident.number,
        "harm": incident.harm.name,
        "does": incident.harm.does,
        "should": incident.harm.should,
        "title": f"{incident.harm.title}, {incident.harm.amount.name_of(incident.amount)}",
        "state": incident.state,
        "tone": tones.get(incident.state, "ill"),
        "can_end": not incident.over.is_set(),
        "told": list(incident.told),
    }
