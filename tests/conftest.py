"""What all tests share: how hypothesis looks for counterexamples, and a world to collect from.

Counterexamples are looked for at random here, and are the same ones each time in CI. After each
test all that its processes said and wrote is looked through for keys, tokens and events.
"""

import os
import signal
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests import leaks
from tests.side_by_side import ByFile
from tests.world import World

leaks.install()

# A shell starts what runs in its background deaf to Ctrl-C, and so would be what tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The machines that run this are shared, so slowness proves nothing.
_PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

settings.register_profile("dev", _PATIENT, max_examples=60)
settings.register_profile("ci", _PATIENT, max_examples=60, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "dev")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    """Share tests by file."""
    return ByFile(config, log)


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Return an empty world."""
    return World(tmp_path)


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Fail a test whose processes showed what nobody may see."""
    with leaks.watching():
        result = yield
    if found := leaks.leaked_elsewhere():
        pytest.fail("\n".join(["Something leaked:", *found]), pytrace=False)
    return result
