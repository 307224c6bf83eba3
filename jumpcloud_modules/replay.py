"""The published name of the replay: `python -m jumpcloud_modules.replay`."""

import sys

from jumpcloud_modules.commands.replay import main

if __name__ == "__main__":
    sys.exit(main())
