"""`reprieve up`, `status`, `down` and `topics` with real servers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local.kafka import KafkaCluster
from deploy.local.processes import free_port
from schemas.errors import Fatal


def reprieve(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the program with nothing of ours in its environment but what is named."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("REPRIEVE_")} | environment
    command = [sys.executable, "-m", "streams.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=clean, timeout=120)


pytestmark = pytest.mark.usefixtures("kafka_parts")


def test_up_starts_kafka_with_its_topics_and_down_ends_it_with_the_data_kept(tmp_path: Path) -> None:
    data, port = tmp_path / "servers", free_port()
    try:
        up = reprieve("up", "--data", data, "--port", port, "--no-redis")
        assert up.returncode == 0, up.stderr
        assert f"Kafka: 127.0.0.1:{port}" in up.stdout
        assert "reprieve.payments made with 12 partitions" in up.stdout
        again = reprieve("up", "--data", data, "--port", port, "--no-redis")
        assert again.returncode == 0
        assert "made with" not in again.stdout
        here = {"REPRIEVE_KAFKA__BOOTSTRAP_SERVERS": f"127.0.0.1:{port}"}
        assert reprieve("topics", "check", **here).returncode == 0
        fewer = reprieve("topics", "check", "--json", REPRIEVE_TOPICS__PARTITIONS="5", **here)
        assert fewer.returncode == 1
        assert all("has 12 partitions where settings ask for 5" in d["message"] for d in json.loads(fewer.stdout))
        refused = reprieve("topics", "apply", REPRIEVE_TOPICS__PARTITIONS="5", **here)
        assert refused.returncode == 1
        assert "Nothing was changed" in refused.stderr
        safer = {"REPRIEVE_TOPICS__REPLICATION_FACTOR": "3", **here}
        copies = reprieve("topics", "check", "--json", **safer)
        assert copies.returncode == 1
        for found in json.loads(copies.stdout):
            assert "has a partition with 1 of the 3 replicas that settings ask for" in found["message"]
            assert "kafka-reassign-partitions" in found["message"]
            assert not found["mendable"]
        refused = reprieve("topics", "apply", **safer | {"REPRIEVE_TOPICS__RETENTION_DAYS": '{"payments": 9}'})
        assert refused.returncode == 1
        assert "kafka-reassign-partitions" in refused.stderr
        assert "Nothing was changed" in refused.stderr
        shorter = reprieve("topics", "check", REPRIEVE_TOPICS__RETENTION_DAYS='{"payments": 9}', **here)
        assert "reprieve.payments has retention.ms=-1 where it must be 777600000" in shorter.stdout
        applied = reprieve("topics", "apply", REPRIEVE_TOPICS__RETENTION_DAYS='{"payments": 9}', **here)
        assert applied.returncode == 0
        assert reprieve("topics", "check", REPRIEVE_TOPICS__RETENTION_DAYS='{"payments": 9}', **here).returncode == 0
        assert json.loads(reprieve("status", "--data", data, "--json").stdout)["kafka"] == {str(port): True}
    finally:
        down = reprieve("down", "--data", data)
    assert down.returncode == 0
    assert json.loads(reprieve("status", "--data", data, "--json").stdout)["kafka"] == {str(port): False}
    assert (data / "kafka" / "0" / "data" / "meta.properties").exists()


def test_what_is_missing_is_said_in_a_sentence(tmp_path: Path) -> None:
    none = reprieve("up", "--data", tmp_path / "a", "--port", free_port(), PATH=str(tmp_path), JAVA_HOME="")
    assert none.returncode == 1
    assert none.stderr.startswith("reprieve: Java is missing. Install Java 17 or newer")
    assert "docker compose up -d" in none.stderr
    away = reprieve("topics", "check", REPRIEVE_KAFKA__BOOTSTRAP_SERVERS=f"127.0.0.1:{free_port()}")
    assert away.returncode == 1
    assert "does not answer" in away.stderr
    assert "Start it (reprieve up)" in away.stderr
    never = reprieve("down", "--data", tmp_path / "nothing")
    assert never.returncode == 1
    assert "No servers were ever started" in never.stderr


def test_a_port_that_is_taken_and_a_folder_of_another_cluster_are_refused(tmp_path: Path) -> None:
    with KafkaCluster(tmp_path / "one") as one:
        with pytest.raises(Fatal, match="is taken by another program"):
            KafkaCluster(tmp_path / "two", ports=one.ports).start()
        with pytest.raises(Fatal, match="holds a cluster of 1 brokers"):
            KafkaCluster(tmp_path / "one", 3)
