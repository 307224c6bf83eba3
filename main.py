"""Start the connector as the platform does, self-hosted without a command, or another command."""

import gc
import sys

# Python would search the same modules for garbage 187 times while they load, and once more at the
# end: 34 of 278 ms of processor time, and 20 objects found.
gc.disable()

from jumpcloud_modules.sekoia.account_validator import JumpcloudDirectoryInsightsValidator  # noqa: E402 - see above
from jumpcloud_modules.sekoia.connector import JumpcloudDirectoryInsightsConnector  # noqa: E402
from jumpcloud_modules.sekoia.module import JumpcloudDirectoryInsightsModule  # noqa: E402

gc.freeze()
gc.enable()

COMMANDS_OF_THE_PLATFORM = ("JumpcloudDirectoryInsightsConnector", "validate_module_configuration")


def main() -> int:
    """Run what the command line asks for, and return the exit status."""
    if len(sys.argv) < 2:
        from jumpcloud_modules.commands import run  # noqa: PLC0415 - the platform needs none of it

        return run.run()
    if sys.argv[1] not in COMMANDS_OF_THE_PLATFORM:
        from jumpcloud_modules.commands import dispatch  # noqa: PLC0415

        return dispatch.main(sys.argv[1:])
    module = JumpcloudDirectoryInsightsModule()
    module.register(JumpcloudDirectoryInsightsConnector, "JumpcloudDirectoryInsightsConnector")
    module.register_account_validator(JumpcloudDirectoryInsightsValidator)
    module.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
