"""Which process of `make test` runs which tests: a file each, those of real processes together.

The tests of real processes run side by side by themselves (`tests/process/conftest.py`): shared
among two processes, each would start them all.
"""

from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped] # it has no types

OF_PROCESSES = "tests/process/"


class ByFile(LoadFileScheduling):  # type: ignore[misc] # the library has no types
    """Give each process a file of tests at a time, and the folder of processes to one of them."""

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith(OF_PROCESSES):
            return OF_PROCESSES
        return str(super()._split_scope(nodeid))
