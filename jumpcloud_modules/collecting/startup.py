"""Where a start goes on from: the saved checkpoint, corrected by JumpCloud's time and the ledger.

Tells a person what it found. `resume` does the arithmetic. No events are read here.
"""

from dataclasses import replace

from jumpcloud_modules.checkpoint import Checkpoint, Found, organization_of
from jumpcloud_modules.collecting.dependencies import Durable, JumpCloud, OtherStreams, Process
from jumpcloud_modules.collecting.plan import Plan
from jumpcloud_modules.collecting.protocols import DeliveryLedger
from jumpcloud_modules.collecting.resume import (
    confirmed,
    first_start,
    not_ahead,
    within,
    within_retention,
)
from jumpcloud_modules.errors import CannotWork, Refused
from jumpcloud_modules.instants import FOREVER_MS, MINUTE_MS, RETENTION_MS, floor, to_rfc3339
from jumpcloud_modules.queries import Query

QUESTIONS_IN_DOUBT = 3
BEFORE_THAT = (
    "what happened before that and was not delivered yet is not collected. To reach further back,"
    " raise history_hours and remove context.json and context.previous.json."
)


class Startup:
    """Find where to go on from."""

    def __init__(
        self,
        plan: Plan,
        jumpcloud: JumpCloud,
        durable: Durable,
        process: Process,
        ledger: DeliveryLedger,
        others: OtherStreams,
    ) -> None:
        self._plan = plan
        self._jumpcloud = jumpcloud
        self._clock = jumpcloud.clock
        self._durable = durable
        self._retry = durable.retry
        self._process = process
        self._ledger = ledger
        self._others = others
        self._began_at_ms = 0

    def checkpoint(self) -> Checkpoint:
        """Return where to go on from, for the caller to commit before anything is read.

        A first start is saved before anything is asked for: however the process ends before
        JumpCloud answers, the next one begins where this one would have. Raises CannotWork where
        the state is another organization's, and that is not to be.
        """
        found = self._retry.call(self._durable.state.load)
        if found.checkpoint and self._plan.keeps_organization:
            self._refuse_anothers(found.checkpoint)
        self._began_at_ms = self._clock.span_ms()
        checkpoint = found.checkpoint or first_start(self._clock.now_ms(), self._plan.reach)
        if checkpoint.is_provisional:
            self._save(checkpoint)
        self._learn_the_time(checkpoint.watermark_ms)
        return self._with_others(
            self._with_ledger(found, self._by_jumpclouds_time(found, checkpoint))
        )

    def _refuse_anothers(self, checkpoint: Checkpoint) -> None:
        """Leave a state alone that was delivered for another organization.

        Going on from how far that one got would lose what this one has from before, or repeat what
        it delivered under another name. One that never delivered may have had a mistyped ID.
        """
        _, former = organization_of(checkpoint.scope)
        _, now = organization_of(self._plan.scope)
        if not (former and now) or former == now:
            return
        ledger = self._durable.ledgers(checkpoint.scope)
        if self._retry.call(lambda: ledger.count(0, FOREVER_MS)):
            raise CannotWork(
                f"What is known under this name is of organization {former}, and the list gives it"
                f" to {now}: let each organization keep its name, and give one that is new a name"
                " that none has had, or move the folder of this one away."
            )

    def _save(self, checkpoint: Checkpoint) -> None:
        self._retry.call(lambda: self._durable.state.save(checkpoint))

    def _learn_the_time(self, start_ms: int) -> None:
        """Ask for one event from where collecting begins: any answer carries a date.

        A date that contradicts the machine's clock needs another that agrees with it. Nothing is
        asked where answers to another organization told the time.
        """

        def ask() -> None:
            try:
                self._jumpcloud.source.open(Query(asked_ms, None, 1)).close()
            except Refused as error:
                if error.status != 400:  # it begins in JumpCloud's future: that is an answer
                    raise

        now_ms = self._clock.now_ms()
        asked_ms = min(max(start_ms, now_ms - RETENTION_MS), now_ms)
        if not self._clock.is_known:
            self._jumpcloud.tail_retry.call(ask)
        for _ in range(QUESTIONS_IN_DOUBT):
            if not self._clock.is_in_doubt:
                return
            self._jumpcloud.tail_retry.call(ask)

    # By JumpCloud's time

    def _by_jumpclouds_time(self, found: Found, checkpoint: Checkpoint) -> Checkpoint:
        """Correct the checkpoint that was found by JumpCloud's time, and tell what that changes."""
        now_ms, reach = self._clock.now_ms(), self._plan.reach
        self._ledger.now_is(now_ms)
        if found.is_beginning_lost:
            beginning_ms = min(checkpoint.beginning_ms, now_ms - reach.history_ms)
            checkpoint = replace(checkpoint, beginning_ms=beginning_ms)
        is_first = checkpoint.is_provisional
        if is_first:
            checkpoint = confirmed(checkpoint, self._first_start_ms(found, checkpoint, now_ms))
        checkpoint, of_the_future = not_ahead(checkpoint, now_ms, reach)
        checkpoint, beyond_retention = within_retention(checkpoint, now_ms)
        self._tell(found, checkpoint, is_first=is_first)
        for warning in filter(None, (of_the_future, beyond_retention)):
            self._process.warn(warning)
        return checkpoint

    def _first_start_ms(self, found: Found, checkpoint: Checkpoint, now_ms: int) -> int:
        """Return where a first start begins by JumpCloud's clock.

        Measured from when this process began, since the machine's clock may have been set while
        JumpCloud could not be reached. For one that began in a process before, its own instant
        counts, but never for less than the history: that process's clock may have been wrong.
        """
        history_ms = self._plan.reach.history_ms
        if found.checkpoint is None:
            return now_ms - (self._clock.span_ms() - self._began_at_ms) - history_ms
        shifted_ms = checkpoint.watermark_ms + self._clock.ahead_of_machine_ms
        return min(shifted_ms, now_ms - history_ms)

    def _tell(self, found: Found, checkpoint: Checkpoint, *, is_first: bool) -> None:
        since = f"collecting events since {to_rfc3339(checkpoint.watermark_ms)}"
        if is_first and not found.warning:
            self._process.tell(f"First start: {since}.")
        if found.checkpoint is None and found.warning:
            self._process.warn(f"{found.warning} {since}; {BEFORE_THAT}")
        elif found.warning:
            self._process.warn(found.warning)
        if found.message:
            self._process.tell(found.message)
        elif not (is_first or found.warning):
            self._process.tell(f"Collecting goes on from {to_rfc3339(checkpoint.watermark_ms)}.")

    # With the ledger

    def _with_ledger(self, found: Found, checkpoint: Checkpoint) -> Checkpoint:
        """Let late events be looked for only as far back as this scope's ledger knows."""
        is_other_scope = checkpoint.scope not in ("", self._plan.scope)
        is_missing = self._retry.call(self._ledger.is_missing)
        if found.is_takeover:
            checkpoint = self._from_named_instant(checkpoint)
        elif is_other_scope:
            checkpoint = self._with_other_scope(checkpoint)
        elif is_missing and found.checkpoint and not found.checkpoint.is_provisional:
            checkpoint = self._without_its_ledger(checkpoint)
        forgotten_ms = self._retry.call(lambda: self._ledger.forgotten_ms)
        return replace(
            checkpoint,
            beginning_ms=max(checkpoint.beginning_ms, forgotten_ms),
            watermark_ms=max(checkpoint.watermark_ms, forgotten_ms),
            scope=self._plan.scope,
            audited_ms=checkpoint.audit_from_ms,
        )

    def _with_others(self, checkpoint: Checkpoint) -> Checkpoint:
        """Leave out what another stream may have delivered but no longer remembers."""
        known_from_ms = self._others.known_from_ms()
        if checkpoint.oldest_open_ms < known_from_ms:
            self._process.tell(
                f"Events from before {to_rfc3339(known_from_ms)} are left out here: which of them"
                " another stream delivered is not known any more."
            )
        return within(checkpoint, known_from_ms)

    def _from_named_instant(self, checkpoint: Checkpoint) -> Checkpoint:
        """Go on from an instant that 1.8.2 or a person named; the ledger keeps all that follows."""
        start_ms = self._countable_ms(checkpoint.watermark_ms)
        self._retry.call(lambda: self._ledger.remember_from(start_ms))
        return replace(checkpoint, beginning_ms=start_ms, watermark_ms=start_ms)

    def _with_other_scope(self, checkpoint: Checkpoint) -> Checkpoint:
        """Go on with this scope's ledger: the former one knows nothing of what is late here."""
        self._process.tell(
            "The configuration asks for other events than before: late events are looked for"
            " from now on."
        )
        instant_ms = checkpoint.watermark_ms
        former = self._durable.ledgers(checkpoint.scope)
        beginning_ms = self._countable_ms(instant_ms)
        # Of a window that is still open, a page may have been delivered in part.
        spans_ms = [(window.start_ms, window.end_ms or FOREVER_MS) for window in checkpoint.windows]
        spans_ms.append((instant_ms, FOREVER_MS))
        self._retry.call(lambda: self._ledger.know_of(former, spans_ms))
        return _looked_for_from(checkpoint, beginning_ms)

    def _without_its_ledger(self, checkpoint: Checkpoint) -> Checkpoint:
        """Go on without the lost ledger: counts of what it knew have nothing to compare with."""
        self._process.warn(
            "The ledger of delivered events is missing: late events from before"
            f" {to_rfc3339(checkpoint.watermark_ms)} are no longer looked for."
        )
        checkpoint = _looked_for_from(checkpoint, checkpoint.watermark_ms)
        # Before a new ledger is begun: it would answer for what only the lost one knew.
        self._save(checkpoint)
        return checkpoint

    def _countable_ms(self, instant_ms: int) -> int:
        """Return the start of the minute if the ledger, which counts minutes, has some of it."""
        known = self._retry.call(lambda: self._ledger.count(instant_ms, instant_ms + 1))
        return floor(instant_ms, MINUTE_MS) if known else instant_ms


def _looked_for_from(checkpoint: Checkpoint, beginning_ms: int) -> Checkpoint:
    return replace(checkpoint, beginning_ms=beginning_ms, audited_ms=checkpoint.watermark_ms)
