"""What a start and a stop say, by the real process."""

import pytest
import requests

from sandbox.connector import Settings
from tests.process.scene import history, scene


def test_a_start_names_its_settings_and_a_stop_what_was_committed() -> None:
    """A restart says where it goes on from."""
    with scene(history(300), Settings(frequency=2, service="directory,sso,all")) as on:
        on.delivers_all()
        on.polls()
        on.connector.stop()
        on.connector.start()
        on.polls()
        on.connector.stop()
        said = on.connector.output
        addresses = on.sandbox.addresses

        first, second = [line for line in said.splitlines() if " starts: region " in line]
        assert first == second.replace(second[:23], first[:23])
        for setting in (
            f"region {addresses.jumpcloud_url}/",
            f"intake {addresses.intake_url}",
            f"data folder {on.connector.data_folder}",
            "frequency 2",
            "excluded_event_types none",
            "audit_hours 168",
        ):
            assert setting in first
        assert "Collecting goes on from " in said
        stops = [line for line in said.splitlines() if "Stopped: " in line]
        assert "300 events delivered by this process, 0 set aside; committed up to" in stops[0]
        assert "0 events delivered by this process" in stops[1]


@pytest.mark.parametrize("path", ["/health", "/nowhere"])
def test_probes_leave_no_line(path: str) -> None:
    """They come every few seconds, for ever."""
    with scene(history(10)) as on:
        on.delivers_all()
        for _ in range(3):
            requests.get(f"http://127.0.0.1:{on.connector.liveness_port}{path}", timeout=10)

        assert path not in on.connector.output
