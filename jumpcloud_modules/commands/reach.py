"""What credentials reach: JumpCloud's organizations, and how many events each had in a span.

Asks for lists and counts only, several organizations at a time. One that fails does not keep the
others from being asked; what may pass by itself is asked again, as long as any answer meanwhile.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from jumpcloud_modules.commands.asking import all_at_once
from jumpcloud_modules.errors import Refused, TryAgain
from jumpcloud_modules.http.backoff import delay_seconds
from jumpcloud_modules.jumpcloud.client import Client
from jumpcloud_modules.jumpcloud.console import Listing, listed

AT_ONCE: Final = 8
SECONDS_FOR_ONE: Final = 10.0
MAX_SILENT: Final = 2 * AT_ONCE
"""So many organizations in a row without an answer, and the others wait for the next round."""
TRIES: Final = 3
"""Rounds in a row that bring no answer at all; a list that cannot be had."""
MAX_WAIT_SECONDS: Final = 30.0
"""Between two tries: a person is waiting."""

Counted = int | Refused | TryAgain
Ask = Callable[[], int]
Wait = Callable[[float], object]


def list_organizations(console: Client, wait: Wait = time.sleep) -> Listing:
    """Return the organizations. Raises TryAgain after a few tries, or Refused."""
    for failed in range(1, TRIES):
        try:
            return listed(console)
        except TryAgain as error:
            wait(_seconds([error], failed))
    return listed(console)


def count_each(asks: Mapping[str, Ask], wait: Wait = time.sleep) -> dict[str, Counted]:
    """Return how many events each organization has, or why that could not be found out."""
    found: dict[str, Counted] = {}
    left, in_vain = list(asks), 0
    while left and in_vain < TRIES:
        answers = _round({identifier: asks[identifier] for identifier in left})
        found |= answers
        failed = {i: error for i, error in answers.items() if isinstance(error, TryAgain)}
        in_vain = in_vain + 1 if len(failed) == len(answers) else 0
        # Those that were not reached come first: what always fails does not stand in their way.
        left = [*(i for i in left if i not in answers), *failed]
        if left and in_vain < TRIES:
            wait(_seconds(list(failed.values()), max(in_vain, 1)))
    return {identifier: found.get(identifier, _not_asked()) for identifier in asks}


def _round(asks: Mapping[str, Ask]) -> dict[str, Counted]:
    """Ask once for each, until too many in a row have not answered."""
    found: dict[str, Counted] = {}
    silent = 0
    for batch in _batches(list(asks)):
        questions = all_at_once("JumpCloud", [asks[i] for i in batch], SECONDS_FOR_ONE)
        for identifier, question in zip(batch, questions, strict=True):
            try:
                found[identifier], silent = question.answer(), 0
            except Refused as error:
                found[identifier], silent = error, 0
            except TryAgain as error:
                found[identifier], silent = error, silent + 1
        if silent >= MAX_SILENT:
            break
    return found


def _batches(names: Sequence[str]) -> Iterator[Sequence[str]]:
    return (names[start : start + AT_ONCE] for start in range(0, len(names), AT_ONCE))


def _seconds(errors: Sequence[TryAgain], failed: int) -> float:
    """Return how long to wait before the next try, the longest that any of the errors wants."""
    longest = max((delay_seconds(error, failed) for error in errors), default=0.0)
    return min(longest, MAX_WAIT_SECONDS)


def _not_asked() -> TryAgain:
    return TryAgain("Not asked: JumpCloud answered for none of the organizations before it.")
