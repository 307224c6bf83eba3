"""The forms' fields in the schema of the Helm chart's values, which refuses keys it does not name.

A field stands in it twice: once for all organizations, and once for an entry of the list. The rest
of the schema is written by hand.
"""

import json
from typing import Any, Final

from pydantic import BaseModel

from jumpcloud_modules.sekoia.configuration import ConnectorConfiguration, ModuleConfiguration

PATH: Final = "deploy/helm/jumpcloud-directory-insights/values.schema.json"
ADDRESSES: Final = frozenset({"base_url", "intake_server"})
GIVEN_AS_CREDENTIALS: Final = frozenset({"apikey", "client_id", "client_secret"})
GIVEN_FOR_EACH_ORGANIZATION: Final = frozenset({"intake_key"})
KEPT: Final[tuple[str, ...]] = ("type", "minimum", "maximum")
NOT_EMPTY: Final = {"type": "string", "minLength": 1}
ENTRY_S_OWN: Final = {
    "name": {"type": "string", "pattern": "^[a-z0-9-]{1,63}$"},
    "intake_key": NOT_EMPTY,
    "intake_key_file": NOT_EMPTY,
}


def with_fields_of_the_forms(text: str) -> str:
    """Return the schema's text with the fields as the configuration models have them."""
    schema = json.loads(text)
    module, connector = _fields(ModuleConfiguration), _fields(ConnectorConfiguration)
    values = schema["properties"]
    values["module"]["properties"] = _without(module, GIVEN_AS_CREDENTIALS)
    values["connector"]["properties"] = _without(connector, GIVEN_FOR_EACH_ORGANIZATION)
    entry = values["organizations"]["properties"]["list"]["items"]
    entry["properties"] = module | connector | ENTRY_S_OWN
    return json.dumps(schema, indent=2) + "\n"


def _fields(model: type[BaseModel]) -> dict[str, dict[str, Any]]:
    return {name: _field(name, of) for name, of in model.model_json_schema()["properties"].items()}


def _field(name: str, of_the_form: dict[str, Any]) -> dict[str, Any]:
    kept = {key: of_the_form[key] for key in KEPT if key in of_the_form}
    # The form offers three regions; a chart may name an address of one's own, too.
    return kept | {"pattern": "^https://"} if name in ADDRESSES else kept


def _without(fields: dict[str, dict[str, Any]], names: frozenset[str]) -> dict[str, dict[str, Any]]:
    return {name: field for name, field in fields.items() if name not in names}
