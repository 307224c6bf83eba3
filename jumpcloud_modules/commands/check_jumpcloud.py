"""Check JumpCloud with the same requests that collecting sends, in this order.

1. One event of the last day: that checks `jumpcloud`, `clock`, `credentials`, `organization` and
   `directory_insights`. A refusal fails one of them: those before it passed, those after it are
   skipped.
2. After a refusal: which organizations the credentials reach, and which region accepts them.
3. Otherwise, all at the same time: counts by the hour, counts by service, and which services
   `all` covers: `counts`. A service that JumpCloud does not know fails `configuration`.
"""

from collections.abc import Iterator, Sequence
from time import monotonic
from typing import Final

from jumpcloud_modules.commands import survey
from jumpcloud_modules.commands.asking import Question
from jumpcloud_modules.commands.check_report import Check, failed, skipped
from jumpcloud_modules.commands.configured import Configured
from jumpcloud_modules.errors import Refused, TryAgain
from jumpcloud_modules.http.redaction import Secrets
from jumpcloud_modules.http.throttle import Throttle
from jumpcloud_modules.instants import DAY_MS, SECOND_MS
from jumpcloud_modules.jumpcloud.account import Account, credentials_of, events_client
from jumpcloud_modules.jumpcloud.clock import TOLERATED_DIFFERENCE_MS, JumpCloudClock
from jumpcloud_modules.jumpcloud.diagnosis import (
    Findings,
    look_into,
    organization_to_choose,
    remedy,
)
from jumpcloud_modules.jumpcloud.exclusion import Exclusion
from jumpcloud_modules.jumpcloud.insights import JumpCloudApi
from jumpcloud_modules.jumpcloud.regions import REGIONS, Region
from jumpcloud_modules.queries import Query
from jumpcloud_modules.sekoia.configuration import ALL_SERVICES

SECONDS_FOR_ONE_ROUND: Final = 6.0
"""The time limit of questions that are asked together."""
SPAN_MS: Final = DAY_MS
WHAT_A_REFUSAL_FAILS: Final = ("credentials", "organization", "directory_insights")
OF_JUMPCLOUD: Final = ("clock", *WHAT_A_REFUSAL_FAILS, "counts")


class JumpCloudChecks:
    """Check one account's JumpCloud, and count what a connector would collect from it."""

    def __init__(
        self,
        configured: Configured,
        secrets: Secrets,
        regions: Sequence[Region] = REGIONS,
        throttle: Throttle | None = None,
    ) -> None:
        self._configured = configured
        self._regions = regions
        self._clock = JumpCloudClock()
        credentials = credentials_of(configured.account, secrets)
        client = events_client(
            configured.account, credentials, clock=self._clock, throttle=throttle
        )
        exclusion = Exclusion(configured.connector.excluded_types)
        self._api = JumpCloudApi(client, [ALL_SERVICES], exclusion)

    def run(self, configuration: Check) -> tuple[list[Check], dict[str, int]]:
        """Return the checks up to `counts`, and the events by service.

        `configuration` is the check before them.
        """
        began = monotonic()
        error = self._error_of_first_request()
        milliseconds = (monotonic() - began) * 1000
        is_of_the_account = isinstance(error, Refused) and error.status in self._account_statuses
        if error is not None and not is_of_the_account:
            unreached = failed("jumpcloud", error, unanswered=_UNREACHED)
            rest = skipped(OF_JUMPCLOUD, "JumpCloud does not answer as it should")
            return [configuration, unreached, *rest], {}
        reached = Check("jumpcloud", "ok", self._reached(milliseconds))
        if isinstance(error, Refused):
            return [configuration, reached, self._clock_check(), *self._refused(error)], {}
        configuration, counts, services = self._counted(configuration)
        return [configuration, reached, self._clock_check(), *self._accepted(), counts], services

    @property
    def _account_statuses(self) -> set[int]:
        """Return the statuses that are about the credentials, the organization or its plan."""
        return {401, 402, 403} | ({400} if self._configured.account.organization_id else set())

    def _error_of_first_request(self) -> TryAgain | Refused | None:
        """Ask for one event of the last day; return why there was no page, None if there was."""
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

    def _refused(self, refusal: Refused) -> Iterator[Check]:
        """Fail the check that a refusal is about: those before it passed; skip the rest."""
        account, who = self._configured.account, self._who
        findings = look_into(account, refusal, self._regions, SECONDS_FOR_ONE_ROUND)
        blamed = _blamed(refusal, account, findings)
        place = OF_JUMPCLOUD.index(blamed)
        for name in OF_JUMPCLOUD[1:place]:
            yield Check(name, "ok", _PASSED[name].format(who=who))
        better = remedy(account, findings) or _REMEDIES.get(blamed, "")
        yield failed(blamed, refusal, unanswered="", refused=_sentence(better))
        why = f"JumpCloud refuses the {_WHAT_IS_REFUSED[blamed].format(who=who)}"
        yield from skipped(OF_JUMPCLOUD[place + 1 :], why)

    def _accepted(self) -> Iterator[Check]:
        yield Check("credentials", "ok", _PASSED["credentials"].format(who=self._who))
        chosen = self._configured.account.organization_id
        said = f"The {self._who} reaches organization {chosen}." if chosen else _OWN_ORGANIZATION
        yield Check("organization", "ok", said)
        yield Check("directory_insights", "ok", "Directory Insights answers with events.")

    @property
    def _who(self) -> str:
        return "service account" if self._configured.account.is_service_account else "key"

    # What would be collected

    def _counted(self, configuration: Check) -> tuple[Check, Check, dict[str, int]]:
        """Return the checks of the configuration and of the counts, and the events by service."""
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
                unknown = failed("configuration", error, unanswered="", refused=_UNKNOWN_SERVICE)
                return unknown, next(skipped(["counts"], "JumpCloud refuses the services")), {}
            counts = failed("counts", error, unanswered=_UNREACHED, refused=_COUNTS_REMEDY)
            return configuration, counts, {}
        said = survey.told(services, left_out, chosen, end_ms)
        return configuration, Check("counts", "ok", said), services


def _blamed(refusal: Refused, account: Account, findings: Findings) -> str:
    """Name the check that a refusal fails; where a status has several causes, by the findings."""
    if refusal.status == 402:
        return "directory_insights"
    if refusal.status == 400 or organization_to_choose(account, findings):
        return "organization"
    return "credentials"


def _sentence(text: str) -> str:
    return text if text.endswith((".", "/")) or not text else f"{text}."


_PASSED = {
    "credentials": "JumpCloud accepts the {who}.",
    "organization": "JumpCloud accepts the organization.",
}
_WHAT_IS_REFUSED = {
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
