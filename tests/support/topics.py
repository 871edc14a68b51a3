"""What operators and their tools do to the topics of a cluster that is at work."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from streams.kafka.compat import connected
from streams.kafka.topic_admin import apply_topics, topic_specs
from streams.kafka.topic_ids import TopicIds
from tests.support.worker_cluster import WorkerCluster


def delete(workers: WorkerCluster, topics: Iterable[str]) -> None:
    """Delete topics, named without the prefix, and wait until the broker knows of none of them."""

    async def run() -> None:
        names = [workers.prefix + topic for topic in topics]
        async with _Admin(workers) as admin:
            await admin.delete_topics(names)
            while set(names) & set(await admin.list_topics()):
                await asyncio.sleep(0.05)

    asyncio.run(run())


def recreate(workers: WorkerCluster, *topics: str) -> None:
    """Have topics be others of the same names, with nothing in them."""
    delete(workers, topics)
    apply_settings(workers)

    async def known() -> None:
        ids = TopicIds(workers.settings())
        try:
            names = {workers.prefix + topic for topic in topics}
            while not all(names <= seen.keys() for seen in await ids.ask(names)):
                await asyncio.sleep(0.05)
        finally:
            await ids.stop()

    asyncio.run(known())


def apply_settings(workers: WorkerCluster) -> None:
    """Make what topics are missing, and set what differs."""
    asyncio.run(apply_topics(workers.settings()))


def add_partition(workers: WorkerCluster, *topics: str) -> None:
    """Add a partition to topics."""

    async def run() -> None:
        async with _Admin(workers) as admin:
            wanted = {workers.prefix + topic: NewPartitions(total_count=workers.partitions + 1) for topic in topics}
            await admin.create_partitions(wanted)

    asyncio.run(run())


def configure(workers: WorkerCluster, topic: str, config: Mapping[str, str]) -> None:
    """Give a topic settings of its own besides those that it has to have."""

    async def run() -> None:
        (plan,) = (plan for plan in topic_specs(workers.settings()) if plan.name == workers.prefix + topic)
        async with _Admin(workers) as admin:
            resource = ConfigResource(ConfigResourceType.TOPIC, plan.name, plan.config | dict(config))
            await admin.alter_configs([resource])

    asyncio.run(run())


def config(workers: WorkerCluster, topic: str) -> dict[str, str]:
    """Return a topic's settings."""

    async def run() -> dict[str, str]:
        async with _Admin(workers) as admin:
            (answer,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, workers.prefix + topic)])
            ((_, _, _, _, entries),) = answer.resources
            return {entry[0]: entry[1] for entry in entries}

    return asyncio.run(run())


def partitions(workers: WorkerCluster, topic: str) -> int:
    """Return how many partitions a topic has."""

    async def run() -> int:
        async with _Admin(workers) as admin:
            (found,) = await admin.describe_topics([workers.prefix + topic])
            return len(found["partitions"])

    return asyncio.run(run())


def ends(workers: WorkerCluster, topic: str) -> list[int]:
    """Return where a topic's partitions end."""

    async def run() -> list[int]:
        async with connected(AIOKafkaConsumer(bootstrap_servers=workers.bootstrap)) as consumer:
            tps = [TopicPartition(workers.prefix + topic, part) for part in range(workers.partitions)]
            found = await consumer.end_offsets(tps)
            return [found[tp] for tp in tps]

    return asyncio.run(run())


class _Admin:
    def __init__(self, workers: WorkerCluster) -> None:
        self._bootstrap = workers.bootstrap

    async def __aenter__(self) -> AIOKafkaAdminClient:
        self._client = AIOKafkaAdminClient(bootstrap_servers=self._bootstrap)
        await self._client.start()
        return self._client

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()
