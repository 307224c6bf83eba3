"""Set-up: the pinned packages, the image, the commands that the README gives."""

import hashlib
import json
import os
import re
import socket
import subprocess
import sys
import threading
import tomllib
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
GROUPS = {
    "main": {"main"},
    "dev": {"main", "dev"},
    "bench": {"bench"},
    "site": {"site"},
    "browser": {"browser"},
    "helm": {"helm"},
}
PINNED = sorted((ROOT / "requirements").glob("*.txt"))


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
    assert not [path for path in PINNED if "://" in path.read_text(encoding="utf-8")]


def test_whatever_is_installed_is_pinned_by_its_hash() -> None:
    """Also what is of no group, and pinned by hand."""
    lines = [
        line
        for path in PINNED
        for line in path.read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
        if not line.startswith("#")
    ]

    assert all(re.match(r"\S+==\S+ .*--hash=sha256:[0-9a-f]{64}", line) for line in lines)
    assert {path.stem for path in PINNED} == set(GROUPS) | {"helm-program"}


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
    (base,) = re.findall(r"^ARG BASE=(.*)$", dockerfile, re.MULTILINE)

    assert bases == ["${BASE}"] * 2
    assert re.fullmatch(r"docker\.io/library/python:3\.13\.\d+-slim-\w+", base)
    assert "--require-hashes" in dockerfile
    assert "requirements/main.txt" in dockerfile
    assert "dev.txt" not in dockerfile
    assert re.search(r"^USER [1-9]\d*$", dockerfile, re.MULTILINE)
    assert dockerfile.rstrip().endswith('ENTRYPOINT ["python", "./main.py"]')


def test_the_user_of_the_image_owns_its_volume() -> None:
    """Alone: by the same number, with 0700."""
    dockerfile = text("Dockerfile")
    user = re.findall(r"^USER (\d+)$", dockerfile, re.MULTILINE)[0]

    assert f"useradd --uid {user} " in dockerfile
    assert "--owner connector --group connector --mode 700 /app/data" in dockerfile


def test_the_image_is_labelled_as_the_project_is() -> None:
    """Whoever inspects it reads what it is, of which version, on which base it was built."""
    dockerfile = text("Dockerfile")
    labels = dict(re.findall(r'org\.opencontainers\.image\.([\w.]+)="([^"]*)"', dockerfile))
    project = toml("pyproject.toml")["project"]

    assert labels == {
        "title": "JumpCloud Directory Insights for Sekoia.io",
        "description": project["description"],
        "version": project["version"],
        "licenses": project["license"],
        "base.name": "${BASE}",
    }


def test_the_image_exposes_the_two_ports() -> None:
    """Those that the documents tell as the defaults."""
    (exposed,) = re.findall(r"^EXPOSE (.*)$", text("Dockerfile"), re.MULTILINE)

    for port, name in zip(exposed.split(), ("LIVENESS_PORT", "METRICS_PORT"), strict=True):
        assert f"| `{name}` | `{port}` |" in text("docs/configuration.md")


@pytest.mark.parametrize(("answer", "status"), [(200, 0), (500, 1), (None, 1)])
def test_the_image_s_health_check_asks_the_connector_s_health(
    answer: int | None, status: int
) -> None:
    """By Python, past any proxy; a port where nobody listens is not well."""

    class Health(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(answer if self.path == "/health" and answer else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Health) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with socket.create_server(("127.0.0.1", 0)) as other:
            nobodys = other.getsockname()[1]
        port = server.server_port if answer else nobodys
        proxies = {"HTTP_PROXY": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"}
        asked = subprocess.run(
            [sys.executable, *health_check()[1:]],
            env={"PATH": os.environ["PATH"], "LIVENESS_PORT": str(port), **proxies},
            capture_output=True,
            check=False,
        )
        server.shutdown()

    assert health_check()[0] == "python"
    assert asked.returncode == status, asked.stderr


def health_check() -> list[str]:
    """Return the command of the image's health check, as Docker reads it."""
    dockerfile = text("Dockerfile").replace("\\\n", "")
    command: list[str] = json.loads(
        re.findall(r"^HEALTHCHECK .* CMD (\[.*\])$", dockerfile, re.MULTILINE)[0]
    )
    return command


def test_the_image_is_given_all_that_it_copies() -> None:
    """What .dockerignore keeps out cannot be copied."""
    kept = {line[1:] for line in text(".dockerignore").splitlines() if line.startswith("!")}
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", text("Dockerfile"), re.MULTILINE)

    assert {name for line in copied for name in line.split()} == kept


def test_ci_runs_the_checks_and_the_readme_s_test_command() -> None:
    """What a person runs is what CI runs."""
    script = text(".ci/run")

    assert "make check" in script
    assert "make site" in script
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


@pytest.mark.parametrize("target", ["install", "bench", "site"])
def test_packages_that_cannot_be_fetched_are_told_with_what_to_check(
    tmp_path: Path, target: str
) -> None:
    """Below what pip itself says; nothing counts as installed."""
    venv = tmp_path / "venv"
    (venv / "bin").mkdir(parents=True)
    python = tmp_path / "python"
    fails = 'case "$*" in *"-m pip install"*) echo "ERROR: no such index" >&2; exit 1;; esac'
    python.write_text(
        f"#!/bin/sh\n{fails}\n"
        f'[ "$1" = -c ] && echo "{python} 3.13" && exit\n'
        f'[ "$1" = --version ] && echo Python 3.13.0 && exit\n'
        f'cp "$0" {venv}/bin/python\n'
    )
    python.chmod(0o755)
    if target != "install":
        (venv / "bin/python").write_text(python.read_text())
        (venv / "bin/python").chmod(0o755)
        (venv / "installed").touch()

    made = subprocess.run(
        ["make", target, f"VENV={venv}", f"PYTHON={python}"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )

    assert made.returncode == 2
    assert made.stderr.startswith("ERROR: no such index\nThe packages could not be installed")
    assert all(hint in made.stderr for hint in ("network", "HTTPS_PROXY", "PIP_INDEX_URL"))
    installed = "installed" if target == "install" else f"installed-{target}"
    assert not (venv / installed).exists()
