"""What the tests in a browser share: a run that goes on, its page, and whoever looks at it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sandbox.page.server import Page
from sandbox.report import Report
from sandbox.scenarios import EVERYDAY
from sandbox.scene import Scene

DAY_MS = 86_400_000
WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 360, "height": 740}
SOON_MS = 15_000
PATIENCE_MS = 100_000


@dataclass(frozen=True)
class Stage:
    """A run that goes on, its page, and the browser that looks at it."""

    scene: Scene
    page: Page
    chromium: Any

    def open(self, **more: Any) -> Any:
        """Open the page, once it shows figures."""
        tab = self.chromium.new_page(**{"viewport": WIDE, **more})
        tab.set_default_timeout(SOON_MS)
        tab.goto(f"{self.page.url}/")
        tab.locator("[data-text=detail]", has_text="published,").wait_for()
        return tab


def report_of(scene: Scene) -> Report:
    """Return the report of a run up to now."""
    return Report(
        scenario=EVERYDAY,
        verdict=scene.verdict(),
        kills=scene.target.kills,
        samples=scene.observer.samples,
        incidents=scene.incidents.all,
        lines=scene.observer.lines_after(0),
        is_good=True,
        cpu_seconds=1.0,
        peak_rss_bytes=100_000_000,
        organizations=scene.verdicts(),
        touches=scene.target.touches,
    )
