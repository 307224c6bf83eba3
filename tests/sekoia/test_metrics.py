"""What Prometheus is told, by name, and that no key is among it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from sekoia_automation.connector import metrics as sdk

from jumpcloud_modules.collecting.measurements import Histogram, Measurements, Traffic
from jumpcloud_modules.collecting.stats import Counts
from jumpcloud_modules.commands.fingerprint import fingerprint
from jumpcloud_modules.sekoia import connector as connector_module
from jumpcloud_modules.sekoia.exposition import Exposition, ExpositionOfMany
from jumpcloud_modules.sekoia.metrics import (
    COLLECTED_MESSAGES_DESCRIPTION,
    COUNTED_BY_THE_SDK,
    DESCRIPTIONS,
    LABELLED_BY_ORGANIZATION,
    MEASURED,
    OF_ALL_ORGANIZATIONS,
    OF_THE_SDK,
    Description,
    InAll,
    Seen,
)

KEY = "a-key-that-nobody-may-see"
LABEL = fingerprint(KEY)


@contextmanager
def shown(measurements: Measurements) -> Iterator[dict[str, float]]:
    """Show measurements as a connector without parts does; give samples by name and labels."""
    exposition = Exposition(lambda: Seen(measurements, "2.0.0", 0.0), LABEL)
    exposition.register()
    try:
        yield samples()
    finally:
        exposition.unregister()


def samples() -> dict[str, float]:
    """Return what the port for metrics says, but for what Prometheus' client says of itself."""
    return {
        f"{sample.name}{sorted(sample.labels.items())}": sample.value
        for family in text_string_to_metric_families(generate_latest(REGISTRY).decode())
        for sample in family.samples
    }


def value(samples: dict[str, float], name: str, **labels: str) -> float:
    """Return one sample's value."""
    return samples[f"{name}{sorted({'intake_key': LABEL, **labels}.items())}"]


def test_what_was_measured_is_shown_as_it_is_at_that_moment() -> None:
    """Counters, gauges and histograms, each with the label that dashboards ask by."""
    measurements = Measurements()
    measurements.traffic.answered("jumpcloud", "events", 401, 0.2)
    measurements.failed("jumpcloud", "refused", 401)
    measurements.traffic.commits.observe(0.03)
    prefix = "symphony_module_jumpcloud"

    with shown(measurements) as seen:
        requests = f"{prefix}_http_requests_total"
        asked = {"end": "jumpcloud", "endpoint": "events"}
        assert value(seen, requests, **asked, status="401") == 1
        assert value(seen, f"{prefix}_http_request_duration_seconds_count", **asked) == 1
        refused = {"end": "jumpcloud", "kind": "refused"}
        assert value(seen, f"{prefix}_failed_tries_total", **refused, status="401") == 1
        assert value(seen, f"{prefix}_failing", **refused) == 0
        assert value(seen, f"{prefix}_collecting") == 0
        commits = f"{prefix}_commit_duration_seconds"
        assert value(seen, f"{commits}_bucket", le="0.025") == 0
        assert value(seen, f"{commits}_bucket", le="0.05") == 1
        assert value(seen, f"{commits}_bucket", le="+Inf") == 1

    assert not any(name.startswith(f"{prefix}_http_requests") for name in samples())


@pytest.mark.parametrize("description", DESCRIPTIONS, ids=lambda d: d.name)
def test_a_metric_is_named_as_prometheus_wants_it(description: Description) -> None:
    """Base units: seconds at the end of what is measured in them; the SDK names its own."""
    name, unit = description.name, description.unit

    assert re.fullmatch(r"symphony_module_(jumpcloud|common)_[a-z_]+", name)
    assert not name.endswith("_total")
    if not name.startswith(OF_THE_SDK):
        assert (unit == "seconds") == name.endswith("_seconds")


def test_what_is_documented_of_the_sdk_is_what_it_has() -> None:
    """By its own source, so that a newer SDK is noticed."""
    names = re.findall(
        r'\bname="([a-z_]+)",\n\s+documentation=', Path(sdk.__file__).read_text("utf-8")
    )

    assert {f"{OF_THE_SDK}_{name}" for name in names} == {d.name for d in COUNTED_BY_THE_SDK}


def test_the_counter_of_version_1_8_2_keeps_its_name() -> None:
    """Dashboards rely on it."""
    assert COLLECTED_MESSAGES_DESCRIPTION.shown_as == (
        "symphony_module_jumpcloud_collected_messages_total"
    )
    assert connector_module.COLLECTED_MESSAGES._name == COLLECTED_MESSAGES_DESCRIPTION.name


def test_no_two_metrics_share_a_name() -> None:
    """Prometheus would drop the whole answer."""
    names = [described.shown_as for described in DESCRIPTIONS]

    assert (
        len(names)
        == len(set(names))
        == (len(MEASURED) + 1 + len(COUNTED_BY_THE_SDK) + len(OF_ALL_ORGANIZATIONS))
    )


def test_a_fingerprint_tells_keys_apart_and_is_what_the_shell_makes_of_them() -> None:
    """`printf %s KEY | sha256sum | cut -c 1-12`."""
    assert fingerprint("abc") == "ba7816bf8f01"
    assert fingerprint(KEY) != fingerprint(KEY + "x")
    assert KEY[:4] not in fingerprint(KEY)


# Of many organizations

BY_NAME = {"acme": "key-of-acme-0123456789", "beta": "key-of-beta-0123456789"}


def of_many() -> list[tuple[str, dict[str, str], float]]:
    """Return the samples of a process of two organizations, of which one failed and delivered."""
    traffic = Traffic()
    each = {name: Measurements(traffic) for name in BY_NAME}
    traffic.answered("jumpcloud", "events", 401, 0.2)
    each["beta"].failed("jumpcloud", "refused", 401)
    each["beta"].stats._add(Counts(delivered=7, read=9, known=2))
    forward = Histogram((1.0,))
    forward.observe(0.5)

    def see_each() -> Iterator[tuple[str, str, Seen]]:
        for name, measurements in each.items():
            yield name, fingerprint(BY_NAME[name]), Seen(measurements, "2.0.0", 0.0)

    exposition = ExpositionOfMany(
        see_each,
        lambda: Seen(Measurements(traffic), "2.0.0", 0.0),
        forward.distribution,
        lambda: InAll(organizations=2, failing=1, polls=30, late_seconds=0.25),
    )
    registry = CollectorRegistry()  # in that of the process may stand what other tests counted
    registry.register(exposition)
    text = generate_latest(registry).decode()
    assert not any(key in text for key in BY_NAME.values())
    return [
        (sample.name, sample.labels, sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.startswith("symphony")
    ]


def test_an_organization_s_metrics_carry_its_name_and_those_of_the_process_none() -> None:
    """Each metric by what is documented of it, and its key as a fingerprint."""
    names = {one.shown_as: one.name for one in DESCRIPTIONS}
    for name, labels, _ in of_many():
        known = names.get(name) or re.sub(r"_(bucket|count|sum)$", "", name)
        assert ("organization" in labels) == (known in LABELLED_BY_ORGANIZATION), name
        assert ("intake_key" in labels) == ("organization" in labels)
        if "organization" in labels:
            assert labels["intake_key"] == fingerprint(BY_NAME[labels["organization"]])


def test_each_series_of_many_is_there_once() -> None:
    """Prometheus would drop the whole answer."""
    series = [(name, *sorted(labels.items())) for name, labels, _ in of_many()]

    assert len(series) == len(set(series))


def test_of_many_each_has_its_own_numbers_and_the_process_its_sums() -> None:
    """What the SDK counts for one is counted for each; what never failed is not listed."""
    found = {
        (name, labels.get("organization"), labels.get("kind")): value
        for name, labels, value in of_many()
    }

    common, ours = "symphony_module_common", "symphony_module_jumpcloud"
    assert found[f"{common}_forwarded_events_total", "beta", None] == 7
    assert found[f"{common}_forwarded_events_total", "acme", None] == 0
    assert found[f"{ours}_collected_messages_total", "beta", None] == 7
    assert found[f"{ours}_failed_tries_total", "beta", "refused"] == 1
    assert (f"{ours}_failed_tries_total", "acme", "refused") not in found
    assert not [key for key in found if key[0] == f"{ours}_failing"]
    assert found[f"{ours}_collecting", "acme", None] == 0
    assert found[f"{ours}_http_requests_total", None, None] == 1
    assert found[f"{common}_forward_events_duration_count", None, None] == 1
    assert found[f"{ours}_organizations", None, None] == 2
    assert found[f"{ours}_organizations_failing", None, None] == 1
    assert found[f"{ours}_polls_total", None, None] == 30
    assert found[f"{ours}_schedule_late_seconds", None, None] == 0.25
