"""What stands in an object on S3 that says who owns a state.

`owner.lease` beside a state names its owner by a token. A process that owns one state renews that
object. A process that owns many names a session in it instead, `<token>.lease` in the folder
`.owners` beside the folders of the states, and renews only that.
"""

import re
import secrets
from dataclasses import dataclass
from typing import Any

from s3path import S3Path

from jumpcloud_modules.state.objects import Stored
from jumpcloud_modules.state.owners import Record, from_json

FILE_NAME = "owner.lease"
SESSIONS = ".owners"
GIVEN_BACK = b"{}"
ENDED_BY_ANOTHER = b'{"ended": true}'
"""What a process writes into the session of another that has been silent for too long."""
_TOKEN = re.compile("[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Entry:
    """Name an owner for people, by its token, and by the session that it owns the state in.

    Each is empty where it is missing or illegible.
    """

    record: Record
    token: str | None
    session: str | None


def new_token() -> str:
    """Return what no other owner and no other session is known by."""
    return secrets.token_hex(16)


def entry_in(found: Stored) -> Entry:
    """Read who owns what the object stands for."""
    record, document = from_json(found.content)
    return Entry(record, _text(document, "token"), _session(document))


def is_given_back(found: Stored) -> bool:
    """Tell whether its owner let others have it."""
    return found.content == GIVEN_BACK


def session_path(root: S3Path, session: str) -> S3Path:
    """Return where a session is in which states right below the root are owned."""
    return root / SESSIONS / f"{session}.lease"


def _session(document: dict[str, Any]) -> str | None:
    # It becomes a part of a path, so nothing else may stand there.
    session = _text(document, "session")
    return session if session and _TOKEN.fullmatch(session) else None


def _text(document: dict[str, Any], name: str) -> str | None:
    value = document.get(name)
    return value if isinstance(value, str) else None
