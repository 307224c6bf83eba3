"""How all organizations are doing: for `GET /status`, the health, and the log.

The worst come first. Knows nothing of how that is shown.
"""

from collections.abc import Iterable
from typing import Any, Final

from jumpcloud_modules.organizations.commons import Commons
from jumpcloud_modules.organizations.member import Member
from jumpcloud_modules.organizations.roster import Roster
from jumpcloud_modules.status import State, Status

NAMES_SHOWN = 10
OF_ALL: Final[tuple[State, ...]] = (
    "collecting",
    "not answering",
    "starting",
    "waiting for another owner",
    "stopped",
)
"""The state of all is the first of these that any of them is in."""


class Report:
    """Put together what a person asks of all organizations."""

    def __init__(self, roster: Roster, commons: Commons, folder: str) -> None:
        self._roster = roster
        self._commons = commons
        self.folder = folder

    def status(self) -> dict[str, Any]:
        """Return all organizations, the worst first, and their sums."""
        found = [(member.name, member.status()) for member in self._roster]
        return in_all(found, self._commons.version, self.folder)

    def health(self, silent_seconds: float) -> dict[str, Any]:
        """Return what a probe is told besides the HTTP status."""
        failing = [member.name for member in self._roster if is_failing(member)]
        return {
            "well": not failing,
            "organizations": len(self._roster),
            "failing": failing[:NAMES_SHOWN],
            "failing_in_all": len(failing),
            "seconds_since_last_step": silent_seconds,
        }

    @property
    def waits_for_state(self) -> bool:
        """Tell whether any organization waits until it can write its state."""
        return any(member.waits_for_state for member in self._roster)

    def sums(self, seconds: float) -> str:
        """Return a line on what all polls did since the last one."""
        counts, polls = self._commons.sums.take()
        failing = [member.name for member in self._roster if is_failing(member)]
        shown = ", ".join(failing[:NAMES_SHOWN]) + (", ..." if len(failing) > NAMES_SHOWN else "")
        fails = f"; {len(failing)} failing ({shown})" if failing else ""
        return (
            f"{len(self._roster)} organizations polled {polls} times in {seconds:.0f} s:"
            f" {counts.read} events read in {counts.pages} pages, {counts.delivered} delivered,"
            f" {counts.known} known already, {counts.set_aside} set aside, {counts.late} late"
            f"{fails}."
        )

    def stopped(self) -> str:
        """Return a line on what this process did."""
        members = list(self._roster)
        delivered = sum(member.measurements.stats.peek().delivered for member in members)
        aside = sum(member.measurements.stats.peek().set_aside for member in members)
        return (
            f"Stopped: {delivered} events of {len(members)} organizations delivered by this"
            f" process, {aside} set aside."
        )


def in_all(found: Iterable[tuple[str, Status]], version: str, folder: str) -> dict[str, Any]:
    """Return organizations by name, the worst first, and their sums, as they are written."""
    ordered = sorted(found, key=lambda named: _badness(*named))
    statuses = [status for _, status in ordered]
    states = {status.state for status in statuses}
    lags = [status.lag_seconds for status in statuses if status.lag_seconds is not None]
    well = sum(status.is_well for status in statuses)
    return {
        "well": well == len(ordered),
        "state": next((state for state in OF_ALL if state in states), "starting"),
        "version": version,
        "folder": folder,
        "organizations_in_all": len(ordered),
        "organizations_well": well,
        "organizations_collecting": sum(s.state == "collecting" for s in statuses),
        "lag_seconds": max(lags, default=None),
        "delivered": sum(status.delivered or 0 for status in statuses),
        "late_events": sum(status.late_events or 0 for status in statuses),
        "withheld": sum(status.withheld or 0 for status in statuses),
        "organizations": [{"name": name, **status.to_json()} for name, status in ordered],
    }


def is_failing(member: Member) -> bool:
    """Tell whether anything of an organization is tried again just now."""
    return bool(member.fault) or (member.parts is not None and member.parts.is_failing)


def _badness(name: str, status: Status) -> tuple[bool, bool, float, str]:
    """Return what sorts the worst first: what fails, what does not collect, the greatest lag."""
    return status.is_well, status.state == "collecting", -(status.lag_seconds or 0.0), name
