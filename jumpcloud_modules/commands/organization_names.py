"""A name for each organization that fits into the name of a folder, an address and a label.

Knows nothing of how the organizations were found.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from itertools import count
from typing import Final

from jumpcloud_modules.jumpcloud.console import Organization

NAME: Final = re.compile(r"[a-z0-9-]{1,63}")
MAX_CHARACTERS: Final = 63
"""As in a host's name, a Kubernetes label and the like."""
OF_ID: Final = 8
"""The last characters of an ID, which differ most, tell apart what has the same name."""
UNNAMED: Final = "organization"


def names_of(organizations: Iterable[Organization]) -> dict[str, str]:
    """Return a name by ID: `[a-z0-9-]{1,63}`, each once.

    Of several that would have the same name the first keeps it. So give them in the order of their
    IDs: one that JumpCloud adds later comes later, and takes no name from another.
    """
    names: dict[str, str] = {}
    taken: set[str] = set()
    for organization in organizations:
        name = next(name for name in _candidates(organization) if name not in taken)
        taken.add(name)
        names[organization.id] = name
    return names


def _candidates(organization: Organization) -> Iterator[str]:
    base = _plain(organization.name) or UNNAMED
    identifier = _plain(organization.id)
    yield _ending_in(base, "")
    if identifier:
        yield _ending_in(base, f"-{identifier[-OF_ID:].lstrip('-')}")
    yield from (_ending_in(base, f"-{number}") for number in count(2))


def _plain(text: str) -> str:
    """Return the letters and digits that are left of a text without its accents."""
    bare = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", bare).strip("-")


def _ending_in(base: str, end: str) -> str:
    return base[: MAX_CHARACTERS - len(end)].rstrip("-") + end
