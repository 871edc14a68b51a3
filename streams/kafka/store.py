"""The rows of one agent's partition on this machine: a RocksDB that follows the changelog.

It is a cache of the changelog and holds nothing that is not committed there. It is written without a
write-ahead log: after a crash it stands at an earlier place of the changelog, which it knows, and what comes
behind that place is read again.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
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

from schemas.errors import Fatal
from streams.desk import SEPARATOR
from streams.kafka.rows import CLEARED, ERASED, PLACE, due_entry, place_row, ranges_of

log: Any = structlog.get_logger(__name__)

# Bytes that a partition may hold unwritten; it is read again from the changelog after a crash.
_MEMTABLE = 16 * 1024 * 1024
# One cache for all partitions of a worker.
_cache: Cache | None = None


class Corrupt(Exception):
    """The files of a store cannot be read; the changelog has all that was in them."""


class PartitionStore:
    """One RocksDB folder. Raises Corrupt where its files are damaged, Fatal where another process has it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._db = Rdict(str(folder), _options())
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
    def place(self) -> tuple[int, bytes]:
        """The offset of the changelog behind the last row that is in, and that row's digest; 0 for a new store."""
        value = self.get(PLACE)
        return (0, b"") if value is None else (int.from_bytes(value[:8], "big"), value[8:])

    def get(self, key: bytes) -> bytes | None:
        """Return a row's value, None where there is none."""
        try:
            value: bytes | None = self._db.get(key)
        except Exception as error:
            raise _meaning(error, self.folder) from error
        return value

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the values of rows in the order of the keys, None where there is none."""
        try:
            values: Any = self._db.get(list(keys))
        except Exception as error:
            raise _meaning(error, self.folder) from error
        return cast(list[bytes | None], values)

    def scan(self, first: bytes, behind: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield rows from a key on, up to one that is left out, in the order of keys."""
        found = self._db.iter()
        found.seek(first)
        while found.valid():
            key = found.key()
            if key >= behind:
                return
            yield key, found.value()
            found.next()
        try:
            found.status()
        except Exception as error:
            raise _meaning(error, self.folder) from error

    def write(
        self,
        rows: Iterable[tuple[bytes, bytes | None]],
        offset: int,
        drop: Iterable[bytes] = (),
    ) -> None:
        """Write rows (None deletes), the due entries that follow, and the changelog's offset behind them, at once.

        drop: stale entries of the due index.
        """
        batch = WriteBatch(raw_mode=True)
        put, delete = batch.put, batch.delete
        key, value = b"", None
        for entry in drop:
            delete(entry)
        for key, value in rows:
            if value is None:
                delete(key)
                continue
            put(key, value)
            due = due_entry(key, value)
            if due is not None:
                put(due, b"")
        put(PLACE, place_row(offset, key, value))
        try:
            self._db.write(batch, self._write)
        except Exception as error:
            raise _meaning(error, self.folder) from error

    def clear_erased(self) -> None:
        """Have the files hold nothing but the present rows of keys that were erased, where they may hold older ones."""
        names = self.get(ERASED)
        if names is None or names == self.get(CLEARED):
            return
        try:
            self._db.flush()
            for key in names.decode().split(SEPARATOR)[1:]:
                for first, behind in ranges_of(key):
                    self._db.compact_range(first, behind, self._thorough)
            self._db.put(CLEARED, names)
        except Exception as error:
            raise _meaning(error, self.folder) from error

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
        """Remove a store's files; the changelog has all that was in them."""
        shutil.rmtree(folder, ignore_errors=True)


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


def _meaning(error: Exception, folder: Path) -> Exception:
    """Return what an error of RocksDB means to us."""
    text = str(error)
    if "lock" in text.lower() and "IO error" in text:
        return Fatal(
            f"The data directory {folder} is in use by another process. Stop that one, or set worker.data_dir to "
            "another."
        )
    if "Corruption" in text or "CURRENT" in text or "MANIFEST" in text:
        return Corrupt(f"{folder}: {text}")
    if "No space left" in text:
        return Fatal(f"The disk of {folder} is full: {text}. Make room, and start the worker again; nothing is lost.")
    return Fatal(f"The store {folder} failed: {text}. Nothing is lost; mend the disk and start the worker again.")
