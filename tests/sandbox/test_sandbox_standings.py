"""How many organizations stand, and their verdicts in a few rows: the worst first."""

from __future__ import annotations

from dataclasses import replace

from sandbox import Organization, Verdict
from sandbox.ranking import rows_of, table
from sandbox.running_verdict import SoFar
from sandbox.standings import Reported, as_one, count_well, reported_of, standings
from sandbox.target import Touch

GOOD = SoFar(produced=10, accepted=10, waiting=0, twice=0, strange=0)
WELL = Reported("collecting", 0.0)
CLEAN = Verdict(10, 10, 0, 0, 0, 0, 0)


def test_the_worst_comes_first_and_each_says_why() -> None:
    """What must never be before what fails, and that before what is only behind."""
    so_far = {
        "astray": replace(GOOD, misdelivered=1),
        "altered": replace(GOOD, strange=2),
        "behind": replace(GOOD, waiting=7),
        "failing": replace(GOOD, waiting=9),
        "starting": GOOD,
        "twice": replace(GOOD, twice=1),
        "well": replace(GOOD, waiting=1),
    }
    reported = dict.fromkeys(so_far, WELL) | {
        "behind": Reported("collecting", 900.0),
        "failing": Reported("collecting", 30.0, ("The Sekoia intake",)),
        "starting": Reported("starting"),
    }

    found = standings({name: name for name in [*so_far, "left"]}, so_far, reported)

    assert [(one.name, one.tone, one.word) for one in found] == [
        ("altered", "ill", "2 altered"),
        ("astray", "ill", "1 misdelivered"),
        ("twice", "busy", "1 twice"),
        ("failing", "busy", "waits for the Sekoia intake"),
        ("behind", "busy", "reads a backlog"),
        ("starting", "busy", "starting"),
        ("left", "well", "not in the list"),
        ("well", "well", "collecting"),
    ]
    assert count_well(found) == 2


def test_without_a_connector_of_ours_only_the_ends_are_known() -> None:
    """Whatever collects there."""
    found = standings({"a": "A", "b": "B"}, {"a": replace(GOOD, waiting=3), "b": GOOD}, None)

    assert [(one.name, one.word, one.lag_seconds) for one in found] == [
        ("A", "3 on their way", None),
        ("B", "all arrived", None),
    ]


def test_what_a_connector_says_of_several_is_read_as_of_one() -> None:
    """Its sums, and what fails with whose it is."""
    failing = {"end": "JumpCloud", "failed_tries": 3}
    report = {
        "lag_seconds": 5.0,
        "organizations": [
            {"name": "a", "state": "collecting", "lag_seconds": 5.0, "failing": [failing]},
            {"name": "b", "state": "collecting", "backlog": {"windows": 4}, "quarantined": 2},
        ],
    }

    told = as_one(report)

    assert told["failing"] == [{"end": "JumpCloud (a)", "failed_tries": 3}]
    assert told["backlog"] == {"windows": 4}
    assert (told["quarantined"], told["lag_seconds"]) == (2, 5.0)
    assert reported_of(report) == {
        "a": Reported("collecting", 5.0, ("JumpCloud",)),
        "b": Reported("collecting"),
    }
    assert as_one({"state": "collecting"}) == {"state": "collecting"}


def test_rows_are_the_worst_then_those_something_was_done_to_then_all_others() -> None:
    """Of each what was done; the others are summed up."""
    verdicts = {f"customer-{number}": CLEAN for number in range(9)}
    verdicts |= {"lost": replace(CLEAN, lost=3), "astray": replace(CLEAN, misdelivered=1)}
    touches = [
        Touch(Organization("id", "customer-5"), "JumpCloud hung"),
        Touch(Organization("id", "customer-5"), "left the list"),
    ]

    rows = rows_of(verdicts, touches)
    written = table(rows).splitlines()

    assert [(row.name, row.note) for row in rows] == [
        ("astray", ""),
        ("lost", ""),
        ("customer-5", "JumpCloud hung; left the list"),
        ("8 others", "all of them clean"),
    ]
    assert rows[-1].verdict.produced == 80
    assert written[0].split()[:4] == ["organization", "produced", "accepted", "lost"]
    assert written[1].split() == ["astray", "10", "10", "0", "0", "0", "0", "1"]
    assert {line.find("10") for line in written[1:-1]} == {written[0].find("produced") + 6}


def test_of_very_many_that_are_not_clean_the_first_are_shown() -> None:
    """And of the others it is told how many are."""
    verdicts = {f"customer-{number:02}": replace(CLEAN, lost=1) for number in range(20)}
    verdicts["clean"] = CLEAN

    rows = rows_of(verdicts, most=5)

    assert [row.name for row in rows[:-1]] == [f"customer-0{number}" for number in range(5)]
    assert (rows[-1].name, rows[-1].note) == ("16 others", "1 of them clean")
    assert (rows[-1].verdict.lost, rows[-1].verdict.produced) == (15, 160)


def test_where_all_are_clean_one_row_says_so() -> None:
    """No organization is worth a row of its own."""
    assert [(row.name, row.note) for row in rows_of({"a": CLEAN, "b": CLEAN})] == [
        ("2 organizations", "all of them clean")
    ]
