"""Commits of a lane on real Kafka, where answers are lost and lanes change hands."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaTimeoutError
from confluent_kafka import ConsumerGroupTopicPartitions
from confluent_kafka import TopicPartition as ConfluentPartition
from confluent_kafka.admin import AdminClient
from structlog.testing import capture_logs

from agents.account import AccountAgent
from chaos.stage import Stage
from schemas import events as ev
from schemas.codec import Codec
from schemas.errors import BadInput
from simulator.runs import simulate
from state.account import AccountState
from state.pack import default_book
from streams.kafka.broker import LaneBroker, Probe, changelog
from streams.kafka.changelogs import ChangelogReader
from streams.kafka.lane import Lane
from streams.kafka.lane_rows import LaneRows
from streams.kafka.rows import ParkedRecord
from streams.kafka.seat import Seat
from streams.kafka.store import PartitionStore
from streams.kafka.transactions import Fenced, Transactions


class Owner:
    """A worker as far as one lane's commits go."""

    def __init__(self, stage: Stage, name: str, probe: Probe) -> None:
        settings, book = stage.settings(), default_book()
        self.broker = LaneBroker(settings, 0, stage.partitions, probe, ["account"])
        self.store = PartitionStore(stage.folder / name)
        seat = Seat(AccountAgent(), AccountState, LaneRows(self.store), book, 100)
        self.lane = Lane(0, stage.partitions, [seat], book, Codec(), prefix=stage.prefix)

    async def take(self) -> None:
        """Take the lane."""
        await self.broker.start()
        await self.broker.take_up(["payments", "clock"], None)

    async def commit(self, offset: int) -> None:
        """Commit a batch of one dead letter."""
        record = ParkedRecord("payments", 0, offset, b"k", b"v", (), 0)
        self.lane.refuse(record, BadInput("unreadable", "no event"))
        self.lane.batch.offsets["payments"] = offset + 1
        self.lane.seats[0].rows.set_meta("test", str(offset))
        self.lane.settled(await self.broker.commit(self.lane))


@asynccontextmanager
async def owners(stage: Stage) -> AsyncIterator[tuple[Owner, Owner]]:
    """Two workers on one topic's partition."""
    probe = Probe(stage.settings())
    await probe.start()
    both = Owner(stage, "one", probe), Owner(stage, "two", probe)
    try:
        yield both
    finally:
        for owner in both:
            await owner.broker.stop()
            owner.store.close()
        await probe.stop()


async def reads_on(stage: Stage, store: PartitionStore) -> None:
    """See that a store is gone on with where it is, not read back."""
    tp = TopicPartition(changelog(stage.settings(), "account"), 0)
    reader = ChangelogReader(stage.settings())
    await reader.start()
    try:
        places = {tp: store}
        ends = await reader._consumer.end_offsets([tp])
        await reader.follow(places, ends)
        with capture_logs() as told:
            await reader.catch_up(ends)
        assert not [line for line in told if line["event"] == "store_rebuilt"]
        assert places[tp] is store
    finally:
        await reader.stop()


def letters(stage: Stage) -> Counter[int]:
    """Return how often each offset was refused."""
    return Counter(e.offset for e in stage.said() if isinstance(e, ev.DeadLetter))


def test_a_commit_whose_answer_is_lost_happens_once(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        stage.put("payments", 0, b"k", b"v")

    async def scene() -> None:
        async with owners(stage) as (one, _):
            await one.take()
            await one.commit(0)
            transactions: Any = one.broker._transactions
            really = transactions.commit

            async def unheard(*arguments: Any) -> None:
                await really(*arguments)
                raise KafkaTimeoutError()

            monkeypatch.setattr(transactions, "commit", unheard)
            # And the coordinator that is asked was frozen: it does not know of the last transaction.
            before = await one.broker._probe.committed(["clock"], 0)

            async def frozen(*_: Any) -> Any:
                return before

            monkeypatch.setattr(one.broker._probe, "committed", frozen)
            await one.commit(1)
            monkeypatch.undo()
            # The row is there, at a place behind it.
            assert one.lane.seats[0].rows.meta("test") == "1"
            assert one.store.place[0] > 1
            # And it is known again by the row before it, as where the answer came.
            await reads_on(stage, one.store)
            await one.commit(2)
            await reads_on(stage, one.store)

    asyncio.run(scene())
    assert letters(stage) == {0: 1, 1: 1, 2: 1}


def test_a_worker_that_lost_its_lane_neither_commits_nor_drives_the_new_owner_out(stage: Stage) -> None:
    for _ in range(3):
        stage.put("payments", 0, b"k", b"v")

    async def scene() -> None:
        async with owners(stage) as (one, two):
            await one.take()
            await one.commit(0)
            await two.take()
            await two.commit(1)
            # Its connection is gone as well, so what it hears is not that it was fenced.
            assert one.broker._transactions is not None
            await one.broker._transactions.stop()
            with pytest.raises(Fenced, match="another worker has committed"):
                await one.commit(1)
            await two.commit(2)

    asyncio.run(scene())
    assert letters(stage) == {0: 1, 1: 1, 2: 1}


def test_a_worker_that_was_fenced_by_nobody_who_stays_takes_its_lanes_again(stage: Stage) -> None:
    events = list(simulate(accounts=12, days=8, seed=3, start=date(2026, 1, 5)))
    half = len(events) // 2

    async def intrude() -> None:
        for partition in range(stage.partitions):
            intruder = Transactions(stage.settings(), partition, stage.partitions)
            await intruder.start([])
            await intruder.stop()

    stage.start()
    stage.publish(events[:half])
    stage.settle()
    # As where Kafka itself ends a transaction that took too long, the group knows nothing of it.
    asyncio.run(intrude())
    stage.publish(events[half:])
    stage.settle()
    stage.assert_exact(events)
    stage.assert_at_work()
    assert '"event": "fenced"' in stage.log()


def test_offsets_that_were_set_back_count_nothing_twice(stage: Stage) -> None:
    events = list(simulate(accounts=12, days=8, seed=3, start=date(2026, 1, 5)))
    stage.start()
    stage.publish(events)
    stage.settle()
    assert stage.end() == 0
    # As a coordinator tells them that was frozen, and does not know that another has taken its place.
    places = [
        ConfluentPartition(f"{stage.prefix}{topic}", part, 0)
        for topic in ("payments", "accounts", "clock", "barriers")
        for part in range(stage.partitions)
    ]
    admin = AdminClient({"bootstrap.servers": stage.bootstrap})
    for done in admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(stage.group, places)]).values():
        done.result(30)
    stage.put("payments", 0, b"k", b"no event")
    stage.start()
    stage.settle()
    stage.assert_exact(events, Counter(unreadable=1))
