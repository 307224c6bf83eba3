"""The site of the documents: what is laid out for it, and what the built pages ask for."""

import importlib.util
import json
import re
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tools import site
from tools.documents import ROOT

LOADED_BY = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}
NOT_LOADED = {"canonical", "next", "prev", "alternate"}

needs_mkdocs = pytest.mark.skipif(
    importlib.util.find_spec("mkdocs") is None, reason="mkdocs is not installed: make site"
)


class Loads(HTMLParser):
    """Collect the addresses that a browser asks for by itself when it shows a page."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        address = given.get(LOADED_BY.get(tag, ""))
        if address and given.get("rel") not in NOT_LOADED:
            self.addresses.append(address)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the site in a folder of its own."""
    folder = tmp_path_factory.mktemp("site")
    assert site.main([str(folder)]) == 0
    return folder


def loaded(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield what each page and each style sheet of a site has a browser load."""
    for page in folder.rglob("*.html"):
        loads = Loads()
        loads.feed(page.read_text(encoding="utf-8"))
        yield from ((page, address) for address in loads.addresses)
    for sheet in folder.rglob("*.css"):
        text = sheet.read_text(encoding="utf-8")
        for address in re.findall(r"(?:@import\s*|url\()\s*[\"']?([^\"')\s]+)", text):
            yield sheet, address


def test_documents_are_laid_out_where_their_links_lead(tmp_path: Path) -> None:
    """With the pictures and the code that they link to, and nothing else."""
    site.lay_out(ROOT, tmp_path / "laid-out")

    laid_out = {
        str(path.relative_to(tmp_path / "laid-out"))
        for path in (tmp_path / "laid-out").rglob("*")
        if path.is_file()
    }
    assert {"README.md", "docs/index.md", "docs/performance.svg", "main.py"} <= laid_out
    assert "jumpcloud_modules/errors.py" not in laid_out


def test_a_second_time_nothing_is_left_of_the_first(tmp_path: Path) -> None:
    """A document that was removed is no page any more."""
    (tmp_path / "README.md").write_text("Read [this](docs/this.txt).\n")
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/this.txt").write_text("this\n")
    target = tmp_path / "laid-out"
    target.mkdir()
    (target / "removed.md").write_text("old\n")

    site.lay_out(tmp_path, target)

    assert sorted(str(p.relative_to(target)) for p in target.rglob("*") if p.is_file()) == [
        "CHANGELOG.md",
        "README.md",
        "docs/this.txt",
    ]


@needs_mkdocs
def test_the_site_has_each_document_as_a_page_that_search_finds(built: Path) -> None:
    """By the words of its text."""
    index = json.loads((built / "search/search_index.json").read_text(encoding="utf-8"))
    places = {entry["location"].partition("#")[0] for entry in index["docs"]}

    for page in site.pages(ROOT):
        path = page.relative_to(ROOT).with_suffix(".html")
        assert str(path.with_name("index.html") if path.stem == "README" else path) in places
    assert any("403" in entry["title"] for entry in index["docs"])


@needs_mkdocs
def test_the_site_asks_nothing_of_another_host(built: Path) -> None:
    """No font, no script, no picture: it can be read where nothing else can be reached."""
    found = list(loaded(built))

    assert len(found) > 100
    assert [entry for entry in found if re.match(r"(?:https?:)?//", entry[1])] == []


@needs_mkdocs
@pytest.mark.parametrize("link", ["docs/nowhere.md", "docs/setup.md#nowhere"])
def test_a_link_that_leads_nowhere_fails(
    tmp_path: Path, link: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """To a page that there is not, and to a heading that there is not."""
    site.lay_out(ROOT, tmp_path / "root")
    shutil.copyfile(ROOT / "mkdocs.yml", tmp_path / "root/mkdocs.yml")
    with (tmp_path / "root/README.md").open("a", encoding="utf-8") as readme:
        readme.write(f"\nRead [this]({link}).\n")

    status = site.main([str(tmp_path / "site")], tmp_path / "root")

    assert status != 0
    assert "nowhere" in capfd.readouterr().err
