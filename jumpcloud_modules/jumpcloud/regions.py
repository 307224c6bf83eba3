"""JumpCloud's regions: where each one's events, console and tokens are asked for.

An organization lives in one region, and only its hosts take its credentials.
"""

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from jumpcloud_modules.http.loopback import is_loopback

CONSOLE_PATH: Final = "/api"
TOKEN_PATH: Final = "/oauth2/token"  # noqa: S105 - a path


@dataclass(frozen=True, slots=True)
class Region:
    """Name a region by its three addresses; `base_url` is the one that a configuration holds."""

    name: str
    base_url: str
    console_url: str
    token_url: str


@dataclass(frozen=True, slots=True)
class Places:
    """Say where to ask for what; None where that is not known. None of them ends with a slash."""

    events_url: str
    console_url: str | None
    token_url: str | None


REGIONS: Final = (
    Region(
        "US",
        "https://api.jumpcloud.com/",
        f"https://console.jumpcloud.com{CONSOLE_PATH}",
        f"https://admin-oauth.id.jumpcloud.com{TOKEN_PATH}",
    ),
    Region(
        "EU",
        "https://api.eu.jumpcloud.com/",
        f"https://console.eu.jumpcloud.com{CONSOLE_PATH}",
        f"https://admin-oauth.id.eu.jumpcloud.com{TOKEN_PATH}",
    ),
    Region(
        "India",
        "https://api.in.jumpcloud.com/",
        f"https://console.in.jumpcloud.com{CONSOLE_PATH}",
        f"https://admin-oauth.id.in.jumpcloud.com{TOKEN_PATH}",
    ),
)


def region_of(base_url: str) -> Region | None:
    """Return the region that an address names, or None where it is not JumpCloud's own."""
    parts = urlsplit(base_url.strip())
    if parts.scheme != "https" or parts.port not in {None, 443}:
        return None
    host = parts.hostname
    return next((region for region in REGIONS if urlsplit(region.base_url).hostname == host), None)


def places_of(base_url: str) -> Places:
    """Return where to ask for what, given the address that is configured for the events.

    An address on this machine (a sandbox) stands for all three. Of another one that is not
    JumpCloud's, such as a gateway's, the other two are not known: credentials go only to addresses
    that were named.
    """
    events_url = base_url.strip().rstrip("/")
    if region := region_of(base_url):
        return Places(events_url, region.console_url, region.token_url)
    if is_loopback(urlsplit(events_url).hostname or ""):
        return Places(events_url, events_url + CONSOLE_PATH, events_url + TOKEN_PATH)
    return Places(events_url, None, None)
