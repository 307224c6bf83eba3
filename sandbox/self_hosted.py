"""The self-hosted connector of many organizations, as the real process.

Told by a module.json, a list, and the environment. Knows nothing of the code inside.
"""

from __future__ import annotations

import csv
import io
import json
import signal
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from sandbox.connector import ConnectorProcess, Settings
from sandbox.organizations import Organization
from sandbox.server import Addresses

Entry = dict[str, str]
Form = Literal["csv", "json", "within"]


class ManyConnectorProcess(ConnectorProcess):
    """`python ./main.py` with a list of organizations, started, watched and ended.

    The list stands in a file of its own (`csv`, `json`), or `within` module.json. `shard` is the
    part that this process takes (`2/5`). The keys are in files that only this user may read, and
    in no variable. `options` are `ConnectorProcess`'s.
    """

    def __init__(
        self,
        addresses: Addresses,
        organizations: Iterable[Organization],
        settings: Settings | None = None,
        *,
        form: Form = "csv",
        shard: str = "",
        **options: Any,
    ) -> None:
        super().__init__(addresses, settings, command="", **options)
        self.shard, self._form = shard, form
        self.organizations: tuple[Organization, ...] = ()
        folder = self.scratch / "configuration"
        folder.mkdir(mode=0o700)
        self.module_path = folder / "module.json"
        self.list_path = self.module_path if form == "within" else folder / f"organizations.{form}"
        self.rewrite(organizations)
        if form != "within":
            self._write_module(self.list_path.name)

    def rewrite(self, organizations: Iterable[Organization]) -> None:
        """Let the list name these from now on; a running connector finds out by itself."""
        self.organizations = tuple(organizations)
        self.write_entries(map(entry_of, self.organizations))

    def write_entries(self, entries: Iterable[Entry]) -> None:
        """Write a list of any entries, whole at once."""
        rows = list(entries)
        if self._form == "within":
            self._write_module(rows)
        else:
            self.write_list(as_csv(rows) if self._form == "csv" else json.dumps(rows, indent=1))

    def write_list(self, text: str) -> None:
        """Write whatever text in the place of the list."""
        _write(self.list_path, text)

    def hang_up(self) -> None:
        """Ask the process to read its list again at once (SIGHUP)."""
        self.send_signal(signal.SIGHUP)

    def state_folder(self, organization: Organization) -> Path:
        """Return where the state of an organization is."""
        return self.data_folder / organization.name

    def variables(self) -> dict[str, str]:
        """Return what a person would set."""
        return {
            "MODULE_JSON": str(self.module_path),
            "DATA_DIR": str(self.data_folder.resolve()),
            "LIVENESS_PORT": str(self.liveness_port),
            "METRICS_PORT": str(self.metrics_port),
            **({"SHARD": self.shard} if self.shard else {}),
        }

    def _write_module(self, listed: str | list[Entry]) -> None:
        form = {name: value for name, value in asdict(self.settings).items() if value is not None}
        account, more = form.pop("account"), form.pop("more")
        if "client_id" not in account:
            account = {"apikey": self.addresses.api_key}
        document: Mapping[str, Any] = {
            "module": {"base_url": self.addresses.jumpcloud_url, **account},
            "connector": {**form, "intake_server": self.addresses.intake_url, **more},
            "organizations": listed,
        }
        _write(self.module_path, json.dumps(document, indent=1))


def entry_of(organization: Organization) -> Entry:
    """Return an organization as a list names it."""
    entry = {
        "name": organization.name,
        "organization_id": organization.id,
        "intake_key": organization.intake_key,
    }
    return entry | ({"apikey": organization.api_key} if organization.api_key else {})


def as_csv(entries: Iterable[Entry]) -> str:
    """Write a list as a table."""
    entries = list(entries)
    columns = list(dict.fromkeys(name for entry in entries for name in entry))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(entries)
    return text.getvalue()


def _write(path: Path, text: str) -> None:
    """Put a file in the place of another, so that nobody reads half of it."""
    made = path.with_name(f".{path.name}")
    made.touch(mode=0o600)
    made.write_text(text, encoding="utf-8")
    made.replace(path)
