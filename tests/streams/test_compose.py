"""The compose file: it parses, its images are pinned and watched, and the settings it names are ours.

No Docker engine is at hand; its parts are the ones that `reprieve up` and the tests start by themselves.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from schemas.errors import WrongUse
from streams.settings import Settings

FILE = Path(__file__).parents[2] / "docker-compose.yml"


@pytest.fixture
def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(FILE.read_text("utf-8"))
    return found


def test_every_image_is_pinned_watched_and_on_loopback_only(compose: dict[str, Any]) -> None:
    assert set(compose["services"]) == {"kafka", "registry", "redis"}
    for name, service in compose["services"].items():
        tag = service["image"].rpartition(":")[2]
        assert tag[0].isdigit(), f"{name} is not pinned"
        assert service["healthcheck"]["test"]
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
        for volume in service.get("volumes", ()):
            assert volume.split(":")[0] in compose["volumes"]


def test_the_settings_that_it_names_are_settings_of_ours(
    compose: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in compose["x-reprieve"].items():
        monkeypatch.setenv(name, value)
    settings = Settings.load()
    assert settings.kafka.bootstrap_servers == ["127.0.0.1:9092"]
    assert settings.registry.url == "http://127.0.0.1:8081/apis/ccompat/v7"
    assert settings.redis.url == "redis://127.0.0.1:6379/0"
    monkeypatch.setenv("REPRIEVE_KAFKA__NOBODY", "1")
    with pytest.raises(WrongUse, match=r"kafka\.nobody"):
        Settings.load()


def test_its_kafka_and_its_registry_are_the_ones_of_the_tests(compose: dict[str, Any]) -> None:
    local = FILE.parent / "deploy" / "local"
    kafka, registry = (compose["services"][name]["image"].rpartition(":")[2] for name in ("kafka", "registry"))
    assert f"<version>{kafka}</version>" in (local / "kafka-pom.xml").read_text("utf-8")
    assert f"<version>{registry}</version>" in (local / "registry-pom.xml").read_text("utf-8")
