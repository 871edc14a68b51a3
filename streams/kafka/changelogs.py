"""Reads changelogs back into stores: in bulk when a partition is taken, and as they grow for a standby."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from streams.endings import ended
from streams.kafka.metrics import REBUILT, RESTORED
from streams.kafka.rows import ERASED, PLACE, digest
from streams.kafka.store import Corrupt, PartitionStore
from streams.settings import Settings

log: Any = structlog.get_logger(__name__)

# Records a round; a round is written to RocksDB at once.
_ROUND = 20_000
_FETCH_BYTES = 4 * 1024 * 1024


def open_store(folder: Path) -> PartitionStore:
    """Open a partition's store; damaged files are thrown away, since the changelog has all that was in them."""
    try:
        store = PartitionStore(folder)
        try:
            store.get(PLACE)
        except Corrupt:
            store.close()
            raise
    except Corrupt as error:
        return _anew(folder, "corrupt", str(error))
    return store


def _anew(folder: Path, cause: str, detail: str) -> PartitionStore:
    log.warning("store_rebuilt", folder=str(folder), cause=cause, detail=detail)
    REBUILT.labels(cause=cause).inc()
    PartitionStore.remove(folder)
    return PartitionStore(folder)


class ChangelogReader:
    """Follows some partitions of changelogs into their stores, as far as these are committed."""

    def __init__(self, settings: Settings) -> None:
        self._consumer = AIOKafkaConsumer(
            **settings.kafka.client_options(),
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=_FETCH_BYTES,
            fetch_max_bytes=4 * _FETCH_BYTES,
            fetch_max_wait_ms=100,
        )
        # Rows read so far.
        self.rows = 0
        self._stores: dict[TopicPartition, PartitionStore] = {}
        self._last: dict[TopicPartition, tuple[int, bytes]] = {}

    async def start(self) -> None:
        """Connect."""
        await self._consumer.start()

    async def stop(self) -> None:
        """Disconnect; the stores stay open."""
        await self._consumer.stop()

    async def follow(
        self, places: dict[TopicPartition, PartitionStore], ends: Mapping[TopicPartition, int] | None = None
    ) -> None:
        """Begin to read partitions into stores, each from the place that it has come to.

        ends: where they end, where that is known for certain.
        A store that has come further than its changelog, or on another way, is thrown away: it belongs to a
        cluster as it was before it was restored. `places` then holds the new one.
        """
        consumer = self._consumer
        tps = list(places)
        consumer.assign(tps)
        ends = ends or await consumer.end_offsets(tps)
        begins = await consumer.beginning_offsets(tps)
        for tp, store in places.items():
            at, last = store.place
            if at > ends[tp]:
                places[tp] = self._restart(store, f"the store is at {at}, the changelog ends at {ends[tp]}")
                at = 0
            # The last row is read once more, to see that it is the one that the store has.
            self._last[tp] = (at - 1, last)
            consumer.seek(tp, max(at - 1, begins[tp]))
        self._stores = places

    def _restart(self, store: PartitionStore, why: str) -> PartitionStore:
        folder = store.folder
        store.close()
        return _anew(folder, "ahead", why)

    async def catch_up(self, ends: Mapping[TopicPartition, int]) -> int:
        """Read until all before `ends` is in; returns the rows read."""
        rows = 0
        behind = set(self._stores)
        while True:
            for tp in list(behind):
                if await self._consumer.position(tp) >= ends[tp]:
                    behind.discard(tp)
            if not behind:
                return rows
            rows += await self.read(*behind)

    async def read(self, *tps: TopicPartition) -> int:
        """Read what is there, at most for a moment; returns the rows read."""
        got = await self._consumer.getmany(*tps, timeout_ms=200, max_records=_ROUND)
        count = 0
        for tp, records in got.items():
            if tp in self._last and not self._same(tp, records[0]):
                self._stores[tp] = self._restart(self._stores[tp], f"{tp} has another row at {records[0].offset}")
                await self._consumer.seek_to_beginning(tp)
                continue
            store = self._stores[tp]
            store.write([(record.key, record.value) for record in records], records[-1].offset + 1)
            if any(record.key == ERASED for record in records):
                store.clear_erased()
            count += len(records)
            await asyncio.sleep(0)
        self.rows += count
        RESTORED.inc(count)
        return count

    def _same(self, tp: TopicPartition, record: Any) -> bool:
        """Say whether the first row that was read is the last one of the store, where it is still there."""
        offset, last = self._last.pop(tp)
        return record.offset != offset or digest(record.key, record.value) == last


class Standby:
    """Keeps the stores of some partitions warm, for the day when this worker has to take them."""

    def __init__(self, settings: Settings, places: dict[TopicPartition, PartitionStore]) -> None:
        self._settings = settings
        self._places = places
        self._reader: ChangelogReader | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to follow. Raises what aiokafka raises while the broker is away; then it may be tried again."""
        reader = ChangelogReader(self._settings)
        try:
            await reader.start()
            await reader.follow(self._places)
        except BaseException:
            await reader.stop()
            raise
        self._reader = reader
        self._task = asyncio.create_task(self._follow(reader), name="standby")

    async def _follow(self, reader: ChangelogReader) -> None:
        while True:
            try:
                await reader.read()
            except KafkaError as error:
                log.warning("standby_waits", error=f"{type(error).__name__}: {error}")
                await asyncio.sleep(1)

    async def stop(self) -> dict[TopicPartition, PartitionStore]:
        """End, and return the stores, which stay open."""
        if self._task is not None:
            await ended(self._task)
        if self._reader is not None:
            await self._reader.stop()
        return self._places
