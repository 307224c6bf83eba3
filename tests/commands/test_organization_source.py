"""Where a process has its organizations from: its part of the list, and what changes it."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp

import pytest

from jumpcloud_modules.checkpoint import Checkpoint
from jumpcloud_modules.commands.module_json import ConfigurationError
from jumpcloud_modules.commands.organization_source import Source
from jumpcloud_modules.state.checkpoint_store import CheckpointStore

TABLE = "name,organization_id,intake_key,intake_key_file\n"
ACME, BETA = "acme,id-of-acme,,keys/acme\n", "beta,id-of-beta,key-of-beta,\n"


def source(folder: Path, **environment: str) -> Source:
    """Return the source of a module.json that names the list in the folder `mounted`."""
    document = {
        "module": {"apikey": "a-shared-key"},
        "connector": {"intake_server": "https://intake.example.org"},
        "organizations": "mounted/list.csv",
    }
    path = folder / "module.json"
    path.write_text(json.dumps(document))
    return Source(path, folder / "data", environment, "agent")


@pytest.fixture
def mounted(tmp_path: Path) -> Path:
    """Return a folder that holds the list, as Kubernetes mounts it: links into a hidden one."""
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys/acme").write_text("key-of-acme")
    folder = tmp_path / "mounted"
    folder.mkdir()
    publish(folder, TABLE + ACME + BETA)
    (folder / "list.csv").symlink_to("..data/list.csv")
    return folder


def publish(folder: Path, text: str) -> None:
    """Let another file be the list at once, as the kubelet does: its folder's link is replaced."""
    release = Path(mkdtemp(prefix="..", dir=folder))
    (release / "list.csv").write_text(text)
    os.utime(release / "list.csv", (1_000_000_000, 1_000_000_000))
    (folder / "..new").symlink_to(release.name)
    (folder / "..new").replace(folder / "..data")


def names(source: Source) -> list[str]:
    """Return the names that a source has."""
    return [definition.name for definition in source.read()]


def test_each_has_a_folder_of_its_own(tmp_path: Path, mounted: Path) -> None:
    """And what the list says of it."""
    assert mounted.exists()

    acme, beta = source(tmp_path).read()

    assert acme.settings.data_path == tmp_path / "data/acme"
    assert acme.settings.account.organization_id == "id-of-acme"
    assert acme.settings.intake.key == "key-of-acme"
    assert beta.settings.intake.url == "https://intake.example.org"


def test_what_stays_as_it_was_is_the_same(tmp_path: Path, mounted: Path) -> None:
    """So that only those begin anew that were changed."""
    place = source(tmp_path)
    acme, beta = place.read()
    publish(mounted, TABLE + ACME + BETA.replace("key-of-beta", "another-key"))

    same, other = place.read()

    assert same == acme
    assert other != beta


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: publish(folder / "mounted", TABLE + ACME),
        lambda folder: publish(folder / "mounted", TABLE + BETA + ACME),  # as long, and as old
        lambda folder: (folder / "keys/acme").write_text("another-key"),
        lambda folder: (folder / "keys/acme").unlink(),
        lambda folder: (folder / "mounted/..data").unlink(),
        lambda folder: (folder / "module.json").write_text("{}"),
    ],
    ids=["shorter", "same size and time", "key", "no key", "no list", "module.json"],
)
def test_a_change_of_any_of_its_files_is_noticed(
    tmp_path: Path, mounted: Path, change: Callable[[Path], object]
) -> None:
    """Once: until it is read again."""
    assert mounted.exists()
    place = source(tmp_path)
    place.read()
    assert not place.has_changed

    change(tmp_path)

    assert place.has_changed


def test_a_list_that_is_being_written_or_gone_is_looked_at_again(
    tmp_path: Path, mounted: Path
) -> None:
    """It is told once that it cannot be used, and comes into force as soon as it can."""
    place = source(tmp_path)
    place.read()

    for broken in (TABLE + ACME + 'beta,"id-of-be', TABLE, "", None):
        (mounted / "..data").unlink() if broken is None else publish(mounted, broken)
        assert place.has_changed
        with pytest.raises(ConfigurationError):
            place.read()
        assert not place.has_changed

    publish(mounted, TABLE + BETA)
    assert place.has_changed
    assert names(place) == ["beta"]


def test_a_process_has_its_part_of_the_list(tmp_path: Path, mounted: Path) -> None:
    """All parts together are the list; what is wrong with any other part is told all the same."""
    publish(mounted, TABLE + "".join(f"n{i},id-{i},key-{i},\n" for i in range(40)))

    parts = [names(source(tmp_path, SHARD=f"{number}/3")) for number in (1, 2, 3)]

    assert sorted(name for part in parts for name in part) == sorted(f"n{i}" for i in range(40))
    assert all(parts)
    with pytest.raises(ConfigurationError, match="such as 2/5"):
        source(tmp_path, SHARD="third")


@pytest.mark.parametrize("named", ["a\0b", "\ud800"])
def test_a_key_whose_file_cannot_be_named_is_told(tmp_path: Path, named: str) -> None:
    """Also at a later look."""
    place = source(tmp_path)
    (tmp_path / "mounted").mkdir()
    (tmp_path / "mounted/list.csv").write_text(TABLE + "acme,id,," + "${FILE}\n")
    place = Source(tmp_path / "module.json", tmp_path / "data", {"FILE": named}, "agent")

    with pytest.raises(ConfigurationError, match="intake_key_file"):
        place.read()

    assert not place.has_changed


def projected(volume: Path, revision: str, names: list[str]) -> None:
    """Write a revision of both files, as the kubelet does: links that are turned at once."""
    folder = volume / f"..{revision}"
    folder.mkdir(parents=True)
    listed = [
        {"name": name, "organization_id": name, "intake_key": f"{name}-key"} for name in names
    ]
    document = {
        "module": {"apikey": "a-key"},
        "connector": {"intake_server": "https://intake.example.org"},
        "organizations": "organizations.json",
    }
    (folder / "module.json").write_text(json.dumps(document))
    (folder / "organizations.json").write_text(json.dumps(listed))
    new = volume / "..data_tmp"
    new.symlink_to(folder.name)
    new.replace(volume / "..data")
    for name in ("module.json", "organizations.json"):
        link = volume / name
        if not link.is_symlink():
            link.symlink_to(f"..data/{name}")


def test_a_list_that_kubernetes_replaces_is_noticed(tmp_path: Path) -> None:
    """Neither file that it mounts is written to: a link above them leads elsewhere."""
    volume = tmp_path / "configuration"
    projected(volume, "2026_11_28", ["acme", "beta"])
    source = Source(volume / "module.json", tmp_path / "data", {}, "an agent")
    before = [definition.name for definition in source.read()]
    unchanged = source.has_changed

    projected(volume, "2026_11_29", ["acme", "beth"])
    changed = source.has_changed
    after = [definition.name for definition in source.read()]

    assert (unchanged, changed, source.has_changed) == (False, True, False)
    assert before == ["acme", "beta"]
    assert after == ["acme", "beth"]


def begun(folder: Path, organization_id: str, region: str = "https://api.jumpcloud.com/") -> None:
    """Write the state of an organization that was collected in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = Checkpoint(1, 2, scope=f"{region} {organization_id} all")
    CheckpointStore(folder).save(checkpoint)


@pytest.mark.parametrize("former", ["data/former", "data"])
def test_an_organization_whose_state_has_another_name_is_told(
    tmp_path: Path, mounted: Path, former: str
) -> None:
    """It would begin anew: it was renamed in the list, or a single connector collected it."""
    assert mounted.exists()
    begun(tmp_path / former, "id-of-acme")
    place = source(tmp_path)

    with pytest.raises(ConfigurationError) as error:
        place.read()

    assert str(error.value).startswith(
        f"acme: the state of this organization is in {tmp_path / former}. Stop, and move it to"
        f" {tmp_path / 'data/acme'}, "
    )
    assert "beta" not in str(error.value)
    assert not place.has_changed


@pytest.mark.parametrize(
    ("folder", "organization_id", "region"),
    [
        ("data/acme", "id-of-acme", "https://api.jumpcloud.com/"),
        ("data/former", "id-of-another", "https://api.jumpcloud.com/"),
        ("data/former", "id-of-acme", "https://api.eu.jumpcloud.com/"),
        ("data/former", "", "https://api.jumpcloud.com/"),
        ("elsewhere", "id-of-acme", "https://api.jumpcloud.com/"),
    ],
    ids=["its own", "another's", "of another region", "of no name", "elsewhere"],
)
def test_what_was_left_by_others_is_nobodys_state(
    tmp_path: Path, mounted: Path, folder: str, organization_id: str, region: str
) -> None:
    """Nor is a file in the data folder."""
    assert mounted.exists()
    begun(tmp_path / folder, organization_id, region)
    (tmp_path / "data").mkdir(exist_ok=True)
    (tmp_path / "data/notes.txt").write_text("of somebody")

    assert names(source(tmp_path)) == ["acme", "beta"]


def test_an_organization_may_begin_to_go_into_a_second_intake(
    tmp_path: Path, mounted: Path
) -> None:
    """Also where a third one had it before: its state under a listed name goes on."""
    publish(mounted, TABLE + ACME + "second,id-of-acme,another-key,\n")
    begun(tmp_path / "data/acme", "id-of-acme")
    begun(tmp_path / "data/former", "id-of-acme")

    assert names(source(tmp_path)) == ["acme", "second"]


def test_an_organization_that_gets_another_name_while_it_runs_is_told(
    tmp_path: Path, mounted: Path
) -> None:
    """Also where it was left out for a while; under its former name it comes back."""
    place = source(tmp_path)
    place.read()
    publish(mounted, TABLE + BETA)
    place.read()

    publish(mounted, TABLE + BETA + ACME.replace("acme,", "renamed,", 1))
    with pytest.raises(ConfigurationError, match=r"^renamed: .* is in .*/data/acme\. Stop"):
        place.read()

    publish(mounted, TABLE + BETA + ACME)
    assert names(place) == ["beta", "acme"]
