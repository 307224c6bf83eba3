"""The dashboard: that it is what its tool writes, and its picture what was recorded."""

import json
import re

import pytest

from jumpcloud_modules.sekoia.metrics import DESCRIPTIONS, LABELLED_BY_ORGANIZATION
from tests.prometheus import RULES, sped_up
from tools import dashboard, dashboard_picture
from tools.dashboard import OF_ALL, OF_EACH, PANELS, PANELS_OF_ONE

RECORDING = json.loads(dashboard_picture.RECORDING.read_text(encoding="utf-8"))
OF_THE_CLIENT = {"process_cpu_seconds_total", "process_resident_memory_bytes"}
SUFFIXES = re.compile(r"_(bucket|count|sum)$")


def test_the_dashboard_is_what_its_tool_writes() -> None:
    """`make docs` was run after the last change."""
    assert dashboard.main(["--check"]) == 0


def test_the_picture_is_drawn_from_the_recorded_run() -> None:
    """`make docs` was run after the last recording."""
    assert dashboard_picture.main(["--check"]) == 0


def test_the_recorded_run_asked_what_the_dashboard_asks() -> None:
    """Panel by panel, each query with something to draw; causes stand beside it."""
    recorded = {panel["title"]: panel["series"] for panel in RECORDING["panels"]}

    assert recorded.keys() == {panel.title for panel in PANELS_OF_ONE}
    for panel in PANELS_OF_ONE:
        asked = {series["query"] for series in recorded[panel.title] if series["points"]}
        assert asked == {query.expression for query in panel.queries}, panel.title
    assert len({cause["alert"] for cause in RECORDING["causes"]}) >= 5


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.title)
def test_a_panel_asks_for_metrics_that_there_are(panel: dashboard.Panel) -> None:
    """And only for those of the chosen job and instances, and organizations where it has them."""
    names_of = {described.shown_as: described.name for described in DESCRIPTIONS}
    for query in panel.queries:
        asked = re.findall(r"\b((?:symphony_module|process)_\w+)(\{.*?\})", query.expression)
        assert asked
        assert query.expression.count("{") == len(asked)
        for name, samples in asked:
            known = name if name in OF_THE_CLIENT else names_of[SUFFIXES.sub("", name)]
            assert samples == (OF_EACH if known in LABELLED_BY_ORGANIZATION else OF_ALL)


def test_the_dashboard_is_by_organization_and_works_without_any() -> None:
    """All of them match also samples without the label; the worst off come first in a table."""
    document = json.loads(dashboard.document())
    (variable,) = [v for v in document["templating"]["list"] if v["name"] == "organization"]
    (rows,) = [panel for panel in document["panels"] if panel["type"] == "table"]

    assert variable["includeAll"] is True
    assert variable["multi"] is True
    assert variable["allValue"] == ".*"
    assert {target["format"] for target in rows["targets"]} == {"table"}
    assert all(target["instant"] for target in rows["targets"])
    assert [(by["displayName"], by["desc"]) for by in rows["options"]["sortBy"]] == [
        ("failing", True),
        ("behind, s", True),
    ]


def test_only_time_is_sped_up_for_the_tests() -> None:
    """What a rule asks for, and limits that are no seconds, stay."""
    text = """
groups:
  - name: a
    rules:
      - alert: A
        expr: max by (job) (x_seconds) > 900 and y > 900 and changes(z[30m]) == 0
        for: 2m
      - alert: B
        expr: max(x_seconds) > 0
"""

    first, second = sped_up(text, 60)["groups"][0]["rules"]

    assert first == {
        "alert": "A",
        "expr": "max by (job) (x_seconds) > 15 and y > 900 and changes(z[30000ms]) == 0",
        "for": "2000ms",
    }
    assert second["expr"] == "max(x_seconds) > 0"


def test_every_duration_of_the_rules_is_sped_up() -> None:
    """None is left as it was."""
    rules = sped_up(RULES.read_text(encoding="utf-8"))["groups"][0]["rules"]

    assert not [rule for rule in rules if re.search(r"\[\d+[smh]\]", rule["expr"])]
    assert all(rule.get("for", "1ms").endswith("ms") for rule in rules)
