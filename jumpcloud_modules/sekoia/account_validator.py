"""The account form's "test connection": ask JumpCloud as the connector does, with a time limit.

Where JumpCloud refuses, the message also says why.
"""

from collections.abc import Callable, Sequence
from typing import Final

from sekoia_automation.account_validator import AccountValidator
from sekoia_automation.exceptions import ModuleConfigurationError

from jumpcloud_modules.errors import CollectorError, Refused
from jumpcloud_modules.instants import DAY_MS
from jumpcloud_modules.jumpcloud.account import Account, credentials_of, events_client
from jumpcloud_modules.jumpcloud.clock import machine_ms
from jumpcloud_modules.jumpcloud.diagnosis import (
    Findings,
    in_time,
    look_into,
    reached_organizations,
    remedy,
)
from jumpcloud_modules.jumpcloud.insights import JumpCloudApi
from jumpcloud_modules.jumpcloud.regions import REGIONS, Region
from jumpcloud_modules.queries import Query
from jumpcloud_modules.sekoia.configuration import ALL_SERVICES
from jumpcloud_modules.sekoia.module import JumpcloudDirectoryInsightsModule

SECONDS_TO_ANSWER: Final = 10.0
"""For the two questions of "Test connection"; looking for a cause has its own seconds."""


class JumpcloudDirectoryInsightsValidator(AccountValidator):
    """Tell whether JumpCloud answers with the account's values, and if not, why."""

    module: JumpcloudDirectoryInsightsModule
    regions: Sequence[Region] = REGIONS
    seconds_to_answer: float = SECONDS_TO_ANSWER

    def execute(self) -> None:
        """Validate the account and tell the platform, also where its values cannot be read."""
        try:
            super().execute()
        except ModuleConfigurationError as error:
            self.error(error.args[0])
            self.send_results(False)

    def validate(self) -> bool:
        """Ask JumpCloud for an event, and for how many the last day had."""
        try:
            fault = self._fault()
        except (CollectorError, ModuleConfigurationError) as error:
            fault = str(error.args[0])
        if fault:
            self.error(fault)
        return not fault

    def _fault(self) -> str | None:
        form, account = self.module.configuration, self.module.account_as_given
        if form.faults_of_credentials:
            return " ".join(form.faults_of_credentials)
        if not_chosen := form.faults_of_organization(account.organization_id):
            found = Findings(organizations=reached_organizations(account))
            return _joined(*not_chosen, remedy(account, found))
        page, count = self._answers(account)
        if page is None:
            return (
                f"JumpCloud did not answer within {self.seconds_to_answer:.0f} s. Check that"
                f" {account.base_url} can be reached from here, and try again."
            )
        if isinstance(page, Refused):
            return _joined(str(page), remedy(account, look_into(account, page, self.regions)))
        if isinstance(page, CollectorError):
            return str(page)
        self._tell(count)
        return None

    def _answers(self, account: Account) -> Sequence[int | CollectorError | None]:
        api = JumpCloudApi(events_client(account, credentials_of(account)), [ALL_SERVICES])
        now_ms = machine_ms()
        since_ms = now_ms - DAY_MS

        def page() -> int:
            return len(api.open(Query(since_ms, None, 1)).read(now_ms).events)

        def count() -> int:
            return api.count(since_ms, None)

        return in_time(self.seconds_to_answer, [_outcome(page), _outcome(count)])

    def _tell(self, count: int | CollectorError | None) -> None:
        """Say how many events there are; where counting fails, the account is still valid."""
        if isinstance(count, int):
            self.log(f"JumpCloud holds {count:,} events of the last 24 hours.", level="info")
        else:
            reason = count or "JumpCloud did not count in time."
            self.log(f"Events can be read, but not counted: {reason}", level="warning")


def _outcome(ask: Callable[[], int]) -> Callable[[], int | CollectorError]:
    """Return a question that returns its failure instead of raising it."""

    def asking() -> int | CollectorError:
        try:
            return ask()
        except CollectorError as error:
            return error

    return asking


def _joined(*sentences: str | None) -> str:
    return " ".join(filter(None, sentences))
