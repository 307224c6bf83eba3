"""Every package that is imported is declared, and every declared one has a use."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PRODUCT = ("main.py", "jumpcloud_modules")
DEVELOPMENT = ("sandbox", "tools", "tests", "benchmarks")
OWN = {"main", "jumpcloud_modules", "sandbox", "tools", "tests", "benchmarks"}
PACKAGE_OF = {
    "sekoia_automation": "sekoia-automation-sdk",
    "mpl_toolkits": "matplotlib",
    "yaml": "pyyaml",
    "xdist": "pytest-xdist",
}
# Run rather than imported, or imported by what is.
COMMANDS = {
    "ruff",
    "mypy",
    "pytest-timeout",
    "flask",
    "flask-cors",
    "moto",
    "pytest",
}


def files(folders: tuple[str, ...]) -> Iterator[Path]:
    """Yield the Python files of some folders, and files that are named themselves."""
    for folder in folders:
        path = ROOT / folder
        yield from sorted(path.rglob("*.py")) if path.is_dir() else [path] * path.exists()


def imported(path: Path) -> set[str]:
    """Return the packages from outside that a file imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            names.add(node.module)
    roots = {name.partition(".")[0] for name in names}
    return {package(root) for root in roots - OWN - set(sys.stdlib_module_names)}


def package(module: str) -> str:
    """Return the name under which a module is installed."""
    return PACKAGE_OF.get(module, module.replace("_", "-"))


def names(requirements: list[str]) -> set[str]:
    """Return the packages of a list of requirements."""
    return {re.split(r"[\[<>=!~; ]", line, maxsplit=1)[0] for line in requirements}


MAIN = names(PROJECT["project"]["dependencies"])
DEV = names(PROJECT["dependency-groups"]["dev"])
BENCH = names(PROJECT["dependency-groups"]["bench"])
BROWSER = names(PROJECT["dependency-groups"]["browser"])
HELM = names(PROJECT["dependency-groups"]["helm"])


@pytest.mark.parametrize("path", list(files(PRODUCT)), ids=lambda path: path.name)
def test_the_product_imports_only_what_it_declares(path: Path) -> None:
    """Nothing is leaned on through another package."""
    assert imported(path) <= MAIN


@pytest.mark.parametrize("path", list(files(DEVELOPMENT)), ids=lambda path: path.name)
def test_the_rest_imports_only_what_is_declared(path: Path) -> None:
    """Tests and tools may use the development packages as well."""
    assert imported(path) <= MAIN | DEV | BENCH | BROWSER | HELM


def test_every_declared_package_is_used() -> None:
    """What is not imported is not installed at a user's."""
    product = set().union(*map(imported, files(PRODUCT)))
    rest = set().union(*map(imported, files(DEVELOPMENT)))
    typed = {name for name in DEV if name.startswith("types-")}

    assert product == MAIN
    assert (DEV | BROWSER | HELM) - typed - COMMANDS <= rest
