"""The rows of one agent's partition on this machine: a RocksDB that follows the changelog.

It is a cache of the changelog and holds nothing that is not committed there. It is written without a
write-ahead log: after a crash it is at an earlier position of the changelog, which it knows, and what comes
behind that position is read again.
"""

from __future__ import annotations

import shutil
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from itertools import islice
from pathlib import Path
from typing import Any, cast

import structlog
from rocksdict import (
    BlockBasedOptions,
    BottommostLevelCompaction,
    Cache,
    CompactOptions,
    DBCompressionType,
    Options,
    Rdict,
    WriteBatch,
    WriteOptions,
)

from schemas.errors import FatalError
from state.storage import day_in
from streams.kafka.changelog_format import (
    CLEARED,
    ERASED,
    META,
    POSITION,
    STATE,
    TOPIC_ID,
    UPPER_BOUND,
    WAITING,
    day_bytes,
    index_bound,
    index_entry,
    key_of_entry,
    key_ranges,
    packed_state,
    position_row,
)
from streams.state_rows import SEPARATOR
from streams.storage_faults import Cause, fault_of, is_marked, mark_damaged

log: Any = structlog.get_logger(__name__)

# Bytes that a partition may hold unwritten; it is read again from the changelog after a crash.
_MEMTABLE = 16 * 1024 * 1024
# Where the day of an entry of the waiting index ends.
_DAY_END = 5
# Entries of the waiting index that are swept together.
_SWEPT = 10_000
# The last business date that the agent has closed.
_CLOSED_THROUGH = META + b"closed_through"
# One cache for all partitions of a worker.
_cache: Cache | None = None


class CorruptStoreError(FatalError):
    """The files of a store are damaged; the changelog has all that was in them."""


class RocksDBStore:
    """One RocksDB folder.

    Raises CorruptStoreError where its files are damaged, and FatalError where they cannot be used for another reason,
    which leaves them as they are; its other methods do so too.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            if is_marked(folder):
                raise CorruptStoreError(f"{folder} is damaged: that was found while it was in use")
            self._db = Rdict(str(folder), _options())
        except CorruptStoreError:
            raise
        except Exception as error:
            raise _meaning(error, folder) from error
        self._write = WriteOptions()
        # The stub says that it is a method; it is a property.
        self._write.disable_wal = True  # type: ignore[method-assign, assignment]
        self._db.set_write_options(self._write)
        self._thorough = CompactOptions()
        # Otherwise what already lies at the bottom stays as it is.
        self._thorough.set_bottommost_level_compaction(BottommostLevelCompaction.force())

    @property
    def position(self) -> tuple[int, bytes]:
        """The offset of the changelog behind the last row that is in, and that row's digest; 0 for a new store."""
        value = self.get(POSITION)
        return (0, b"") if value is None else (int.from_bytes(value[:8], "big"), value[8:])

    @property
    def topic_id(self) -> str | None:
        """The id of the topic that it follows, None where it was not stored yet."""
        value = self.get(TOPIC_ID)
        return None if value is None else value.decode()

    def set_topic_id(self, topic_id: str) -> None:
        """Store the id of the topic that it follows; in its files before any row that comes later."""
        try:
            self._db.put(TOPIC_ID, topic_id.encode())
        except Exception as error:
            raise self._failed(error) from error

    def get(self, key: bytes) -> bytes | None:
        """Return a row's value, None where there is none."""
        try:
            value: bytes | None = self._db.get(key)
        except Exception as error:
            raise self._failed(error) from error
        return value

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the values of rows in the order of the keys, None where there is none."""
        try:
            values: Any = self._db.get(list(keys))
        except Exception as error:
            raise self._failed(error) from error
        return cast(list[bytes | None], values)

    def scan(self, first: bytes, behind: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield rows from a key on, up to one that is left out, in the order of keys."""
        for key, found in self._range(first, behind):
            yield key, found.value()

    def scan_keys(self, first: bytes, behind: bytes) -> Iterator[bytes]:
        """Yield the keys of rows as `scan` does, without reading their values."""
        for key, _ in self._range(first, behind):
            yield key

    def _range(self, first: bytes, behind: bytes) -> Iterator[tuple[bytes, Any]]:
        found = self._db.iter()
        found.seek(first)
        while found.valid():
            key = found.key()
            if key >= behind:
                return
            yield key, found
            found.next()
        self._check(found)

    def waiting(self, keys: Iterable[str], after: int) -> Iterator[bytes]:
        """Yield the entries of the waiting index of keys, of days behind `after` (ordinal).

        The index stands by day, and has few days at a time. One iterator goes through them, and within each day from
        key to key: whichever is behind, the wanted or the found one, leaps to the other.
        """
        wanted = sorted((key + SEPARATOR).encode() for key in keys)
        found = self._db.iter()
        # Not from its beginning: there lie the marks of entries that were deleted.
        found.seek(index_bound(WAITING, after))
        entry = _key(found)
        while wanted and entry[:1] == WAITING:
            day, at = entry[:_DAY_END], 0
            while at < len(wanted):
                if entry < day + wanted[at]:
                    found.seek(day + wanted[at])
                    entry = _key(found)
                if entry[:_DAY_END] != day:
                    break
                if entry.startswith(wanted[at], _DAY_END):
                    yield entry
                    found.next()
                    entry = _key(found)
                else:
                    # On to the last wanted key that is not behind the found one.
                    at = max(at + 1, bisect_right(wanted, entry[_DAY_END:], at) - 1)
            if entry[:_DAY_END] == day:
                found.seek(index_bound(WAITING, int.from_bytes(day[1:], "big")))
                entry = _key(found)
        self._check(found)

    def _check(self, found: Any) -> None:
        """Raise what ended an iterator, where it is not the end of the rows."""
        try:
            found.status()
        except Exception as error:
            raise self._failed(error) from error

    def write(
        self,
        rows: Iterable[tuple[bytes, bytes | None]],
        offset: int,
        drop: Iterable[bytes] = (),
    ) -> None:
        """Write rows (None deletes), the entries of indexes that follow, and the changelog's offset, at once.

        drop: stale entries of indexes; those that follow from the rows stay.
        """
        batch = WriteBatch(raw_mode=True)
        put, delete = batch.put, batch.delete
        key, value = b"", None
        for stale in drop:
            delete(stale)
        for key, value in rows:
            if value is None:
                delete(key)
                continue
            put(key, value)
            entry = index_entry(key, value)
            if entry is not None:
                put(entry, b"")
        put(POSITION, position_row(offset, key, value))
        self._commit(batch)

    def sweep(self) -> Iterator[None]:
        """Drop the entries of the waiting index that a restore has left, of facts that are folded; yields in between.

        It costs what there is of days that are closed, which is nothing but after a restore.
        """
        closed = self.get(_CLOSED_THROUGH)
        if closed is None:
            return
        entries = self.scan_keys(WAITING, index_bound(WAITING, date.fromisoformat(closed.decode()).toordinal()))
        while part := list(islice(entries, _SWEPT)):
            batch = WriteBatch(raw_mode=True)
            keys = sorted({key_of_entry(entry) for entry in part})
            states = zip(keys, self.get_many([STATE + key.encode() for key in keys]), strict=True)
            folded = {key: b"" if row is None else day_bytes(day_in(packed_state(row))) for key, row in states}
            for entry in part:
                if entry[1:_DAY_END] <= folded[key_of_entry(entry)]:
                    batch.delete(entry)
            self._commit(batch)
            yield

    def _commit(self, batch: WriteBatch) -> None:
        try:
            self._db.write(batch, self._write)
        except Exception as error:
            raise self._failed(error) from error

    def compact_erased(self) -> None:
        """Have the files hold nothing but the present rows of keys that were erased, where they may hold older ones."""
        names = self.get(ERASED)
        if names is None or names == self.get(CLEARED):
            return
        try:
            self._db.flush()
            for key in names.decode().split(SEPARATOR)[1:]:
                for first, behind in key_ranges(key):
                    self._db.compact_range(first, behind, self._thorough)
            self._db.put(CLEARED, names)
        except Exception as error:
            raise self._failed(error) from error

    def _failed(self, error: Exception) -> FatalError:
        """Return what an error means; damage is found again at the next opening."""
        found = _meaning(error, self.folder)
        if isinstance(found, CorruptStoreError):
            mark_damaged(self.folder)
        return found

    def close(self) -> None:
        """Write what is held to its files, and close them."""
        for step in (self._db.flush, self._db.close):
            try:
                step()
            except Exception as error:
                # What its files lack is read again from the changelog.
                log.warning("store_not_flushed", folder=str(self.folder), error=str(error))

    @staticmethod
    def remove(folder: Path) -> None:
        """Remove a store's files; the changelog has all that was in them.

        Raises FatalError where they cannot be removed.
        """
        try:
            shutil.rmtree(folder)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise FatalError(
                f"{fault_of(error, folder).message}: this store is to be made anew, and cannot be removed. Remove the "
                "folder, and start the worker again; the changelog has all that was in it."
            ) from error


def _key(found: Any) -> bytes:
    """Return the key at which an iterator stands, at its end one behind all others."""
    return cast(bytes, found.key()) if found.valid() else UPPER_BOUND


def _options() -> Options:
    global _cache
    if _cache is None:
        _cache = Cache(64 * 1024 * 1024)
    table = BlockBasedOptions()
    # Most facts are new: a filter finds them missing without reading a block.
    table.set_bloom_filter(10, False)
    table.set_block_cache(_cache)
    table.set_cache_index_and_filter_blocks(True)
    table.set_format_version(5)
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_block_based_table_factory(table)
    options.set_compression_type(DBCompressionType.lz4())
    options.set_write_buffer_size(_MEMTABLE)
    options.set_max_write_buffer_number(2)
    options.set_max_open_files(128)
    options.set_keep_log_file_num(2)
    options.set_max_background_jobs(2)
    options.set_paranoid_checks(True)
    return options


def _meaning(error: Exception, folder: Path) -> FatalError:
    """Return what an error of RocksDB means to us: CorruptStoreError where files are damaged, and only there."""
    fault = fault_of(error, folder)
    if fault.cause is Cause.DAMAGED:
        return CorruptStoreError(
            f"{fault.message}. It is made anew from its changelog at the next start; nothing is lost."
        )
    log.error("store_unusable", folder=str(folder), cause=fault.cause.value, error=str(error))
    other = ", or set worker.data_dir to another" if fault.cause is Cause.IN_USE else ""
    return FatalError(
        f"{fault.message}{other}, and start the worker again. The store is left as it is; nothing is lost."
    )
