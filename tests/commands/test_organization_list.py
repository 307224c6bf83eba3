"""The list of organizations: read from module.json, a .json or a .csv file; all faults at once."""

import csv
import io
import json
import os
import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jumpcloud_modules.commands import organization_file
from jumpcloud_modules.commands.module_json import ConfigurationError
from jumpcloud_modules.commands.organization_entry import (
    BAD_NAME,
    KEY_FILE,
    KEYS,
    TAKEN_NAME,
)
from jumpcloud_modules.commands.organization_list import (
    Entry,
    Fault,
    Named,
    examine,
    files_of,
    named,
    names_a_list,
    read_organizations,
)

ROOT = Path(__file__).resolve().parents[2]
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
    assert files_of(path, {}) == [path, tmp_path / "list.json"]


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
    entry = {"name": "acme", "organization_id": "id-of-acme", "intake_key_file": "${KEYS}/acme"}
    path = write(tmp_path, [entry])
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets/acme").write_text("key-of-acme\n")

    (read,) = read_organizations(path, {"KEYS": "secrets"})

    assert read.connector.intake_key == "key-of-acme"
    assert tmp_path / "secrets/acme" in files_of(path, {"KEYS": "secrets"})


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"intake_key_file": "jca-looks-like-a-key"}, "cannot be read from {folder} (No such"),
        ({"intake_key_file": "empty"}, "the file is empty"),
        ({"intake_key_file": "latin"}, "is no file of UTF-8"),
        ({"intake_key_file": "jca\0"}, "is no file of UTF-8"),
        ({"intake_key_file": 5}, "is not a text"),
        ({"intake_key_file": "several"}, "intake_key: holds a space, a line break"),
        ({"intake_key_file": "a", "intake_key": "b"}, "both are given; leave one of them out"),
    ],
)
def test_a_key_that_cannot_be_had_is_told(tmp_path: Path, more: dict[str, Any], said: str) -> None:
    """Once, and without the file's name: somebody may have put the key there itself."""
    (tmp_path / "empty").write_text(" \n")
    (tmp_path / "latin").write_bytes(b"cl\xe9")
    (tmp_path / "several").write_text("key-of-acme\nkey-of-beta\n")
    path = write(tmp_path, [{"name": "acme", "organization_id": "id-of-acme", **more}])

    (line,) = told(path).splitlines()

    assert line.startswith(f"{path}: acme: intake_key")
    assert said.format(folder=tmp_path) in line
    assert "jca" not in line


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
            {**ACME, "frequency": 0, "chunk_size": 0},
            {**BETA, "organisation_id": "x"},
            {"name": "Gamma Inc.", "organization_id": "c", "intake_key": "k3"},
            {"name": "delta", "organization_id": "d"},
            {"name": "epsilon", "organization_id": "${E}", "intake_key": "", "history_hours": -1},
            "zeta",
            {"organization_id": "f", "intake_key": "k4"},
        ],
    )

    assert told(path).splitlines() == [
        f"{path}: {said}"
        for said in (
            "acme: frequency: 0 is not possible; give a whole number from 1 to 7776000.",
            "acme: chunk_size: 0 is not possible; give a whole number from 1 to 10000.",
            "beta: organisation_id: there is no such key; did you mean organization_id?",
            f"organization 3, organization 7: {BAD_NAME}",
            "delta, epsilon: intake_key: is missing; give a value.",
            "epsilon: The environment variable E, which organization_id needs, is not set; set it.",
            "epsilon: history_hours: -1 is not possible; give a whole number from 0 to 2160.",
            "organization 6: is no object with a name and keys; write it so.",
        )
    ]


def test_what_is_wrong_for_all_is_told_once(tmp_path: Path) -> None:
    """It is the same for each, and nobody mends it in the list."""
    connector = {"frequency": 0, "chunksize": 5}
    path = write(tmp_path, [ACME, BETA], {"apikey": "${KEY}", "base_url": "console"}, connector)

    assert told(path).splitlines() == [
        f"{path}: {said}"
        for said in (
            "connector.chunksize: there is no such key; did you mean chunk_size?",
            "The environment variable KEY, which module.apikey needs, is not set; set it.",
            "base_url: is not an address; give one such as https://host/.",
            "frequency: 0 is not possible; give a whole number from 1 to 7776000.",
            "acme, beta: intake_server: is missing; give your Sekoia region's address.",
        )
    ]


def test_what_each_says_itself_need_not_be_there_for_all(tmp_path: Path) -> None:
    """As in the module.json that is delivered, whose variables are those of one organization."""
    own = {"apikey": "own-key", "frequency": 30}
    connector = {**CONNECTOR, "intake_key": "${SEKOIA_INTAKE_KEY}", "frequency": "${FREQUENCY}"}
    path = write(tmp_path, [{**ACME, **own}], {"apikey": "${JUMPCLOUD_API_KEY}"}, connector)

    (entry,) = read_organizations(path, {})

    assert entry.account.apikey.get_secret_value() == "own-key"


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "Acme", "acme inc", "é", "x" * 64, 5, None])
def test_a_name_that_names_no_folder_is_told(tmp_path: Path, name: Any) -> None:
    """By its place, and not itself: columns may be out of order, and it a key."""
    assert told(write(tmp_path, [{**ACME, "name": name}])).endswith(f"organization 1: {BAD_NAME}")


def test_no_name_is_that_of_a_folder_that_a_single_connector_left(tmp_path: Path) -> None:
    """Two states would be mixed."""
    names = ["ledger", "quarantine", "quarantine-reasons", "streams"]
    path = write(tmp_path, [{**ACME, "name": n, "organization_id": n} for n in names])

    assert told(path) == f"{path}: {', '.join(names)}: {TAKEN_NAME}"


def test_many_that_have_the_same_fault_are_not_named(tmp_path: Path) -> None:
    """Where they are all that there are, as after `organizations --csv`."""
    path = write(tmp_path, "list.csv")
    lines = [f"customer-{number},id-{number}," for number in range(2_000)]
    text = "\n".join(["name,organization_id,intake_key", *lines])
    (tmp_path / "list.csv").write_text(text)

    said = "all 2,000 organizations: intake_key: is missing; give a value."
    assert told(path) == f"{tmp_path / 'list.csv'}: {said}"


def test_what_is_wrong_with_one_is_told_from_the_others(tmp_path: Path) -> None:
    """For a command that is about one: the others may be as they are."""
    path = write(tmp_path, [{**ACME, "frequency": 0}, BETA, {"organization_id": "c"}])

    listed = examine(path, {})

    assert [entry.name for entry in listed.entries] == ["beta"]
    assert listed.faults_of("acme") == [
        "frequency: 0 is not possible; give a whole number from 1 to 7776000."
    ]
    assert listed.faults_of("beta") == []
    assert Fault("organization 3", BAD_NAME) in listed.faults


def test_what_is_wrong_with_the_forms_is_wrong_with_each(tmp_path: Path) -> None:
    """None can be collected before it is mended."""
    path = write(tmp_path, [ACME, BETA], connector={**CONNECTOR, "frequency": 0})

    listed = examine(path, {})

    assert listed.entries == ()
    assert len(listed.faults) == 1
    assert listed.faults_of("acme") == listed.faults_of("beta") == [listed.faults[0].said]


def test_names_are_known_whatever_is_wrong(tmp_path: Path) -> None:
    """As long as there is a list: no key needs to be there, and no variable set."""
    gamma = {"name": "${GAMMA}", "organization_id": "c", "client_id": "${OWN}"}
    path = write(tmp_path, [{"name": "acme", "frequency": 0}, gamma, {"name": "B"}, ACME, "x"])

    assert named(path, {"GAMMA": "gamma"}) == [
        Named("acme", "", is_reached_otherwise=False),
        Named("gamma", "c", is_reached_otherwise=True),
    ]


def test_what_would_arrive_twice_is_told(tmp_path: Path) -> None:
    """A line that was copied and not changed, or a name that two have, whatever else is wrong."""
    path = write(tmp_path, [ACME, {**ACME, "name": "copy"}, BETA, {**BETA, "frequency": 0}])

    said = told(path)

    assert "copy: collects the same as acme into the same intake" in said
    assert "beta: organization 3 and organization 4 have this name; give each its own." in said


def test_two_without_an_id_would_collect_the_same(tmp_path: Path) -> None:
    """A column that was forgotten must not bring the events of one into the intake of another."""
    gamma = {"name": "gamma", "intake_key": "key-of-gamma"}
    nameless = [{**gamma, "name": name, "intake_key": name} for name in ("delta", "epsilon")]
    path = write(tmp_path, [ACME, gamma, *nameless, {**gamma, "name": "zeta", "apikey": "own"}])

    (line,) = told(path).splitlines()

    assert line.startswith(f"{path}: delta, epsilon: names no organization_id, and neither does")
    assert "does gamma with the same credentials" in line


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
        ({"acme": {}}, "neither a list nor the name of a .json or .csv file"),
        ("list.txt", "names no .json and no .csv file"),
        ("nowhere.csv", "cannot be read"),
        ("object.json", "object.json: is no list"),
        ("${LIST}", "LIST, which organizations needs, is not set"),
    ],
)
def test_a_list_that_is_none_is_told(tmp_path: Path, organizations: Any, said: str) -> None:
    """With the file that it was looked for in."""
    (tmp_path / "object.json").write_text("{}")

    assert said in told(write(tmp_path, organizations))


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("", "first line must name the columns"),
        ("acme,id\n", "first line must name the columns"),
        ("name;organization_id\nacme;id\n", "separated by semicolons"),
        ("name\torganization_id\nacme\tid\n", "separated by tabs"),
        ("name,name\na,b\n", "two columns have the name name"),
        ('name,intake_key\nacme,"a\nb,c\n', "line 3 cannot be read (unexpected end of data)"),
    ],
)
def test_a_table_that_cannot_be_read_is_told(tmp_path: Path, table: str, said: str) -> None:
    """A quote that is not closed must not swallow the rest."""
    path = write(tmp_path, "list.csv")
    (tmp_path / "list.csv").write_text(table)

    assert said in told(path)


def test_lines_that_do_not_fit_are_told_with_all_that_is_wrong(tmp_path: Path) -> None:
    """Each by its number in the file; what a spreadsheet leaves blank at the end is no cell."""
    path = write(tmp_path, "list.CSV", connector={**CONNECTOR, "intake_key": "key-of-all"})
    (tmp_path / "list.CSV").write_text(
        "name,organization_id,excluded_event_types,\r\n"
        "acme,a,,\r\n"
        '"beta",b,"ldap_bind,\nldap_search",,\r\n'
        ",,,\r\n"
        "gamma,c\r\n"
        "delta,d,sso_auth,a note\r\n"
        "epsilon,e,ldap_bind,ldap_search,more\r\n"
        "ZETA,f,,\r\n"
    )

    lines = [line.partition("list.CSV: ")[2] for line in told(path).splitlines()]

    assert [line.partition(";")[0] for line in lines] == [
        f"line 9: {BAD_NAME.partition(';')[0]}",
        "line 6: has 2 cells for 4 columns",
        "line 7: a cell stands below no column",
        "line 8: has 5 cells for 4 columns",
    ]


@pytest.mark.parametrize("place", ["list", "key", "module.json"])
@pytest.mark.timeout(20)
def test_a_pipe_is_told_and_not_waited_for(tmp_path: Path, place: str) -> None:
    """Who reads one that nobody writes to waits for ever, and no signal ends the process."""
    os.mkfifo(tmp_path / "pipe.csv")
    keys = {**ACME, "intake_key": "", "intake_key_file": "pipe.csv"}
    path = write(tmp_path, [keys] if place == "key" else "pipe.csv")

    said = told(tmp_path / "pipe.csv" if place == "module.json" else path)

    assert "is a pipe or a device" in said


@pytest.mark.parametrize("file", ["a\0b.csv", "a\0b.json", "\ud800.csv", "\ud800.json"])
def test_a_name_that_no_file_can_have_is_told(tmp_path: Path, file: str) -> None:
    """As any other fault is."""
    assert "cannot name a file" in told(write(tmp_path, file))


def test_what_stands_too_deep_is_told(tmp_path: Path) -> None:
    """Whether reading it is too much, or filling it in."""
    path = write(tmp_path, "list.json")
    for depth in (600, 100_000):
        deep = "[" * depth + "]" * depth
        (tmp_path / "list.json").write_text(f'[{{"name": "berlin", "service": {deep}}}]')

        assert told(path)


def test_a_misspelt_list_is_told(tmp_path: Path) -> None:
    """Left alone, it would mean that nothing of it is collected."""
    path = tmp_path / "module.json"
    path.write_text(json.dumps({"module": {}, "connector": {}, "organisations": []}))

    with pytest.raises(ConfigurationError, match="did you mean organizations"):
        names_a_list(path)


def test_the_examples_of_the_documents_are_two_forms_of_one_list(tmp_path: Path) -> None:
    """With one key in a variable, one in a file, and credentials of its own."""
    text = (ROOT / "docs/configuration.md").read_text()
    blocks = dict(re.findall(r"^```(json|csv)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
    (tmp_path / "paris").write_text("key-of-paris")
    environment = {"JUMPCLOUD_API_KEY": "k", "BERLIN_KEY": "key-of-berlin", "PARIS_SECRET": "s"}
    path = tmp_path / "module.json"
    path.write_text(blocks["json"].replace("/run/secrets/", ""))
    (tmp_path / "organizations.csv").write_text(blocks["csv"].replace("/run/secrets/", ""))

    listed = read_organizations(path, environment)
    document = json.loads(path.read_text()) | {"organizations": "organizations.csv"}
    path.write_text(json.dumps(document))

    assert [entry.connector.intake_key for entry in listed] == ["key-of-berlin", "key-of-paris"]
    assert read_organizations(path, environment) == listed


CELLS = st.text(
    st.characters(codec="utf-8", exclude_characters="\x00") | st.sampled_from(',;"\n\r \t'),
    max_size=20,
)


@given(
    st.lists(st.lists(CELLS, min_size=3, max_size=3), max_size=8),
    st.sampled_from(["\n", "\r", "\r\n"]),
)
def test_each_row_of_a_table_is_told_from_the_others(rows: list[list[str]], end: str) -> None:
    """Whatever its cells hold: as a spreadsheet would write them, so they are read."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerow(["name", "organization_id", "intake_key"])
    writer.writerows(rows)
    with TemporaryDirectory() as folder:
        path = write(Path(folder), "list.csv")
        (Path(folder) / "list.csv").write_text(text.getvalue(), encoding="utf-8", newline="")

        read = organization_file.read(path, {})

    cells = [["\n".join(re.split("\r\n|\r", cell)).strip() for cell in row] for row in rows]
    kept = [row for row in cells if any(row)]
    assert [list(row.given.values()) for row in read.rows] == kept
    assert read.faults == ()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)
SECRET = "hunter2hunter2"


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from([*KEYS, "other"]),
            JSON | st.just(SECRET) | st.just(f"{SECRET} é") | st.just([SECRET]) | st.just("${X}"),
            max_size=5,
        )
        | JSON,
        max_size=3,
    )
)
def test_whatever_stands_in_a_list_is_read_or_told_without_its_secrets(listed: list[Any]) -> None:
    """Each fault in a line of its own that says where it is."""
    with TemporaryDirectory() as folder:
        path = write(Path(folder), listed)
        lines = read_or_told(path)

    assert all(line.startswith(f"{path}: ") for line in lines)
    hidden = {"apikey", "client_secret", "intake_key", KEY_FILE}
    objects = [given for given in listed if isinstance(given, dict)]
    others = [value for given in objects for key, value in given.items() if key not in hidden]
    if SECRET not in str(others):
        assert SECRET not in "".join(lines)


def read_or_told(path: Path) -> list[str]:
    """Return what is told of a list, nothing where it can be used."""
    try:
        read_organizations(path, {})
    except ConfigurationError as error:
        return str(error).splitlines()
    return []
