"""What a start costs before the first request, held by counts in a fresh interpreter."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SDK = "import sekoia_automation.account_validator, sekoia_automation.connector"
OF_OURS_ONLY = {"isal", "msgspec", "xxhash"}


def told_by(program: str) -> Any:
    """Run a program in an interpreter of its own and return the JSON that it prints."""
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return json.loads(ended.stdout)


def loaded_by(statement: str) -> set[str]:
    """Return the modules that are loaded after a statement."""
    return set(told_by(f"{statement}\nimport json, sys\nprint(json.dumps(list(sys.modules)))"))


def test_a_start_loads_no_package_beyond_the_sdk_s_and_three_fast_ones() -> None:
    """The SDK's own imports are most of a start, and nothing of ours can avoid them."""
    added = loaded_by("import main") - loaded_by(SDK)

    packages = {name.partition(".")[0] for name in added} - sys.stdlib_module_names
    assert packages == OF_OURS_ONLY | {"main", "jumpcloud_modules", "sentry_sdk"}
    assert {name for name in added if name.startswith("sentry_sdk")} == {"sentry_sdk.types"}


def test_a_start_on_the_platform_loads_no_other_command() -> None:
    """Self-hosting and the replay load when they are asked for."""
    loaded = loaded_by("import main")

    assert not {name for name in loaded if name.startswith("jumpcloud_modules.commands")}
    assert "jumpcloud_modules.replay" not in loaded


def test_the_imports_are_not_searched_for_garbage() -> None:
    """Neither while they run nor later; what comes after them is.

    Before main.py's first line a search may happen.
    """
    program = """
import gc, json
searches = []
gc.callbacks.append(lambda phase, info: searches.append(phase) if phase == "stop" else None)
import main
searched = len(searches)
print(json.dumps([searched, gc.isenabled(), gc.get_freeze_count()]))
"""

    searched, is_on, frozen = told_by(program)

    assert searched <= 1
    assert is_on
    assert frozen > 10_000
