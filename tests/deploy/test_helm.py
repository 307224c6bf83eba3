"""The chart, rendered by helm itself: what Kubernetes takes, and nothing that it must not say.

Nothing here needs a cluster. What is rendered is held against Kubernetes' own schemas, and its
files are given to the product's reader as a pod would see them.
"""

import itertools
import json
import os
import re
import shlex
import subprocess
import tempfile
from base64 import b64decode
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from jumpcloud_modules.commands.organization_list import (
    files_of,
    names_a_list,
    read_organizations,
)
from jumpcloud_modules.organizations.sharding import mine, shard_of
from sandbox import Sandbox, make_event, many, wait_until
from sandbox.instants import now_ms
from tests.commands.test_run import self_hosted
from tests.process.test_object_storage import BUCKET, _names, _storage
from tests.shell import ROOT
from tests.test_setup import text, toml
from tools import helm

if not helm.MISSING:
    import kubernetes_validate as kubernetes

pytestmark = pytest.mark.skipif(bool(helm.MISSING), reason=helm.MISSING)

CHART = ROOT / "deploy/helm/jumpcloud-directory-insights"
DOCUMENT = ROOT / "docs/kubernetes.md"

Document = dict[str, Any]

KEY, SECRET, INTAKE = "the-api-key-itself", "the-client-secret-itself", "the-intake-key-itself"
JUMPCLOUD, INTAKE_SERVER = "https://api.jumpcloud.com/", "https://intake.sekoia.io"
IMAGE = {"image": {"repository": "registry.example/jumpcloud"}}
LISTED = {
    "organizations": {
        "list": [
            {"name": "acme", "organization_id": "5f0c1d2e3a4b5c6d7e8f9012", "intake_key": INTAKE},
            {"name": "globex", "organization_id": "5f0c1d2e3a4b5c6d7e8f9013", "intake_key": INTAKE},
        ]
    }
}
ELSEWHERE = {"organizations": {"existingSecret": "my-list", "key": "organizations.csv"}}
ON_S3 = {"state": {"s3": {"bucket": "my-bucket", "region": "eu-west-1"}}}
CASES: dict[str, Document] = {
    "one pod with a volume": IMAGE | LISTED | {"credentials": {"apiKey": KEY}},
    "five pods on S3 with a role": {
        **(IMAGE | LISTED | ON_S3),
        "replicas": 5,
        "credentials": {"clientId": "an-id", "clientSecret": SECRET},
        "serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/a"}},
    },
    "secrets that are there, and another storage": {
        **(IMAGE | ELSEWHERE),
        "replicas": 2,
        "credentials": {"existingSecret": "my-keys"},
        "serviceAccount": {"existingName": "somebody"},
        "state": {
            "s3": {
                "bucket": "my-bucket",
                "folder": "a/b",
                "endpoint": "https://minio.example:9000",
                "existingSecret": "my-bucket-keys",
            }
        },
    },
    "a service monitor": {
        **(IMAGE | LISTED),
        "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
        "networkPolicy": {
            "ingressFrom": [{"namespaceSelector": {"matchLabels": {"team": "monitoring"}}}],
            "extraEgress": [{"ports": [{"port": 3128, "protocol": "TCP"}]}],
        },
    },
    "neither policy nor budget": {
        **(IMAGE | LISTED),
        "networkPolicy": {"enabled": False},
        "podDisruptionBudget": {"enabled": False},
    },
    "all that can be added": {
        **LISTED,
        "image": {"repository": "registry.example/a", "digest": f"sha256:{'a' * 64}"},
        "imagePullSecrets": [{"name": "registry"}],
        "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy.example:3128"}],
        "extraEnvFrom": [{"secretRef": {"name": "more"}}],
        "extraVolumes": [{"name": "ca", "configMap": {"name": "company-ca"}}],
        "extraVolumeMounts": [{"name": "ca", "mountPath": "/etc/ssl/company", "readOnly": True}],
        "podAnnotations": {"a": "b"},
        "podLabels": {"team": "security"},
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"key": "dedicated", "operator": "Exists", "effect": "NoSchedule"}],
        "affinity": {"nodeAffinity": {}},
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "topology.kubernetes.io/zone",
                "whenUnsatisfiable": "DoNotSchedule",
                "labelSelector": {"matchLabels": {"app.kubernetes.io/instance": "jumpcloud"}},
            }
        ],
        "priorityClassName": "high",
        "nameOverride": "jc",
        "fullnameOverride": "collector",
        "state": {"volume": {"size": "5Gi", "storageClassName": "fast"}},
    },
}
ALWAYS = {"ConfigMap", "Secret", "Service", "StatefulSet"}


def run(
    *arguments: str, values: Document | None = None, folder: Path = ROOT
) -> subprocess.CompletedProcess[str]:
    """Run helm; values go through its standard input, so that nobody sees them."""
    with tempfile.TemporaryDirectory() as home:
        return subprocess.run(
            [str(helm.FOLDER / "helm"), *arguments],
            cwd=folder,
            env={"PATH": os.environ["PATH"], "HOME": home},
            input=json.dumps(values or {}),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


def template(values: Document, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Render the chart."""
    return run("template", "jumpcloud", str(CHART), "--values", "-", *arguments, values=values)


@cache
def rendered(case: str) -> tuple[Document, ...]:
    """Return what a case of the matrix becomes."""
    return documents(template(CASES[case]))


def documents(ended: subprocess.CompletedProcess[str]) -> tuple[Document, ...]:
    """Return the documents that a command wrote."""
    assert ended.returncode == 0, ended.stderr
    return tuple(found for found in yaml.safe_load_all(ended.stdout) if found)


def of_kind(found: Iterable[Document], kind: str) -> Document:
    """Return the only document of a kind."""
    (document,) = (document for document in found if document["kind"] == kind)
    return document


def container(found: Iterable[Document]) -> Document:
    """Return the pod's only container."""
    (only,) = of_kind(found, "StatefulSet")["spec"]["template"]["spec"]["containers"]
    return dict(only)


def variables(found: Iterable[Document]) -> dict[str, str]:
    """Return the variables whose values stand in the pod itself."""
    return {entry["name"]: entry["value"] for entry in container(found)["env"]}


def texts(value: object) -> Iterator[str]:
    """Yield each text of a document, its keys among them."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield name
            yield from texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner)
    elif isinstance(value, str):
        yield value


def kubernetes_versions() -> tuple[str, str]:
    """Return the oldest version that the chart is for, and the newest whose schemas are there."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    (oldest,) = re.findall(r"^>=(\d+\.\d+)", chart["kubeVersion"])
    newest = kubernetes.latest_version()
    return oldest, ".".join(newest.split(".")[:2])


# What Kubernetes takes


@pytest.mark.parametrize("case", CASES)
def test_helm_finds_nothing_to_complain_about(case: str) -> None:
    """Not even a warning."""
    ended = run("lint", "--strict", str(CHART), "--values", "-", values=CASES[case])

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "[WARNING]" not in ended.stdout + ended.stderr


@pytest.mark.parametrize("case", CASES)
def test_kubernetes_takes_every_document(case: str) -> None:
    """By its schemas of the oldest and the newest version, and no key is unknown to it."""
    for document, version in itertools.product(rendered(case), kubernetes_versions()):
        if document["apiVersion"].startswith("monitoring.coreos.com/"):
            continue  # the operator's own, of which it has no schema
        kubernetes.validate(document, version, strict=True)


def test_a_key_that_kubernetes_does_not_know_would_be_found() -> None:
    """Otherwise the test above would show nothing."""
    document = json.loads(json.dumps(of_kind(rendered("one pod with a volume"), "StatefulSet")))
    document["spec"]["template"]["spec"]["containers"][0]["livenesProbe"] = {}

    with pytest.raises(kubernetes.ValidationError, match="livenesProbe"):
        kubernetes.validate(document, kubernetes_versions()[1], strict=True)


@pytest.mark.parametrize("case", CASES)
def test_what_is_rendered_belongs_together(case: str) -> None:
    """Each name once, each selector finds the pods, each port and volume is one of the pod's."""
    found = rendered(case)
    names = [(document["kind"], document["metadata"]["name"]) for document in found]
    pod = of_kind(found, "StatefulSet")["spec"]["template"]
    service = of_kind(found, "Service")
    volumes = {volume["name"] for volume in pod["spec"]["volumes"]}
    claims = of_kind(found, "StatefulSet")["spec"].get("volumeClaimTemplates", ())
    ports = {port["name"]: port["containerPort"] for port in container(found)["ports"]}

    assert len(set(names)) == len(names)
    assert {kind for kind, _ in names} >= ALWAYS - {"Secret"}
    for selector in selectors(found):
        assert selector.items() <= pod["metadata"]["labels"].items()
    assert of_kind(found, "StatefulSet")["spec"]["serviceName"] == service["metadata"]["name"]
    assert service["spec"]["clusterIP"] == "None"
    assert {port["targetPort"] for port in service["spec"]["ports"]} <= set(ports)
    assert {mount["name"] for mount in container(found)["volumeMounts"]} <= volumes | {
        claim["metadata"]["name"] for claim in claims
    }


def selectors(found: Iterable[Document]) -> Iterator[dict[str, str]]:
    """Yield the labels by which documents find the pods."""
    for document in found:
        spec = document.get("spec", {})
        for name in ("selector", "podSelector"):
            if selector := spec.get(name):
                yield selector.get("matchLabels", selector)


# What it is for


@pytest.mark.parametrize("case", CASES)
def test_each_pod_is_told_how_many_share_the_organizations(case: str) -> None:
    """Its own number it finds in its name."""
    found = rendered(case)
    spec = of_kind(found, "StatefulSet")["spec"]

    assert (
        variables(found)["SHARDS"] == str(spec["replicas"]) == str(CASES[case].get("replicas", 1))
    )
    assert spec["podManagementPolicy"] == "Parallel"


def test_one_pod_keeps_its_state_on_a_volume_and_more_of_them_in_the_bucket() -> None:
    """The process makes the folder itself, for itself alone."""
    one, five, other = (rendered(case) for case in list(CASES)[:3])

    assert variables(one)["DATA_DIR"] == "/app/data/state"
    (claim,) = of_kind(one, "StatefulSet")["spec"]["volumeClaimTemplates"]
    assert claim["spec"]["accessModes"] == ["ReadWriteOnce"]
    assert variables(five)["DATA_DIR"] == "s3://my-bucket/jumpcloud"
    assert variables(five)["AWS_DEFAULT_REGION"] == "eu-west-1"
    assert "volumeClaimTemplates" not in of_kind(five, "StatefulSet")["spec"]
    assert variables(other)["DATA_DIR"] == "s3://my-bucket/a/b"
    assert variables(other)["AWS_S3_ENDPOINT_URL"] == "https://minio.example:9000"


@pytest.mark.parametrize("case", CASES)
def test_a_pod_has_no_rights(case: str) -> None:
    """Neither on its node nor in Kubernetes, nor by more variables than the chart names."""
    found = rendered(case)
    pod = of_kind(found, "StatefulSet")["spec"]["template"]["spec"]
    inside = container(found)["securityContext"]

    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    assert not pod.keys() & {"hostNetwork", "hostPID", "hostIPC", "initContainers"}
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == int(
        re.findall(r"^USER (\d+)$", text("Dockerfile"), re.MULTILINE)[0]
    )
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert inside == {
        "allowPrivilegeEscalation": False,
        "privileged": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not any("hostPath" in volume for volume in pod["volumes"])
    assert all(
        account["automountServiceAccountToken"] is False
        for account in found
        if account["kind"] == "ServiceAccount"
    )


@pytest.mark.parametrize("case", CASES)
def test_a_pod_is_asked_where_the_image_answers(case: str) -> None:
    """Health by both probes, on ports that the image names; memory is bounded."""
    found = rendered(case)
    here = container(found)
    (exposed,) = re.findall(r"^EXPOSE (.*)$", text("Dockerfile"), re.MULTILINE)

    assert [port["containerPort"] for port in here["ports"]] == [int(n) for n in exposed.split()]
    assert [variables(found)[name] for name in ("LIVENESS_PORT", "METRICS_PORT")] == exposed.split()
    for probe in ("startupProbe", "livenessProbe"):
        assert here[probe]["httpGet"] == {"path": "/health", "port": "health"}
    assert "memory" in here["resources"]["limits"]
    assert not here.keys() & {"command", "args"}


# Keys


@pytest.mark.parametrize("case", CASES)
def test_no_key_stands_outside_of_secrets(case: str) -> None:
    """In no ConfigMap, variable, argument, label or annotation; and Secrets hold those given."""
    outside: list[str] = []
    inside: list[str] = []
    for document in rendered(case):
        (inside if document["kind"] == "Secret" else outside).extend(texts(document))
    given = [key for key in (KEY, SECRET, INTAKE) if key in json.dumps(CASES[case])]

    for key in (KEY, SECRET, INTAKE):
        assert not [found for found in outside if key in found]
    assert all(any(key in found for found in inside) for key in given)


def test_secrets_that_are_there_already_are_used_and_none_is_made() -> None:
    """Credentials as variables, the list as a file in a folder, which is kept up to date."""
    found = rendered("secrets that are there, and another storage")
    (mount,) = container(found)["volumeMounts"]
    (volume,) = of_kind(found, "StatefulSet")["spec"]["template"]["spec"]["volumes"]

    assert not [document for document in found if document["kind"] in {"Secret", "ServiceAccount"}]
    assert container(found)["envFrom"] == [
        {"secretRef": {"name": "my-keys"}},
        {"secretRef": {"name": "my-bucket-keys"}},
    ]
    assert "subPath" not in mount
    assert volume["projected"]["sources"][1]["secret"] == {
        "name": "my-list",
        "items": [{"key": "organizations.csv", "path": "organizations.csv"}],
    }


def test_only_what_a_process_reads_once_restarts_it_when_it_changes() -> None:
    """Its variables; module.json and the list are read again."""
    case = CASES["one pod with a volume"]
    longer = {"organizations": {"list": [*LISTED["organizations"]["list"][:1]]}}

    def pod(values: Document) -> Document:
        found = documents(template(values))
        return dict(of_kind(found, "StatefulSet")["spec"]["template"])

    before = pod(case)
    assert pod(case | longer) == before
    assert pod(case | {"credentials": {"apiKey": "another"}}) != before
    assert pod(case | {"connector": {"frequency": 30}}) == before
    assert pod(case | {"log": {"level": "debug"}}) != before


# The product's own reader


def mounted(found: Iterable[Document], folder: Path, secrets: dict[str, dict[str, str]]) -> Path:
    """Write the files that a pod sees in its configuration's folder, and return the first one."""
    maps = {
        document["metadata"]["name"]: document["data"]
        for document in found
        if document["kind"] == "ConfigMap"
    }
    pod = of_kind(found, "StatefulSet")["spec"]["template"]["spec"]
    for source in pod["volumes"][0]["projected"]["sources"]:
        if "configMap" in source:
            files = maps[source["configMap"]["name"]]
        else:
            (item,) = source["secret"]["items"]
            files = {item["path"]: secrets[source["secret"]["name"]][item["key"]]}
        for name, content in files.items():
            (folder / name).write_text(content, encoding="utf-8")
    return folder / Path(variables(found)["MODULE_JSON"]).name


def secrets_of(found: Iterable[Document]) -> dict[str, dict[str, str]]:
    """Return what the Secrets of a chart hold, by their names."""
    return {
        document["metadata"]["name"]: document["stringData"]
        for document in found
        if document["kind"] == "Secret"
    }


def environment_of(found: Iterable[Document], secrets: dict[str, dict[str, str]]) -> dict[str, str]:
    """Return the variables that a pod gets, those from Secrets among them."""
    taken = (source["secretRef"]["name"] for source in container(found).get("envFrom", ()))
    return {
        **{name: value for secret in taken for name, value in secrets.get(secret, {}).items()},
        **variables(found),
    }


@pytest.mark.parametrize("case", CASES)
def test_the_product_reads_what_a_pod_sees(case: str, tmp_path: Path) -> None:
    """Its own reader finds no fault in module.json, and the list where that names it."""
    found = rendered(case)
    secrets = {
        "my-keys": {"JUMPCLOUD_API_KEY": KEY},
        "my-list": {"organizations.csv": "name,organization_id,intake_key\nacme,1,a\nb,2,b\n"},
        **secrets_of(found),
    }
    path = mounted(found, tmp_path, secrets)
    environment = environment_of(found, secrets)
    if "credentials" not in CASES[case]:
        environment["JUMPCLOUD_API_KEY"] = KEY  # as the list could have it for each

    assert names_a_list(path)
    assert path in files_of(path, environment)
    assert len(read_organizations(path, environment)) == 2


@pytest.mark.parametrize("case", CASES)
def test_the_pods_have_each_organization_once_between_them(case: str) -> None:
    """By what each is told and the name that Kubernetes gives it."""
    found = rendered(case)
    pods = of_kind(found, "StatefulSet")
    names = [f"organization-{number}" for number in range(200)]

    parts = [
        shard_of(variables(found), f"{pods['metadata']['name']}-{ordinal}")
        for ordinal in range(pods["spec"]["replicas"])
    ]

    taken = [mine(names, part) for part in parts if part]
    assert all(taken)
    assert sorted(itertools.chain(*taken)) == sorted(names)


def test_two_pods_collect_all_organizations_with_what_the_chart_gives_them(tmp_path: Path) -> None:
    """The real process, on the sandbox: only hosts, ports and the pod's name are others."""
    organizations, now = many(5), now_ms()
    events = [
        make_event(now - 60_000 * minute, organization=one.id)
        for one in organizations
        for minute in range(1, 30)
    ]
    listed = [
        {"name": one.name, "organization_id": one.id, "intake_key": one.intake_key}
        for one in organizations
    ]
    values = IMAGE | ON_S3 | {"replicas": 2, "organizations": {"list": listed}}
    values |= {"connector": {"intake_server": INTAKE_SERVER, "frequency": 3}}
    with _storage() as storage, Sandbox(events, organizations=organizations) as sandbox:
        found = documents(template(values | {"credentials": {"apiKey": sandbox.addresses.api_key}}))
        secrets = secrets_of(found)
        path = mounted(found, tmp_path, secrets)
        document = path.read_text().replace(JUMPCLOUD, sandbox.addresses.jumpcloud_url)
        path.write_text(document.replace(INTAKE_SERVER, sandbox.addresses.intake_url))
        with ExitStack() as pods:
            for number in (1, 2):
                of_the_pod = environment_of(found, secrets) | {
                    "SHARD": f"{number}/2",
                    "MODULE_JSON": str(path),
                    "MONITORING_ADDRESS": "127.0.0.1",
                    "DATA_DIR": f"s3://{BUCKET}/{tmp_path.name}",
                    **{name: storage[name] for name in storage if name.startswith("AWS_")},
                }
                for name in ("SHARDS", "LIVENESS_PORT", "METRICS_PORT", "AWS_BUCKET_NAME"):
                    of_the_pod.pop(name)
                (tmp_path / str(number)).mkdir()
                pods.enter_context(self_hosted(tmp_path / str(number), **of_the_pod))
            assert wait_until(lambda: sandbox.verdict().clean, 60), sandbox.verdict().table()

        kept = {name.split("/")[1] for name in _names(storage) if name.startswith(tmp_path.name)}
    assert kept >= {one.name for one in organizations}


# What it refuses


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            {"replicas": 3},
            "only one pod can use: name a bucket in state.s3.bucket, or set replicas to 1.",
        ),
        ({"organizations": {"list": []}}, "No organization is given: name the Secret"),
        (
            {"organizations": LISTED["organizations"] | {"existingSecret": "mine"}},
            "organizations.list and organizations.existingSecret are both given",
        ),
        (
            {"organizations": {"list": LISTED["organizations"]["list"][:1] * 2}},
            "Two organizations are named acme",
        ),
        (
            {"credentials": {"existingSecret": "mine", "apiKey": "a"}},
            "credentials.existingSecret and keys are both given",
        ),
    ],
)
def test_what_cannot_work_is_refused_with_what_to_do(values: Document, said: str) -> None:
    """Before anything reaches the cluster."""
    ended = template(IMAGE | LISTED | values)

    assert ended.returncode != 0
    assert said in ended.stderr
    assert "Error converting" not in ended.stderr


@pytest.mark.parametrize(
    ("values", "place"),
    [
        ({"image": {}}, "/image/repository"),
        ({"replicas": 0}, "/replicas"),
        ({"replicas": "three"}, "/replicas"),
        ({"replicas": 1001}, "/replicas"),
        ({"maxRequestsPerSecond": 0}, "/maxRequestsPerSecond"),
        ({"replica": 3}, "'replica'"),
        ({"module": {"apikey": "secret"}}, "/module"),
        ({"connector": {"intake_key": "secret"}}, "/connector"),
        ({"connector": {"frequency": 0}}, "/connector/frequency"),
        ({"connector": {"frequncy": 60}}, "'frequncy'"),
        ({"connector": {"intake_server": "http://intake.sekoia.io"}}, "/connector/intake_server"),
        ({"organizations": {"list": [{"name": "acme"}]}}, "/organizations/list/0"),
        (
            {"organizations": {"list": [{"name": "Acme Inc", "intake_key": "a"}]}},
            "/organizations/list/0/name",
        ),
        (
            {
                "organizations": {
                    "list": [{"name": "a", "intake_key": "a", "organization_id": 5e12}]
                }
            },
            "/organizations/list/0/organization_id",
        ),
        (
            {"organizations": {"existingSecret": "mine", "key": "list.txt"}},
            "/organizations/key",
        ),
        ({"state": {"s3": {"bucket": "My_Bucket"}}}, "/state/s3/bucket"),
        ({"state": {"s3": {"endpoint": "http://minio:9000"}}}, "/state/s3/endpoint"),
        ({"state": {"volume": {"size": "plenty"}}}, "/state/volume/size"),
        ({"log": {"level": "loud"}}, "/log/level"),
        ({"networkPolicy": {"enabled": "no"}}, "/networkPolicy/enabled"),
    ],
)
def test_nonsense_is_refused_by_its_place(values: Document, place: str) -> None:
    """A misspelt key too: it would be ignored otherwise. No value is repeated that is a secret."""
    ended = template(IMAGE | LISTED | values)

    assert ended.returncode != 0
    assert place in ended.stderr
    assert "don't meet the specifications of the schema" in ended.stderr
    assert INTAKE not in ended.stderr


def test_the_policy_lets_in_whom_it_names_and_nobody_otherwise() -> None:
    """An empty rule would let in everybody."""
    closed = of_kind(rendered("one pod with a volume"), "NetworkPolicy")["spec"]
    opened = of_kind(rendered("a service monitor"), "NetworkPolicy")["spec"]
    ports = [{"port": 8000, "protocol": "TCP"}, {"port": 8020, "protocol": "TCP"}]

    assert closed["policyTypes"] == opened["policyTypes"] == ["Ingress", "Egress"]
    assert closed["ingress"] == []
    assert opened["ingress"] == [
        {
            "from": [{"namespaceSelector": {"matchLabels": {"team": "monitoring"}}}],
            "ports": ports,
        }
    ]


def test_the_policy_lets_out_to_dns_and_https_and_what_is_named() -> None:
    """A storage's own port among it."""

    def ports(case: str) -> set[int]:
        egress = of_kind(rendered(case), "NetworkPolicy")["spec"]["egress"]
        return {port["port"] for rule in egress for port in rule["ports"]}

    assert ports("one pod with a volume") == {53, 443}
    assert ports("a service monitor") == {53, 443, 3128}
    assert ports("secrets that are there, and another storage") == {53, 443, 9000}


def test_a_service_monitor_asks_the_port_for_metrics() -> None:
    """It is made where it is wanted only, since it needs the operator."""
    found = rendered("a service monitor")
    monitor, service = of_kind(found, "ServiceMonitor"), of_kind(found, "Service")

    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    assert monitor["spec"] == {
        "selector": {"matchLabels": service["spec"]["selector"]},
        "endpoints": [{"port": "metrics", "path": "/metrics", "interval": "30s"}],
    }
    assert service["spec"]["selector"].items() <= service["metadata"]["labels"].items()
    assert "metrics" in {port["name"] for port in service["spec"]["ports"]}
    kinds = {document["kind"] for document in rendered("one pod with a volume")}
    assert "ServiceMonitor" not in kinds


def test_policy_and_budget_can_be_left_out() -> None:
    """And are there by default."""
    both = {"NetworkPolicy", "PodDisruptionBudget"}

    assert both <= {document["kind"] for document in rendered("one pod with a volume")}
    assert not both & {document["kind"] for document in rendered("neither policy nor budget")}


def test_the_chart_is_of_this_version_and_every_value_is_explained() -> None:
    """The image's tag is the version by default; each value of the schema stands in the file."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    version = toml("pyproject.toml")["project"]["version"]

    assert chart["version"] == chart["appVersion"] == version
    assert container(rendered("one pod with a volume"))["image"].endswith(f":{version}")
    assert container(rendered("all that can be added"))["image"].endswith(f"@sha256:{'a' * 64}")
    assert set(values) == set(schema["properties"]) - {"global"}


def test_what_helm_says_at_the_end_names_no_key() -> None:
    """How to see that it works, and where keys are kept."""
    ended = run(
        *("install", "jumpcloud", str(CHART), "--dry-run=client", "--values", "-"),
        values=CASES["one pod with a volume"],
    )
    _, _, notes = ended.stdout.partition("NOTES:")

    assert ended.returncode == 0, ended.stderr
    assert "exec jumpcloud-0 -- python main.py status" in notes
    assert "Helm keeps in the cluster" in notes
    assert not any(key in notes for key in (KEY, SECRET, INTAKE))


# The document

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[str]:
    """Return the blocks of the document in a language."""
    found = BLOCK.findall(DOCUMENT.read_text(encoding="utf-8"))
    return [block for kind, block in found if kind == language]


def lines(program: str) -> list[str]:
    """Return the document's lines of shell that begin with a program, each as it is typed."""
    script = re.sub(r"\s*\\\n\s*", " ", "\n".join(blocks("sh")))
    return [line for line in script.splitlines() if line.startswith(f"{program} ")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with the files that the document tells to write, and the chart."""
    for block in blocks("yaml"):
        name = block.partition("\n")[0].removeprefix("# ")
        (tmp_path / name).write_text(block, encoding="utf-8")
    (tmp_path / "organizations.csv").write_text(blocks("csv")[0], encoding="utf-8")
    (tmp_path / "credentials.env").write_text(f"JUMPCLOUD_API_KEY={KEY}\n", encoding="utf-8")
    (tmp_path / "deploy").symlink_to(ROOT / "deploy")
    return tmp_path


def upgrades() -> list[list[str]]:
    """Return the arguments of each upgrade that the document shows."""
    shown = [shlex.split(line)[1:] for line in lines("helm")]
    assert [words[:2] for words in shown] == [["upgrade", "--install"]] * len(shown)
    return [words[2:] for words in shown]


@pytest.mark.parametrize("arguments", upgrades(), ids=lambda words: words[-1])
def test_the_document_s_values_are_taken(arguments: list[str], folder: Path) -> None:
    """As they stand there, with the very files that they name."""
    found = documents(run("template", *arguments, folder=folder))

    for document in found:
        if not document["apiVersion"].startswith("monitoring.coreos.com/"):
            kubernetes.validate(document, kubernetes_versions()[1], strict=True)
    assert of_kind(found, "StatefulSet")["metadata"]["name"] == "jumpcloud"


def kubectl(*arguments: str, folder: Path, given: str = "") -> subprocess.CompletedProcess[str]:
    """Run kubectl, which finds no cluster."""
    return subprocess.run(
        [str(helm.FOLDER / "kubectl"), "--server", "http://127.0.0.1:9", *arguments],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder)},
        input=given,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_document_s_secrets_hold_what_the_chart_looks_for(folder: Path) -> None:
    """The real kubectl makes them from the files, and the product reads them as a pod would."""
    made = {}
    for line in lines("kubectl"):
        if " create secret " in line and " | " not in line:
            only_shown = [*shlex.split(line)[1:], "--dry-run=client", "--output=yaml"]
            (secret,) = documents(kubectl(*only_shown, folder=folder))
            kubernetes.validate(secret, kubernetes_versions()[1], strict=True)
            made[secret["metadata"]["name"]] = of_base64(secret["data"])
    (first, *_) = upgrades()
    found = documents(run("template", *first, folder=folder))
    (folder / "pod").mkdir()

    entries = read_organizations(mounted(found, folder / "pod", made), environment_of(found, made))

    assert [entry.name for entry in entries] == ["acme", "globex"]
    assert {entry.account.apikey.get_secret_value() for entry in entries} == {KEY}
    assert made["jumpcloud-organizations"]["organizations.csv"] == blocks("csv")[0]


def of_base64(data: dict[str, str]) -> dict[str, str]:
    """Return a Secret's contents as text."""
    return {name: b64decode(value).decode() for name, value in data.items()}


@pytest.mark.parametrize("line", lines("kubectl"))
def test_kubectl_knows_each_command_of_the_document(line: str, folder: Path) -> None:
    """It gets as far as asking the cluster, which is not there."""
    *before, last = (shlex.split(part)[1:] for part in line.split(" | "))
    given = ""
    for arguments in before:
        ended = kubectl(*arguments, folder=folder, given=given)
        assert ended.returncode == 0, ended.stderr
        given = ended.stdout

    ended = kubectl(*last, folder=folder, given=given)

    assert ended.returncode == 1
    assert re.search(r"127\.0\.0\.1:9\b.* refused", ended.stderr)
