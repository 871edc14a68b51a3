"""Batches of records are read whatever bytes name their headers, and else as aiokafka reads them."""

from __future__ import annotations

from typing import Any

import pytest
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.kafka.compat import LenientRecords

GZIP, ZSTD = 1, 4


class Name(str):
    """A name whose bytes are others."""

    raw: bytes

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        """Return the bytes."""
        return self.raw


def name(raw: bytes) -> Name:
    """Return what a producer makes these bytes of."""
    made = Name("?" * len(raw))
    made.raw = raw
    return made


Record = tuple[bytes | None, bytes | None, list[tuple[bytes, bytes | None]]]


def batch(records: list[Record], codec: int = 0) -> bytes:
    """Return records as a batch, as they go over the wire."""
    builder: Any = _DefaultRecordBatchBuilderPy(2, codec, 0, -1, -1, -1, 2**20)
    for offset, (key, value, headers) in enumerate(records):
        builder.append(offset, 1_700_000_000_000 + offset, key, value, [(name(raw), v) for raw, v in headers])
    return bytes(builder.build())


def read(kind: Any, data: bytes) -> list[tuple[Any, ...]]:
    """Return what a reader finds in batches, having looked at each as a consumer does."""
    records, found = kind(data), []
    while records.has_next():
        one = records.next_batch()
        assert one.validate_crc()
        assert not one.is_control_batch
        found += [(r.offset, r.timestamp, r.key, r.value, list(r.headers)) for r in one]
        assert one.next_offset == found[-1][0] + 1
    assert records.next_batch() is None
    return found


some = st.none() | st.binary(max_size=20)
rows = st.lists(
    st.tuples(some, some, st.lists(st.tuples(st.binary(max_size=8), some), max_size=3)), min_size=1, max_size=5
)


@settings(max_examples=300, derandomize=True, deadline=None)
@given(parts=st.lists(st.tuples(rows, st.sampled_from([0, GZIP])), min_size=1, max_size=3))
def test_all_records_are_read_whatever_names_their_headers(parts: list[tuple[list[Record], int]]) -> None:
    data = b"".join(batch(records, codec) for records, codec in parts)
    found = read(LenientRecords, data)
    wanted = [
        (key, value, [(raw.decode("utf-8", "backslashreplace"), v) for raw, v in headers])
        for records, _ in parts
        for key, value, headers in records
    ]
    assert [(key, value, headers) for _, _, key, value, headers in found] == wanted


@settings(max_examples=100, derandomize=True, deadline=None)
@given(records=rows)
def test_what_aiokafka_reads_is_read_alike(records: list[Record]) -> None:
    plain = [(k, v, [(b"name", value) for _, value in headers]) for k, v, headers in records]
    assert read(LenientRecords, batch(plain)) == read(MemoryRecords, batch(plain))


def test_a_corrupt_batch_is_still_said_to_be_corrupt() -> None:
    whole = batch([(b"k", b"v", [(b"\xff", b"")])])
    # One byte that is not read stands at the end, inside of the batch's own length.
    length = int.from_bytes(whole[8:12], "big") + 1
    longer = whole[:8] + length.to_bytes(4, "big") + whole[12:] + b"\0"
    records = LenientRecords(longer)
    one = records.next_batch()
    assert one is not None
    assert not one.validate_crc()
    with pytest.raises(CorruptRecordException):
        list(one)


def test_records_of_the_oldest_formats_are_read() -> None:
    builder: Any = LegacyRecordBatchBuilder(magic=1, compression_type=0, batch_size=1_000)
    builder.append(0, timestamp=5, key=b"k", value=b"v")
    (found,) = list(LenientRecords(bytes(builder.build())).next_batch() or ())
    assert (found.key, found.value) == (b"k", b"v")
