"""Loads a Kafka deployment into the console's cache: published events and the agents' changelogs, as committed.

All records of a key are in one partition, so histories stay in order. Two partitions may be read in another order than
that in which they were written; no count depends on it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import OffsetOutOfRangeError

from console.cache import Cache, Place, cache_faults
from schemas.codec import Codec
from streams.engine.agents import all_agents
from streams.kafka.changelog_format import changelog_topic
from streams.kafka.committed_reader import CommittedReader, DivergedLogError
from streams.kafka.dead_letters import REPLAYED_TOPIC
from streams.kafka.isolating_fetcher import partition_name
from streams.kafka.retry import retry_until_available
from streams.settings import Settings

log: Any = structlog.get_logger(__name__)

# The topics that are read. Payments, profiles and answers are not: their facts are in the changelogs.
PUBLISHED = (
    "delinquency",
    "offers",
    "plans",
    "decisions",
    "guardrails",
    "learning",
    "dead-letters",
    "audit",
    REPLAYED_TOPIC,
)
# Topics of which each partition has a copy of every record.
_BROADCAST = frozenset({"learning"})
# Records a transaction, and bytes a fetch of one partition: both bound the memory.
_BATCH = 5_000
_FETCH_BYTES = 1024 * 1024
# Seconds after which a compacted topic may have lost tombstones (delete.retention.ms is a day).
_TOMBSTONES_SAFE = 20 * 3600.0
# Seconds between two updates of `read_at`.
_READ_AT_INTERVAL = 30.0


class CacheLoader:
    """Writes committed records into a cache until it is cancelled.

    caught_up: whether it has loaded all that was committed when it began. behind: committed records that are not
    loaded yet, as of the last fetch. answered: when Kafka last answered, by the monotonic clock.
    """

    def __init__(self, settings: Settings, cache: Cache, codec: Codec) -> None:
        self._settings = settings
        self._cache = cache
        self._codec = codec
        self._agents = {changelog_topic(settings, agent.name): agent.name for agent, _ in all_agents()}
        self._at: dict[TopicPartition, int] = {}
        self._ends: Mapping[TopicPartition, int] = {}
        self._read_at_set = 0.0
        self.caught_up = False
        self.behind: int | None = None
        self.answered = time.monotonic()
        self._reader = CommittedReader(settings, fetch_bytes=_FETCH_BYTES)

    async def run(self) -> None:
        """Load what is committed. Raises FatalError where continuing would be wrong; waits while the broker is away."""
        try:
            await retry_until_available(self._settings, "following topics for the console", self._reader.start)
            with cache_faults(self._cache.path):
                await self._begin()
                while True:
                    await self._load_batch()
        finally:
            await self._reader.stop()

    # -- offsets

    async def _begin(self) -> None:
        """Seek to the cache's offsets; a cache that diverged from Kafka is emptied."""
        reader, settings = self._reader, self._settings
        tps = await retry_until_available(settings, "looking for topics", self._partitions)
        reader.assign(tps)
        begins, ends = await retry_until_available(settings, "asking for offsets", partial(reader.offsets, tps))
        places = self._places(tps)
        ahead = [tp for tp, (at, _) in places.items() if at > ends[tp]]
        gone = [tp for tp, (at, _) in places.items() if at and at < begins[tp] and tp.topic in self._agents]
        read_at = self._cache.read_at()
        if ahead:
            self._cache.empty(
                f"{partition_name(ahead[0])} ends before what was read: Kafka was restored to an earlier day"
            )
        elif gone:
            self._cache.empty(f"rows of {partition_name(gone[0])} were deleted before they were read")
        elif read_at is not None and time.time() - read_at > _TOMBSTONES_SAFE:
            self._cache.empty("it was away for so long that changelogs may have forgotten what was deleted")
        places = self._places(tps)
        self._at = {}
        for tp, (at, mark) in places.items():
            if at and at - 1 < begins[tp]:
                log.warning("records_deleted", place=partition_name(tp), detail="the console tells what is still there")
                at = 0
            self._at[tp] = reader.seek(tp, at, mark, begins[tp])
        self._ends = ends

    async def _partitions(self) -> list[TopicPartition]:
        prefix = self._settings.topics.prefix
        tps = await self._reader.partitions([*self._agents, *(prefix + topic for topic in PUBLISHED)])
        return [tp for tp in tps if tp.partition == 0 or tp.topic.removeprefix(prefix) not in _BROADCAST]

    def _places(self, tps: list[TopicPartition]) -> dict[TopicPartition, tuple[int, bytes]]:
        known = self._cache.places()
        return {tp: known.get(self._place(tp), (0, b"")) for tp in tps}

    def _place(self, tp: TopicPartition) -> Place:
        return tp.topic.removeprefix(self._settings.topics.prefix), tp.partition

    # -- records

    async def _load_batch(self) -> None:
        got = await retry_until_available(self._settings, "reading topics for the console", self._next_records)
        if got is None:
            await self._begin()
            return
        changelogs, published = {}, {}
        for tp, records in got.items():
            try:
                if self._reader.verify(tp, records):
                    del records[0]
            except DivergedLogError as error:
                self._cache.empty(str(error))
                await self._begin()
                return
            if not records:
                continue
            if tp.topic in self._agents:
                changelogs[self._place(tp)] = self._agents[tp.topic], records
            else:
                published[self._place(tp)] = records
        if changelogs or published:
            await self._fetch_schemas(published)
            self._cache.write(changelogs, published)
        for tp in self._at:
            self._at[tp] = await self._reader.consumer.position(tp)
        self.behind = sum(self._reader.lag(self._at).values())
        self.answered = time.monotonic()
        if self.answered - self._read_at_set > _READ_AT_INTERVAL:
            self._read_at_set = self.answered
            self._cache.set_meta("read_at", str(time.time()))
        if not self.caught_up and all(self._at[tp] >= end for tp, end in self._ends.items()):
            self.caught_up = True

    async def _fetch_schemas(self, published: Mapping[Place, list[Any]]) -> None:
        """Fetch schemas that are read for the first time from the registry, however long it is away."""
        values = [r.value for records in published.values() for r in records if r.value is not None]
        for value in {v[:5]: v for v in values if self._codec.needs_schema(v)}.values():
            ask = partial(asyncio.to_thread, self._codec.fetch_schema, value)
            await retry_until_available(self._settings, "asking the registry for a schema", ask)

    async def _next_records(self) -> dict[TopicPartition, list[Any]] | None:
        """Return the next records; None where an offset is out of range."""
        try:
            return await self._reader.read(most=_BATCH)
        except OffsetOutOfRangeError:
            return None
