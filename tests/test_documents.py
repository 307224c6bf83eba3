"""The documents, held to the code: generated parts, links, commands, names."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from jumpcloud_modules.jumpcloud.insights import SERVICES
from tools import documents as generated

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [*generated.documents(ROOT), ROOT / "CHANGELOG.md"]
GUARANTEES = ROOT / "docs/guarantees.md"
PACKAGE = ROOT / "jumpcloud_modules"


def read(name: str) -> str:
    """Return a file's text."""
    return (ROOT / name).read_text(encoding="utf-8")


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


# What is generated


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Make a tree with one document."""
    (tmp_path / "README.md").write_text(
        "before\n<!-- generated: targets -->\nold\n<!-- end -->\nafter\n", encoding="utf-8"
    )
    return tmp_path


def test_the_documents_are_what_the_code_says() -> None:
    """`make docs` was run after the last change."""
    assert generated.differing(ROOT) == []


def test_each_part_is_shown_once() -> None:
    """What is generated is read somewhere, and nothing stands in two places."""
    shown = [name for path in DOCUMENTS for name in generated.names_in(path.read_text("utf-8"))]

    assert sorted(shown) == sorted(generated.PARTS)


def test_what_people_wrote_around_a_part_stays(tree: Path) -> None:
    """And what was written passes the check."""
    assert generated.main([], root=tree) == 0

    text = (tree / "README.md").read_text(encoding="utf-8")
    assert text.startswith("before\n<!-- generated: targets -->\n\n| Command |")
    assert text.endswith("|\n\n<!-- end -->\nafter\n")
    assert "old" not in text.splitlines()
    assert generated.main(["--check"], root=tree) == 0


def test_check_names_the_document_that_differs(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The sentence says what to run."""
    status = generated.main(["--check"], root=tree)

    assert status == 1
    assert capsys.readouterr().err == "README.md differs from the code: run make docs\n"


def test_a_part_that_nothing_generates_is_named() -> None:
    """A name that is mistyped does not leave an old table behind."""
    with pytest.raises(generated.UnknownPartError, match="nobody"):
        generated.filled("<!-- generated: nobody -->\n<!-- end -->", generated.PARTS)


@pytest.mark.parametrize(
    ("constant", "value", "told"),
    [
        ("X_MS", 300_000, "5 min"),
        ("X_SECONDS", 2.5, "2.5 s"),
        ("X_SECONDS", 86_400, "1 d"),
        ("X_BYTES", 250_000, "250,000 bytes"),
        ("X_BYTES", 7 << 19, "3.5 MiB"),
        ("X", 40_000, "40,000"),
        ("X", 0.35, "0.35"),
    ],
)
def test_a_constant_is_told_with_its_unit(constant: str, value: float, told: str) -> None:
    """As its name tells it, and exactly."""
    assert generated.readable(constant, value) == told


# What a reader types


def targets() -> dict[str, str]:
    """Return the Makefile's targets and what `make help` says of them."""
    return dict(re.findall(r"^([a-z-]+):.*?## (.*)$", read("Makefile"), re.MULTILINE))


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


def test_the_readme_stays_short() -> None:
    """A newcomer reads it to its end; the rest is in docs/."""
    assert len(read("README.md").splitlines()) <= 150


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


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (path, name.rpartition(".")[2])
        for _, where in rows_under("CONTRIBUTING.md", "Where it is decided")
        for path, names in re.findall(r"\(([^)]+)\): (`[^;]+`)", where)
        for name in names_in(names)
    ],
)
def test_what_one_looks_for_is_where_it_is_said_to_be(path: str, name: str) -> None:
    """A class, a function or a table, by its name."""
    assert re.search(rf"^ *(?:class|def) {name}\b|^{name}\b.*=", read(path), re.MULTILINE)


def test_every_document_is_found_by_a_question() -> None:
    """docs/index.md leads to it in one click."""
    led_to = {
        (path.parent / target.partition("#")[0]).resolve()
        for path, target in links()
        if path.name == "index.md"
    }

    assert set(DOCUMENTS) <= led_to | {ROOT / "docs/index.md"}


# The services


def test_every_service_that_is_known_is_explained() -> None:
    """As many as the connector's form names, but for the one that stands for all."""
    named = {name for line in read("docs/services.md").splitlines() for name in first_cell(line)}

    assert set(SERVICES) - {"all"} <= named


def first_cell(line: str) -> list[str]:
    """Return the names in the first cell of a table's row."""
    return names_in(cells(line)[0]) if line.startswith("|") else []


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
