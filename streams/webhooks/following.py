"""Reads Kafka into the outbox: what is committed, in the order in which the broker took it, with how far it is read.

Before an offer is taken, all that Kafka has of consents and accounts is read: so nobody is told of a borrower whose
withdrawal was already there to be read.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from operator import itemgetter
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition

from schemas import events as ev
from schemas.codec import Codec
from schemas.errors import BadInput, Fatal
from schemas.topics import TOPICS
from streams.kafka.broker import patiently
from streams.settings import Settings
from streams.webhooks.known import CONTEXT, Known
from streams.webhooks.metrics import QUEUED, SKIPPED
from streams.webhooks.outbox import Outbox
from streams.webhooks.queueing import Queueing

log: Any = structlog.get_logger(__name__)

SAID = ("offers", "plans")
_FETCH_BYTES = 1024 * 1024
# Records of one partition that are held while another may have earlier ones; records taken in one transaction.
_HELD, _TAKEN = 2_000, 500
# Seconds between two looks for withdrawals while nothing else comes.
_LOOK = 1.0


class Taking:
    """Takes events into the outbox, whoever brings them."""

    def __init__(self, outbox: Outbox, known: Known, queueing: Queueing, wall: Callable[[], float] = time.time) -> None:
        self.outbox = outbox
        self.known = known
        self._queueing = queueing
        self._wall = wall

    def take(self, event: ev.Event) -> None:
        """Take one event, within the transaction that notes its place."""
        queued = self._queueing.take(event, int(self._wall() * 1000))
        self.known.take(event)
        if queued:
            QUEUED.inc(queued)


class KafkaFeed:
    """Follows the topics. Use as a context manager; `run` goes on for ever."""

    def __init__(self, settings: Settings, codec: Codec, taking: Taking, *, skip_lost: bool = False) -> None:
        self._settings = settings
        self._codec = codec
        self._taking = taking
        self._skip_lost = skip_lost
        self._context, self._said = self._consumer(), self._consumer()
        # What was read, each record with the latest time that its partition has had by then; and that time.
        self._held: dict[TopicPartition, deque[tuple[int, Any]]] = {}
        self._latest: dict[TopicPartition, int] = {}

    def _consumer(self) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            **self._settings.kafka.client_options(),
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="none",
            max_partition_fetch_bytes=_FETCH_BYTES,
        )

    async def __aenter__(self) -> KafkaFeed:
        for consumer in (self._context, self._said):
            await patiently(self._settings, "following offers", consumer.start)
        return self

    async def __aexit__(self, *_: object) -> None:
        for consumer in (self._context, self._said):
            await consumer.stop()

    async def run(self) -> None:
        """Take what is committed, as it comes. Raises Fatal where going on would lose something."""
        await self._place(self._context, tuple(CONTEXT))
        self._held = {tp: deque() for tp in await self._place(self._said, SAID)}
        looked = float("-inf")
        while True:
            records = await self._next()
            if records or time.monotonic() - looked >= _LOOK:
                looked = time.monotonic()
                await self._catch_up()
            for start in range(0, len(records), _TAKEN):
                self._take(records[start : start + _TAKEN])

    # -- where it is

    async def _place(self, consumer: AIOKafkaConsumer, topics: Sequence[str]) -> list[TopicPartition]:
        settings = self._settings
        found = await patiently(settings, "looking for topics", consumer._client.fetch_all_metadata)
        tps = []
        for name in (settings.topics.prefix + topic for topic in topics):
            parts = found.partitions_for_topic(name)
            if not parts:
                raise Fatal(f"There is no topic {name}. Make it with `reprieve topics apply`, or see topics.prefix.")
            tps += [TopicPartition(name, part) for part in sorted(parts)]
        consumer.assign(tps)
        begins = await patiently(settings, "asking for offsets", lambda: consumer.beginning_offsets(tps))
        ends = await patiently(settings, "asking for offsets", lambda: consumer.end_offsets(tps))
        places = self._taking.outbox.places()
        late = topics == SAID and settings.webhooks.begin == "latest"
        with self._taking.outbox.transaction():
            for tp in tps:
                at = places.get((tp.topic, tp.partition))
                if at is None:
                    at = ends[tp] if late else begins[tp]
                    self._taking.outbox.set_place(tp.topic, tp.partition, at)
                consumer.seek(tp, self._checked(tp, at, begins[tp], ends[tp]))
        return tps

    def _checked(self, tp: TopicPartition, at: int, begin: int, end: int) -> int:
        if at > end:
            raise Fatal(
                f"The outbox is at {at} of {tp.topic}/{tp.partition}, which ends at {end}: Kafka was restored to an "
                "earlier day, or this is another cluster. Set webhooks.data_dir to an empty directory."
            )
        if at < begin and not self._skip_lost:
            raise Fatal(
                f"{begin - at} records of {tp.topic}/{tp.partition} were deleted before they were read. Lengthen the "
                "topic's retention; `reprieve webhooks run --skip-lost` goes on without them."
            )
        return max(at, begin)

    # -- reading

    async def _catch_up(self) -> None:
        """Read all that there is of consents and accounts by now."""
        consumer, settings, known = self._context, self._settings, self._taking.known
        asked = time.monotonic()
        tps = list(consumer.assignment())
        ends = await patiently(settings, "asking for consents", lambda: consumer.end_offsets(tps))
        while any([await consumer.position(tp) < ends[tp] for tp in tps]):
            for records in (await consumer.getmany(timeout_ms=200, max_records=_HELD)).values():
                self._take(records)
        known.read_at = asked

    async def _next(self) -> list[Any]:
        """Return what was said next, in the broker's order over all partitions.

        What a partition has is held back while another one may still bring what was said before it. A broker's clock
        may be set back: within a partition the order counts, so a record is no earlier than those before it.
        """
        consumer, settings, tps = self._said, self._settings, list(self._held)
        while True:
            found = await consumer.getmany(*[tp for tp in self._held if len(self._held[tp]) < _HELD], timeout_ms=200)
            for tp, records in found.items():
                for record in records:
                    latest = self._latest[tp] = max(self._latest.get(tp, 0), record.timestamp)
                    self._held[tp].append((latest, record))
            if not any(self._held.values()):
                return []
            ends = await patiently(settings, "asking for offsets", partial(consumer.end_offsets, tps))
            behind = [tp for tp in tps if await consumer.position(tp) < ends[tp]]
            if all(self._held[tp] for tp in behind):
                break
        through = min((self._latest[tp] for tp in behind), default=None)
        return [record for _, record in sorted(self._earlier(through), key=itemgetter(0))]

    def _earlier(self, through: int | None) -> Iterable[tuple[int, Any]]:
        for held in self._held.values():
            while held and (through is None or held[0][0] <= through):
                yield held.popleft()

    # -- taking

    def _take(self, records: Sequence[Any]) -> None:
        """Take records and the offsets behind them in one transaction."""
        places: dict[tuple[str, int], int] = {}
        with self._taking.outbox.transaction():
            for record in records:
                event = self._event(record)
                if event is not None:
                    self._taking.take(event)
                places[record.topic, record.partition] = record.offset + 1
            for (topic, partition), offset in places.items():
                self._taking.outbox.set_place(topic, partition, offset)

    def _event(self, record: Any) -> ev.Event | None:
        """Return the event of a record, None for one that is not for us or that nobody can read.

        Workers make dead letters of those; a consent that cannot be read grants nothing.
        """
        topic = record.topic.removeprefix(self._settings.topics.prefix)
        try:
            event = self._codec.decode(record.value or b"", TOPICS[topic].records)
        except BadInput as error:
            SKIPPED.labels(reason="unreadable").inc()
            log.warning(
                "record_skipped", topic=topic, partition=record.partition, offset=record.offset, code=error.code
            )
            return None
        wanted = CONTEXT.get(topic)
        return event if wanted is None or type(event) in wanted else None
