"""Where the reading of a window stands.

Only pages that were worked on move it, so whoever looks finds what is safe to write down.
"""

from jumpcloud_modules.checkpoint import Window
from jumpcloud_modules.queries import Page


class Reading:
    """Own the position in one window: `rest` is what is left of it, `window` what there was."""

    def __init__(self, window: Window) -> None:
        self.window = window
        self.rest = window
        self.has_more = True

    @property
    def is_over(self) -> bool:
        """Tell whether nothing is left to be asked for."""
        return not self.has_more or self.rest.is_over

    def passed(self, page: Page) -> None:
        """Move past a page that was worked on."""
        self.rest = self.rest.rest_from(page.position_ms)
        self.has_more = page.more
