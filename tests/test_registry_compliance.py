"""The registry's rules on our tree, one by one."""

import ast
import json
import re
import struct
import tomllib
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

ROOT = Path(__file__).resolve().parent.parent
SECTIONS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
SEMVER = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")


def document(name: str) -> Any:
    """Return a JSON file of the root."""
    return json.loads((ROOT / name).read_text(encoding="utf-8"))


def changelog() -> str:
    """Return the changelog."""
    return (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def releases() -> list[tuple[tuple[int, ...], date]]:
    """Return the versions of the changelog with their dates, in its order."""
    found = re.findall(r"^## \[?([\d.]+)\]? - (\d{4}-\d{2}-\d{2})$", changelog(), re.MULTILINE)
    return [(tuple(map(int, v.split("."))), date.fromisoformat(day)) for v, day in found]


def test_the_module_keeps_its_identity() -> None:
    """Existing users upgrade in place."""
    manifest = document("manifest.json")

    assert manifest["uuid"] == "fb8568bd-8b80-4c84-bde4-2d24275ce34f"
    assert manifest["slug"] == "jumpcloud-directory-insights"
    assert manifest["categories"] == ["IAM"]
    assert manifest["supports_validation"] is True
    assert manifest["name"]
    assert manifest["description"]


def test_the_connector_keeps_its_identity() -> None:
    """Existing intakes go on with the new version."""
    connector = document("connector_jumpcloud_directory_insights.json")

    assert connector["uuid"] == "5de877fd-effb-5ebc-9358-8df26c06a140"
    assert connector["docker_parameters"] == "JumpcloudDirectoryInsightsConnector"
    assert connector["name"]
    assert connector["description"]


def test_the_configuration_keys_of_1_8_2_are_still_there() -> None:
    """A form that was filled in before goes on to be valid."""
    module = document("manifest.json")["configuration"]["properties"]
    connector = document("connector_jumpcloud_directory_insights.json")["arguments"]["properties"]

    assert {"base_url", "apikey"} <= set(module)
    assert {"intake_server", "intake_key", "chunk_size", "frequency", "service"} <= set(connector)


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("manifest.json", "configuration"),
        ("connector_jumpcloud_directory_insights.json", "arguments"),
        ("trigger_jumpcloud_directory_insights.json", "arguments"),
    ],
)
def test_a_form_is_a_draft_7_schema(name: str, part: str) -> None:
    """The platform reads no other draft."""
    schema = document(name)[part]

    Draft7Validator.check_schema(schema)

    assert schema["$schema"] == "http://json-schema.org/draft-07/schema#"
    assert schema["type"] == "object"
    assert "anyOf" not in json.dumps(schema)
    assert "$ref" not in json.dumps(schema)


def test_a_form_with_nothing_but_the_keys_is_valid() -> None:
    """Every other field may be left out."""
    module = Draft7Validator(document("manifest.json")["configuration"])
    connector = Draft7Validator(
        document("connector_jumpcloud_directory_insights.json")["arguments"]
    )

    assert module.is_valid({"apikey": "x"})
    assert module.is_valid({"client_id": "x", "client_secret": "x", "organization_id": "x"})
    assert not module.is_valid({"base_url": "https://api.example/"})
    assert connector.is_valid({"intake_key": "x"})
    assert not connector.is_valid({})


@pytest.mark.parametrize("path", sorted(ROOT.glob("*.json")), ids=lambda path: path.name)
def test_json_at_the_root_is_laid_out_as_the_registry_does(path: Path) -> None:
    """Two spaces, and no line break at the end."""
    text = path.read_text(encoding="utf-8")

    assert text == json.dumps(json.loads(text), indent=2)


def test_the_logo_is_a_small_square_png() -> None:
    """At most 50 KiB."""
    logo = (ROOT / "logo.png").read_bytes()

    width, height = struct.unpack(">II", logo[16:24])

    assert logo.startswith(b"\x89PNG\r\n\x1a\n")
    assert width == height
    assert len(logo) <= 50 * 1024


def test_the_changelog_opens_as_the_registry_wants() -> None:
    """The title, and the two sentences of Keep a Changelog."""
    words = " ".join(changelog().split())

    assert changelog().startswith("# Changelog\n")
    assert "All notable changes to this project will be documented in this file." in words
    assert (
        "The format is based on [Keep a Changelog](https://keepachangelog.com/en/1.0.0/),"
        " and this project adheres to"
        " [Semantic Versioning](https://semver.org/spec/v2.0.0.html)." in words
    )


def test_the_changelog_s_versions_descend() -> None:
    """The newest first, each with its day."""
    versions = [version for version, _ in releases()]
    days = [day for _, day in releases()]

    assert versions == sorted(set(versions), reverse=True)
    assert days == sorted(days, reverse=True)
    assert len(releases()) == len(re.findall(r"^## (?!\[?Unreleased)", changelog(), re.MULTILINE))


def test_the_changelog_has_only_the_standard_sections() -> None:
    """Six of them."""
    sections = re.findall(r"^###\s+(.*)$", changelog(), re.MULTILINE)

    assert sections
    assert set(sections) <= SECTIONS


def test_manifest_package_and_changelog_name_one_version() -> None:
    """A release is one number."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    version = document("manifest.json")["version"]

    assert SEMVER.fullmatch(version)
    assert version == project["version"]
    assert tuple(map(int, version.split("."))) == releases()[0][0]


@pytest.mark.parametrize(
    "name", ["pyproject.toml", "poetry.lock", "Dockerfile", "main.py", "CHANGELOG.md", "LICENSE"]
)
def test_a_file_that_the_registry_needs_is_there(name: str) -> None:
    """And it is not empty."""
    assert (ROOT / name).stat().st_size > 0


def test_there_are_tests() -> None:
    """In the place and with the names that the registry looks for."""
    assert list((ROOT / "tests").glob("test_*.py"))


def test_main_registers_each_manifest_s_command_by_its_name() -> None:
    """The registry reads the call, it does not run it."""
    tree = ast.parse((ROOT / "main.py").read_text(encoding="utf-8"))

    registered = {
        call.args[1].value
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        and ast.unparse(call.func) == "module.register"
        and isinstance(call.args[1], ast.Constant)
    }

    files = [*ROOT.glob("connector_*.json"), *ROOT.glob("trigger_*.json")]
    assert registered == {document(path.name)["docker_parameters"] for path in files}
