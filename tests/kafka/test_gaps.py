"""Records that are gone before they were read: a worker that runs says so and ends, as one that starts does."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from functools import cache

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete

from schemas import events as ev
from simulator.runs import simulate
from streams.kafka.compat import connected
from tests.support import topics
from tests.support.worker_cluster import TIMEOUT, WorkerCluster


@cache
def history() -> tuple[ev.Event, ...]:
    """Return events without any close of a day, payments last."""
    events = [e for e in simulate(accounts=60, days=40, seed=3) if not isinstance(e, ev.DayClosed)]
    return tuple(sorted(events, key=lambda e: isinstance(e, ev.PaymentReceived)))


async def delete(workers: WorkerCluster, topic: str) -> None:
    """Delete the records of a topic, as retention would."""
    admin = AIOKafkaAdminClient(bootstrap_servers=workers.bootstrap)
    try:
        await admin.start()
        places = [TopicPartition(workers.prefix + topic, part) for part in range(workers.partitions)]
        await admin.delete_records({tp: RecordsToDelete(before_offset=-1) for tp in places})
    finally:
        await admin.close()


@pytest.mark.parametrize(
    ("what", "told"),
    [("deleted", "were deleted before they were read"), ("anew", "is another topic than the one")],
)
def test_a_worker_that_was_slow_passes_over_nothing(workers: WorkerCluster, what: str, told: str) -> None:
    payments = sum(isinstance(e, ev.PaymentReceived) for e in history())
    workers.publish(history()[: -payments // 2])
    worker = workers.start(session_timeout_seconds=60)
    workers.wait_until_idle()
    worker.send_signal(signal.SIGSTOP)
    # The broker answers what it was asked before that: nothing of what comes now.
    time.sleep(0.5)
    if what == "deleted":
        workers.publish(history()[-payments // 2 :])
        asyncio.run(delete(workers, "payments"))
    else:
        topics.recreate(workers, "payments")
    worker.send_signal(signal.SIGCONT)
    assert worker.wait(TIMEOUT) == 1
    last = workers.log().strip().splitlines()[-1]
    assert told in last
    assert f"{workers.prefix}payments" in last
    workers.processes.pop("one")
    if what == "deleted":
        assert workers.start().wait(TIMEOUT) == 1
        assert told in workers.log().strip().splitlines()[-1]


def test_a_worker_starts_after_all_barriers_have_expired(
    workers: WorkerCluster,
) -> None:
    days = list(simulate(accounts=12, days=6, seed=3))
    half = [n for n, e in enumerate(days) if isinstance(e, ev.DayClosed)][2] + 1
    workers.publish(days[:half])
    workers.start()
    workers.wait_until_idle()
    assert workers.stop() == 0
    for topic in ("barriers", "learning", "evidence"):
        asyncio.run(delete(workers, topic))
    workers.start()
    workers.publish(days[half:])
    workers.wait_until_idle()
    workers.assert_running()


def test_offsets_that_no_record_has_are_no_loss(workers: WorkerCluster) -> None:
    """Markers of transactions and aborted records lie between those that count."""

    async def put(abort: bool) -> None:
        name = f"{workers.group}-outside"
        async with connected(AIOKafkaProducer(bootstrap_servers=workers.bootstrap, transactional_id=name)) as producer:
            for number in range(12):
                await producer.begin_transaction()
                for part in range(workers.partitions):
                    await producer.send_and_wait(f"{workers.prefix}payments", b"?", key=b"k", partition=part)
                await (producer.abort_transaction() if abort and number % 3 else producer.commit_transaction())

    workers.start()
    asyncio.run(put(abort=True))
    workers.wait_until_idle()
    asyncio.run(put(abort=False))
    workers.wait_until_idle()
    refused = Counter(e.code for e in workers.outputs() if isinstance(e, ev.DeadLetter))
    assert sum(refused.values()) == workers.partitions * (4 + 12)
    workers.assert_running()
