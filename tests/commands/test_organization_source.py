"""Where a process has its organizations from, and what it takes for a change."""

import json
from pathlib import Path

from jumpcloud_modules.commands.organization_source import Source

SHARED = {"connector": {"intake_server": "https://intake.example.org"}}


def projected(volume: Path, revision: str, names: list[str]) -> None:
    """Write a revision of both files, as the kubelet does: links that are turned at once."""
    folder = volume / f"..{revision}"
    folder.mkdir(parents=True)
    listed = [
        {"name": name, "organization_id": name, "intake_key": f"{name}-key"} for name in names
    ]
    document = {"module": {"apikey": "a-key"}, **SHARED, "organizations": "organizations.json"}
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
