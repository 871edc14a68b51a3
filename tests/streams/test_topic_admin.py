"""Topics are made where brokers come to know of them late."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from aiokafka.admin import NewTopic

from streams.kafka.topic_admin import _apply, topic_specs
from streams.settings import Settings


class SlowCluster:
    """The admin client of a cluster whose brokers tell of a new topic only when they are asked for the third time."""

    def __init__(self) -> None:
        self._topics: dict[str, int] = {}
        self._hidden = 0

    async def create_topics(self, topics: Sequence[NewTopic]) -> Any:
        self._topics = {topic.name: topic.num_partitions for topic in topics}
        self._hidden = 2
        return SimpleNamespace(topic_errors=[])

    async def list_topics(self) -> list[str]:
        self._hidden -= 1
        return [] if self._hidden >= 0 else list(self._topics)

    async def describe_topics(self, names: Sequence[str]) -> list[Any]:
        return [{"topic": n, "partitions": [{"replicas": [1]}] * self._topics[n]} for n in names]


def test_topics_that_were_made_are_told_of_by_brokers() -> None:
    async def scene() -> None:
        cluster: Any = SlowCluster()
        wanted = topic_specs(Settings.load())
        assert len(await _apply(cluster, wanted, frozenset())) == len(wanted)
        assert set(await cluster.list_topics()) == {plan.name for plan in wanted}

    asyncio.run(scene())
