"""Watch the page for ten minutes at a thousand events a second: it stays quick and small.

`python -m tests.page_watch --minutes 10` runs the sandbox with its page in a real browser, clicks
every second, and runs it once more without. It prints how soon clicks were answered, what the
page's memory was, and what the connector took with and without it; the exit status is 0 where the
median click took at most 200 ms and the memory did not grow.
"""

import argparse
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tools.browser import MISSING, browser

ROOT = Path(__file__).resolve().parent.parent
MAX_MEDIAN_MS = 200.0
MAX_GROWTH = 1.2
"""Of the memory in the last third over that in the first: a garbage collector is never exact."""
SECONDS_BETWEEN_CLICKS = 1.0
SECONDS_TO_SETTLE = 180
CLICK = """async () => {
    const box = document.querySelector("#polls");
    const began = performance.now();
    box.click();
    await new Promise(painted => requestAnimationFrame(() => setTimeout(painted)));
    return performance.now() - began;
}"""
TOOK = re.compile(r"([\d.]+) s of processor time, (\d+) MB at most")


@dataclass
class Watched:
    """What was seen of a page: how long clicks took, and its memory in bytes, over time."""

    clicks_ms: list[float] = field(default_factory=list)
    heap_bytes: list[float] = field(default_factory=list)

    @property
    def median_ms(self) -> float:
        """Return how long a click took in the median."""
        return statistics.median(self.clicks_ms)

    @property
    def growth(self) -> float:
        """Return the memory in the last third of the time over that in the first."""
        third = max(1, len(self.heap_bytes) // 3)
        first, last = self.heap_bytes[:third], self.heap_bytes[-third:]
        return statistics.median(last) / statistics.median(first)


@dataclass(frozen=True)
class Took:
    """What a connector took: seconds of processor time, and megabytes at its peak."""

    cpu_seconds: float
    peak_mb: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Watch, print what was seen, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--per-second", type=int, default=1_000)
    options = parser.parse_args(arguments)
    if MISSING:
        print(MISSING, file=sys.stderr)
        return 2
    seconds = options.minutes * 60
    watched = Watched()
    with_page = _run(seconds, options.per_second, watched)
    without = _run(seconds, options.per_second, None)
    print(
        f"{len(watched.clicks_ms)} clicks, answered in {watched.median_ms:.0f} ms at the median,"
        f" {max(watched.clicks_ms):.0f} ms at most"
    )
    print(
        f"the page's memory: {watched.heap_bytes[0] / 1e6:.1f} MB at first,"
        f" {watched.heap_bytes[-1] / 1e6:.1f} MB at last, {watched.growth:.2f} times"
    )
    for took, how in ((with_page, "with the page open"), (without, "without")):
        print(f"the connector {how}: {took.cpu_seconds} s of processor time, {took.peak_mb} MB")
    is_well = watched.median_ms <= MAX_MEDIAN_MS and watched.growth <= MAX_GROWTH
    return 0 if is_well else 1


def _run(seconds: float, per_second: int, watched: Watched | None) -> Took:
    """Run the sandbox for some seconds, watched or without its page; return what was taken."""
    command = [sys.executable, "-u", "-m", "sandbox", "run"]
    command += ["--seconds", f"{seconds:.0f}", "--per-second", str(per_second)]
    command += [] if watched else ["--no-page"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as run:
        if run.stdout is None:
            raise RuntimeError("the run has no output")
        try:
            if watched:
                _watch(_page_named(run.stdout.readline()), seconds - 10, watched)
            output, _ = run.communicate(timeout=seconds + SECONDS_TO_SETTLE)
        except BaseException:
            run.send_signal(signal.SIGINT)
            raise
    told = TOOK.search(output)
    if told is None or run.returncode:
        raise RuntimeError(f"the run ended with {run.returncode}:\n{output}")
    return Took(float(told[1]), int(told[2]))


def _page_named(line: str) -> str:
    found = re.search(r"http://\S+", line)
    if found is None:
        raise RuntimeError(f"the run named no page: {line}")
    return found[0]


def _watch(url: str, seconds: float, watched: Watched) -> None:
    with browser() as chromium:
        tab = chromium.new_page()
        tab.goto(url)
        tab.locator("[data-text=detail]", has_text="published,").wait_for()
        devtools = tab.context.new_cdp_session(tab)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            watched.clicks_ms.append(tab.evaluate(CLICK))
            if len(watched.clicks_ms) % 10 == 1:
                watched.heap_bytes.append(_heap_bytes(devtools))
            time.sleep(SECONDS_BETWEEN_CLICKS)


def _heap_bytes(devtools: Any) -> float:
    """Return the memory of what the page still holds."""
    devtools.send("HeapProfiler.collectGarbage")
    return float(devtools.send("Runtime.getHeapUsage")["usedSize"])


if __name__ == "__main__":
    sys.exit(main())
