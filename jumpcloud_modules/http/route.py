"""The proxy and the trusted certificates for an end, as the environment names them.

A setting that cannot work is found here, before the first request, since retrying does not help.
"""

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

import requests
from requests.utils import prepend_scheme_if_needed, select_proxy

from jumpcloud_modules.errors import CannotWork
from jumpcloud_modules.http.redaction import Secrets

_PROXY_SCHEMES: Final = ("http", "https")
_SOCKS_SCHEMES: Final = ("socks4", "socks4a", "socks5", "socks5h")
_PEM: Final = b"-----BEGIN"
BUNDLE_VARIABLES: Final = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""What requests reads, in this order; it knows no SSL_CERT_FILE."""


@dataclass(frozen=True, slots=True)
class Route:
    """Hold the settings for requests; `proxy` is its host and port, without user or password."""

    proxies: dict[str, str]
    verify: bool | str
    proxy: str | None


def route_to(url: str, secrets: Secrets) -> Route:
    """Read the environment once, and nothing from .netrc; `secrets` learns the proxy's password.

    Raises CannotWork.
    """
    # By requests' own rules (NO_PROXY, upper and lower case), but once and not at each request.
    settings = requests.Session().merge_environment_settings(url, {}, None, None, None)
    proxies = dict(settings["proxies"])
    verify = True if settings["verify"] is None else settings["verify"]
    if urlsplit(url).scheme == "https" and isinstance(verify, str):
        _check_bundle(verify)
    proxy = select_proxy(url, proxies)
    return Route(proxies, verify, _checked_proxy(url, proxy, secrets) if proxy else None)


def host_of(url: str) -> str:
    """Return the host of an address, with its port where it names one, and nothing else of it."""
    try:
        return _host(urlsplit(url))
    except ValueError:
        return ""


def _host(parts: SplitResult) -> str:
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return f"{host}:{parts.port}" if parts.port else host


def _checked_proxy(url: str, proxy: str, secrets: Secrets) -> str:
    variables = f"{urlsplit(url).scheme.upper()}_PROXY (or ALL_PROXY)"
    try:
        parts = urlsplit(str(prepend_scheme_if_needed(proxy, "http")))  # type: ignore[no-untyped-call]
        host = _host(parts)
    except ValueError:  # requests and urllib3 say so, too
        host = ""
    if not host:
        raise CannotWork(f"{variables} is not the address of a proxy: give http://host:port.")
    if parts.scheme in _SOCKS_SCHEMES:
        _check_socks(variables, parts.scheme)
    elif parts.scheme not in _PROXY_SCHEMES:
        raise CannotWork(
            f"{variables} begins with {parts.scheme}://, which is no kind of proxy: give"
            " http://host:port."
        )
    if parts.password:
        # Both forms: an error may quote the address as it was given, or the password as it was
        # sent.
        secrets.add(parts.password, unquote(parts.password))
    return host


def _check_socks(variables: str, scheme: str) -> None:
    if importlib.util.find_spec("socks") is None:
        raise CannotWork(
            f"{variables} begins with {scheme}://, and the library for SOCKS proxies (PySocks) is"
            " not installed: give the address of an http:// proxy, or install it."
        )


def _check_bundle(name: str) -> None:
    variable = next((name for name in BUNDLE_VARIABLES if os.environ.get(name)), "The environment")
    if fault := _fault_of_bundle(Path(name)):
        raise CannotWork(
            f"{variable} names {name}, which {fault}: name a file that holds the certificates to"
            " trust (PEM), or unset it to trust the public ones."
        )


def _fault_of_bundle(path: Path) -> str | None:
    if path.is_dir():
        return None
    try:
        content = path.read_bytes()
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return None if _PEM in content else "holds no certificate"
