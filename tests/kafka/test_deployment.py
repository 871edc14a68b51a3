"""Topics that were made anew, grew partitions or lost the broker's time are found before a record of them counts."""

from __future__ import annotations

import asyncio
import signal
import time

import pytest
from aiokafka import AIOKafkaProducer

from schemas import events as ev
from streams.kafka.committed_reader import read_committed
from streams.kafka.compat import connected
from streams.kafka.topic_admin import DEPLOYMENT_TOPIC, topic_specs
from tests.support import topics
from tests.support.deployments import adopt, halves, history, ran, refused, reprieve
from tests.support.worker_cluster import WorkerCluster


def test_a_recreated_topic_that_grew_is_not_read_on(workers: WorkerCluster) -> None:
    first, second = halves(4)
    ran(workers, first)
    before, read = workers.committed(), topics.ends(workers, "payments")
    topics.recreate(workers, "payments")
    workers.publish(second)
    # The old offsets lie in the new topic.
    assert all(map(int.__ge__, topics.ends(workers, "payments"), read))
    said = len(workers.outputs())
    last = refused(workers)
    assert f"{workers.prefix}payments is another topic than the one" in last
    assert "reprieve deployment adopt" in last
    assert reprieve(workers, "deployment", "show").returncode == 1
    assert len(workers.outputs()) == said
    now = {tp: at for tp, at in workers.committed().items() if not tp.topic.endswith("payments")}
    assert now == {tp: at for tp, at in before.items() if not tp.topic.endswith("payments")}
    told = adopt(workers)
    assert f"{workers.prefix}payments" in told
    assert "is read from its beginning" in told
    assert reprieve(workers, "deployment", "show").returncode == 0
    workers.start()
    workers.wait_until_idle()
    workers.assert_exact(history())
    assert workers.stop() == 0
    # It is no news any more.
    workers.start()
    workers.wait(lambda: len(workers.log_lines("tasks_open")) > 2, "another start")
    assert len(workers.log_lines("topic_remade")) == workers.partitions


def test_a_worker_that_slept_takes_nothing_of_a_new_topic(workers: WorkerCluster) -> None:
    first, second = halves(4)
    workers.publish(first)
    worker = workers.start(session_timeout_seconds=60)
    workers.wait_until_idle()
    said = len(workers.outputs())
    worker.send_signal(signal.SIGSTOP)
    # The broker answers what it was asked before that.
    time.sleep(0.5)
    topics.recreate(workers, "payments")
    workers.publish(second)
    worker.send_signal(signal.SIGCONT)
    last = refused(workers)
    assert f"{workers.prefix}payments is another topic than the one" in last
    paid = [event for event in second if isinstance(event, ev.PaymentReceived)]
    assert paid
    # What came by other topics may have been decided on; no payment was, and so no day was closed.
    assert len(workers.outputs()) == said
    adopt(workers)
    workers.start()
    workers.wait_until_idle()
    workers.assert_exact(history())


def test_another_application_id_needs_an_operator(workers: WorkerCluster) -> None:
    first, second = halves()
    ran(workers, first)
    old, workers.group = workers.group, workers.group + "-other"
    last = refused(workers)
    assert f"this deployment's is {old}" in last
    assert "becomes" in adopt(workers)
    workers.start()
    workers.publish(second)
    workers.wait_until_idle()
    workers.assert_exact(history())


def test_a_changelog_that_was_made_anew_is_no_empty_state(workers: WorkerCluster) -> None:
    ran(workers, halves()[0])
    topics.recreate(workers, "planner-changelog")
    assert f"{workers.prefix}planner-changelog is another topic" in refused(workers)
    failed = reprieve(workers, "deployment", "adopt")
    assert failed.returncode == 1
    assert "the states that were in it are lost" in failed.stderr
    # A worker that wrote a word into it before it saw that makes it no copy.
    workers.produce("planner-changelog", 0, b"mx", b"?")
    adopt(workers)
    assert "The rows of planner in partition" in refused(workers)


@pytest.mark.parametrize("also", [None, "payments"])
def test_a_lost_deployment_record_is_rebuilt_from_partitions(workers: WorkerCluster, also: str | None) -> None:
    first, second = halves(4)
    ran(workers, first)
    topics.recreate(workers, DEPLOYMENT_TOPIC, *([] if also is None else [also]))
    workers.publish(second)
    if also is not None:
        last = refused(workers)
        assert "Nothing says that it takes the other's place" in last
        adopt(workers, "--replaces", last.rpartition("--replaces ")[2].rstrip("`."))
    workers.start()
    workers.wait_until_idle()
    workers.assert_exact(history())


def test_a_copy_of_all_topics_continues_once_adopted(workers: WorkerCluster) -> None:
    """As a mirror has it: the same records in their order, with other offsets."""
    first, second = halves()
    ran(workers, first)
    names = [plan.name.removeprefix(workers.prefix) for plan in topic_specs(workers.settings())]

    async def copied() -> dict[str, list[tuple[int, bytes | None, bytes | None, list[tuple[str, bytes]]]]]:
        settings = workers.settings()
        return {
            name: [(r.partition, r.key, r.value, list(r.headers)) async for r in read_committed(settings, [name])]
            for name in names
        }

    async def put(copies: dict[str, list[tuple[int, bytes | None, bytes | None, list[tuple[str, bytes]]]]]) -> None:
        async with connected(AIOKafkaProducer(bootstrap_servers=workers.bootstrap, linger_ms=5)) as producer:
            for name, records in copies.items():
                for part, key, value, headers in records:
                    await producer.send(workers.prefix + name, value, key=key, partition=part, headers=headers)
                await producer.flush()

    copies = asyncio.run(copied())
    topics.recreate(workers, *names)
    asyncio.run(put(copies))
    last = refused(workers)
    assert "is another topic than the one" in last
    assert len(adopt(workers).splitlines()) == len(names) - 1
    workers.start()
    workers.publish(second)
    workers.wait_until_idle()
    workers.assert_exact(history())
    assert {line["cause"] for line in workers.log_lines("store_rebuilt")} == {"other_topic"}


def test_workers_that_begin_together_record_one_deployment(workers: WorkerCluster) -> None:
    for name in ("one", "two", "three"):
        workers.start(name)
    workers.publish(history())
    workers.wait_until_idle()
    workers.assert_exact(history())

    async def values() -> set[bytes]:
        return {record.value async for record in read_committed(workers.settings(), [DEPLOYMENT_TOPIC])}

    assert len(asyncio.run(values())) == 1
