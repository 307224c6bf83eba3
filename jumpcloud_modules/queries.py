"""Queries to JumpCloud and the pages that answer them; units of counts.

Values only.
"""

from dataclasses import dataclass
from typing import Any, Literal

from jumpcloud_modules.events import Events
from jumpcloud_modules.instants import HOUR_MS, MINUTE_MS

PAGES_IN_MEMORY = 5
"""At once: one of each tail, and the rest of all readers of the process together.

The HTTP client keeps buffers for as many bodies, to be used again.
"""

Unit = Literal["m", "h"]
UNIT_MS: dict[Unit, int] = {"m": MINUTE_MS, "h": HOUR_MS}

Cursor = list[Any]


def time_ms_of(cursor: Cursor | None) -> int | None:
    """Return the index's time of the event that a cursor stands at, None where it tells none."""
    try:
        return int(cursor[0]) if cursor else None
    except (TypeError, ValueError):
        return None


@dataclass(frozen=True, slots=True)
class Query:
    """Ask for at most `limit` events from `start_ms` (inclusive), in ascending order.

    `end_ms` None leaves the end open; whether JumpCloud includes it is not documented.
    The pages that follow repeat the same query with the cursor of the page before.
    """

    start_ms: int
    end_ms: int | None
    limit: int
    cursor: Cursor | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Hold a page: its events in order, what else it held, whether and how more follows.

    `position_ms` is an instant (epoch ms) before which the page leaves nothing unread, so a query
    may begin there again (and must, where more follows without a cursor); None where the page
    does not tell.
    """

    events: Events
    non_objects: Events
    more: bool
    cursor: Cursor | None
    position_ms: int | None
    size_bytes: int
