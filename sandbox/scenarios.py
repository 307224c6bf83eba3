"""Stories by name: what waits, what comes, what goes wrong, and in which order.

Plain values; knows neither who runs them nor how they end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_DAY_HOURS = 24


@dataclass(frozen=True, slots=True)
class Step:
    """A harm by its name, and how much of it; done once the connector has caught up."""

    harm: str
    amount: float


@dataclass(frozen=True, slots=True)
class Scenario:
    """A run: `events` of the last `events_hours` wait, `per_second` come meanwhile.

    After the steps, events come for `live_seconds` more. `history_hours` is how far back the
    connector collects; `fault_rate` of all requests fail.
    """

    name: str
    title: str
    story: str
    events: int = 20_000
    events_hours: int = _DAY_HOURS
    history_hours: int = 7 * _DAY_HOURS  # so that harm may publish events that are days late
    per_second: float = 5.0
    late_share: float = 0.2
    steps: tuple[Step, ...] = ()
    live_seconds: float = 5.0
    fault_rate: float = 0.0
    organizations: int = 0  # each of them with a part of the events; 0: a single one


EVERYDAY = Scenario(
    name="everyday",
    title="An everyday run",
    story="Events of the last day wait; a few more come every second, some of them late.",
    live_seconds=25.0,
)

SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        name="weekend-laptop",
        title="The weekend laptop",
        story=(
            "A laptop is closed on Friday and opened on Monday. What happened on it comes three"
            " days late, between events that were collected long ago."
        ),
        events_hours=6 * _DAY_HOURS,
        steps=(Step("late-events", 3 * 86_400),),
        live_seconds=8.0,
    ),
    Scenario(
        name="expired-key",
        title="The expired key",
        story=(
            "JumpCloud's API key expires while events keep coming. Somebody notices, and the key"
            " is accepted again; nobody restarts the connector."
        ),
        per_second=20.0,
        steps=(Step("refused-key", 20),),
    ),
    Scenario(
        name="intake-outage",
        title="The intake outage",
        story=(
            "The intake cannot be reached for half a minute while a hundred events come every"
            " second, and then is back."
        ),
        per_second=100.0,
        steps=(Step("intake-outage", 30),),
    ),
    Scenario(
        name="first-90-days",
        title="The first 90 days",
        story=(
            "A first start collects all that JumpCloud keeps: 90 days. New events must not wait"
            " until that is done."
        ),
        events=90_000,
        events_hours=90 * _DAY_HOURS,
        history_hours=90 * _DAY_HOURS,
        per_second=20.0,
        live_seconds=15.0,
    ),
    Scenario(
        name="bad-network",
        title="The bad network",
        story=(
            "Three requests in ten fail, one way or another, at both ends. Then every page is"
            " slow, and then most are broken."
        ),
        fault_rate=0.3,
        steps=(Step("slow-pages", 10), Step("broken-bodies", 10)),
    ),
    Scenario(
        name="two-hundred-organizations",
        title="Two hundred organizations",
        story=(
            "One process collects for two hundred organizations, each with an intake key of its"
            " own. The API key of one expires, another one hangs, the intake refuses the key of a"
            " third, and then the list changes. No other must notice."
        ),
        organizations=200,
        per_second=30.0,
        steps=(
            Step("one-expired-key", 15),
            Step("one-hangs", 20),
            Step("one-refused-intake-key", 15),
            Step("list-change", 2),
        ),
        live_seconds=10.0,
    ),
)

BY_NAME: Mapping[str, Scenario] = {scenario.name: scenario for scenario in SCENARIOS}


def listed() -> str:
    """Write what there is as lines for a person."""
    return "\n".join(f"{one.name:<26} {one.story}" for one in SCENARIOS)
