"""What a crash, a person or module 1.8.2 can leave on the disk, before the real process starts."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sandbox import faults, generate, make_event
from sandbox.connector import Settings
from sandbox.instants import instant_text, now_ms
from tests.process.scene import DAY_MS, HOUR_MS, SECOND_MS, Scene, history, scene

STATE, COPY = "context.json", "context.previous.json"


def _write(content: str | bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(
        content if isinstance(content, bytes) else content.encode()
    )


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _flip(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b'"watermark_ms": 1', b'"watermark_ms": 2'))


DAMAGE: dict[str, Callable[[Path], object]] = {
    "garbage": _write("\x00\xff\xfe garbage"),
    "truncated": _cut,
    "a digit changed": _flip,
    "empty": _write(""),
    "a list": _write("[1, 2]"),
    "wrong types": _write('{"version": 2, "most_recent_date_seen": 7, "progress": "far"}'),
    "nonsense for a date": _write('{"most_recent_date_seen": "the day before yesterday"}'),
    "gone": lambda path: path.unlink(),
}


@pytest.mark.parametrize(
    ("damage", "with_copy"),
    [
        *((damage, False) for damage in DAMAGE if damage != "a digit changed"),
        *((damage, True) for damage in ("a digit changed", "empty", "gone")),
    ],
)
def test_a_damaged_state_is_told_and_collecting_goes_on_without_loss_or_repeats(
    damage: str, with_copy: bool
) -> None:
    """The copy, or a fresh start over what the ledger knows."""
    with scene(history(200)) as on:
        _collect_twice(on)
        on.connector.kill()
        DAMAGE[damage](on.connector.data_folder / STATE)
        if not with_copy:
            (on.connector.data_folder / COPY).unlink(missing_ok=True)
        on.sandbox.jumpcloud.publish(make_event(now_ms() - n * 60_000) for n in range(5))
        on.connector.start()
        on.delivers_all()
        on.polls()
        on.is_told("delivered")

        assert on.judgement == "clean"
        assert on.told("damaged") or on.told("does not say") or damage == "gone"


@pytest.mark.parametrize(
    ("seen", "told"),
    [
        (lambda now: instant_text(now + 3 * HOUR_MS), "in the future"),
        (lambda _: "9999-12-31T23:59:59Z", "in the future"),
        (lambda now: instant_text(now - HOUR_MS).rstrip("Z"), "Taking over"),
        (lambda now: instant_text(now - HOUR_MS).replace("Z", "+00:00"), "Taking over"),
        (lambda now: instant_text(now - 100 * DAY_MS), "beyond JumpCloud's retention"),
        (lambda _: "0001-01-01T00:00:00", "beyond JumpCloud's retention"),
    ],
    ids=["future", "end of time", "no zone", "offset", "before retention", "beginning of time"],
)
def test_an_odd_instant_in_the_state_is_told_and_collecting_begins(
    seen: Callable[[int], str], told: str
) -> None:
    """Whatever can be collected is."""
    now = now_ms()
    with scene(
        history(200, minutes=50),
        before=lambda _, folder: (folder / STATE).write_text(
            json.dumps({"most_recent_date_seen": seen(now)})
        ),
    ) as on:
        on.delivers_all()
        assert on.judgement == "clean"
        on.is_told(told)


def test_the_state_of_a_newer_version_is_taken_at_its_date() -> None:
    """Its other fields are not guessed at."""
    now = now_ms()
    document = {
        "version": 99,
        "most_recent_date_seen": instant_text(now - 30 * 60_000),
        "progress": ["something", "else"],
    }
    older = generate(50, now - 5 * HOUR_MS, now - HOUR_MS, 2)
    with scene(
        [*older, *history(100, minutes=25)],
        before=lambda _, folder: (folder / STATE).write_text(json.dumps(document)),
    ) as on:
        on.delivers(100)
        on.polls()

        assert on.sandbox.intake.count == 100
        assert on.sandbox.verdict(without=older).clean
        on.is_told("version 99")


def test_the_state_of_1_8_2_is_taken_over_without_a_gap_and_left_so_that_1_8_2_can_go_on() -> None:
    """It begins a second before the instant named, and names the second after its newest event."""
    now = now_ms()
    second = now // SECOND_MS * SECOND_MS - 2 * HOUR_MS
    before = [make_event(second - n) for n in (1_001, 5_000, HOUR_MS)]
    after = [make_event(second + n) for n in (-1_000, -1, 0, 1, HOUR_MS, HOUR_MS + 300)]
    with scene(
        [*before, *after],
        before=lambda _, folder: (folder / STATE).write_text(
            json.dumps({"most_recent_date_seen": _iso(second)})
        ),
    ) as on:
        on.delivers(len(after))
        on.polls()
        on.connector.stop()
        left = json.loads((on.connector.data_folder / STATE).read_text())

        assert on.sandbox.verdict(without=before).clean
        assert on.sandbox.intake.count == len(after)
        assert _parsed(left["most_recent_date_seen"]) == second + HOUR_MS + SECOND_MS


def test_what_1_8_2_collected_in_between_is_not_collected_again() -> None:
    """Its word is taken when the document comes back from it."""
    now = now_ms()
    with scene(history(50, minutes=300)) as on:
        on.delivers_all()
        on.polls(1)
        on.connector.stop()
        path = on.connector.data_folder / STATE
        path.write_text(json.dumps({"most_recent_date_seen": _iso(now - 2_000)}))
        meanwhile = [make_event(now - 8_000 + n) for n in range(20)]
        on.sandbox.jumpcloud.publish([*meanwhile, make_event(now - 500)])
        on.connector.start()
        on.delivers(51)
        on.polls(3)

        assert on.sandbox.verdict(without=meanwhile).clean
        assert on.sandbox.intake.count == 51


@pytest.mark.parametrize("damage", ["garbage", "truncated", "empty"])
def test_a_damaged_ledger_is_told_and_loses_nothing(damage: str) -> None:
    """What its damaged file knew may come once more, and no other event."""
    with scene(history(300), Settings(chunk_size=50)) as on:
        _collect_twice(on)
        on.connector.kill()
        files = sorted((on.connector.data_folder / "ledger").iterdir())
        DAMAGE[damage](files[-1])
        (on.connector.data_folder / "ledger" / "a stranger's file").write_text("?")
        on.sandbox.jumpcloud.publish([make_event(now_ms() - 60_000)])
        on.connector.start()
        on.loses_nothing()
        on.polls(3)
        verdict = on.sandbox.verdict()

        on.is_told("is damaged", "warning")
        assert (verdict.lost, verdict.altered, verdict.foreign) == (0, 0, 0)
        assert verdict.duplicated <= 50


def test_the_first_start_is_committed_before_the_first_page() -> None:
    """So a quiet tenant's first event is found, however the process ended before it."""
    with scene(
        settings=Settings(history_hours=0),
        before=lambda sandbox, _: sandbox.jumpcloud.faults.add(faults.Hang(60), times=1),
    ) as on:
        on.sees(on.sandbox.jumpcloud.requests.arrivals, 1)
        on.connector.kill()
        on.sandbox.jumpcloud.publish([make_event(now_ms()), make_event(now_ms() - 1)])
        on.connector.start()

        on.delivers_all()
        assert on.judgement == "clean"


def test_a_state_that_cannot_be_written_is_told_and_waited_for() -> None:
    """Nothing later is sent meanwhile, and nothing is lost or repeated."""
    with scene(history(100)) as on:
        on.delivers_all()
        on.polls(1)
        folder, away = on.connector.data_folder / "ledger", on.connector.data_folder / "away"
        folder.rename(away)
        folder.write_text("not a folder")
        on.sandbox.jumpcloud.publish(make_event(now_ms() - n) for n in range(10))
        on.is_told("could not be written", "warning")
        on.sandbox.jumpcloud.publish([make_event(now_ms())])
        time.sleep(3)
        sent_meanwhile = on.sandbox.intake.count
        folder.unlink()
        away.rename(folder)

        assert sent_meanwhile <= 110
        on.delivers_all()
        assert on.judgement == "clean"


def test_nobody_else_may_read_what_the_connector_keeps() -> None:
    """Also not the folders of an older version, which were open; the data folder is the user's."""

    def open_to_all(_: object, folder: Path) -> None:
        folder.chmod(0o755)
        for name in ("ledger", "quarantine"):
            (folder / name).mkdir()
            (folder / name).chmod(0o755)

    with scene(
        [*history(20), make_event(now_ms(), padding_bytes=300_000)], before=open_to_all
    ) as on:
        on.is_told("was set aside", "warning")
        on.polls()
        on.connector.stop()
        folder = on.connector.data_folder
        modes = {path: path.stat().st_mode & 0o777 for path in folder.rglob("*")}

        assert {path.name for path in modes} >= {STATE, "owner.lock", "ledger", "quarantine"}
        assert len(list((folder / "quarantine").iterdir())) == 1
        assert [
            path for path, mode in modes.items() if mode != (0o700 if path.is_dir() else 0o600)
        ] == []
        assert folder.stat().st_mode & 0o777 == 0o755


def _collect_twice(on: Scene) -> None:
    on.delivers_all()
    on.sandbox.jumpcloud.publish([make_event(now_ms())])
    on.delivers_all()
    on.polls()


def _iso(instant_ms: int) -> str:
    return datetime.fromtimestamp(instant_ms / 1000, UTC).isoformat()


def _parsed(text: str) -> int:
    return (datetime.fromisoformat(text) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(
        milliseconds=1
    )
