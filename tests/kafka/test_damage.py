"""Records that cannot be read: whoever reads waits for them, tells of them, and passes over nothing."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import date
from functools import cache

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from schemas import events as ev
from schemas.errors import FatalError
from simulator.runs import simulate
from streams.kafka.changelog_format import changelog_topic
from streams.kafka.isolating_fetcher import PartitionIsolatingFetcher, unreadable_partitions
from streams.kafka.restore import Standby, open_store
from tests.support.damaged_log import damaged
from tests.support.servers import KafkaTestCluster
from tests.support.worker_cluster import TIMEOUT, WorkerCluster


@cache
def history() -> tuple[ev.Event, ...]:
    """Return events of some weeks, of which few days are closed."""
    events = simulate(accounts=60, days=36, seed=11, start=date(2026, 1, 5))
    return tuple(e for e in events if not isinstance(e, ev.DayClosed) or e.business_date.day % 15 == 0)


async def put(workers: WorkerCluster, topic: str, rows: dict[int, list[tuple[bytes, bytes]]]) -> None:
    """Append rows to partitions of a topic, each partition's as one transaction."""
    for partition, some in rows.items():
        producer = AIOKafkaProducer(bootstrap_servers=workers.bootstrap, transactional_id=f"{topic}-{partition}")
        async with producer, producer.transaction():
            for key, value in some:
                await producer.send(topic, value, key=key, partition=partition)


def test_a_worker_waits_for_unreadable_records_and_names_them(workers: WorkerCluster, kafka: KafkaTestCluster) -> None:
    workers.publish(history()[:-20])
    with damaged(kafka, f"{workers.prefix}payments", 0):
        workers.start(batch_records=100)
        workers.wait(lambda: len(workers.log_lines("records_unreadable")) > 2, "a word about it")
        assert {(line["topic"], line["partition"]) for line in workers.log_lines("records_unreadable")} == {
            (f"{workers.prefix}payments", 0)
        }
        assert "Invalid CRC" in workers.log_lines("records_unreadable")[0]["error"]
        assert not workers.log_lines("broker_away")
        unread = f"{workers.prefix}payments/0 cannot be read"
        workers.wait(lambda: unread in workers.http_get("/readyz")[1], "that it says what cannot be read")
        assert workers.http_get("/readyz")[0] == 503
        gauge = f'reprieve_unreadable{{partition="0",topic="{workers.prefix}payments"}}'
        assert f"{gauge} 1.0" in workers.http_get("/metrics")[1]
    workers.publish(history()[-20:])
    workers.wait_until_idle()
    workers.assert_exact(history())
    workers.wait(lambda: workers.http_get("/readyz")[0] == 200, "that it is ready again")
    assert f"{gauge} 0.0" in workers.http_get("/metrics")[1]


def test_lasting_damage_ends_the_worker_with_a_sentence(workers: WorkerCluster, kafka: KafkaTestCluster) -> None:
    workers.publish(history())
    workers.health_settings = {"stall_seconds": 1.5}
    with damaged(kafka, f"{workers.prefix}payments", 1):
        assert workers.start().wait(TIMEOUT) == 1
        told = workers.log().strip().splitlines()[-1]
    assert told.startswith(f"reprieve: What Kafka has of {workers.prefix}payments/1 from offset 0 on cannot be read")
    workers.health_settings = {}
    workers.start()
    workers.wait_until_idle()
    workers.assert_exact(history())


def test_a_standby_goes_on_beside_an_unreadable_changelog(workers: WorkerCluster, kafka: KafkaTestCluster) -> None:
    topic = changelog_topic(workers.settings(), "account")
    failures: list[BaseException] = []
    rows = {part: [(b"s%d-%d" % (part, n), b"\0\0\0\0x" * 20) for n in range(200)] for part in range(3)}

    async def scene() -> dict[int, int]:
        await put(workers, topic, rows)
        places = {TopicPartition(topic, part): open_store(workers.folder / f"s-{part}") for part in range(3)}
        standby = Standby(workers.settings(), places, failures.append)
        with damaged(kafka, topic, 1):
            await standby.start()
            for number in range(6):
                await put(workers, topic, {part: [(b"sw%d" % number, b"\0\0\0\0x")] for part in (0, 2)})
                await asyncio.sleep(0.2)
            while places[TopicPartition(topic, 2)].get(b"sw5") is None or unreadable_partitions() is None:
                await asyncio.sleep(0.05)
            assert unreadable_partitions() == f"{topic}/1 cannot be read"
            assert standby.at_work
        while places[TopicPartition(topic, 1)].get(b"s1-199") is None:
            await asyncio.sleep(0.05)
        places = await standby.stop()
        assert unreadable_partitions() is None
        found = {tp.partition: sum(1 for _ in store.scan(b"s", b"t")) for tp, store in places.items()}
        for store in places.values():
            store.close()
        return found

    assert asyncio.run(asyncio.wait_for(scene(), TIMEOUT)) == {0: 206, 1: 200, 2: 206}
    assert not failures


@pytest.mark.parametrize("most", [None, 7])
def test_damage_of_one_partition_loses_nothing_of_another(
    workers: WorkerCluster, kafka: KafkaTestCluster, most: int | None
) -> None:
    topic = changelog_topic(workers.settings(), "account")
    rows = {part: [(b"%d-%d" % (part, n), b"x") for n in range(50)] for part in range(3)}

    async def scene() -> None:
        await put(workers, topic, rows)
        await put(workers, topic, rows)
        settings = workers.settings()
        consumer = AIOKafkaConsumer(
            **settings.kafka.client_options(), isolation_level="read_committed", enable_auto_commit=False
        )
        read: Counter[int] = Counter()
        offsets: dict[int, list[int]] = {part: [] for part in range(3)}
        async with consumer:
            consumer.assign([TopicPartition(topic, part) for part in range(3)])
            await consumer.seek_to_beginning()
            fetching = PartitionIsolatingFetcher(consumer, settings)

            async def take() -> None:
                for tp, records in (await fetching.getmany(timeout=0.2, most=most)).items():
                    read[tp.partition] += len(records)
                    offsets[tp.partition] += [record.offset for record in records]

            with damaged(kafka, topic, 1):
                while not (read[0] == read[2] == 100 and fetching.damaged):
                    await take()
                assert list(fetching.damaged) == [TopicPartition(topic, 1)]
            while read[1] < 100:
                await take()
            await take()
        assert read == Counter({0: 100, 1: 100, 2: 100})
        assert all(some == sorted(set(some)) for some in offsets.values())

    asyncio.run(asyncio.wait_for(scene(), TIMEOUT))


def test_lasting_damage_names_its_partition(workers: WorkerCluster, kafka: KafkaTestCluster) -> None:
    topic = changelog_topic(workers.settings(), "account")

    async def scene() -> None:
        await put(workers, topic, {2: [(b"k", b"x" * 100)]})
        settings = workers.settings()
        brief = settings.health.model_copy(update={"stall_seconds": 1.0})
        settings = settings.model_copy(update={"health": brief})
        consumer = AIOKafkaConsumer(**settings.kafka.client_options(), enable_auto_commit=False)
        async with consumer:
            consumer.assign([TopicPartition(topic, part) for part in range(3)])
            await consumer.seek_to_beginning()
            fetching = PartitionIsolatingFetcher(consumer, settings)

            async def read() -> None:
                while True:
                    await fetching.getmany(timeout=0.2)

            with (
                damaged(kafka, topic, 2),
                pytest.raises(FatalError, match=rf"of {topic}/2 from offset 0 on cannot be read"),
            ):
                await read()
            fetching.close()

    asyncio.run(asyncio.wait_for(scene(), TIMEOUT))
