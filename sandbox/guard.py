"""Who may press a button: whoever is on this machine, and no web page from elsewhere.

A port of loopback is within reach of every page that a browser shows. Such a page may send a form
or a request to it, whose answer it cannot read; and with a name of its own that leads here (DNS
rebinding) it could read it, too. What a browser tells of itself stands in `Host`, `Origin` and
`Sec-Fetch-Site`, which no page can forge. Knows requests and replies; knows no sandbox.
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from sandbox.http import Reply, Request, message_reply

_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})
_READING = frozenset({"GET", "HEAD"})
_OWN = frozenset({"same-origin", "none"})


def guarded(answer: Callable[[Request], Reply]) -> Callable[[Request], Reply]:
    """Refuse with 403 what another web page sent, and answer the rest."""

    def guard(request: Request) -> Reply:
        reason = refused_for(request)
        return message_reply(403, reason) if reason else answer(request)

    return guard


def refused_for(request: Request) -> str:
    """Return why a request is refused; empty where it is not."""
    host = request.headers.get("host", "")
    if _name_of(f"//{host}") not in _NAMES:
        return "The sandbox answers by the names of this machine itself: use http://127.0.0.1."
    if request.method in _READING:
        return ""
    origin = request.headers.get("origin")
    if origin is not None and origin != f"http://{host}":
        return "A page of another origin may not change anything here."
    if request.headers.get("sec-fetch-site", "none") not in _OWN:
        return "A page of another site may not change anything here."
    return ""


def _name_of(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None
