"""The page in a real browser: every button is pressed, and its effect is read from the page."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sandbox import Sandbox, generate, wait_until
from sandbox.connector import ConnectorProcess, Settings
from sandbox.faketime import LIBRARY
from sandbox.harm import HARMS
from sandbox.instants import now_ms
from sandbox.live import Live
from sandbox.page.server import Page
from sandbox.scenarios import EVERYDAY, SCENARIOS
from sandbox.scene import Scene
from sandbox.target import Harm
from tests.sandbox.stage import DAY_MS, NARROW, PATIENCE_MS, WIDE, Stage, report_of
from tools.browser import MISSING, browser

if not MISSING:
    from axe_playwright_python.sync_playwright import Axe

pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING)

CHOICES = {
    "kill": "1 s",
    "stop": "1 s",
    "late-events": "1 day",
    "burst": "1,000",
    "full-disk": "10 s",  # the third try that fails is the first to be told
}
"""What is chosen where it is not three seconds."""


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    """Return a run of the real connector that has caught up."""
    now = now_ms()
    settings = Settings(history_hours=48)
    with (
        Sandbox(generate(1_000, now - DAY_MS, now, seed=1), keep_texts=False) as sandbox,
        ConnectorProcess(sandbox.addresses, settings) as connector,
        Scene(sandbox, connector) as scene,
        Live(sandbox.jumpcloud, per_second=10, late_share=0.0),
        browser() as chromium,
    ):
        page = Page(sandbox.errors)
        page.start()
        page.show(scene, EVERYDAY)
        assert wait_until(lambda: sandbox.intake.count > 1_000, timeout_seconds=60)
        yield Stage(scene, page, chromium)
        page.stop()


def test_a_single_organization_is_no_table(tab: Any) -> None:
    """Nor is harm to one of several offered."""
    assert not tab.locator("#organizations").is_visible()
    assert not tab.locator("#to-organizations").is_visible()
    assert not tab.locator("[data-harm=one-hangs]").is_visible()


@pytest.fixture
def tab(stage: Stage) -> Iterator[Any]:
    """Return the page, opened; whatever it asks for elsewhere or complains about is an error."""
    tab = stage.open()
    asked: list[str] = []
    complaints: list[str] = []
    tab.on("request", lambda request: asked.append(request.url))
    tab.on("console", lambda message: complaints.append(message.text))
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    yield tab
    tab.close()
    assert not [url for url in asked if not url.startswith(stage.page.url)]
    # A harm that is refused is told in words; the browser notes its status, too.
    assert not [text for text in complaints if "Failed to load resource" not in text]


def _press(tab: Any, harm: Harm) -> None:
    form = tab.locator(f"[data-harm={harm.name}]")
    before = _cards(tab, harm).count()
    choice = CHOICES.get(harm.name, "3 s")
    if choice in harm.amount.choices:
        form.get_by_role("combobox").select_option(choice)
    form.get_by_role("button").click()
    _cards(tab, harm).nth(before).wait_for(state="attached")


def _cards(tab: Any, harm: Harm) -> Any:
    """Return the accounts of what was done, the newest first."""
    return tab.locator("article", has=tab.get_by_role("heading", name=harm.title))


def _wait_for(tab: Any, harm: Harm, state: str) -> Any:
    card = _cards(tab, harm).first
    card.locator(".state", has_text=re.compile(f"{state}$")).wait_for(timeout=PATIENCE_MS)
    return card


def _can_be_done(harm: Harm) -> bool:
    return harm.name != "clock-jump" or LIBRARY is not None


def test_every_button_of_harm_is_pressed_and_its_effect_read(tab: Any) -> None:
    """Those of the ends and of events at once, those of the process one after the other."""
    due = [harm for harm in HARMS if _can_be_done(harm)]
    buttons = tab.locator("#harms").get_by_role("button").all_text_contents()
    of_the_process = [harm for harm in due if harm.place == "connector"]
    at_once = [harm for harm in due if harm.place != "connector"]
    for harm in at_once:
        _press(tab, harm)
    for harm in reversed(of_the_process):  # a new process waits for no end that was down before
        _press(tab, harm)
        _wait_for(tab, harm, "recovered")
    accounts = {harm.name: _wait_for(tab, harm, "recovered").inner_text() for harm in due}

    assert buttons == [harm.title for place in _places() for harm in HARMS if harm.place == place]
    for harm in due:
        account = accounts[harm.name]
        assert harm.does in account
        assert harm.should in account
        assert re.search(r"Verdict: .* 0 lost, .* 0 altered", account), account
    assert "could not be written" in accounts["full-disk"] or "The state" in accounts["full-disk"]
    assert "Its process was started again" in accounts["kill"]
    assert "It set 1 event aside" in accounts["poison-event"]
    assert re.search(r"That befell \d+ of JumpCloud's answers", accounts["broken-bodies"])
    assert re.search(r"It found \d+ events late", accounts["late-events"])


def _places() -> list[str]:
    return list(dict.fromkeys(harm.place for harm in (*HARMS[:1], *HARMS)))


def test_harm_is_seen_while_it_lasts_and_ends_when_it_is_ended(tab: Any) -> None:
    """In the picture, beside the button and in the account; in words, not by a colour alone."""
    outage = next(harm for harm in HARMS if harm.name == "jumpcloud-outage")
    form = tab.locator("[data-harm=jumpcloud-outage]")
    form.get_by_role("combobox").select_option("2 min")

    form.get_by_role("button").click()
    tab.get_by_text("✗ JumpCloud down").wait_for()
    tab.get_by_text("… waits for JumpCloud, and tries again").wait_for()
    beside = form.locator(".state").inner_text()
    form.get_by_role("button").click()
    form.get_by_text("JumpCloud down: that is under way already.").wait_for()
    tab.get_by_role("button", name="End it now: JumpCloud down").click()
    account = _wait_for(tab, outage, "recovered").inner_text()
    tab.get_by_text("✓ collecting").wait_for(timeout=PATIENCE_MS)

    assert beside == "✗ under way"
    assert ("JumpCloud answers again" in account) != ("JumpCloud was tried" in account), account
    assert tab.get_by_role("button", name="End it now").count() == 0
    assert "Verdict:" in form.locator(".done").inner_text()


def test_all_is_reached_and_done_by_the_keyboard(tab: Any) -> None:
    """The focus stays where it was, and is seen."""
    burst = next(harm for harm in HARMS if harm.name == "burst")
    before = _cards(tab, burst).count()
    tab.get_by_role("link", name="Other scenarios").focus()
    for _ in range(40):
        tab.keyboard.press("Tab")
        if tab.evaluate("document.activeElement.textContent") == "Burst":
            break
    outline = tab.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    tab.keyboard.press("Enter")
    _cards(tab, burst).nth(before).wait_for(state="attached")
    _wait_for(tab, burst, "recovered")

    assert outline == "solid"
    assert tab.evaluate("document.activeElement.textContent") == "Burst"


def test_a_screen_reader_hears_what_changes_in_kind_and_no_figures(tab: Any) -> None:
    """While nothing is done it hears nothing."""
    spoken = """
        window.spoken = [];
        new MutationObserver(() => spoken.push(announcer.textContent))
            .observe(announcer, {childList: true, characterData: true, subtree: true});
    """
    tab.evaluate(spoken)
    tab.wait_for_timeout(2_000)
    in_peace = tab.evaluate("spoken.length")
    poison = next(harm for harm in HARMS if harm.name == "poison-event")
    _press(tab, poison)
    tab.locator("#announcer", has_text="Poison event, 1 event: recovered.").wait_for(
        timeout=PATIENCE_MS
    )

    assert in_peace == 0
    assert tab.evaluate("spoken.length") <= 4
    assert tab.locator("[aria-live], [role=status], [role=log], [role=alert]").count() == 1


def test_a_scenario_and_the_wish_to_stay_reach_whoever_runs_it(stage: Stage, tab: Any) -> None:
    """Each scenario has its button."""
    stage.page.ends_at = 1e12
    tab.get_by_role("button", name="Keep it running").click()
    assert wait_until(lambda: stage.page.wishes.stay)
    wishes = []
    for scenario in SCENARIOS:
        with tab.expect_response(f"**/wishes/{scenario.name}"):
            tab.get_by_role("button", name=scenario.title).click()
        wishes.append(stage.page.wishes.scenario)

    tab.get_by_role("button", name="Keep it running").wait_for(state="detached")
    assert wishes == list(SCENARIOS)


def test_the_log_has_an_end_and_leaves_polls_out_until_asked(stage: Stage, tab: Any) -> None:
    """So the page's memory does, however long it is open."""
    connector = stage.scene.connector
    assert connector is not None
    for round_number in range(3):
        with connector._output_path.open("a", encoding="utf-8") as output:
            output.writelines(
                f"2026-11-28 12:00:00 - Connector - INFO - Line {round_number * 150 + number}.\n"
                for number in range(150)
            )
        tab.get_by_text(f"Line {round_number * 150 + 149}.").wait_for(state="attached")
    lines, polls = tab.locator("#log li"), tab.locator("#log li.poll")
    polls.last.wait_for(state="attached")
    before = polls.last.is_visible()
    tab.get_by_label("the line of each poll, too").check()

    assert lines.count() == 200
    assert not before
    assert polls.last.is_visible()


def test_charts_are_drawn_and_told_in_words(tab: Any) -> None:
    """Each line has a path, and each picture a text of its own."""
    drawn = tab.locator("#charts svg[role=img]")
    drawn.first.locator("path[d*=L]").first.wait_for(state="attached")
    told = [svg.get_attribute("aria-label") for svg in drawn.all()]

    assert len(told) == 5
    assert all(re.search(r"at most", text) for text in told)
    assert tab.locator("#charts path.line-1[d*=L]").count() == 5


@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nobody_is_shut_out(
    stage: Stage, report: Callable[[], str], scheme: str, viewport: dict[str, int]
) -> None:
    """Of the page and of a report alike: axe finds nothing, nothing lies beside the screen."""
    tab = stage.open(viewport=viewport, color_scheme=scheme)
    tab.locator("#charts path.line-1[d*=L]").first.wait_for(state="attached")
    found = {"page": Axe().run(tab), "width": tab.evaluate("document.body.scrollWidth")}
    tab.goto(report())
    found |= {"report": Axe().run(tab)}
    wide = tab.evaluate("document.documentElement.scrollWidth")
    tab.close()

    assert found["page"].violations_count == 0, found["page"].generate_report()
    assert found["report"].violations_count == 0, found["report"].generate_report()
    assert max(found["width"], wide) <= viewport["width"]


@pytest.fixture(scope="module")
def report(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], str]:
    """Return what writes a report of the run up to now, and gives its address on the disk."""

    def written() -> str:
        return report_of(stage.scene).write(tmp_path_factory.mktemp("reports")).as_uri()

    return written
