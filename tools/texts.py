"""The texts of the product, found in its code: what it may say, wherever that is written.

A text is found by its length alone, so that none escapes because it is handed on before it is
logged. What of it is a message, `messages` says.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PACKAGE: Final = Path(__file__).resolve().parent.parent / "jumpcloud_modules"
TO_A_TERMINAL: Final = "commands"
"""The folder of what speaks to whoever typed a command, at once and to nobody else."""
BUT_TO_THE_LOG: Final = {"environment.py", "many.py"}
"""Files of it that speak to the log all the same."""
MIN_WORDS: Final = 3
"""What is shorter is a name or a piece of a sentence."""
IN_A_FORM: Final = {"description", "title", "documentation"}
"""Arguments that the form and the metrics show."""
LEVEL_OF: Final = {"_warn": "warning", "warn": "warning"}
SAYS_ITS_LEVEL: Final = {"log", "_log", "say"}


@dataclass(frozen=True, slots=True)
class Text:
    """Hold a text of the code, with `…` for each value that it is filled in with.

    `level` is None where the call that it stands in does not say how it is logged.
    """

    place: str
    words: str
    level: str | None


def texts(package: Path = PACKAGE) -> Iterator[Text]:
    """Yield each text of the product that is no docstring and long enough to be a sentence."""
    for path in sorted(package.rglob("*.py")):
        if path.parent.name == TO_A_TERMINAL and path.name not in BUT_TO_THE_LOG:
            continue
        place = str(path.relative_to(package))
        yield from texts_of(ast.parse(path.read_text(encoding="utf-8")), place)


def texts_of(tree: ast.Module, place: str) -> Iterator[Text]:
    """Yield the texts of one module."""
    levels, left_out = _levels(tree), set(_left_out(tree))
    for node in ast.walk(tree):
        words = None if node in left_out else _words(node)
        if words and len(words.split()) >= MIN_WORDS:
            yield Text(f"{place}:{getattr(node, 'lineno', 0)}", words, levels.get(node))


def _words(node: ast.AST) -> str | None:
    if isinstance(node, ast.JoinedStr):
        parts = (str(p.value) if isinstance(p, ast.Constant) else "…" for p in node.values)
        return "".join(parts)
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    return None


def _left_out(tree: ast.Module) -> Iterator[ast.AST]:
    """Yield docstrings, types in quotes, what a form shows, and the pieces of f-strings."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr):
            yield node.value
        elif isinstance(node, ast.JoinedStr):
            yield from (part for part in node.values if isinstance(part, ast.Constant))
        elif isinstance(node, ast.keyword) and node.arg in IN_A_FORM:
            yield from ast.walk(node.value)
        for name in ("annotation", "returns"):
            if annotation := getattr(node, name, None):
                yield from ast.walk(annotation)


def _levels(tree: ast.Module) -> dict[ast.AST, str]:
    """Return the levels of the texts that stand in the very call that logs them."""
    found: dict[ast.AST, str] = {}
    for call in ast.walk(tree):
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.args):
            continue
        level = LEVEL_OF.get(call.func.attr)
        if call.func.attr in SAYS_ITS_LEVEL:
            said = [*call.args[1:], *(k.value for k in call.keywords if k.arg == "level")]
            level = next((str(a.value) for a in said if isinstance(a, ast.Constant)), None)
        if level:
            found[call.args[0]] = level
    return found


def shown(words: str) -> str:
    """Return a text as a document shows it: one `…` where values follow each other."""
    return re.sub(r"…(?: ?…)+", "…", words).strip()
