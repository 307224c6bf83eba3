"""The two connectors that are measured, both as the process that the platform would start."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from sandbox.connector import COMMAND, ROOT, ConnectorProcess, Settings
from sandbox.server import Addresses

_FORM = ROOT / "connector_jumpcloud_directory_insights.json"


@dataclass(frozen=True, slots=True)
class Contender:
    """A connector: where its main.py stands, and the command that it answers to.

    One that decodes and encodes events again is not verbatim.
    """

    name: str
    root: Path
    command: str
    is_verbatim: bool

    @contextmanager
    def running(self, addresses: Addresses, settings: Settings) -> Iterator[ConnectorProcess]:
        """Run it on an empty data folder; what is left of it at the end is killed."""
        with (
            TemporaryDirectory(prefix="benchmark-") as folder,
            ConnectorProcess(
                addresses,
                settings,
                data_folder=Path(folder),
                root=self.root,
                command=self.command,
            ) as process,
        ):
            yield process


OURS = Contender("ours", ROOT, COMMAND, is_verbatim=True)
REFERENCE = Contender(
    "reference", ROOT / "benchmarks" / "reference", "ReferenceConnector", is_verbatim=False
)


def default_settings() -> Settings:
    """Return what the form holds before anybody changes it."""
    properties = json.loads(_FORM.read_text())["arguments"]["properties"]
    names = ("frequency", "chunk_size", "history_hours", "audit_hours", "audit_frequency")
    return Settings(**{name: properties[name]["default"] for name in names})
