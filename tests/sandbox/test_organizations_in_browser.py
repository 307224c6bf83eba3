"""The page of several organizations in a real browser: the worst of them stands first."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox import Sandbox, dealt, generate, many, wait_until
from sandbox.connector import Settings
from sandbox.instants import now_ms
from sandbox.live import Live
from sandbox.page.server import Page
from sandbox.scenarios import EVERYDAY
from sandbox.scene import Scene
from sandbox.self_hosted import ManyConnectorProcess
from tests.sandbox.stage import DAY_MS, NARROW, PATIENCE_MS, WIDE, Stage, report_of
from tools.browser import MISSING, browser

if not MISSING:
    from axe_playwright_python.sync_playwright import Axe

pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING)


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    """Return a run with fourteen organizations."""
    now, organizations = now_ms(), many(14)
    ids = [one.id for one in organizations]
    events = dealt(generate(500, now - DAY_MS, now, seed=1), ids)
    settings = Settings(history_hours=48)
    with (
        Sandbox(events, organizations=organizations, keep_texts=False) as sandbox,
        ManyConnectorProcess(sandbox.addresses, organizations, settings) as connector,
        Scene(sandbox, connector, organizations) as scene,
        Live(sandbox.jumpcloud, per_second=10, late_share=0.0, organizations=scene.target.live),
        browser() as chromium,
    ):
        page = Page(sandbox.errors)
        page.start()
        page.show(scene, EVERYDAY)
        assert wait_until(lambda: sandbox.intake.count > 500, timeout_seconds=60)
        yield Stage(scene, page, chromium)
        page.stop()


def test_of_several_organizations_the_worst_stands_first(stage: Stage) -> None:
    """In words, with how many are well; whoever uses the keyboard can scroll to all columns."""
    tab = stage.open()
    section = tab.get_by_role("region", name="The organizations").first
    tab.get_by_text("✓ 14 of 14 are well").wait_for()
    first = section.get_by_role("row").nth(1).inner_text()
    form = tab.locator("[data-harm=one-refused-intake-key]")
    form.get_by_role("combobox").select_option("30 s")
    form.get_by_role("button").click()
    tab.get_by_text("… 13 of 14 are well").wait_for(timeout=PATIENCE_MS)
    worst = section.get_by_role("row").nth(1).inner_text()
    tab.get_by_role("button", name="End it now: One intake key refused").click()
    tab.get_by_text("✓ 14 of 14 are well").wait_for(timeout=PATIENCE_MS)
    tab.close()

    assert "customer-0001" in first
    assert "✓ collecting" in first
    assert "customer-0014" in worst
    assert "… waits for the Sekoia intake" in worst


@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nobody_is_shut_out_of_the_organizations(
    stage: Stage, tmp_path: Path, scheme: str, viewport: dict[str, int]
) -> None:
    """Of the page's table and of the report's alike."""
    scene = stage.scene
    made = report_of(scene).write(tmp_path)
    tab = stage.open(viewport=viewport, color_scheme=scheme)
    tab.get_by_text("4 more, 4 of them well.").wait_for()
    found, width = Axe().run(tab), tab.evaluate("document.documentElement.scrollWidth")
    tab.goto(made.as_uri())
    of_report = Axe().run(tab)
    width = max(width, tab.evaluate("document.documentElement.scrollWidth"))
    headings = tab.get_by_role("heading").all_inner_texts()
    tab.close()

    assert found.violations_count == 0, found.generate_report()
    assert of_report.violations_count == 0, of_report.generate_report()
    assert width <= viewport["width"]
    assert "The organizations" in headings
