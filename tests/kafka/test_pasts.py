"""Stores and caches of another past are known and read back; honest ones are not."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from datetime import date
from functools import cache
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from structlog.testing import capture_logs

from console.cache import Cache
from console.cache_loader import CacheLoader
from schemas import events as ev
from schemas.codec import Codec
from simulator.runs import simulate
from streams.kafka.changelog_format import LEGACY_FENCE
from streams.kafka.compat import connected
from streams.kafka.restore import ChangelogReader, open_store
from streams.kafka.rocksdb_store import RocksDBStore
from streams.kafka.sealing import vault_for
from streams.kafka.topic_ids import TopicIds
from streams.kafka.transactions import TransactionalProducer
from streams.shutdown import cancel_and_wait
from tests.support import topics
from tests.support.worker_cluster import TIMEOUT, WorkerCluster

Rows = list[tuple[bytes, bytes]]


@cache
def history() -> tuple[ev.Event, ...]:
    events = simulate(accounts=30, days=36, seed=11, start=date(2026, 1, 5))
    return tuple(e for e in events if not isinstance(e, ev.DayClosed) or e.business_date.day % 15 == 0)


async def put(workers: WorkerCluster, topic: str, *transactions: Rows) -> None:
    async with connected(AIOKafkaProducer(bootstrap_servers=workers.bootstrap, transactional_id=topic)) as producer:
        for rows in transactions:
            async with producer.transaction():
                for key, value in rows:
                    await producer.send(topic, value, key=key, partition=0)


async def followed(workers: WorkerCluster, topic: str, store: RocksDBStore) -> RocksDBStore:
    """Bring a store to the end of its changelog, and return what it is then."""
    tp = TopicPartition(topic, 0)
    reader = ChangelogReader(workers.settings())
    try:
        await reader.start()
        places = {tp: store}
        ends = await workers.end_offsets([tp])
        await reader.assign(places, ends)
        await reader.restore(ends)
        return places[tp]
    finally:
        await reader.stop()


def row(name: bytes, value: bytes) -> tuple[bytes, bytes]:
    return b"s" + name, b"\0\0\0\0" + value


OLD = [[row(b"A", b"old"), row(b"B", b"old"), row(b"C", b"old")], [row(b"A", b"old2"), row(b"B", b"old2")]]
PASTS = {
    # The store's last row is at 5: a marker is there now, or another row, or nothing at all.
    "marker": [[row(b"%d" % n, b"new") for n in range(5)], [row(b"5", b"new"), row(b"6", b"new")]],
    "row": [[row(b"%d" % n, b"new") for n in range(9)]],
    "end": [[row(b"0", b"new")]],
}


@pytest.mark.parametrize("past", PASTS)
def test_a_store_of_another_past_is_read_back(workers: WorkerCluster, past: str) -> None:
    topic = workers.prefix + "other-changelog"

    async def scene() -> dict[bytes, bytes]:
        admin = AIOKafkaAdminClient(bootstrap_servers=workers.bootstrap)
        try:
            await admin.start()
            await admin.create_topics([NewTopic(topic, 1, 1, topic_configs={"cleanup.policy": "compact"})])
            await put(workers, topic, *OLD)
            store = await followed(workers, topic, open_store(workers.folder / "store"))
            assert store.position[0] == 6
            await admin.delete_topics([topic])
            while topic in await admin.list_topics():
                await asyncio.sleep(0.1)
            await asyncio.sleep(0.5)
            await admin.create_topics([NewTopic(topic, 1, 1, topic_configs={"cleanup.policy": "compact"})])
            await put(workers, topic, *PASTS[past])
            with capture_logs() as told:
                store = await followed(workers, topic, store)
            assert [line["cause"] for line in told if line["event"] == "store_rebuilt"] == [
                "unproved" if past == "marker" else "ahead"
            ]
            rows = dict(store.scan(b"s", b"t"))
            store.close()
            return rows
        finally:
            await admin.close()

    assert asyncio.run(scene()) == dict(r for rows in PASTS[past] for r in rows)


@pytest.mark.parametrize(("known", "cause"), [(False, "ahead"), (True, "other_topic")])
def test_a_store_whose_last_row_is_a_workers_mark_is_known_too(workers: WorkerCluster, known: bool, cause: str) -> None:
    """Who takes a partition writes a row that marks a place; in another past one may stand at the same place."""
    topic = workers.prefix + "account-changelog"

    async def took() -> None:
        taken = TransactionalProducer(workers.settings(), 0, workers.partitions)
        await taken.start([topic])
        await taken.stop()

    async def ids() -> dict[str, str] | None:
        asked = TopicIds(workers.settings())
        ((answer, *_), _) = (await asked.ask([topic]), await asked.stop())
        return {topic: answer[topic].topic_id} if known else None

    async def read(store: RocksDBStore) -> RocksDBStore:
        reader, tp = ChangelogReader(workers.settings()), TopicPartition(topic, 0)
        try:
            await reader.start()
            places = {tp: store}
            ends = await reader._reader.consumer.end_offsets([tp])
            await reader.assign(places, ends, await ids())
            await reader.restore(ends)
            return places[tp]
        finally:
            await reader.stop()

    async def before() -> RocksDBStore:
        await put(workers, topic, [row(b"A", b"old")])
        await took()
        store = await read(open_store(workers.folder / "store"))
        assert store.position[0] == 3
        with capture_logs() as told:
            store = await read(store)
        assert not [line for line in told if line["event"] == "store_rebuilt"]
        return store

    async def after(store: RocksDBStore) -> None:
        await put(workers, topic, [row(b"B", b"new")])
        await took()
        with capture_logs() as told:
            store = await read(store)
        assert [line["cause"] for line in told if line["event"] == "store_rebuilt"] == [cause]
        assert dict(store.scan(b"s", b"t")) == dict([row(b"B", b"new")])
        store.close()

    store = asyncio.run(before())
    topics.recreate(workers, "account-changelog")
    asyncio.run(after(store))


def test_the_mark_of_an_earlier_release_proves_nothing(workers: WorkerCluster) -> None:
    topic = workers.prefix + "account-changelog"

    async def scene() -> None:
        await put(workers, topic, [row(b"A", b"a")], [LEGACY_FENCE])
        store = await followed(workers, topic, open_store(workers.folder / "store"))
        with capture_logs() as told:
            store = await followed(workers, topic, store)
        assert [line["cause"] for line in told if line["event"] == "store_rebuilt"] == ["unproved"]
        assert dict(store.scan(b"s", b"t")) == dict([row(b"A", b"a")])
        store.close()

    asyncio.run(scene())


def test_an_honest_store_is_gone_on_with(workers: WorkerCluster) -> None:
    topic = workers.prefix + "account-changelog"

    async def scene() -> None:
        store = open_store(workers.folder / "store")
        with capture_logs() as told:
            for number in range(4):
                await put(workers, topic, *([[row(b"%d" % n, b"%d" % number)] for n in range(number)]))
                store = await followed(workers, topic, store)
                store.close()
                store = open_store(workers.folder / "store")
        assert not [line for line in told if line["event"] == "store_rebuilt"]
        store.close()

    asyncio.run(scene())


def test_a_restarted_worker_reads_nothing_back_that_it_has(workers: WorkerCluster) -> None:
    workers.publish(history())
    workers.start()
    workers.wait_until_idle()
    assert workers.stop() == 0
    workers.start()
    workers.wait(lambda: bool(workers.log_lines("tasks_open")[1:]), "the second start")
    workers.kill()
    workers.start()
    workers.wait(lambda: bool(workers.log_lines("tasks_open")[2:]), "the third start")
    assert not workers.log_lines("store_rebuilt")
    # The last row and the beacon of three partitions of three agents, and no more.
    assert workers.log_lines("restored")[1]["rows"] == 18


@pytest.mark.parametrize("past", ["honest", "other"])
def test_a_cache_that_cannot_prove_its_history_is_emptied(workers: WorkerCluster, past: str) -> None:
    folder = workers.folder / "console"
    half = len(history()) // 2

    async def follow() -> list[str]:
        settings = workers.settings()
        vault = await vault_for(settings)
        cache = Cache(folder, f"{workers.prefix} {workers.group}", workers.partitions, Codec(), vault)
        follower = CacheLoader(settings, cache, Codec())
        with capture_logs() as told:
            task = asyncio.create_task(follower.run())
            while not follower.caught_up:
                if task.done():
                    task.result()
                await asyncio.sleep(0.05)
            await cancel_and_wait(task)
        cache.close()
        return [line["cause"] for line in told if line["event"] == "console_cache_rebuilt"]

    workers.start()
    workers.publish(history()[:half])
    workers.wait_until_idle()
    assert asyncio.run(asyncio.wait_for(follow(), TIMEOUT)) == []
    if past == "other":
        # As where a commit's marker has the place of what was the last row.
        with closing(sqlite3.connect(next(Path(folder).glob("*.db")))) as db, db:
            where = "WHERE topic = 'account-changelog' AND partition = 1"
            assert db.execute(f'UPDATE place SET "offset" = "offset" + 1 {where}').rowcount == 1
    workers.publish(history()[half:])
    workers.wait_until_idle()
    told = asyncio.run(asyncio.wait_for(follow(), TIMEOUT))
    assert len(told) == (past == "other")
    assert all(f"{workers.prefix}account-changelog/1 has nothing at" in cause for cause in told)
