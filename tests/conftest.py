"""How hypothesis looks for counterexamples: at random here, the same ones each time in CI."""

import os

from hypothesis import HealthCheck, settings

# The machines that run this are shared, so slowness proves nothing.
_PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

settings.register_profile("dev", _PATIENT, max_examples=60)
settings.register_profile("ci", _PATIENT, max_examples=60, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "dev")
