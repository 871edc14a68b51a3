"""What counts as damaged records, and what as a fault of the code that reads them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Collection
from contextlib import suppress

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import CorruptRecordException, KafkaError
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import encode_varint

from schemas.errors import FatalError
from streams.kafka import compat
from streams.kafka.compat import LenientRecords
from streams.kafka.isolating_fetcher import Fetched, PartitionIsolatingFetcher, is_damage
from streams.settings import Settings

CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
# Where the records begin, behind a batch's header.
HEADER = 61
PLACE = TopicPartition("payments", 3)


def batch(codec: int) -> bytes:
    """Return a batch of records as Kafka stores it."""
    builder = DefaultRecordBatchBuilder(2, codec, False, -1, -1, -1, 1_000_000)
    for number in range(20):
        builder.append(number, 1_700_000_000_000, b"key-%d" % number, b"value" * 20, [("header", b"x")])
    return bytes(builder.build())


def read(data: bytes) -> int:
    """Return how many records there are."""
    records, count = LenientRecords(data), 0
    while records.has_next():
        found = records.next_batch()
        assert found is not None
        count += len(list(found))
    return count


@pytest.mark.parametrize("codec", CODECS)
def test_damaged_bytes_are_a_corrupt_record_whatever_is_raised(codec: str) -> None:
    whole, dice = batch(CODECS[codec]), random.Random(codec)
    assert read(whole) == 20
    with pytest.raises(CorruptRecordException) as raised:
        read(whole[:HEADER] + b"\xfe" * (len(whole) - HEADER))
    assert is_damage(raised.value)
    for _ in range(500):
        damaged = bytearray(whole)
        for _ in range(dice.randint(1, 4)):
            damaged[dice.randrange(HEADER, len(whole))] = dice.randrange(256)
        with suppress(CorruptRecordException):
            read(bytes(damaged))


def test_a_place_behind_the_end_of_a_batch_is_not_read() -> None:
    data = bytearray(batch(0)[:HEADER] + b"\x20\0\0\0")
    encode_varint(2**50, data.append)
    with pytest.raises(CorruptRecordException):
        list(compat._LenientBatch(data + b"key"))


def test_a_fault_of_the_parser_is_no_damage(monkeypatch: pytest.MonkeyPatch) -> None:
    class Renamed:
        def __init__(self, data: bytes, more: object) -> None:
            raise AssertionError

    monkeypatch.setattr(compat, "MemoryRecords", Renamed)
    with pytest.raises(TypeError):
        LenientRecords(batch(0))


@pytest.mark.parametrize("error", [TypeError("a lost word"), AttributeError("x"), KeyError("y")])
def test_a_fault_of_the_code_ends_the_reader_and_blames_no_disk(
    error: Exception,
) -> None:
    async def scene() -> None:
        consumer = AIOKafkaConsumer(bootstrap_servers="127.0.0.1:1", enable_auto_commit=False)
        # One that was never started has nothing to close, and warns of that.
        consumer._closed = True
        consumer.assign([PLACE])

        async def take(tps: Collection[TopicPartition], timeout: float, most: int | None) -> Fetched:
            raise error

        fetcher = PartitionIsolatingFetcher(consumer, Settings.load(), take)
        with pytest.raises(FatalError) as raised:
            await fetcher.getmany(timeout=0)
        said = str(raised.value)
        assert said.startswith(f"Fetching records failed ({type(error).__name__} in tests/streams/")
        assert "This is a fault of Reprieve or of its Kafka client, not of a broker or a disk." in said
        assert "a lost word" not in said
        assert not fetcher.damaged

    asyncio.run(scene())


def test_a_fetcher_that_ended_ends_its_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        consumer = AIOKafkaConsumer(bootstrap_servers="127.0.0.1:1", enable_auto_commit=False)
        consumer._closed = True
        consumer.assign([PLACE])
        cause = KafkaError("Unexpected error during data retrieval")
        cause.__cause__ = AssertionError()
        monkeypatch.setattr("streams.kafka.isolating_fetcher.fetcher_error", lambda given: cause)
        fetcher = PartitionIsolatingFetcher(consumer, Settings.load())
        with pytest.raises(FatalError, match=r"ended fetching \(AssertionError") as raised:
            await fetcher.getmany(timeout=0)
        assert "Start this again" in str(raised.value)

    asyncio.run(scene())
