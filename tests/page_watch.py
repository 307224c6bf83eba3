"""Watch the page at a thousand events a second: it stays quick and small, and costs nothing.

`python -m tests.page_watch --minutes 10` runs the sandbox with its page in a real browser, and
clicks every second. Then it runs the sandbox several times more in turn, with the page open and
without, and with no event late, whose cost is a matter of chance. It prints how soon clicks were
answered, what the page's memory was, and what the connector took either way. The exit status is 0
where the median click took at most 200 ms, the memory did not grow, and the medians of what the
connector took are the same within a tenth.
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
MAX_DIFFERENCE = 0.1
"""Of the medians of what the connector took with the page from those without."""
SECONDS_BETWEEN_CLICKS = 1.0
SECONDS_TO_SETTLE = 180
NONE_LATE = ("--late-share", "0")
CLICK = """async () => {
    const box = document.querySelector("#polls");
    const began = performance.now();
    box.click();
    await new Promise(painted => requestAnimationFrame(() => setTimeout(painted)));
    return performance.now() - began;
}"""
TOOK = re.compile(r"([\d.]+) s of processor time, (\d+) MB at most")
DONE = re.compile(r"accepted ([\d,]+) \| requests ([\d,]+) in")


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
    """What a connector took, by event, and megabytes at its peak."""

    cpu_us_an_event: float
    peak_mb: float
    requests_an_event: float


FIGURES = {
    "cpu_us_an_event": "processor time, us an event",
    "peak_mb": "peak memory, MB",
    "requests_an_event": "requests to JumpCloud an event",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Watch, print what was seen, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="with the page, clicking")
    parser.add_argument("--pairs", type=int, default=5, help="of runs with the page and without")
    parser.add_argument("--pair-minutes", type=float, default=1.5, help="of each such run")
    parser.add_argument("--per-second", type=int, default=1_000)
    options = parser.parse_args(arguments)
    if MISSING:
        print(MISSING, file=sys.stderr)
        return 2
    watched = Watched()
    _run(options.minutes * 60, options.per_second, watched)
    print(
        f"{len(watched.clicks_ms)} clicks, answered in {watched.median_ms:.0f} ms at the median,"
        f" {max(watched.clicks_ms):.0f} ms at most"
    )
    print(
        f"the page's memory: {watched.heap_bytes[0] / 1e6:.1f} MB at first,"
        f" {watched.heap_bytes[-1] / 1e6:.1f} MB at last, {watched.growth:.2f} times",
        flush=True,
    )
    is_well = watched.median_ms <= MAX_MEDIAN_MS and watched.growth <= MAX_GROWTH
    is_same = _compare(options.pairs, options.pair_minutes * 60, options.per_second)
    return 0 if is_well and is_same else 1


def _compare(pairs: int, seconds: float, per_second: int) -> bool:
    """Run in turn with the page and without; print both, and tell whether they are the same."""
    both: dict[bool, list[Took]] = {True: [], False: []}
    for pair in range(pairs):
        for with_page in (True, False) if pair % 2 else (False, True):
            took = _run(seconds, per_second, Watched() if with_page else None, NONE_LATE)
            both[with_page].append(took)
            print(f"{'with the page' if with_page else 'without'}: {took}", flush=True)
    is_same = True
    for name, title in FIGURES.items():
        values = {how: [getattr(took, name) for took in each] for how, each in both.items()}
        ratio = statistics.median(values[True]) / statistics.median(values[False])
        is_same = is_same and abs(ratio - 1) <= MAX_DIFFERENCE
        print(
            f"{title}: {_told(values[True])} with the page open, {_told(values[False])} without,"
            f" {ratio:.2f} times"
        )
    return is_same


def _told(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.4g} ({min(values):.4g} to {max(values):.4g})"


def _run(
    seconds: float, per_second: int, watched: Watched | None, options: Sequence[str] = ()
) -> Took:
    """Run the sandbox for some seconds, watched or without its page; return what was taken."""
    command = [sys.executable, "-u", "-m", "sandbox", "run"]
    command += ["--seconds", f"{seconds:.0f}", "--per-second", str(per_second)]
    command += [*options, *([] if watched else ["--no-page"])]
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
    took, done = TOOK.search(output), DONE.findall(output)
    if took is None or not done or run.returncode:
        raise RuntimeError(f"the run ended with {run.returncode}:\n{output}")
    events, requests = (int(count.replace(",", "")) for count in done[-1])
    return Took(float(took[1]) / events * 1e6, float(took[2]), requests / events)


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
