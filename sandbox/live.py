"""An organisation at work: events published as time passes, some of them visible late."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Self

from sandbox.events import Event, generate, mostly_prompt
from sandbox.instants import now_ms
from sandbox.jumpcloud import JumpCloud

_STEP_SECONDS = 0.1
_AHEAD_MS = 200


class Live:
    """A thread that publishes `per_second` events, from `start` to `stop`.

    `late_share` of them become visible up to `latest_ms` after they happened. Each is of one of
    the `organizations` (ids), by chance; the list may change at any time. Without any, all are of
    the sandbox's first.
    """

    def __init__(
        self,
        jumpcloud: JumpCloud,
        *,
        per_second: float = 5.0,
        late_share: float = 0.2,
        latest_ms: int = 5_000,
        seed: int = 0,
        surrogate_share: float = 0.0001,
        organizations: Sequence[str] = (),
    ) -> None:
        self.published = 0
        self.organizations = organizations
        self._chance = random.Random(seed)
        self._jumpcloud, self._per_second, self._seed = jumpcloud, per_second, seed
        self._delay_ms: Callable[[random.Random], int] = mostly_prompt(late_share, latest_ms)
        self._surrogate_share = surrogate_share
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._publish, daemon=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Begin to publish."""
        self._thread.start()

    def stop(self) -> None:
        """Publish no more; what is late still becomes visible."""
        self._ending.set()
        self._thread.join()

    def _publish(self) -> None:
        owed, round_number, since_ms = 0.0, 0, now_ms()
        while not self._ending.wait(_STEP_SECONDS):
            until_ms = now_ms() + _AHEAD_MS  # so that each is visible the moment it happens
            owed += self._per_second * (until_ms - since_ms) / 1000
            round_number += 1
            if int(owed):
                self._jumpcloud.publish(self._made(int(owed), since_ms, until_ms, round_number))
                self.published += int(owed)
                owed -= int(owed)
            since_ms = until_ms

    def _made(self, count: int, start_ms: int, end_ms: int, round_number: int) -> list[Event]:
        events = generate(
            count,
            start_ms,
            end_ms,
            seed=self._seed * 1_000_003 + round_number,
            surrogate_share=self._surrogate_share,
            delay_ms=self._delay_ms,
        )
        if not (organizations := self.organizations):
            return events
        chosen = self._chance.choices(organizations, k=len(events))
        return [replace(e, organization=o) for e, o in zip(events, chosen, strict=True)]
