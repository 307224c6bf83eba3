"""Where a region's events, console and tokens are asked for."""

import pytest

from jumpcloud_modules.jumpcloud.regions import REGIONS, Places, Region, places_of, region_of


@pytest.mark.parametrize("region", REGIONS, ids=lambda region: region.name)
@pytest.mark.parametrize("form", ["{}/", "{}", " {}:443// ", "{}/a/path"])
def test_an_address_names_its_region(region: Region, form: str) -> None:
    """With or without a slash."""
    assert region_of(form.format(region.base_url.rstrip("/"))) is region


@pytest.mark.parametrize(
    "address",
    [
        "http://api.jumpcloud.com/",
        "https://api.jumpcloud.com:8443/",
        "https://api.jumpcloud.com.example.net/",
        "https://jumpcloud.com/",
        "https://console.jumpcloud.com/",
        "http://127.0.0.1:8080/",
    ],
)
def test_no_other_address_is_taken_for_jumpcloud_s(address: str) -> None:
    """Credentials go to the host that is meant, and nowhere else."""
    assert region_of(address) is None


def test_the_three_hosts_of_a_region_belong_together() -> None:
    """A token of one region is worth nothing in another."""
    assert [places_of(region.base_url) for region in REGIONS] == [
        Places(
            f"https://api.{part}jumpcloud.com",
            f"https://console.{part}jumpcloud.com/api",
            f"https://admin-oauth.id.{part}jumpcloud.com/oauth2/token",
        )
        for part in ("", "eu.", "in.")
    ]


@pytest.mark.parametrize("base", ["http://127.0.0.1:8080", "http://[::1]:80", "http://localhost"])
def test_this_machine_plays_all_three(base: str) -> None:
    """So that an emulator can."""
    assert places_of(base + "/") == Places(base, f"{base}/api", f"{base}/oauth2/token")


def test_somebody_else_s_address_tells_only_the_events() -> None:
    """Behind a gateway nobody knows where the tokens are."""
    assert places_of("https://gateway.example/x/") == Places(
        "https://gateway.example/x", None, None
    )
