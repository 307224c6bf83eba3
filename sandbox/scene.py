"""A run as it goes on: the sandbox, the connector against it, what is seen, and harm to both."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from sandbox.api import Api
from sandbox.connector import ConnectorProcess
from sandbox.incidents import Incidents
from sandbox.observer import Observer
from sandbox.organizations import Organization
from sandbox.server import Sandbox
from sandbox.target import Target
from sandbox.verdict import Verdict


class Scene:
    """What goes on while the `with` block lasts. Its end ends all harm, and nothing else.

    `organizations` are those that are collected, where there are several.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        connector: ConnectorProcess | None = None,
        organizations: Sequence[Organization] = (),
    ) -> None:
        self.sandbox, self.connector = sandbox, connector
        ids = [one.id for one in organizations]
        self.target = Target(sandbox, connector, list(organizations), ids)
        self.observer = Observer(sandbox, connector)
        self.incidents = Incidents(self.target, self.observer)
        self.api = Api(self.target, self.observer, self.incidents)

    def __enter__(self) -> Self:
        self.observer.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.incidents.close()
        self.observer.__exit__(kind, error, trace)

    @property
    def goes_on(self) -> bool:
        """Tell whether the connector runs, or was ended to be started again."""
        return self.connector is None or self.connector.running or self.target.is_away

    def is_as_promised(self, verdict: Verdict) -> bool:
        """Tell whether it is clean but for what may come twice after a kill."""
        return verdict.clean or (self.target.kills > 0 and verdict.is_but_repeated)

    def verdict(self) -> Verdict:
        """Judge what was accepted, but for what no intake takes."""
        return self.sandbox.verdict(without=self.target.excused)

    def verdicts(self) -> dict[str, Verdict]:
        """Judge each of several organizations; return that by its name."""
        if not self.target.organizations:
            return {}
        names = self.sandbox.jumpcloud.organizations
        verdicts = self.sandbox.verdicts(without=self.target.excused)
        return {names.get(organization, "none"): one for organization, one in verdicts.items()}
