"""Whose state has another name in DATA_DIR than the list has for the organization.

It would begin anew under the new name, and all of its history would arrive once more. Knows nothing
of how a list is written.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from jumpcloud_modules.checkpoint import organization_of
from jumpcloud_modules.commands.organization_names import NAME
from jumpcloud_modules.errors import StateUnavailable
from jumpcloud_modules.state import storage
from jumpcloud_modules.state.checkpoint_store import CheckpointStore

Reached = tuple[str, str]
"""A region and an organization; the latter is empty where none is named."""


class FormerNames:
    """Know which organization had which name.

    The folder is looked at once. From then on the lists are remembered: who reads one again is not
    to wait for a storage.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._had: dict[Path, Reached] | None = None

    def left_behind(self, listed: Mapping[str, Reached]) -> Iterator[tuple[str, Path]]:
        """Yield each name that is new, and the folder that its organization's state is in.

        That is one that the list does not name, or the data folder itself, where a single connector
        collected before. An organization that the list also has under a name of before is left out:
        it goes into several intakes.
        """
        places = {self._folder / name: reached for name, reached in listed.items()}
        if self._had is None:
            self._had = self._found(places)
        had = self._had
        goes_on = {reached for place, reached in places.items() if place in had}
        left = {reached: place for place, reached in had.items() if place not in places}
        for place, reached in places.items():
            is_new = place not in had and reached not in goes_on and reached[1]
            if is_new and reached in left:
                yield place.name, left[reached]

    def remember(self, listed: Mapping[str, Reached]) -> None:
        """Take note of a list that came into force."""
        self._had = (self._had or {}) | {
            self._folder / name: reached for name, reached in listed.items()
        }

    def _found(self, listed: Mapping[Path, Reached]) -> dict[Path, Reached]:
        """Return whose states are there; none where the storage does not answer."""
        try:
            there = [self._folder / name for name in storage.names(self._folder)]
        except StateUnavailable:
            return {}
        return {
            place: listed.get(place) or _whose(place)
            for place in [*there, self._folder]
            if NAME.fullmatch(place.name) or place == self._folder
        }


def _whose(place: Path) -> Reached:
    """Return whose state is in a folder; nobody's where it cannot be read, or is no folder."""
    try:
        checkpoint = CheckpointStore(place).load().checkpoint
    except StateUnavailable:
        checkpoint = None
    return organization_of(checkpoint.scope if checkpoint else "")
