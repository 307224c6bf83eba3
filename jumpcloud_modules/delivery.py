"""What became of events on their way to the intake: accepted, or set aside.

Values only.
"""

from dataclasses import dataclass, field
from pathlib import Path

from jumpcloud_modules.events import Events


@dataclass(frozen=True, slots=True)
class Quarantined:
    """Describe an event that was set aside; `path` is None where the quarantine was full."""

    identifier: str
    size_bytes: int
    reason: str
    path: Path | None

    def __str__(self) -> str:
        where = f"kept in {self.path}" if self.path else "not kept: the quarantine is full"
        return (
            f"Event {self.identifier} ({self.size_bytes} bytes) was set aside, {self.reason}; "
            f"it is {where}."
        )


@dataclass(slots=True)
class Delivery:
    """Collect what became of events so far.

    `receipts` are the intake's ids in the order of the events; `missing_receipts` counts events
    of accepted batches for which the intake gave no id; `quarantined` were set aside.
    `acknowledged` are the events of all three and those that another stream delivered, which
    `elsewhere` counts.
    """

    receipts: list[str] = field(default_factory=list)
    missing_receipts: int = 0
    quarantined: list[Quarantined] = field(default_factory=list)
    acknowledged: Events = field(default_factory=Events)
    elsewhere: int = 0

    @property
    def accepted(self) -> int:
        """Count the events that the intake has."""
        return len(self.receipts) + self.missing_receipts
