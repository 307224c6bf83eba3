"""Set-up: the pinned packages, the image, the commands that the README gives."""

import hashlib
import json
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
GROUPS = {"main": {"main"}, "dev": {"main", "dev"}, "bench": {"bench"}}


def toml(name: str) -> dict[str, Any]:
    """Return a TOML file of the root."""
    return tomllib.loads((ROOT / name).read_text(encoding="utf-8"))


def text(name: str) -> str:
    """Return a file of the root."""
    return (ROOT / name).read_text(encoding="utf-8")


def exported(group: str) -> dict[str, tuple[str, set[str]]]:
    """Return version and hashes by package, as a requirements file has them."""
    found = {}
    for entry in text(f"requirements/{group}.txt").replace("\\\n", " ").splitlines():
        name, version = re.split(r"==|\s", entry)[:2]
        found[name] = (version, set(re.findall(r"--hash=(\S+)", entry)))
    return found


def locked(group: str) -> dict[str, tuple[str, set[str]]]:
    """Return version and hashes by package, as the lock has them."""
    return {
        package["name"]: (package["version"], {file["hash"] for file in package["files"]})
        for package in toml("poetry.lock")["package"]
        if GROUPS[group] & set(package["groups"])
    }


@pytest.mark.parametrize("group", GROUPS)
def test_the_requirements_are_what_the_lock_pins(group: str) -> None:
    """`make lock` was run after the last change."""
    assert exported(group) == locked(group)


def test_the_lock_is_of_this_pyproject() -> None:
    """Poetry's own fingerprint of what the dependencies were when they were locked."""
    project = toml("pyproject.toml")
    relevant = {
        "project": {key: project["project"][key] for key in ("requires-python", "dependencies")},
        "dependency-groups": project["dependency-groups"],
        "tool": {"poetry": {}},
    }

    fingerprint = hashlib.sha256(json.dumps(relevant, sort_keys=True).encode()).hexdigest()

    assert toml("poetry.lock")["metadata"]["content-hash"] == fingerprint


def test_the_lock_names_no_index() -> None:
    """Whoever installs has an index of their own."""
    assert not [package for package in toml("poetry.lock")["package"] if "source" in package]
    assert not any("://" in text(f"requirements/{group}.txt") for group in GROUPS)


def test_python_3_11_to_3_13_are_supported() -> None:
    """The oldest is what the code is checked against."""
    project = toml("pyproject.toml")

    assert project["project"]["requires-python"].startswith(">=3.11")
    assert project["tool"]["mypy"]["python_version"] == "3.11"
    assert project["tool"]["ruff"]["target-version"] == "py311"


def test_the_image_is_pinned_and_runs_as_nobody_in_particular() -> None:
    """A precise base, the main packages with their hashes, no root, the platform's entry."""
    dockerfile = text("Dockerfile")
    bases = re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE)

    assert len(bases) == 2
    assert all(re.fullmatch(r"python:3\.13\.\d+-slim-\w+", base) for base in bases)
    assert "--require-hashes" in dockerfile
    assert "requirements/main.txt" in dockerfile
    assert "dev.txt" not in dockerfile
    assert re.search(r"^USER (?!root)\w+$", dockerfile, re.MULTILINE)
    assert dockerfile.rstrip().endswith('ENTRYPOINT ["python", "./main.py"]')


def test_the_image_is_given_all_that_it_copies() -> None:
    """What .dockerignore keeps out cannot be copied."""
    kept = {line[1:] for line in text(".dockerignore").splitlines() if line.startswith("!")}
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", text("Dockerfile"), re.MULTILINE)

    assert {name for line in copied for name in line.split()} == kept


def test_ci_runs_the_checks_and_the_readme_s_test_command() -> None:
    """What a person runs is what CI runs."""
    script = text(".ci/run")

    assert "make check" in script
    assert "README.md" in script
    assert (ROOT / ".ci/run").stat().st_mode & 0o111


def test_ci_runs_on_every_python_that_is_supported() -> None:
    """By the script that holds for everybody."""
    workflow = text(".github/workflows/ci.yml")
    versions = re.findall(r"python: \[(.*)\]", workflow)[0].replace('"', "").split(", ")
    named = re.findall(r"Python ([\d., and]+) that the machine has", text("Makefile"))[0]

    assert versions == re.split(r", | and ", named)
    assert "- run: .ci/run\n" in workflow


def test_the_hooks_are_the_checks_of_make_check() -> None:
    """Before a commit runs what runs after it, in the same order."""
    (checks,) = re.findall(r"^check: (.*?) ##", text("Makefile"), re.MULTILINE)
    hooks = re.findall(r"^ +entry: (.*)$", text(".pre-commit-config.yaml"), re.MULTILINE)

    assert hooks == [f"make {check}" for check in checks.split()]
    assert re.findall(r"^ +- repo: (.*)$", text(".pre-commit-config.yaml"), re.MULTILINE) == [
        "local"
    ]


def test_the_readme_gives_the_two_commands_that_a_newcomer_types() -> None:
    """On lines of their own, where .ci/run looks for the second one."""
    typed = re.findall(r"^\$ (make [a-z]+)$", text("README.md"), re.MULTILINE)

    assert typed == ["make run", "make test"]


def test_too_old_a_python_is_told_in_one_line(tmp_path: Path) -> None:
    """And nothing is made."""
    old = tmp_path / "python-old"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.10.1\nexit 1\n')
    old.chmod(0o755)

    told = subprocess.run(
        ["sh", str(ROOT / "tools/pythons.sh"), "first", str(old)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert told.returncode == 1
    assert told.stdout == ""
    assert len(told.stderr.splitlines()) == 1
    assert "3.11 or newer" in told.stderr
    assert "Python 3.10.1" in told.stderr
