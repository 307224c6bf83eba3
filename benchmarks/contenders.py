"""The two connectors that are measured, both as the process that the platform would start."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from sandbox.connector import COMMAND, ROOT, ConnectorProcess, Settings
from sandbox.server import Addresses

_SECONDS_TO_STOP = 15.0
_FORM = ROOT / "connector_jumpcloud_directory_insights.json"


@dataclass(frozen=True, slots=True)
class Contender:
    """A connector: where its main.py stands, and the command that it answers to.

    One that decodes and encodes events again is not verbatim. One that `always_stops` obeys SIGTERM
    whenever it comes: the SDK's own stop waits for itself where it meets the beginning of a push.
    """

    name: str
    root: Path
    command: str
    is_verbatim: bool
    always_stops: bool
    environment: Mapping[str, str] = field(default_factory=dict)

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
                environment=self.environment,
            ) as process,
        ):
            yield process

    def stop(self, process: ConnectorProcess) -> None:
        """End it; raises TimeoutError where it does not obey but should."""
        try:
            process.stop(_SECONDS_TO_STOP)
        except TimeoutError:
            if self.always_stops:
                raise


OURS = Contender("ours", ROOT, COMMAND, is_verbatim=True, always_stops=True)
REFERENCE = Contender(
    "reference",
    ROOT / "benchmarks" / "reference",
    "ReferenceConnector",
    is_verbatim=False,
    always_stops=False,
)


def default_settings() -> Settings:
    """Return what the form holds before anybody changes it."""
    properties = json.loads(_FORM.read_text())["arguments"]["properties"]
    names = ("frequency", "chunk_size", "history_hours", "audit_hours", "audit_frequency")
    return Settings(**{name: properties[name]["default"] for name in names})
