"""Reads records whose headers have names that are no UTF-8.

librdkafka lets a producer name a header by any bytes. aiokafka raises at it, and the whole partition would stand still
for ever. Here such a name is read with its bytes written out (`\\xff`); all else stays aiokafka's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, SupportsIndex

from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords, _MemoryRecordsPy


class _Lenient(bytearray):
    """Bytes of which any part can be decoded."""

    def __getitem__(self, at: SupportsIndex | slice) -> Any:
        found: Any = super().__getitem__(at)
        return _Lenient(found) if isinstance(found, bytearray) else found

    def decode(self, encoding: str = "utf-8", errors: str = "backslashreplace") -> str:
        """Return them as text."""
        return super().decode(encoding, errors)


# aiokafka's reader in Python asks its buffer for text, so only the buffer has to be another.
class _LenientBatch(_DefaultRecordBatchPy):  # type: ignore[misc]
    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        self._buffer: bytearray = _Lenient(self._buffer)


class _Batch:
    """A batch as aiokafka reads it, or leniently where it cannot."""

    def __init__(self, batch: Any, data: memoryview) -> None:
        self._batch = batch
        self._data = data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
        try:
            return iter(list(self._batch))
        except (UnicodeDecodeError, CorruptRecordException) as error:
            # aiokafka without its extensions says of such a name that the record is corrupt.
            if isinstance(error, UnicodeDecodeError) or isinstance(error.__cause__, UnicodeDecodeError):
                return iter(list(_LenientBatch(bytearray(self._data))))
            raise


class AnyRecords:
    """What was fetched of a partition, in the place of aiokafka's `MemoryRecords`."""

    def __init__(self, data: bytes) -> None:
        self._records: Any = MemoryRecords(data)
        self._parts: Any = _MemoryRecordsPy(data)

    def has_next(self) -> bool:
        """Say whether there is another batch."""
        found: bool = self._records.has_next()
        return found

    def size_in_bytes(self) -> int:
        """Return how long all of it is."""
        found: int = self._records.size_in_bytes()
        return found

    def next_batch(self) -> _Batch | None:
        """Return the next batch, None where there is none."""
        batch = self._records.next_batch()
        if batch is None:
            return None
        part = self._parts._next_slice
        self._parts._cache_next()
        return _Batch(batch, part)


def read_any_headers() -> None:
    """Let all consumers of this process read such records."""
    fetcher.MemoryRecords = AnyRecords
