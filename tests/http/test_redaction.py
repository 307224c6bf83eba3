"""What no message shows, and what it still says."""

import html
import json
import string
import threading
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from jumpcloud_modules.http.redaction import MIN_CHARACTERS_TO_FIND_ANYWHERE, REDACTED, Secrets
from jumpcloud_modules.http.retry import Retry
from jumpcloud_modules.intake.client import Intake, IntakeOptions
from jumpcloud_modules.intake.quarantine import Quarantine
from jumpcloud_modules.jumpcloud.account import Account, credentials_of
from jumpcloud_modules.state.folder import Folder

_KEY = "jca_a_key_that_nobody_may_read"
_LETTERS = string.ascii_letters + string.digits

any_text = st.text(max_size=30)
long_secrets = st.text(min_size=MIN_CHARACTERS_TO_FIND_ANYWHERE, max_size=40).filter(str.strip)
short_secrets = st.text(_LETTERS + "-_äß", min_size=1, max_size=MIN_CHARACTERS_TO_FIND_ANYWHERE - 1)
words = st.text(_LETTERS, min_size=1, max_size=12)


@given(secret=long_secrets, before=any_text, after=any_text)
def test_a_long_secret_survives_in_no_text(secret: str, before: str, after: str) -> None:
    """Whatever stands around it, be it amid a word; the mask itself is no secret."""
    assume(secret not in REDACTED)

    redacted = Secrets(secret).redact(before + secret + after)

    assert secret not in redacted
    assert REDACTED in redacted


@given(secrets=st.lists(long_secrets, max_size=4), pieces=st.data())
def test_none_of_several_secrets_survives(secrets: list[str], pieces: st.DataObject) -> None:
    """Also where one is a part of another, or follows it at once."""
    assume(not any(secret in REDACTED for secret in secrets))
    part = st.sampled_from([*secrets, *(s[1:] for s in secrets), " ", "x"])
    text = "".join(pieces.draw(st.lists(part, max_size=8)))

    redacted = Secrets(*secrets).redact(text)

    assert [secret for secret in secrets if secret in redacted] == []


@given(secret=short_secrets, before=words, after=words)
def test_a_short_secret_is_never_shown_as_itself(secret: str, before: str, after: str) -> None:
    """Where it stands alone."""
    secrets = Secrets(secret)

    for left, right in ((" ", " "), ('"', '"'), ("=", "&"), ("(", ")."), ("\n", "\n")):
        shown = secrets.redact(before + left + secret + right + after)

        assert left + secret + right not in shown


@given(secret=words.filter(lambda word: len(word) < 8), before=words, after=words)
def test_words_that_hold_a_short_secret_stay(secret: str, before: str, after: str) -> None:
    """`Trying` is no key, although `y` may be one."""
    secrets = Secrets(secret)

    for word in (before + secret, secret + after, before + secret + after):
        assert secrets.redact(f"{word}: so it is.").startswith(f"{word}: ")


@given(secrets=st.lists(st.text("!#$%0", min_size=8), max_size=3), text=st.text(_LETTERS + " .:,"))
def test_ordinary_words_stay(secrets: list[str], text: str) -> None:
    """Nothing is blanked but what was told to be secret."""
    assume(not any(secret in text for secret in secrets))

    assert Secrets(*secrets, "", "  ").redact(text) == text


@pytest.mark.parametrize(
    "written",
    [
        repr,
        json.dumps,
        lambda key: json.dumps(key, ensure_ascii=False),
        lambda key: quote(key, safe=""),
        lambda key: repr(key.encode()),
        str.strip,
        lambda key: " ".join(key.split()),
        html.escape,
    ],
)
@pytest.mark.parametrize("key", ["a long key\n", "a\nlong  key", " clé&<long>", 'sch"lüssel€'])
def test_a_secret_does_not_survive_in_another_way_of_writing_it(key: str, written: object) -> None:
    """A server quotes it as JSON, the HTTP library as Python does."""
    assert callable(written)
    text = str(written(key))

    shown = Secrets(key).redact(f"before {text} after")

    assert text.strip("\"'") not in shown
    assert REDACTED in shown


def test_a_text_without_a_secret_is_itself() -> None:
    """Nothing is known at first."""
    assert Secrets().redact("Trying again.") == "Trying again."


def test_a_secret_that_is_added_later_is_blanked_as_well() -> None:
    """A token that was fetched a minute ago is one like the others."""
    secrets = Secrets(_KEY)

    secrets.add("a-token-of-today", "")

    assert secrets.redact(f"{_KEY}, a-token-of-today") == f"{REDACTED}, {REDACTED}"


def test_secrets_are_added_and_blanked_by_many_threads_at_once() -> None:
    """One set serves both ends and the log: none is forgotten, and none shown meanwhile."""
    secrets, shown = Secrets(_KEY), list[str]()

    def work(number: int) -> None:
        for step in range(50):
            token = f"token-{number}-{step:04}"
            secrets.add(token)
            shown.append(secrets.redact(f"{_KEY} {token}"))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert set(shown) == {f"{REDACTED} {REDACTED}"}
    assert secrets.redact("token-0-0000 token-3-0049") == f"{REDACTED} {REDACTED}"


def test_both_ends_blank_what_one_set_holds() -> None:
    """Each end adds its own key, and hears of the other's."""
    secrets = Secrets()
    credentials_of(Account("http://127.0.0.1:9", "a-key-of-jumpcloud"), secrets)
    retry = Retry(threading.Event())
    quarantine = Quarantine(Folder(Path("quarantine")))
    options = IntakeOptions("http://127.0.0.1:9", "a-key-of-the-intake")
    Intake(options, quarantine, retry, retry, secrets=secrets)

    shown = secrets.redact("a-key-of-jumpcloud and a-key-of-the-intake")

    assert shown == f"{REDACTED} and {REDACTED}"
