"""Write what the configuration models say into the manifests, module.json and the chart's schema.

With --check, tell which of them differs.

::

    python -m tools.manifests [--check]
"""

import argparse
import json
import sys
import tomllib
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from jumpcloud_modules.sekoia.configuration import ConnectorConfiguration, ModuleConfiguration
from tools import chart_schema

ROOT = Path(__file__).resolve().parent.parent
DRAFT_7 = "http://json-schema.org/draft-07/schema#"

# The identity that existing users have, so that they upgrade in place.
MODULE_UUID = "fb8568bd-8b80-4c84-bde4-2d24275ce34f"
MODULE_SLUG = "jumpcloud-directory-insights"
CONNECTOR_UUID = "5de877fd-effb-5ebc-9358-8df26c06a140"
CONNECTOR_COMMAND = "JumpcloudDirectoryInsightsConnector"
NAME = "JumpCloud Directory Insights"

# The variables of the self-hosted connector that are not the field's own name in capitals.
VARIABLES = {
    "module": {
        "apikey": "JUMPCLOUD_API_KEY",
        "base_url": "JUMPCLOUD_BASE_URL",
        "client_id": "JUMPCLOUD_CLIENT_ID",
        "client_secret": "JUMPCLOUD_CLIENT_SECRET",
        "organization_id": "JUMPCLOUD_ORG_ID",
        "provider_id": "JUMPCLOUD_PROVIDER_ID",
    },
    "connector": {"intake_key": "SEKOIA_INTAKE_KEY", "intake_server": "SEKOIA_INTAKE_URL"},
}
WITHOUT_VARIABLE = {"connector": {"organization_id"}}  # the account's is enough
DEFAULT_INTAKE = "https://intake.sekoia.io"  # only the platform knows the address of its region

MODULE_DESCRIPTION = (
    "JumpCloud is a cloud directory that manages the identities, devices and accesses of an"
    " organization. This module collects its Directory Insights events."
)
CONNECTOR_DESCRIPTION = (
    "Collect the events of JumpCloud Directory Insights, late ones included, and push each of"
    " them as it came to a Sekoia intake."
)


def manifests(version: str) -> dict[str, dict[str, Any]]:
    """Return each manifest by its file's name."""
    connector = {
        "description": CONNECTOR_DESCRIPTION,
        "docker_parameters": CONNECTOR_COMMAND,
        "name": NAME,
        "uuid": CONNECTOR_UUID,
        "arguments": _schema(ConnectorConfiguration),
        "results": {},
    }
    return {
        "manifest.json": {
            "configuration": _schema(ModuleConfiguration),
            "description": MODULE_DESCRIPTION,
            "name": NAME,
            "uuid": MODULE_UUID,
            "slug": MODULE_SLUG,
            "version": version,
            "categories": ["IAM"],
            "supports_validation": True,
        },
        "connector_jumpcloud_directory_insights.json": connector,
        # Playbooks that have the connector as their trigger go on working.
        "trigger_jumpcloud_directory_insights.json": connector,
        "module.json": environment_document(),
    }


def environment_document() -> dict[str, dict[str, str]]:
    """Return the self-hosted connector's configuration: each field, filled from a variable."""
    return {
        "module": _from_environment("module", ModuleConfiguration),
        "connector": _from_environment("connector", ConnectorConfiguration),
    }


def _from_environment(part: str, model: type[BaseModel]) -> dict[str, str]:
    schema = model.model_json_schema()
    return {
        name: _variable(VARIABLES[part].get(name, name.upper()), name, schema)
        for name in schema["properties"]
        if name not in WITHOUT_VARIABLE.get(part, ())
    }


def _variable(variable: str, name: str, schema: dict[str, Any]) -> str:
    default = schema["properties"][name].get("default", "")
    return f"${{{variable}:-{DEFAULT_INTAKE if name == 'intake_server' else default}}}"


def version_of(root: Path) -> str:
    """Return the version that pyproject.toml names."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return str(project["version"])


def text_of(manifest: dict[str, Any]) -> str:
    """Return a manifest as the registry lays it out: two spaces, no line break at the end."""
    return json.dumps(manifest, indent=2)


def texts(root: Path) -> dict[str, str]:
    """Return the text of each file by its path."""
    by_hand = (root / chart_schema.PATH).read_text(encoding="utf-8")
    return {
        **{name: text_of(manifest) for name, manifest in manifests(version_of(root)).items()},
        chart_schema.PATH: chart_schema.with_fields_of_the_forms(by_hand),
    }


def differing(root: Path) -> list[str]:
    """Return the paths of the files that are not what the models say."""
    return [
        path
        for path, text in texts(root).items()
        if not (root / path).is_file() or (root / path).read_text(encoding="utf-8") != text
    ]


def write(root: Path) -> None:
    """Write every file."""
    for path, text in texts(root).items():
        (root / path).write_text(text, encoding="utf-8")


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Write or check the files, and return the exit status."""
    parser = argparse.ArgumentParser(description="Write what the configuration models say.")
    parser.add_argument("--check", action="store_true", help="only tell which file differs")
    if not parser.parse_args(arguments).check:
        write(root)
        return 0
    names = differing(root)
    for name in names:
        sys.stderr.write(f"{name} differs from the models: run make manifests\n")
    return 1 if names else 0


def _schema(model: type[BaseModel]) -> dict[str, Any]:
    return {"$schema": DRAFT_7, **model.model_json_schema()}


if __name__ == "__main__":
    sys.exit(main())
