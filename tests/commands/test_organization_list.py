"""The list of organizations: read from module.json, a .json or a .csv file; all faults at once."""

import json
from pathlib import Path
from typing import Any

import pytest

from jumpcloud_modules.commands.document import ConfigurationError
from jumpcloud_modules.commands.organization_list import (
    Entry,
    files_of,
    names_a_list,
    read_organizations,
)

SHARED = {"apikey": "a-shared-key", "base_url": "https://api.eu.jumpcloud.com/"}
CONNECTOR = {"intake_server": "https://intake.example.org", "frequency": 30}
ACME = {"name": "acme", "organization_id": "id-of-acme", "intake_key": "key-of-acme"}
BETA = {"name": "beta", "organization_id": "id-of-beta", "intake_key": "key-of-beta"}


def write(
    folder: Path,
    organizations: Any,
    module: dict[str, Any] | None = None,
    connector: dict[str, Any] | None = None,
) -> Path:
    """Write a module.json, and return where it is."""
    document = {
        "module": SHARED if module is None else module,
        "connector": CONNECTOR if connector is None else connector,
        "organizations": organizations,
    }
    path = folder / "module.json"
    path.write_text(json.dumps(document))
    return path


def told(path: Path, **environment: str) -> str:
    """Return what is told of a list that cannot be used."""
    with pytest.raises(ConfigurationError) as error:
        read_organizations(path, environment)
    return str(error.value)


def both(entries: list[Entry]) -> None:
    """Check that acme and beta are there, as they stand above."""
    assert [entry.name for entry in entries] == ["acme", "beta"]
    assert [entry.connector.organization_id for entry in entries] == ["id-of-acme", "id-of-beta"]
    assert [entry.connector.intake_key for entry in entries] == ["key-of-acme", "key-of-beta"]
    assert {entry.account.apikey.get_secret_value() for entry in entries} == {"a-shared-key"}
    assert {entry.connector.frequency for entry in entries} == {30}


def test_a_list_may_stand_in_module_json(tmp_path: Path) -> None:
    """What an entry does not say is as in the two forms."""
    path = write(tmp_path, [ACME, BETA])

    assert names_a_list(path)
    both(read_organizations(path, {}))


def test_a_list_may_stand_in_a_json_file_beside_it(tmp_path: Path) -> None:
    """So it can come from elsewhere than the rest."""
    path = write(tmp_path, "list.json")
    (tmp_path / "list.json").write_text(json.dumps([ACME, BETA]))

    both(read_organizations(path, {}))
    assert files_of(path) == [path, tmp_path / "list.json"]


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_list_may_be_a_table(tmp_path: Path, mark: str) -> None:
    """As `organizations --csv` writes it, or a spreadsheet with its mark; a blank says nothing."""
    path = write(tmp_path, "list.csv")
    (tmp_path / "list.csv").write_text(
        f"{mark}name,organization_id,intake_key,frequency\n"
        "acme,id-of-acme,key-of-acme,\n"
        "\n"
        "beta, id-of-beta ,key-of-beta,\n"
    )

    both(read_organizations(path, {}))


def test_a_single_organization_is_no_list(tmp_path: Path) -> None:
    """Then everything is as it was."""
    path = tmp_path / "module.json"
    path.write_text(json.dumps({"module": {}, "connector": {}, "comment": "mine"}))

    assert not names_a_list(path)


def test_variables_are_filled_in_wherever_they_stand(tmp_path: Path) -> None:
    """In module.json and in the list's file."""
    path = write(tmp_path, "list.csv", module={"apikey": "${KEY}"})
    (tmp_path / "list.csv").write_text(
        "name,organization_id,intake_key\nacme,id-of-acme,${ACME_KEY}\n"
    )

    (entry,) = read_organizations(path, {"KEY": "a-shared-key", "ACME_KEY": "key-of-acme"})

    assert entry.connector.intake_key == "key-of-acme"
    assert entry.account.apikey.get_secret_value() == "a-shared-key"
    assert "ACME_KEY, which intake_key needs, is not set" in told(path, KEY="a-shared-key")


def test_an_intake_key_may_be_a_file_of_its_own(tmp_path: Path) -> None:
    """As Kubernetes and Docker mount secrets; when it changes, the list is read again."""
    entry = {"name": "acme", "organization_id": "id-of-acme", "intake_key_file": "secrets/acme"}
    path = write(tmp_path, [entry])
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets/acme").write_text("key-of-acme\n")

    (read,) = read_organizations(path, {})

    assert read.connector.intake_key == "key-of-acme"
    assert tmp_path / "secrets/acme" in files_of(path)


def test_credentials_of_ones_own_replace_those_of_all(tmp_path: Path) -> None:
    """Of either kind; nobody has to blank the others out."""
    account = {"client_id": "own-account", "client_secret": "own-secret"}
    path = write(tmp_path, [{**ACME, **account}, {**BETA, "apikey": "own-key"}])

    acme, beta = read_organizations(path, {})

    assert acme.account.client_id == "own-account"
    assert not acme.account.apikey.get_secret_value()
    assert beta.account.apikey.get_secret_value() == "own-key"
    assert beta.account.client_id is None


def test_all_faults_of_all_are_told_at_once_by_name(tmp_path: Path) -> None:
    """Who has five hundred organizations does not want to start five hundred times."""
    path = write(
        tmp_path,
        [
            {**ACME, "frequency": 0},
            {**BETA, "organisation_id": "x"},
            {"name": "Gamma Inc.", "organization_id": "c", "intake_key": "k3"},
            {"name": "delta", "organization_id": "d"},
            {"name": "epsilon", "organization_id": "e", "intake_key_file": "nowhere"},
            "zeta",
        ],
    )

    said = told(path)

    assert "acme: frequency: 0 is not possible; give a whole number, 1 or more." in said
    assert "beta: organisation_id: there is no such key; did you mean organization_id?" in said
    assert "organization 3: name: give one of small letters" in said
    assert "delta: intake_key: is missing; give a value." in said
    assert f"epsilon: intake_key_file: {tmp_path / 'nowhere'} cannot be read" in said
    assert "organization 6: is no object" in said
    assert "key-of-acme" not in said


def test_what_would_arrive_twice_is_told(tmp_path: Path) -> None:
    """A line that was copied and not changed, or a name that two have."""
    path = write(tmp_path, [ACME, {**BETA, **ACME, "name": "copy"}, BETA, BETA])

    said = told(path)

    assert "copy: collects the same as acme into the same intake" in said
    assert "beta: 2 organizations have this name" in said


def test_one_organization_may_go_to_two_intakes(tmp_path: Path) -> None:
    """Each has a copy; that may be wanted."""
    path = write(tmp_path, [ACME, {**ACME, "name": "copy", "intake_key": "another-key"}])

    assert len(read_organizations(path, {})) == 2


def test_a_service_account_needs_an_organization(tmp_path: Path) -> None:
    """Each entry names its own."""
    account = {"client_id": "account", "client_secret": "secret"}
    path = write(tmp_path, [{"name": "acme", "intake_key": "k"}], module=account)

    assert "acme: organization_id: is empty" in told(path)


@pytest.mark.parametrize(
    ("organizations", "said"),
    [
        ([], "lists no organization"),
        ({"acme": {}}, "neither a list nor the name of a file"),
        ("list.txt", "names no .json and no .csv file"),
        ("nowhere.csv", "cannot be read"),
    ],
)
def test_a_list_that_is_none_is_told(tmp_path: Path, organizations: Any, said: str) -> None:
    """With the file that it was looked for in."""
    assert said in told(write(tmp_path, organizations))


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("", "first line must name the columns"),
        ("acme,id\n", "first line must name the columns"),
        ("name;organization_id\nacme;id\n", "separated by semicolons"),
        ("name,name\na,b\n", "two columns have the same name"),
        ("name,intake_key\nacme,a,b\n", "line 2 has 3 cells for 2 columns"),
    ],
)
def test_a_table_that_cannot_be_read_is_told(tmp_path: Path, table: str, said: str) -> None:
    """By its line, where there is one."""
    path = write(tmp_path, "list.csv")
    (tmp_path / "list.csv").write_text(table)

    assert said in told(path)


def test_a_misspelt_list_is_told(tmp_path: Path) -> None:
    """Left alone, it would mean that nothing of it is collected."""
    path = tmp_path / "module.json"
    path.write_text(json.dumps({"module": {}, "connector": {}, "organisations": []}))

    with pytest.raises(ConfigurationError, match="did you mean organizations"):
        names_a_list(path)
