"""How many files a process may have open."""

import subprocess
import sys

_PROGRAM = """
import resource
from jumpcloud_modules.state.open_files import raise_limit
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (50, hard))
print(raise_limit() == resource.getrlimit(resource.RLIMIT_NOFILE)[0] == hard)
resource.setrlimit(resource.RLIMIT_NOFILE, (60, 60))
print(raise_limit())
"""


def test_a_process_allows_itself_what_the_system_allows_it() -> None:
    """And no more; what it says is what holds."""
    command = [sys.executable, "-c", _PROGRAM]

    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout

    assert said.split() == ["True", "60"]
