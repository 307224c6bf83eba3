"""The variables that are read, and those that look like one of them."""

from pathlib import Path

import pytest

from jumpcloud_modules.commands.environment import variables_of, warnings, warnings_for

ROOT = Path(__file__).resolve().parents[2]
OURS = variables_of(ROOT / "module.json")


def test_the_variables_of_a_document_are_those_it_names(tmp_path: Path) -> None:
    """None where there is no such document: that is told elsewhere."""
    assert {"JUMPCLOUD_API_KEY", "FREQUENCY"} <= OURS
    assert variables_of(tmp_path / "absent") == set()


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("FREQENCY", "FREQUENCY"),
        ("SERVICES", "SERVICE"),
        ("service", "SERVICE"),
        ("JUMPCLOUD_URL", "JUMPCLOUD_BASE_URL"),
        ("JUMPCLOUD_KEY", "JUMPCLOUD_API_KEY"),
        ("SEKOIA_INTAKEKEY", "SEKOIA_INTAKE_KEY"),
        ("DATADIR", "DATA_DIR"),
        ("REQUEST_CA_BUNDLE", "REQUESTS_CA_BUNDLE"),
        ("AWS_S3_ENDPOINT", "AWS_S3_ENDPOINT_URL"),
    ],
)
def test_a_near_miss_is_told_with_the_right_name(name: str, meant: str) -> None:
    """Never with its value."""
    (said,) = warnings({name: "hunter2"}, OURS)

    assert said == f"The environment variable {name} is not read; did you mean {meant}?"


def test_what_is_read_and_what_others_set_is_not_told() -> None:
    """As on an ordinary machine, in a container, in Kubernetes beside a service of our name."""
    read = {*OURS, "https_proxy", "HTTPS_PROXY", "no_proxy", "CURL_CA_BUNDLE", "LOG_LEVEL"}
    others = {
        *("PATH", "HOME", "LANG", "HOSTNAME", "USER", "SHELL", "TERM", "PWD", "SHLVL", "TZ"),
        *("PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE", "PYTHON_VERSION", "GPG_KEY", "LC_ALL"),
        *("JUMPCLOUD_PORT", "JUMPCLOUD_SERVICE_HOST", "JUMPCLOUD_PORT_8000_TCP_ADDR"),
        *("KUBERNETES_SERVICE_PORT", "KUBERNETES_PORT", "XDG_DATA_DIRS", "AWS_CA_BUNDLE"),
        *("AWS_REGION", "AWS_ENDPOINT_URL_S3", "AWS_STS_REGIONAL_ENDPOINTS", "AWS_MAX_ATTEMPTS"),
        *("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN", "AWS_ROLE_SESSION_NAME", "AWS_PROFILE"),
        *("AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"),
        *("ftp_proxy", "FTP_PROXY", "rsync_proxy", "DEVICE", "INVOCATION_ID", "JOURNAL_STREAM"),
    }

    assert warnings(dict.fromkeys(read | others, "x"), OURS) == []


@pytest.mark.parametrize("bundle", [{}, {"REQUESTS_CA_BUNDLE": ""}])
def test_certificates_named_where_nobody_looks_are_told(bundle: dict[str, str]) -> None:
    """Other programs read that variable; this one would trust the public ones."""
    (said,) = warnings({"SSL_CERT_FILE": "/company.pem", **bundle}, OURS)

    assert "SSL_CERT_FILE is not read" in said
    assert warnings({"SSL_CERT_FILE": "/a.pem", "REQUESTS_CA_BUNDLE": "/a.pem"}, OURS) == []


def test_what_a_list_of_organizations_names_is_read(tmp_path: Path) -> None:
    """Also where it looks like another one; thousands of them are not compared with the rest."""
    path = tmp_path / "module.json"
    path.write_text('{"module": {}, "connector": {}, "organizations": "${LIST}"}')
    (tmp_path / "list.csv").write_text("name,apikey\nacme,${JUMPCLOUD_API_KEY_ACME}\n")
    environment = {"LIST": "list.csv", "JUMPCLOUD_API_KEY_ACME": "x", "JUMPCLOUD_API_KEY_ACNE": "x"}

    assert warnings_for(path, environment) == []
    assert warnings_for(path, environment | {"SHARDES": "5"}) == [
        "The environment variable SHARDES is not read; did you mean SHARDS?"
    ]
