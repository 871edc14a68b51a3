"""What operators do to topics of a deployment: partitions added, other settings, topics deleted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from schemas import events as ev
from schemas.topics import TOPIC_OF, TOPICS, key_of
from streams.engine.partitioning import partition_of
from streams.kafka.compat import connected
from tests.support import topics
from tests.support.deployments import CHANGELOGS, adopt, halves, history, ran, refused, reprieve
from tests.support.worker_cluster import WorkerCluster


@pytest.mark.parametrize(("which", "when"), [("one", "running"), ("all", "stopped")])
def test_added_partitions_are_reported_and_never_used(workers: WorkerCluster, which: str, when: str) -> None:
    first, second = halves()
    workers.publish(first)
    workers.start()
    workers.wait_until_idle()
    if when == "stopped":
        assert workers.stop() == 0
    names = ["payments"] if which == "one" else [*TOPICS, *CHANGELOGS]
    topics.add_partition(workers, *names)
    last = refused(workers)
    assert "has 4 partitions now, and this deployment began with 3" in last
    assert "set topics.partitions to" not in last
    # The wrong way out is shut.
    workers.partitions = 4
    last = refused(workers)
    assert "Set topics.partitions to 3." in last
    failed = reprieve(workers, "deployment", "adopt")
    assert failed.returncode == 1
    assert "Set topics.partitions to 3. Nothing was changed." in failed.stderr
    workers.partitions = 3
    last = refused(workers)
    assert "Partitions were added" in last
    if which == "all":
        failed = reprieve(workers, "deployment", "adopt")
        assert failed.returncode == 1
        assert "accounts lie by 3" in failed.stderr
        return
    # The way out that is named.
    topics.recreate(workers, "payments")
    workers.publish(second)
    adopt(workers)
    workers.start()
    workers.wait_until_idle()
    workers.assert_exact(history())


def test_partitions_that_are_never_read_do_no_harm(workers: WorkerCluster) -> None:
    first, second = halves()
    ran(workers, first)
    topics.add_partition(workers, "offers", "delinquency")
    workers.start()
    workers.publish(second)
    workers.wait_until_idle()
    workers.assert_exact(history())
    assert {line["topic"] for line in workers.log_lines("topic_differs")} == {
        workers.prefix + "offers",
        workers.prefix + "delinquency",
    }
    assert f'reprieve_topics_differ{{topic="{workers.prefix}offers"}} 1.0' in workers.http_get("/metrics")[1]
    assert "which does no harm" in reprieve(workers, "topics", "check").stdout


def test_records_with_their_producers_time_are_not_taken(workers: WorkerCluster) -> None:
    first, second = halves()
    workers.publish(first)
    workers.start()
    workers.wait_until_idle()
    said = len(workers.outputs())
    topics.configure(workers, "payments", {"message.timestamp.type": "CreateTime"})

    async def pay(events: Sequence[ev.Event]) -> None:
        async with connected(AIOKafkaProducer(bootstrap_servers=workers.bootstrap)) as producer:
            for event in events:
                topic, key = workers.prefix + TOPIC_OF[type(event)].name, (key_of(event) or "").encode()
                value = workers.codec.encode(event, topic)
                place = partition_of(key, workers.partitions)
                await producer.send_and_wait(
                    topic, value, key=key, partition=place, timestamp_ms=int(time.time() * 1000)
                )

    payments = [event for event in second if isinstance(event, ev.PaymentReceived)]
    asyncio.run(pay(payments[:5]))
    last = refused(workers)
    assert f"Records of {workers.prefix}payments/" in last
    assert "have their producer's time" in last
    assert len(workers.outputs()) == said
    assert "has message.timestamp.type=CreateTime where it must be LogAppendTime" in refused(workers)
    topics.apply_settings(workers)
    assert "have their producer's time" in refused(workers)
    workers.start(record_times="any")
    workers.publish([event for event in second if event not in payments[:5]])
    workers.wait_until_idle()
    workers.assert_exact(history())


def test_settings_of_topics_are_looked_at_while_nothing_comes(workers: WorkerCluster) -> None:
    workers.start()
    workers.wait(lambda: bool(workers.log_lines("tasks_open")), "its tasks")
    topics.configure(workers, "account-changelog", {"cleanup.policy": "delete"})
    last = refused(workers)
    assert "account-changelog has cleanup.policy=delete where it must be compact" in last
    assert "It was changed while this worker ran" in last


def test_a_topic_that_was_deleted_is_told_of(workers: WorkerCluster) -> None:
    workers.start()
    workers.wait(lambda: bool(workers.log_lines("tasks_open")), "its tasks")
    topics.delete(workers, ["dead-letters"])
    assert f"{workers.prefix}dead-letters was deleted" in refused(workers)


def test_the_last_row_of_each_transaction_is_unlike_any_other(workers: WorkerCluster) -> None:
    ran(workers, halves()[0])

    async def rows() -> list[tuple[TopicPartition, bytes, bytes]]:
        found = []
        async with connected(
            AIOKafkaConsumer(
                bootstrap_servers=workers.bootstrap, isolation_level="read_committed", auto_offset_reset="earliest"
            )
        ) as consumer:
            tps = [TopicPartition(workers.prefix + name, part) for name in CHANGELOGS for part in range(3)]
            consumer.assign(tps)
            last = await consumer.end_offsets(tps)
            while any([await consumer.position(tp) < last[tp] for tp in tps]):
                for tp, records in (await consumer.getmany(timeout_ms=100)).items():
                    # A gap is a transaction's marker.
                    following = [r.offset for r in records[1:]] + [records[-1].offset + 2]
                    found += [
                        (tp, r.key, r.value) for r, at in zip(records, following, strict=True) if at != r.offset + 1
                    ]
        return found

    found = asyncio.run(rows())
    assert len(found) > 30
    assert {key for _, key, _ in found} == {b"mbatch", b"mbeacon"}
    # What the changelogs of one partition have of one transaction may be alike, and nothing else.
    assert len({(tp, value) for tp, _, value in found}) == len(found)
