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
    """Name a region by the three hosts it has."""

    name: str
    events_host: str
    console_host: str
    token_host: str

    @property
    def base_url(self) -> str:
        """Return what a configuration names the region by."""
        return f"https://{self.events_host}/"


@dataclass(frozen=True, slots=True)
class Places:
    """Say where to ask for what; None where that is not known. None of them ends with a slash."""

    events_url: str
    console_url: str | None
    token_url: str | None


REGIONS: Final = (
    Region("US", "api.jumpcloud.com", "console.jumpcloud.com", "admin-oauth.id.jumpcloud.com"),
    Region(
        "EU",
        "api.eu.jumpcloud.com",
        "console.eu.jumpcloud.com",
        "admin-oauth.id.eu.jumpcloud.com",
    ),
    Region(
        "India",
        "api.in.jumpcloud.com",
        "console.in.jumpcloud.com",
        "admin-oauth.id.in.jumpcloud.com",
    ),
)


def region_of(base_url: str) -> Region | None:
    """Return the region that an address names, or None where it is not JumpCloud's own."""
    parts = urlsplit(base_url.strip())
    if parts.scheme != "https" or parts.port not in {None, 443}:
        return None
    return next((region for region in REGIONS if region.events_host == parts.hostname), None)


def places_of(base_url: str) -> Places:
    """Return where to ask for what, given the address that is configured for the events.

    On this machine one address plays all three. Another that is not JumpCloud's, such as a
    gateway's, says nothing of the other two: credentials are not sent where nobody named.
    """
    events_url = base_url.strip().rstrip("/")
    if region := region_of(base_url):
        console_url = f"https://{region.console_host}{CONSOLE_PATH}"
        return Places(events_url, console_url, f"https://{region.token_host}{TOKEN_PATH}")
    if is_loopback(urlsplit(events_url).hostname or ""):
        return Places(events_url, events_url + CONSOLE_PATH, events_url + TOKEN_PATH)
    return Places(events_url, None, None)
