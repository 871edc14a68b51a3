"""What a worker on Kafka says of itself: probes, metrics and log lines that are true, and name nobody."""

from __future__ import annotations

import json
import signal
from collections import Counter
from datetime import date
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from deploy.local.processes import addresses, free_port
from schemas.topics import TOPIC_OF
from simulator.runs import simulate
from tests.support.faulty_proxy import FaultyProxy
from tests.support.servers import KafkaTestCluster
from tests.support.worker_cluster import WorkerCluster

ACCOUNTS = 40


def metrics(workers: WorkerCluster, *names: str) -> Counter[tuple[str, ...]]:
    """Return what workers tell together, by metric and labels."""
    total: Counter[tuple[str, ...]] = Counter()
    for name in names:
        status, text = workers.http_get("/metrics", name)
        assert status == 200
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name.startswith("reprieve_"):
                    total[sample.name, *sample.labels.values()] += sample.value  # type: ignore[assignment]
    return total


def accounts(found: Counter[tuple[str, ...]]) -> int:
    """Return how many accounts workers tell of."""
    return sum(value for key, value in found.items() if key[0] == "reprieve_accounts")


def test_workers_say_what_is_so_of_them_through_a_take_over(workers: WorkerCluster) -> None:
    events = list(simulate(accounts=ACCOUNTS, days=36, seed=11, start=date(2026, 1, 5), close_every=4))
    workers.start("one")
    workers.wait(lambda: workers.http_get("/readyz")[0] == 200, "readiness")
    workers.publish(events)
    workers.produce("payments", 0, b"x", b"nothing that anybody wrote")
    workers.wait_until_idle()
    workers.wait(lambda: not max(v for k, v in metrics(workers, "one").items() if "lag" in k[0]), "no lag")
    found = metrics(workers, "one")
    came = Counter(TOPIC_OF[type(event)].name for event in events)
    came["payments"] += 1
    for topic, count in came.items():
        times = workers.partitions if topic == "clock" else 1
        assert found["reprieve_records_read_total", topic] == count * times, topic
    assert accounts(found) == ACCOUNTS
    assert found["reprieve_records_refused_total", "unreadable"] == 1
    assert [line["code"] for line in workers.log_lines("dead_letter")] == ["unreadable"]
    said = Counter(type(event).__name__ for event in workers.outputs())
    moves = sum(v for k, v in found.items() if k[0] == "reprieve_bucket_transitions_total")
    assert moves == said["DelinquencyChanged"] > 0

    workers.start("two")
    workers.wait(lambda: workers.http_get("/readyz", "two")[0] == 200, "readiness of the second")
    workers.wait(
        lambda: len(share(workers)) == 2 and accounts(metrics(workers, "one", "two")) == ACCOUNTS, "two halves"
    )
    workers.kill("one")
    workers.wait(lambda: accounts(metrics(workers, "two")) == ACCOUNTS, "all accounts at the other")

    assert workers.http_get("/livez", "two")[0] == 200

    fields = ("account_id", "borrower_id")
    ids = {getattr(event, field) for event in events for field in fields if getattr(event, field, None) is not None}
    for name in ("one", "two"):
        log = workers.log(name)
        assert not [one for one in ids if one in log]
        assert all(json.loads(line)["event"] for line in log.splitlines())


def share(workers: WorkerCluster) -> list[int]:
    """Return the numbers of tasks of those workers that have any."""
    found = [metrics(workers, name)["reprieve_tasks",] for name in ("one", "two")]
    return [int(count) for count in found if count]


def test_a_worker_that_waits_for_kafka_lives_and_is_not_ready(kafka_parts: None, tmp_path: Path) -> None:
    with FaultyProxy(1) as proxy, KafkaTestCluster(tmp_path / "kafka", fronts=proxy.ports) as cluster:
        proxy.set_targets(cluster.behind)
        connection = {"bootstrap_servers": addresses(proxy.ports), "request_timeout_seconds": 2}
        with WorkerCluster(cluster.bootstrap, tmp_path / "stage", "waits", connection=connection) as workers:
            workers.start()
            workers.wait(lambda: workers.http_get("/readyz")[0] == 200, "readiness")
            proxy.hold()
            # Of several questions it names the one that waits longest.
            workers.wait(lambda: "for an answer (" in workers.http_get("/readyz")[1], "a word about the wait")
            assert workers.http_get("/readyz")[0] == 503
            assert workers.http_get("/livez")[0] == 200
            proxy.release()
            workers.wait(lambda: workers.http_get("/readyz")[0] == 200, "readiness again")
            workers.assert_running()


def test_a_worker_whose_kms_is_away_lives_and_is_not_ready(
    workers: WorkerCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = {"REPRIEVE_PRIVACY__KMS_URL": f"http://127.0.0.1:{free_port()}", "REPRIEVE_PRIVACY__KMS_TOKEN": "t"}
    monkeypatch.setattr(workers, "_environment", lambda name: away)
    workers.keys.write_text(json.dumps({"keys": [{"id": "k1", "wrapped": "AAAA"}]}), "utf-8")
    workers.start()
    workers.wait(lambda: bool(workers.log_lines("broker_away")), "a question that nobody answers")
    assert {line["doing"] for line in workers.log_lines("broker_away")} == {"asking for the master keys"}
    assert workers.http_get("/livez")[0] == 200
    assert workers.http_get("/readyz") == (503, "its tasks are not open yet\n")
    assert workers.stop() in (-signal.SIGTERM, 128 + signal.SIGTERM)
