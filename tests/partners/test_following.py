"""What webhooks follow is taken in each partition's order, whatever the broker's clock says."""

from __future__ import annotations

import asyncio
from collections import deque
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition

from schemas.codec import Codec
from streams.settings import Settings
from streams.webhooks.kafka_feed import KafkaFeed

ONE, OTHER = TopicPartition("offers", 0), TopicPartition("plans", 0)


def test_a_clock_that_goes_back_delays_and_reorders_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    stamps = {ONE: [10, 11, 3, 4, 12, 5], OTHER: [10, 11, 12, 13, 14, 15]}
    at = dict.fromkeys(stamps, 0)

    async def scene() -> list[tuple[str, int]]:
        router: Any = None
        feed = KafkaFeed(Settings.load(), Codec(), router)
        feed._held = {tp: deque() for tp in stamps}

        async def got(*_: Any, **__: Any) -> dict[TopicPartition, list[Any]]:
            found = {}
            for tp, times in stamps.items():
                some = range(at[tp], min(at[tp] + 3, len(times)))
                found[tp] = [SimpleNamespace(topic=tp.topic, offset=n, timestamp=times[n]) for n in some]
                at[tp] += len(some)
            return found

        async def position(tp: TopicPartition) -> int:
            return at[tp]

        async def end_offsets(tps: list[TopicPartition]) -> dict[TopicPartition, int]:
            return {tp: len(stamps[tp]) for tp in tps}

        monkeypatch.setattr(feed, "_got", got)
        monkeypatch.setattr(feed._said.consumer, "position", position)
        monkeypatch.setattr(feed._said.consumer, "end_offsets", end_offsets)
        taken: list[tuple[str, int]] = []
        for _ in range(2):
            taken += [(record.topic, record.offset) for record in await feed._next()]
        await feed.__aexit__()
        return taken

    taken = asyncio.run(scene())
    assert len(taken) == 12
    for topic in ("offers", "plans"):
        assert [offset for name, offset in taken if name == topic] == list(range(6))
