"""The manifests keep Kubernetes' schemas, and configure what there is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import kubernetes_validate
import pytest
import yaml

from bff.config import load
from tests.deploy.files import DEPLOY, documents

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = DEPLOY / "kubernetes"
KUSTOMIZATION = documents(FOLDER / "kustomization.yaml")[0]
NO_RESOURCES = {"kustomization.yaml", "prometheus-adapter.yaml", "secret.example.yaml"}
# The oldest that providers are likely to have, and the newest whose schemas we have.
VERSIONS = ("1.31", kubernetes_validate.latest_version().rpartition(".")[0])
CLOSING = 20  # seconds beyond the drain time, which [server] drain tells of

RESOURCES = [
    resource
    for name in KUSTOMIZATION["resources"]
    for resource in documents(FOLDER / name)
]
SECRETS = documents(FOLDER / "secret.example.yaml")


def one(kind: str, name: str) -> dict[str, Any]:
    (found,) = (
        resource
        for resource in RESOURCES
        if resource["kind"] == kind and resource["metadata"]["name"] == name
    )
    return found


def pods() -> list[dict[str, Any]]:
    return [
        resource["spec"]["template"]["spec"]
        for resource in RESOURCES
        if resource["kind"] in {"Deployment", "Job"}
    ]


def secrets(folder: Path) -> dict[str, str]:
    values = {
        "BFF_DATABASE__URL": "postgresql://bff_app:test@db/bff",
        "BFF_DATABASE__OWNER_URL": "postgresql://bff_owner:test@db/bff",
        "BFF_DATABASE__WORKER_URL": "postgresql://bff_worker:test@db/bff",
    }
    for secret in SECRETS:
        for name in secret["stringData"]:
            value = values.get(name, "test-only-value")
            (folder / name).write_text(f"{value}\n", encoding="utf-8")
    return {"BFF_SECRETS_DIR": str(folder)}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "resource",
    [*RESOURCES, *SECRETS],
    ids=lambda one: f"{one['kind']}-{one['metadata']['name']}",
)
def test_it_keeps_the_schema(resource: dict[str, Any], version: str) -> None:
    kubernetes_validate.validate(resource, version, strict=True)


def test_a_word_misspelt_would_be_noticed() -> None:
    broken = one("Deployment", "nexius-gateway") | {"specc": {}}

    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, VERSIONS[0], strict=True)


def test_each_file_is_a_resource_or_known_not_to_be() -> None:
    there = {file.name for file in FOLDER.glob("*.yaml")}

    assert there == {*KUSTOMIZATION["resources"], *NO_RESOURCES}


def test_the_gateway_takes_config_map_and_secret(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(one("ConfigMap", "nexius-bff")["data"]["config.toml"])
    folder = tmp_path / "secrets"
    folder.mkdir()

    config = load(file, secrets(folder))

    assert config.environment == "production"
    assert config.database.owner_url.get_secret_value().endswith("@db/bff")
    grace = one("Deployment", "nexius-gateway")["spec"]["template"]["spec"]
    seconds = config.server.unready + config.server.drain + CLOSING
    assert grace["terminationGracePeriodSeconds"] > seconds
    admin = int(config.server.admin_listen.rpartition(":")[2])
    (container,) = grace["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports["admin"] == admin
    assert ports["http"] == int(config.server.listen.rpartition(":")[2])
    assert config.worker.admin_listen.endswith(f":{admin}")


def test_pods_are_nobody_and_write_nowhere() -> None:
    for pod in pods():
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["automountServiceAccountToken"] is False
        (container,) = pod["containers"]
        rules = container["securityContext"]
        assert rules["readOnlyRootFilesystem"] is True
        assert rules["allowPrivilegeEscalation"] is False
        assert rules["capabilities"] == {"drop": ["ALL"]}
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        assert mounted == {volume["name"] for volume in pod["volumes"]}


def test_only_the_gateway_reaches_the_graph_and_only_prometheus_the_admin_port() -> (
    None
):
    graph = one("NetworkPolicy", "langgraph")["spec"]["ingress"]
    admin = one("NetworkPolicy", "nexius-admin")["spec"]["ingress"]
    public = one("NetworkPolicy", "nexius-gateway")["spec"]["ingress"]

    assert [peer["from"] for peer in graph] == [
        [{"podSelector": {"matchLabels": {"app.kubernetes.io/name": "nexius-gateway"}}}]
    ]
    assert [peer["ports"] for peer in admin] == [[{"port": "admin"}]]
    (who,) = admin[0]["from"]
    assert who["podSelector"]["matchLabels"] == {"app.kubernetes.io/name": "prometheus"}
    assert [peer["ports"] for peer in public] == [[{"port": "http"}]]


def test_what_selects_pods_selects_some() -> None:
    labels = {
        one["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/name"]
        for one in RESOURCES
        if one["kind"] == "Deployment"
    }
    for kind in ("Service", "PodDisruptionBudget"):
        for resource in RESOURCES:
            if resource["kind"] == kind:
                selector = resource["spec"]["selector"]
                selected = selector.get("matchLabels", selector)
                assert selected["app.kubernetes.io/name"] in labels


def test_the_autoscaler_asks_for_a_number_that_the_adapter_makes() -> None:
    adapter = yaml.safe_load((FOLDER / "prometheus-adapter.yaml").read_text())
    scaler = one("HorizontalPodAutoscaler", "nexius-gateway")
    (name,) = (
        metric["pods"]["metric"]["name"]
        for metric in scaler["spec"]["metrics"]
        if metric["type"] == "Pods"
    )

    assert [rule["name"]["as"] for rule in adapter["rules"]["custom"]] == [name]
