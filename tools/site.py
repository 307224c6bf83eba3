"""Make a site with search of the documents, with the links that they have where they are.

MkDocs takes one folder of documents, and these stand at the root, in `docs/` and in `sandbox/`. So
they are laid out anew at the same paths, with the files of the tree that they link to. A link that
leads nowhere fails.

::

    python -m tools.site [FOLDER]
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tools.documents import ROOT, documents

SOURCE: Final = "build/site-source"
"""Where mkdocs.yml expects the documents, below the root."""
LINK: Final = re.compile(r"\]\(([^)#\s]+)[^)]*\)")


def pages(root: Path) -> list[Path]:
    """Return the documents that become pages."""
    return [*documents(root), root / "CHANGELOG.md"]


def linked_files(root: Path) -> Iterator[Path]:
    """Yield the files that documents link to: pictures, and code."""
    for page in pages(root):
        for target in LINK.findall(page.read_text(encoding="utf-8")):
            path = (page.parent / target).resolve()
            if "://" not in target and path.is_file() and path.suffix != ".md":
                yield path


def lay_out(root: Path, target: Path) -> None:
    """Copy the documents, and what they link to, to the same paths below another folder."""
    shutil.rmtree(target, ignore_errors=True)
    for path in (*pages(root), *linked_files(root)):
        place = target / path.relative_to(root)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Make the site in build/site or another folder, and return the exit status of MkDocs."""
    given = sys.argv[1:] if arguments is None else arguments
    lay_out(root, root / SOURCE)
    # Not --quiet, which would keep the warnings from being counted, and strict from failing.
    command = [sys.executable, "-m", "mkdocs", "build", "--strict"]
    if given:
        command += ["--site-dir", str(Path(given[0]).absolute())]
    quiet = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}  # pyproject.toml says what it warns of
    return subprocess.run(command, cwd=root, env=quiet, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
