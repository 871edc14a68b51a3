"""The compose file: Compose's own code loads it, and what it runs is pinned, guarded, watched and told what we know.

No Docker engine is at hand; its parts are the ones that `reprieve up` and the tests start by themselves.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.deploy_files import loaded, unknown

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docker-compose.yml"
OURS = {"setup", "worker-1", "worker-2", "views", "console", "webhooks", "intake"}
OTHERS = {"kafka", "registry", "redis", "prometheus", "grafana"}


@pytest.fixture(scope="module")
def services(go_programs: Path) -> dict[str, Any]:
    """Return all services as Docker Compose has them once it has loaded the file."""
    made = subprocess.run([go_programs / "compose", FILE], capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    found: dict[str, Any] = yaml.safe_load(made.stdout)["services"]
    return found


def settings_of(service: dict[str, Any]) -> dict[str, str]:
    return {name: value for name, value in service["environment"].items() if name.startswith("REPRIEVE_")}


def test_a_file_that_is_wrong_is_refused(go_programs: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "docker-compose.yml"
    wrong.write_text(FILE.read_text("utf-8").replace("stop_grace_period", "stop_grace"), "utf-8")
    made = subprocess.run([go_programs / "compose", wrong], capture_output=True, text=True, check=False)
    assert made.returncode == 1
    assert "stop_grace" in made.stderr


def test_every_image_is_pinned_and_ours_is_of_this_version(services: dict[str, Any]) -> None:
    assert set(services) == OURS | OTHERS
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    for name, service in services.items():
        image, _, tag = service["image"].rpartition(":")
        assert re.match(r"v?\d+\.\d+\.\d+", tag), f"{name} is not pinned"
        assert (image == "reprieve") == (name in OURS)
        assert name in OTHERS or (tag, service["build"]["dockerfile"]) == (version, "deploy/image/Containerfile")


def test_nothing_listens_beyond_loopback_or_has_spare_rights(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert all(port["host_ip"] == "127.0.0.1" for port in service.get("ports", ())), name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        # Kafka's start writes beside its programs; whether the registry's does cannot be tried here.
        assert service.get("read_only", False) == (name not in {"kafka", "registry"}), name
        assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory", "pids"}, name


def test_what_stays_is_watched_and_what_ends_is_waited_for(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert service["healthcheck"].get("disable", False) == (name == "setup"), name
        if name in OURS - {"setup"}:
            assert service["depends_on"]["setup"]["condition"] == "service_completed_successfully"
            assert settings_of(service).get("REPRIEVE_HEALTH__PORT", "8700") in service["healthcheck"]["test"][-1]
    assert services["setup"]["restart"] == "no"
    assert {n for n, s in services.items() if s.get("profiles")} == {"webhooks", "intake"}


def test_each_settings_and_commands_are_ours(services: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in OURS:
        settings = loaded(settings_of(services[name]), monkeypatch)
        outside = services[name].get("network_mode") == "host"
        assert settings.kafka.bootstrap_servers == ["127.0.0.1:9092" if outside else "kafka:19092"]
        if name == "setup":
            lines = [line.split()[1:] for line in services[name]["entrypoint"][-1].split(" && ")]
        else:
            lines = [services[name]["command"]]
        assert [unknown(line) for line in lines] == [None] * len(lines)
    one, two = (settings_of(services[name])["REPRIEVE_WORKER__INSTANCE_ID"] for name in ("worker-1", "worker-2"))
    assert one != two


def test_everything_that_must_last_lies_on_a_volume_of_its_own(services: dict[str, Any]) -> None:
    owners: dict[str, str] = {}
    for name, service in services.items():
        for mount in service.get("volumes", ()):
            if mount["type"] == "volume":
                assert owners.setdefault(mount["source"], name) == name
            elif mount["source"] != str(ROOT / "partners"):
                assert mount["read_only"]
                inside = Path(mount["source"]).relative_to(ROOT)
                assert (ROOT / inside).exists(), f"{name} needs {inside}"
    kafka = services["kafka"]
    assert kafka["environment"]["KAFKA_LOG_DIRS"] in [mount["target"] for mount in kafka["volumes"]]


def test_prometheus_asks_whoever_answers(services: dict[str, Any]) -> None:
    file = ROOT / "deploy" / "prometheus" / "compose.yml"
    program = shutil.which("promtool", path=str(Path(sys.executable).parent)) or shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is not here")
    subprocess.run([program, "check", "config", str(file)], check=True, capture_output=True)
    asked = set(re.findall(r"([\w-]+):9100", file.read_text("utf-8")))
    for job in yaml.safe_load(file.read_text("utf-8"))["scrape_configs"]:
        for found in job.get("dns_sd_configs", ()):
            asked |= set(found["names"])
    assert asked == {name for name in OURS if "9100" in services[name]["healthcheck"].get("test", [""])[-1]}


def test_its_kafka_and_its_registry_are_the_ones_of_the_tests(services: dict[str, Any]) -> None:
    kafka, registry = (services[name]["image"].rpartition(":")[2] for name in ("kafka", "registry"))
    assert f"<version>{kafka}</version>" in (ROOT / "deploy/local/kafka-pom.xml").read_text("utf-8")
    assert f"<version>{registry}</version>" in (ROOT / "tests/support/registry-pom.xml").read_text("utf-8")
