"""The connector less the one contraption that the variable WITHOUT names.

Whatever is put out of use here has to be worth its lines: `make bench ARGS=without` tells.
"""

import gc
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
os.chdir(ROOT)  # where the SDK looks for the manifest
sys.path.insert(0, str(ROOT))

import main as product  # noqa: E402 - found by the line above
from jumpcloud_modules.collecting import concurrency, pager  # noqa: E402
from jumpcloud_modules.http import buffers  # noqa: E402

READERS = 6
"""The smallest fixed number that reads as fast from afar as the number that is changed."""


def _nothing() -> None:
    """Leave everything as it is."""


def _buffers() -> None:
    buffers.MAX_KEPT_BYTES = 0


def _watching() -> None:
    concurrency.MIN_READERS = READERS
    concurrency.ConcurrencyLimit._watch_processor = lambda _: None  # type: ignore[method-assign,assignment]  # noqa: SLF001


def _ahead() -> None:
    pager.Pages._ask_ahead = lambda *_: None  # type: ignore[method-assign]  # noqa: SLF001


WITHOUT: Mapping[str, Callable[[], None]] = {
    "nothing": _nothing,
    "buffers used again": _buffers,
    "watching the processor for the number of readers": _watching,
    "freezing what was imported": gc.unfreeze,
    "asking for the next page ahead": _ahead,
}

if __name__ == "__main__":
    WITHOUT[os.environ["WITHOUT"]]()
    sys.exit(product.main())
