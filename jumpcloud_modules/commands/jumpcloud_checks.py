"""Check JumpCloud with the same requests that collecting sends.

A refusal fails one check: those before it in the list passed, those after it are skipped.
"""

from collections.abc import Iterator, Sequence
from time import monotonic
from typing import Final

from jumpcloud_modules.commands import survey
from jumpcloud_modules.commands.asking import Question
from jumpcloud_modules.commands.configured import Configured
from jumpcloud_modules.commands.report import TRY_AGAIN, Check, skipped
from jumpcloud_modules.errors import Refused, TryAgain
from jumpcloud_modules.http.redaction import Secrets
from jumpcloud_modules.instants import DAY_MS, SECOND_MS
from jumpcloud_modules.jumpcloud.account import credentials_of, events_client
from jumpcloud_modules.jumpcloud.auth import END as TOKEN_HOST
from jumpcloud_modules.jumpcloud.auth import REMEDIES as OF_TOKENS
from jumpcloud_modules.jumpcloud.client import REMEDIES
from jumpcloud_modules.jumpcloud.clock import TOLERATED_DIFFERENCE_MS, JumpCloudClock
from jumpcloud_modules.jumpcloud.diagnosis import Findings, look_into, remedy
from jumpcloud_modules.jumpcloud.exclusion import Exclusion
from jumpcloud_modules.jumpcloud.insights import JumpCloudApi
from jumpcloud_modules.jumpcloud.regions import REGIONS, Region
from jumpcloud_modules.queries import Query
from jumpcloud_modules.sekoia.configuration import ALL_SERVICES

SECONDS_FOR_ONE_ROUND: Final = 6.0
"""For what is asked at the same time."""
SPAN_MS: Final = DAY_MS
OF_JUMPCLOUD: Final = ("clock", "credentials", "organization", "directory_insights", "counts")


class JumpCloudChecks:
    """Check JumpCloud with the same requests that collecting sends."""

    def __init__(
        self, configured: Configured, secrets: Secrets, regions: Sequence[Region] = REGIONS
    ) -> None:
        self._configured = configured
        self._regions = regions
        self._clock = JumpCloudClock()
        credentials = credentials_of(configured.account, secrets)
        client = events_client(configured.account, credentials, clock=self._clock)
        exclusion = Exclusion(configured.connector.excluded_types)
        self._api = JumpCloudApi(client, [ALL_SERVICES], exclusion)

    def run(self, configuration: Check) -> tuple[list[Check], dict[str, int]]:
        """Return the checks up to `counts`, and the events by service."""
        began = monotonic()
        refusal = self._first_answer()
        milliseconds = (monotonic() - began) * 1000
        verdict = self._verdict(refusal)
        if refusal is not None and verdict is None:
            failed = Check("jumpcloud", "failed", *_told(refusal, _UNREACHED))
            why = "JumpCloud does not answer as it should"
            return [configuration, failed, *skipped(OF_JUMPCLOUD, why)], {}
        reached = Check("jumpcloud", "ok", self._reached(milliseconds))
        if verdict is not None:
            blamed = list(self._blamed(verdict))
            return [configuration, reached, self._clock_check(), *blamed], {}
        counts, services, refused = self._counts()
        if refused:
            configuration = refused
        checks = [configuration, reached, self._clock_check(), *self._accepted(), counts]
        return checks, services

    def _verdict(self, refusal: TryAgain | Refused | None) -> Refused | None:
        """Return the error if it is about this key, organization or plan; None otherwise."""
        statuses = {401, 402, 403} | ({400} if self._configured.account.organization_id else set())
        if isinstance(refusal, Refused) and refusal.status in statuses:
            return refusal
        return None

    def _first_answer(self) -> TryAgain | Refused | None:
        """Ask for one event of the last day, and return why there was no page."""
        start_ms = self._clock.now_ms() - SPAN_MS

        def ask() -> None:
            self._api.open(Query(start_ms, None, 1)).close()

        try:
            Question("JumpCloud", ask, SECONDS_FOR_ONE_ROUND).answer()
        except (TryAgain, Refused) as error:
            return error
        return None

    def _reached(self, milliseconds: float) -> str:
        url = self._configured.account.base_url
        over = "over TLS" if url.startswith("https://") else "without TLS, on this machine"
        return f"{url} answers {over}, after {milliseconds:.0f} ms."

    def _clock_check(self) -> Check:
        if not self._clock.is_known:
            return Check("clock", "skipped", "Not checked: JumpCloud has not told its date.")
        ahead_ms = -self._clock.ahead_of_machine_ms
        if abs(ahead_ms) > TOLERATED_DIFFERENCE_MS:
            direction = "ahead of" if ahead_ms > 0 else "behind"
            difference = f"{abs(ahead_ms) // SECOND_MS} s {direction}"
            said = f"This machine's clock is {difference} JumpCloud's."
            return Check("clock", "failed", said, "Set this machine's clock (NTP).")
        return Check("clock", "ok", "This machine's clock agrees with JumpCloud's to a minute.")

    def _blamed(self, refusal: Refused) -> Iterator[Check]:
        """Fail the check that a refusal belongs to: those before it passed; skip the rest."""
        names = ("credentials", "organization", "directory_insights", "counts")
        account = self._configured.account
        findings = look_into(account, refusal, self._regions, SECONDS_FOR_ONE_ROUND)
        blamed = _cause(refusal, findings)
        place = names.index(blamed)
        message, own = _told(refusal, _REMEDIES.get(blamed, ""))
        who = self._who
        yield from (Check(name, "ok", _BEFORE[name].format(who=who)) for name in names[:place])
        yield Check(blamed, "failed", message, _sentence(remedy(account, findings) or own))
        refused = _AS_SAID[blamed].format(who=who)
        yield from skipped(names[place + 1 :], f"JumpCloud refuses the {refused}")

    def _accepted(self) -> Iterator[Check]:
        yield Check("credentials", "ok", _BEFORE["credentials"].format(who=self._who))
        chosen = self._configured.account.organization_id
        said = f"The {self._who} reaches organization {chosen}." if chosen else _OWN_ORGANIZATION
        yield Check("organization", "ok", said)
        yield Check("directory_insights", "ok", "Directory Insights answers with events.")

    @property
    def _who(self) -> str:
        return "service account" if self._configured.account.is_service_account else "key"

    # What would be collected

    def _counts(self) -> tuple[Check, dict[str, int], Check | None]:
        """Return the check of counts, the counts, and the configuration where it is at fault."""
        end_ms = self._clock.now_ms()
        start_ms = end_ms - SPAN_MS
        chosen = self._configured.connector.services
        asked = self._api.asking_for(chosen)
        buckets = Question(
            "JumpCloud", lambda: asked.buckets(start_ms, end_ms, "h"), SECONDS_FOR_ONE_ROUND
        )
        found = survey.Survey(self._api, start_ms, end_ms, SECONDS_FOR_ONE_ROUND)
        try:
            buckets.answer()
            services, left_out = found.services(), found.left_out()
        except (TryAgain, Refused) as error:
            if isinstance(error, Refused) and error.status == 400 and chosen != [ALL_SERVICES]:
                message, _ = _told(error, "")
                failed = Check("configuration", "failed", message, _UNKNOWN_SERVICE)
                return next(skipped(["counts"], "JumpCloud refuses the services")), {}, failed
            failed = Check("counts", "failed", *_told(error, _COUNTS_REMEDY))
            return failed, {}, None
        said = survey.told(services, left_out, chosen, end_ms)
        return Check("counts", "ok", said), services, None


def _cause(refusal: Refused, findings: Findings) -> str:
    """Name the check that a refusal fails; where a status has several causes, by the findings.

    Without findings, JumpCloud's own message decides.
    """
    if refusal.status == 402:
        return "directory_insights"
    if refusal.status == 400:
        return "organization"
    if findings.region is not None:
        return "credentials"
    said = str(refusal).partition(". ")[0].lower()
    return "organization" if "no organization" in said else "credentials"


def _sentence(text: str) -> str:
    return text if text.endswith((".", "/")) else f"{text}."


_BEFORE = {
    "credentials": "JumpCloud accepts the {who}.",
    "organization": "JumpCloud accepts the organization.",
}
_AS_SAID = {
    "credentials": "{who}",
    "organization": "organization",
    "directory_insights": "organization's plan",
}
_OWN_ORGANIZATION = "The key reaches one organization, its administrator's."
_UNREACHED = "Check base_url, this machine's network, its proxy (HTTPS_PROXY) and its certificates."
_COUNTS_REMEDY = (
    "Have the key's administrator allowed to count events (a role that reads Directory Insights):"
    " without counts, events that are late by more than five minutes are not found."
)
_UNKNOWN_SERVICE = "Correct service: all, or names of JumpCloud's list, separated by commas."
_REMEDIES = {
    "organization": "Set organization_id to the organization's id, as JumpCloud's admin portal"
    " shows it under Settings.",
}


def _told(error: TryAgain | Refused, better: str) -> tuple[str, str]:
    """Split an error's message into what happened and its remedy, used where there is no better."""
    text = str(error)
    remedies = OF_TOKENS if error.end == TOKEN_HOST else REMEDIES
    own = remedies.get(error.status or 0, "") or "Check base_url."
    message = text.removesuffix(own).strip()
    if isinstance(error, TryAgain) and error.status is not None:
        return message, TRY_AGAIN
    return message, better or own
