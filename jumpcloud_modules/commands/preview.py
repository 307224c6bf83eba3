"""Show events as they would be forwarded, one a line, and send and remember nothing.

Each line is an event's text, byte for byte as JumpCloud sent it and as the intake would get it. A
text that comes over several lines is shown on one: a blank stands for each of its line breaks, and
standard error tells that it does.
"""

import argparse
import re
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from itertools import islice
from typing import Final

from jumpcloud_modules.checkpoint import Window
from jumpcloud_modules.collecting.page_room import PageRoom
from jumpcloud_modules.collecting.page_size import PageSize
from jumpcloud_modules.collecting.pager import Pages
from jumpcloud_modules.collecting.window_position import WindowPosition
from jumpcloud_modules.commands import choice, configured
from jumpcloud_modules.commands.configured import Configured
from jumpcloud_modules.commands.dispatch import NOT_WELL, WELL
from jumpcloud_modules.commands.spans import instant_before
from jumpcloud_modules.commands.terminal import Terminal
from jumpcloud_modules.errors import Refused, Stopped
from jumpcloud_modules.http.redaction import Secrets
from jumpcloud_modules.http.retry import Failure, Retry
from jumpcloud_modules.instants import to_rfc3339
from jumpcloud_modules.jumpcloud.account import credentials_of, events_client
from jumpcloud_modules.jumpcloud.clock import JumpCloudClock
from jumpcloud_modules.jumpcloud.exclusion import Exclusion
from jumpcloud_modules.jumpcloud.insights import JumpCloudApi

DEFAULT_LIMIT: Final = 10
DEFAULT_SPAN: Final = "1h"
MAX_ROWS_AT_ONCE: Final = 1_000
TRIES: Final = 3
LINE_BREAKS: Final = re.compile(rb"[\r\n]")


def configure(parser: argparse.ArgumentParser) -> None:
    """Say what can be typed."""
    parser.add_argument("--service", help="the services, separated by commas (default: configured)")
    parser.add_argument(
        "--limit", type=_count, default=DEFAULT_LIMIT, help="most events (default: %(default)s)"
    )
    parser.add_argument(
        "--since",
        default=DEFAULT_SPAN,
        metavar="SPAN|INSTANT",
        help="from when on, the oldest first: 30m, 2h, 7d, or 2026-11-01T00:00:00Z"
        " (default: %(default)s)",
    )
    choice.add_option(parser)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not possible; give a whole number, 1 or more"
        )
    return int(text)


def run(options: argparse.Namespace) -> int:
    """Show events, and return the exit status."""
    place, stderr = choice.chosen(None, options.organization), Terminal(sys.stderr)
    found = configured.read(place)
    if options.service:
        found = _asking_for(found, options.service)
    secrets, clock = Secrets(), JumpCloudClock()
    start_ms = instant_before(options.since, clock.now_ms())
    preview = Preview(_sources(found, secrets, clock), clock)
    count = broken = 0
    for text in islice(preview.texts(start_ms), options.limit):
        line, breaks = LINE_BREAKS.subn(b" ", text)
        sys.stdout.buffer.write(line + b"\n")
        count, broken = count + 1, broken + bool(breaks)
    sys.stdout.flush()
    if broken:
        stderr.say(f"{broken} of them came over several lines; blanks stand for the breaks.", "dim")
    if preview.failure:
        stderr.say(secrets.redact(str(preview.failure.error)), "bad")
        return NOT_WELL
    services = ",".join(found.connector.services)
    stderr.say(f"{count} events of {services} since {to_rfc3339(start_ms)}.", "dim")
    return WELL


def _asking_for(found: Configured, services: str) -> Configured:
    connector = found.connector.model_copy(update={"service": services})
    return Configured(found.account, connector, found.intake_url)


def _sources(found: Configured, secrets: Secrets, clock: JumpCloudClock) -> list[JumpCloudApi]:
    """Return what to read, stream after stream."""
    client = events_client(found.account, credentials_of(found.account, secrets), clock=clock)
    exclusion = Exclusion(found.connector.excluded_types, Terminal(sys.stderr).say)
    return [JumpCloudApi(client, services, exclusion) for services in found.connector.streams]


class Preview:
    """Read events as collecting does, but give up after a few tries."""

    def __init__(self, sources: Sequence[JumpCloudApi], clock: JumpCloudClock) -> None:
        self._stop = threading.Event()
        retry = Retry(self._stop, self._note)
        size = PageSize(MAX_ROWS_AT_ONCE)
        self._streams = [
            Pages(source, size, retry, self._stop, clock.now_ms, PageRoom(1, self._stop))
            for source in sources
        ]
        self.failure: Failure | None = None

    def texts(self, start_ms: int) -> Iterator[bytes]:
        """Yield each event's text from an instant on, until there are no more, or a failure."""
        # Two streams may bring the same, and where a chain of pages begins anew, some come again.
        seen: set[int] = set()
        for stream in self._streams:
            with closing(stream.read(WindowPosition(Window(start_ms)))) as pages, suppress(Stopped):
                for lease in pages:
                    with lease:
                        fresh = [event for event in lease.page.events if event.key not in seen]
                        seen.update(event.key for event in fresh)
                        yield from (bytes(event.raw) for event in fresh)

    def _note(self, failure: Failure) -> None:
        if isinstance(failure.error, Refused) or failure.in_a_row >= TRIES:
            self.failure = failure
            self._stop.set()
