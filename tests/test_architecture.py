"""Imports run one way, and only the outer rooms know the SDK."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "jumpcloud_modules"
MODULES = {
    ".".join(path.relative_to(ROOT / PACKAGE).with_suffix("").parts): path
    for path in sorted((ROOT / PACKAGE).rglob("*.py"))
}
"""Each file by its dotted name in the package, in whatever folder."""

# From the outside to the inside; a room knows only rooms further in, or beside it where listed.
ENTRANCES = {"self_hosted", "validator", "connector", "replay"}
SDK_SIDE = ENTRANCES | {"module", "configuration", "platform_logs"}
COMPOSITION = {"assembly"}
MIDDLE = {"collector"}
ENDS = {"api", "intake"}
FLOOR = {"events", "errors", "retry", "storage", "instants"}


def imports(path: Path) -> set[str]:
    """Return the full names of what a file imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def rooms_known_to(name: str) -> set[str]:
    """Return the modules of the package that one of them imports."""
    return {room for room in MODULES if f"{PACKAGE}.{room}" in imports(MODULES[name])}


def packages_known_to(name: str) -> set[str]:
    """Return the packages that a module imports."""
    return {imported.partition(".")[0] for imported in imports(MODULES[name])}


@pytest.mark.parametrize("name", sorted(set(MODULES) - SDK_SIDE))
def test_the_inner_rooms_do_not_know_the_sdk(name: str) -> None:
    """They can be tested, and read, without it."""
    assert not packages_known_to(name) & {"sekoia_automation", "sentry_sdk", "pydantic"}


@pytest.mark.parametrize("name", sorted(set(MODULES) - SDK_SIDE))
def test_the_inner_rooms_do_not_know_the_outer_ones(name: str) -> None:
    """Imports run from the connector inwards."""
    assert not rooms_known_to(name) & SDK_SIDE


@pytest.mark.parametrize("name", sorted(set(MODULES) - SDK_SIDE - COMPOSITION - MIDDLE))
def test_only_the_outer_rooms_know_the_collector(name: str) -> None:
    """What it brings together knows nothing of it."""
    assert "collector" not in rooms_known_to(name)


@pytest.mark.parametrize("name", sorted(FLOOR & set(MODULES)))
def test_the_floor_rests_on_itself(name: str) -> None:
    """Values, errors and waiting know no other room."""
    assert rooms_known_to(name) <= FLOOR


@pytest.mark.parametrize("name", sorted(MIDDLE | FLOOR & set(MODULES)))
def test_the_collector_and_the_floor_know_no_http(name: str) -> None:
    """The network is at the two ends."""
    assert not packages_known_to(name) & {"requests", "urllib3", "http", "socket"}


def test_the_two_ends_do_not_know_each_other() -> None:
    """JumpCloud's side and Sekoia's share only the floor and the transport."""
    assert not rooms_known_to("api") & {"intake", "quarantine"}
    assert "api" not in rooms_known_to("intake")


def test_there_is_no_circle() -> None:
    """Each room can be read after those that it rests on."""
    left = {name: rooms_known_to(name) for name in MODULES}
    while free := {name for name, known in left.items() if not known & set(left)}:
        left = {name: known for name, known in left.items() if name not in free}

    assert left == {}


@pytest.mark.parametrize("path", sorted((ROOT / "sandbox").rglob("*.py")), ids=lambda p: p.name)
def test_the_sandbox_does_not_know_the_product(path: Path) -> None:
    """It judges from outside."""
    assert not any(name.startswith(PACKAGE) for name in imports(path))


@pytest.mark.parametrize("name", sorted(MODULES))
def test_the_product_does_not_know_the_sandbox(name: str) -> None:
    """Nothing of the emulators is delivered."""
    assert not packages_known_to(name) & {"sandbox", "tests", "tools", "benchmarks"}
