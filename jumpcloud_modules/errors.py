"""The errors of the collector, named by what the caller should do.

::

    CollectorError
    ├── TryAgain            the cause may pass by itself: wait, then repeat
    │   └── StateUnavailable the state cannot be read or written: nothing goes on before it can
    ├── Refused             the cause needs a person: tell the operator, repeat slowly
    ├── PageTooLarge        ask for fewer events at once
    ├── BatchTooLarge       send fewer events at once
    ├── BatchRejected       at least one event of the batch is not acceptable: isolate it
    ├── CannotWork          waiting does not help: end, or wait until a person has changed it
    ├── OwnershipLost       another process has the state: use nothing of it, and load it anew
    ├── TryLater            an end fails: do something else, and begin anew when it may be asked
    └── Stopped             the connector is asked to stop: commit what was acknowledged, and leave

Every message is one sentence or two for the operator: what was tried, what came back, what to do.
BatchTooLarge and BatchRejected carry a clause instead, "because …": it ends the sentence on the
event that is set aside. None carries a key or an event's body.
"""


class CollectorError(Exception):
    """Name the common ancestor of everything the collector raises on purpose.

    `end` is who answered, `status` with what, and `request` to what, as far as it is known: by
    these errors are told apart, never by the words of their messages. `request_id` is the answer's
    own name, by which that end finds it again.
    """

    def __init__(
        self,
        message: str = "",
        *,
        end: str | None = None,
        status: int | None = None,
        request: str | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.end = end
        self.status = status
        self.request = request
        self.request_id = request_id

    @property
    def told(self) -> str:
        """Return the message as a log has it: with the answer's name, which support asks for."""
        return f"{self} X-Request-Id: {self.request_id}." if self.request_id else str(self)


class TryAgain(CollectorError):
    """Report a failure that may pass by itself.

    `retry_after_seconds` is what the other end asked for; `burdened` says that a smaller
    request may succeed where this one failed (a timeout, a 5xx, a truncated answer);
    `limited` says that the other end wants fewer requests (429).
    """

    def __init__(
        self,
        message: str,
        *,
        retry_after_seconds: float | None = None,
        burdened: bool = False,
        limited: bool = False,
        end: str | None = None,
        status: int | None = None,
        request: str | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message, end=end, status=status, request=request, request_id=request_id)
        self.retry_after_seconds = retry_after_seconds
        self.burdened = burdened
        self.limited = limited


class StateUnavailable(TryAgain):
    """Report that the state cannot be read or written, so that nothing later may be sent."""


class Refused(CollectorError):
    """Report a refusal that lasts until a person has acted.

    `remedy` says what that person is to do; where it is given, the message ends with it.
    """

    def __init__(
        self,
        message: str = "",
        *,
        remedy: str = "",
        end: str | None = None,
        status: int | None = None,
        request: str | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message, end=end, status=status, request=request, request_id=request_id)
        self.remedy = remedy

    @property
    def without_remedy(self) -> str:
        """Return the message without what to do: for who shows the two apart."""
        return str(self).removesuffix(self.remedy).rstrip()


class PageTooLarge(CollectorError):
    """Report a page that would not fit into the memory set aside for it."""


class BatchTooLarge(CollectorError):
    """Report a batch that the intake finds too large (413)."""


class BatchRejected(CollectorError):
    """Report a batch of which at least one event is not acceptable (400, 422)."""


class CannotWork(CollectorError):
    """Report settings or surroundings with which this process can never work."""


class OwnershipLost(CollectorError):
    """Report that the state may be another process's by now.

    What is in memory of it is out of date: neither commit nor deliver. Own the state again, and
    load it anew.
    """


class TryLater(CollectorError):
    """Report that an end may not be asked again for some seconds, to who must not wait for it.

    `error` is the failure that this try ended with, the `in_a_row`-th; None where the end was not
    asked, since another try has failed before.
    """

    def __init__(
        self, seconds: float, error: TryAgain | Refused | None = None, in_a_row: int = 0
    ) -> None:
        super().__init__(str(error) if error else "An end that failed before is not asked yet.")
        self.seconds = max(0.0, seconds)
        self.error = error
        self.in_a_row = in_a_row


class Stopped(CollectorError):
    """Report that the connector was asked to stop while it waited."""
