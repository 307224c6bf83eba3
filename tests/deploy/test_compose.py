"""deploy/compose.yaml: what the README types for Docker, and no more rights than that.

compose.organizations.yaml beside it changes what a list of organizations needs, and nothing else.
"""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.shell import ROOT
from tests.test_setup import health_check, text

COMPOSE = ROOT / "deploy/compose.yaml"
BESIDE = ROOT / "deploy/compose.organizations.yaml"
yaml = pytest.importorskip("yaml")


def document() -> dict[str, Any]:
    """Return the file, read."""
    read: dict[str, Any] = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))
    return read


def connector() -> dict[str, Any]:
    """Return the only service."""
    ((name, service),) = document()["services"].items()
    assert name == "connector"
    return dict(service)


def mounted() -> str:
    """Return the volume by its own name, and where it is mounted."""
    (volume,) = connector()["volumes"]
    name, _, folder = volume.partition(":")
    return f"{document()['volumes'][name]['name']}:{folder}"


def run_by_hand() -> str:
    """Return the `docker run` of the README, on one line."""
    (typed,) = re.findall(r"^docker run (.*?)[^\\]$", text("README.md"), re.MULTILINE | re.DOTALL)
    return re.sub(r"\s*\\\n\s*", " ", typed)


def test_it_starts_what_the_readme_starts_by_hand() -> None:
    """The same name, volume, ports, file of keys, and the same root that is read-only."""
    service, typed = connector(), run_by_hand()

    assert re.findall(r"--publish (\S+)", typed) == service["ports"]
    assert re.findall(r"--volume (\S+)", typed) == [mounted()]
    assert re.findall(r"--name (\S+)", typed) == [service["container_name"]]
    assert re.findall(r"--restart (\S+)", typed) == [service["restart"]]
    assert re.findall(r"--env-file (\S+)", typed) == [Path(service["env_file"]).name]
    assert ("--read-only" in typed) is service["read_only"] is True


def test_its_paths_are_those_of_this_tree() -> None:
    """Seen from the folder of the file."""
    folder = COMPOSE.parent

    assert (folder / connector()["build"] / "Dockerfile").resolve() == ROOT / "Dockerfile"
    assert (folder / connector()["env_file"]).resolve() == ROOT / ".env"


def test_its_ports_are_for_this_machine_alone() -> None:
    """The intake key stands in the metrics."""
    (exposed,) = re.findall(r"^EXPOSE (.*)$", text("Dockerfile"), re.MULTILINE)

    assert connector()["ports"] == [f"127.0.0.1:{port}:{port}" for port in exposed.split()]


def test_its_health_check_is_the_images() -> None:
    """Word for word, but for the blanks; and as often."""
    check = connector()["healthcheck"]
    kind, *command = check["test"]
    (options,) = re.findall(r"^HEALTHCHECK (.*) CMD", text("Dockerfile"), re.MULTILINE)
    written = {
        name.replace("_", "-"): str(value) for name, value in check.items() if name != "test"
    }

    assert kind == "CMD"
    assert [re.sub(r";\s*", ";", part) for part in command] == health_check()
    assert dict(re.findall(r"--(\S+)=(\S+)", options)) == written


def test_it_holds_no_key_and_asks_for_no_rights() -> None:
    """Keys come from the file alone, which only its owner can read."""
    service = connector()

    assert not service.keys() & {"environment", "privileged", "cap_add", "network_mode", "user"}
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


def test_many_organizations_need_a_folder_with_the_configuration_and_nothing_else() -> None:
    """The whole folder, so that a list that was replaced is seen; only read; no more rights."""
    added = yaml.safe_load(BESIDE.read_text(encoding="utf-8"))["services"]["connector"]
    (volume,) = added["volumes"]
    there, here, mode = volume.split(":")

    assert added.keys() == {"environment", "volumes", "mem_limit"}
    assert added["environment"] == {"MODULE_JSON": f"{here}/module.json"}
    assert (BESIDE.parent / there).resolve() == ROOT / "configuration"
    assert mode == "ro"
    assert not here.startswith(mounted().partition(":")[2])
    assert f"/{there.rpartition('/')[2]}/" in text(".gitignore").splitlines()


def has_docker_compose() -> bool:
    """Tell whether Docker is there, and its plugin."""
    asked = ["docker", "compose", "version"]
    return bool(
        shutil.which("docker")
        and subprocess.run(asked, capture_output=True, check=False).returncode == 0
    )


@pytest.mark.parametrize("files", [[COMPOSE], [COMPOSE, BESIDE]], ids=["one", "many"])
def test_docker_compose_reads_it(tmp_path: Path, files: list[Path]) -> None:
    """Where this machine has it: each key is known, and each value possible."""
    if not has_docker_compose():
        pytest.skip("this machine has no docker compose")
    (tmp_path / "deploy").mkdir()
    (tmp_path / ".env").write_text("JUMPCLOUD_API_KEY=a\nSEKOIA_INTAKE_KEY=b\n")
    named = []
    for path in files:
        shutil.copy(path, tmp_path / "deploy")
        named += ["--file", str(tmp_path / "deploy" / path.name)]

    read = subprocess.run(
        ["docker", "compose", *named, "config", "--quiet"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (read.returncode, read.stderr) == (0, "")
