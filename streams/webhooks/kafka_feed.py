"""Reads Kafka into the outbox: what is committed, in the order in which the broker took it, with how far it is read.

Before an offer is taken, all that Kafka has of consents and accounts is read: so nobody is told of a borrower whose
withdrawal was already there to be read.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from operator import itemgetter
from typing import Any

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import OffsetOutOfRangeError

from schemas import events as ev
from schemas.codec import Codec
from schemas.errors import FatalError, InvalidEventError
from schemas.topics import TOPICS
from streams.kafka.committed_reader import CommittedReader
from streams.kafka.retry import retry_until_available
from streams.kafka.topic_ids import TopicIds
from streams.settings import Settings
from streams.webhooks.consents import CONTEXT
from streams.webhooks.metrics import SKIPPED
from streams.webhooks.router import Router

log: Any = structlog.get_logger(__name__)

SAID = ("offers", "plans")
_FETCH_BYTES = 1024 * 1024
# Records of one partition that are held while another may have earlier ones; records taken in one transaction.
_HELD, _TAKEN = 2_000, 500
# Seconds between two looks for withdrawals while nothing else comes.
_LOOK = 1.0


class KafkaFeed:
    """Follows the topics. Use as a context manager; `run` goes on for ever."""

    def __init__(self, settings: Settings, codec: Codec, router: Router, *, skip_lost: bool = False) -> None:
        self._settings = settings
        self._codec = codec
        self._router = router
        self._skip_lost = skip_lost
        self._context = CommittedReader(settings, fetch_bytes=_FETCH_BYTES)
        self._said = CommittedReader(settings, fetch_bytes=_FETCH_BYTES)
        # What was read and not taken, with when it counts as appended: no earlier than any before it in its partition,
        # whatever the broker's clock said. By partition, when the last one was.
        self._held: dict[TopicPartition, deque[tuple[int, Any]]] = {}
        self._latest: dict[TopicPartition, int] = {}
        # The topics by their ids, and when brokers were last asked for them.
        self._ids = TopicIds(settings)
        self._names = [settings.topics.prefix + topic for topic in (*CONTEXT, *SAID)]
        self._seen_at = float("-inf")

    async def __aenter__(self) -> KafkaFeed:
        try:
            for reader in (self._context, self._said):
                await retry_until_available(self._settings, "following offers", reader.start)
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        for reader in (self._context, self._said):
            await reader.stop()
        await self._ids.stop()

    async def run(self) -> None:
        """Take what is committed, as it comes. Raises FatalError where going on would lose something."""
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

    async def _place(self, reader: CommittedReader, topics: Sequence[str]) -> list[TopicPartition]:
        settings = self._settings
        names = [settings.topics.prefix + topic for topic in topics]
        tps = await retry_until_available(settings, "looking for topics", partial(reader.partitions, names))
        reader.assign(tps)
        begins, ends = await retry_until_available(settings, "asking for offsets", partial(reader.offsets, tps))
        known = self._router.outbox.topic_ids()
        now = await self._topic_ids()
        remade = {name for name in known.keys() & now.keys() if known[name] != now[name]}
        if not self._skip_lost:
            self._same(known, now)
        places = {place: at for place, at in self._router.outbox.places().items() if place[0] not in remade}
        late = topics == SAID and settings.webhooks.begin == "latest"
        with self._router.outbox.transaction():
            for tp in tps:
                at = places.get((tp.topic, tp.partition))
                if at is None:
                    at = ends[tp] if late and tp.topic not in remade else begins[tp]
                    self._router.outbox.set_place(tp.topic, tp.partition, at)
                reader.seek(tp, self._checked(tp, at, begins[tp], ends[tp]))
            for name in {tp.topic for tp in tps} & now.keys():
                self._router.outbox.set_topic_id(name, now[name])
        return tps

    async def _topic_ids(self) -> dict[str, str]:
        answers = await retry_until_available(self._settings, "looking for topics", lambda: self._ids.ask(self._names))
        return {name: topic.topic_id for seen in answers for name, topic in seen.items()}

    def _same(self, known: Mapping[str, str], now: Mapping[str, str]) -> None:
        """See that the outbox's offsets count in the topics that there are. Raises FatalError where they do not."""
        for name in sorted(known.keys() & now.keys()):
            if known[name] != now[name]:
                raise FatalError(
                    f"{name} is another topic than the one in which the outbox's offsets count: it was deleted and "
                    f"made anew, or restored (id {known[name]}, now {now[name]}). What was not read of the old one is "
                    "gone. `reprieve webhooks run --skip-lost` goes on without it, from the beginning of the new one."
                )

    async def _verify(self) -> None:
        """See that what was fetched is of the same topics, where they were not looked at for a second."""
        if time.monotonic() - self._seen_at >= _LOOK:
            began = time.monotonic()
            self._same(self._router.outbox.topic_ids(), await self._topic_ids())
            self._seen_at = began

    def _checked(self, tp: TopicPartition, at: int, begin: int, end: int) -> int:
        if at > end:
            raise FatalError(
                f"The outbox is at {at} of {tp.topic}/{tp.partition}, which ends at {end}: Kafka was restored to an "
                "earlier day, or this is another cluster. Set webhooks.data_dir to an empty directory."
            )
        if at < begin and not self._skip_lost:
            raise FatalError(
                f"{begin - at} records of {tp.topic}/{tp.partition} were deleted before they were read. Lengthen the "
                "topic's retention; `reprieve webhooks run --skip-lost` goes on without them."
            )
        return max(at, begin)

    # -- reading

    async def _catch_up(self) -> None:
        """Read all that there is of consents and accounts by now."""
        reader, settings = self._context, self._settings
        asked = time.monotonic()
        tps = list(reader.consumer.assignment())
        _, ends = await retry_until_available(settings, "asking for consents", partial(reader.offsets, tps))
        while await reader.is_behind(ends):
            for records in (await self._got(reader, most=_HELD)).values():
                self._take(records)
        self._router.consents.read_at = asked

    async def _got(
        self, reader: CommittedReader, *tps: TopicPartition, most: int | None = None
    ) -> dict[TopicPartition, list[Any]]:
        """Return what is there. Raises FatalError where records were deleted before they were read."""
        settings = self._settings
        try:
            found = await reader.read(*tps, most=most)
            if found:
                await self._verify()
            return found
        except OffsetOutOfRangeError as error:
            places: dict[TopicPartition, int] = error.args[0]
            begins, ends = await retry_until_available(
                settings, "asking for offsets", partial(reader.offsets, list(places))
            )
            for tp, at in places.items():
                reader.seek(tp, self._checked(tp, at, begins[tp], ends[tp]))
            return {}

    async def _next(self) -> list[Any]:
        """Return what was said next, in the broker's order over all partitions.

        What a partition has is held back while another one may still bring what was said before it. A broker's clock
        may be set back: within a partition the order counts, so a record is no earlier than those before it.
        """
        reader, settings, tps = self._said, self._settings, list(self._held)
        while True:
            found = await self._got(reader, *[tp for tp in self._held if len(self._held[tp]) < _HELD])
            for tp, records in found.items():
                for record in records:
                    self._latest[tp] = max(self._latest.get(tp, 0), record.timestamp)
                    self._held[tp].append((self._latest[tp], record))
            if not any(self._held.values()):
                return []
            ends = await retry_until_available(
                settings, "asking for offsets", partial(reader.consumer.end_offsets, tps)
            )
            behind = [tp for tp in tps if await reader.consumer.position(tp) < ends[tp]]
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
        with self._router.outbox.transaction():
            for record in records:
                event = self._event(record)
                if event is not None:
                    self._router.take(event)
                places[record.topic, record.partition] = record.offset + 1
            for (topic, partition), offset in places.items():
                self._router.outbox.set_place(topic, partition, offset)

    def _event(self, record: Any) -> ev.Event | None:
        """Return the event of a record, None for one that is not for us or that nobody can read.

        Workers make dead letters of those; a consent that cannot be read grants nothing.
        """
        topic = record.topic.removeprefix(self._settings.topics.prefix)
        try:
            event = self._codec.decode(record.value or b"", TOPICS[topic].records)
        except InvalidEventError as error:
            SKIPPED.labels(reason="unreadable").inc()
            log.warning(
                "record_skipped", topic=topic, partition=record.partition, offset=record.offset, code=error.code
            )
            return None
        wanted = CONTEXT.get(topic)
        return event if wanted is None or type(event) in wanted else None
