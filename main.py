"""Start the connector: with a command as the platform does, without one self-hosted."""

import sys

from jumpcloud_modules.connector import JumpcloudDirectoryInsightsConnector
from jumpcloud_modules.module import JumpcloudDirectoryInsightsModule
from jumpcloud_modules.validator import JumpcloudDirectoryInsightsValidator


def main() -> int:
    """Run what the command line asks for, and return the exit status."""
    if len(sys.argv) < 2:
        from jumpcloud_modules import self_hosted  # noqa: PLC0415 - the platform needs none of it

        return self_hosted.run()
    module = JumpcloudDirectoryInsightsModule()
    module.register(JumpcloudDirectoryInsightsConnector, "JumpcloudDirectoryInsightsConnector")
    module.register_account_validator(JumpcloudDirectoryInsightsValidator)
    module.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
