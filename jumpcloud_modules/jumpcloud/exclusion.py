"""Leave event types out by a condition in JumpCloud's query, and check that they stay out.

JumpCloud documents `and` and `or` as arrays of objects; for `not` it names an object, so both forms
are tried. Nothing is dropped here: events that JumpCloud sends all the same are delivered.
"""

import re
import threading
from collections.abc import Callable, Iterable
from typing import Any

import orjson

from jumpcloud_modules.events import Events


class Exclusion:
    """Leave event types out of what is asked for.

    `tell` is called once where JumpCloud sends them all the same; from then on counts are asked for
    without the condition, so that pages and counts cover the same events. Thread-safe.
    """

    def __init__(
        self, types: Iterable[str] = (), tell: Callable[[str], None] = lambda _: None
    ) -> None:
        # JumpCloud writes values in lower case as it takes them in, and compares with those.
        self._types = sorted({name.lower() for name in types})
        self._tell = tell
        self._lock = threading.Lock()
        self._is_in_array = True
        self._is_form_known = False
        self._is_heeded = True
        names = "|".join(map(re.escape, self._types))
        # One search through the page's bytes tells for almost every page that nothing has to be
        # decoded.
        self._mention = re.compile(rf'"event_type"\s*:\s*"(?:{names})"'.encode(), re.IGNORECASE)

    @property
    def of_pages(self) -> dict[str, Any]:
        """Return the condition for a request for events, the same at each call."""
        if not self._types:
            return {}
        condition: dict[str, Any] = {"event_type": self._types}
        return {"search_term": {"not": [condition] if self._is_in_array else condition}}

    @property
    def of_counts(self) -> dict[str, Any]:
        """Return the condition for a request for counts."""
        return self.of_pages if self._is_heeded else {}

    def worked(self, condition: dict[str, Any]) -> None:
        """Take note that JumpCloud took a request with a condition."""
        if condition and condition == self.of_pages:
            self._is_form_known = True

    def refused(self, condition: dict[str, Any]) -> bool:
        """Tell whether a request that was refused is worth another try, in the other form.

        The form of a condition is a guess only until one was taken.
        """
        if not condition or self._is_form_known:
            return False
        with self._lock:
            # Of several threads that are refused at once, only the first changes the form.
            if condition == self.of_pages:
                self._is_in_array = not self._is_in_array
        return not self._is_in_array

    def check(self, page: bytes | memoryview, events: Events) -> None:
        """Notice events of a page that were to be left out, and tell of them once."""
        if not (self._types and self._is_heeded and self._mention.search(page)):
            return
        types = (self._type_of(bytes(raw)) for raw in events.raws if self._mention.search(raw))
        found = next((name for name in types if name in self._types), None)
        with self._lock:
            if found is None or not self._is_heeded:
                return
            self._is_heeded = False
        self._tell(
            f"JumpCloud sends events of the type {found}, although excluded_event_types leaves"
            " them out. Nothing is dropped here: they are delivered."
        )

    @staticmethod
    def _type_of(raw: bytes) -> str | None:
        """Read an event's own type, not one that is nested deeper in it."""
        try:
            return str(orjson.loads(raw).get("event_type")).lower()
        except ValueError:  # half a surrogate pair, which this decoder refuses
            return None
