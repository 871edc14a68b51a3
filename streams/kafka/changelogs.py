"""Reads changelogs back into stores: in bulk when a partition is taken, and as they grow for a standby."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition

from streams.endings import ended
from streams.kafka.broker import AWAY, patiently
from streams.kafka.fetching import Fetching, name_of
from streams.kafka.metrics import REBUILT, RESTORED, STANDBYS
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


class OtherPast(Exception):
    """A store is not of its changelog's past, or nothing shows that it is. cause: a word for it."""

    def __init__(self, why: str, cause: str) -> None:
        super().__init__(why)
        self.cause = cause


def _restart(store: PartitionStore, error: Corrupt | OtherPast) -> PartitionStore:
    folder = store.folder
    store.close()
    return _anew(folder, error.cause if isinstance(error, OtherPast) else "corrupt", str(error))


class ChangelogReader:
    """Follows some partitions of changelogs into their stores, as far as these are committed.

    lasting: whether what cannot be read for too long is Fatal; else the other partitions go on without it.
    """

    def __init__(self, settings: Settings, *, lasting: bool = True) -> None:
        self._consumer = AIOKafkaConsumer(
            **settings.kafka.client_options(),
            isolation_level="read_committed",
            enable_auto_commit=False,
            # A place that is not there any more is looked into (`follow`), not passed over.
            auto_offset_reset="none",
            max_partition_fetch_bytes=_FETCH_BYTES,
            fetch_max_bytes=4 * _FETCH_BYTES,
            fetch_max_wait_ms=100,
        )
        self._fetching = Fetching(self._consumer, settings, lasting=lasting)
        # Rows read so far.
        self.rows = 0
        self._stores: dict[TopicPartition, PartitionStore] = {}
        self._last: dict[TopicPartition, tuple[int, bytes]] = {}

    async def start(self) -> None:
        """Connect."""
        await self._consumer.start()

    async def stop(self) -> None:
        """Disconnect; the stores stay open."""
        self._fetching.forget()
        await self._consumer.stop()

    async def follow(
        self, places: dict[TopicPartition, PartitionStore], ends: Mapping[TopicPartition, int] | None = None
    ) -> None:
        """Begin to read partitions into stores, each from the place that it has come to.

        ends: where they end, where that is known for certain.
        A store that has come further than its changelog, or on another way, is thrown away: it belongs to a
        cluster as it was before it was restored. So is one of which nothing shows that it has not. `places` then
        holds the new one.
        """
        consumer = self._consumer
        tps = list(places)
        consumer.assign(tps)
        ends = ends or await consumer.end_offsets(tps)
        begins = await consumer.beginning_offsets(tps)
        for tp, store in places.items():
            at, last = store.place
            if at > ends[tp]:
                why = f"the store is at {at}, the changelog ends at {ends[tp]}"
                places[tp] = _restart(store, OtherPast(why, "ahead"))
                at = 0
            if at:
                # The last row is read once more, to see that it is the one that the store has.
                self._last[tp] = (at - 1, last)
            consumer.seek(tp, max(at - 1, begins[tp]))
        self._stores = places

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
        got = await self._fetching.getmany(*tps, timeout=0.2, most=_ROUND)
        count = 0
        for tp, records in got.items():
            try:
                self._prove(tp, records[0])
                self._write(self._stores[tp], records)
            except (Corrupt, OtherPast) as error:
                self._stores[tp] = _restart(self._stores[tp], error)
                await self._consumer.seek_to_beginning(tp)
            else:
                count += len(records)
                await asyncio.sleep(0)
        self.rows += count
        RESTORED.inc(count)
        return count

    def _write(self, store: PartitionStore, records: Sequence[Any]) -> None:
        store.write([(record.key, record.value) for record in records], records[-1].offset + 1)
        if any(record.key == ERASED for record in records):
            store.clear_erased()

    def _prove(self, tp: TopicPartition, record: Any) -> None:
        """See that a store is of this changelog's past, by the first record that is read. Raises OtherPast.

        Its last row must be where it was. A marker in that place may be of another past, and so may all the rest
        where the row was compacted away.
        """
        if tp not in self._last:
            return
        offset, last = self._last.pop(tp)
        if record.offset != offset:
            raise OtherPast(f"{name_of(tp)} has no row at {offset}, by which the store would be known", "unproved")
        if digest(record.key, record.value) != last:
            raise OtherPast(f"{name_of(tp)} has another row at {offset}", "ahead")


class Standby:
    """Keeps the stores of some partitions warm, for the day when this worker has to take them.

    failed: told what ended it, where nobody asked it to end.
    """

    def __init__(
        self,
        settings: Settings,
        places: dict[TopicPartition, PartitionStore],
        failed: Callable[[BaseException], None],
    ) -> None:
        self._settings = settings
        self._places = places
        self._failed = failed
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
        # Its own lanes go on, whatever is wrong with another's changelog.
        reader = ChangelogReader(self._settings, lasting=False)
        try:
            await reader.start()
            await reader.follow(self._places)
        except BaseException:
            await reader.stop()
            raise
        return reader

    async def _run(self, reader: ChangelogReader) -> None:
        try:
            while True:
                await self._follow(reader)
                reader = await patiently(self._settings, "following changelogs", self._reader)
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
        except AWAY as error:
            log.warning("standby_waits", error=f"{type(error).__name__}: {error}")
            await asyncio.sleep(self._settings.kafka.retry_pause_seconds)
        finally:
            await reader.stop()

    async def stop(self) -> dict[TopicPartition, PartitionStore]:
        """End, and return the stores, which stay open."""
        if self._task is not None:
            await ended(self._task)
        return self._places
