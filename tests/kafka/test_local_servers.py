"""`reprieve up`, `status`, `down` and `topics` with real servers."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from deploy.local.jars import java
from deploy.local.kafka import KafkaCluster
from deploy.local.processes import Server, free_port, is_listening
from schemas.errors import FatalError

EXAMPLES = Path(__file__).parents[2] / "schemas" / "examples.jsonl"


def reprieve(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the program with nothing of ours in its environment but what is named."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("REPRIEVE_")} | environment
    command = [sys.executable, "-m", "streams.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=clean, timeout=120)


pytestmark = pytest.mark.usefixtures("kafka_parts")


def test_up_starts_kafka_and_down_ends_it_keeping_data(tmp_path: Path) -> None:
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
        published = reprieve("publish", EXAMPLES, "--kafka", **here)
        assert published.returncode == 1
        assert "OfferPublished belongs to offers, which Reprieve alone writes." in published.stderr
        assert (reprieve("consume", "offers", "--kafka", **here).stdout) == ""
        assert '"PaymentReceived"' in reprieve("consume", "payments", "--kafka", **here).stdout
        nobody = reprieve("dead-letters", "replay", "--kafka", "--id", "nope", REPRIEVE_PRIVACY__MODE="off", **here)
        assert nobody.returncode == 1
        assert "There is no dead letter nope." in nobody.stderr
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
        refused = reprieve(
            "topics", "apply", "--shorten", **safer | {"REPRIEVE_TOPICS__RETENTION_DAYS": '{"payments": 9}'}
        )
        assert refused.returncode == 1
        assert "kafka-reassign-partitions" in refused.stderr
        assert "Nothing was changed" in refused.stderr
        shorter = reprieve("topics", "check", REPRIEVE_TOPICS__RETENTION_DAYS='{"payments": 9}', **here)
        assert "reprieve.payments has retention.ms=-1 where it must be 777600000" in shorter.stdout
        nine = {"REPRIEVE_TOPICS__RETENTION_DAYS": '{"payments": 9, "offers": 8}', **here}
        kept = reprieve("topics", "apply", **nine)
        assert kept.returncode == 1
        assert (
            "reprieve.payments keeps records 9 days and no longer for good: Kafka deletes what is older." in kept.stderr
        )
        assert "reprieve.offers keeps records 8 days" in kept.stderr
        assert "Inputs on reprieve.payments would be deleted sooner" in kept.stderr
        assert reprieve("topics", "check", **here).returncode == 0
        said = reprieve("topics", "apply", REPRIEVE_TOPICS__RETENTION_DAYS='{"offers": 8}', **here)
        assert said.returncode == 0
        assert "reprieve.offers keeps records 8 days" in said.stderr
        applied = reprieve("topics", "apply", "--shorten", **nine)
        assert applied.returncode == 0
        longer = reprieve("topics", "apply", REPRIEVE_TOPICS__RETENTION_DAYS='{"payments": 10, "offers": 8}', **here)
        assert (longer.returncode, longer.stderr) == (0, "")
        assert reprieve("topics", "apply", "--shorten", **nine).returncode == 0
        assert reprieve("topics", "check", **nine).returncode == 0
        assert json.loads(reprieve("status", "--data", data, "--json").stdout)["kafka"] == {str(port): True}
    finally:
        down = reprieve("down", "--data", data)
    assert down.returncode == 0
    assert json.loads(reprieve("status", "--data", data, "--json").stdout)["kafka"] == {str(port): False}
    assert (data / "kafka" / "0" / "data" / "meta.properties").exists()


@pytest.mark.parametrize("redis", [False, True])
def test_a_start_on_a_taken_port_leaves_nothing_and_advises(tmp_path: Path, redis: bool) -> None:
    data = tmp_path / "servers"
    with ExitStack() as open_sockets:
        if redis:
            # Where a Redis is at work already it is the other program.
            taken, port = 6379, free_port()
            if not is_listening(taken):
                open_sockets.enter_context(socket.create_server(("127.0.0.1", taken)))
        else:
            taken = port = open_sockets.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1]
        up = reprieve("up", "--data", data, "--port", port, *([] if redis else ["--no-redis"]))
        assert up.returncode == 1
        assert f"Port {taken} is taken by another program" in up.stderr
        assert ("leave Redis out: --no-redis" if redis else "choose another with --port") in up.stderr
        assert not data.exists()
        assert not is_listening(port) or port == taken
        advised = KafkaCluster(data / "kafka", ports=[free_port()])
        advised.see_that_ports_are_free()


def test_a_start_that_fails_late_stops_kafka_and_frees_its_port(tmp_path: Path) -> None:
    data, ports = tmp_path / "servers", [free_port() for _ in range(3)]
    try:
        failed = reprieve(
            "up", "--data", data, "--port", ports[0], "--no-redis", REPRIEVE_TOPICS__REPLICATION_FACTOR="3"
        )
        assert failed.returncode == 1
        assert "eplication" in failed.stderr
        assert not is_listening(ports[0])
        assert reprieve("status", "--data", data).returncode == 1
        for port in ports[1:]:
            up = reprieve("up", "--data", data, "--port", port, "--no-redis")
            assert up.returncode == 0, up.stderr
            assert f"Kafka: 127.0.0.1:{port}" in up.stdout
            assert ("made with" in up.stdout) == (port == ports[1])
            assert reprieve("down", "--data", data).returncode == 0
    finally:
        reprieve("down", "--data", data)


@pytest.mark.parametrize("moment", ["as Kafka starts", "as topics are made"])
def test_up_stops_a_broker_that_ignores_sigterm_on_signal(tmp_path: Path, moment: str) -> None:
    data, runtime = tmp_path / "servers", tmp_path / "jre" / "bin" / "java"
    runtime.parent.mkdir(parents=True)
    # What a program ignores, Java ignores as well that it becomes.
    runtime.write_text(f"#!/bin/sh\ntrap '' TERM\nexec {java()} \"$@\"\n")
    runtime.chmod(0o755)
    broker = Server(data / "kafka" / "0", "kafka-0")
    clean = {k: v for k, v in os.environ.items() if not k.startswith("REPRIEVE_")}
    command = [sys.executable, "-m", "streams.cli", "up", "--data", data, "--port", str(free_port()), "--no-redis"]
    environment = clean | {"JAVA_HOME": str(runtime.parents[1])}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as up:
        try:
            if moment == "as topics are made":
                assert up.stdout is not None
                assert up.stdout.readline().startswith("Kafka: ")
            deadline = time.monotonic() + 60
            while broker.pid is None and time.monotonic() < deadline:
                time.sleep(0.01)
            pid = broker.pid
            assert pid is not None
            # One who is told twice goes on to end its children.
            for _ in range(2):
                up.send_signal(signal.SIGTERM)
                time.sleep(1)
            assert up.poll() is None
            assert up.wait(240) == 128 + signal.SIGTERM
            assert broker.pid is None
            assert not (data / "kafka" / "0" / "kafka-0.pid").exists()
            assert not Path(f"/proc/{pid}").exists()
        finally:
            up.kill()
            broker.stop(signal.SIGKILL)


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


def test_a_taken_port_and_another_clusters_folder_are_refused(tmp_path: Path) -> None:
    with KafkaCluster(tmp_path / "one") as one:
        with pytest.raises(FatalError, match="is taken by another program"):
            KafkaCluster(tmp_path / "two", ports=one.ports).start()
        with pytest.raises(FatalError, match="holds a cluster of 1 brokers"):
            KafkaCluster(tmp_path / "one", 3)
