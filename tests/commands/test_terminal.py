"""Colours and tables on a terminal, plain lines in a pipe."""

import io
import os
import pty
import subprocess
import sys
from pathlib import Path

from jumpcloud_modules.commands.terminal import Cell, Terminal
from sandbox import Sandbox
from tests import leaks
from tests.shell import ROOT, self_hosted

ROWS = [[Cell("ok", "good"), Cell("[state]")], [Cell("failed", "bad"), Cell("x")]]


class Screen(io.StringIO):
    """A stream that a person looks at."""

    def isatty(self) -> bool:
        """Be a terminal."""
        return True


def test_a_pipe_gets_aligned_columns() -> None:
    """Without colours, without trailing blanks."""
    pipe = io.StringIO()

    Terminal(pipe).table(ROWS, ["status", "name"])

    assert pipe.getvalue() == "status  name\nok      [state]\nfailed  x\n"


def test_nothing_to_show_is_nothing() -> None:
    """Not even an error."""
    pipe = io.StringIO()

    Terminal(pipe).table([])

    assert pipe.getvalue() == ""


def test_a_text_in_brackets_is_no_markup_on_a_terminal() -> None:
    """What an end said may hold anything."""
    screen = Screen()
    terminal = Terminal(screen)

    terminal.table(ROWS, ["status", "name"])
    terminal.say("[bold]said", "bad")

    assert "[state]" in screen.getvalue()
    assert "[bold]said" in screen.getvalue()


def test_a_terminal_gets_colours(tmp_path: Path) -> None:
    """As the real process before a real one."""
    ours, theirs = pty.openpty()
    with Sandbox() as sandbox:
        environment = self_hosted(sandbox, tmp_path, JUMPCLOUD_API_KEY="x")
        process = subprocess.Popen(
            [sys.executable, "main.py", "check"],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], "TERM": "xterm-256color", **environment},
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        shown = _all_of(ours)
        assert process.wait(30) == 1
        leaks.note(shown, environment=environment)

    assert "\x1b[1;31mfailed" in shown
    assert "\x1b[32mok" in shown


def _all_of(descriptor: int) -> str:
    shown = b""
    try:
        while piece := os.read(descriptor, 65_536):
            shown += piece
    except OSError:  # so Linux says that the other side has closed it
        pass
    os.close(descriptor)
    return shown.decode()
