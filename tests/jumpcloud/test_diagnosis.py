"""What a refusal comes from, as far as JumpCloud tells."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

import pytest

from jumpcloud_modules.errors import Refused
from jumpcloud_modules.jumpcloud import diagnosis
from jumpcloud_modules.jumpcloud.account import Account
from jumpcloud_modules.jumpcloud.console import Organization
from jumpcloud_modules.jumpcloud.diagnosis import Findings, accepting_region, look_into, remedy
from jumpcloud_modules.jumpcloud.regions import Region
from sandbox import Sandbox, faults
from tests.doubles import account_at, service_account_at

_TWO = {"a": "Customer A", "b": "Customer B"}


@dataclass
class _World:
    """Three regions of which one knows the account."""

    home: Sandbox
    others: list[Sandbox]

    @property
    def regions(self) -> list[Region]:
        servers = [self.home, *self.others]
        names = ("US", "EU", "India")
        urls = (server.jumpcloud.url for server in servers)
        return [Region(name, f"{url}/", "", "") for name, url in zip(names, urls, strict=True)]

    def at(self, region: Region, account: Account) -> Account:
        return replace(account, base_url=region.base_url)


@contextmanager
def _world(organizations: dict[str, str] | None = None) -> Iterator[_World]:
    with ExitStack() as stack:
        home = stack.enter_context(Sandbox(organizations=organizations or {}))
        others = [stack.enter_context(Sandbox(api_key=f"another-{n}")) for n in range(2)]
        for other in others:
            other.jumpcloud.tokens.client_secret = "another"
        yield _World(home, others)


def _refusal(status: int = 401) -> Refused:
    return Refused("refused", status=status)


@pytest.mark.parametrize("account_of", [account_at, service_account_at])
@pytest.mark.parametrize("organizations", [None, _TWO])
@pytest.mark.parametrize("chosen", [None, "a", "unknown"])
def test_the_region_that_accepts_the_credentials_is_named(
    account_of: object, organizations: dict[str, str] | None, chosen: str | None
) -> None:
    """Whether or not the organization is right as well: one mistake is told after the other."""
    assert callable(account_of)
    with _world(organizations) as world:
        us, eu, _ = world.regions
        account = world.at(eu, account_of(world.home, chosen))
        findings = look_into(account, _refusal(), world.regions)

    assert findings == Findings(region=us)
    assert remedy(account, findings) == (
        f"These credentials belong to JumpCloud's region US: set base_url to {us.base_url}"
    )


def test_credentials_that_nobody_knows_belong_to_no_region() -> None:
    """Each of the others was asked, and no more is claimed than that."""
    with _world() as world:
        account = replace(account_at(world.home), api_key="jca_of_nobody")
        findings = look_into(account, _refusal(), world.regions)

        assert findings == Findings()
        assert remedy(account, findings) is None
        assert all(other.jumpcloud.requests.count() for other in world.others)


def test_credentials_are_not_sent_from_an_address_that_is_no_region() -> None:
    """Those of an emulator, or of a gateway, are nothing for JumpCloud's hosts."""
    with _world() as world:
        _, *others = world.regions

        assert accepting_region(account_at(world.home), others) is None
        assert [other.jumpcloud.requests.count() for other in world.others] == [0, 0]


def test_the_account_s_own_region_is_not_asked_again() -> None:
    """It has answered already."""
    with _world() as world:
        assert accepting_region(account_at(world.home), world.regions) is None
        assert world.home.jumpcloud.requests.count("events") == 0


def test_organizations_are_listed_where_none_is_chosen() -> None:
    """By name and ID, ready to be pasted."""
    with _world(_TWO) as world:
        account = account_at(world.home)
        findings = look_into(account, _refusal(), world.regions)

    assert remedy(account, findings) == (
        "No organization is chosen, and these credentials reach several: set organization_id to"
        " the ID of one of them: Customer A (a), Customer B (b)."
    )


@pytest.mark.parametrize("status", [400, 401, 403])
def test_an_organization_that_is_not_reached_is_told_with_those_that_are(status: int) -> None:
    """A typing error is seen at once."""
    with _world(_TWO) as world:
        account = account_at(world.home, "c")
        said = remedy(account, look_into(account, _refusal(status), world.regions))

    assert said is not None
    assert said.startswith("The organization c is none of those that these credentials reach: ")
    assert said.endswith("Customer A (a), Customer B (b).")


def test_a_service_account_has_to_choose_even_the_only_one() -> None:
    """JumpCloud demands it."""
    reached = (Organization("a", "A"),)
    account = Account("https://api.jumpcloud.com/", client_id="id")

    said = remedy(account, Findings(organizations=reached))

    assert said is not None
    assert "a service account needs one" in said
    assert remedy(replace(account, organization_id="a"), Findings(organizations=reached)) is None
    assert remedy(Account("https://x/", "key"), Findings(organizations=reached)) is None


def test_a_right_organization_of_a_role_that_is_too_small_is_no_finding() -> None:
    """Then the refusal's own remedy stands."""
    with _world(_TWO) as world:
        account = account_at(world.home, "a")
        findings = look_into(account, _refusal(403), world.regions)

        assert findings.organizations is not None
        assert remedy(account, findings) is None


@pytest.mark.parametrize("status", [402, 404, 302, None])
def test_another_refusal_is_not_looked_into(status: int | None) -> None:
    """It has nothing to do with credentials."""
    with _world(_TWO) as world:
        refusal = Refused("refused", status=status)

        assert look_into(account_at(world.home), refusal, world.regions) == Findings()
        assert world.home.jumpcloud.requests.count() == 0


def test_what_hangs_is_left_behind() -> None:
    """The person is answered in time, with what the others have said."""
    with _world() as world:
        us, eu, _ = world.regions
        account = world.at(eu, account_at(world.home))
        for end in world.others:
            end.jumpcloud.faults.add(faults.Hang(seconds=30))
        began = time.monotonic()
        findings = look_into(account, _refusal(), world.regions, seconds=2)

        assert time.monotonic() - began < 6
        assert findings == Findings(region=us)


def test_a_console_that_fails_tells_nothing() -> None:
    """Not even that there is no organization."""
    with _world(_TWO) as world:
        world.home.jumpcloud.faults.add(faults.Status(500), endpoint="organizations")

        assert diagnosis.reached_organizations(account_at(world.home)) is None


def test_behind_a_gateway_there_is_no_console_to_ask() -> None:
    """Nothing is sent anywhere."""
    assert diagnosis.reached_organizations(Account("https://gateway.invalid/", "key")) is None


def test_many_organizations_are_named_in_part() -> None:
    """A message is for reading."""
    many = [Organization(f"{number}", "") for number in range(1_000)]

    listed = diagnosis.named(many)

    assert listed.startswith("0, 1, 2")
    assert listed.endswith("19 and 980 more")
