"""Which organization a command is about, where module.json lists several: `--organization NAME`."""

import argparse
from collections.abc import Iterable
from typing import Final

from jumpcloud_modules.commands import installation
from jumpcloud_modules.commands.installation import Installation
from jumpcloud_modules.commands.module_json import ConfigurationError
from jumpcloud_modules.sekoia.spelling import nearest

NAMES_SHOWN: Final = 30
WITHOUT_LIST: Final = "--organization {name}: no list of organizations is configured; leave it out."


def add_option(parser: argparse.ArgumentParser) -> None:
    """Let an organization be named."""
    parser.add_argument(
        "--organization", metavar="NAME", help="one of those that module.json lists"
    )


def chosen(data: str | None, name: str | None) -> Installation:
    """Return the installation that is meant: the organization of that name, or the only one.

    Raises ConfigurationError where a list needs a name, or has none like that, or there is no list.
    """
    place = installation.find(data=data)
    listed = place.organizations()
    if name is None:
        if listed:
            raise ConfigurationError(
                f"{place.name} lists several organizations; name one with --organization:"
                f" {_shown(listed)}."
            )
        return place
    if not listed:
        raise ConfigurationError(WITHOUT_LIST.format(name=name))
    if name not in listed:
        raise ConfigurationError(unknown(name, listed))
    return listed[name]


def unknown(name: str, names: Iterable[str]) -> str:
    """Say that there is no such organization, and which one may be meant, or which there are."""
    known = list(names)
    near = nearest(name, known)
    meant = f"did you mean {near}?" if near else f"there are {_shown(known)}."
    return f"--organization {name}: there is no such organization; {meant}"


def _shown(names: Iterable[str]) -> str:
    known = list(names)
    more = len(known) - NAMES_SHOWN
    return ", ".join(known[:NAMES_SHOWN]) + (f" and {more:,} more" if more > 0 else "")
