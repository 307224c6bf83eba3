"""Counts of pages and events."""

from dataclasses import astuple, fields

from jumpcloud_modules.collecting.stats import Counts


def test_every_count_is_added() -> None:
    """None is left out, also one that comes to be counted later."""
    count = len(fields(Counts))

    added = Counts(*range(count)) + Counts(*range(100, 100 + count))

    assert astuple(added) == tuple(range(100, 100 + 2 * count, 2))
