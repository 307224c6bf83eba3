"""Names of organizations: each once, and fit for a folder, an address and a label."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jumpcloud_modules.commands.organization_names import names_of
from jumpcloud_modules.jumpcloud.console import Organization

POSSIBLE = re.compile(r"[a-z0-9-]{1,63}")
TEXTS = st.text(max_size=70) | st.text("aA -é", max_size=5)
ORGANIZATIONS = st.lists(
    st.builds(Organization, st.text("0af-É", min_size=1, max_size=30), TEXTS),
    unique_by=lambda organization: organization.id,
    max_size=20,
)


@given(organizations=ORGANIZATIONS)
def test_every_organization_has_a_possible_name_of_its_own(
    organizations: list[Organization],
) -> None:
    """Whatever it is called."""
    names = names_of(organizations)

    assert names.keys() == {organization.id for organization in organizations}
    assert len(set(names.values())) == len(organizations)
    assert all(POSSIBLE.fullmatch(name) for name in names.values())


@given(organizations=ORGANIZATIONS, count=st.integers(0, 20))
def test_one_that_comes_later_takes_no_name_from_another(
    organizations: list[Organization], count: int
) -> None:
    """A name stays, since state may be kept by it."""
    before = names_of(organizations[:count])

    assert before.items() <= names_of(organizations).items()


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("Acme", "acme"),
        ("Société Générale (EU)", "societe-generale-eu"),
        (" -- ", "organization"),
        ("東京", "organization"),
        ("a" * 80, "a" * 63),
        ("a" * 62 + "-b", "a" * 62),
    ],
)
def test_a_name_is_what_can_be_read_of_it(name: str, plain: str) -> None:
    """In small letters, without accents."""
    assert names_of([Organization("1", name)]) == {"1": plain}


def test_those_of_the_same_name_are_told_apart_by_their_ids() -> None:
    """The first keeps the name alone."""
    same = [Organization(f"5f0c1e2d3b4a5968776600{n}{n}", "Acme") for n in range(3)]

    assert list(names_of(same).values()) == ["acme", "acme-77660011", "acme-77660022"]
