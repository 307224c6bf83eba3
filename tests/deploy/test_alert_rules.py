"""The alert rules: their unit tests, and that what they name is there."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from jumpcloud_modules.sekoia.metrics import DESCRIPTIONS
from tests.test_documents import anchors

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy/prometheus"
RECORDED_OR_RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((FOLDER / "jumpcloud.rules.yml").read_text("utf-8"))["groups"]
    for rule in group["rules"]
]
RULES = [rule for rule in RECORDED_OR_RULES if "alert" in rule]
RECORDED = {rule["record"]: rule for rule in RECORDED_OR_RULES if "record" in rule}
CASES = yaml.safe_load((FOLDER / "jumpcloud.rules.test.yml").read_text("utf-8"))["tests"]

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None,
    reason="promtool is not installed (apt-get install prometheus)",
)
each_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])


def told_by_promtool(*arguments: str) -> tuple[int, str]:
    """Return promtool's exit status and what it says."""
    ended = subprocess.run(
        ["promtool", *arguments], cwd=FOLDER, capture_output=True, text=True, check=False
    )
    return ended.returncode, ended.stdout + ended.stderr


@needs_promtool
@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "rules", "--lint=all", "--lint-fatal", "jumpcloud.rules.yml"),
        ("check", "config", "prometheus.yml"),
        ("test", "rules", "jumpcloud.rules.test.yml"),
    ],
    ids=" ".join,
)
def test_promtool_finds_no_fault(arguments: tuple[str, ...]) -> None:
    """Neither in the syntax, nor in what fires when."""
    status, said = told_by_promtool(*arguments)

    assert status == 0, said


@needs_promtool
@each_rule
def test_a_rule_s_unit_test_would_notice_if_it_never_fired(
    rule: dict[str, Any], tmp_path: Path
) -> None:
    """Each rule in turn is made one that cannot fire: then a case fails."""
    text = (FOLDER / "jumpcloud.rules.yml").read_text("utf-8")
    silenced = yaml.safe_load(text)
    for other in silenced["groups"][0]["rules"]:
        if other.get("alert") == rule["alert"]:
            other["expr"] = "vector(1) < 0"
    (tmp_path / "jumpcloud.rules.yml").write_text(yaml.safe_dump(silenced), "utf-8")
    shutil.copy(FOLDER / "jumpcloud.rules.test.yml", tmp_path)

    status, said = told_by_promtool("test", "rules", str(tmp_path / "jumpcloud.rules.test.yml"))

    assert status != 0
    assert rule["alert"] in said


@each_rule
def test_a_rule_says_how_urgent_it_is_what_it_is_and_where_to_read_on(
    rule: dict[str, Any],
) -> None:
    """The runbook is a heading of a document in this repository."""
    path, _, anchor = rule["annotations"]["runbook"].partition("#")

    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert rule["annotations"].keys() == {"summary", "description", "runbook"}
    assert anchor == rule["alert"].lower()
    assert anchor in anchors(ROOT / path)


@each_rule
def test_a_rule_asks_for_metrics_that_there_are(rule: dict[str, Any]) -> None:
    """By the names that they are shown under, or that a rule records."""
    recorded = set(re.findall(r"jumpcloud:\w+:\w+", rule["expr"]))
    expressions = [rule["expr"], *(RECORDED[name]["expr"] for name in recorded)]
    asked = set(re.findall(r"symphony_module_\w+", " ".join(expressions)))

    assert asked <= {described.shown_as for described in DESCRIPTIONS}


@each_rule
def test_no_alert_carries_the_intake_key_of_a_failure(rule: dict[str, Any]) -> None:
    """On the platform the label is the key; what is summed up names the labels that stay."""
    expression = rule["expr"]
    if recorded := re.match(r"jumpcloud:\w+:\w+", expression):
        expression = RECORDED[recorded[0]]["expr"]
    is_of_prometheus = "symphony_module" not in expression

    of_one = r"(max|min|sum) by \(job, instance, organization\)"
    of_many = r"count by \(job, instance(, end, kind)?\)"
    assert is_of_prometheus or re.match(f"{of_one}|{of_many}", expression)
