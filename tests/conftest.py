"""What all tests share: how hypothesis looks for counterexamples, and a world to collect from.

Counterexamples are looked for at random here, and are the same ones each time in CI.
"""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.world import World

# The machines that run this are shared, so slowness proves nothing.
_PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

settings.register_profile("dev", _PATIENT, max_examples=60)
settings.register_profile("ci", _PATIENT, max_examples=60, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "dev")


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Return an empty world."""
    return World(tmp_path)
