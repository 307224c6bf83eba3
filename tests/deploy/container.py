"""An image as Docker would build it, and a process as Docker would start it, without Docker.

`buildah` builds from the Dockerfile, on a base that debootstrap makes of Debian's packages. A start
takes from the image's own configuration all that Docker would: environment, user, folder, command.
The kernel does the rest: namespaces of mounts and processes, a root that is read-only, no rights.
It shares the machine's network, so that the sandbox can be reached.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sandbox import wait_until
from tests.shell import ROOT, Ended

NEEDED: Final = ("buildah", "debootstrap", "unshare", "nsenter", "setpriv", "chroot")
SUITE: Final = "bookworm"
PYTHON_OF_SUITE: Final = "3.11"
PACKAGES: Final = "python3,python3-venv,python-is-python3,ca-certificates"
BASE: Final = "localhost/base:test"
IMAGE: Final = "localhost/jumpcloud-directory-insights:test"
WHEELS: Final = "/mnt"
"""A folder that every base has, so that to mount something there leaves no trace in the image."""
NOT_OF_A_CLONE: Final = (".git", ".venv*", ".*_cache", ".hypothesis", "__pycache__", "build")

START: Final = """
set -e
root=$1 volume=$2
shift 2
mount --make-rprivate /
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=755 dev "$root/dev"
for device in null zero full random urandom; do
    : > "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/shm"
mount -t tmpfs -o mode=1777,size=64m shm "$root/dev/shm"
mount --bind "$volume" "$root/app/data"
mount -o remount,bind,ro "$root"
exec setpriv --no-new-privs --bounding-set=-all,+sys_chroot,+setuid,+setgid "$@"
"""
"""What Docker mounts into a container that is started with --read-only and one volume."""


@dataclass(frozen=True, slots=True)
class Store:
    """Keep images in a folder, and run buildah on them."""

    folder: Path

    def buildah(self, *arguments: str, environment: Mapping[str, str] = os.environ) -> str:
        """Return what buildah writes to its standard output, without the line's end."""
        kept = ("--storage-driver", "vfs", "--root", str(self.folder / "images"))
        ended = subprocess.run(
            ["buildah", *kept, "--runroot", str(self.folder / "run"), *arguments],
            env={**environment, "BUILDAH_ISOLATION": "chroot"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, f"buildah {arguments[0]}: {ended.stdout}{ended.stderr}"
        return ended.stdout.strip()


@dataclass(frozen=True, slots=True)
class Image:
    """Hold a built image: its configuration, its history, and its files in a folder."""

    config: dict[str, Any]
    history: list[dict[str, Any]]
    root: Path

    def command(self, *arguments: str, **variables: str) -> list[str]:
        """Return what becomes of `docker run IMAGE arguments`, within the image's root."""
        return self._as_user([*self.config["Entrypoint"], *arguments], variables)

    def command_of(self, *command: str) -> list[str]:
        """Return another program of the image, within its root."""
        return self._as_user(command, {})

    def health_check(self, **variables: str) -> list[str]:
        """Return the command of the image's HEALTHCHECK, within its root."""
        kind, *command = self.config["Healthcheck"]["Test"]
        assert kind == "CMD"
        return self._as_user(command, variables)

    def _as_user(self, command: Sequence[str], variables: Mapping[str, str]) -> list[str]:
        user = self.config["User"]
        entries = (self.root / "etc/passwd").read_text(encoding="utf-8").splitlines()
        group = next(e.split(":")[3] for e in entries if e.split(":")[2] == user)
        own = dict(entry.partition("=")[::2] for entry in self.config["Env"])
        set_ = [f"{name}={value}" for name, value in {**own, **variables}.items()]
        folder = self.config["WorkingDir"]
        chroot = ["chroot", f"--userspec={user}:{group}", "--groups="]
        return [*chroot, str(self.root), "env", f"--chdir={folder}", "-i", *set_, *command]

    def new_volume(self, folder: Path) -> Path:
        """Make a volume as Docker does: owned and closed as the folder where it is mounted."""
        there = (self.root / "app/data").stat()
        folder.mkdir()
        os.chown(folder, there.st_uid, there.st_gid)
        folder.chmod(there.st_mode & 0o7777)
        return folder


@dataclass(frozen=True, slots=True)
class Container:
    """Hold a process that was started from an image."""

    process: "subprocess.Popen[str]"

    @property
    def pid(self) -> int:
        """Return the number, outside, of what is process 1 inside."""
        own = self.process.pid
        children = Path(f"/proc/{own}/task/{own}/children").read_text(encoding="utf-8").split()
        return int(children[0])

    def execute(self, command: Sequence[str]) -> Ended:
        """Run one more command inside, as `docker exec` does."""
        inside = ["nsenter", "--target", str(self.pid), "--mount", "--pid"]
        return _ended([*inside, *command])


def build(folder: Path, variables: Mapping[str, str], left_behind: str) -> Image:
    """Build the image of this tree, as somebody with a strict umask has it.

    `variables` are set meanwhile, and `left_behind` stands in the tree's `.env`.
    """
    store, context = Store(folder), folder / "context"
    _make_base(store)
    _download_packages(folder / "wheels")
    _copy_tree(context, left_behind)
    store.buildah(
        *("build", "--format", "docker", "--pull-never", "--build-arg", f"BASE={BASE}"),
        *("--volume", f"{folder / 'wheels'}:{WHEELS}:ro", "--tag", IMAGE, str(context)),
        environment={**os.environ, **variables},
    )
    told = json.loads(store.buildah("inspect", "--type", "image", IMAGE))["Docker"]
    container = store.buildah("from", "--pull-never", IMAGE)
    root = Path(store.buildah("mount", container))
    return Image(told["config"], told["history"], root)


def _make_base(store: Store) -> None:
    root = store.folder / "base"
    made = _ended(["debootstrap", "--variant=minbase", f"--include={PACKAGES}", SUITE, str(root)])
    assert made.status == 0, made.out[-2000:] + made.err
    # Where packages come from is the machine's affair; the Dockerfile just asks pip for them.
    (root / "etc/pip.conf").write_text(f"[global]\nno-index = true\nfind-links = {WHEELS}\n")
    container = store.buildah("from", "scratch")
    store.buildah("add", "--quiet", container, str(root), "/")
    store.buildah("commit", "--quiet", "--rm", container, BASE)
    shutil.rmtree(root)


def _download_packages(folder: Path) -> None:
    """Fetch what the Dockerfile installs, from wherever this machine's pip is set up to."""
    folder.mkdir()
    pip = [sys.executable, "-m", "pip", "--quiet", "download", "--no-deps", "--require-hashes"]
    of_suite = ["--only-binary=:all:", f"--python-version={PYTHON_OF_SUITE}"]
    pinned = ["--requirement", str(ROOT / "requirements/main.txt"), "--dest", str(folder)]
    fetched = _ended([*pip, *of_suite, *pinned])
    assert fetched.status == 0, fetched.err[-2000:]


def _copy_tree(context: Path, left_behind: str) -> None:
    shutil.copytree(ROOT, context, ignore=shutil.ignore_patterns(*NOT_OF_A_CLONE))
    (context / ".env").write_text(left_behind, encoding="utf-8")
    for path in context.rglob("*"):
        path.chmod(path.stat().st_mode & 0o700)


def run(image: Image, command: Sequence[str], volume: Path) -> Ended:
    """Start a container, and wait until it has ended."""
    return _ended(_started(image, command, volume))


@contextmanager
def running(image: Image, command: Sequence[str], volume: Path, log: Path) -> Iterator[Container]:
    """Have a container run meanwhile; all that it says goes to `log`."""
    with (
        log.open("w", encoding="utf-8") as out,
        subprocess.Popen(
            _started(image, command, volume),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process,
    ):
        container = Container(process)
        try:
            own = Path(f"/proc/{process.pid}/task/{process.pid}/children")
            assert wait_until(lambda: bool(own.read_text("utf-8").strip()), 10)
            yield container
        finally:
            process.kill()  # and with it, by --kill-child, what it has started


def _started(image: Image, command: Sequence[str], volume: Path) -> list[str]:
    apart = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
    return [*apart, "--", "sh", "-c", START, "start", str(image.root), str(volume), *command]


def _ended(command: Sequence[str]) -> Ended:
    ended = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr)
