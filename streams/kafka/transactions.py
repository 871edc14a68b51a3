"""One Kafka transaction a batch: what was published, which rows changed, and how far the input was read.

Each task has a transactional id of its own, since a transaction's offset commit is not fenced by the
generation of the consumer group (aiokafka 0.14 sends none): starting the id anew ends whatever its last owner
left open, and whoever still writes under it is refused.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any
from uuid import uuid4

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import (
    AuthenticationFailedError,
    InvalidProducerEpoch,
    KafkaError,
    MessageSizeTooLargeError,
    ProducerFenced,
    SaslAuthenticationFailed,
)
from aiokafka.structs import OffsetAndMetadata

from schemas.errors import FatalError
from streams.engine.output import OutputRecord
from streams.kafka.auth_check import FORBIDDEN
from streams.kafka.changelog_format import FENCE_RECORD
from streams.kafka.compat import abandon, error_of, producer_error, transaction_errors
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

Rows = Iterable[tuple[bytes, bytes | None]]


class FencedError(Exception):
    """Another worker has taken the task; what was not committed is its business now."""


def fencing_remedy(settings: Settings) -> str:
    """Return what to do where another program has a worker's transactional ids again and again."""
    own = settings.worker
    other = f"If it is another deployment, give each its own worker.application_id (this one: {own.application_id})."
    if own.instance_id is None:
        return other
    return (
        f"If it is a worker with the same worker.instance_id ({own.instance_id}), as after a settings file was copied, "
        f"or where a pod is back while its old node still runs it, end one or give it another. {other}"
    )


@contextlib.asynccontextmanager
async def transactional_producer(
    settings: Settings, transactional_id: str, timeout_seconds: float
) -> AsyncIterator[AIOKafkaProducer]:
    """Yield a producer that alone has an id: what others left open under it is ended, and they are fenced.

    timeout_seconds: for a transaction. Raises why a transaction ended, where one did.
    """
    producer = AIOKafkaProducer(
        **settings.kafka.client_options(),
        transactional_id=transactional_id,
        transaction_timeout_ms=int(timeout_seconds * 1000),
        max_request_size=_RECORD_BYTES,
    )
    try:
        await producer.start()
        with transaction_errors(producer):
            yield producer
    finally:
        with contextlib.suppress(KafkaError):
            await producer.stop()
        producer_error(producer)


class TransactionalProducer:
    """The transactions of one task. `start` before use; after any error, `stop` and take a new one."""

    def __init__(self, settings: Settings, partition: int, partitions: int) -> None:
        self._group = settings.worker.application_id
        self._prefix = settings.topics.prefix
        self._partition = partition
        self._partitions = partitions
        # The row with which it marks a place, unlike any other.
        self.fence = (FENCE_RECORD, uuid4().hex.encode())
        self._producer = AIOKafkaProducer(
            **settings.kafka.client_options(),
            transactional_id=f"{self._group}-{partition}",
            transaction_timeout_ms=int(settings.worker.transaction_timeout_seconds * 1000),
            max_batch_size=_BATCH_BYTES,
            max_request_size=_RECORD_BYTES,
        )

    async def start(self, changelogs: Sequence[str]) -> dict[str, int]:
        """Connect, end what the id's last owner left open, and fence it.

        Returns for each changelog the offset of a row that was written now: all that was ever committed of the task
        lies before it, whatever a broker says that does not know of its successor.
        """
        producer = self._producer
        await producer.start()
        key, value = self.fence
        with transaction_errors(producer):
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
            producer_error(self._producer)
            if not over:
                await abandon(self._producer, _FAREWELL)

    async def commit(
        self, outputs: Sequence[OutputRecord], changelogs: Mapping[str, Rows], offsets: Mapping[str, int], token: str
    ) -> dict[str, int]:
        """Commit what was published, the rows of changelogs, and offsets; returns each changelog's next offset.

        offsets: by input topic, without its prefix. token: a word that Kafka keeps with them.

        Raises FencedError where another worker has the task, FatalError where the broker will never take it, and what
        aiokafka raises while the broker is away; then the outcome is unknown until the id is started anew.
        """
        try:
            with transaction_errors(self._producer):
                return await self._commit(outputs, changelogs, offsets, token)
        except (ProducerFenced, InvalidProducerEpoch) as error:
            raise FencedError(str(error)) from error
        except DENIED as error:
            raise FatalError(
                f"Kafka refuses what partition {self._partition} wants to write: {type(error).__name__} {error}. "
                "Nothing of the batch was committed. Give the worker the right to it, and start it again."
            ) from error

    async def _commit(
        self, outputs: Sequence[OutputRecord], changelogs: Mapping[str, Rows], offsets: Mapping[str, int], token: str
    ) -> dict[str, int]:
        producer = self._producer
        await producer.begin_transaction()
        sent = [await self._send(topic, part, items) for (topic, part), items in self._places(outputs).items()]
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

    def _places(self, outputs: Sequence[OutputRecord]) -> dict[tuple[str, int], list[_Record]]:
        places: dict[tuple[str, int], list[_Record]] = {}
        for output in outputs:
            topic = self._prefix + output.topic
            for partition in self._partitions_of(output):
                places.setdefault((topic, partition), []).append((output.key, output.value, list(output.headers)))
        return places

    def _partitions_of(self, output: OutputRecord) -> Sequence[int]:
        return range(self._partitions) if output.partition is None else (output.partition,)

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
        done.add_done_callback(error_of)
        return done


def _offset_of(place: Any) -> int:
    """Return the offset of a batch that was taken. Raises KafkaError where the broker does not tell it."""
    offset: int = place.offset
    if offset < 0:
        raise KafkaError(f"{place.topic}/{place.partition} took a batch twice, and does not say where it is")
    return offset


_Record = tuple[bytes | None, bytes | None, list[tuple[str, bytes]]]
