"""Publishes events to Kafka, and reads topics back, as a payment system or a notification service would."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError

from schemas import events as ev
from schemas.codec import Codec
from schemas.errors import Fatal
from schemas.headers import headers_for
from schemas.topics import TOPIC_OF, key_of
from streams.kafka.batches import read_any_headers
from streams.kafka.partitioning import partition_of
from streams.settings import Settings

# Events that may be on their way at once.
_AHEAD = 5_000


async def publish(
    settings: Settings, codec: Codec, events: Iterable[ev.Event], progress: Callable[[], None] = lambda: None
) -> int:
    """Publish events in their order, acknowledged by all replicas; returns how many.

    Each has the headers of CloudEvents in Kafka's binary mode (`schemas.headers`). A day's close goes to every
    partition, behind all that came before it and before all that comes after it.
    Raises Fatal where a topic is missing or an event is refused, and what aiokafka raises while the broker is away.
    """
    producer = AIOKafkaProducer(
        **settings.kafka.client_options(), enable_idempotence=True, linger_ms=5, max_batch_size=256 * 1024
    )
    try:
        await producer.start()
        count = 0
        partitions: dict[str, list[int]] = {}
        under_way: list[tuple[ev.Event, str, asyncio.Future[Any]]] = []
        for event in events:
            topic, key = settings.topics.prefix + TOPIC_OF[type(event)].name, key_of(event)
            if topic not in partitions:
                partitions[topic] = await _partitions(producer.client, topic)
            value, headers = codec.encode(event, topic), headers_for(event)
            if key is None:
                await _delivered(under_way)
                for partition in partitions[topic]:
                    await producer.send_and_wait(topic, value, partition=partition, headers=headers)
                # Lanes go by the broker's time, in milliseconds: the next day's events must have a later one.
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
            raise Fatal(
                f"Kafka refused {type(event).__name__} {event.event_id} for {topic}: {type(answer).__name__}. First "
                f"{advice}; then publish all again: what is there already counts once."
            ) from answer
        if isinstance(answer, BaseException):
            raise answer
    under_way.clear()


async def _partitions(client: AIOKafkaClient, topic: str) -> list[int]:
    """Return a topic's partitions. Raises Fatal where there is no such topic."""
    # Waiting for a topic that is not there takes a minute; the cluster knows at once.
    found = (await client.fetch_all_metadata()).partitions_for_topic(topic)
    if not found:
        raise Fatal(
            f"There is no topic {topic}, or this user may not know of it. Make it with `reprieve topics apply`, or see "
            "to topics.prefix and `reprieve topics acl`."
        )
    return sorted(found)


async def consume(settings: Settings, codec: Codec, topics: Sequence[str], *, follow: bool) -> AsyncIterator[ev.Event]:
    """Yield the events of topics, from the beginning, as far as they are committed.

    follow: go on with what comes. Raises Fatal where there is no such topic.
    """
    read_any_headers()
    consumer = AIOKafkaConsumer(
        **settings.kafka.client_options(),
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    try:
        await consumer.start()
        names = [settings.topics.prefix + topic for topic in topics]
        # The consumer itself knows of no topic before it is told to read it.
        tps = [TopicPartition(name, part) for name in names for part in await _partitions(consumer._client, name)]
        consumer.assign(tps)
        ends = await consumer.end_offsets(tps)
        while follow or any([await consumer.position(tp) < ends[tp] for tp in tps]):
            for records in (await consumer.getmany(timeout_ms=200)).values():
                for record in records:
                    yield codec.decode(record.value)
    finally:
        await consumer.stop()
