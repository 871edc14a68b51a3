"""A task's producer never lives on, and never takes a place for known that the broker did not tell."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaError

from streams.kafka.transactions import TransactionalProducer
from streams.settings import Settings


class Producer:
    """A producer that takes all, and says farewell for ever."""

    def __init__(self, offset: int = 0) -> None:
        self.offset = offset
        self.closed = False
        self._sender = SimpleNamespace(sender_task=asyncio.ensure_future(asyncio.sleep(3600)))
        self._txn_manager = SimpleNamespace(_transaction_waiter=None)
        self._message_accumulator = SimpleNamespace(_batches={})
        self.client = self

    async def start(self) -> None:
        """Connect to nothing."""

    async def begin_transaction(self) -> None:
        """Begin."""

    async def commit_transaction(self) -> None:
        """End."""

    def create_batch(self) -> Any:
        """Return a batch that has room for all."""
        return SimpleNamespace(append=lambda **_: 1, record_count=lambda: 1)

    async def send_batch(self, builder: Any, topic: str, partition: int) -> asyncio.Future[Any]:
        """Take a batch."""
        done = asyncio.get_running_loop().create_future()
        done.set_result(SimpleNamespace(topic=topic, partition=partition, offset=self.offset))
        return done

    async def stop(self) -> None:
        """Say farewell for ever."""
        await asyncio.sleep(3600)

    async def close(self) -> None:
        """Close connections, which takes a moment."""
        await asyncio.sleep(0.05)
        self.closed = True


def transactions(producer: Producer) -> TransactionalProducer:
    made = TransactionalProducer.__new__(TransactionalProducer)
    made._partition = 0
    made._partitions = 1
    made._producer = producer
    made.fence = (b"mbeacon", b"")
    made._prefix, made._group = "", Settings.load().worker.application_id
    return made


@pytest.mark.parametrize("cancellations", [0, 1, 2, 3])
def test_a_shutdown_cancelled_twice_leaves_no_producer(cancellations: int) -> None:
    async def scene() -> tuple[bool, bool]:
        producer = Producer()
        task = asyncio.ensure_future(transactions(producer).stop())
        for _ in range(cancellations):
            await asyncio.sleep(0.01)
            task.cancel()
        await asyncio.wait([task])
        await asyncio.sleep(0.2)
        return producer._sender.sender_task.cancelled(), producer.closed

    assert asyncio.run(scene()) == (True, True)


def test_a_fence_of_which_nobody_says_where_it_is_is_no_place() -> None:
    async def scene(offset: int) -> dict[str, int]:
        producer = Producer(offset)
        try:
            return await transactions(producer).start(["account-changelog"])
        finally:
            producer._sender.sender_task.cancel()

    assert asyncio.run(scene(7)) == {"account-changelog": 7}
    with pytest.raises(KafkaError, match="took a batch twice"):
        asyncio.run(scene(-1))
