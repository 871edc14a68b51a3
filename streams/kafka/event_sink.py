"""Takes events of the intake into Kafka."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Coroutine, Sequence
from typing import Any

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from schemas import events as ev
from schemas.codec import Codec, headers_for
from schemas.errors import InvalidEventError, RetryableError
from schemas.topics import TOPIC_OF, TOPICS, key_of
from streams.engine.partitioning import partition_of
from streams.kafka.auth_check import check_credentials
from streams.kafka.retry import Backoff
from streams.settings import Settings
from streams.shutdown import cancel_and_wait

log: Any = structlog.get_logger(__name__)

# Bytes of an event that Kafka takes for certain: a topic takes 2 MiB, a request of a producer 1 MiB.
LARGEST = 900_000
# Seconds that a producer has to send what it was given before it is cut off.
_STOPPING = 5


class KafkaSink:
    """An idempotent producer, whose records all replicas have before they count as taken.

    While records that it was given are not acknowledged in time, nothing more is taken: memory stays bounded, and
    whoever comes is asked to come again. They may still arrive; what is sent again has the same ids.
    """

    def __init__(self, settings: Settings, codec: Codec) -> None:
        self._settings = settings
        self._codec = codec
        self._patience = settings.intake.commit_seconds
        self._producer: AIOKafkaProducer | None = None
        self._partitions: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        # What was not acknowledged in time, and since when; why Kafka refuses us.
        self._owed: set[asyncio.Future[Any]] = set()
        self._owed_since = 0.0
        self._refused: BaseException | None = None

    async def open(self) -> None:
        """Connect in the background, however long Kafka is away."""
        self._begin(self._connect())

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._refused = task.exception()

    async def _connect(self) -> None:
        backoff = Backoff(self._settings)
        while True:
            producer = AIOKafkaProducer(
                **self._settings.kafka.client_options(), enable_idempotence=True, acks="all", linger_ms=2
            )
            try:
                await producer.start()
                self._partitions = await self._counted(producer)
            except (KafkaError, OSError, RetryableError) as error:
                await _let_go(producer)
                await check_credentials(self._settings)
                await backoff.wait("taking events in", error)
            except BaseException:
                await _let_go(producer)
                raise
            else:
                backoff.reset()
                self._producer = producer
                return

    async def _counted(self, producer: AIOKafkaProducer) -> dict[str, int]:
        """Return how many partitions each topic has. Raises RetryableError where one is missing."""
        found = await producer.client.fetch_all_metadata()
        counts = {}
        for topic in TOPICS.values():
            if topic.inbound:
                name = self._settings.topics.prefix + topic.name
                counts[name] = len(found.partitions_for_topic(name) or ())
                if not counts[name]:
                    raise RetryableError(f"There is no topic {name}. Make it with `reprieve topics apply`.")
        return counts

    async def close(self) -> None:
        """Send what is on its way, for a moment, and disconnect."""
        for task in list(self._tasks):
            await cancel_and_wait(task)
        if self._producer is not None:
            await _let_go(self._producer)

    def is_open(self) -> bool:
        """Say whether Kafka takes events. Raises what no waiting mends."""
        if self._refused is not None:
            raise self._refused
        if self._owed and time.monotonic() - self._owed_since > self._settings.kafka.request_timeout_seconds:
            self._renew()
        return self._producer is not None and not self._owed

    def check_size(self, event: ev.Event) -> None:
        """Raise InvalidEventError where an event is larger than Kafka takes."""
        size = len(self._codec.encode(event, self._topic(event)))
        if size > LARGEST:
            raise InvalidEventError(
                "too_large", f"The event has {size} bytes, at most {LARGEST} are taken. Shorten its texts."
            )

    async def take(self, events: Sequence[ev.Event]) -> None:
        """Send events and wait until all replicas have them."""
        producer = self._producer
        if not self.is_open() or producer is None:
            raise RetryableError("Kafka is away.")
        sent: list[asyncio.Future[Any]] = []
        try:
            async with asyncio.timeout(self._patience):
                for event in events:
                    # One at a time: what was sent before a failure must be known.
                    future = await self._send(producer, event)
                    sent.append(future)
                for future in sent:
                    await asyncio.shield(future)
        except TimeoutError as error:
            self._owe(sent)
            raise RetryableError("Kafka did not acknowledge in time.") from error
        except (KafkaError, OSError) as error:
            self._owe(sent)
            if not getattr(error, "retriable", False):
                self._renew()
            raise RetryableError(f"Kafka did not take it: {type(error).__name__}.") from error
        except asyncio.CancelledError:
            # Whoever asked has hung up; what was sent is under way.
            self._owe(sent)
            raise

    async def _send(self, producer: AIOKafkaProducer, event: ev.Event) -> asyncio.Future[Any]:
        topic, key = self._topic(event), (key_of(event) or "").encode()
        value = self._codec.encode(event, topic)
        place = partition_of(key, self._partitions[topic])
        headers = headers_for(event)
        sent: asyncio.Future[Any] = await producer.send(topic, value, key=key, partition=place, headers=headers)
        return sent

    def _owe(self, sent: Sequence[asyncio.Future[Any]]) -> None:
        for future in sent:
            if not self._owed:
                self._owed_since = time.monotonic()
            if not future.done():
                self._owed.add(future)
            future.add_done_callback(self._settle)

    def _settle(self, future: asyncio.Future[Any]) -> None:
        self._owed.discard(future)
        if not future.cancelled():
            # It was told as not taken; why is of no use any more.
            future.exception()

    def _renew(self) -> None:
        """Go on with another producer: this one has failed for good, or holds what it cannot get rid of."""
        producer, self._producer = self._producer, None
        self._owed.clear()
        if producer is not None:
            log.warning("producer_renewed")
            self._begin(_let_go(producer))
            self._begin(self._connect())

    def _topic(self, event: ev.Event) -> str:
        return self._settings.topics.prefix + TOPIC_OF[type(event)].name


async def _let_go(producer: AIOKafkaProducer) -> None:
    """Stop a producer; one that cannot send what it has is cut off."""
    try:
        await asyncio.wait_for(producer.stop(), _STOPPING)
    except (KafkaError, OSError, TimeoutError):
        with contextlib.suppress(KafkaError, OSError):
            await producer.client.close()
