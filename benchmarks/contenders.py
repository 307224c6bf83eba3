"""The two connectors that are measured, both as the process that the platform would start."""

from __future__ import annotations

import json
import random
import socket
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
        with TemporaryDirectory(prefix="benchmark-") as folder:
            process = ConnectorProcess(
                addresses,
                settings,
                data_folder=Path(folder),
                root=self.root,
                command=self.command,
            )
            process.liveness_port, process.metrics_port = _free_port(), _free_port()
            with process:
                yield process


OURS = Contender("ours", ROOT, COMMAND, is_verbatim=True)
REFERENCE = Contender(
    "reference", ROOT / "benchmarks" / "reference", "ReferenceConnector", is_verbatim=False
)


_chance = random.SystemRandom()  # whoever seeds the common one would get the same ports again


def _free_port() -> int:
    """Find a port that nobody listens on, and that no outgoing connection can take meanwhile.

    Those come from above 32768, where a port that was found free may not be so a second later.
    """
    while True:
        port = _chance.randrange(15_000, 30_000)
        try:
            socket.create_server(("", port)).close()
        except OSError:
            continue
        return port


def default_settings() -> Settings:
    """Return what the form holds before anybody changes it."""
    properties = json.loads(_FORM.read_text())["arguments"]["properties"]
    names = ("frequency", "chunk_size", "history_hours", "audit_hours", "audit_frequency")
    return Settings(**{name: properties[name]["default"] for name in names})
