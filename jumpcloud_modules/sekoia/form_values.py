"""The values of a form's fields: each is checked and brought into one form.

A check raises an error of the type FAULT. Its message says what is wrong and what to do, and is to
follow the field's name. Knows no form.
"""

import re
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import BeforeValidator, SecretStr
from pydantic_core import PydanticCustomError

from jumpcloud_modules.http.loopback import is_private

FAULT: Final = "fault"
"""The type of pydantic's errors that carry a sentence of ours."""
MAX_QUOTE_CHARACTERS: Final = 60
_NAME: Final = re.compile(r"[A-Za-z0-9_.-]*")
_QUOTES: Final = ("'", '"')


def _fault(message: str) -> PydanticCustomError:
    return PydanticCustomError(FAULT, "{message}", {"message": message})


def _url(value: object) -> str:
    if not isinstance(value, str):
        raise _fault("is not a text; give an address such as https://host/.")
    address = value.strip()
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    # Half of a surrogate pair, which JSON allows, is not printable either, and cannot be sent.
    if not host or any(c.isspace() or not c.isprintable() for c in address):
        raise _fault("is not an address; give one such as https://host/.")
    if parts.username is not None or parts.query or parts.fragment:
        raise _fault("holds more than a host and a path; give an address such as https://host/.")
    if not is_private(address):
        raise _fault(
            f"begins with {parts.scheme}://, which would show the key to the network; give an"
            " https:// address."
        )
    return address.rstrip("/")


def _url_with_slash(value: object) -> str:
    return _url(value) + "/"


def _header_value(value: object) -> object:
    """Return a key or an identifier as it can be sent in a header."""
    if not isinstance(value, str):
        raise _fault("is not a text; paste it again.")
    text = value.strip()
    if _is_quoted(text):
        raise _fault("stands in quotes; leave them out.")
    if not _is_header_value(text):
        raise _fault("holds a space, a line break or a letter outside ASCII; paste it again.")
    return text


def _is_quoted(text: str) -> bool:
    """Tell whether quotes came along, as from a file that no shell reads."""
    return text.startswith(_QUOTES) or text.endswith(_QUOTES)


def _is_header_value(text: str) -> bool:
    return all("!" <= character <= "~" for character in text)


def _secret(value: object) -> object:
    """Return a secret without the white space around it; its characters are checked at use.

    Until the platform has delivered the secret, a placeholder of any form stands in its place.
    """
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if not isinstance(value, str):
        raise _fault("is not a text; paste it again.")
    return value.strip()


def faults_of_secret(name: str, secret: str) -> list[str]:
    """Return a sentence for what is wrong with the secret in a field, if anything is."""
    if _is_quoted(secret):
        return [f"{name}: stands in quotes; leave them out."]
    if _is_header_value(secret):
        return []
    return [f"{name}: holds a space, a line break or a letter outside ASCII; paste it again."]


def _given(value: object) -> object:
    if value == "":
        raise _fault("is empty; give the key of the intake (self-hosted: SEKOIA_INTAKE_KEY).")
    return value


def _whole_number(value: object) -> object:
    if isinstance(value, bool):
        raise PydanticCustomError("int_type", "not a number")
    return value


def _name_list(value: object) -> object:
    """Return the form's text, also where a configuration holds a list of names."""
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        return ",".join(value)
    if not isinstance(value, str):
        raise _fault("is not a text; give names, separated by commas.")
    for name in map(str.strip, value.split(",")):
        if not _NAME.fullmatch(name):
            raise _fault(
                f"{quoted(name)} cannot be a name; give names with commas between them, such as"
                " directory,sso."
            )
    return value


def quoted(value: object) -> str:
    """Return a value as it stands in a sentence, cut where it is long."""
    text = repr(value)
    return text if len(text) <= MAX_QUOTE_CHARACTERS else f"{text[:MAX_QUOTE_CHARACTERS]}…"


Address = Annotated[str, BeforeValidator(_url)]
AddressWithSlash = Annotated[str, BeforeValidator(_url_with_slash)]
Identifier = Annotated[str, BeforeValidator(_header_value)]
IntakeKey = Annotated[str, BeforeValidator(_given), BeforeValidator(_header_value)]
NameList = Annotated[str, BeforeValidator(_name_list)]
Secret = Annotated[SecretStr, BeforeValidator(_secret)]
WholeNumber = Annotated[int, BeforeValidator(_whole_number)]
