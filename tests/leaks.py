"""What no process may show: keys, tokens and the bodies of events, looked for after every test.

`install` has each sandbox and each connector that a test makes noted; what else a test runs it
hands to `note`. When a test has passed, `watching` looks through all of it, and fails the test that
leaked. It says what leaked where, and never the secret itself.
"""

import base64
import functools
import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sandbox
from sandbox import Event, Sandbox
from sandbox.connector import ConnectorProcess
from sandbox.events import MARKER

MIN_BYTES = 8
"""A shorter secret may be a part of any word."""
OF_SECRETS = (
    "JUMPCLOUD_API_KEY",
    "JUMPCLOUD_CLIENT_SECRET",
    "SEKOIA_INTAKE_KEY",
    "TOKEN",
    "AWS_SECRET_ACCESS_KEY",
)
QUARANTINE = "quarantine"
USUAL = {
    sandbox.API_KEY.encode(): "The API key",
    sandbox.INTAKE_KEY.encode(): "The intake key",
    sandbox.CLIENT_SECRET.encode(): "The client secret",
    sandbox.TOKEN.encode(): "The platform's token",
}
"""Those of the sandbox, also where it has others by now, or where a test has none."""
_INTAKE_LABEL = re.compile(rb'intake_key="[^"]*"')  # the SDK's metrics carry it, as they must


@dataclass(frozen=True, slots=True)
class Channel:
    """Hold what one way out of a process carried; `may_show_events` where they belong."""

    name: str
    content: bytes
    may_show_events: bool = False


@dataclass(frozen=True, slots=True)
class Unshown:
    """Hold what no channel may carry: secrets and what they are called, and pieces of events."""

    secrets: Mapping[bytes, str]
    bodies: Sequence[bytes] = (MARKER.encode(),)


def leaks(channels: Sequence[Channel], unshown: Unshown) -> list[str]:
    """Return a sentence for each secret and each channel that shows it, without the secret."""
    found = []
    for channel in channels:
        for secret, name in unshown.secrets.items():
            if len(secret) >= MIN_BYTES and secret in channel.content:
                found.append(f"{name} stands in {channel.name}, {_line(channel.content, secret)}")
        bodies = () if channel.may_show_events else unshown.bodies
        shown = next((body for body in bodies if body in channel.content), None)
        if shown is not None:
            found.append(f"An event stands in {channel.name}, {_line(channel.content, shown)}")
    return found


def _line(content: bytes, piece: bytes) -> str:
    return f"line {content[: content.index(piece)].count(bytes([10])) + 1}."


@dataclass(slots=True)
class Watch:
    """Note what one test has made and run."""

    sandboxes: list[Sandbox] = field(default_factory=list)
    connectors: list[ConnectorProcess] = field(default_factory=list)
    channels: list[Channel] = field(default_factory=list)
    secrets: dict[bytes, str] = field(default_factory=dict)

    def take(self, made: Sandbox | ConnectorProcess) -> None:
        """Note what was just made."""
        if isinstance(made, Sandbox):
            self.sandboxes.append(made)
        else:
            self.connectors.append(made)

    def found(self) -> list[str]:
        """Look through all that was noted."""
        channels = list(self.channels)
        for connector in self.connectors:
            channels += channels_of(connector)
        for each in self.sandboxes:
            channels += said_to_platform(each)
        return list(dict.fromkeys(leaks(channels, self._unshown())))

    def _unshown(self) -> Unshown:
        secrets, bodies = USUAL | self.secrets, [MARKER.encode()]
        for each in self.sandboxes:
            secrets |= secrets_of(each)
            bodies += _without_marker(each.jumpcloud.published)
        return Unshown(secrets, bodies)


def secrets_of(each: Sandbox) -> dict[bytes, str]:
    """Return what a sandbox has given to those who run against it."""
    addresses, tokens = each.addresses, each.jumpcloud.tokens
    given = {token.encode(): "A token of the service account" for token in tokens.given}
    pair = f"{addresses.client_id}:{addresses.client_secret}".encode()
    for key in (*each.jumpcloud.keys, *each.intake.keys):
        given[key.encode()] = "A key of an organization"
    return given | {
        addresses.api_key.encode(): "The API key",
        addresses.intake_key.encode(): "The intake key",
        addresses.client_secret.encode(): "The client secret",
        base64.b64encode(pair): "The client secret, in base64,",
        addresses.token.encode(): "The platform's token",
    }


def _without_marker(published: Sequence[Event]) -> list[bytes]:
    """Return the texts that a test made by hand, also as they stand in a text of JSON.

    A shorter one may stand anywhere else.
    """
    mark = MARKER.encode()
    texts = [e.text for e in published if mark not in e.text and len(e.text) > len(mark)]
    return [*texts, *(json.dumps(text.decode(errors="replace"))[1:-1].encode() for text in texts)]


def channels_of(connector: ConnectorProcess) -> list[Channel]:
    """Return all ways out of a connector: what it wrote, what its ports answered, its files."""
    name = f"the connector's ({connector.command})"
    answers = [
        Channel(f"{name} answer to {path}", _INTAKE_LABEL.sub(b"", content))
        for path, content in connector.answers.items()
    ]
    output = Channel(f"{name} output", connector.output.encode())
    return [output, *answers, *files_in(connector.data_folder)]


def files_in(folder: Path) -> list[Channel]:
    """Return the files of a data folder; those of the quarantine hold events by design."""
    if not folder.is_relative_to(tempfile.gettempdir()) or not folder.is_dir():
        return []  # a test may have named a folder that nobody can write
    files = ((path, _content(path)) for path in sorted(folder.rglob("*")))
    return [
        Channel(
            f"the data folder's {path.relative_to(folder)}",
            content,
            may_show_events=path.parent.name == QUARANTINE,
        )
        for path, content in files
        if content is not None
    ]


def _content(path: Path) -> bytes | None:
    """Return what a file holds, None where there is none: somebody may clean up meanwhile."""
    try:
        return path.read_bytes() if path.is_file() else None
    except OSError:
        return None


def said_to_platform(each: Sandbox) -> list[Channel]:
    """Return what the emulated platform was told."""
    logs = "\n".join(line.message for line in each.platform.logs)
    return [
        Channel("the platform's logs", logs.encode()),
        Channel("the platform's callback", json.dumps(each.platform.callbacks).encode()),
    ]


_current: ContextVar[Watch | None] = ContextVar("watch", default=None)
_elsewhere = Watch()


def watch() -> Watch:
    """Return the watch of the test that runs in this thread, or the one of all other threads."""
    return _current.get() or _elsewhere


def note(
    out: str | bytes,
    err: str | bytes = b"",
    environment: Mapping[str, str] | None = None,
    *,
    name: str = "the command",
    shows_events: bool = False,
) -> None:
    """Note what a process wrote that has ended; `shows_events` where that is what it is for.

    Of its variables the keys are secrets, and DATA_DIR is looked through, too.
    """
    noted, variables = watch(), environment or {}
    noted.channels += [
        Channel(f"{name}'s standard output", _bytes(out), may_show_events=shows_events),
        Channel(f"{name}'s standard error", _bytes(err)),
    ]
    if "DATA_DIR" in variables:
        noted.channels += files_in(Path(variables["DATA_DIR"]))
    for variable in OF_SECRETS:
        if value := variables.get(variable):
            noted.secrets[value.encode()] = f"What {variable} holds"


def _bytes(text: str | bytes) -> bytes:
    return text.encode(errors="surrogateescape") if isinstance(text, str) else text


@contextmanager
def watching() -> Iterator[None]:
    """Look, when the block has ended well, through all that was made in it; raise what leaked."""
    noted = Watch()
    before = _current.set(noted)
    try:
        yield
    finally:
        _current.reset(before)
    found = noted.found()
    if found:
        raise AssertionError("\n".join(["Something leaked:", *found]))


def leaked_elsewhere() -> list[str]:
    """Look once through what threads without a test of their own have made."""
    global _elsewhere
    noted, _elsewhere = _elsewhere, Watch()
    return noted.found()


def install() -> None:
    """Have each sandbox and each connector noted where it is made."""
    _noting(Sandbox)
    _noting(ConnectorProcess)


def _noting(kind: Any) -> None:
    make = kind.__init__

    @functools.wraps(make)
    def noting(self: Sandbox | ConnectorProcess, *arguments: object, **options: object) -> None:
        make(self, *arguments, **options)
        watch().take(self)

    kind.__init__ = noting
