"""Harm that was done: while it lasts, until the connector has recovered, and what that took.

Knows harms and what was observed; knows nothing of who asked for it.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from sandbox.events import make_event
from sandbox.harm import BY_NAME
from sandbox.instants import now_ms
from sandbox.observer import Line, Observer, Sample
from sandbox.target import Harm, Target, Touch
from sandbox.verdict import Verdict

_PATIENCE_SECONDS = 120.0
_LOOK_SECONDS = 0.1
_LINES_QUOTED = 6
_KEPT = 100
_NAMES = {"jumpcloud": "JumpCloud", "intake": "The intake", "platform": "The platform"}


class NotPossibleError(Exception):
    """Harm that cannot be done; the status is HTTP's."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status, self.sentence = status, sentence


@dataclass(slots=True)
class Incident:
    """One harm that was done, from its beginning to what was told of it at the end."""

    number: int
    harm: Harm
    amount: float
    began_seconds: float
    state: str = "under way"  # then recovering, then recovered, not recovered or not done
    told: tuple[str, ...] = ()
    verdict: Verdict | None = None
    recovered_seconds: float | None = None
    settled_seconds: float | None = None
    over: threading.Event = field(default_factory=threading.Event)
    settled: threading.Event = field(default_factory=threading.Event)

    def to_json(self) -> dict[str, Any]:
        """Return it as it is shown to a program."""
        return {
            "number": self.number,
            "harm": self.harm.name,
            "title": self.harm.title,
            "amount": self.amount,
            "unit": self.harm.amount.unit,
            "began_seconds": round(self.began_seconds, 1),
            "recovered_seconds": self.recovered_seconds,
            "state": self.state,
            "told": list(self.told),
            "clean": None if self.verdict is None else self.verdict.clean,
        }


class Incidents:
    """What was done to one target, in order; each harm runs in a thread of its own."""

    def __init__(self, target: Target, observer: Observer) -> None:
        self._target, self._observer = target, observer
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._all: list[Incident] = []
        self._threads: list[threading.Thread] = []

    @property
    def all(self) -> list[Incident]:
        """List them in order; of more than a hundred, the last ones."""
        with self._lock:
            return list(self._all)

    @property
    def are_settled(self) -> bool:
        """Tell whether nothing is being waited for."""
        return all(incident.settled.is_set() for incident in self.all)

    def begin(self, name: str, amount: float | None = None) -> Incident:
        """Do harm, and return at once. Raises NotPossibleError."""
        harm = BY_NAME.get(name)
        if harm is None:
            raise NotPossibleError(404, f"There is no harm of the name {name!r}.")
        bounds = harm.amount
        amount = bounds.usual if amount is None else amount
        if not bounds.least <= amount <= bounds.most:
            raise NotPossibleError(
                400,
                f"{amount:g} is not possible: {bounds.least:g} to {bounds.most:g} {bounds.unit}.",
            )
        with self._lock:
            self._refuse_beside_others(harm)
            if reason := harm.missing(self._target):
                raise NotPossibleError(409, reason)
            began = self._observer.latest.elapsed_seconds
            incident = Incident(next(self._numbers), harm, amount, began)
            self._all = [*self._all, incident][-_KEPT:]
        thread = threading.Thread(target=_Course(self._target, self._observer, incident).run)
        thread.daemon = True
        self._threads = [t for t in self._threads if t.is_alive()] + [thread]
        thread.start()
        return incident

    def end(self, number: int) -> Incident:
        """End one before its time. Raises NotPossibleError."""
        for incident in self.all:
            if incident.number == number:
                incident.over.set()
                return incident
        raise NotPossibleError(404, f"There is no incident {number}.")

    def end_all(self) -> None:
        """End those that are under way; their recovery is waited for."""
        for incident in self.all:
            incident.over.set()

    def close(self) -> None:
        """End all of them, and wait no longer for any recovery."""
        for incident in self.all:
            incident.over.set()
            incident.settled.set()
        for thread in self._threads:
            thread.join()

    def _refuse_beside_others(self, harm: Harm) -> None:
        for other in self._all:
            if other.over.is_set():
                continue
            if other.harm is harm:
                raise NotPossibleError(409, f"{harm.title}: that is under way already.")
            if other.harm.place == harm.place == "connector":
                raise NotPossibleError(
                    409, f"{other.harm.title} is under way: its process can bear one at a time."
                )


def harm_spans(incidents: Iterable[Incident], now_seconds: float) -> list[tuple[float, float]]:
    """List from when to when in the run there was harm, until all had arrived."""
    return [(one.began_seconds, one.settled_seconds or now_seconds) for one in incidents]


class _Course:
    """The course of one incident."""

    def __init__(self, target: Target, observer: Observer, incident: Incident) -> None:
        self._target, self._observer, self._incident = target, observer, incident
        self._before = observer.look()
        self._tries: dict[str, int] = {}
        self._touches: list[Touch] = []
        self._began_ms = now_ms()
        self._befell = ""

    def run(self) -> None:
        incident = self._incident
        try:
            self._do()
            incident.state = "recovering"
            self._recover()
        except (OSError, RuntimeError) as error:
            incident.state, incident.told = "not done", (f"It could not be done: {error}",)
        finally:
            incident.over.set()
            incident.settled.set()

    def _do(self) -> None:
        incident, harm = self._incident, self._incident.harm
        touched = len(self._target.touches)
        undo = harm.begin(self._target, incident.amount)
        self._touches = self._target.touches[touched:]
        self._observer.so_far.excuse(self._target.excused)
        lasts = incident.amount if harm.lasts_seconds is None else harm.lasts_seconds
        until = time.monotonic() + lasts
        while (left := until - time.monotonic()) > 0 and not incident.over.wait(
            min(left, _LOOK_SECONDS)
        ):
            self._note_tries()
        if undo is not None:
            self._befell = undo() or ""
        incident.over.set()

    def _recover(self) -> None:
        incident, sandbox = self._incident, self._target.sandbox
        ended, due_ms = time.monotonic(), now_ms()
        # One event more of each organization: that it arrives shows that collecting goes on.
        self._target.publish([make_event(due_ms) for _ in self._target.live or [""]])
        while not (recovered := self._is_recovered(due_ms)):
            if time.monotonic() - ended > _PATIENCE_SECONDS or incident.settled.wait(_LOOK_SECONDS):
                break
            self._note_tries()
        seconds = time.monotonic() - ended
        verdict = sandbox.verdict(visible_until_ms=due_ms, without=self._target.excused)
        after = self._observer.look()
        incident.verdict, incident.settled_seconds = verdict, after.elapsed_seconds
        incident.recovered_seconds = round(seconds, 1) if recovered else None
        since = self._before.elapsed_seconds
        lines = [line for line in self._observer.lines_after(0) if line.elapsed_seconds > since]
        incident.told = (
            *(f"{touch.organization.name}: {touch.what}." for touch in self._touches),
            *filter(None, [self._befell]),
            *_account(self._before, after, self._tries, lines),
            *(self._beside(due_ms) if incident.harm.is_to_one else ()),
            _recovery(seconds, is_recovered=recovered, is_settled=incident.settled.is_set()),
            sentence(verdict, self._target.kills),
        )
        incident.state = "recovered" if recovered else "not recovered"

    def _beside(self, until_ms: int) -> list[str]:
        """Tell how long events of the other organizations took meanwhile, and before."""
        touched = {touch.organization.id for touch in self._touches}
        began_ms, delays_ms = self._began_ms, self._target.sandbox.delays_ms
        meanwhile, before = (
            [ms for one, its in delays_ms(since, end).items() if one not in touched for ms in its]
            for since, end in ((began_ms, until_ms), (2 * began_ms - until_ms, began_ms))
        )
        if not meanwhile or not before:
            return []
        now, then = (f"{median(delays) / 1000:.1f} s" for delays in (meanwhile, before))
        return [f"An event of any other took {now} meanwhile, and {then} before (medians)."]

    def _is_recovered(self, due_ms: int) -> bool:
        if self._observer.so_far.is_owed(due_ms):
            return False
        set_aside = self._observer.latest.set_aside
        return not self._incident.harm.sets_aside or (
            self._target.connector is None or set_aside > self._before.set_aside
        )

    def _note_tries(self) -> None:
        for failing in self._observer.latest.failing:
            end, tries = str(failing["end"]), int(failing["failed_tries"])
            self._tries[end] = max(tries, self._tries.get(end, 0))


def _account(
    before: Sample, after: Sample, tries: Mapping[str, int], lines: list[Line]
) -> list[str]:
    """Tell in sentences what was seen of the connector between two samples."""
    told = [_answers(end, before, after) for end in _NAMES]
    told += [
        f"{end} was tried {counted(times, 'time')} in vain."
        for end, times in tries.items()
        if not any(f"{end} answers again" in line.message for line in lines)  # that one counts all
    ]
    told += [f"It logged: {line.message}" for line in _worth_quoting(lines)]
    if after.starts > before.starts:
        told.append("Its process was started again, and went on from its state.")
    counts = [
        (after.late - before.late, "It found {} late."),
        (after.withheld - before.withheld, "It read {} again, and sent none of them twice."),
        (after.set_aside - before.set_aside, "It set {} aside, in its quarantine."),
    ]
    told += [text.format(counted(count, "event")) for count, text in counts if count > 0]
    return list(filter(None, told))


def _answers(end: str, before: Sample, after: Sample) -> str:
    """Tell which answers of an end were no success."""
    counts = Counter(after.statuses[end])
    counts.subtract(before.statuses[end])
    bad = [
        f"{counted(n, 'request')} with {status}"
        for status, n in sorted(counts.items())
        if status >= 300 and n > 0
    ]
    if counts[0] > 0:
        bad.append(f"{counted(counts[0], 'request')} not at all")
    return f"{_NAMES[end]} answered {_listed(bad)}." if bad else ""


def counted(count: int, noun: str) -> str:
    """Write a count with its noun: `1 event`, `2,000 events`."""
    return f"{count:,} {noun}{'s' * (count != 1)}"


def _listed(parts: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))


def _worth_quoting(lines: list[Line]) -> list[Line]:
    """Choose what a person would read of a log: not the line of every poll."""
    return [line for line in lines if not line.is_of_a_poll][:_LINES_QUOTED]


def _recovery(seconds: float, *, is_recovered: bool, is_settled: bool) -> str:
    if is_recovered:
        return f"{seconds:.1f} s after it was over, everything had arrived."
    if is_settled:
        return "The run ended before everything had arrived."
    return f"{seconds:.0f} s after it was over, something had still not arrived."


def sentence(verdict: Verdict, kills: int) -> str:
    """Put a verdict into one sentence."""
    counts = (
        f"{verdict.produced:,} published, {verdict.accepted:,} accepted, {verdict.lost:,} lost, "
        f"{verdict.duplicated:,} twice, {verdict.altered:,} altered"
    )
    if verdict.misdelivered:
        counts += f", {verdict.misdelivered:,} with another organization's intake key"
    if verdict.clean:
        return f"Verdict: {counts}: clean."
    if kills and verdict.is_but_repeated:
        return f"Verdict: {counts}. What came twice was in flight when it was killed."
    return f"Verdict: {counts}: NOT clean."
