"""The nine checks of the command `check`, in such an order that the first to fail is the cause.

Asks JumpCloud and the intake at the same time, each with a time limit. Changes nothing: no event is
sent, no file is written, no state is owned. Knows nothing of how a report is shown.
"""

import re
from functools import partial
from pathlib import Path

from jumpcloud_modules.commands import configured as configurations
from jumpcloud_modules.commands.asking import Question
from jumpcloud_modules.commands.check_jumpcloud import (
    OF_JUMPCLOUD,
    SECONDS_FOR_ONE_ROUND,
    JumpCloudChecks,
)
from jumpcloud_modules.commands.check_report import Check, Report, failed, skipped
from jumpcloud_modules.commands.configured import Configured
from jumpcloud_modules.commands.installation import Installation
from jumpcloud_modules.commands.module_json import ConfigurationError
from jumpcloud_modules.errors import CannotWork, Refused, StateUnavailable, TryAgain
from jumpcloud_modules.http.redaction import Secrets
from jumpcloud_modules.http.throttle import Throttle
from jumpcloud_modules.instants import to_text
from jumpcloud_modules.intake.probe import NotTested, probe
from jumpcloud_modules.state.inspection import Inspection, fault_of_folder, inspect

AFTER_THE_CONFIGURATION = ("jumpcloud", *OF_JUMPCLOUD, "intake")


def check(installation: Installation, secrets: Secrets, throttle: Throttle | None = None) -> Report:
    """Check everything. `secrets` learns what no output may show; `throttle` spaces requests."""
    state = Question("The state", partial(_look_at_state, installation), SECONDS_FOR_ONE_ROUND)
    try:
        configured = _configured(installation)
    except ConfigurationError as error:
        return _cannot_work(_cut(str(error)), state)
    account = configured.account
    secrets.add(account.api_key, account.client_secret, configured.connector.intake_key)
    intake = Question(
        "The Sekoia intake",
        lambda: probe(configured.intake_url, configured.connector.intake_key, secrets),
        SECONDS_FOR_ONE_ROUND,
    )
    try:
        jumpcloud = JumpCloudChecks(configured, secrets, throttle=throttle)
    except CannotWork as error:
        return _cannot_work(_cut(str(error), ": "), state)
    except Refused as error:  # a service account whose tokens nobody can be asked for
        return _cannot_work((str(error), "Correct base_url."), state)
    checks, services = jumpcloud.run(_read_well(installation))
    return Report((*checks, _intake(intake), _state(state)), services)


State = tuple[Path, Inspection]


def _cannot_work(why: tuple[str, str], state: Question[State]) -> Report:
    configuration = Check("configuration", "failed", *why)
    rest = skipped(AFTER_THE_CONFIGURATION, "the configuration cannot work")
    return Report((configuration, *rest, _state(state)))


def _read_well(installation: Installation) -> Check:
    """Report a configuration that can work, and names in it that nobody reads."""
    said = f"Each value of {installation.name} is possible."
    if warnings := installation.warnings():
        return Check("configuration", "ok", " ".join([said, *warnings]), "Correct what is unread.")
    return Check("configuration", "ok", said)


def _configured(installation: Installation) -> Configured:
    read = partial(configurations.read, installation)
    try:
        return Question("The platform", read, SECONDS_FOR_ONE_ROUND).answer()
    except TryAgain as error:
        raise ConfigurationError(f"{error} Check URL_SECRETS.") from None


def _cut(text: str, mark: str = "; ") -> tuple[str, str]:
    """Divide what is wrong from what to do: a message says both, with a mark between.

    Several of them are left as they are.
    """
    wrong, found, remedy = text.rpartition(mark)
    if not found or mark in wrong or ". " in remedy:
        return text, "Correct the configuration."
    return wrong + ".", remedy[:1].upper() + remedy[1:]


def _intake(question: Question[None]) -> Check:
    try:
        question.answer()
    except NotTested as error:
        return Check("intake", "skipped", f"Not tested: {error}")
    except CannotWork as error:
        return Check("intake", "failed", *_cut(str(error), ": "))
    except (TryAgain, Refused) as error:
        return failed("intake", error, unanswered=_INTAKE_UNREACHED)
    return Check("intake", "ok", "The intake takes the key.")


def _look_at_state(installation: Installation) -> State:
    folder = installation.folder
    if fault := fault_of_folder(folder):
        raise ConfigurationError(fault)
    return folder, inspect(folder)


def _state(question: Question[State]) -> Check:
    try:
        folder, found = question.answer()
    except ConfigurationError as error:
        return Check("state", "failed", *_cut(str(error)))
    except (StateUnavailable, TryAgain) as error:
        said = str(error).removesuffix(_WAITS_FOR_THE_STATE)
        return Check("state", "failed", said, _STATE_REMEDY)
    return state_check(folder, found)


def state_check(folder: Path, found: Inspection) -> Check:
    """Say how a state is: readable, whose, how far, and what is left to read."""
    owner = f"a connector runs on it ({found.owner})" if found.owner else "no connector runs on it"
    if found.damage:
        said = " ".join(re.sub(r":$", ".", sentence) for sentence in found.damage)
        return Check("state", "failed", f"{said} Just now {owner}.", _DAMAGE_REMEDY)
    if not found.begun:
        return Check("state", "ok", f"There is no state yet in {folder}, and {owner}.")
    if found.without_ledger and not found.owner:
        places = " and ".join(map(str, found.without_ledger))
        said = f"The ledger of delivered events is missing in {places}."
        return Check("state", "failed", said, _LEDGER_REMEDY)
    windows = sum(len(checkpoint.windows) for _, checkpoint in found.begun)
    open_ = f"{f'{windows} stretches of backlog are' if windows else 'no backlog is'} open"
    kept = found.quarantine.files
    aside = f"; {kept} events are in the quarantine" if kept else ""
    said = f"It is sound and has read {_reached(found)}; {owner}; {open_}{aside}."
    return Check("state", "ok", said)


def _reached(found: Inspection) -> str:
    """Say up to which instant events were read, of each stream where there are several."""
    if len(found.begun) == 1:
        return f"up to {to_text(found.begun[0][1].watermark_ms)}"
    return " and ".join(
        f"{stream.services or stream.folder} up to {to_text(checkpoint.watermark_ms)}"
        for stream, checkpoint in found.begun
    )


_INTAKE_UNREACHED = "Check intake_server, this machine's network and its proxy (HTTPS_PROXY)."
_WAITS_FOR_THE_STATE = (
    " Collecting waits until it can: check the disk's space and rights, or the object storage."
)
_STATE_REMEDY = "Check the disk's space and rights, or the object storage."
_DAMAGE_REMEDY = (
    "Put back a backup of the whole folder, or let the connector go on as it says here; python"
    " main.py state reset chooses another instant."
)
_LEDGER_REMEDY = (
    "Put back a backup of the whole folder, or let the connector go on: late events from before"
    " are not looked for then."
)
