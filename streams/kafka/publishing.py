"""Publishes events to Kafka, and reads topics back, as a payment system or a notification service would."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import aclosing
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError

from schemas import events as ev
from schemas.codec import Codec, headers_for
from schemas.errors import FatalError, InvalidEventError
from schemas.topics import TOPIC_OF, key_of
from streams.engine.partitioning import partition_of
from streams.kafka.committed_reader import partitions_in, read_committed
from streams.settings import Settings

# Events that may be on their way at once.
_AHEAD = 5_000


async def publish(
    settings: Settings, codec: Codec, events: Iterable[ev.Event], progress: Callable[[], None] = lambda: None
) -> int:
    """Publish events in their order, acknowledged by all replicas; returns how many.

    Each has the headers of CloudEvents in Kafka's binary mode (`schemas.codec`). A day's close goes to every
    partition, behind all that came before it and before all that comes after it.
    Raises FatalError where a topic is missing or an event is refused, and what aiokafka raises while the broker is
    away.
    """
    producer = AIOKafkaProducer(
        **settings.kafka.client_options(), enable_idempotence=True, linger_ms=5, max_batch_size=256 * 1024
    )
    try:
        await producer.start()
        count = 0
        cluster = await producer.client.fetch_all_metadata()
        partitions: dict[str, list[int]] = {}
        under_way: list[tuple[ev.Event, str, asyncio.Future[Any]]] = []
        for event in events:
            topic, key = settings.topics.prefix + TOPIC_OF[type(event)].name, key_of(event)
            if topic not in partitions:
                partitions[topic] = partitions_in(cluster, topic)
            value, headers = codec.encode(event, topic), headers_for(event)
            if key is None:
                await _delivered(under_way)
                for partition in partitions[topic]:
                    await producer.send_and_wait(topic, value, partition=partition, headers=headers)
                # Tasks go by the broker's time, in milliseconds: the next day's events must have a later one.
                await asyncio.sleep(0.002)
            else:
                raw = key.encode()
                place = partition_of(raw, len(partitions[topic]))
                sent = await producer.send(topic, value, key=raw, partition=place, headers=headers)
                under_way.append((event, topic, sent))
            count += 1
            progress()
            if len(under_way) == _AHEAD:
                await _delivered(under_way)
        await _delivered(under_way)
        return count
    finally:
        await producer.stop()


async def _delivered(under_way: list[tuple[ev.Event, str, asyncio.Future[Any]]]) -> None:
    """Wait until all is acknowledged. The producer's own flush waits too, but says nothing of what failed."""
    answers = await asyncio.gather(*(sent for _, _, sent in under_way), return_exceptions=True)
    for (event, topic, _), answer in zip(under_way, answers, strict=True):
        if isinstance(answer, KafkaError) and not answer.retriable:
            denied = isinstance(answer, TopicAuthorizationFailedError)
            advice = "see who may write where with `reprieve topics acl`" if denied else "see to it at the broker"
            raise FatalError(
                f"Kafka refused {type(event).__name__} {event.event_id} for {topic}: {type(answer).__name__}. First "
                f"{advice}; then publish all again: what is there already counts once."
            ) from answer
        if isinstance(answer, BaseException):
            raise answer
    under_way.clear()


def name_of_record(topic: str, partition: int, offset: int) -> str:
    """Return a record's name for people."""
    return f"{topic}/{partition}/{offset}"


# Told of a record that cannot be read: the topic with its prefix, the partition, the offset, and why.
Skip = Callable[[str, int, int, InvalidEventError], None]


async def consume(
    settings: Settings, codec: Codec, topics: Sequence[str], *, follow: bool, skip: Skip | None = None
) -> AsyncGenerator[ev.Event, None]:
    """Yield the events of topics, from the beginning, as far as they are committed.

    follow: go on with what comes. skip: told of each record that cannot be read, which is left out; without it the
    first one raises FatalError. Raises FatalError where there is no such topic.
    """
    async with aclosing(read_committed(settings, topics, follow=follow)) as records:
        async for record in records:
            try:
                event = codec.decode(record.value or b"")
            except InvalidEventError as bad:
                place = (record.topic, record.partition, record.offset)
                if skip is None:
                    raise FatalError(f"{name_of_record(*place)} cannot be read: {bad}") from bad
                skip(*place, bad)
                continue
            yield event
