"""The messages: each text of the product is explained, and each explanation has its text."""

import ast

import pytest

from tools.messages import MESSAGES, beginning_of, beginnings
from tools.texts import Text, shown, texts, texts_of

TEXTS = list(texts())


def test_every_text_that_the_product_may_say_is_explained() -> None:
    """A new message gets its meaning, and what to do about it."""
    unexplained = [text for text in TEXTS if beginning_of(text) is None]

    assert unexplained == [], "say in tools/messages.py what they mean, and run make docs"


def test_every_explanation_has_its_text() -> None:
    """And no text is explained twice."""
    found = {beginning_of(text) for text in TEXTS}

    assert [begin for begin in beginnings() if begin not in found] == []
    assert len(set(beginnings())) == len(beginnings())


def test_the_level_is_the_one_that_the_code_logs_with() -> None:
    """As far as it stands in the call itself."""
    explained = {message.begins: message.level for message in MESSAGES}
    said = [text for text in TEXTS if text.level and beginning_of(text) in explained]

    assert len(said) > 5
    for text in said:
        assert text.level in explained[str(beginning_of(text))].split(", "), text


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ('self.log("all is very well", level="info")', Text("m:1", "all is very well", "info")),
        ('self._log(f"{a} is at {b}", "error")', Text("m:1", "… is at …", "error")),
        ('process.warn("one" f" of {many}")', Text("m:1", "one of …", "warning")),
        ('raise TryAgain("try it again")', Text("m:1", "try it again", None)),
    ],
)
def test_a_text_is_found_wherever_it_is_written(code: str, found: Text) -> None:
    """With its level, where the call says it."""
    assert list(texts_of(ast.parse(code), "m")) == [found]


@pytest.mark.parametrize(
    "code",
    [
        '"a docstring of some words"',
        'x = 1\n"""What this constant is for."""',
        'def f(x: "One | Another | None") -> None: ...',
        'Field(description="How long it takes")',
        'name = "two words"',
    ],
)
def test_what_nobody_reads_in_a_log_is_no_message(code: str) -> None:
    """Docstrings, types, what forms show, names."""
    assert list(texts_of(ast.parse(code), "m")) == []


def test_values_that_follow_each_other_are_shown_as_one() -> None:
    """The reader looks for the words between them."""
    assert shown("… … s: … read…") == "… s: … read…"
