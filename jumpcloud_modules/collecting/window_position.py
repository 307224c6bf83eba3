"""How far a window has been read.

Only a page that was processed moves the position, so it is always safe to save.
"""

from jumpcloud_modules.checkpoint import Window
from jumpcloud_modules.queries import Page


class WindowPosition:
    """Hold the position in one window: `window` is all of it, `rest` what is left to be read."""

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
