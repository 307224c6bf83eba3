"""The plain reference: a collector as the SDK's documentation leads one to write it.

One stream: a page of 1000 events is fetched, decoded, encoded event by event, pushed by the SDK,
and the most recent date is kept in a PersistentJSON; then the next page. It is neither tuned nor
held back, and it shares no code with what is measured against it.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import requests
from pydantic import BaseModel
from sekoia_automation.connector import Connector, DefaultConnectorConfiguration
from sekoia_automation.module import Module
from sekoia_automation.storage import PersistentJSON

Page = list[dict[str, Any]]

LIMIT = 1000


class ReferenceConfiguration(DefaultConnectorConfiguration):
    """What a person would enter."""

    frequency: int = 60
    history_hours: int = 24


class ModuleConfiguration(BaseModel):
    """Where JumpCloud is, and its key."""

    base_url: str
    apikey: str


class ReferenceModule(Module):
    """The module, with its configuration typed."""

    configuration: ModuleConfiguration  # type: ignore[override]


class ReferenceConnector(Connector):
    """Collect events page by page."""

    module: ReferenceModule
    configuration: ReferenceConfiguration

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.context = PersistentJSON("context.json", self.data_path)
        self.session = requests.Session()

    def run(self) -> None:
        """Collect what is new, wait, and begin again."""
        self.session.headers["x-api-key"] = self.module.configuration.apikey
        while self.running:
            for events in self.pages():
                self.push_events_to_intakes([orjson.dumps(event).decode() for event in events])
                self.remember(events)
            self._stop_event.wait(self.configuration.frequency)

    def pages(self) -> Iterator[Page]:
        """Yield the pages from the most recent date on."""
        url = self.module.configuration.base_url.rstrip("/") + "/insights/directory/v1/events"
        query = {"service": ["all"], "start_time": self.start(), "sort": "ASC", "limit": LIMIT}
        while self.running:
            answer = self.session.post(url, json=query, timeout=60)
            answer.raise_for_status()
            events: Page = orjson.loads(answer.content)
            if events:
                yield events
            if len(events) < LIMIT:
                return
            query["search_after"] = orjson.loads(answer.headers["X-Search_after"])

    def start(self) -> str:
        """Return the instant after the most recent date, or the beginning of the history."""
        with self.context as context:
            seen = context.get("most_recent_date_seen")
        if seen is None:
            history = timedelta(hours=self.configuration.history_hours)
            return (datetime.now(UTC) - history).isoformat()
        return (datetime.fromisoformat(seen) + timedelta(milliseconds=1)).isoformat()

    def remember(self, events: Page) -> None:
        """Keep the date of the last event of a page."""
        with self.context as context:
            context["most_recent_date_seen"] = events[-1]["timestamp"]


if __name__ == "__main__":
    module = ReferenceModule()
    module.register(ReferenceConnector, "ReferenceConnector")
    module.run()
