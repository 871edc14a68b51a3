"""Reads changelogs back into stores: in bulk when a partition is taken, and as they grow for a standby."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import structlog
from aiokafka import TopicPartition

from streams.kafka.changelog_format import ERASED, LEGACY_FENCE, POSITION, row_checksum
from streams.kafka.committed_reader import CommittedReader, DivergedLogError
from streams.kafka.metrics import REBUILT, RESTORED, STANDBYS
from streams.kafka.retry import RETRIABLE_ERRORS, permanent_error, retry_until_available
from streams.kafka.rocksdb_store import CorruptStoreError, RocksDBStore
from streams.redaction import describe_error
from streams.settings import Settings
from streams.shutdown import cancel_and_wait

log: Any = structlog.get_logger(__name__)

# Records a round; a round is written to RocksDB at once.
_ROUND = 20_000
_FETCH_BYTES = 4 * 1024 * 1024


def open_store(folder: Path) -> RocksDBStore:
    """Open a partition's store; damaged files are thrown away, since the changelog has all that was in them."""
    try:
        store = RocksDBStore(folder)
        try:
            store.get(POSITION)
        except CorruptStoreError:
            store.close()
            raise
    except CorruptStoreError as error:
        return _rebuild_store(folder, "corrupt", str(error))
    return store


def _rebuild_store(folder: Path, cause: str, detail: str) -> RocksDBStore:
    log.warning("store_rebuilt", folder=str(folder), cause=cause, detail=detail)
    REBUILT.labels(cause=cause).inc()
    RocksDBStore.remove(folder)
    return RocksDBStore(folder)


def _divergence(tp: TopicPartition, store: RocksDBStore, end: int, topic_id: str | None) -> DivergedLogError | None:
    """Return what shows, before anything is read, that a store is not of its changelog's past, if anything does."""
    at, last = store.position
    known = store.topic_id
    if topic_id is not None and known is not None and known != topic_id:
        return DivergedLogError(
            f"the store follows {tp.topic} with the id {known}, and now that is {topic_id}", "other_topic"
        )
    if at > end:
        return DivergedLogError(f"the store is at {at}, the changelog ends at {end}", "ahead")
    if at and last == row_checksum(*LEGACY_FENCE):
        # Earlier releases wrote the same row each time they took a partition.
        return DivergedLogError(f"the store's last row at {at - 1} may be of any past", "unproved")
    return None


def _reopen_rebuilt(store: RocksDBStore, error: CorruptStoreError | DivergedLogError) -> RocksDBStore:
    folder = store.folder
    store.close()
    return _rebuild_store(folder, error.cause if isinstance(error, DivergedLogError) else "corrupt", str(error))


class ChangelogReader:
    """Follows some partitions of changelogs into their stores, as far as these are committed.

    lasting: whether what cannot be read for too long is FatalError; else the other partitions go on without it.
    """

    def __init__(self, settings: Settings, *, lasting: bool = True) -> None:
        # An offset that is not there any more is looked into (`assign`), not passed over.
        self._reader = CommittedReader(settings, fetch_bytes=_FETCH_BYTES, lasting=lasting)
        # Rows read so far.
        self.rows = 0
        self._stores: dict[TopicPartition, RocksDBStore] = {}
        self._ids: Mapping[str, str] | None = None

    async def start(self) -> None:
        """Connect."""
        await self._reader.start()

    async def stop(self) -> None:
        """Disconnect; the stores stay open."""
        await self._reader.stop()

    async def assign(
        self,
        places: dict[TopicPartition, RocksDBStore],
        ends: Mapping[TopicPartition, int] | None = None,
        ids: Mapping[str, str] | None = None,
    ) -> None:
        """Begin to read partitions into stores, each from the place that it has come to.

        ends: where they end, where that is known for certain. ids: of the topics, by name.
        A store that has come further than its changelog, or on another way, is thrown away: it belongs to a
        cluster as it was before it was restored. So is one of which nothing shows that it has not. `places` then
        holds the new one.
        """
        tps = list(places)
        self._reader.assign(tps)
        begins, last_ends = await self._reader.offsets(tps)
        ends = ends or last_ends
        for tp, store in places.items():
            at, last = store.position
            other = _divergence(tp, store, ends[tp], None if ids is None else ids.get(tp.topic))
            if other is not None:
                places[tp] = _reopen_rebuilt(store, other)
                at = 0
            self._store_topic_id(tp, places[tp], ids)
            self._reader.seek(tp, at, last, begins[tp])
        self._stores, self._ids = places, ids

    def _store_topic_id(self, tp: TopicPartition, store: RocksDBStore, ids: Mapping[str, str] | None) -> None:
        if ids is not None and tp.topic in ids and store.topic_id is None:
            store.set_topic_id(ids[tp.topic])

    async def restore(self, ends: Mapping[TopicPartition, int]) -> int:
        """Read until all before `ends` is in; returns the rows read."""
        rows = 0
        behind = set(self._stores)
        while behind:
            for tp in list(behind):
                if not await self._reader.is_behind({tp: ends[tp]}):
                    behind.discard(tp)
            if behind:
                rows += await self.read(*behind)
        for store in self._stores.values():
            for _ in store.sweep():
                await asyncio.sleep(0)
        return rows

    async def read(self, *tps: TopicPartition) -> int:
        """Read what is there, at most for a moment; returns the rows read."""
        got = await self._reader.read(*tps, most=_ROUND)
        count = 0
        for tp, records in got.items():
            try:
                self._reader.verify(tp, records)
                self._write(self._stores[tp], records)
            except (CorruptStoreError, DivergedLogError) as error:
                self._stores[tp] = _reopen_rebuilt(self._stores[tp], error)
                self._store_topic_id(tp, self._stores[tp], self._ids)
                await self._reader.consumer.seek_to_beginning(tp)
            else:
                count += len(records)
                await asyncio.sleep(0)
        self.rows += count
        RESTORED.inc(count)
        return count

    def _write(self, store: RocksDBStore, records: Sequence[Any]) -> None:
        store.write([(record.key, record.value) for record in records], records[-1].offset + 1)
        if any(record.key == ERASED for record in records):
            store.compact_erased()


class Standby:
    """Keeps the stores of some partitions warm, for the day when this worker has to take them.

    failed: told what ended it, where nobody asked it to end. ids: of the changelogs, by name.
    """

    def __init__(
        self,
        settings: Settings,
        places: dict[TopicPartition, RocksDBStore],
        failed: Callable[[BaseException], None],
        ids: Mapping[str, str] | None = None,
    ) -> None:
        self._settings = settings
        self._places = places
        self._failed = failed
        self._ids = ids
        self._task: asyncio.Task[None] | None = None

    @property
    def at_work(self) -> bool:
        """Whether it was started and has not ended."""
        return self._task is not None and not self._task.done()

    async def start(self) -> None:
        """Begin to follow. Raises what aiokafka raises while the broker is away; then it may be tried again."""
        reader = await self._reader()
        self._task = asyncio.create_task(self._run(reader), name="standby")
        STANDBYS.set(len({tp.partition for tp in self._places}))

    async def _reader(self) -> ChangelogReader:
        """Return what reads on from where the stores are."""
        # Its own tasks go on, whatever is wrong with another's changelog.
        reader = ChangelogReader(self._settings, lasting=False)
        try:
            await reader.start()
            await reader.assign(self._places, ids=self._ids)
        except BaseException:
            await reader.stop()
            raise
        return reader

    async def _run(self, reader: ChangelogReader) -> None:
        try:
            while True:
                await self._follow(reader)
                reader = await retry_until_available(self._settings, "following changelogs", self._reader)
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self._failed(error)
        finally:
            STANDBYS.set(0)

    async def _follow(self, reader: ChangelogReader) -> None:
        """Follow until something is wrong with the broker; what was read and not written is read anew after that."""
        try:
            while True:
                await reader.read()
        except RETRIABLE_ERRORS as error:
            final = permanent_error(self._settings, "following changelogs", error)
            if final is not None:
                raise final from error
            log.warning("standby_waits", error=describe_error(error))
            await asyncio.sleep(self._settings.kafka.retry_pause_seconds)
        finally:
            await reader.stop()

    async def stop(self) -> dict[TopicPartition, RocksDBStore]:
        """End, and return the stores, which stay open."""
        if self._task is not None:
            await cancel_and_wait(self._task)
        return self._places
