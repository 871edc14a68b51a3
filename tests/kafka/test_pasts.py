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

from chaos.stage import Stage
from console.cache import Cache
from console.follower import Follower
from schemas import events as ev
from schemas.codec import Codec
from simulator.runs import simulate
from streams.endings import ended
from streams.kafka.changelogs import ChangelogReader, open_store
from streams.kafka.sealing import vault_for
from streams.kafka.store import PartitionStore

Rows = list[tuple[bytes, bytes]]


@cache
def history() -> tuple[ev.Event, ...]:
    events = simulate(accounts=30, days=36, seed=11, start=date(2026, 1, 5))
    return tuple(e for e in events if not isinstance(e, ev.DayClosed) or e.business_date.day % 15 == 0)


async def put(stage: Stage, topic: str, *transactions: Rows) -> None:
    async with AIOKafkaProducer(bootstrap_servers=stage.bootstrap, transactional_id=topic) as producer:
        for rows in transactions:
            async with producer.transaction():
                for key, value in rows:
                    await producer.send(topic, value, key=key, partition=0)


async def followed(stage: Stage, topic: str, store: PartitionStore) -> PartitionStore:
    """Bring a store to the end of its changelog, and return what it is then."""
    tp = TopicPartition(topic, 0)
    reader = ChangelogReader(stage.settings())
    await reader.start()
    try:
        places = {tp: store}
        ends = await reader._consumer.end_offsets([tp])
        await reader.follow(places, ends)
        await reader.catch_up(ends)
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
def test_a_store_of_another_past_is_read_back(stage: Stage, past: str) -> None:
    topic = stage.prefix + "other-changelog"

    async def scene() -> dict[bytes, bytes]:
        admin = AIOKafkaAdminClient(bootstrap_servers=stage.bootstrap)
        await admin.start()
        try:
            await admin.create_topics([NewTopic(topic, 1, 1, topic_configs={"cleanup.policy": "compact"})])
            await put(stage, topic, *OLD)
            store = await followed(stage, topic, open_store(stage.folder / "store"))
            assert store.place[0] == 6
            await admin.delete_topics([topic])
            while topic in await admin.list_topics():
                await asyncio.sleep(0.1)
            await asyncio.sleep(0.5)
            await admin.create_topics([NewTopic(topic, 1, 1, topic_configs={"cleanup.policy": "compact"})])
            await put(stage, topic, *PASTS[past])
            with capture_logs() as told:
                store = await followed(stage, topic, store)
            assert [line["cause"] for line in told if line["event"] == "store_rebuilt"] == [
                "unproved" if past == "marker" else "ahead"
            ]
            rows = dict(store.scan(b"s", b"t"))
            store.close()
            return rows
        finally:
            await admin.close()

    assert asyncio.run(scene()) == dict(r for rows in PASTS[past] for r in rows)


def test_an_honest_store_is_gone_on_with(stage: Stage) -> None:
    topic = stage.prefix + "account-changelog"

    async def scene() -> None:
        store = open_store(stage.folder / "store")
        with capture_logs() as told:
            for number in range(4):
                await put(stage, topic, *([[row(b"%d" % n, b"%d" % number)] for n in range(number)]))
                store = await followed(stage, topic, store)
                store.close()
                store = open_store(stage.folder / "store")
        assert not [line for line in told if line["event"] == "store_rebuilt"]
        store.close()

    asyncio.run(scene())


def test_a_worker_that_is_started_again_reads_nothing_back_that_it_has(stage: Stage) -> None:
    stage.publish(history())
    stage.start()
    stage.settle()
    assert stage.end() == 0
    stage.start()
    stage.wait(lambda: bool(stage.told("lanes_open")[1:]), "the second start")
    stage.kill()
    stage.start()
    stage.wait(lambda: bool(stage.told("lanes_open")[2:]), "the third start")
    assert not stage.told("store_rebuilt")
    # The last row and the beacon of three partitions of three agents, and no more.
    assert stage.told("restored")[1]["rows"] == 18


@pytest.mark.parametrize("past", ["honest", "other"])
def test_a_cache_of_which_nothing_shows_that_it_is_of_this_past_is_emptied(stage: Stage, past: str) -> None:
    folder = stage.folder / "console"
    half = len(history()) // 2

    async def follow() -> list[str]:
        settings = stage.settings()
        vault = await vault_for(settings)
        cache = Cache(folder, f"{stage.prefix} {stage.group}", stage.partitions, Codec(), vault)
        follower = Follower(settings, cache, Codec())
        with capture_logs() as told:
            task = asyncio.create_task(follower.run())
            while not follower.caught_up:
                if task.done():
                    task.result()
                await asyncio.sleep(0.05)
            await ended(task)
        cache.close()
        return [line["cause"] for line in told if line["event"] == "console_cache_rebuilt"]

    stage.start()
    stage.publish(history()[:half])
    stage.settle()
    assert asyncio.run(asyncio.wait_for(follow(), 60)) == []
    if past == "other":
        # As where a commit's marker has the place of what was the last row.
        with closing(sqlite3.connect(next(Path(folder).glob("*.db")))) as db, db:
            where = "WHERE topic = 'account-changelog' AND partition = 1"
            assert db.execute(f'UPDATE place SET "offset" = "offset" + 1 {where}').rowcount == 1
    stage.publish(history()[half:])
    stage.settle()
    told = asyncio.run(asyncio.wait_for(follow(), 60))
    assert len(told) == (past == "other")
    assert all(f"{stage.prefix}account-changelog/1 has nothing at" in cause for cause in told)
