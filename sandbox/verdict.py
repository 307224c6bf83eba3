"""What was produced against what was accepted. Knows events and digests; knows no HTTP."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sandbox.events import Event
from sandbox.intake import Intake

_LISTED = 20


@dataclass(frozen=True, slots=True)
class Verdict:
    """Counts, and the first twenty labels (ids, or digests where there is none) of each.

    lost: due and never accepted. duplicated: accepted more often than produced. altered: an id
    accepted with other bytes. foreign: accepted and never produced. folded: produced several
    times with equal bytes and accepted fewer times, which loses nothing.
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

    @property
    def clean(self) -> bool:
        """Tell whether nothing was lost, duplicated, altered or made up."""
        return not (self.lost or self.duplicated or self.altered or self.foreign)

    @property
    def is_but_repeated(self) -> bool:
        """Tell whether nothing worse happened than that events came twice."""
        return not (self.lost or self.altered or self.foreign)

    def table(self) -> str:
        """Write the verdict as lines for a person."""
        rows: list[tuple[str, int, tuple[str, ...]]] = [
            ("produced", self.produced, ()),
            ("accepted", self.accepted, ()),
            ("lost", self.lost, self.lost_ids),
            ("duplicated", self.duplicated, self.duplicated_ids),
            ("altered", self.altered, self.altered_ids),
        ]
        if self.foreign:
            rows.append(("foreign", self.foreign, self.foreign_ids))
        if self.folded:
            rows.append(("folded", self.folded, ()))
        lines = [_row(name, count, labels) for name, count, labels in rows]
        return "\n".join([*lines, f"verdict     {'clean' if self.clean else 'NOT CLEAN':>10}"])


def judge(
    published: Sequence[Event],
    intake: Intake,
    *,
    since_ms: int | None = None,
    visible_until_ms: int | None = None,
    without: Iterable[Event] = (),
) -> Verdict:
    """Compare what was published with what the intake accepted.

    Due are the events of `since_ms` or later that were visible by `visible_until_ms`, but for
    those named in `without`. An event that was not due may be accepted, once.
    """
    digested = [(event, event.digest()) for event in published]
    labels = {digest: event.label for event, digest in digested}
    copies = Counter(digest for _, digest in digested)
    excused = {event.digest() for event in without}
    due = Counter(
        digest
        for event, digest in digested
        if (since_ms is None or event.time_ms >= since_ms)
        and (visible_until_ms is None or event.visible_ms <= visible_until_ms)
    )
    for digest in excused:
        due.pop(digest, None)
    accepted = Counter(intake.digests)
    altered, foreign = _strangers(intake, labels)
    lost = [labels[d] for d in due if not accepted[d] and labels[d] not in altered]
    extra = {d: accepted[d] - copies[d] for d in accepted if d in copies}
    duplicated = Counter({labels[d]: more for d, more in extra.items() if more > 0})
    return Verdict(
        produced=due.total(),
        accepted=accepted.total(),
        lost=len(lost),
        duplicated=duplicated.total(),
        altered=altered.total(),
        foreign=sum(n for d, n in accepted.items() if d not in copies) - altered.total(),
        folded=sum(due[d] - accepted[d] for d in due if 0 < accepted[d] < due[d]),
        lost_ids=tuple(lost[:_LISTED]),
        duplicated_ids=tuple(duplicated)[:_LISTED],
        altered_ids=tuple(altered)[:_LISTED],
        foreign_ids=tuple(foreign)[:_LISTED],
    )


def delays_ms(published: Sequence[Event], intake: Intake) -> list[int]:
    """List, for each published event that arrived, the time from visible to accepted."""
    first: dict[bytes, int] = {}
    for arrival in intake.arrivals():
        first.setdefault(arrival.digest, arrival.epoch_ms)
    visible = ((event.digest(), event.visible_ms) for event in published)
    return [first[digest] - visible_ms for digest, visible_ms in visible if digest in first]


def _strangers(intake: Intake, labels: dict[bytes, str]) -> tuple[Counter[str], Counter[str]]:
    """Sort the texts that were never published: a known id (altered), or none (foreign)."""
    ids = set(labels.values())
    altered: Counter[str] = Counter()
    foreign: Counter[str] = Counter()
    for text in intake.strangers(labels.__contains__):
        label = _id_of(text)
        (altered if label in ids else foreign)[label] += 1
    return altered, foreign


def _id_of(text: bytes) -> str:
    try:
        value = json.loads(text)
    except ValueError:
        return "(not JSON)"
    found = value.get("id") if isinstance(value, dict) else None
    return str(found) if found else "(no id)"


def _row(name: str, count: int, labels: tuple[str, ...]) -> str:
    shown = ", ".join(labels[:3]) + (", ..." if len(labels) > 3 else "")
    return f"{name:<11} {count:>10,}  {shown}".rstrip()
