"""Where this process has its organizations from: the list, its shard's part of it, its changes.

Knows nothing of what collects from them.
"""

import socket
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from jumpcloud_modules.commands.module_json import ConfigurationError
from jumpcloud_modules.commands.organization_folders import FormerNames
from jumpcloud_modules.commands.organization_list import Entry, files_of, read_organizations
from jumpcloud_modules.organizations.member import Definition
from jumpcloud_modules.organizations.sharding import Shard, mine, shard_of
from jumpcloud_modules.sekoia.settings import account_of, settings_of

FIRST_AUDIT_AFTER_MS: Final = 60_000
"""A start of many is polls alone at first, so that each has one in its frequency or a minute."""
MAX_TAIL_ROWS: Final = 2_000
"""New events of many organizations are in memory at once, so their pages are smaller."""
STATE_ELSEWHERE: Final = (
    "the state of this organization is in {place}. Stop, and move it to {folder}, or all of its"
    " history would arrive once more; or give it its former name again. To begin anew, remove it."
)

Look = tuple[int, int, int]
"""What changes with a file, or with what a link leads to: its number, its time (ns), its size."""


class Source:
    """Read the list of organizations, as this process's part of it, and tell when it changes."""

    def __init__(
        self,
        path: Path,
        folder: Path,
        environment: Mapping[str, str],
        user_agent: str,
    ) -> None:
        self._path = path
        self._folder = folder
        self._environment = environment
        self._user_agent = user_agent
        self.shard = shard_here(environment)
        self._seen: dict[Path, Look | None] = {}
        self._former_names = FormerNames(folder)

    def read(self) -> list[Definition]:
        """Return the organizations. Raises ConfigurationError for all that is wrong with them."""
        files = files_of(self._path, self._environment)
        self._seen = {file: _look(file) for file in files}  # before they are read
        entries = read_organizations(self._path, self._environment)
        self._refuse_other_names(entries)
        if self.shard:
            names = set(mine([entry.name for entry in entries], self.shard))
            entries = [entry for entry in entries if entry.name in names]
        return [self._definition(entry) for entry in entries]

    def _refuse_other_names(self, entries: Iterable[Entry]) -> None:
        """Raise ConfigurationError where an organization has left its state under another name."""
        reached = {
            entry.name: (
                entry.account.base_url,
                entry.connector.organization_id or entry.account.organization_id or "",
            )
            for entry in entries
        }
        faults = [
            f"{name}: {STATE_ELSEWHERE.format(place=place, folder=self._folder / name)}"
            for name, place in self._former_names.left_behind(reached)
        ]
        if faults:
            raise ConfigurationError("\n".join(faults))
        self._former_names.remember(reached)

    @property
    def has_changed(self) -> bool:
        """Tell whether a file of the list is another one than when it was read."""
        return any(_look(file) != seen for file, seen in self._seen.items())

    def _definition(self, entry: Entry) -> Definition:
        configuration = entry.connector
        settings = settings_of(
            configuration,
            account=account_of(entry.account, configuration.organization_id),
            data_path=self._folder / entry.name,
            intake_url=configuration.intake_server or "",
            user_agent=self._user_agent,
        )
        every = float(configuration.poll_every_seconds)
        plan = replace(
            settings.plan,
            max_tail_rows=MAX_TAIL_ROWS,
            first_audit_after_ms=min(FIRST_AUDIT_AFTER_MS, int(every * 1000)),
            keeps_organization=True,
        )
        return Definition(entry.name, replace(settings, plan=plan), every)


def _look(path: Path) -> Look | None:
    try:
        status = path.stat()
    except (OSError, ValueError):  # also what cannot name a file
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


def shard_here(environment: Mapping[str, str]) -> Shard | None:
    """Return this process's part of the list, None for all of it. Raises ConfigurationError."""
    try:
        return shard_of(environment, socket.gethostname())
    except ValueError as error:
        raise ConfigurationError(str(error)) from None
