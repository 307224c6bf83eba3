"""Ask questions with a time limit, each in a thread of its own.

Where an answer takes too long (a name that does not resolve, a storage that hangs), its thread is
left behind and ends with the process.
"""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from time import monotonic
from typing import Generic, TypeVar

from jumpcloud_modules.errors import TryAgain

Result = TypeVar("Result")


class Question(Generic[Result]):
    """Ask at once, in a thread; `whom` names who is asked in the error of a missing answer."""

    def __init__(self, whom: str, ask: Callable[[], Result], seconds: float) -> None:
        self._whom = whom
        self._seconds = seconds
        self._deadline = monotonic() + seconds
        self._answer: Future[Result] = Future()
        threading.Thread(target=self._run, args=(ask,), name="question", daemon=True).start()

    def answer(self) -> Result:
        """Return the answer, or raise what asking raised. Raises TryAgain where none came."""
        try:
            return self._answer.result(max(0.0, self._deadline - monotonic()))
        except NotYet:
            said = f"{self._whom} did not answer within {self._seconds:.0f} s."
            raise TryAgain(said, burdened=True) from None

    def _run(self, ask: Callable[[], Result]) -> None:
        try:
            self._answer.set_result(ask())
        except BaseException as error:  # noqa: BLE001 -- raised where the answer is wanted
            self._answer.set_exception(error)


def all_at_once(
    whom: str, questions: Iterable[Callable[[], Result]], seconds: float
) -> list[Question[Result]]:
    """Ask several questions at the same time."""
    return [Question(whom, ask, seconds) for ask in questions]
