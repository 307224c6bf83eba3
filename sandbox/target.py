"""What harm is done to, and what a harm is. Knows no harm."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from sandbox.connector import ConnectorProcess
from sandbox.events import Event, dealt
from sandbox.organizations import Organization
from sandbox.server import Sandbox

Undo = Callable[[], str | None]
"""Ends a harm; a sentence, where there is something to tell of it."""

Place = Literal["JumpCloud", "events", "intake", "connector"]

NOT_OURS = "The connector is not one that the sandbox started."
SINGLE = "There is only one organization; begin with --organizations 200."


@dataclass(frozen=True, slots=True)
class Touch:
    """What was done to one organization, in words."""

    organization: Organization
    what: str


@dataclass(slots=True)
class Target:
    """What harm is done to.

    `excused` are the events that no intake takes, so that none is due. `is_away` while the process
    was ended on purpose and will be started again. `kills` counts how often what was in flight may
    have to be sent twice. `organizations` are those that are collected, where there are several,
    and `live` the ids of those that events come to; `touches` says what was done to which.
    """

    sandbox: Sandbox
    connector: ConnectorProcess | None = None
    organizations: list[Organization] = field(default_factory=list)
    live: list[str] = field(default_factory=list)
    touches: list[Touch] = field(default_factory=list)
    excused: list[Event] = field(default_factory=list)
    is_away: bool = False
    kills: int = 0

    @property
    def process(self) -> ConnectorProcess:
        """Return the connector. Raises RuntimeError where it is not ours."""
        if self.connector is None:
            raise RuntimeError(NOT_OURS)
        return self.connector

    def publish(self, events: Iterable[Event]) -> None:
        """Publish events, dealt to all organizations that events come to."""
        self.sandbox.jumpcloud.publish(dealt(events, self.live) if self.live else events)

    def touch(self, organization: Organization, what: str) -> Organization:
        """Note what is done to an organization, and return it."""
        self.touches.append(Touch(organization, what))
        return organization

    def untouched(self, *, with_api_key: bool = False) -> Organization:
        """Return an organization that nothing was done to, or if there is none, the last one.

        `with_api_key`: with one of its own, if there is such.
        """
        touched = {touch.organization.id for touch in self.touches}
        kept = [one for one in self.organizations if one.id not in touched] or self.organizations
        suitable = [one for one in kept if bool(one.api_key) == with_api_key]
        return (suitable or kept)[-1]


@dataclass(frozen=True, slots=True)
class Amount:
    """How much of a harm: the unit, what is offered (by name, the first is usual), the bounds."""

    unit: str
    choices: Mapping[str, float]
    least: float
    most: float

    @property
    def usual(self) -> float:
        """Return what is meant where nobody says."""
        return next(iter(self.choices.values()))

    def name_of(self, amount: float) -> str:
        """Write an amount as it is offered, or as a number with its unit."""
        names = {value: name for name, value in self.choices.items()}
        return names.get(amount, f"{amount:,.15g} {self.unit}")


@dataclass(frozen=True, slots=True)
class Harm:
    """One harm: what it does, what a connector should do about it, and how it begins.

    `begin` returns what ends it, or None where it is over at once. It lasts `lasts_seconds`, by
    default as long as its amount says. `missing` tells why it cannot be done here. What `is_to_one`
    organization should leave the others as they were.
    """

    name: str
    title: str
    place: Place
    does: str
    should: str
    amount: Amount
    begin: Callable[[Target, float], Undo | None]
    lasts_seconds: float | None = None
    sets_aside: bool = False
    is_to_one: bool = False
    missing: Callable[[Target], str] = lambda _: ""
