"""Follows a Kafka deployment into the console's own file: what was said, and the agents' changelogs, as committed.

Of a key all is in one partition, so histories stay in order. What of two partitions comes first here may differ from
the order in which it happened; nothing that is counted depends on it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import OffsetOutOfRangeError

from console.cache import Cache, Place
from schemas.codec import Codec
from schemas.errors import Fatal
from streams.at_work import agents_at_work
from streams.kafka.broker import changelog, patiently
from streams.kafka.fetching import Fetching, name_of
from streams.kafka.letters import REPLAYED_TOPIC
from streams.kafka.rows import digest
from streams.settings import Settings

log: Any = structlog.get_logger(__name__)

# What the console tells of. Payments, profiles and answers are not read: what was taken of them is in the changelogs.
SAID = (
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
# Topics of which each partition has a copy of all.
_COPIES = frozenset({"learning"})
# Records a transaction, and bytes that are fetched of a partition at once: both bound the memory.
_ROUND = 5_000
_FETCH_BYTES = 1024 * 1024
# Seconds after which a compacted topic may have forgotten that a row was deleted (delete.retention.ms is a day).
_FORGETS = 20 * 3600.0
# Seconds between two notes of when Kafka was followed.
_NOTE = 30.0


class Follower:
    """Reads into a cache until it is cancelled.

    caught_up: whether it has come to where Kafka was when it began. behind: how many committed records are not in yet,
    by what the last fetches told. answered: when Kafka last answered, by the monotonic clock.
    """

    def __init__(self, settings: Settings, cache: Cache, codec: Codec) -> None:
        self._settings = settings
        self._cache = cache
        self._codec = codec
        self._agents = {changelog(settings, agent.name): agent.name for agent, _ in agents_at_work()}
        self._last: dict[TopicPartition, tuple[int, bytes]] = {}
        self._at: dict[TopicPartition, int] = {}
        self._ends: Mapping[TopicPartition, int] = {}
        self._noted = 0.0
        self.caught_up = False
        self.behind: int | None = None
        self.answered = time.monotonic()
        self._consumer = AIOKafkaConsumer(
            **settings.kafka.client_options(),
            isolation_level="read_committed",
            enable_auto_commit=False,
            # Where a place is not there any more, it is found out why.
            auto_offset_reset="none",
            max_partition_fetch_bytes=_FETCH_BYTES,
            fetch_max_bytes=8 * _FETCH_BYTES,
            fetch_max_wait_ms=100,
        )
        self._fetching = Fetching(self._consumer, settings)

    async def run(self) -> None:
        """Follow what is committed. Raises Fatal where going on would be wrong; waits while the broker is away."""
        await patiently(self._settings, "following topics for the console", self._consumer.start)
        try:
            await self._begin()
            while True:
                await self._round()
        finally:
            self._fetching.forget()
            await self._consumer.stop()

    def _behind(self) -> int:
        behind = 0
        for tp, at in self._at.items():
            end = self._consumer.last_stable_offset(tp)
            behind += 0 if end is None else max(0, end - at)
        return behind

    # -- where it is

    async def _begin(self) -> None:
        """Go to where the cache has come to; a cache that is not of Kafka's past is emptied."""
        consumer, settings = self._consumer, self._settings
        tps = await patiently(settings, "looking for topics", self._found)
        consumer.assign(tps)
        ends = await patiently(settings, "asking for offsets", lambda: consumer.end_offsets(tps))
        begins = await patiently(settings, "asking for offsets", lambda: consumer.beginning_offsets(tps))
        places = self._places(tps)
        ahead = [tp for tp, (at, _) in places.items() if at > ends[tp]]
        gone = [tp for tp, (at, _) in places.items() if at and at < begins[tp] and tp.topic in self._agents]
        read_at = self._cache.read_at()
        if ahead:
            self._cache.empty(f"{name_of(ahead[0])} ends before what was read: Kafka was restored to an earlier day")
        elif gone:
            self._cache.empty(f"rows of {name_of(gone[0])} were deleted before they were read")
        elif read_at is not None and time.time() - read_at > _FORGETS:
            self._cache.empty("it was away for so long that changelogs may have forgotten what was deleted")
        places = self._places(tps)
        self._at, self._last = {}, {}
        for tp, (at, mark) in places.items():
            if at and at - 1 < begins[tp]:
                log.warning("records_deleted", place=name_of(tp), detail="the console tells what is still there")
            elif at:
                # The last record is read once more, to see that it is the one that is in.
                self._last[tp] = (at - 1, mark)
            self._at[tp] = max(at - 1, begins[tp])
            consumer.seek(tp, self._at[tp])
        self._ends = ends

    async def _found(self) -> list[TopicPartition]:
        known = await self._consumer._client.fetch_all_metadata()
        names = [*self._agents, *(self._settings.topics.prefix + topic for topic in SAID)]
        missing = [name for name in names if not known.partitions_for_topic(name)]
        if missing:
            raise Fatal(
                f"There is no topic {missing[0]}, or this user may not read it. Make it with `reprieve topics apply`, "
                "or see to topics.prefix."
            )
        prefix = self._settings.topics.prefix
        return [
            TopicPartition(name, part)
            for name in names
            for part in sorted(known.partitions_for_topic(name) or ())
            if part == 0 or name.removeprefix(prefix) not in _COPIES
        ]

    def _places(self, tps: list[TopicPartition]) -> dict[TopicPartition, tuple[int, bytes]]:
        known = self._cache.places()
        return {tp: known.get(self._place(tp), (0, b"")) for tp in tps}

    def _place(self, tp: TopicPartition) -> Place:
        return tp.topic.removeprefix(self._settings.topics.prefix), tp.partition

    # -- a round

    async def _round(self) -> None:
        consumer = self._consumer
        got = await patiently(self._settings, "reading topics for the console", self._got)
        if got is None:
            await self._begin()
            return
        changelogs, said = {}, {}
        for tp, records in got.items():
            why = self._unproved(tp, records)
            if why is not None:
                self._cache.empty(why)
                await self._begin()
                return
            if not records:
                continue
            if tp.topic in self._agents:
                changelogs[self._place(tp)] = self._agents[tp.topic], records
            else:
                said[self._place(tp)] = records
        if changelogs or said:
            await self._meet(said)
            self._cache.take(changelogs, said)
        for tp in self._at:
            self._at[tp] = await consumer.position(tp)
        self.behind = self._behind()
        self.answered = time.monotonic()
        if self.answered - self._noted > _NOTE:
            self._noted = self.answered
            self._cache.note("read_at", str(time.time()))
        if not self.caught_up and all(self._at[tp] >= end for tp, end in self._ends.items()):
            self.caught_up = True

    async def _meet(self, said: Mapping[Place, list[Any]]) -> None:
        """Ask the registry for schemas that are met for the first time, however long it is away."""
        values = [r.value for records in said.values() for r in records if r.value is not None]
        for value in {v[:5]: v for v in values if self._codec.is_strange(v)}.values():
            ask = partial(asyncio.to_thread, self._codec.meet, value)
            await patiently(self._settings, "asking the registry for a schema", ask)

    async def _got(self) -> dict[TopicPartition, list[Any]] | None:
        """Return what is there; None where a place is not there any more."""
        try:
            return await self._fetching.getmany(timeout=0.2, most=_ROUND)
        except OffsetOutOfRangeError:
            return None

    def _unproved(self, tp: TopicPartition, records: list[Any]) -> str | None:
        """Return why nothing shows that the cache is of Kafka's past, by the first records of a partition.

        None where the first one is the last that is in, which is left out then. Where that is not there any more,
        another past may have a marker in its place, or have it compacted away.
        """
        if tp not in self._last:
            return None
        offset, mark = self._last.pop(tp)
        first = records[0]
        if first.offset != offset:
            return f"{name_of(tp)} has nothing at {offset} any more, by which the cache would be known"
        if digest(first.key or b"", first.value) != mark:
            return f"{name_of(tp)} has another record at {offset}: Kafka was restored"
        del records[0]
        return None
