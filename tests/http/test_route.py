"""The way to an end, as the environment tells it."""

from pathlib import Path

import pytest

from jumpcloud_modules.errors import CannotWork
from jumpcloud_modules.http.client import Transport
from jumpcloud_modules.http.redaction import Secrets
from jumpcloud_modules.http.route import host_of, route_to

URL = "https://end.test/"
SETTINGS = (
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
)


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have nothing in the environment but what a test puts there."""
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def test_with_a_bare_environment_the_way_is_direct_and_trusts_the_public_certificates() -> None:
    """As on most machines."""
    route = route_to(URL, Secrets())

    assert (route.proxy, route.verify, route.proxies) == (None, True, {})


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (None, "cannot be read (No such file or directory)"),
        (b"no certificate", "holds no certificate"),
    ],
)
def test_certificates_that_cannot_work_are_told_before_the_first_request(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    content: bytes | None,
    fault: str,
) -> None:
    """With the variable, the file and what is wrong with it."""
    path = tmp_path / "company.pem"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setenv(variable, str(path))

    with pytest.raises(CannotWork) as raised:
        Transport("The end", URL, {}, Secrets())

    assert f"{variable} names {path}, which {fault}: name a file" in str(raised.value)


def test_certificates_count_for_encrypted_ends_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is there is taken, and a folder; a loopback address needs none."""
    path = tmp_path / "company.pem"
    path.write_text("-----BEGIN CERTIFICATE-----")
    for name in (str(path), str(tmp_path)):
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", name)
        assert route_to(URL, Secrets()).verify == name
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/there/is/no/bundle")

    assert route_to("http://127.0.0.1:9/", Secrets()).proxy is None


@pytest.mark.parametrize(
    ("proxy", "fault"),
    [
        ("socks5://proxy.test:1080", "begins with socks5://, and the library for SOCKS proxies"),
        ("socks5h://a:hunter2@proxy.test:1080", "begins with socks5h://, and the library"),
        ("ftp://proxy.test", "begins with ftp://, which is no kind of proxy"),
        ("proxy:3128", "is not the address of a proxy"),
        ("http://", "is not the address of a proxy"),
        ("a:hunter2@proxy.test:3128", "is not the address of a proxy"),
        ("http://proxy.test:port", "is not the address of a proxy"),
    ],
)
@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
def test_a_proxy_that_cannot_work_is_told_before_the_first_request(
    monkeypatch: pytest.MonkeyPatch, variable: str, proxy: str, fault: str
) -> None:
    """And what to give instead, without what else stands in the variable."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    monkeypatch.setenv(variable, proxy)

    with pytest.raises(CannotWork) as raised:
        Transport("The end", URL, {}, Secrets())

    assert f"HTTPS_PROXY (or ALL_PROXY) {fault}" in str(raised.value)
    assert "hunter2" not in str(raised.value)


def test_a_socks_proxy_is_taken_where_its_library_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who wants one can have it."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _: object())
    monkeypatch.setenv("HTTPS_PROXY", "socks5://proxy.test:1080")

    assert route_to(URL, Secrets()).proxy == "proxy.test:1080"


@pytest.mark.parametrize(
    "proxy", ["http://a:hun%2Fter2@proxy.test:3128/", "https://a:hun%2Fter2@proxy.test:3128"]
)
def test_a_proxy_is_named_without_its_user_and_its_password_is_a_secret(
    monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    """As it stands there, and as it is meant."""
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    secrets = Secrets()

    assert route_to(URL, secrets).proxy == "proxy.test:3128"
    assert secrets.redact("hun%2Fter2 hun/ter2") == "[redacted] [redacted]"


def test_an_end_without_a_proxy_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though there is one for others, which then need not work."""
    monkeypatch.setenv("HTTPS_PROXY", "socks5://proxy.test")
    monkeypatch.setenv("NO_PROXY", "end.test")

    assert route_to(URL, Secrets()).proxy is None


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://a:b@end.test/c?d#e", "end.test"),
        ("https://end.test:8443", "end.test:8443"),
        ("http://[::1]:80/", "[::1]:80"),
        ("/path", ""),
        ("http://end.test:port", ""),
    ],
)
def test_of_an_address_only_host_and_port_are_shown(url: str, host: str) -> None:
    """Whatever else it holds."""
    assert host_of(url) == host
