"""Make the picture of the sandbox's page that the README shows, from a real run.

::

    python -m tools.picture
"""

import base64
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tools.browser import MISSING, browser

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs/page.webp"
VIEWPORT = {"width": 1120, "height": 860}
QUALITY = 70
PATIENCE_MS = 60_000


def main() -> int:
    """Make it, and return the exit status."""
    if MISSING:
        sys.stderr.write(f"The picture cannot be made: {MISSING}\n")
        return 1
    command = [sys.executable, "-u", "-m", "sandbox", "run", "--stay"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as run:
        try:
            if run.stdout is None:
                raise RuntimeError("the run has no output")
            found = re.search(r"http://\S+", run.stdout.readline())
            if found is None:
                raise RuntimeError("the run named no page")
            PICTURE.write_bytes(_picture(found[0]))
        finally:
            run.send_signal(signal.SIGINT)  # the connector ends with it
            run.communicate(timeout=60)
    sys.stdout.write(f"{PICTURE.relative_to(ROOT)}: {PICTURE.stat().st_size:,} bytes\n")
    return 0


def _picture(url: str) -> bytes:
    """Do some harm on a page, and take its picture while it lasts."""
    with browser() as chromium:
        tab = chromium.new_page(viewport=VIEWPORT, color_scheme="light")
        tab.set_default_timeout(PATIENCE_MS)
        tab.goto(url)
        tab.get_by_text("✓ collecting").wait_for()
        tab.get_by_role("button", name="Late events").click()
        tab.locator("article", has_text="recovered").first.wait_for()
        time.sleep(8.0)
        tab.get_by_role("button", name="Intake down").click()
        tab.get_by_text("waits for the Sekoia intake").wait_for()
        tab.evaluate("scrollTo(0, 0)")
        return _as_webp(tab)


def _as_webp(tab: Any) -> bytes:
    """Ask the browser itself: Playwright writes no WebP, which is a third of a PNG's size."""
    wish = {"format": "webp", "quality": QUALITY}
    taken = tab.context.new_cdp_session(tab).send("Page.captureScreenshot", wish)
    return base64.b64decode(taken["data"])


if __name__ == "__main__":
    sys.exit(main())
