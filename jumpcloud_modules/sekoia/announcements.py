"""The messages of a start and a stop: settings, and how far collecting got. No secrets."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from jumpcloud_modules.checkpoint import Checkpoint
from jumpcloud_modules.collecting.stats import Counts
from jumpcloud_modules.instants import to_rfc3339
from jumpcloud_modules.sekoia.configuration import ConnectorConfiguration, ModuleConfiguration

SAID_BY_THEMSELVES: Final = frozenset({"intake_server", "service", "organization_id"})


def starting(
    version: str,
    account: ModuleConfiguration,
    configuration: ConnectorConfiguration,
    intake_url: str,
    folder: Path,
) -> str:
    """Name the version and all settings, as they count: defaults where none was given."""
    organization = configuration.organization_id or account.organization_id
    return (
        f"JumpCloud Directory Insights {version} starts: region {account.base_url},"
        f" organization {organization or 'the only one of the key'},"
        f" services {','.join(configuration.services)}, intake {intake_url},"
        f" data folder {folder}, {_others(configuration.model_dump(mode='json'))}."
    )


def _others(settings: Mapping[str, Any]) -> str:
    """List settings by their keys; the model leaves out what is secret."""
    return ", ".join(
        f"{name} {'none' if value == '' else value}"
        for name, value in settings.items()
        if name not in SAID_BY_THEMSELVES and value is not None
    )


def stopped(checkpoint: Checkpoint, counts: Counts, *, is_final: bool) -> str:
    """Say what this process did and how far its commit got; `is_final` unless something hung."""
    if not checkpoint.watermark_ms:
        return "Stopped before collecting began."
    committed = "committed up to" if is_final else "a request hung, so committed at most up to"
    return (
        f"Stopped: {counts.delivered} events delivered by this process, {counts.set_aside} set"
        f" aside; {committed} {to_rfc3339(checkpoint.watermark_ms)}{backlog(checkpoint)}."
    )


def backlog(checkpoint: Checkpoint) -> str:
    """Say how much is left of what lies before the watermark, nothing where all is read."""
    if not checkpoint.windows:
        return ""
    oldest = to_rfc3339(checkpoint.oldest_open_ms)
    return f"; {len(checkpoint.windows)} stretches of backlog still open, the oldest from {oldest}"
