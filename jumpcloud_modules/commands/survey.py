"""How many events JumpCloud holds of each service, and of `all`.

Asks for counts only, several at a time.
"""

from collections.abc import Callable, Sequence
from typing import Final

from jumpcloud_modules.commands.asking import Question, all_at_once
from jumpcloud_modules.errors import Refused, TryAgain
from jumpcloud_modules.instants import to_rfc3339
from jumpcloud_modules.jumpcloud.insights import SERVICES, JumpCloudApi
from jumpcloud_modules.sekoia.configuration import ALL_SERVICES

QUESTIONS_AT_ONCE: Final = 8


class Survey:
    """Count a span's events by service: each of JumpCloud's list by itself, and all of `all`."""

    def __init__(self, api: JumpCloudApi, start_ms: int, end_ms: int, seconds: float) -> None:
        def count_of(services: Sequence[str]) -> dict[str, int]:
            return {name: self._count(api, name, start_ms, end_ms) for name in services}

        self._under_all = Question(
            "JumpCloud", lambda: api.distinct("service", start_ms, end_ms), seconds
        )
        names = (ALL_SERVICES, *SERVICES)
        shares = [names[share::QUESTIONS_AT_ONCE] for share in range(QUESTIONS_AT_ONCE)]
        asks = [_asking(count_of, share) for share in shares]
        self._counts = all_at_once("JumpCloud", asks, seconds)

    @staticmethod
    def _count(api: JumpCloudApi, service: str, start_ms: int, end_ms: int) -> int:
        """Return 0 also for a service that this organization's JumpCloud does not know."""
        try:
            return api.asking_for([service]).count(start_ms, end_ms)
        except Refused as error:
            if error.status == 400 and service != ALL_SERVICES:
                return 0
            raise

    def services(self) -> dict[str, int]:
        """Return the counts: that of `all` first, then of the services that have events.

        Raises TryAgain or Refused.
        """
        counts = {name: n for share in self._counts for name, n in share.answer().items()}
        total = counts.pop(ALL_SERVICES)
        found = {name: count for name, count in counts.items() if count}
        ordered = sorted(found, key=lambda name: (-found[name], name))
        return {ALL_SERVICES: total} | {name: found[name] for name in ordered}

    def left_out(self) -> dict[str, int] | None:
        """Return services that have events which `all` brings none of, None where unknown."""
        try:
            brought = self._under_all.answer()
        except (TryAgain, Refused):
            return None
        counts = {name: n for name, n in self.services().items() if name != ALL_SERVICES}
        return {name: count for name, count in counts.items() if name not in brought}


def _asking(
    count: Callable[[Sequence[str]], dict[str, int]], services: Sequence[str]
) -> Callable[[], dict[str, int]]:
    return lambda: count(services)


def told(
    services: dict[str, int], left_out: dict[str, int] | None, chosen: list[str], end_ms: int
) -> str:
    """Say how many events there are, and which services `all` leaves out."""
    total = services[ALL_SERVICES]
    said = f"Counting is allowed: {total:,} events in the day up to {to_rfc3339(end_ms)}."
    if left_out is None:
        return f"{said} What all leaves out is not known: JumpCloud does not list the services."
    if left_out:
        names = ", ".join(f"{name} ({count:,})" for name, count in left_out.items())
        return f"{said} all leaves out {names}{_hint(left_out, chosen)}."
    return f"{said} all covers every service that has any."


def _hint(left_out: dict[str, int], chosen: list[str]) -> str:
    missed = set(left_out) - set(chosen)
    return "; add what you need of it to the services" if missed else ", which you have chosen"
