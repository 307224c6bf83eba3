"""Commands as a person types them: the real process, told what a person would set."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox import Sandbox
from tests import leaks

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Ended:
    """What became of a command."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Return its standard output, which is JSON."""
        return json.loads(self.out)


def self_hosted(sandbox: Sandbox, folder: Path, **more: str) -> dict[str, str]:
    """Return what a person sets for a connector without a platform; `more` replaces."""
    addresses = sandbox.addresses
    return {
        "JUMPCLOUD_BASE_URL": addresses.jumpcloud_url,
        "JUMPCLOUD_API_KEY": addresses.api_key,
        "SEKOIA_INTAKE_URL": addresses.intake_url,
        "SEKOIA_INTAKE_KEY": addresses.intake_key,
        "DATA_DIR": str(folder),
        **more,
    }


def typed(*arguments: str, environment: Mapping[str, str], timeout_seconds: float = 60) -> Ended:
    """Run `python main.py` with these arguments and variables, and none of the machine's own."""
    ended = subprocess.run(
        [sys.executable, "main.py", *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_seconds,
        check=False,
    )
    leaks.note(ended.stdout, ended.stderr, environment, name=" ".join(["main.py", *arguments]))
    return Ended(ended.returncode, ended.stdout, ended.stderr)


def regions_at(urls: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Return variables that make these addresses, by their names, JumpCloud's regions."""
    (folder / "sitecustomize.py").write_text(
        "from jumpcloud_modules.jumpcloud import regions\n"
        f"regions.REGIONS = [regions.Region(n, u, u, u) for n, u in {dict(urls)!r}.items()]\n"
    )
    return {"PYTHONPATH": f"{folder}:{ROOT}"}
