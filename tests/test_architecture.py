"""Imports run one way; what a wing must not know, it does not even load."""

import ast
import json
import subprocess
import sys
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "jumpcloud_modules"
MODULES = {
    ".".join(path.relative_to(ROOT / PACKAGE).with_suffix("").parts): path
    for path in sorted((ROOT / PACKAGE).rglob("*.py"))
}
"""Each file by its dotted name in the package, in whatever folder."""


@dataclass(frozen=True)
class Wing:
    """Say which other wings a wing may import, and which packages of others it may load."""

    knows: set[str] = field(default_factory=set)
    loads: set[str] = field(default_factory=set)


HTTP = {"requests", "urllib3"}
DISK = {"boto3", "botocore", "s3path", "smart_open"}
SDK = {"sekoia_automation", "pydantic", "sentry_sdk", "prometheus_client"}
INNER = {"values", "http", "state", "jumpcloud", "intake", "collecting"}

# From the inside to the outside.
WINGS = {
    "values": Wing(),
    "http": Wing({"values"}, HTTP),
    "state": Wing({"values"}, DISK | HTTP),  # s3path brings smart_open, and that requests
    "jumpcloud": Wing({"values", "http"}, HTTP),
    "intake": Wing({"values", "http"}, HTTP),
    "collecting": Wing({"values", "http"}),
    "assembly": Wing(INNER, HTTP | DISK),
    "organizations": Wing(INNER | {"assembly"}, HTTP | DISK),
    "sekoia": Wing(INNER | {"assembly", "organizations"}, HTTP | DISK | SDK),
    "commands": Wing(INNER | {"assembly", "organizations", "sekoia"}, HTTP | DISK | SDK),
}
OF_CERTIFICATES = "http.route"  # whom TLS trusts stands in a file that a variable names
OF_PATHS = {"read_bytes", "read_text", "write_bytes", "write_text", "iterdir", "unlink", "mkdir"}

AT_THE_TOP = {
    "__init__": "values",
    "errors": "values",
    "instants": "values",
    "events": "values",
    "checkpoint": "values",
    "queries": "values",
    "delivery": "values",
    "status": "values",
    "assembly": "assembly",
    "connections": "assembly",
    "status_report": "assembly",
    "failure_log": "assembly",
    "replay": "commands",
}
"""The wing of each file that is in no folder."""
OF_HTTP_IN_COLLECTING = {"http", "http.backoff", "http.retry"}
"""Waiting and trying again is for any end, the disk too."""


@cache
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


def texts(path: Path) -> str:
    """Return what a file holds in texts, one below the other."""
    constants = (
        node.value
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant)
    )
    return "\n".join(map(str, constants))


def calls_to_a_disk(path: Path) -> set[str]:
    """Return what a file calls of `open`, of `os`, and of paths by names that only they have."""
    called = {
        ast.unparse(node.func)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
    }
    return {
        name
        for name in called
        if name in {"open", "Path"}
        or name.startswith(("os.", "storage."))
        or name.rpartition(".")[2] in OF_PATHS
    }


def wing_of(name: str) -> str:
    """Return the wing of a module, by its folder or as it is listed."""
    return AT_THE_TOP.get(name) or name.partition(".")[0]


def rooms_known_to(name: str) -> set[str]:
    """Return the modules of the package that one of them imports."""
    return {room for room in MODULES if f"{PACKAGE}.{room}" in imports(MODULES[name])}


def packages_known_to(name: str) -> set[str]:
    """Return the packages that a module imports."""
    return {imported.partition(".")[0] for imported in imports(MODULES[name])}


@cache
def loaded_by(wing: str) -> frozenset[str]:
    """Return all modules that are loaded after a wing's were, in an interpreter of its own."""
    names = [
        f"{PACKAGE}.{name}".removesuffix(".__init__") for name in MODULES if wing_of(name) == wing
    ]
    program = (
        "import importlib, json, sys\n"
        f"for name in {names!r}: importlib.import_module(name)\n"
        "print(json.dumps(list(sys.modules)))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return frozenset(json.loads(ended.stdout))


def rooms_loaded_by(wing: str) -> set[str]:
    """Return the modules of the package that are loaded with a wing's, but for the package."""
    return {
        name.removeprefix(f"{PACKAGE}.")
        for name in loaded_by(wing)
        if name.startswith(f"{PACKAGE}.")
    }


@pytest.mark.parametrize("name", sorted(MODULES))
def test_every_room_is_in_a_wing(name: str) -> None:
    """By its folder; the few at the top are listed."""
    assert wing_of(name) in WINGS


@pytest.mark.parametrize("name", sorted(MODULES))
def test_imports_run_from_the_outside_inwards(name: str) -> None:
    """A room knows its own wing and those that its wing may know."""
    wing = wing_of(name)

    known = {wing_of(room) for room in rooms_known_to(name)}

    assert known <= WINGS[wing].knows | {wing}


@pytest.mark.parametrize("wing", WINGS)
def test_a_wing_loads_no_package_that_it_must_not_know(wing: str) -> None:
    """Neither by itself nor through another wing."""
    packages = {name.partition(".")[0] for name in loaded_by(wing)}

    assert packages & (HTTP | DISK | SDK) <= WINGS[wing].loads


@pytest.mark.parametrize("wing", WINGS)
def test_a_wing_loads_no_wing_that_it_must_not_know(wing: str) -> None:
    """What it is given comes as an object."""
    loaded = {wing_of(room) for room in rooms_loaded_by(wing)}

    assert loaded <= WINGS[wing].knows | {wing}


def test_collecting_knows_of_http_only_how_to_try_again() -> None:
    """The network is at the two ends."""
    of_http = {room for room in rooms_loaded_by("collecting") if wing_of(room) == "http"}

    assert of_http <= OF_HTTP_IN_COLLECTING


@pytest.mark.parametrize("wing", ["values", "http", "jumpcloud", "intake", "collecting"])
def test_only_the_state_touches_a_disk(wing: str) -> None:
    """No other wing makes a path, or asks one for anything; to name its type is no knowledge."""
    names = [name for name in MODULES if wing_of(name) == wing and name != OF_CERTIFICATES]

    assert {name: calls for name in names if (calls := calls_to_a_disk(MODULES[name]))} == {}


@pytest.mark.parametrize(
    ("word", "wing"),
    [
        ("/insights/directory", "jumpcloud"),
        ("search_after", "jumpcloud"),
        ("/batch", "intake"),
        ("event_ids", "intake"),
    ],
)
def test_only_one_wing_speaks_an_end_s_language(word: str, wing: str) -> None:
    """Its paths and fields stand in one wing's texts, and in no other's."""
    assert {wing_of(name) for name, path in MODULES.items() if word in texts(path)} == {wing}


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
