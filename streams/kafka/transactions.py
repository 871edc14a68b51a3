"""One Kafka transaction a batch: what was said, which rows changed, and how far the input was read.

Each lane has a transactional id of its own, since a transaction's offset commit is not fenced by the
generation of the consumer group (aiokafka 0.14 sends none): starting the id anew ends whatever its last owner
left open, and whoever still writes under it is refused.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import (
    AuthenticationFailedError,
    IllegalOperation,
    InvalidProducerEpoch,
    KafkaError,
    MessageSizeTooLargeError,
    ProducerFenced,
    SaslAuthenticationFailed,
)
from aiokafka.producer import sender
from aiokafka.structs import OffsetAndMetadata

from schemas.errors import Fatal
from streams.kafka.access import FORBIDDEN
from streams.kafka.batch import Saying
from streams.kafka.progress import BEACON
from streams.settings import Settings

# A produce request's batch; Kafka's own limit for one is 1 MiB unless a topic says otherwise.
_BATCH_BYTES = 900_000
# The largest single record: a dead letter holds a whole record that was refused.
_RECORD_BYTES = 8 * 1024 * 1024
# How long a producer may take to say farewell before it is dropped.
_FAREWELL = 2.0

# What no repetition mends.
DENIED = (
    *FORBIDDEN,
    AuthenticationFailedError,
    SaslAuthenticationFailed,
    MessageSizeTooLargeError,
)

# The broker is done with a transaction's markers within a few milliseconds; aiokafka asks again after 20.
sender.BACKOFF_OVERRIDE = 0.003

Rows = Iterable[tuple[bytes, bytes | None]]


class Fenced(Exception):
    """Another worker has taken the lane; what was not committed is its business now."""


class Transactions:
    """The transactions of one lane. `start` before use; after any error, `stop` and take a new one."""

    def __init__(self, settings: Settings, partition: int, partitions: int) -> None:
        self._group = settings.worker.application_id
        self._prefix = settings.topics.prefix
        self._partition = partition
        self._partitions = partitions
        self._producer = AIOKafkaProducer(
            **settings.kafka.client_options(),
            transactional_id=f"{self._group}-{partition}",
            transaction_timeout_ms=int(settings.worker.transaction_timeout_seconds * 1000),
            max_batch_size=_BATCH_BYTES,
            max_request_size=_RECORD_BYTES,
        )

    async def start(self, changelogs: Sequence[str]) -> dict[str, int]:
        """Connect, end what the id's last owner left open, and fence it.

        Returns for each changelog the offset of a row that was written now: all that was ever committed of the lane
        lies before it, whatever a broker says that does not know of its successor.
        """
        producer = self._producer
        await producer.start()
        key, value = BEACON
        with early_ends_told(producer):
            # A transaction can begin only when the broker has given the id anew.
            await producer.begin_transaction()
            sent = {topic: await self._send(topic, self._partition, [(key, value, [])]) for topic in changelogs}
            marks = {topic: _offset_of(await pending[0][0]) for topic, pending in sent.items()}
            await producer.commit_transaction()
        return marks

    async def stop(self) -> None:
        """Let go; an open transaction is left to whoever takes the id next.

        Whatever happens meanwhile, cancellations too, the producer sends nothing any more.
        """
        over = False
        try:
            with contextlib.suppress(Exception):
                await asyncio.wait_for(self._producer.stop(), _FAREWELL)
                over = True
        finally:
            cause_of(self._producer)
            if not over:
                await self._drop()

    async def _drop(self) -> None:
        """Close what a producer holds that could not stop in time."""
        task = self._producer._sender.sender_task
        if task is not None:
            task.cancel()
        # In a task of its own, which goes on where this one is told again to end.
        closing = asyncio.ensure_future(self._producer.client.close())
        _closing.add(closing)
        closing.add_done_callback(_closing.discard)
        closing.add_done_callback(fault)
        await asyncio.wait([closing], timeout=_FAREWELL)

    async def commit(
        self, said: Sequence[Saying], changelogs: Mapping[str, Rows], offsets: Mapping[str, int], token: str
    ) -> dict[str, int]:
        """Commit what was said, the rows of changelogs, and offsets; returns each changelog's next offset.

        offsets: by input topic, without its prefix. token: a word that Kafka keeps with them.

        Raises Fenced where another worker has the lane, Fatal where the broker will never take it, and what
        aiokafka raises while the broker is away; then the outcome is unknown until the id is started anew.
        """
        try:
            with early_ends_told(self._producer):
                return await self._commit(said, changelogs, offsets, token)
        except (ProducerFenced, InvalidProducerEpoch) as error:
            raise Fenced(str(error)) from error
        except DENIED as error:
            raise Fatal(
                f"Kafka refuses what partition {self._partition} wants to write: {type(error).__name__} {error}. "
                "Nothing of the batch was committed. Give the worker the right to it, and start it again."
            ) from error

    async def _commit(
        self, said: Sequence[Saying], changelogs: Mapping[str, Rows], offsets: Mapping[str, int], token: str
    ) -> dict[str, int]:
        producer = self._producer
        await producer.begin_transaction()
        sent = [await self._send(topic, part, items) for (topic, part), items in self._places(said).items()]
        for topic, rows in changelogs.items():
            records: list[_Record] = [(key, value, []) for key, value in rows]
            sent.append(await self._send(topic, self._partition, records))
        ends: dict[str, int] = {}
        for pending in sent:
            for done, count in pending:
                place = await done
                ends[place.topic] = _offset_of(place) + count
        behind = {
            TopicPartition(self._prefix + topic, self._partition): OffsetAndMetadata(offset, token)
            for topic, offset in offsets.items()
        }
        await producer.send_offsets_to_transaction(behind, self._group)
        await producer.commit_transaction()
        return {topic: ends[topic] for topic in changelogs if topic in ends}

    def _places(self, said: Sequence[Saying]) -> dict[tuple[str, int], list[_Record]]:
        places: dict[tuple[str, int], list[_Record]] = {}
        for saying in said:
            topic = self._prefix + saying.topic
            for partition in self._partitions_of(saying):
                places.setdefault((topic, partition), []).append((saying.key, saying.value, list(saying.headers)))
        return places

    def _partitions_of(self, saying: Saying) -> Sequence[int]:
        return range(self._partitions) if saying.partition is None else (saying.partition,)

    async def _send(self, topic: str, partition: int, records: Sequence[_Record]) -> list[tuple[Any, int]]:
        """Send records of one partition in as few batches as hold them; returns their futures and counts."""
        producer = self._producer
        sent = []
        builder = producer.create_batch()
        append = builder.append
        for key, value, headers in records:
            if append(timestamp=None, key=key, value=value, headers=headers) is None:
                sent.append((await self._send_batch(builder, topic, partition), builder.record_count()))
                builder = producer.create_batch()
                append = builder.append
                append(timestamp=None, key=key, value=value, headers=headers)
        if builder.record_count():
            sent.append((await self._send_batch(builder, topic, partition), builder.record_count()))
        return sent

    async def _send_batch(self, builder: Any, topic: str, partition: int) -> asyncio.Future[Any]:
        done: asyncio.Future[Any] = await self._producer.send_batch(builder, topic, partition=partition)
        done.add_done_callback(fault)
        return done


def _offset_of(place: Any) -> int:
    """Return the offset of a batch that was taken. Raises KafkaError where the broker does not tell it."""
    offset: int = place.offset
    if offset < 0:
        raise KafkaError(f"{place.topic}/{place.partition} took a batch twice, and does not say where it is")
    return offset


# Connections that are being closed.
_closing: set[asyncio.Future[Any]] = set()


@contextlib.contextmanager
def early_ends_told(producer: AIOKafkaProducer) -> Iterator[None]:
    """Raise why a transaction ended where aiokafka's sender met an error, and has ended it, before more was asked.

    aiokafka says then only that there is no transaction; whether another has taken the id stands in its sender.
    """
    try:
        yield
    except (IllegalOperation, AssertionError) as error:
        raise cause_of(producer) or KafkaError(f"the transaction ended early: {error}") from error


def cause_of(producer: AIOKafkaProducer) -> BaseException | None:
    """Return what ended a producer or its transaction, if anything did, and take as heard what else failed by it."""
    waiting = [batch._drain_waiter for some in producer._message_accumulator._batches.values() for batch in some]
    ends = (producer._sender.sender_task, producer._txn_manager._transaction_waiter)
    found = [fault(future) for future in (*ends, *waiting) if future is not None]
    return next((x for x in found if x is not None), None)


def fault(future: asyncio.Future[Any]) -> BaseException | None:
    """Return what a future failed with. asyncio logs the failures that nobody asks for."""
    return future.exception() if future.done() and not future.cancelled() else None


_Record = tuple[bytes | None, bytes | None, list[tuple[str, bytes]]]
