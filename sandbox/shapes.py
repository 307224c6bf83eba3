"""How the events of each service look, as text. Knows no time, no id and no index.

A shape takes the fields that identify the event ready-made, and puts them where it likes.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from sandbox.query import SERVICES

ORGANIZATION = "66a0c1d2e3f4a5b6c7d8e9f0"
"""It stands in every event, and nowhere else."""

_NAMES = (
    ("amélie.févier", "Amélie", "Février-Noël"),
    ("bjørn.ås", "Bjørn", "Ås"),
    ("chen.wei", "伟", "陈"),
    ("dagny.oconnor", "Dagny", "O'Connor"),
    ("yuki.sato", "ゆき", "佐藤"),
    ("eve.escaped", r"\u00c9ve", r"L\u00e9ger"),
    ("fatima.zahra", "فاطمة", "الزهراء"),
    ("grinning", "Grin 😀", "Faces 🧑🏽‍💻"),
    ("ivan.petrov", "Иван", "Петров"),
    ("jo", "Jo", r"Back\\slash \"Quote\""),
    ("kaj.munk", "Kaj\\u0301", "Munk\\u200b"),
)

# Numbers that a decoder and an encoder between them would write differently.
_PLACES = (
    ("FR", "EU", "Paris", "75", "Europe/Paris", "48.83230", "2.40750"),
    ("US", "NA", "Colorado", "CO", r"America\/Denver", "40.01499", "-105.27050"),
    ("DE", "EU", "Île-de-Test", "BE", "Europe/Berlin", "5.25e1", "1.34E1"),
    ("JP", "AS", "東京", "13", "Asia/Tokyo", "35.0", "139.000000000000000001"),
    ("BR", "SA", "São Paulo", "SP", r"America\/Sao_Paulo", "-23.550", "-0"),
    ("AU", "OC", "Queensland", "QLD", "Australia/Brisbane", "-27.0", "1.530E2"),
)

_AGENTS = (
    ("Mac OS X", "10", "15", "7", "Chrome", "128.0.0.0", "Mac"),
    ("Windows", "11", "", "", "Edge", "127.0.2651.105", "Other"),
    ("Fedora", "40", "0", "", "Firefox", "129.0", "Other"),
    ("iOS", "17", "6", "1", "Mobile Safari", "17.6", "iPhone"),
)

_APPLICATIONS = (
    ("bookmark-9f", "Wiki “internal”", r"https:\/\/sso.example.test\/saml2\/wiki", "saml"),
    ("payroll", "Lohn & Gehalt", "https://sso.example.test/saml2/payroll", "saml"),
    ("crm", "CRM ☎", "https://sso.example.test/oidc/crm", "oidc"),
    ("tickets", "Tickets", "https://sso.example.test/saml2/tickets?tenant=7&x=%20", "saml"),
)

_ODD_FIELDS = (
    '"score":1.0',
    '"score":1e5',
    '"score":-0',
    '"score":1E400',
    '"score":0.10',
    '"serial":123456789012345678901234567890',
    '"serial":18446744073709551616',
    '"path":"C:\\\\Users\\\\j\\u00f6rg\\/docs"',
    '"note":"tab\\there, line\\nthere, \\u2028 between"',
    '"note":"naïve café — 東京 🚀"',
    '"tags":[ "a" , "b" ]',
    '"empty":{},"nothing":null,"list":[]',
)

_WORDS = (
    *("policy", "device", "user", "group", "access", "change", "request", "approved", "denied"),
    *("pending", "expired", "renewed", "manual", "automatic", "scheduled", "remote", "local"),
    *("shared", "private", "public", "default", "custom", "temporary"),
)

_EVENT_TYPES = {
    "access_certification": ("certification_campaign_start", "certification_decision"),
    "access_management": (
        "access_management_access_request",
        "access_management_association_change",
        "access_management_approval_flow_update",
    ),
    "adbridge_user": ("adbridge_user_update", "adbridge_user_sync"),
    "ai_admin": ("ai_admin_prompt", "ai_admin_action"),
    "aigw": ("aigw_request", "aigw_policy_block"),
    "alerts": ("alert_created", "alert_updated", "alert_status_updated", "bulk_update_alerts"),
    "asset_management": ("asset_management_asset_create", "asset_management_asset_update"),
    "di_events": ("di_events_export",),
    "directory": (
        "user_update",
        "user_create",
        "admin_login_attempt",
        "association_change",
        "group_update",
        "user_password_change",
        "command_run",
        "policy_update",
    ),
    "genai": ("genai_tool_detected",),
    "ldap": ("ldap_bind", "ldap_srch"),
    "mdm": ("mdm_command_result", "device_enrollment"),
    "notifications": ("notification_channel_created", "slack_notification_sent"),
    "object_storage": ("object_storage_create", "object_storage_delete"),
    "pam": ("pam_elevation_request", "pam_session_start"),
    "password_manager": (
        "passwordmanager_item_reveal",
        "passwordmanager_folder_member_add",
        "passwordmanager_force_sync",
    ),
    "password_vault": ("password_vault_item_read",),
    "radius": ("radius_auth_attempt",),
    "reports": ("report_run", "report_export"),
    "saas_app_management": (
        "saas_management_application_discover",
        "saas_management_login_event",
    ),
    "software": ("software_add", "software_change", "software_remove", "software_status_update"),
    "sso": ("sso_auth",),
    "systems": ("login_attempt", "policy_result", "command_result", "user_lockout"),
    "workflows": ("workflow_update", "workflow_run"),
}

Shape = Callable[[random.Random, "People", str, str, str], str]


@dataclass(frozen=True, slots=True, init=False)
class People:
    """Ready-made pieces of text about who did what from where; a few dozen of each."""

    initiators: tuple[str, ...]
    resources: tuple[str, ...]
    places: tuple[str, ...]
    agents: tuple[str, ...]
    applications: tuple[str, ...]
    machines: tuple[str, ...]
    changes: tuple[str, ...]
    sentences: tuple[str, ...]
    usernames: tuple[str, ...]

    def __init__(self, chance: random.Random) -> None:
        made = {
            "initiators": tuple(_initiator(chance) for _ in range(48)),
            "resources": tuple(_resource(chance) for _ in range(48)),
            "places": tuple(_place(place) for place in _PLACES),
            "agents": tuple(_agent(agent) for agent in _AGENTS),
            "applications": tuple(_application(chance, *app) for app in _APPLICATIONS),
            "machines": tuple(_machine(chance) for _ in range(48)),
            "changes": tuple(_changes(chance) for _ in range(48)),
            "sentences": tuple(_sentence(chance) for _ in range(48)),
            "usernames": tuple(name[0] for name in _NAMES),
        }
        for name, value in made.items():
            object.__setattr__(self, name, value)


def _one(chance: random.Random, options: tuple[str, ...]) -> str:
    return options[int(chance.random() * len(options))]


def _hex(chance: random.Random) -> str:
    return f"{chance.getrandbits(96):024x}"


def _ip(chance: random.Random) -> str:
    bits = chance.getrandbits(24)
    return f"203.{bits >> 16}.{bits >> 8 & 255}.{bits & 255}"


def _initiator(chance: random.Random) -> str:
    login, given, family = chance.choice(_NAMES)
    kind = chance.choice(("user", "admin"))
    return (
        f'{{"id":"{_hex(chance)}","type":"{kind}","username":"{login}",'
        f'"email":"{login}@example.test","name":"{given} {family}","administrator":false}}'
    )


def _resource(chance: random.Random) -> str:
    login, given, family = chance.choice(_NAMES)
    kind = chance.choice(("user", "user_group", "application", "system", "policy"))
    return (
        f'{{"id":"{_hex(chance)}","type":"{kind}","username":"{login}",'
        f'"displayname":"{given} {family}","recipient_email":"{login}@example.test"}}'
    )


def _place(place: tuple[str, ...]) -> str:
    country, continent, region, code, zone, north, east = place
    return (
        f'{{"country_code":"{country}","timezone":"{zone}","latitude":{north},'
        f'"continent_code":"{continent}","region_name":"{region}","longitude":{east},'
        f'"region_code":"{code}"}}'
    )


def _agent(agent: tuple[str, ...]) -> str:
    system, major, minor, patch, name, version, device = agent
    return (
        f'{{"os":"{system}","os_name":"{system}","os_major":"{major}","os_minor":"{minor}",'
        f'"os_patch":"{patch}","os_full":"{system} {major}.{minor}.{patch}","name":"{name}",'
        f'"version":"{version}","major":"{version.partition(".")[0]}","device":"{device}"}}'
    )


def _application(chance: random.Random, name: str, label: str, url: str, kind: str) -> str:
    return (
        f'{{"id":"{_hex(chance)}","name":"{name}","display_label":"{label}",'
        f'"sso_url":"{url}","sso_type":"{kind}"}}'
    )


def _machine(chance: random.Random) -> str:
    name = f"{chance.choice(('LAPTOP', 'MAC', 'srv', 'Büro'))}-{chance.randrange(10_000):04d}"
    return (
        f'{{"id":"{_hex(chance)}","displayName":"{name}","hostname":"{name}.local",'
        f'"os":"{chance.choice(("Windows", "Mac OS X", "Ubuntu"))}","version":"14.6.1"}}'
    )


def _changes(chance: random.Random) -> str:
    fields = chance.sample(_WORDS, chance.randrange(3, 9))
    listed = ",".join(
        f'{{"field":"{field}","from":"{chance.choice(_WORDS)} {chance.randrange(10**9)}",'
        f'"to":"{chance.choice(_WORDS)} {chance.randrange(10**9)}"}}'
        for field in fields
    )
    return f"[{listed}]"


def _sentence(chance: random.Random) -> str:
    return " ".join(chance.choices(_WORDS, k=chance.randrange(8, 60)))


def _tail(chance: random.Random, service: str, event_type: str) -> str:
    odd = f",{_one(chance, _ODD_FIELDS)}" if chance.random() < 0.3 else ""
    return (
        f'"event_type":"{event_type}","service":"{service}",'
        f'"organization":"{ORGANIZATION}","@version":"1"{odd}'
    )


def _sso(chance: random.Random, people: People, service: str, identity: str, _blob: str) -> str:
    success = "true" if chance.random() < 0.9 else "false"
    error = "" if success == "true" else _one(chance, people.sentences)
    return (
        f'{{"initiated_by":{_one(chance, people.initiators)},"error_message":"{error}",'
        f'"geoip":{_one(chance, people.places)},"sso_token_success":{success},'
        f'"useragent":{_one(chance, people.agents)},"auth_context":{{"system":'
        f'{_one(chance, people.machines)},"auth_methods":{{}},"policies_applied":[{{"id":"",'
        f'"name":"Standard, für alle","metadata":{{"resource_type":"APPLICATION",'
        f'"action":"ALLOW"}}}}]}},"mfa":false,"application":{_one(chance, people.applications)},'
        f'"provider":"","client_ip":"{_ip(chance)}",{identity},"idp_initiated":false,'
        f"{_tail(chance, service, 'sso_auth')}}}"
    )


def _directory(
    chance: random.Random, people: People, service: str, identity: str, _blob: str
) -> str:
    event_type = _one(chance, _EVENT_TYPES["directory"])
    return (
        f'{{"initiated_by":{_one(chance, people.initiators)},"resource":'
        f'{_one(chance, people.resources)},"geoip":{_one(chance, people.places)},'
        f'"useragent":{_one(chance, people.agents)},"changes":{_one(chance, people.changes)},'
        f'"mfa":true,"provider":null,"auth_method":"session","success":true,'
        f'"client_ip":"{_ip(chance)}",{_tail(chance, service, event_type)},'
        f'"message_chain":{{}},{identity}}}'
    )


def _radius(chance: random.Random, people: People, service: str, identity: str, _blob: str) -> str:
    username = _one(chance, people.usernames)
    success = "true" if chance.random() < 0.8 else "false"
    return (
        f'{{{identity},"initiated_by":{{"type":"user","username":"{username}"}},'
        f'"auth_type":"eap","eap_type":"MSCHAPv2","nas_mfa_state":"DISABLED","outer":'
        f'{{"eap_type":"PEAP","username":"{username}","error_message":"'
        f'{_one(chance, people.sentences)}"}},"geoip":{_one(chance, people.places)},'
        f'"mfa":false,"mfa_meta":{{"type":"none"}},"auth_meta":{{"auth_idp":"JUMPCLOUD",'
        f'"userid_type":"USERNAME","user_password_enabled":true,"user_cert_enabled":false,'
        f'"device_cert_enabled":false}},"error_message":null,"success":{success},'
        f'"username":"{username}","client_ip":"{_ip(chance)}",'
        f"{_tail(chance, service, 'radius_auth_attempt')}}}"
    )


def _ldap(chance: random.Random, people: People, service: str, identity: str, _blob: str) -> str:
    username = _one(chance, people.usernames)
    event_type = _one(chance, _EVENT_TYPES["ldap"])
    base = f"ou=Users,o={ORGANIZATION},dc=example,dc=test"
    return (
        f'{{"initiated_by":{_one(chance, people.initiators)},"dn":"uid={username},{base}",'
        f'"base":"{base}","filter":"(&(objectClass=person)(uid={username}))","scope":2,'
        f'"deref":0,"attrs":"* +","connection_id":"{chance.getrandbits(63)}",'
        f'"operation_number":"{chance.getrandbits(8)}","operation_type":"SRCH",'
        f'"tls_established":true,"start_tls":false,"number_of_results":1.0,'
        f'"auth_method":"simple","mech":"SIMPLE","error_code":"0","error_message":"'
        f'{_one(chance, people.sentences)}","success":true,"username":"{username}",'
        f'"client_ip":"{_ip(chance)}",{identity},{_tail(chance, service, event_type)}}}'
    )


def _systems(chance: random.Random, people: People, service: str, identity: str, _blob: str) -> str:
    event_type = _one(chance, _EVENT_TYPES["systems"])
    clock = chance.getrandbits(40)
    return (
        f'{{"@version":"1","system":{_one(chance, people.machines)},"initiated_by":'
        f'{_one(chance, people.initiators)},"process_name":"\\/usr\\/sbin\\/sshd",'
        f'"system_timestamp":{clock}.{clock % 1000:03d}0,"login_type":"password",'
        f'"geoip":{_one(chance, people.places)},"resource":{_one(chance, people.resources)},'
        f'"message":"{_one(chance, people.sentences)}","src_ip":"{_ip(chance)}",{identity},'
        f'"success":true,"event_type":"{event_type}","service":"{service}",'
        f'"organization":"{ORGANIZATION}"}}'
    )


def _mdm(chance: random.Random, people: People, service: str, identity: str, blob: str) -> str:
    event_type = "mdm_command_result" if blob else _one(chance, _EVENT_TYPES["mdm"])
    payload = blob or _one(chance, people.sentences)
    return (
        f'{{"mdm_type":"apple","request_type":"InstallProfile","mdm_device_id":"{_hex(chance)}",'
        f'"system":{_one(chance, people.machines)},"command":{{"request_type":"InstallProfile",'
        f'"payload":"{payload}"}},"command_uuid":"{_hex(chance)}","error_chain":null,'
        f'"status":"Acknowledged","geoip":{_one(chance, people.places)},"changes":'
        f"{_one(chance, people.changes)},{identity},{_tail(chance, service, event_type)}}}"
    )


def _plain(chance: random.Random, people: People, service: str, identity: str, _blob: str) -> str:
    event_type = _one(chance, _EVENT_TYPES[service])
    return (
        f'{{"initiated_by":{_one(chance, people.initiators)},"resource":'
        f'{_one(chance, people.resources)},"changes":{_one(chance, people.changes)},'
        f'"geoip":{_one(chance, people.places)},{identity},"success":true,"message":"'
        f'{_one(chance, people.sentences)}","client_ip":"{_ip(chance)}","correlation":'
        f'{{"id":"{_hex(chance)}"}},{_tail(chance, service, event_type)}}}'
    )


SHAPES: dict[str, Shape] = {
    **dict.fromkeys(SERVICES, _plain),
    "sso": _sso,
    "directory": _directory,
    "radius": _radius,
    "ldap": _ldap,
    "systems": _systems,
    "mdm": _mdm,
}
"""The shape of each service's events."""
