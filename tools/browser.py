"""The browser that the machine has, driven by Playwright: tests and pictures look at pages with it.

Neither is needed for anything else, so that either may be missing.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

_NAMES = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next((path for name in _NAMES if (path := shutil.which(name))), None)
MISSING = ""
if find_spec("playwright") is None:
    MISSING = "Playwright is not installed (make browser)"
elif BROWSER is None:
    MISSING = "there is no Chromium here (Debian's package is called chromium)"


@contextmanager
def browser() -> Iterator[Any]:
    """Start the browser without a window, and end it."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - it may be missing

    with sync_playwright() as playwright:
        # No sandbox of its own: root may not have one, and all pages are ours.
        started = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield started
        started.close()
