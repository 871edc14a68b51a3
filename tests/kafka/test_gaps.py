"""Records that are gone before they were read: a worker that runs says so and ends, as one that starts does."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from functools import cache

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.records_to_delete import RecordsToDelete

from chaos.stage import Stage
from schemas import events as ev
from simulator.runs import simulate


@cache
def history() -> tuple[ev.Event, ...]:
    """Return events without any close of a day, payments last."""
    events = [e for e in simulate(accounts=60, days=40, seed=3) if not isinstance(e, ev.DayClosed)]
    return tuple(sorted(events, key=lambda e: isinstance(e, ev.PaymentReceived)))


async def delete(stage: Stage, topic: str) -> None:
    """Delete the records of a topic, as retention would."""
    admin = AIOKafkaAdminClient(bootstrap_servers=stage.bootstrap)
    await admin.start()
    try:
        places = [TopicPartition(stage.prefix + topic, part) for part in range(stage.partitions)]
        await admin.delete_records({tp: RecordsToDelete(before_offset=-1) for tp in places})
    finally:
        await admin.close()


async def make_anew(stage: Stage, topic: str) -> None:
    """Have a topic be another one of the same name, with nothing in it."""
    admin = AIOKafkaAdminClient(bootstrap_servers=stage.bootstrap)
    await admin.start()
    try:
        name = stage.prefix + topic
        await admin.delete_topics([name])
        while name in await admin.list_topics():
            await asyncio.sleep(0.1)
        await admin.create_topics([NewTopic(name, stage.partitions, 1)])
    finally:
        await admin.close()


@pytest.mark.parametrize(
    ("what", "told"),
    [("deleted", "were deleted before they were read"), ("anew", "the topic was restored to an earlier state")],
)
def test_a_worker_that_was_slow_passes_over_nothing(stage: Stage, what: str, told: str) -> None:
    payments = sum(isinstance(e, ev.PaymentReceived) for e in history())
    stage.publish(history()[: -payments // 2])
    worker = stage.start(session_timeout_seconds=60)
    stage.settle()
    worker.send_signal(signal.SIGSTOP)
    # The broker answers what it was asked before that: nothing of what comes now.
    time.sleep(0.5)
    if what == "deleted":
        stage.publish(history()[-payments // 2 :])
        asyncio.run(delete(stage, "payments"))
    else:
        asyncio.run(make_anew(stage, "payments"))
    worker.send_signal(signal.SIGCONT)
    assert worker.wait(60) == 1
    last = stage.log().strip().splitlines()[-1]
    assert told in last
    assert f"{stage.prefix}payments/" in last
    stage.workers.pop("one")
    if what == "deleted":
        assert stage.start().wait(60) == 1
        assert told in stage.log().strip().splitlines()[-1]


def test_a_worker_starts_again_after_all_that_lanes_told_each_other_is_older_than_is_kept(stage: Stage) -> None:
    days = list(simulate(accounts=12, days=6, seed=3))
    half = [n for n, e in enumerate(days) if isinstance(e, ev.DayClosed)][2] + 1
    stage.publish(days[:half])
    stage.start()
    stage.settle()
    assert stage.end() == 0
    for topic in ("barriers", "learning", "evidence"):
        asyncio.run(delete(stage, topic))
    stage.start()
    stage.publish(days[half:])
    stage.settle()
    stage.assert_at_work()


def test_offsets_that_no_record_has_are_no_loss(stage: Stage) -> None:
    """Markers of transactions and aborted records lie between those that count."""

    async def put(abort: bool) -> None:
        name = f"{stage.group}-outside"
        async with AIOKafkaProducer(bootstrap_servers=stage.bootstrap, transactional_id=name) as producer:
            for number in range(12):
                await producer.begin_transaction()
                for part in range(stage.partitions):
                    await producer.send_and_wait(f"{stage.prefix}payments", b"?", key=b"k", partition=part)
                await (producer.abort_transaction() if abort and number % 3 else producer.commit_transaction())

    stage.start()
    asyncio.run(put(abort=True))
    stage.settle()
    asyncio.run(put(abort=False))
    stage.settle()
    refused = Counter(e.code for e in stage.said() if isinstance(e, ev.DeadLetter))
    assert sum(refused.values()) == stage.partitions * (4 + 12)
    stage.assert_at_work()
