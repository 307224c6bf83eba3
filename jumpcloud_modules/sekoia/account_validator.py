"""The account form's "test connection": one question to JumpCloud, one sentence in return."""

import time
from typing import Final

from sekoia_automation.account_validator import AccountValidator
from sekoia_automation.exceptions import ModuleConfigurationError

from jumpcloud_modules.errors import CollectorError
from jumpcloud_modules.instants import MINUTE_MS
from jumpcloud_modules.jumpcloud.account import credentials_of, events_client
from jumpcloud_modules.jumpcloud.insights import JumpCloudApi
from jumpcloud_modules.sekoia.configuration import ALL_SERVICES
from jumpcloud_modules.sekoia.module import JumpcloudDirectoryInsightsModule

SPAN_MS: Final = 15 * MINUTE_MS


class JumpcloudDirectoryInsightsValidator(AccountValidator):
    """Tell whether JumpCloud answers with the account's values."""

    module: JumpcloudDirectoryInsightsModule

    def execute(self) -> None:
        """Validate the account and tell the platform, also where its values cannot be read."""
        try:
            super().execute()
        except ModuleConfigurationError as error:
            self.error(error.args[0])
            self.send_results(False)

    def validate(self) -> bool:
        """Ask JumpCloud how many events the last minutes had."""
        try:
            self._ask()
        except (CollectorError, ModuleConfigurationError) as error:
            self.error(error.args[0])
            return False
        return True

    def _ask(self) -> None:
        account, now_ms = self.module.account(), time.time_ns() // 1_000_000
        client = events_client(account, credentials_of(account))
        JumpCloudApi(client, [ALL_SERVICES]).count(now_ms - SPAN_MS, now_ms)
