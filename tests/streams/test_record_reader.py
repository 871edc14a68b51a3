"""Light records are what aiokafka reads, and what it says is damaged is damaged to them too."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import _DefaultRecordBatchPy
from hypothesis import given, settings

from streams.kafka import compat
from tests.streams.test_batches import Record, batch, rows
from tests.support.compiled_readers import load

PLACE = TopicPartition("payments", 3)
# Where a batch says how it was made, when its last record was appended, and where its records begin.
ATTRIBUTES, LAST_TIME, RECORDS = 21, slice(35, 43), 61


@pytest.fixture(scope="session")
def light(compiled_readers: Path) -> Any:
    """Return the compiled reader of records."""
    return load(compiled_readers, "streams.kafka.record_reader")


def fields(record: Any) -> tuple[Any, ...]:
    """Return what a record is."""
    return (record.offset, record.timestamp, record.timestamp_type, record.key, record.value, list(record.headers))


def read(make: Callable[[bytes], Any], data: bytes) -> object:
    """Return what a reader makes of a batch, None where it is damaged."""
    try:
        return [fields(record) for record in make(data)]
    except CorruptRecordException:
        return None


def by_aiokafka(data: bytes) -> Any:
    """Read a batch as aiokafka does, whatever bytes name its headers."""
    return compat._LenientBatch(bytearray(data))


def by_both(light: Any, data: bytes) -> list[object]:
    """Return what either makes of a batch; what light records leave to aiokafka is aiokafka's."""
    plain = read(by_aiokafka, data)
    found = light.read_records(memoryview(data))
    return [plain, plain if found is None else read(lambda _: found, data)]


@settings(max_examples=200, derandomize=True, deadline=None)
@given(records=rows)
def test_light_records_are_those_of_aiokafka(light: Any, records: list[Record]) -> None:
    data = batch(records)
    assert light.read_records(memoryview(data)) is not None
    plain, found = by_both(light, data)
    assert found == plain
    stamped = bytearray(data)
    stamped[ATTRIBUTES + 1] |= _DefaultRecordBatchPy.TIMESTAMP_TYPE_MASK
    stamped[LAST_TIME] = (1_800_000_000_000).to_bytes(8, "big")
    plain, found = by_both(light, bytes(stamped))
    assert found == plain
    assert isinstance(found, list)
    assert found[0][1:3] == (1_800_000_000_000, 1)


@pytest.mark.parametrize("codec", [1, 2, 3, 4])
def test_what_is_compressed_or_older_is_left_to_aiokafka(light: Any, codec: int) -> None:
    assert light.read_records(memoryview(batch([(b"k", b"v" * 500, [])], codec))) is None
    older = bytearray(batch([(b"k", b"v", [])]))
    older[16] = 1
    assert light.read_records(memoryview(bytes(older))) is None


def test_a_damaged_batch_is_damaged_to_light_records_too(light: Any) -> None:
    whole = batch([(b"key", b"value", [(b"name", b"x"), (b"\xff", None)]), (None, None, [(b"", b"")])] * 3)
    assert by_both(light, whole)[0] is not None
    dice, damaged = random.Random(7), 0
    cases = [whole[:-1], whole + b"\0", *(whole[:at] for at in range(RECORDS, len(whole)))]
    for _ in range(3_000):
        changed = bytearray(whole)
        for _ in range(dice.randint(1, 3)):
            # Offsets and times of a record may be any; all else says how long something is.
            changed[dice.randrange(RECORDS, len(whole))] = dice.choice([0, 1, 2, 3, 9, 64, 127, 128, 255])
        cases.append(bytes(changed))
    for data in cases:
        plain, found = by_both(light, data)
        assert found == plain
        damaged += plain is None
    assert damaged > 1_000


def test_a_consumer_hands_light_records_over(light: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    compat.patch_fetchers()
    data = batch([(b"k", b"v", [(b"name", b"x")]), (None, b"", [])])
    before: list[Any] = []
    after: list[Any] = []
    for reader, kind, records in ((None, None, before), (light.read_records, light.Record, after)):
        monkeypatch.setattr(compat, "read_records", reader)
        monkeypatch.setattr(compat, "LightRecord", kind)
        log = fetcher.MemoryRecords(data)
        found = fetcher.PartitionRecords(PLACE, log, [], 0, None, None, True, fetcher.READ_COMMITTED)
        records += list(found)
    assert [type(record) for record in after] == [light.Record] * 2
    for plain, found in zip(before, after, strict=True):
        for name in ("topic", "partition", "checksum", "serialized_key_size", "serialized_value_size"):
            assert getattr(found, name) == getattr(plain, name)
        assert fields(found) == fields(plain)
        assert found.headers is found.headers
