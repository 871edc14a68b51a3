"""The Kubernetes manifests, rendered as kubectl renders them, held against Kubernetes' own rules and against ours."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.deploy_files import loaded, unknown

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "kubernetes"
CUSTOM = {"PodMonitor"}
STAYING = {"worker", "views", "console", "webhooks", "intake"}
Document = dict[str, Any]


def render(go_programs: Path, folder: str) -> str:
    """Return what a kustomization says."""
    made = subprocess.run([go_programs / "kustomize", FOLDER / folder], capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    return made.stdout


@pytest.fixture(scope="module")
def text(go_programs: Path) -> str:
    """Return the manifests with monitoring."""
    return render(go_programs, "monitoring")


@pytest.fixture(scope="module")
def documents(text: str) -> list[Document]:
    """Return them one by one."""
    return list(yaml.safe_load_all(text))


@pytest.fixture(scope="module")
def workloads(documents: list[Document]) -> dict[str, Document]:
    """Return what runs pods, by name."""
    found = {d["metadata"]["name"]: d for d in documents if "template" in d.get("spec", {})}
    assert set(found) == STAYING | {"setup"}
    return found


def pod(workload: Document) -> Document:
    spec: Document = workload["spec"]["template"]["spec"]
    return spec


def containers(workload: Document) -> list[Document]:
    return [*pod(workload).get("initContainers", ()), *pod(workload)["containers"]]


def test_each_manifest_is_what_kubernetes_takes(go_programs: Path, tmp_path: Path) -> None:
    base = render(go_programs, "base")
    kinds = {d["kind"] for d in yaml.safe_load_all(base)}
    assert not kinds & CUSTOM
    file = tmp_path / "base.yaml"
    program = Path(sys.executable).with_name("kubernetes-validate")
    for said, code in ((base, 0), (base.replace("readOnlyRootFilesystem", "readonlyRootFilesystem"), 1)):
        file.write_text(said, "utf-8")
        made = subprocess.run([program, "--strict", "--no-warn", file], capture_output=True, text=True, check=False)
        assert made.returncode == code, made.stdout + made.stderr


def test_each_pod_is_restricted_by_kubernetes_own_code(go_programs: Path, text: str) -> None:
    program = go_programs / "restricted"
    made = subprocess.run([program], input=text, capture_output=True, text=True, check=False)
    assert (made.returncode, made.stderr) == (0, "")
    assert {line.split()[1] for line in made.stdout.splitlines()} == STAYING | {"setup"}
    lax = text.replace("runAsNonRoot: true", "runAsNonRoot: false", 1)
    made = subprocess.run([program], input=lax, capture_output=True, text=True, check=False)
    assert made.returncode == 1
    assert "runAsNonRoot" in made.stderr


def test_no_container_is_root_writes_or_exceeds_its_limits(workloads: dict[str, Document]) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    for name, workload in workloads.items():
        spec = pod(workload)
        assert spec["securityContext"]["runAsUser"] == spec["securityContext"]["fsGroup"] == 10001
        assert spec["automountServiceAccountToken"] is False
        for container in containers(workload):
            assert container["image"] == f"reprieve:{version}"
            assert container["securityContext"]["readOnlyRootFilesystem"] is True, name
            for part in ("requests", "limits"):
                assert set(container["resources"][part]) == {"cpu", "memory", "ephemeral-storage"}, name
            assert "command" not in container
            assert unknown(container["args"]) is None


def test_what_stays_is_probed_and_leaves_in_order(workloads: dict[str, Document], documents: list[Document]) -> None:
    for name in STAYING:
        (container,) = containers(workloads[name])
        told = {kind: json.dumps(container[f"{kind}Probe"]) for kind in ("startup", "liveness", "readiness")}
        paths = {kind: re.findall(r"/(?:livez|readyz)", probe) for kind, probe in told.items()}
        assert paths == {"startup": ["/livez"], "liveness": ["/livez"], "readiness": ["/readyz"]}
        ports = {port["name"] for port in container.get("ports", ())}
        for probe in (container[f"{kind}Probe"] for kind in told):
            # The console is on its pod's loopback, where only its own container reaches it.
            assert probe["httpGet"]["port"] in ports if "httpGet" in probe else name == "console"
        # A worker commits what is in hand and closes within 15 seconds.
        assert pod(workloads[name])["terminationGracePeriodSeconds"] >= 30
    budgets = {d["metadata"]["name"]: d["spec"] for d in documents if d["kind"] == "PodDisruptionBudget"}
    assert set(budgets) == {n for n in STAYING if workloads[n]["spec"]["replicas"] > 1}
    assert all(budget["maxUnavailable"] == 1 for budget in budgets.values())


def test_a_worker_keeps_its_name_and_its_disk(workloads: dict[str, Document]) -> None:
    worker = workloads["worker"]
    (container,) = containers(worker)
    named = {e["name"]: e for e in container["env"]}
    field = named["REPRIEVE_WORKER__INSTANCE_ID"]["valueFrom"]["fieldRef"]["fieldPath"]
    assert (worker["kind"], worker["spec"]["podManagementPolicy"], field) == (
        "StatefulSet",
        "Parallel",
        "metadata.name",
    )
    for name, place in (("worker", named["REPRIEVE_WORKER__DATA_DIR"]["value"]), ("webhooks", "/data")):
        (claim,) = workloads[name]["spec"]["volumeClaimTemplates"]
        mounts = {m["mountPath"]: m["name"] for m in containers(workloads[name])[0]["volumeMounts"]}
        assert mounts[place] == claim["metadata"]["name"]


def test_settings_are_ours_and_no_secret_is_written_down(
    documents: list[Document], workloads: dict[str, Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    (settings,) = [d["data"] for d in documents if d["kind"] == "ConfigMap"]
    found = loaded(settings, monkeypatch)
    assert found.topics.replication_factor == 3
    assert found.topics.min_insync_replicas == 2
    assert not [d for d in documents if d["kind"] == "Secret"]
    assert not [name for name in settings if re.search("PASSWORD|TOKEN|SECRET|USERNAME", name)]
    for name, workload in workloads.items():
        for container in containers(workload):
            said = {e["name"]: e.get("value", "x") for e in container.get("env", ())}
            loaded({**settings, **said}, monkeypatch)
            assert any(e.get("secretRef", {}).get("name") == f"kafka-{name}" for e in container["envFrom"])
            # What is mounted for reading is what a setting names.
            mounts = {m["mountPath"]: m.get("readOnly", False) for m in container["volumeMounts"]}
            read = [path for path, only in mounts.items() if only]
            assert "/run/kafka-ca" in read
            assert all(any(value.startswith(f"{path}/") for value in settings.values()) for path in read)


def test_the_readme_names_each_secret(workloads: dict[str, Document]) -> None:
    readme = (FOLDER / "README.md").read_text("utf-8")
    for workload in workloads.values():
        names = [v["secret"]["secretName"] for v in pod(workload)["volumes"] if "secret" in v]
        for container in containers(workload):
            names += [e["secretRef"]["name"] for e in container["envFrom"] if "secretRef" in e]
        assert all(f"`{name}`" in readme for name in names), names


def test_nobody_is_reached_but_by_name(documents: list[Document]) -> None:
    policies = {d["metadata"]["name"]: d["spec"] for d in documents if d["kind"] == "NetworkPolicy"}
    assert policies["nothing"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    for name, spec in policies.items():
        if name == "nothing":
            continue
        (way,) = spec["policyTypes"]
        for rule in spec[way.lower()]:
            # A rule without peers or ports is open to all.
            assert rule["ports"], name
            peers = rule["to" if way == "Egress" else "from"]
            assert all("namespaceSelector" in p or "ipBlock" in p for p in peers), name
    (block,) = policies["to-partners"]["egress"][0]["to"]
    assert {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"} <= set(block["ipBlock"]["except"])


def test_yaml_is_written_as_yamllint_wants_it() -> None:
    made = subprocess.run(
        [Path(sys.executable).with_name("yamllint"), "--strict", "docker-compose.yml", "deploy"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (made.returncode, made.stdout) == (0, "")
