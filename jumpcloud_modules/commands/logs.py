"""The log of a self-hosted connector on standard output: LOG_LEVEL and LOG_FORMAT.

Each line begins with an instant that names its zone, or is one JSON object.
"""

import json
import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, TextIO

from jumpcloud_modules.commands.module_json import ConfigurationError

LEVELS: Final = ("debug", "info", "warning", "error", "critical")
FORMATS: Final = ("text", "json")
OF_S3: Final = ("boto3", "botocore")
"""What speaks to S3: on `debug` it shows tokens, and what files hold."""

OF_CONNECTIONS: Final = "urllib3.connectionpool"
"""Warns of each connection that is one more than are kept, a line for each request of many that
hang; what fails is told by others."""


def set_up(environment: Mapping[str, str], out: TextIO | None = None) -> None:
    """Have everything that is logged written so. Raises ConfigurationError for a bad setting."""
    level = _one_of(LEVELS, "LOG_LEVEL", environment.get("LOG_LEVEL") or "info")
    form = _one_of(FORMATS, "LOG_FORMAT", environment.get("LOG_FORMAT") or "text")
    handler = logging.StreamHandler(out or sys.stdout)
    handler.setFormatter(_Lines() if form == "text" else _Objects())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for name in OF_S3:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger(OF_CONNECTIONS).setLevel(logging.ERROR)


def _one_of(choices: tuple[str, ...], name: str, value: str) -> str:
    if value.strip().lower() not in choices:
        raise ConfigurationError(f"{name} {value!r} is not possible; give {', '.join(choices)}.")
    return value.strip().lower()


def _time_of(record: logging.LogRecord) -> str:
    instant = datetime.fromtimestamp(record.created, UTC)
    return instant.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


class _Lines(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")

    def formatTime(  # noqa: N802 - the library's name
        self,
        record: logging.LogRecord,
        datefmt: str | None = None,  # noqa: ARG002 - the library's signature
    ) -> str:
        return _time_of(record)


class _Objects(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        content = {
            "time": _time_of(record),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
        }
        if record.exc_info:
            content["stack"] = self.formatException(record.exc_info)
        return json.dumps(content, ensure_ascii=False)
