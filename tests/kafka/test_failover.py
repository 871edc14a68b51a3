"""Brokers fail: the worker goes on with those that are left, and waits where none is."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from chaos.stage import Stage
from deploy.local.kafka import KafkaCluster
from schemas import events as ev
from simulator.runs import simulate


@pytest.fixture
def cluster(kafka_parts: None, tmp_path: Path) -> Iterator[KafkaCluster]:
    """Three brokers of this test's own, since it kills them."""
    with KafkaCluster(tmp_path / "kafka", 3) as made:
        yield made


def test_a_killed_leader_and_a_dead_cluster_cost_nothing_but_time(cluster: KafkaCluster, tmp_path: Path) -> None:
    events = list(simulate(accounts=40, days=12, seed=5, start=date(2026, 1, 5)))
    closes = [n + 1 for n, event in enumerate(events) if isinstance(event, ev.DayClosed)]
    with Stage(cluster.bootstrap, tmp_path, "failover", partitions=2, replicas=3) as stage:
        stage.start("one")
        stage.start("two")
        stage.publish(events[: closes[3]])
        stage.wait(lambda: bool(stage.committed()), "progress")
        cluster.kill(0)
        stage.publish(events[closes[3] : closes[7]])
        stage.settle()
        cluster.restart(0)
        stage.publish(events[closes[7] :])
        for broker in range(3):
            cluster.kill(broker)
        for name in ("one", "two"):
            stage.wait(lambda name=name: "Unable to update metadata" in stage.log(name), "a word about it")  # type: ignore[misc]
        cluster.start()
        stage.settle()
        stage.assert_exact(events)
        # They waited; nobody had to start them again.
        stage.assert_at_work()
