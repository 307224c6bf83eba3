"""What a collector is to collect: how far back, how often it looks, and whose events.

Values only.
"""

from dataclasses import dataclass

from jumpcloud_modules.collecting.concurrency import MAX_READERS
from jumpcloud_modules.collecting.resume import Reach

MAX_PAGE_ROWS = 10_000
"""JumpCloud's own limit."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Say what to collect: spans in milliseconds; `audit_ms` 0 looks for no late events.

    `scope` names what is asked for (services, organisation, region). `readers` 0 reads the
    backlog in the polling thread. `max_rows` limits a page, and `max_tail_rows` one of new events.
    Late events are looked for once `first_audit_after_ms` have passed since the start.
    With an `organization_id` the state of another organization is refused.
    """

    history_ms: int
    audit_ms: int
    audit_every_ms: int
    scope: str
    max_rows: int
    readers: int = MAX_READERS
    max_tail_rows: int = MAX_PAGE_ROWS
    first_audit_after_ms: int = 0
    organization_id: str = ""

    @property
    def reach(self) -> Reach:
        """Return how far back anything is looked for."""
        return Reach(self.history_ms, self.audit_ms)
