"""Brokers fail: the worker goes on with those that are left, and waits where none is."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import date
from pathlib import Path

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from schemas import events as ev
from simulator.runs import simulate
from streams.kafka.deployment import deployment_topics
from streams.kafka.topic_admin import find_differences
from streams.kafka.topic_ids import TopicIds
from tests.support.servers import KafkaTestCluster
from tests.support.worker_cluster import TIMEOUT, WorkerCluster

log = logging.getLogger(__name__)
# Else the measured time would not be shown.
log.setLevel(logging.INFO)


@pytest.fixture
def cluster(kafka_parts: None, tmp_path: Path) -> Iterator[KafkaTestCluster]:
    """Three brokers of this test's own, since it kills them."""
    with KafkaTestCluster(tmp_path / "kafka", 3) as made:
        yield made


async def leaders(workers: WorkerCluster, group: str) -> tuple[int, int]:
    """Return which broker leads the first partition of the clock, and which coordinates a group, by their node ids."""
    admin = AIOKafkaAdminClient(bootstrap_servers=workers.bootstrap)
    try:
        await admin.start()
        (topic,) = await admin.describe_topics([workers.prefix + "clock"])
        (leader,) = (found["leader"] for found in topic["partitions"] if found["partition"] == 0)
        return leader, await admin.find_coordinator(group)
    finally:
        await admin.close()


def one_broker_for_both(workers: WorkerCluster) -> int:
    """Let workers be of a group whose coordinator leads a partition of each task too; returns its node id."""
    for number in range(100):
        # A topic that was just made may have no partition in what a broker tells yet.
        with suppress(KafkaError, ValueError):
            leader, coordinator = asyncio.run(leaders(workers, f"failover-{number}"))
            if leader == coordinator:
                workers.group = f"failover-{number}"
                return leader
        # Kafka makes the topic of groups when it is asked for the first time.
        time.sleep(0.1)
    raise AssertionError("no group has its coordinator where the clock is led")


def test_a_killed_leader_or_cluster_costs_nothing_but_time(
    cluster: KafkaTestCluster, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    events = list(simulate(accounts=40, days=12, seed=5, start=date(2026, 1, 5)))
    closes = [n + 1 for n, event in enumerate(events) if isinstance(event, ev.DayClosed)]
    with WorkerCluster(cluster.bootstrap, tmp_path, "failover", partitions=2, replicas=3) as workers:
        broker = one_broker_for_both(workers)
        workers.start("one")
        workers.start("two")
        workers.publish(events[: closes[3]])
        clock = TopicPartition(workers.prefix + "clock", 0)
        workers.wait(lambda: clock in workers.committed(), "progress")
        began = time.monotonic()
        cluster.kill(broker - 1)
        workers.publish(events[closes[3] : closes[7]])
        # Four days were published before.
        workers.wait(lambda: workers.committed().get(clock, 0) > 4, "a day that was published after it")
        seconds = round(time.monotonic() - began, 1)
        record_property("take_over_seconds", seconds)
        log.info("%.1f s from the end of the leader and coordinator to the close of a day published since", seconds)
        workers.wait_until_idle()
        assert broker not in asyncio.run(leaders(workers, workers.group))
        # A replica that is away is a replica; and more of them than were asked for are fine.
        settings = workers.settings()
        assert asyncio.run(find_differences(settings)) == []
        fewer = settings.topics.model_copy(update={"replication_factor": 2})
        assert asyncio.run(find_differences(settings.model_copy(update={"topics": fewer}))) == []
        cluster.restart(broker - 1)
        workers.publish(events[closes[7] :])
        for number in range(3):
            cluster.kill(number)
        for name in ("one", "two"):
            workers.wait(lambda name=name: "Unable to update metadata" in workers.log(name), "a word about it")  # type: ignore[misc]
        cluster.start()
        workers.wait_until_idle()
        workers.assert_exact(events)
        # They waited; nobody had to start them again.
        workers.assert_running()


def test_a_frozen_broker_holds_up_no_look_at_the_topics(cluster: KafkaTestCluster, tmp_path: Path) -> None:
    """It serves no records either, so what the others say of the topics counts."""
    with WorkerCluster(cluster.bootstrap, tmp_path, "frozen", partitions=6, replicas=3) as workers:
        settings = workers.settings()
        # As long as a request to it would be waited for.
        slow = settings.kafka.model_copy(update={"request_timeout_seconds": 120})
        full = deployment_topics(settings).values()

        async def scene() -> None:
            ids = TopicIds(settings.model_copy(update={"kafka": slow}))
            try:
                before = await ids.ask(full)
                assert len(before) == 3
                for broker in range(3):
                    cluster.pause(broker)
                    try:
                        found = await asyncio.wait_for(ids.ask(full), TIMEOUT)
                    finally:
                        cluster.resume(broker)
                    assert found
                    assert all(seen[name].topic_id == before[0][name].topic_id for seen in found for name in seen)
            finally:
                await ids.stop()

        asyncio.run(scene())
