"""Commits of a task on real Kafka, where answers are lost and tasks change hands."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaTimeoutError
from confluent_kafka import ConsumerGroupTopicPartitions
from confluent_kafka import TopicPartition as ConfluentPartition
from confluent_kafka.admin import AdminClient
from structlog.testing import capture_logs

from schemas import events as ev
from schemas.errors import InvalidEventError
from simulator.runs import simulate
from streams.kafka.changelog_format import ParkedRecord, changelog_topic
from streams.kafka.committed_reader import read_committed
from streams.kafka.committer import OffsetClient, TransactionalCommitter
from streams.kafka.compat import connected
from streams.kafka.publishing import consume
from streams.kafka.restore import ChangelogReader
from streams.kafka.rocksdb_store import RocksDBStore
from streams.kafka.transactions import FencedError, TransactionalProducer
from tests.support.in_memory_cluster import AGENTS, stream_task
from tests.support.worker_cluster import WorkerCluster


class Owner:
    """A worker as far as one task's commits go."""

    def __init__(self, workers: WorkerCluster, name: str, probe: OffsetClient) -> None:
        settings = workers.settings()
        self.broker = TransactionalCommitter(settings, 0, workers.partitions, probe, ["account"])
        self.store = RocksDBStore(workers.folder / name)
        accounts = [(agent, kind) for agent, kind in AGENTS if agent.name == "account"]
        self.task, self.rows = stream_task(
            {"account": self.store}, accounts, partitions=workers.partitions, prefix=workers.prefix
        )

    async def take(self) -> None:
        """Take the task."""
        await self.broker.start()
        await self.broker.resume_offsets(["payments", "clock"], None)

    async def commit(self, offset: int) -> None:
        """Commit a batch of one dead letter."""
        record = ParkedRecord("payments", 0, offset, b"k", b"v", (), 0)
        self.task.refuse(record, InvalidEventError("unreadable", "no event"))
        self.task.output.offsets["payments"] = offset + 1
        self.task.store.set_meta("test", str(offset))
        self.rows.apply(await self.broker.commit(self.task.prepare_commit(), self.rows))
        self.task.post_commit()


@asynccontextmanager
async def owners(workers: WorkerCluster) -> AsyncIterator[tuple[Owner, Owner]]:
    """Two workers on one topic's partition."""
    probe = OffsetClient(workers.settings())
    await probe.start()
    both = Owner(workers, "one", probe), Owner(workers, "two", probe)
    try:
        yield both
    finally:
        for owner in both:
            await owner.broker.stop()
            owner.store.close()
        await probe.stop()


async def reads_on(workers: WorkerCluster, store: RocksDBStore) -> None:
    """See that a store is gone on with where it is, not read back."""
    tp = TopicPartition(changelog_topic(workers.settings(), "account"), 0)
    reader = ChangelogReader(workers.settings())
    try:
        await reader.start()
        places = {tp: store}
        ends = await workers.end_offsets([tp])
        await reader.assign(places, ends)
        with capture_logs() as told:
            await reader.restore(ends)
        assert not [line for line in told if line["event"] == "store_rebuilt"]
        assert places[tp] is store
    finally:
        await reader.stop()


def letters(workers: WorkerCluster) -> Counter[int]:
    """Return how often each offset was refused."""
    return Counter(e.offset for e in workers.outputs() if isinstance(e, ev.DeadLetter))


def test_readers_that_stop_wait_for_what_is_being_committed(workers: WorkerCluster) -> None:
    """A commit is acknowledged before its markers are written, so the last stable offset may lie before its records."""
    settings = workers.settings()
    paid = next(e for e in simulate(accounts=3, days=40, seed=1) if isinstance(e, ev.PaymentReceived))

    async def consumed() -> list[Any]:
        return [event async for event in consume(settings, workers.codec, ["payments"], follow=False)]

    async def listed() -> list[Any]:
        return [workers.codec.decode(record.value) async for record in read_committed(settings, ["payments"])]

    async def scene() -> None:
        async with connected(
            AIOKafkaProducer(bootstrap_servers=workers.bootstrap, transactional_id=workers.prefix)
        ) as producer:
            async with producer.transaction():
                await producer.send_and_wait(f"{workers.prefix}payments", workers.codec.encode(paid), partition=1)
                readers = {asyncio.create_task(consumed()), asyncio.create_task(listed())}
                ended, _ = await asyncio.wait(readers, timeout=3)
                assert not ended
            assert await asyncio.gather(*readers) == [[paid], [paid]]

    asyncio.run(scene())


def test_a_commit_whose_answer_is_lost_happens_once(workers: WorkerCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        workers.produce("payments", 0, b"k", b"v")

    async def scene() -> None:
        async with owners(workers) as (one, _):
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
            assert one.task.agent_tasks[0].rows.meta("test") == "1"
            assert one.store.position[0] > 1
            # And it is known again by the row before it, as where the answer came.
            await reads_on(workers, one.store)
            await one.commit(2)
            await reads_on(workers, one.store)

    asyncio.run(scene())
    assert letters(workers) == {0: 1, 1: 1, 2: 1}


def test_a_worker_that_lost_its_task_leaves_its_new_owner_alone(workers: WorkerCluster) -> None:
    for _ in range(3):
        workers.produce("payments", 0, b"k", b"v")

    async def scene() -> None:
        async with owners(workers) as (one, two):
            await one.take()
            await one.commit(0)
            await two.take()
            await two.commit(1)
            # Its connection is gone as well, so what it hears is not that it was fenced.
            assert one.broker._transactions is not None
            await one.broker._transactions.stop()
            with pytest.raises(FencedError, match="another worker has committed"):
                await one.commit(1)
            await two.commit(2)

    asyncio.run(scene())
    assert letters(workers) == {0: 1, 1: 1, 2: 1}


def test_tasks_fenced_by_nobody_who_stays_are_taken_again(workers: WorkerCluster) -> None:
    events = list(simulate(accounts=12, days=8, seed=3, start=date(2026, 1, 5)))
    half = len(events) // 2

    async def intrude() -> None:
        for partition in range(workers.partitions):
            intruder = TransactionalProducer(workers.settings(), partition, workers.partitions)
            await intruder.start([])
            await intruder.stop()

    workers.start()
    workers.publish(events[:half])
    workers.wait_until_idle()
    # As where Kafka itself ends a transaction that took too long, the group knows nothing of it.
    asyncio.run(intrude())
    workers.publish(events[half:])
    workers.wait_until_idle()
    workers.assert_exact(events)
    workers.assert_running()
    assert '"event": "fenced"' in workers.log()


def test_offsets_that_were_set_back_count_nothing_twice(workers: WorkerCluster) -> None:
    events = list(simulate(accounts=12, days=8, seed=3, start=date(2026, 1, 5)))
    workers.start()
    workers.publish(events)
    workers.wait_until_idle()
    assert workers.stop() == 0
    # As a coordinator tells them that was frozen, and does not know that another has taken its place.
    places = [
        ConfluentPartition(f"{workers.prefix}{topic}", part, 0)
        for topic in ("payments", "accounts", "clock", "barriers")
        for part in range(workers.partitions)
    ]
    admin = AdminClient({"bootstrap.servers": workers.bootstrap})
    for done in admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(workers.group, places)]).values():
        done.result(30)
    workers.produce("payments", 0, b"k", b"no event")
    workers.start()
    workers.wait_until_idle()
    workers.assert_exact(events, Counter(unreadable=1))
