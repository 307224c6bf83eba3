"""The checks of each organization of a list: a few organizations at a time.

All of them together ask JumpCloud no more often than a connector of many does.
"""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from jumpcloud_modules.commands.check_one import check
from jumpcloud_modules.commands.check_report import Report
from jumpcloud_modules.commands.installation import Installation
from jumpcloud_modules.commands.many import MAX_REQUESTS_PER_SECOND
from jumpcloud_modules.http.redaction import Secrets
from jumpcloud_modules.http.throttle import Pace, Throttle

AT_ONCE: Final = 4
"""Each asks some thirty questions within six seconds: more at once would wait for their turn."""


def each(places: Mapping[str, Installation]) -> Iterator[tuple[str, Report, Secrets]]:
    """Yield the report of each, in their order, and what no output of it may show."""
    pace = Pace(MAX_REQUESTS_PER_SECOND)

    def checked(place: Installation) -> tuple[Report, Secrets]:
        secrets = Secrets()
        return check(place, secrets, Throttle(pace)), secrets

    pool = ThreadPoolExecutor(AT_ONCE)
    try:
        reports = pool.map(checked, places.values())
        for name, (report, secrets) in zip(places, reports, strict=True):
            yield name, report, secrets
    finally:  # whoever had enough of it does not wait for those that have not begun
        pool.shutdown(cancel_futures=True)
