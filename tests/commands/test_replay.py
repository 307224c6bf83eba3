"""The quarantine's replay, against the emulated intake."""

import subprocess
import sys
from pathlib import Path

import pytest

from jumpcloud_modules.commands import replay
from jumpcloud_modules.events import cut
from jumpcloud_modules.intake.quarantine import Quarantine
from jumpcloud_modules.state.folder import Folder
from sandbox import Sandbox, faults
from tests.shell import typed

ROOT = Path(__file__).resolve().parents[2]
TEXT = b'{"id":"6490f0f5a2d539837a30aaad","timestamp":"2026-06-20T00:21:09.162Z"}'


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Make a data folder with one event set aside."""
    quarantine = Quarantine(
        Folder(tmp_path / "quarantine"), Folder(tmp_path / "quarantine-reasons")
    )
    quarantine.keep(cut(b"[" + TEXT + b"]").events[0], "because")
    return tmp_path


def configure(monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox) -> None:
    """Have module.json lead to the sandbox."""
    monkeypatch.setenv("SEKOIA_INTAKE_KEY", sandbox.addresses.intake_key)
    monkeypatch.setenv("SEKOIA_INTAKE_URL", sandbox.addresses.intake_url)


def test_an_accepted_event_leaves_the_quarantine(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is sent as it came, and its file is gone."""
    with Sandbox() as sandbox:
        configure(monkeypatch, sandbox)

        status = replay.main(["--data", str(data)])

        assert status == 0
        assert sandbox.intake.texts == [TEXT]
        assert list((data / "quarantine").iterdir()) == []
        assert "1 of 1 events were accepted." in capsys.readouterr().out


def test_an_event_refused_again_stays(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its file stays, and the exit status tells."""
    with Sandbox() as sandbox:
        configure(monkeypatch, sandbox)
        sandbox.intake.faults.add(faults.Status(422))

        status = replay.main(["--data", str(data)])

        assert status == 1
        assert len(list((data / "quarantine").glob("*.json"))) == 1
        assert "kept, because the intake refused it" in capsys.readouterr().out


@pytest.mark.parametrize("option", ["--list", "--dry-run"])
def test_listing_sends_nothing(data: Path, option: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It names the file and its size, and needs neither key nor address."""
    status = replay.main([option, "--data", str(data)])

    listed = capsys.readouterr().out
    assert status == 0
    for fact in ("6490f0f5a2d539837a30aaad", "2026-06-20T00:21:09.162Z", "because", ".json"):
        assert fact in listed
    assert f"({len(TEXT)} bytes)" in listed


@pytest.mark.parametrize("what", [[], ["--list"]])
def test_a_folder_without_a_state_is_an_error(tmp_path: Path, what: list[str]) -> None:
    """A wrong name would otherwise look like an empty quarantine; it is not made."""
    ended = typed("replay", *what, "--data", str(tmp_path / "nowhere"), environment={})

    assert (ended.status, ended.out) == (2, "")
    assert "holds no state of a connector; name its data folder" in ended.err
    assert list(tmp_path.iterdir()) == []


def test_an_event_that_was_set_aside_before_reasons_were_kept_is_listed_and_sent(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its file holds the event alone."""
    for reason in (data / "quarantine-reasons").iterdir():
        reason.unlink()
    with Sandbox() as sandbox:
        configure(monkeypatch, sandbox)

        listed, sent = (replay.main([*what, "--data", str(data)]) for what in (["--list"], []))

    assert (listed, sent) == (0, 0)
    assert "6490f0f5a2d539837a30aaad" in capsys.readouterr().out


def test_a_proxy_that_cannot_work_ends_it_with_its_reason(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Status 2, and the event stays."""
    with Sandbox() as sandbox:
        configure(monkeypatch, sandbox)
        monkeypatch.setenv("HTTP_PROXY", "proxy:3128")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)

        status = replay.main(["--data", str(data)])

    assert status == 2
    assert "HTTP_PROXY (or ALL_PROXY) is not the address of a proxy" in capsys.readouterr().err
    assert len(list((data / "quarantine").glob("*.json"))) == 1


def test_the_published_name_runs_it(data: Path) -> None:
    """What operators have typed since it exists goes on working."""
    ended = subprocess.run(
        [sys.executable, "-m", "jumpcloud_modules.replay", "--list", "--data", str(data)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )

    assert ended.stdout.endswith(f"({len(TEXT)} bytes)\n")
