"""What was produced against what was accepted. Knows events and digests; knows no HTTP."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

from sandbox.events import Event
from sandbox.intake import Intake

_LISTED = 20
_LABELLED = ("lost", "duplicated", "altered", "foreign", "misdelivered")
COUNTS = ("produced", "accepted", *_LABELLED, "folded")

OwnerOf = Callable[[Event], str]


def organization_named(event: Event) -> str:
    """Return the organization that an event names itself."""
    return event.organization


@dataclass(frozen=True, slots=True)
class Verdict:
    """Counts, and the first twenty labels (ids, or digests where there is none) of each.

    produced and accepted: of those that were due, and what was never produced among the accepted.
    lost: due and never accepted, with the right key. duplicated: accepted more often than
    produced. altered: an id accepted with other bytes. foreign: accepted and never produced.
    folded: produced several times with equal bytes and accepted fewer times, which loses nothing.
    misdelivered: accepted with the intake key of another organization than the event's.
    """

    produced: int
    accepted: int
    lost: int
    duplicated: int
    altered: int
    foreign: int
    folded: int
    lost_ids: tuple[str, ...] = ()
    duplicated_ids: tuple[str, ...] = ()
    altered_ids: tuple[str, ...] = ()
    foreign_ids: tuple[str, ...] = ()
    misdelivered: int = 0
    misdelivered_ids: tuple[str, ...] = ()

    @property
    def clean(self) -> bool:
        """Tell whether nothing was lost, duplicated, altered, made up or misdelivered."""
        return self.is_but_repeated and not self.duplicated

    @property
    def is_but_repeated(self) -> bool:
        """Tell whether nothing worse happened than that events came twice."""
        return not (self.lost or self.altered or self.foreign or self.misdelivered)

    @property
    def is_of_any(self) -> bool:
        """Tell whether there was any event to judge."""
        return any(getattr(self, name) for name in COUNTS)

    def table(self) -> str:
        """Write the verdict as lines for a person."""
        rows: list[tuple[str, int, tuple[str, ...]]] = [
            ("produced", self.produced, ()),
            ("accepted", self.accepted, ()),
            ("lost", self.lost, self.lost_ids),
            ("duplicated", self.duplicated, self.duplicated_ids),
            ("altered", self.altered, self.altered_ids),
        ]
        if self.misdelivered:
            rows.append(("misdelivered", self.misdelivered, self.misdelivered_ids))
        if self.foreign:
            rows.append(("foreign", self.foreign, self.foreign_ids))
        if self.folded:
            rows.append(("folded", self.folded, ()))
        lines = [_row(name, count, labels) for name, count, labels in rows]
        return "\n".join([*lines, f"verdict     {'clean' if self.clean else 'NOT CLEAN':>10}"])


def judge(
    published: Iterable[Event],
    intake: Intake,
    *,
    since_ms: int | None = None,
    visible_until_ms: int | None = None,
    without: Iterable[Event] = (),
    owner_of: OwnerOf = organization_named,
) -> Verdict:
    """Compare what was published with what the intake accepted.

    Due are the events of `since_ms` or later that were visible by `visible_until_ms`, but for
    those named in `without`. An event that was not due may be accepted, once. `owner_of` returns
    the organization that an event belongs to.
    """
    due = Due(since_ms, visible_until_ms, frozenset(event.digest() for event in without))
    return in_all(judge_each(published, intake, due, owner_of=owner_of).values())


@dataclass(frozen=True, slots=True)
class Due:
    """Which events are due: of which time, visible by when, but for some digests."""

    since_ms: int | None = None
    visible_until_ms: int | None = None
    without: frozenset[bytes] = frozenset()

    def is_in_span(self, event: Event) -> bool:
        """Tell whether an event is of that time and visible by then, whatever `without` says."""
        return (self.since_ms is None or event.time_ms >= self.since_ms) and (
            self.visible_until_ms is None or event.visible_ms <= self.visible_until_ms
        )


def judge_each(
    published: Iterable[Event],
    intake: Intake,
    due: Due | None = None,
    *,
    owner_of: OwnerOf = organization_named,
) -> dict[str, Verdict]:
    """Return the verdict of each organization that has an intake key of its own, by its id.

    The others are judged as one, under an empty id.
    """
    accepted = intake.accepted_since(0)
    keyed = intake.organizations.union(organization for organization, _ in accepted)
    accounts = {organization: _Account() for organization in sorted({"", *keyed})}
    due = due or Due()
    for event in published:
        owner = owner_of(event)
        accounts[owner if owner in keyed else ""].publish(event, is_due=due.is_in_span(event))
    for digest in due.without:
        for account in accounts.values():
            account.due.pop(digest, None)
    holders = {digest: owner for owner, account in accounts.items() for digest in account.labels}
    for organization, digests in accepted:
        _book(accounts, holders, organization, digests)
    _sort_strangers(accounts, holders, intake)
    verdicts = {owner: account.verdict() for owner, account in accounts.items()}
    return {owner: verdict for owner, verdict in verdicts.items() if owner or verdict.is_of_any}


def in_all(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the sum of verdicts; its labels are the first ones of theirs."""
    listed = list(verdicts)
    fields: dict[str, Any] = {name: sum(getattr(one, name) for one in listed) for name in COUNTS}
    for name in (f"{count}_ids" for count in _LABELLED):
        labels = chain.from_iterable(getattr(one, name) for one in listed)
        fields[name] = tuple(islice(labels, _LISTED))
    fields["accepted"] += fields["misdelivered"]  # which none of them accepted
    return Verdict(**fields)


def delays_ms(published: Iterable[Event], intake: Intake) -> list[int]:
    """List, for each published event that arrived, the time from visible to accepted."""
    first: dict[bytes, int] = {}
    for arrival in intake.arrivals():
        first.setdefault(arrival.digest, arrival.epoch_ms)
    visible = ((event.digest(), event.visible_ms) for event in published)
    return [first[digest] - visible_ms for digest, visible_ms in visible if digest in first]


def delays_ms_by_organization(
    published: Iterable[Event], intake: Intake, owner_of: OwnerOf = organization_named
) -> dict[str, list[int]]:
    """List the same by the id of the organization that the events belong to."""
    by_organization: defaultdict[str, list[Event]] = defaultdict(list)
    for event in published:
        by_organization[owner_of(event)].append(event)
    first: dict[bytes, int] = {}
    for arrival in intake.arrivals():
        first.setdefault(arrival.digest, arrival.epoch_ms)
    return {
        organization: [
            first[digest] - event.visible_ms for event in its if (digest := event.digest()) in first
        ]
        for organization, its in by_organization.items()
    }


class _Account:
    """What the intake key of one organization, or of several, was owed and has taken."""

    def __init__(self) -> None:
        self.labels: dict[bytes, str] = {}
        self.copies: Counter[bytes] = Counter()
        self.due: Counter[bytes] = Counter()
        self.accepted: Counter[bytes] = Counter()
        self.altered: Counter[str] = Counter()
        self.foreign: Counter[str] = Counter()
        self.strange = 0  # never published by anybody, so altered or foreign
        self.misdelivered: Counter[str] = Counter()

    def publish(self, event: Event, *, is_due: bool) -> None:
        digest = event.digest()
        self.labels[digest] = event.label
        self.copies[digest] += 1
        if is_due:
            self.due[digest] += 1

    def verdict(self) -> Verdict:
        labels, accepted, copies, due = self.labels, self.accepted, self.copies, self.due
        lost = [labels[d] for d in due if not accepted[d] and labels[d] not in self.altered]
        more = {d: n - copies[d] for d, n in accepted.items() if n > copies[d]}
        duplicated = Counter({labels[d]: n for d, n in more.items()})
        return Verdict(
            produced=due.total(),
            accepted=sum(n for d, n in accepted.items() if d in due) + self.strange,
            lost=len(lost),
            duplicated=duplicated.total(),
            altered=self.altered.total(),
            foreign=self.strange - self.altered.total(),
            folded=sum(due[d] - accepted[d] for d in due if 0 < accepted[d] < due[d]),
            misdelivered=self.misdelivered.total(),
            lost_ids=tuple(lost[:_LISTED]),
            duplicated_ids=tuple(duplicated)[:_LISTED],
            altered_ids=tuple(self.altered)[:_LISTED],
            foreign_ids=tuple(self.foreign)[:_LISTED],
            misdelivered_ids=tuple(self.misdelivered)[:_LISTED],
        )


def _book(
    accounts: Mapping[str, _Account],
    holders: Mapping[bytes, str],
    organization: str,
    digests: list[bytes],
) -> None:
    """Book a batch that came with the key of an organization."""
    account = accounts[organization]
    for digest in digests:
        if digest in account.labels:
            account.accepted[digest] += 1
        elif (holder := holders.get(digest)) is not None:
            label = accounts[holder].labels[digest]
            accounts[holder].misdelivered[_astray(label, organization)] += 1
        else:
            account.strange += 1


def _sort_strangers(
    accounts: Mapping[str, _Account], holders: Mapping[bytes, str], intake: Intake
) -> None:
    """Sort the texts that were never published: a known id (altered), or none (foreign).

    One whose id is another organization's is altered, and misdelivered too.
    """
    ids = {label: owner for owner, account in accounts.items() for label in account.labels.values()}
    own = {owner: set(account.labels.values()) for owner, account in accounts.items()}
    for text, organization in intake.strangers(holders.__contains__):
        label = _id_of(text)
        if label in own[organization]:
            accounts[organization].altered[label] += 1
        elif label in ids:
            holder, account = accounts[ids[label]], accounts[organization]
            account.strange -= 1
            holder.misdelivered[_astray(label, organization)] += 1
        else:
            accounts[organization].foreign[label] += 1


def _astray(label: str, organization: str) -> str:
    return f"{label} (with the key of {organization or 'no organization'})"


def _id_of(text: bytes) -> str:
    try:
        value = json.loads(text)
    except ValueError:
        return "(not JSON)"
    found = value.get("id") if isinstance(value, dict) else None
    return str(found) if found else "(no id)"


def _row(name: str, count: int, labels: tuple[str, ...]) -> str:
    shown = ", ".join(labels[:3]) + (", ..." if len(labels) > 3 else "")
    return f"{name:<12}{count:>10,}  {shown}".rstrip()
