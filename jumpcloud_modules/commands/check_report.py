"""The report of `check`: a sentence for each thing checked, and what to do where it failed.

Values only.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from jumpcloud_modules.errors import Refused, TryAgain

Status = Literal["ok", "failed", "skipped"]
NOTHING_TO_DO: Final = "Nothing: the connector tries again by itself. Check again in a while."


@dataclass(frozen=True, slots=True)
class Check:
    """Say how one thing is, in a sentence, and what to do where it is not well."""

    name: str
    status: Status
    message: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """Hold all checks in their order, and the events of the last day by service."""

    checks: tuple[Check, ...]
    services: dict[str, int] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Tell whether nothing failed."""
        return all(check.status != "failed" for check in self.checks)

    @property
    def is_configured(self) -> bool:
        """Tell whether the configuration can work."""
        return all(c.status == "ok" for c in self.checks if c.name == "configuration")


def failed(name: str, error: TryAgain | Refused, *, unanswered: str, refused: str = "") -> Check:
    """Say why a check failed, and what to do.

    That is `unanswered` where no usable answer came; for a refusal its own remedy, or `refused`.
    """
    if isinstance(error, Refused):
        return Check(name, "failed", error.without_remedy, refused or error.remedy)
    return Check(name, "failed", str(error), NOTHING_TO_DO if error.status else unanswered)


def skipped(names: Sequence[str], why: str) -> Iterator[Check]:
    """Say of what could not be checked why so."""
    return (Check(name, "skipped", f"Not checked: {why}.") for name in names)
