"""Keys that no message may show: a live set of them, blanked out of texts.

Knows only what it was told: what merely looks like a key is left alone. Reports to Sentry are also
cleared by the names of fields, in `sekoia.module`.
"""

import html
import json
import re
import threading
from collections import deque
from collections.abc import Iterator
from urllib.parse import quote, quote_plus

REDACTED = "[redacted]"
MIN_CHARACTERS_TO_FIND_ANYWHERE = 8
"""A shorter secret may be a part of any word, and is blanked only where it stands alone."""
PASSING_SECRETS_KEPT = 8
"""Tokens are replaced every hour: a process that runs for months must not look for them all."""


class Secrets:
    """Hold the secrets that are known so far; any thread may add to them and redact."""

    def __init__(self, *secrets: str, passing_kept: int = PASSING_SECRETS_KEPT) -> None:
        self._known: set[str] = set()
        self._passing: deque[str] = deque()
        self._passing_kept = passing_kept
        self._patterns: dict[str, re.Pattern[str]] = {}
        self._lock = threading.Lock()
        self.add(*secrets)

    def add(self, *secrets: str) -> None:
        """Redact these, too, from now on; an empty one is none, a known one costs nothing."""
        # Called for each line of a log, so without the lock where all are known.
        if self._known.issuperset(secrets):
            return
        with self._lock:
            self._replace_patterns(self._known.union(secrets))

    def add_passing(self, secret: str) -> None:
        """Redact this one, too, until several newer ones of its kind have come after it."""
        with self._lock:
            if secret in self._known:
                return
            self._passing.append(secret)
            old = {self._passing.popleft()} if len(self._passing) > self._passing_kept else set()
            self._replace_patterns(self._known - old | {secret})

    def _replace_patterns(self, known: set[str]) -> None:
        forms = {form for secret in known for form in _written_forms(secret)}
        # The longest first: one that is a part of another must not leave the rest of it.
        ordered = sorted(forms, key=len, reverse=True)
        # Replaced, never changed: who redacts meanwhile has the old ones or the new ones. And
        # known only afterwards: who finds a secret known may rely on its being redacted.
        before = self._patterns
        self._patterns = {form: before.get(form) or _pattern(form) for form in ordered}
        self._known = known

    def redact(self, text: str) -> str:
        """Blank the secrets out of a text."""
        for pattern in self._patterns.values():
            text = pattern.sub(REDACTED, text)
        return text


def _pattern(form: str) -> re.Pattern[str]:
    if len(form) >= MIN_CHARACTERS_TO_FIND_ANYWHERE:
        return re.compile(re.escape(form))
    # A short one may be part of any word, so it counts only where it stands alone.
    return re.compile(rf"(?<![^\W_]){re.escape(form)}(?![^\W_])")


def _written_forms(secret: str) -> Iterator[str]:
    """Yield a secret as it is, and as others write it.

    A form's stray blanks fall away, an error quotes it as Python does, a server as JSON, in an
    address or on a page, and a log line may fold its blanks.
    """
    forms = (
        secret,
        secret.strip(),
        " ".join(secret.split()),
        repr(secret)[1:-1],
        repr(secret.encode(errors="replace"))[2:-1],
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        quote(secret, safe="", errors="replace"),
        quote_plus(secret, errors="replace"),
        html.escape(secret),
    )
    yield from filter(str.strip, forms)
