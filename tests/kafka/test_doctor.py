"""`reprieve doctor` with real servers, and with none."""

from __future__ import annotations

import json
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest
import trustme
from click.testing import CliRunner
from redis import Redis

from deploy.local.processes import free_port
from deploy.local.redis import RedisServer
from streams.cli import cli
from tests.support.servers import GuardedRedis
from tests.support.worker_cluster import WorkerCluster


def examined(monkeypatch: pytest.MonkeyPatch, code: int, **variables: object) -> dict[str, Any]:
    """Return what the doctor finds by part."""
    for name, value in variables.items():
        monkeypatch.setenv(f"REPRIEVE_{name}", str(value))
    found = CliRunner().invoke(cli, ["doctor", "--json"])
    assert found.exit_code == code, found.output
    return {finding["part"]: finding for finding in json.loads(found.output)}


def test_all_is_well_where_all_is_there(
    workers: WorkerCluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    here: dict[str, object] = {
        "KAFKA__BOOTSTRAP_SERVERS": workers.bootstrap,
        "TOPICS__PREFIX": workers.prefix,
        "TOPICS__PARTITIONS": workers.partitions,
        "WORKER__DATA_DIR": tmp_path,
        "PRIVACY__MASTER_KEYS_FILE": workers.keys,
    }
    found = examined(monkeypatch, 0, **here)
    assert found["Kafka"]["message"] == "1 brokers"
    assert found["master keys"]["verdict"] == "ok"
    assert {found[part]["verdict"] for part in ("topics", "aiokafka", "faust-streaming", "data directory")} == {"ok"}
    assert {found[part]["verdict"] for part in ("registry", "Redis")} == {"skipped"}
    workers.keys.chmod(0o644)
    assert "may be read by others" in examined(monkeypatch, 1, **here)["master keys"]["message"]
    off = examined(monkeypatch, 1, **here | {"PRIVACY__MODE": "off"})
    assert "is readable" in off["master keys"]["message"]
    other = examined(monkeypatch, 1, **here | {"TOPICS__PREFIX": "elsewhere."})
    assert "`reprieve topics apply` makes it" in other["topics"]["message"]


def test_what_does_not_answer_is_bad_and_what_to_do_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    nowhere = f"127.0.0.1:{free_port()}"
    found = examined(
        monkeypatch,
        1,
        KAFKA__BOOTSTRAP_SERVERS=nowhere,
        REGISTRY__URL=f"http://{nowhere}",
        REDIS__URL=f"redis://{nowhere}/0",
        WORKER__DATA_DIR=tmp_path,
    )
    assert found["Kafka"]["verdict"] == "bad"
    assert found["topics"]["verdict"] == "skipped"
    assert f"The registry at http://{nowhere} does not answer" in found["registry"]["message"]
    assert "See to redis.url" in found["Redis"]["message"]


def test_a_redis_that_answers_is_well(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not here, and this machine cannot install it")
    nowhere = f"127.0.0.1:{free_port()}"
    with RedisServer(tmp_path / "redis") as server:
        found = examined(
            monkeypatch, 1, KAFKA__BOOTSTRAP_SERVERS=nowhere, REDIS__URL=server.url, WORKER__DATA_DIR=tmp_path
        )
    assert found["Redis"]["verdict"] == "ok"


@pytest.mark.parametrize(
    ("policy", "most", "verdict"),
    [
        ("allkeys-lru", "64mb", "bad"), ("allkeys-random", "64mb", "bad"), ("allkeys-lru", "0", "ok"),
        ("volatile-lru", "64mb", "ok"), ("noeviction", "64mb", "ok"),
    ],
)  # fmt: skip
def test_a_redis_that_evicts_views_is_named(
    policy: str, most: str, verdict: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not here, and this machine cannot install it")
    nowhere = f"127.0.0.1:{free_port()}"
    with RedisServer(tmp_path / "redis") as server:
        with Redis.from_url(server.url) as client:
            client.config_set("maxmemory", most)
            client.config_set("maxmemory-policy", policy)
        shown = {"KAFKA__BOOTSTRAP_SERVERS": nowhere, "WORKER__DATA_DIR": tmp_path, "REDIS__URL": server.url}
        found = examined(monkeypatch, 1, **shown)["Redis"]
    assert found["verdict"] == verdict
    assert verdict == "ok" or f"maxmemory-policy is {policy}: once 64 MiB" in found["message"]
    assert verdict == "ok" or "Set maxmemory-policy to noeviction" in found["message"]


def test_a_redis_that_never_answers_is_bad(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    nowhere = f"127.0.0.1:{free_port()}"
    with socket.create_server(("127.0.0.1", 0), backlog=8) as silent:
        shown = {"KAFKA__BOOTSTRAP_SERVERS": nowhere, "WORKER__DATA_DIR": tmp_path, "REDIS__TIMEOUT_SECONDS": 1}
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        found = examined(monkeypatch, 1, **shown, REDIS__URL=url)["Redis"]
    assert found["verdict"] == "bad"
    assert "Timeout" in found["message"]


def test_a_guarded_redis_needs_certificate_and_password(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not here, and this machine cannot install it")
    ca = trustme.CA()
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
    for name, certificate in (("redis", ca.issue_cert("127.0.0.1")), ("worker", ca.issue_cert("worker@reprieve.test"))):
        certificate.private_key_pem.write_to_path(tmp_path / f"{name}.key")
        certificate.cert_chain_pems[0].write_to_path(tmp_path / f"{name}.pem")
    files = [tmp_path / name for name in ("ca.pem", "redis.pem", "redis.key")]
    with GuardedRedis(tmp_path / "redis", *files, ["worker on >secret ~reprieve:* +@all"]) as server:
        shown = {
            "KAFKA__BOOTSTRAP_SERVERS": f"127.0.0.1:{free_port()}",
            "WORKER__DATA_DIR": tmp_path,
            "REDIS__URL": server.url,
            "REDIS__USERNAME": "worker",
            "REDIS__PASSWORD": "secret",
            "REDIS__CA_FILE": tmp_path / "ca.pem",
            "REDIS__CERT_FILE": tmp_path / "worker.pem",
            "REDIS__KEY_FILE": tmp_path / "worker.key",
        }
        found = examined(monkeypatch, 1, **shown)["Redis"]
        assert found["verdict"] == "ok", found["message"]
        for other, reason in (
            ({"REDIS__PASSWORD": "wrong"}, "invalid username-password pair or user is disabled"),
            ({"REDIS__USERNAME": "default"}, "invalid username-password pair or user is disabled"),
            ({"REDIS__CA_FILE": tmp_path / "other.pem"}, "CERTIFICATE_VERIFY_FAILED"),
        ):
            found = examined(monkeypatch, 1, **shown | other)["Redis"]
            assert found["verdict"] == "bad"
            assert reason in found["message"]
            assert "See to redis.url" in found["message"]
