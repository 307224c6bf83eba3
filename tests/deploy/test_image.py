"""The image, built and started: it collects as anybody's user with a root that is read-only.

It takes two minutes, root, Debian's packages buildah and debootstrap, and the network for both and
for pip: `make test-image` runs it, `make test` skips it.
"""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox import Sandbox, generate, wait_until
from sandbox.instants import now_ms
from tests import leaks
from tests.deploy import container
from tests.deploy.container import BASE, NEEDED, Image
from tests.shell import ROOT, self_hosted
from tests.test_document_commands import ports
from tests.test_setup import toml

SECRET = "jca_of_whoever_builds_the_image"
MAX_SECONDS_TO_END = 5


def why_not() -> str | None:
    """Say why no image can be built here, None where one can."""
    if not os.environ.get("TEST_IMAGE"):
        return "it takes two minutes and root: make test-image"
    if os.geteuid() != 0:
        return "only root may make the root of an image"
    if missing := [name for name in NEEDED if not shutil.which(name)]:
        return f"apt-get install buildah debootstrap: there is no {', '.join(missing)}"
    return None


REASON = why_not()
pytestmark = [
    pytest.mark.skipif(REASON is not None, reason=REASON or ""),
    pytest.mark.timeout(900),
]


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    """Build the image once."""
    # Not in /tmp, which may forbid devices, and not where pytest keeps its last three folders.
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        yield container.build(
            Path(folder),
            {"JUMPCLOUD_API_KEY": SECRET},
            f"JUMPCLOUD_API_KEY={SECRET}\nSEKOIA_INTAKE_KEY={SECRET}\n",
        )


def test_it_is_labelled_with_its_version_and_with_the_base_that_it_was_built_on(
    image: Image,
) -> None:
    """Not with the one that it would have been built on."""
    labels = image.config["Labels"]
    project = toml("pyproject.toml")["project"]

    assert labels["org.opencontainers.image.version"] == project["version"]
    assert labels["org.opencontainers.image.description"] == project["description"]
    assert labels["org.opencontainers.image.base.name"] == BASE
    assert image.config["ExposedPorts"].keys() == {"8000/tcp", "8020/tcp"}


def test_no_key_of_whoever_builds_it_is_in_it(image: Image) -> None:
    """Neither in a file, nor in what the image tells of itself."""
    found = subprocess.run(
        ["grep", "--recursive", "--files-with-matches", "--fixed-strings", SECRET, image.root],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (found.returncode, found.stdout) == (1, "")
    assert SECRET not in str(image.history)
    assert SECRET not in str(image.config)
    assert len(image.history) > 10


def test_it_holds_what_runs_and_nothing_else_of_this_tree(image: Image) -> None:
    """No test, no sandbox, no document, and no tool that the packages were installed with."""
    code = {path.name for path in (image.root / "app").iterdir()}
    of_tree = {str(path.relative_to(ROOT)) for path in (ROOT / "jumpcloud_modules").rglob("*.py")}
    inside = {
        str(path.relative_to(image.root / "app"))
        for path in (image.root / "app/jumpcloud_modules").rglob("*.py")
    }

    assert code == {
        "__pycache__",
        "connector_jumpcloud_directory_insights.json",
        "data",
        "jumpcloud_modules",
        "main.py",
        "manifest.json",
        "module.json",
        "trigger_jumpcloud_directory_insights.json",
    }
    assert inside == of_tree
    assert not list((image.root / "venv").glob("lib/python*/site-packages/pytest"))
    assert not list((image.root / container.WHEELS[1:]).iterdir())


def test_a_command_is_typed_after_its_name(image: Image, tmp_path: Path) -> None:
    """As the documents tell: `docker run --rm IMAGE check`."""
    volume = image.new_volume(tmp_path / "volume")
    with Sandbox(generate(50, now_ms() - 80_000_000, now_ms() - 1_000, seed=4)) as sandbox:
        variables = self_hosted(sandbox, Path("/app/data"))

        helped = container.run(image, image.command("check", "--help"), volume)
        checked = container.run(image, image.command("check", **variables), volume)

    leaks.note(checked.out, checked.err, variables, name="check in a container")
    assert (helped.status, helped.err) == (0, "")
    assert helped.out.startswith("usage: python main.py check")
    assert (checked.status, checked.err) == (0, "")
    assert checked.out.count("\nok ") == 8


def test_it_collects_with_no_rights_and_ends_when_asked(image: Image, tmp_path: Path) -> None:
    """As process 1, as the user 1000, on a root that nobody can write: twice on one volume."""
    volume, now = image.new_volume(tmp_path / "volume"), now_ms()
    with Sandbox(generate(2_000, now - 80_000_000, now - 1_000, seed=4)) as sandbox:
        of_ports = ports()
        variables = self_hosted(sandbox, Path("/app/data"), **of_ports)
        del variables["DATA_DIR"]  # the image's own
        for start in ("first", "second"):
            log = tmp_path / f"{start}.log"
            with container.running(image, image.command(**variables), volume, log) as started:
                assert wait_until(lambda: sandbox.verdict().clean, 60), log.read_text("utf-8")
                assert wait_until(lambda: is_healthy(image, started, of_ports), 30)
                user, rights = ids_and_rights(started.pid)
                written = started.execute(image.command_of("touch", "/app/new", "/new"))
                os.kill(started.pid, signal.SIGTERM)
                status = started.process.wait(MAX_SECONDS_TO_END)
            leaks.note(log.read_text("utf-8"), "", variables, name=log.name)

            assert status == 0
            assert (user, rights) == ({1000}, 0)
            assert written.err.count("Read-only file system") == 2
        verdict = sandbox.verdict()

    assert (verdict.lost, verdict.duplicated, verdict.altered) == (0, 0, 0)
    assert "Collecting goes on from" in (tmp_path / "second.log").read_text("utf-8")
    assert {(path.stat().st_uid, path.stat().st_mode & 0o077) for path in volume.rglob("*")} == {
        (1000, 0)
    }


def is_healthy(image: Image, started: container.Container, of_ports: dict[str, str]) -> bool:
    """Tell what Docker finds out by the image's HEALTHCHECK."""
    return started.execute(image.health_check(**of_ports)).status == 0


def ids_and_rights(pid: int) -> tuple[set[int], int]:
    """Return the user's numbers of a process, and the rights that it could ever use."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    facts = dict(line.partition(":")[::2] for line in lines)
    return {int(number) for number in facts["Uid"].split()}, int(facts["CapEff"], 16)
