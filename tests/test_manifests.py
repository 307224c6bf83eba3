"""The manifests, held to the configuration models."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from jumpcloud_modules.sekoia.configuration import ConnectorConfiguration, ModuleConfiguration
from tools import chart_schema
from tools.manifests import ROOT, differing, main, manifests

FILES = (
    "manifest.json",
    "connector_jumpcloud_directory_insights.json",
    "trigger_jumpcloud_directory_insights.json",
    "module.json",
)

MODELS: dict[str, type[BaseModel]] = {
    "module": ModuleConfiguration,
    "connector": ConnectorConfiguration,
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Copy what the tool reads."""
    for path in ("pyproject.toml", chart_schema.PATH):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes((ROOT / path).read_bytes())
    return tmp_path


def forms() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the schema of each form."""
    written = manifests("1.0.0")
    yield "module", written["manifest.json"]["configuration"]
    yield "connector", written["connector_jumpcloud_directory_insights.json"]["arguments"]


def fields() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every field of both forms."""
    for form, schema in forms():
        yield from ((f"{form}.{name}", field) for name, field in schema["properties"].items())


def test_the_manifests_are_what_the_models_say() -> None:
    """`make manifests` was run after the last change."""
    assert differing(ROOT) == []


def test_check_names_the_file_that_differs(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The sentence says what to run."""
    main([], root=tree)
    trigger = tree / FILES[2]
    trigger.write_text(trigger.read_text(encoding="utf-8") + "\n", encoding="utf-8")

    status = main(["--check"], root=tree)

    assert status == 1
    assert capsys.readouterr().err == f"{FILES[2]} differs from the models: run make manifests\n"


def test_check_notices_a_file_that_is_missing(tree: Path) -> None:
    """A manifest that is not there is no manifest."""
    main([], root=tree)
    (tree / FILES[0]).unlink()

    assert main(["--check"], root=tree) == 1


def test_what_was_written_passes_the_check(tree: Path) -> None:
    """Writing and checking agree."""
    assert main([], root=tree) == 0
    assert main(["--check"], root=tree) == 0
    assert sorted(path.name for path in tree.glob("*.json")) == sorted(FILES)


def test_a_field_that_the_chart_does_not_know_is_noticed(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The chart refuses what its schema does not name, once for all and once in the list."""
    main([], root=tree)
    schema = json.loads((tree / chart_schema.PATH).read_bytes())
    values = schema["properties"]
    entry = values["organizations"]["properties"]["list"]["items"]["properties"]
    del values["connector"]["properties"]["frequency"], entry["frequency"]
    (tree / chart_schema.PATH).write_text(json.dumps(schema), encoding="utf-8")

    assert main(["--check"], root=tree) == 1
    assert chart_schema.PATH in capsys.readouterr().err

    assert main([], root=tree) == 0
    assert (tree / chart_schema.PATH).read_bytes() == (ROOT / chart_schema.PATH).read_bytes()


def test_the_trigger_is_the_connector_s_twin() -> None:
    """Playbooks that start with the connector go on working."""
    connector, trigger = (json.loads((ROOT / name).read_bytes()) for name in FILES[1:3])

    assert trigger == connector
    assert trigger["results"] == {}


@pytest.mark.parametrize(("name", "field"), list(fields()), ids=[name for name, _ in fields()])
def test_a_field_is_one_that_the_form_can_show(name: str, field: dict[str, Any]) -> None:
    """Plain types, with words for the person who fills it in."""
    assert field["type"] in {"string", "integer", "boolean"}
    assert set(field) <= {"type", "title", "description", "default", "minimum", "maximum", "enum"}
    assert field.get("default", 0) is not None
    assert field["title"]
    assert field["description"].endswith(".")


@pytest.mark.parametrize(
    ("name", "field"), [(n, f) for n, f in fields() if f["type"] == "integer"], ids=str
)
def test_the_bounds_of_a_form_are_those_of_the_model(name: str, field: dict[str, Any]) -> None:
    """The form refuses what the model would refuse, and nothing else."""
    allowed = [field["minimum"], field["default"], field.get("maximum", 10**9)]
    beyond = [field["minimum"] - 1, *([field["maximum"] + 1] if "maximum" in field else [])]

    assert all(is_accepted(name, value) for value in allowed)
    assert not any(is_accepted(name, value) for value in beyond)


def is_accepted(name: str, value: object) -> bool:
    """Tell whether the model takes a value for a field, beside the keys."""
    form, _, field = name.partition(".")
    try:
        MODELS[form].model_validate({"apikey": "key", "intake_key": "key", field: value})
    except ValidationError:
        return False
    return True


def test_the_forms_ask_for_every_value_of_the_models() -> None:
    """Nothing that can be configured is missing, and the keys have to be given."""
    module, connector = (schema for _, schema in forms())

    assert set(module["properties"]) == set(ModuleConfiguration.model_fields)
    assert set(connector["properties"]) == set(ConnectorConfiguration.model_fields)
    assert module["required"] == []  # an API key or a service account: no schema here says "or"
    assert module["secrets"] == ["apikey", "client_secret"]
    assert connector["required"] == ["intake_key"]
    assert "secrets" not in connector
