"""What the two forms hold: defaults, leniency, faults in a sentence each."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, SecretStr, ValidationError

from jumpcloud_modules.commands.module_json import VARIABLE
from jumpcloud_modules.jumpcloud.insights import SERVICES
from jumpcloud_modules.jumpcloud.regions import REGIONS
from jumpcloud_modules.sekoia.configuration import (
    NO_CREDENTIALS,
    ConnectorConfiguration,
    ModuleConfiguration,
)
from jumpcloud_modules.sekoia.form_faults import explain
from tools.manifests import environment_document

Faults = Callable[..., list[str]]


def connector(**values: Any) -> ConnectorConfiguration:
    """Return the configuration of a form in which only some fields were filled in."""
    return ConnectorConfiguration.model_validate({"intake_key": "key", **values})


def faults(model: type[BaseModel], **values: Any) -> list[str]:
    """Return the sentences on a form that has faults."""
    with pytest.raises(ValidationError) as caught:
        model.model_validate(values)
    return explain(caught.value)


def test_an_untouched_form_gives_the_defaults() -> None:
    """Only the two keys have to be given, and each default is a value that may be given."""
    fields = ConnectorConfiguration.model_fields
    defaults = {name: field.default for name, field in fields.items() if name != "intake_key"}

    assert connector().model_dump() == connector(**defaults).model_dump() == defaults
    assert ModuleConfiguration.model_validate({"apikey": "key"}).organization_id is None


def test_the_defaults_are_those_that_were_published() -> None:
    """Another default would change what existing users collect."""
    form = connector()

    assert ModuleConfiguration().base_url == "https://api.jumpcloud.com/"
    assert (form.service, form.frequency, form.chunk_size) == ("all", 60, 10_000)
    assert (form.history_hours, form.audit_hours, form.audit_frequency) == (24, 168, 600)


@pytest.mark.parametrize("blank", [None, "", "  "])
def test_a_blank_field_means_its_default(blank: str | None) -> None:
    """Forms and environment variables deliver empty texts for what was left out."""
    blanks = {name: blank for name in ConnectorConfiguration.model_fields if name != "intake_key"}

    module = ModuleConfiguration.model_validate(
        dict.fromkeys(ModuleConfiguration.model_fields, blank)
    )

    assert connector(**blanks) == connector()
    assert module == ModuleConfiguration()


def test_numbers_may_come_as_texts() -> None:
    """What is filled in from the environment is text."""
    filled = connector(frequency="5", audit_hours=" 0 ")

    assert (filled.frequency, filled.audit_hours) == (5, 0)


def test_unknown_keys_are_ignored() -> None:
    """A configuration of a later version does not stop this one."""
    assert connector(future="x") == connector()


@pytest.mark.parametrize(
    ("service", "streams"),
    [
        ("all", [["all"]]),
        ("directory", [["directory"]]),
        (" directory , sso,,directory ", [["directory", "sso"]]),
        ("directory,ALL,sso", [["all"], ["directory", "sso"]]),
        ("all,pam", [["all"], ["pam"]]),
        (" , ", [["all"]]),
        ("tomorrows_service", [["tomorrows_service"]]),
        (["ldap", "radius"], [["ldap", "radius"]]),
        ([], [["all"]]),
    ],
)
def test_services_are_a_list_of_names(service: object, streams: list[list[str]]) -> None:
    """Blanks are ignored, unknown names pass, each counts once; `all` has a stream of its own."""
    configuration = connector(service=service)

    assert configuration.streams == streams
    assert configuration.services == [name for names in streams for name in names]


@pytest.mark.parametrize("service", ["sso;radius", "sso radius", "sso|radius", "sso, 'radius'"])
def test_another_separator_than_a_comma_is_told(service: str) -> None:
    """JumpCloud would refuse the whole as one name, once a minute."""
    (fault,) = faults(ConnectorConfiguration, intake_key="key", service=service)

    assert fault.startswith("service: ")
    assert fault.endswith("names with commas between them, such as directory,sso.")


@pytest.mark.parametrize("quote", ["'", '"'])
def test_quotes_around_a_key_are_told(quote: str) -> None:
    """A file that no shell reads keeps them, and each request would be refused."""
    key = f"{quote}hunter2{quote}"
    (at_connector,) = faults(ConnectorConfiguration, intake_key=key)

    assert at_connector == "intake_key: stands in quotes; leave them out."
    assert ModuleConfiguration(apikey=SecretStr(key)).faults_of_credentials == [
        "apikey: stands in quotes; leave them out."
    ]


@given(st.lists(st.text(alphabet="abc_,", max_size=6), max_size=8))
def test_services_are_never_empty_and_never_repeated(names: list[str]) -> None:
    """JumpCloud refuses an empty list, and repeats what is asked for twice."""
    services = connector(service=" , ".join(names)).services

    assert services
    assert len(services) == len(set(services))
    assert all(name == name.strip() and name for name in services)


@pytest.mark.parametrize(
    ("given_url", "url"),
    [
        ("https://api.eu.jumpcloud.com", "https://api.eu.jumpcloud.com/"),
        (" https://api.jumpcloud.com// ", "https://api.jumpcloud.com/"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080/"),
        ("http://127.9.9.9/", "http://127.9.9.9/"),
        ("http://[::1]:80/", "http://[::1]:80/"),
        ("http://localhost/x/", "http://localhost/x/"),
    ],
)
def test_addresses_end_with_one_slash(given_url: str, url: str) -> None:
    """Https everywhere, http on this machine only."""
    assert ModuleConfiguration(base_url=given_url).base_url == url


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("http://api.jumpcloud.com/", "https://"),
        ("http://localhost.example.com/", "https://"),
        ("http://10.0.0.1/", "https://"),
        ("ftp://127.0.0.1/", "https://"),
        ("api.jumpcloud.com", "is not an address"),
        ("https://", "is not an address"),
        ("https://a b/", "is not an address"),
        ("https://a\ud800b/", "is not an address"),
        ("https://[::1/", "is not an address"),
        ("https://host:port/", "is not an address"),
        ("https://me:hunter2@host/", "more than a host"),
        ("https://host/?key=hunter2", "more than a host"),
        (7, "is not a text"),
    ],
)
def test_an_address_that_would_show_the_key_is_refused(url: object, fault: str) -> None:
    """Both addresses are told in one sentence, without what may be a secret in them."""
    (at_module,) = faults(ModuleConfiguration, base_url=url)
    (at_connector,) = faults(ConnectorConfiguration, intake_key="k", intake_server=url)

    assert at_module.startswith("base_url: ")
    assert at_connector.startswith("intake_server: ")
    assert fault in at_module
    assert fault in at_connector
    assert "hunter2" not in at_module + at_connector


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("frequency", 0, "a whole number from 1 to 7776000"),
        ("frequency", "often", "a whole number from 1 to 7776000"),
        ("frequency", True, "a whole number from 1 to 7776000"),
        ("frequency", 7_776_001, "a whole number from 1 to 7776000"),
        ("chunk_size", 10_001, "a whole number from 1 to 10000"),
        ("chunk_size", 1.5, "a whole number from 1 to 10000"),
        ("history_hours", -1, "a whole number from 0 to 2160"),
        ("audit_hours", 2161, "a whole number from 0 to 2160"),
        ("audit_frequency", 4, "a whole number from 5 to 7776000"),
        ("audit_frequency", [5], "a whole number from 5 to 7776000"),
    ],
)
def test_a_bad_number_is_told_with_its_value_and_its_bounds(
    name: str, value: object, allowed: str
) -> None:
    """The sentence is enough to correct the form."""
    said = faults(ConnectorConfiguration, intake_key="k", **{name: value})

    assert said == [f"{name}: {value!r} is not possible; give {allowed}."]


def test_each_bad_value_gets_a_sentence_of_its_own() -> None:
    """A person corrects them all at once."""
    said = faults(ConnectorConfiguration, frequency=0, service=1, intake_server="http://x")

    assert sorted(sentence.partition(":")[0] for sentence in said) == [
        "frequency",
        "intake_key",
        "intake_server",
        "service",
    ]


def test_a_long_value_is_shortened() -> None:
    """A log line stays a line."""
    (said,) = faults(ConnectorConfiguration, intake_key="k", frequency="9" * 100 + "x")

    assert len(said) < 130


@pytest.mark.parametrize("document", [[], "text", None])
def test_a_configuration_that_is_no_object_is_told(document: object) -> None:
    """Whatever the platform mounts, the answer is a sentence."""
    with pytest.raises(ValidationError) as caught:
        ConnectorConfiguration.model_validate(document)

    assert explain(caught.value) == [
        "The configuration is not a JSON object with a value for each field."
    ]


def test_secrets_are_in_no_message() -> None:
    """Neither in our sentences nor in pydantic's own text."""
    with pytest.raises(ValidationError) as caught:
        ConnectorConfiguration.model_validate({"intake_key": "hunter2 x", "frequency": 0})

    assert "hunter2" not in " ".join(explain(caught.value))
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in " ".join(faults(ModuleConfiguration, apikey=["hunter2"]))


def test_secrets_are_in_no_dump_and_no_repr() -> None:
    """The SDK puts dumps into error reports."""
    module = ModuleConfiguration.model_validate({"apikey": "hunter2", "client_secret": "hunter2"})
    form = connector(intake_key="hunter2")

    shown = [repr(module), repr(form), str(module.model_dump()), str(form.model_dump())]
    assert "hunter2" not in " ".join([*shown, module.model_dump_json(), form.model_dump_json()])
    assert module.apikey.get_secret_value() == form.intake_key == "hunter2"


def test_a_secret_that_is_set_later_is_wrapped_and_stripped() -> None:
    """The platform's secrets are set as plain texts, pasted ones with a line break."""
    module = ModuleConfiguration.model_validate({"apikey": "a placeholder"})

    module.apikey = " jca_key\n"  # type: ignore[assignment]

    assert module.apikey == SecretStr("jca_key")
    assert module.faults_of_credentials == []
    assert module.organization_id is None


def test_region_is_a_choice_in_the_form_and_any_address_in_the_model() -> None:
    """The form offers JumpCloud's own; a gateway or an emulator is for who hosts it."""
    offered = ModuleConfiguration.model_json_schema()["properties"]["base_url"]["enum"]

    assert offered == [region.base_url for region in REGIONS]
    assert [ModuleConfiguration(base_url=url[:-1]).base_url for url in offered] == offered
    assert ModuleConfiguration(base_url="https://gateway.example").base_url not in offered


def test_the_form_names_what_a_person_has_to_look_for() -> None:
    """Units in titles, JumpCloud's menus and role, pages of both vendors, the known services."""
    module = ModuleConfiguration.model_json_schema()["properties"]
    form = ConnectorConfiguration.model_json_schema()["properties"]
    words = " ".join(field["description"] for field in (module | form).values())

    assert all(
        f["title"].endswith((" (seconds)", " (hours)", " (events)"))
        for f in form.values()
        if f["type"] == "integer"
    )
    assert "Settings > Service Accounts" in words
    assert "My API Key > Generate New API Key" in words
    assert "the role Read Only" in words
    assert "https://jumpcloud.com/support/" in words
    assert "https://docs.sekoia.io/" in words
    assert all(name in form["service"]["description"] for name in SERVICES)


def test_each_of_the_two_organizations_says_what_the_other_is_for() -> None:
    """The account's, and another one of a connector."""
    of_account = ModuleConfiguration.model_json_schema()["properties"]["organization_id"]
    of_connector = ConnectorConfiguration.model_json_schema()["properties"]["organization_id"]

    assert "A connector may name another one" in of_account["description"]
    assert "another JumpCloud organization than the account's" in of_connector["description"]
    assert "Leave empty to collect from the account's" in of_connector["description"]


KEY = {"apikey": "jca_key"}
ACCOUNT = {"client_id": "id", "client_secret": "secret"}
GATEWAY = {"base_url": "https://gateway.example/"}


@pytest.mark.parametrize(
    ("form", "organization_id", "said"),
    [
        (KEY, None, []),
        (KEY | {"organization_id": "org"}, "org", []),
        (KEY | GATEWAY, None, []),
        (ACCOUNT, "org", []),
        (ACCOUNT | {"base_url": "http://127.0.0.1:8080"}, "org", []),
        ({}, None, ["apikey: is empty"]),
        ({"apikey": "", "client_id": "", "client_secret": " "}, "org", ["apikey: is empty"]),
        (KEY | ACCOUNT, "org", ["apikey, client_id and client_secret: "]),
        (KEY | {"client_id": "id"}, "org", ["apikey, client_id and client_secret: "]),
        (KEY | {"client_secret": "x"}, "org", ["apikey, client_id and client_secret: "]),
        ({"client_id": "id"}, "org", ["client_secret: is empty"]),
        ({"client_secret": "x"}, "org", ["client_id: is empty"]),
        (ACCOUNT, None, ["organization_id: is empty"]),
        (ACCOUNT | {"client_id": "i:d"}, "org", ["client_id: holds a colon"]),
        (ACCOUNT | GATEWAY, "org", ["base_url: is none of JumpCloud's own"]),
        (
            {"client_id": "id"} | GATEWAY,
            None,
            ["client_secret: is empty", "base_url: is none of", "organization_id: is empty"],
        ),
    ],
)
def test_exactly_one_kind_of_credentials_is_given(
    form: dict[str, str], organization_id: str | None, said: list[str]
) -> None:
    """A sentence for each fault, all at once."""
    account = ModuleConfiguration.model_validate(form)
    faults = [*account.faults_of_credentials, *account.faults_of_organization(organization_id)]

    assert len(faults) == len(said)
    assert all(fault.startswith(begin) for fault, begin in zip(faults, said, strict=True))
    assert all(fault.endswith(".") for fault in faults)


@pytest.mark.parametrize("secret", ["a key", "cl\u00e9", "a\nb"])
@pytest.mark.parametrize("name", ["apikey", "client_secret"])
def test_a_secret_that_no_header_can_carry_is_told_at_use(name: str, secret: str) -> None:
    """A placeholder may be anything, but it must not be sent."""
    other = {} if name == "apikey" else {"client_id": "id"}

    (fault,) = ModuleConfiguration.model_validate({name: secret, **other}).faults_of_credentials

    assert fault.startswith(f"{name}: holds a space")
    assert secret not in fault


def test_the_sentence_on_missing_credentials_names_the_variables() -> None:
    """As module.json has them."""
    document = environment_document()["module"]

    for name in ("apikey", "client_id", "client_secret"):
        (variable,) = VARIABLE.finditer(document[name])
        assert variable["name"] in NO_CREDENTIALS
