"""A sentence for each bad value of a form: the field, what is wrong, what is allowed."""

from functools import cache
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from jumpcloud_modules.sekoia.configuration import ConnectorConfiguration, ModuleConfiguration
from jumpcloud_modules.sekoia.form_values import FAULT, quoted


def explain(error: ValidationError) -> list[str]:
    """Return a sentence for each bad value: the field, the fault, what is allowed."""
    bounds = _bounds().get(error.title, {})
    faults = (details for details in error.errors() if details["type"] != "none_required")
    return [_sentence(details, bounds) for details in faults]


def _sentence(details: ErrorDetails, bounds: dict[str, str]) -> str:
    if not details["loc"]:
        return "The configuration is not a JSON object with a value for each field."
    name = str(details["loc"][0])
    if details["type"] == FAULT:
        return f"{name}: {_said(details)}"
    if details["type"] == "missing":
        return f"{name}: is missing; give a value."
    if name in bounds:
        return f"{name}: {quoted(details['input'])} is not possible; give {bounds[name]}."
    return f"{name}: is not possible ({details['type'].replace('_', ' ')})."


def _said(details: ErrorDetails) -> str:
    return str(details.get("ctx", {}).get("message", details["msg"]))


@cache
def _bounds() -> dict[str, dict[str, str]]:
    """Return what each whole number may be, by model and field; none of them is a secret."""
    models = (ModuleConfiguration, ConnectorConfiguration)
    return {model.__name__: _bounds_of(model.model_json_schema()) for model in models}


def _bounds_of(schema: dict[str, Any]) -> dict[str, str]:
    return {
        name: f"a whole number from {field['minimum']} to {field['maximum']}"
        for name, field in schema["properties"].items()
        if field["type"] == "integer"
    }
