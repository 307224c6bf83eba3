"""Every shell command of a document is typed here, as it stands there.

A block of `sh` runs in a folder of its own that looks like the root of this tree, against the
sandbox. What stands in a comment before it says otherwise: `runs until Ctrl-C`, or `not run here`
with a reason. `make` only tells what it would do; what it passes on is given to its parser.
"""

import argparse
import importlib
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from jumpcloud_modules.commands import dispatch
from jumpcloud_modules.commands.dispatch import COMMANDS
from sandbox import Sandbox, generate, make_event, wait_until
from sandbox.instants import now_ms
from tests.shell import ROOT, self_hosted
from tools.documents import documents

BLOCK = re.compile(
    r"^(?:<!-- (?P<mark>not run here|runs until Ctrl-C)(?:: (?P<reason>[^>]*))? -->\n\n)?"
    r"^```sh\n(?P<script>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
SHOWN = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
IN_A_SENTENCE = re.compile(r"`(?:docker exec \w+ )?(?:\S+/)?python main\.py ([a-z][^`\[]*)`")
TYPED_BY_MAKE = re.compile(r"-m (pytest|benchmarks|tests\.soak) (\S.*)$", re.MULTILINE)
NOT_RUN = {
    ("README.md", "it needs Docker"): 1,
    ("docs/setup.md", "it needs Docker"): 1,
    ("docs/organizations.md", "it needs an account of JumpCloud"): 1,
    ("docs/kubernetes.md", "it needs Docker"): 1,
    ("docs/kubernetes.md", "tests/deploy/test_helm.py renders it"): 3,
    ("docs/kubernetes.md", "tests/deploy/test_helm.py has kubectl read it"): 5,
    ("docs/troubleshooting.md", "it needs Docker"): 1,
    ("sandbox/README.md", "tests/sandbox/test_sandbox_processes.py runs the sandbox"): 1,
    ("sandbox/README.md", "tests/sandbox/test_sandbox_serve.py serves it"): 1,
    ("sandbox/README.md", "tests/sandbox/test_sandbox_serve.py is such a client"): 1,
    ("sandbox/README.md", "tests/sandbox/test_sandbox_scenarios.py runs one"): 1,
    ("sandbox/README.md", "tests/process/test_harm.py does harm"): 1,
}
"""How often each reason is given in a document."""
HALVES = {"state", "state reset"}
"""Named in sentences without what they need."""
SECONDS_FOR_A_BLOCK = 60.0


@dataclass(frozen=True, slots=True)
class Block:
    """Hold what a document tells to type in one go."""

    document: str
    line: int
    mark: str | None
    reason: str | None
    script: str

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"

    @property
    def asks_the_ports(self) -> bool:
        """Tell whether it wants a connector that runs meanwhile."""
        return "127.0.0.1:8000" in self.script or "--watch" in self.script


def blocks() -> Iterator[Block]:
    """Yield the blocks of all documents."""
    for path in documents(ROOT):
        text = path.read_text(encoding="utf-8")
        for found in BLOCK.finditer(text):
            line = text.count("\n", 0, found.start("script"))
            name = str(path.relative_to(ROOT))
            yield Block(name, line, found["mark"], found["reason"], found["script"])


def in_sentences() -> Iterator[str]:
    """Yield the commands of main.py that stand in the sentences of all documents."""
    for path in documents(ROOT):
        text = re.sub(r"^```.*?^```$", "", path.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
        for command in IN_A_SENTENCE.findall(text):
            if command not in HALVES:
                yield command


BLOCKS = list(blocks())
RUN = [block for block in BLOCKS if block.mark != "not run here"]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """Be JumpCloud and Sekoia, with a few events of the last day."""
    now = now_ms()
    with Sandbox(generate(200, now - 80_000_000, now - 1_000, seed=4)) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def collected(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data folder that a connector left, with an event in its quarantine."""
    folder = tmp_path_factory.mktemp("collected") / "data"
    with running(self_hosted(sandbox, folder, **ports()), ROOT):
        assert wait_until(lambda: sandbox.verdict().clean, timeout_seconds=30)
    event = make_event(now_ms() - 5_000)
    (folder / "quarantine").mkdir(exist_ok=True)
    (folder / "quarantine/0a1b2c3d4e5f6071.json").write_bytes(event.text)
    return folder


@pytest.fixture
def root(collected: Path, tmp_path: Path) -> Path:
    """Make a folder that looks like this tree's root to whoever types in it."""
    for name in (
        "main.py",
        "jumpcloud_modules",
        "module.json",
        "manifest.json",
        "sandbox",
        "deploy",
    ):
        (tmp_path / name).symlink_to(ROOT / name)
    shutil.copytree(collected, tmp_path / "data")
    for place in (".venv/bin", "bin"):
        (tmp_path / place).mkdir(parents=True)
        python = tmp_path / place / "python"
        python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
        python.chmod(0o755)
    return tmp_path


def ports() -> dict[str, str]:
    """Return two ports that are free."""
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("", 0)) as two:
        found = (str(end.getsockname()[1]) for end in (one, two))
        return dict(zip(("LIVENESS_PORT", "METRICS_PORT"), found, strict=True))


@contextmanager
def running(environment: Mapping[str, str], folder: Path) -> Iterator[None]:
    """Have a self-hosted connector run meanwhile."""
    with subprocess.Popen(
        [sys.executable, "main.py"],
        cwd=folder,
        env={"PATH": os.environ["PATH"], **environment},
        stdout=subprocess.DEVNULL,
    ) as connector:
        try:
            port = int(environment["LIVENESS_PORT"])
            assert wait_until(lambda: is_open(port), timeout_seconds=30)
            yield
        finally:
            connector.terminate()
            connector.wait(20)


def is_open(port: int) -> bool:
    """Tell whether somebody listens on a port of this machine."""
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) == 0


def as_typed(block: Block, liveness_port: str) -> str:
    """Return a script for a shell that ends where a command fails.

    Ports are those that are free here, instants those that JumpCloud still has events of, and
    `make` says what it would do.
    """
    yesterday = datetime.now(UTC) - timedelta(days=1)
    script = block.script.replace("127.0.0.1:8000", f"127.0.0.1:{liveness_port}")
    script = re.sub(r"\d{4}-\d\d-\d\dT00:00:00Z", f"{yesterday:%Y-%m-%dT%H:%M:%SZ}", script)
    make = f'make() {{ command make --directory={ROOT} --dry-run "$@"; }}'
    return f"set -e -o pipefail\n{make}\n{script}"


@pytest.mark.parametrize("block", RUN, ids=str)
def test_what_a_document_tells_to_type_works(
    block: Block, sandbox: Sandbox, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each command ends well, or goes on until Ctrl-C."""
    for program in ("curl", "promtool"):
        if program in block.script and not shutil.which(program):
            pytest.skip(f"this machine has no {program}")
    of_the_ports = ports()
    variables = self_hosted(sandbox, root / "data", **of_the_ports)
    (root / ".env").write_text("".join(f"{k}={v}\n" for k, v in variables.items()))
    environment = {
        **variables,
        "PATH": f"{root / 'bin'}:{os.environ['PATH']}",
        "HTTPS_PROXY": "http://127.0.0.1:9",  # whatever should not stay here goes nowhere
    }
    meanwhile: AbstractContextManager[None] = nullcontext()
    if block.asks_the_ports:
        meanwhile = running(variables, root)
    script = as_typed(block, of_the_ports["LIVENESS_PORT"])

    with meanwhile:
        status, out = typed(script, root, environment, until_ctrl_c=bool(block.mark))

    assert status == 0, out
    for module, arguments in TYPED_BY_MAKE.findall(out):
        understood(module, arguments, monkeypatch)


def typed(
    script: str, folder: Path, environment: Mapping[str, str], *, until_ctrl_c: bool
) -> tuple[int, str]:
    """Run a script as a person does, who ends what does not end by itself."""
    said = folder / "said"
    with (
        said.open("wb") as out,
        subprocess.Popen(
            ["bash", "-c", script],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as shell,
    ):
        try:
            if until_ctrl_c:
                assert wait_until(lambda: said.stat().st_size > 0, SECONDS_FOR_A_BLOCK)
                time.sleep(3.0)  # long enough for what cannot work to have ended
                assert shell.poll() is None, said.read_text("utf-8")
                os.killpg(shell.pid, signal.SIGINT)
            status = shell.wait(SECONDS_FOR_A_BLOCK)
        finally:
            if shell.poll() is None:
                os.killpg(shell.pid, signal.SIGKILL)
    is_interrupted = until_ctrl_c and status in (130, -signal.SIGINT)
    return (0 if is_interrupted else status), said.read_text("utf-8")


def understood(module: str, arguments: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the arguments to whoever gets them of make, who does nothing with them."""
    if module == "pytest":
        only_collect = [*shlex.split(arguments), "--collect-only", "--quiet"]
        collected = subprocess.run(
            [sys.executable, "-m", "pytest", *only_collect],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            check=False,
        )
        assert collected.returncode == 0, collected.stdout + collected.stderr
    else:
        is_package = (ROOT / module / "__main__.py").exists()
        main = importlib.import_module(f"{module}.__main__" if is_package else module).main
        parsed(lambda: main(shlex.split(arguments)), monkeypatch)


class Parsed(Exception):
    """Report that arguments are possible, before anything is done with them."""


def parsed(begin: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin something up to where its arguments were understood; they are refused by SystemExit."""
    parse = argparse.ArgumentParser.parse_args

    def only_parse(parser: argparse.ArgumentParser, *arguments: Any) -> argparse.Namespace:
        parse(parser, *arguments)
        raise Parsed

    with monkeypatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_args", only_parse)
        with pytest.raises(Parsed):
            begin()


@pytest.mark.parametrize("command", sorted(set(in_sentences())))
def test_a_command_in_a_sentence_can_be_typed(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has that name, and these options."""
    name, *arguments = shlex.split(command)

    assert name in COMMANDS
    parsed(lambda: dispatch.run(name, arguments), monkeypatch)


def test_a_terminal_that_is_shown_has_commands_that_are_typed_elsewhere() -> None:
    """In a block that runs; those of make are looked at by test_documents.py."""
    shown = {
        command
        for path in documents(ROOT)
        for block in SHOWN.findall(path.read_text(encoding="utf-8"))
        for command in re.findall(r"^\$ (.*)$", block, re.MULTILINE)
    }
    typed_elsewhere = {line for block in RUN for line in block.script.splitlines()}

    assert shown
    assert not {command for command in shown - typed_elsewhere if not command.startswith("make ")}


def test_what_is_not_run_is_listed_with_its_reason() -> None:
    """So that a command is left out on purpose only."""
    marked = Counter((block.document, block.reason) for block in BLOCKS if block not in RUN)

    assert marked == NOT_RUN


def test_every_block_of_shell_is_found() -> None:
    """Under no other name, and indented nowhere."""
    texts = [path.read_text(encoding="utf-8") for path in documents(ROOT)]

    assert sum(text.count("```sh\n") for text in texts) == len(BLOCKS) > 15
    assert not [text for text in texts if re.search(r"```(bash|shell|zsh)", text)]
