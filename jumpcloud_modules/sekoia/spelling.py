"""Find misspelt names: keys and variables that nobody reads, with the most similar one that is.

A form's model ignores keys that it does not know, since forms evolve. So a misspelt key would
silently mean the default.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from pydantic import BaseModel

from jumpcloud_modules.sekoia.configuration import ConnectorConfiguration, ModuleConfiguration

NEAR: Final = 0.6
PARTS: Final[dict[str, type[BaseModel]]] = {
    "module": ModuleConfiguration,
    "connector": ConnectorConfiguration,
}
"""Each form by the name that it has in module.json."""


def unknown_keys(document: object, part: str) -> list[str]:
    """Return a sentence for each key that a form does not have."""
    if not isinstance(document, Mapping):
        return []
    known = PARTS[part].model_fields
    return [_sentence(str(name), part) for name in document if name not in known]


def nearest(name: str, known: Iterable[str], least: float = NEAR) -> str | None:
    """Return the name that is most like another one, whatever its case, None where none is."""
    import difflib  # noqa: PLC0415 - most configurations have no misspelt name

    by_case = {candidate.lower(): candidate for candidate in known}
    found = difflib.get_close_matches(name.lower(), by_case, n=1, cutoff=least)
    return by_case[found[0]] if found else None


def _sentence(name: str, part: str) -> str:
    said = f"{part}.{name[:60]}: there is no such key"
    for other, model in PARTS.items():
        if other != part and name in model.model_fields:
            return f"{said}; it belongs into {other}."
    known = PARTS[part].model_fields
    near = nearest(name, known)
    if near:
        return f"{said}; did you mean {near}?"
    return f"{said}; there are {', '.join(sorted(known))}."
