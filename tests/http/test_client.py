"""HTTP as this project makes it."""

import gzip
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from jumpcloud_modules.errors import CollectorError, PageTooLarge, Refused, TryAgain
from jumpcloud_modules.http.client import Transport
from jumpcloud_modules.http.redaction import Secrets
from sandbox import Reply, Request, Sandbox, faults
from tests.doubles import Says

_KEY = "jca_a_key_that_nobody_may_read"
_URL = "http://127.0.0.1:9"


def _transport() -> Transport:
    return Transport(
        "The end",
        "http://127.0.0.1:9/",
        {"x-api-key": _KEY, "Accept-Encoding": "gzip"},
        Secrets(_KEY),
    )


def _read(reply: Reply, max_bytes: int = 1000) -> bytes:
    with Sandbox() as sandbox:
        sandbox.jumpcloud.faults.add(Says(reply))
        transport = _transport()
        with transport.post(sandbox.jumpcloud.url + "/events", b"{}", {}) as answer:
            return bytes(transport.read(answer, max_bytes))


def _refusal(reply: Reply) -> CollectorError:
    with Sandbox() as sandbox:
        sandbox.jumpcloud.faults.add(Says(reply))
        transport = _transport()
        with transport.post(sandbox.jumpcloud.url + "/events", b"{}", {}) as answer:
            return transport.refusal(answer, "POST /events", "Do this.")


def test_a_body_is_read_whole() -> None:
    """Byte by byte what was sent."""
    assert _read(Reply(200, b'{"x": "\xff"}')) == b'{"x": "\xff"}'


@pytest.mark.parametrize("size", [0, 1, 1000])
def test_a_compressed_body_is_read_whole(size: int) -> None:
    """Up to the very bound."""
    reply = Reply(200, gzip.compress(b"x" * size), {"Content-Encoding": "gzip"})

    assert _read(reply) == b"x" * size


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_a_body_beyond_the_bound_is_left_unread(encoding: str) -> None:
    """Neither its length on the wire nor what it inflates to can fill the memory."""
    body = b"x" * 1001 if encoding == "identity" else gzip.compress(b"x" * 1001)

    with pytest.raises(PageTooLarge):
        _read(Reply(200, body, {"Content-Encoding": encoding}))


# With names: the text of a gzip holds the second it was made in, and a test's name must not.
@pytest.mark.parametrize(
    "body",
    [b"", b"no gzip at all", gzip.compress(b"x" * 500)[:-9], gzip.compress(b"abc")[:-1]],
    ids=["nothing", "something else", "cut off in its text", "cut off at its end"],
)
def test_a_broken_compression_is_worth_another_try(body: bytes) -> None:
    """A piece of an answer is never taken for the answer."""
    with pytest.raises(TryAgain, match="gzip") as raised:
        _read(Reply(200, body, {"Content-Encoding": "gzip"}))

    assert raised.value.burdened


@pytest.mark.parametrize(
    "fault", [faults.TruncatedBody(), faults.ResetMidBody(), faults.ResetBeforeHeaders()]
)
def test_an_answer_that_breaks_off_is_worth_another_try(fault: faults.Fault) -> None:
    """In good order or not, before the headers or after."""
    with Sandbox() as sandbox:
        sandbox.jumpcloud.faults.add(fault)
        sandbox.jumpcloud.faults.add(Says(Reply(200, b"x" * 5_000)))
        transport = _transport()

        with pytest.raises(TryAgain):
            transport.read(transport.post(sandbox.jumpcloud.url + "/events", b"{}", {}), 10_000)


def test_an_end_that_cannot_be_reached_is_worth_another_try() -> None:
    """The message says so without the address of the pool or the key."""
    with Sandbox() as sandbox:
        url = sandbox.jumpcloud.url
    transport = _transport()

    with pytest.raises(TryAgain, match="The end could not be reached") as raised:
        transport.post(url + "/events", b"{}", {})

    assert not raised.value.burdened
    assert f"reached at {url.removeprefix('http://')} (" in str(raised.value)
    assert _KEY not in str(raised.value)


def test_a_proxy_on_the_way_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads it knows which of the two to look at."""
    _without_proxies(monkeypatch)
    monkeypatch.setenv("HTTP_PROXY", "http://somebody:hunter2!@127.0.0.1:9/")
    transport = Transport("The end", "http://end.test/", {}, Secrets(_KEY))

    with pytest.raises(TryAgain) as raised:
        transport.post("http://end.test/events", b"{}", {})

    assert "at end.test through the proxy 127.0.0.1:9 (" in str(raised.value)
    assert "hunter2" not in str(raised.value)
    assert "somebody" not in str(raised.value)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 599])
def test_a_status_that_may_pass_is_worth_another_try(status: int) -> None:
    """429 asks for fewer requests, the others may want smaller ones."""
    error = _refusal(Reply(status, b'{"message":"busy"}', {"Retry-After": "7"}))

    assert isinstance(error, TryAgain)
    assert error.retry_after_seconds == 7
    assert (error.limited, error.burdened) == (status == 429, status != 429)
    assert f"The end answered {status} to POST /events" in str(error)
    assert "busy" in str(error)


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 405, 410, 204])
def test_another_status_needs_a_person(status: int) -> None:
    """The message says what came back and what to do."""
    error = _refusal(Reply(status, b'{"message":"no"}' if status != 204 else b""))

    assert isinstance(error, Refused)
    assert f"answered {status}" in str(error)
    assert str(error).endswith("Do this.")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    """The key would travel along to wherever it points."""
    with Sandbox() as sandbox:
        elsewhere = sandbox.intake.url + "/batch"
        sandbox.jumpcloud.faults.add(faults.Redirect(elsewhere, status))
        transport = _transport()

        with transport.post(sandbox.jumpcloud.url + "/events", b"{}", {}) as answer:
            error = transport.refusal(answer, "POST /events", "Do this.")

        assert isinstance(error, Refused)
        assert "Redirects are not followed" in str(error)
        assert sandbox.intake.requests.arrivals() == 0


@pytest.mark.parametrize(
    ("location", "said"),
    [
        (
            "https://sign-in.proxy.test/path?key=hunter2#hunter2",
            " and redirected to sign-in.proxy.test.",
        ),
        ("https://a:hunter2@proxy.test:8443/", " and redirected to proxy.test:8443."),
        ("//proxy.test/x", " and redirected to proxy.test."),
        (f"https://{_KEY}.test/", " and redirected to [redacted].test."),
        ("/sign-in?hunter2", "to POST /events. Redirects"),
        ("http://[broken", "to POST /events. Redirects"),
        ("", "to POST /events. Redirects"),
    ],
)
def test_a_redirect_is_named_by_the_host_it_leads_to(location: str, said: str) -> None:
    """And by no more of it."""
    message = str(_refusal(Reply(302, b"", {"Location": location})))

    assert said in message
    assert "hunter2" not in message
    assert _KEY not in message


def test_where_a_redirect_leads_is_not_looked_at() -> None:
    """Its body may be endless."""
    with Sandbox() as sandbox:
        body = b"moved" * 1_000_000
        sandbox.jumpcloud.faults.add(Says(Reply(302, body, {"Location": sandbox.intake.url})))

        with _transport().post(sandbox.jumpcloud.url + "/events", b"{}", {}) as answer:
            assert answer.raw.tell() < len(body)


@dataclass
class _Watching:
    """A fault that only looks at the headers of requests, and hands out a cookie."""

    seen: list[Mapping[str, str]] = field(default_factory=list)

    def apply(self, request: Request, answer: Callable[[Request], Reply]) -> Reply:
        self.seen.append(request.headers)
        return Reply(200, b"[]", {"Set-Cookie": "a=b; Path=/"})


def _without_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)


def _posted(monkeypatch: pytest.MonkeyPatch, times: int = 1, **environment: str) -> _Watching:
    """Post to an end through an environment, and return what came in."""
    _without_proxies(monkeypatch)
    watching = _Watching()
    with Sandbox() as sandbox:
        sandbox.jumpcloud.faults.add(watching)
        for name, value in environment.items():
            monkeypatch.setenv(name, value.format(end=sandbox.jumpcloud.url))
        host = "jumpcloud.test" if "HTTP_PROXY" in environment else sandbox.jumpcloud.url[7:]
        transport = Transport("The end", f"http://{host}/", {"x-api-key": _KEY}, Secrets(_KEY))
        for _ in range(times):
            with transport.post(f"http://{host}/events", b"{}", {"x-more": "1"}) as answer:
                transport.read(answer, 100)
    return watching


def test_each_request_carries_its_headers_and_no_cookie(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is prepared once stays as it was prepared."""
    seen = _posted(monkeypatch, times=2).seen

    assert [(h["x-api-key"], h["x-more"], h["content-length"]) for h in seen] == [
        (_KEY, "1", "2")
    ] * 2
    assert not any("cookie" in headers for headers in seen)


def test_the_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """For an end that only it can reach."""
    (headers,) = _posted(monkeypatch, HTTP_PROXY="{end}").seen

    assert headers["host"] == "jumpcloud.test"


def test_an_end_that_needs_no_proxy_is_asked_directly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though there is one."""
    assert _posted(monkeypatch, http_proxy=_URL, no_proxy="127.0.0.1").seen


def test_no_password_of_a_netrc_is_sent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The key is the only credential."""
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login a password b\n")

    (headers,) = _posted(monkeypatch, NETRC=str(tmp_path / "netrc")).seen

    assert "authorization" not in headers


@pytest.mark.parametrize("status", [302, 401, 429, 500])
def test_a_refusal_says_who_answered_what_to_which_request(status: int) -> None:
    """In fields: nobody has to read it out of a sentence."""
    error = _refusal(Reply(status, b"no"))

    assert (error.end, error.status, error.request) == ("The end", status, "POST /events")


def test_an_html_page_is_quoted_as_text_and_shortly() -> None:
    """A log line is no place for a web page."""
    page = b"<html><body><h1>Blocked</h1>" + b"<p>by the proxy</p>" * 500 + b"</body></html>"

    message = str(_refusal(Reply(403, page)))

    assert "(Blocked by the proxy" in message
    assert "<" not in message
    assert len(message) < 500


@pytest.mark.parametrize("status", [307, 400, 401, 403, 429, 500])
def test_a_key_that_is_echoed_does_not_reach_a_message(status: int) -> None:
    """Not even at the place where the quotation is cut."""
    for padding in (0, 280, 299):
        said = "x" * padding + _KEY

        message = str(_refusal(Reply(status, said.encode())))

        assert _KEY[:12] not in message
        assert "[redacted]"[:1] in message


@pytest.mark.parametrize("key", ["a key\n", "a\nkey", "clé\n", " key", "schlüssel€"])
def test_a_key_that_no_header_can_carry_does_not_reach_a_message(key: str) -> None:
    """The HTTP library quotes a header that it refuses."""
    transport = Transport("The end", "http://127.0.0.1:9/", {"x-api-key": key}, Secrets(key))

    with pytest.raises(CollectorError) as raised:
        transport.post("http://127.0.0.1:9/events", b"{}", {})

    assert key.strip() not in str(raised.value)
    assert repr(key)[1:-1].strip() not in str(raised.value)


def test_a_long_body_of_a_refusal_is_not_read() -> None:
    """It would be held in memory for a sentence in a log."""
    message = str(_refusal(Reply(403, b"x" * 200_000)))

    assert "xxx" not in message
    assert "answered 403" in message
