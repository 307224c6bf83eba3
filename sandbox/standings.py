"""How each of several organizations stands: the worst first, in words.

Knows what was produced and accepted, and what the connector says; knows nothing of who looks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sandbox.running_verdict import SoFar

NOTHING = SoFar(0, 0, 0, 0, 0)
COLLECTING = "collecting"
_MOST_LAG_SECONDS = 60.0
_RANKS = ("ill", "busy", "well")


@dataclass(frozen=True, slots=True)
class Reported:
    """What the connector says of an organization."""

    state: str
    lag_seconds: float | None = None
    fails: tuple[str, ...] = ()  # the ends that are tried again


@dataclass(frozen=True, slots=True)
class Standing:
    """One organization at a moment; `reported` is None where the connector says nothing of it.

    `tone` is well, busy or ill, and `word` says why.
    """

    name: str
    so_far: SoFar
    reported: Reported | None
    tone: str
    word: str

    @property
    def is_well(self) -> bool:
        """Tell whether nothing is to be said of it."""
        return self.tone == "well"

    @property
    def lag_seconds(self) -> float | None:
        """Return its lag, where that is known."""
        return self.reported.lag_seconds if self.reported else None


def standings(
    names: Mapping[str, str],
    so_far: Mapping[str, SoFar],
    reported: Mapping[str, Reported] | None,
) -> list[Standing]:
    """Return how all stand, the worst first.

    `names` and `so_far` are by id; `reported` is by name, or None where nobody answered.
    """
    found = [
        _standing(name, so_far.get(identifier, NOTHING), reported)
        for identifier, name in names.items()
    ]
    return sorted(found, key=_badness)


def reported_of(report: Mapping[str, Any]) -> dict[str, Reported]:
    """Read what `GET /status` says of several organizations, by their names."""
    return {
        str(one.get("name")): Reported(
            str(one.get("state", "starting")),
            one.get("lag_seconds"),
            tuple(str(failing["end"]) for failing in one.get("failing", ())),
        )
        for one in report.get("organizations", ())
    }


def as_one(report: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a report on several organizations in the form of one: its sums, and all that fails."""
    if "organizations" not in report:
        return report
    each: Sequence[Mapping[str, Any]] = report["organizations"]
    return {
        **report,
        "backlog": {"windows": sum(one.get("backlog", {}).get("windows", 0) for one in each)},
        "quarantined": sum(one.get("quarantined") or 0 for one in each),
        "failing": [
            {**failing, "end": f"{failing['end']} ({one.get('name')})"}
            for one in each
            for failing in one.get("failing", ())
        ],
    }


def count_well(found: Iterable[Standing]) -> int:
    """Count those of which nothing is to be said."""
    return sum(one.is_well for one in found)


def _standing(name: str, so_far: SoFar, reported: Mapping[str, Reported] | None) -> Standing:
    said = reported.get(name) if reported else None
    tone, word = _wrong(so_far) or _of_the_connector(so_far, said, is_asked=reported is not None)
    return Standing(name, so_far, said, tone, word)


def _wrong(so_far: SoFar) -> tuple[str, str] | None:
    """Tell what should never be; after a kill, what was in flight may come twice."""
    if so_far.misdelivered:
        return "ill", f"{so_far.misdelivered:,} misdelivered"
    if so_far.strange:
        return "ill", f"{so_far.strange:,} altered"
    return ("busy", f"{so_far.twice:,} twice") if so_far.twice else None


def _of_the_connector(so_far: SoFar, said: Reported | None, *, is_asked: bool) -> tuple[str, str]:
    if said is None:
        if so_far.waiting:
            return "busy", f"{so_far.waiting:,} on their way"
        return "well", "not in the list" if is_asked else "all arrived"
    if said.fails:
        return "busy", f"waits for {said.fails[0].replace('The ', 'the ')}"
    if said.state != COLLECTING:
        return "busy", said.state
    is_behind = (said.lag_seconds or 0.0) > _MOST_LAG_SECONDS
    return ("busy", "reads a backlog") if is_behind else ("well", COLLECTING)


def _badness(one: Standing) -> tuple[int, int, int, float, str]:
    """Return what sorts the worst first: what is wrong, what waits, and for how long.

    Those that are well stay in the order of their names, so that they do not change places.
    """
    if one.is_well:
        return _RANKS.index(one.tone), 0, 0, 0.0, one.name
    so_far = one.so_far
    wrong = so_far.misdelivered + so_far.strange + so_far.twice
    return (
        _RANKS.index(one.tone),
        -wrong,
        -so_far.waiting,
        -(one.lag_seconds or 0.0),
        one.name,
    )
