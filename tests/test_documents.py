"""The documents, held to the code: tables, links, commands, names."""

import ast
import importlib
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from jumpcloud_modules.commands.run import VARIABLE
from jumpcloud_modules.intake import client as intake
from jumpcloud_modules.jumpcloud import client as jumpcloud
from jumpcloud_modules.sekoia.configuration import ConnectorConfiguration, ModuleConfiguration

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "sandbox/README.md",
]
GUARANTEES = ROOT / "docs/guarantees.md"
PACKAGE = ROOT / "jumpcloud_modules"


def read(name: str) -> str:
    """Return a file's text."""
    return (ROOT / name).read_text(encoding="utf-8")


def modules() -> list[Path]:
    """Return the product's files, in whatever folder, in the order of their paths."""
    return sorted(PACKAGE.rglob("*.py"), key=lambda path: str(path.relative_to(PACKAGE)))


def prose(text: str) -> str:
    """Return a document without its blocks of code."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def rows_under(name: str, heading: str, first_column: str = "") -> list[list[str]]:
    """Return the cells of the table under a heading whose first column is called so."""
    section = re.split(rf"^#+ {re.escape(heading)}$", read(name), flags=re.MULTILINE)[1]
    section = re.split(r"^#+ ", section, maxsplit=1, flags=re.MULTILINE)[0]
    for table in re.findall(r"(?:^\|.*\n)+", section, re.MULTILINE):
        header, _, *rows = [cells(line) for line in table.splitlines()]
        if header[0].startswith(first_column):
            return rows
    raise AssertionError(f"{name} has no such table under {heading}")


def cells(line: str) -> list[str]:
    """Split a line of a table."""
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def names_in(cell: str) -> list[str]:
    """Return what stands between backticks."""
    return re.findall(r"`([^`]+)`", cell)


# The configuration


def fields_of(model: type[BaseModel]) -> list[list[str]]:
    """Return a form's fields as the README's table has them."""
    schema = model.model_json_schema()
    return [row_of(name, field, schema) for name, field in schema["properties"].items()]


def row_of(name: str, field: dict[str, Any], schema: dict[str, Any]) -> list[str]:
    """Return the cells of one field."""
    if name in schema["required"]:
        default = "required, secret" if name in schema.get("secrets", []) else "required"
    else:
        default = f"`{field['default']}`" if "default" in field else ""
    allowed = ""
    if "minimum" in field:
        above = f"to {field['maximum']}" if "maximum" in field else "or more"
        allowed = f"{field['minimum']} {above}"
    return [f"`{name}`", default, allowed, field["description"]]


@pytest.mark.parametrize(
    ("heading", "model"),
    [
        ("The account's form", ModuleConfiguration),
        ("The connector's form", ConnectorConfiguration),
    ],
)
def test_the_readme_shows_every_field_of_a_form(heading: str, model: type[BaseModel]) -> None:
    """With its default, its bounds and its own description, in the form's order."""
    assert rows_under("README.md", heading, "Key") == fields_of(model)


def test_the_readme_shows_every_variable_of_module_json() -> None:
    """With the default that stands there and the field that it fills."""
    written = {
        variable["name"]: (variable["default"], name)
        for part in json.loads(read("module.json")).values()
        for name, text in part.items()
        for variable in VARIABLE.finditer(text)
    }
    shown = {names_in(row[0])[0]: row for row in rows_under("README.md", "Self-hosted", "Variable")}

    assert written.keys() <= shown.keys()
    for variable, (default, name) in written.items():
        expected = {None: "required", "": ""}.get(default, f"`{default}`")
        assert shown[variable][1] == expected, variable
        assert names_in(shown[variable][2])[0] == name


@pytest.mark.parametrize(
    ("end", "remedies"),
    [("JumpCloud answers", jumpcloud.REMEDIES), ("The intake answers", intake.REMEDIES)],
)
def test_the_readme_gives_the_remedies_that_the_log_gives(
    end: str, remedies: dict[int, str]
) -> None:
    """Whoever searches for the line finds it."""
    shown = {row[0]: row[2] for row in rows_under("README.md", "When it is refused", end)}

    assert {str(status): shown.get(str(status)) for status in remedies} == {
        str(status): remedy for status, remedy in remedies.items()
    }


# What a reader types


def targets() -> dict[str, str]:
    """Return the Makefile's targets and what `make help` says of them."""
    return dict(re.findall(r"^([a-z-]+):.*?## (.*)$", read("Makefile"), re.MULTILINE))


def test_the_readme_lists_every_target() -> None:
    """In the words of `make help`."""
    shown = {names_in(row[0])[0]: row[1] for row in rows_under("README.md", "Development")}

    assert shown == {f"make {target}": said for target, said in targets().items()}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_of_a_document_is_a_target(path: Path) -> None:
    """What it tells to type can be typed."""
    told = re.findall(r"(?:^|`|\$ )make ([a-z][a-z-]*)", path.read_text("utf-8"), re.MULTILINE)

    assert set(told) <= targets().keys()


def test_every_module_that_a_document_runs_exists() -> None:
    """As `python -m` finds it."""
    named = {
        name
        for path in DOCUMENTS
        for name in re.findall(r"python -m ([a-z_.]+)", path.read_text(encoding="utf-8"))
        if name.startswith(("jumpcloud_modules", "sandbox", "benchmarks", "tests", "tools"))
    }

    assert "jumpcloud_modules.replay" in named
    for name in named:
        path = ROOT / name.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), name


# Links


def links() -> Iterator[tuple[Path, str]]:
    """Yield each link of each document that leads within the tree."""
    for path in DOCUMENTS:
        for target in re.findall(r"\]\(([^)\s]+)\)", prose(path.read_text(encoding="utf-8"))):
            if "://" not in target:
                yield path, target


def anchors(path: Path) -> set[str]:
    """Return the anchors of a document's headings."""
    headings = re.findall(r"^#+ (.+)$", prose(path.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(("path", "target"), list(links()), ids=str)
def test_a_link_leads_somewhere(path: Path, target: str) -> None:
    """To a file, and to a heading in it."""
    name, _, anchor = target.partition("#")
    leads_to = (path.parent / name).resolve() if name else path

    assert leads_to.exists()
    assert not anchor or anchor in anchors(leads_to)


# The design


def test_the_module_map_names_the_modules_that_there_are() -> None:
    """One line each, in their order."""
    shown = [names_in(row[0])[0] for row in rows_under("docs/design.md", "Modules")]

    assert shown == [str(path.relative_to(PACKAGE)) for path in modules()]


@pytest.mark.parametrize(
    ("name", "value"), [row[:2] for row in rows_under("docs/design.md", "Numbers")]
)
def test_a_number_is_the_constant_s(name: str, value: str) -> None:
    """Where one was changed, docs/design.md tells the new one."""
    module, _, constant = names_in(name)[0].rpartition(".")
    told = float(value.replace(",", ""))

    assert told == getattr(importlib.import_module(f"jumpcloud_modules.{module}"), constant)


# Operations


def texts_of_the_product() -> Iterator[str]:
    """Yield each text in the code, with `…` for what is filled in."""
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                yield "".join(
                    str(part.value) if isinstance(part, ast.Constant) else "…"
                    for part in node.values
                )
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


@pytest.mark.parametrize(
    "line",
    [
        line
        for row in rows_under("docs/operations.md", "What the log says")
        for line in names_in(row[1])
    ]
    + [
        line
        for row in rows_under("docs/operations.md", "The quarantine", "Reason")
        for line in names_in(row[0])
    ],
)
def test_a_line_that_is_explained_is_one_that_the_product_writes(line: str) -> None:
    """Each of its pieces stands in the code."""
    texts = "\n".join(texts_of_the_product())
    pieces = [piece for piece in re.split("…|250000", line) if len(piece.strip()) > 3]

    assert pieces
    assert [piece for piece in pieces if piece.strip() not in texts] == []


# The guarantees


def rows_of_guarantees() -> list[list[str]]:
    """Return the rows that name a test."""
    lines = GUARANTEES.read_text(encoding="utf-8").splitlines()
    return [cells(line) for line in lines if line.startswith("|") and "::" in line]


def names_of_tests(path: Path) -> set[str]:
    """Return the names of a file's tests: functions, and cases that a name is given to."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    functions = {node.name for node in body if isinstance(node, ast.FunctionDef)}
    named = {
        target.id
        for node in body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    return {name for name in functions | named if name.lower().startswith("test")}


@pytest.mark.parametrize(
    "test", sorted({test for row in rows_of_guarantees() for test in names_in(row[2])})
)
def test_a_guarantee_names_a_test_that_exists(test: str) -> None:
    """By its file and its name."""
    file, _, name = test.partition("::")

    assert name in names_of_tests(ROOT / file)


def test_every_guarantee_says_what_fails_what_happens_and_who_shows_it() -> None:
    """No row is left half empty."""
    lines = GUARANTEES.read_text(encoding="utf-8").split("## Everything together")[1].splitlines()
    rows = [cells(line) for line in lines if line.startswith("| ")]

    assert len(rows_of_guarantees()) > 50
    for row in rows:
        assert row[0] == "What fails" or (len(row) == 3 and all(row) and "::" in row[2]), row


# The changelog


def test_the_changelog_s_newest_version_is_the_project_s() -> None:
    """Whoever upgrades reads what changes."""
    newest = re.findall(r"^## \[([^\]]+)\]", read("CHANGELOG.md"), re.MULTILINE)[0]

    assert newest == tomllib.loads(read("pyproject.toml"))["project"]["version"]
