"""Reads committed records from stored offsets, of a verified past.

Whoever stores how far a topic was read (a store, a cache, an outbox, views) reads on from there. Kafka restored to an
earlier day, and a topic that was recreated, look the same to a consumer; so the last record that was read is read once
more, and has to be the one that was stored.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from typing import Any, Literal

from aiokafka import AIOKafkaConsumer, TopicPartition

from schemas.errors import FatalError
from streams.kafka.changelog_format import row_checksum
from streams.kafka.compat import cluster_of, connected, learn_topics, patch_fetchers
from streams.kafka.isolating_fetcher import Fetched, PartitionIsolatingFetcher, partition_name
from streams.settings import Settings

_MIB = 1024 * 1024


class DivergedLogError(Exception):
    """What was stored is not of its topic's past, or nothing shows that it is. cause: a code for metrics."""

    def __init__(self, why: str, cause: str) -> None:
        super().__init__(why)
        self.cause = cause


class CommittedReader:
    """One consumer of committed records, a member of no group. Use its methods after `start` and before `stop`.

    reset: what happens where an offset is not there any more: `none` raises OffsetOutOfRangeError, `earliest` passes
    over what was deleted. fetch_bytes: of one partition at once; bounds the memory. lasting: whether what cannot be
    read for too long raises FatalError; else the other partitions go on without it.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        reset: Literal["none", "earliest"] = "none",
        fetch_bytes: int = _MIB,
        lasting: bool = True,
    ) -> None:
        patch_fetchers()
        self.consumer = AIOKafkaConsumer(
            **settings.kafka.client_options(),
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset=reset,
            max_partition_fetch_bytes=fetch_bytes,
            fetch_max_bytes=8 * fetch_bytes,
            fetch_max_wait_ms=100,
        )
        self.fetcher = PartitionIsolatingFetcher(self.consumer, settings, lasting=lasting)
        # The last record that was stored, by partition, until it is verified.
        self._last: dict[TopicPartition, tuple[int, bytes]] = {}

    async def start(self) -> None:
        """Connect."""
        await self.consumer.start()

    async def stop(self) -> None:
        """Disconnect."""
        self.fetcher.close()
        await self.consumer.stop()

    async def partitions(self, topics: Iterable[str]) -> list[TopicPartition]:
        """Return the partitions of topics. Raises FatalError where one is missing."""
        cluster = await cluster_of(self.consumer)
        return [TopicPartition(topic, part) for topic in topics for part in partitions_in(cluster, topic)]

    async def offsets(
        self, tps: Sequence[TopicPartition]
    ) -> tuple[dict[TopicPartition, int], dict[TopicPartition, int]]:
        """Return the first offsets that are still there, and those behind the last committed records."""
        return await self.consumer.beginning_offsets(tps), await self.consumer.end_offsets(tps)

    def assign(self, tps: Sequence[TopicPartition]) -> None:
        """Read these partitions from now on; their positions are sought next."""
        self.consumer.assign(list(tps))
        self._last = {}

    def seek(self, tp: TopicPartition, offset: int, checksum: bytes | None = None, begin: int = 0) -> int:
        """Read a partition on from the offset behind the last record stored; returns where it is read from.

        checksum: of that record, which is read once more for `verify`. begin: the first offset that is still there.
        """
        if offset and checksum is not None:
            self._last[tp] = (offset - 1, checksum)
            offset -= 1
        at = max(offset, begin)
        self.consumer.seek(tp, at)
        return at

    def verify(self, tp: TopicPartition, records: Sequence[Any]) -> bool:
        """Verify a partition by the first records read; returns whether the first one had been stored before.

        Raises DivergedLogError where it is another record, or another offset: a transaction's marker in its place may
        be of another past, and so may all the rest where the record was compacted away.
        """
        if tp not in self._last:
            return False
        offset, checksum = self._last.pop(tp)
        if records[0].offset != offset:
            raise DivergedLogError(
                f"{partition_name(tp)} has nothing at {offset} any more, by which what was stored could be verified",
                "unproved",
            )
        if row_checksum(records[0].key or b"", records[0].value) != checksum:
            raise DivergedLogError(f"{partition_name(tp)} has another record at {offset}: Kafka was restored", "ahead")
        return True

    async def read(self, *tps: TopicPartition, most: int | None = None) -> Fetched:
        """Return what comes within a moment of partitions, of all that are assigned where none is named."""
        return await self.fetcher.getmany(*tps, timeout=0.2, most=most)

    async def is_behind(self, ends: Mapping[TopicPartition, int]) -> bool:
        """Return whether a partition is read less far than up to its offset in `ends`."""
        return any([await self.consumer.position(tp) < end for tp, end in ends.items()])

    def lag(self, positions: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
        """Return how many committed offsets lie behind each position, where the last fetch told."""
        ends = {tp: self.consumer.last_stable_offset(tp) for tp in positions}
        return {tp: max(0, end - positions[tp]) for tp, end in ends.items() if end is not None}


async def read_committed(
    settings: Settings, topics: Sequence[str], *, follow: bool = False
) -> AsyncGenerator[Any, None]:
    """Yield the records of topics, from the first, that are committed by now. follow: go on with what comes.

    topics: without their prefix. Raises FatalError where one is missing.
    """
    reader = CommittedReader(settings, reset="earliest", fetch_bytes=4 * _MIB)
    try:
        await reader.start()
        tps = await reader.partitions(settings.topics.prefix + topic for topic in topics)
        reader.assign(tps)
        ends = {} if follow else await high_watermarks(settings, tps)
        while follow or await reader.is_behind(ends):
            # Not by the fetcher: what cannot be read ends this at once.
            for records in (await reader.consumer.getmany(timeout_ms=200)).values():
                for record in records:
                    yield record
    finally:
        await reader.stop()


async def high_watermarks(settings: Settings, tps: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
    """Return the offsets behind the last records, those of open transactions too.

    Kafka acknowledges a commit, and shows the group's new offsets, before it has written the markers to all partitions.
    A reader that stops at the last stable offset may therefore miss what was committed just before it began; one that
    reads up to here waits for the markers, at most worker.transaction_timeout_seconds.
    """
    async with connected(
        AIOKafkaConsumer(
            **settings.kafka.client_options(), enable_auto_commit=False, isolation_level="read_uncommitted"
        )
    ) as consumer:
        await learn_topics(consumer, {tp.topic for tp in tps})
        return dict(await consumer.end_offsets(tps))


def partitions_in(cluster: Any, topic: str) -> list[int]:
    """Return a topic's partitions by the cluster's metadata. Raises FatalError where there is no such topic."""
    # Waiting for a topic that is missing takes a minute; the metadata tells at once.
    found = cluster.partitions_for_topic(topic)
    if not found:
        raise FatalError(
            f"There is no topic {topic}, or this user may not know of it. Make it with `reprieve topics apply`, or see "
            "to topics.prefix and `reprieve topics acl`."
        )
    return sorted(found)
