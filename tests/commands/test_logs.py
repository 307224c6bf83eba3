"""Lines on standard output: their level, their form, their zone."""

import io
import json
import logging
import re
from collections.abc import Iterator

import pytest

from jumpcloud_modules.commands import logs
from jumpcloud_modules.commands.module_json import ConfigurationError


@pytest.fixture(autouse=True)
def _root() -> Iterator[None]:
    """Leave the root logger as it was."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers, root.level = handlers, level


def _written(environment: dict[str, str]) -> str:
    out = io.StringIO()
    logs.set_up(environment, out)
    for level in (logging.DEBUG, logging.INFO, logging.ERROR):
        logging.getLogger("sdk").log(level, "said at %s", logging.getLevelName(level))
    return out.getvalue()


def test_each_line_begins_with_an_instant_that_names_its_zone() -> None:
    """Logs of several machines are read side by side."""
    lines = _written({}).splitlines()

    assert len(lines) == 2
    for line, level in zip(lines, ("INFO", "ERROR"), strict=True):
        assert re.fullmatch(
            rf"\d{{4}}-\d\d-\d\dT[\d:]{{8}}\.\d{{3}}Z {level} said at {level}", line
        )


def test_log_format_json_writes_an_object_a_line() -> None:
    """With the stack of a mistake, and letters as they are."""
    out = io.StringIO()
    logs.set_up({"LOG_FORMAT": "json"}, out)
    try:
        int("Zürich")
    except ValueError:
        logging.getLogger("sdk").exception("it failed")

    (line,) = out.getvalue().splitlines()
    written = json.loads(line)
    assert (written["level"], written["message"]) == ("error", "it failed")
    assert written["time"].endswith("Z")
    assert "Zürich" in line
    assert "ValueError" in written["stack"]


@pytest.mark.parametrize(("level", "lines"), [("debug", 3), ("INFO", 2), ("error", 1)])
def test_log_level_says_how_much_is_said(level: str, lines: int) -> None:
    """In whatever case."""
    assert len(_written({"LOG_LEVEL": level}).splitlines()) == lines


@pytest.mark.parametrize("name", logs.OF_S3)
def test_what_speaks_to_s3_says_warnings_only_at_any_level(name: str) -> None:
    """On `debug` it would show tokens, and events of the quarantine."""
    out = io.StringIO()
    logs.set_up({"LOG_LEVEL": "debug"}, out)
    for level in (logging.DEBUG, logging.INFO, logging.WARNING):
        logging.getLogger(f"{name}.part").log(level, logging.getLevelName(level))

    (line,) = out.getvalue().splitlines()
    assert line.endswith("WARNING WARNING")


@pytest.mark.parametrize("name", ["LOG_LEVEL", "LOG_FORMAT"])
def test_a_setting_that_there_is_not_is_told_with_those_that_there_are(name: str) -> None:
    """Before anything is logged by it."""
    with pytest.raises(ConfigurationError, match=f"{name} 'loud' is not possible; give "):
        logs.set_up({name: "loud"})


def test_connections_that_are_not_kept_leave_no_line() -> None:
    """There is one for each request of many organizations that hang, and nothing to do about it."""
    out = io.StringIO()
    logs.set_up({}, out)

    logging.getLogger("urllib3.connectionpool").warning("Connection pool is full, discarding")

    assert out.getvalue() == ""
