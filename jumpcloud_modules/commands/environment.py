"""The variables that a self-hosted connector reads, and those that look like one of them."""

from collections.abc import Mapping, Set
from pathlib import Path
from typing import Final

from jumpcloud_modules.commands import organization_file
from jumpcloud_modules.commands.module_json import VARIABLE, ConfigurationError
from jumpcloud_modules.http.route import BUNDLE_VARIABLES
from jumpcloud_modules.sekoia.spelling import nearest

NEAR: Final = 0.82
"""Below it stands what others set, as Kubernetes does JUMPCLOUD_PORT for a service of that name."""
OWN: Final = frozenset(
    {
        "MODULE_JSON",
        "DATA_DIR",
        "LIVENESS_PORT",
        "METRICS_PORT",
        "MONITORING_ADDRESS",
        "LOG_LEVEL",
        "LOG_FORMAT",
        "SENTRY_DSN",
        "SHARD",
        "SHARDS",
        "MAX_REQUESTS_PER_SECOND",
    }
)
OF_THE_NETWORK: Final = frozenset(
    {"HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY", *BUNDLE_VARIABLES}
)
"""What requests reads, the proxies also in small letters."""

OF_S3: Final = frozenset(
    {
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_DEFAULT_REGION",
        "AWS_S3_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_S3",
        "AWS_CA_BUNDLE",
        "AWS_PROFILE",
        "AWS_ROLE_ARN",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
    }
)
"""The usual ones of those that boto3 reads, and the one that `data_folder` does."""


def variables_of(path: Path) -> set[str]:
    """Return the variables that a module.json names; none where it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return set()
    return {found["name"] for found in VARIABLE.finditer(text)}


def variables_of_list(path: Path, environment: Mapping[str, str]) -> set[str]:
    """Return the variables that the file of a module.json's list names."""
    try:
        file = organization_file.file_of(path, environment)
    except (ConfigurationError, KeyError):
        return set()
    return variables_of(file) if file else set()


def warnings_for(path: Path, environment: Mapping[str, str]) -> list[str]:
    """Return a sentence for each variable that neither a module.json names nor anybody reads."""
    return warnings(environment, variables_of(path), variables_of_list(path, environment))


def warnings(
    environment: Mapping[str, str], of_the_document: Set[str], of_its_list: Set[str] = frozenset()
) -> list[str]:
    """Return a sentence for each variable that is set but not read, as far as can be told."""
    known = OWN | OF_THE_NETWORK | OF_S3 | of_the_document
    # What a list names is not looked at for what is near: it may be thousands, all alike.
    read = known | of_its_list | {name.lower() for name in OF_THE_NETWORK}
    said = []
    for name in sorted(environment.keys() - read):
        if name.lower().endswith("_proxy"):  # of other programs, as ftp_proxy
            continue
        if near := nearest(name, known, NEAR):
            said.append(f"The environment variable {name} is not read; did you mean {near}?")
    if environment.get("SSL_CERT_FILE") and not any(map(environment.get, BUNDLE_VARIABLES)):
        said.append(
            "The environment variable SSL_CERT_FILE is not read; name the certificates to trust in"
            " REQUESTS_CA_BUNDLE."
        )
    return said
