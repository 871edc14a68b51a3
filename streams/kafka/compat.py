"""Every use of a private part of aiokafka, and every patch of it, each with the limitation that makes it necessary.

aiokafka and Faust are pinned; `tests/streams/test_compat.py` fails where another release changes one of these parts, or
a private method of Faust that the app, its assignor, its transport or its recovery overrides.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import struct
import zlib
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, SupportsIndex, TypeVar

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition, client
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.consumer import fetcher
from aiokafka.consumer.fetcher import OffsetResetStrategy
from aiokafka.errors import CorruptRecordException, IllegalOperation, KafkaError
from aiokafka.producer import sender
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords, _MemoryRecordsPy
from aiokafka.record.util import decode_varint_py
from aiokafka.structs import OffsetAndMetadata

# Where it was built, which is optional, records are read without their headers (`streams/kafka/record_reader.pyx`).
LightRecord: Any
try:
    from streams.kafka.record_reader import Record as LightRecord
    from streams.kafka.record_reader import read_records
except ImportError:
    LightRecord = read_records = None  # type: ignore[assignment]

Client = TypeVar("Client", AIOKafkaConsumer, AIOKafkaProducer, AIOKafkaAdminClient)

# -- bytes of records that are damaged
#
# aiokafka raises CorruptRecordException where a checksum is wrong. Of bytes that no checksum guards, or that a producer
# compressed badly, its parser and its codecs raise what they trip over. Here that is CorruptRecordException too; what a
# defect of the code raises (TypeError, AttributeError) stays what it is.

# aiokafka goes on without cramjam, and so does this.
_DECOMPRESSION: tuple[type[Exception], ...] = ()
with contextlib.suppress(ImportError):
    from cramjam import DecompressionError

    _DECOMPRESSION = (DecompressionError,)
_PARSE_ERRORS: tuple[type[Exception], ...] = (
    ArithmeticError,
    EOFError,
    LookupError,
    ValueError,
    struct.error,
    zlib.error,
    gzip.BadGzipFile,
    *_DECOMPRESSION,
)


@contextlib.contextmanager
def _parsing() -> Iterator[None]:
    try:
        yield
    except _PARSE_ERRORS as error:
        raise CorruptRecordException(f"Records cannot be parsed ({type(error).__name__})") from error


# -- headers whose names are not UTF-8
#
# librdkafka lets a producer name a header by any bytes. aiokafka raises at it, and the whole partition would never go
# on. Here such a name is read with its bytes written out (`\\xff`); all else stays aiokafka's.


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
    def _read_msg(self, decode_varint: Any = decode_varint_py) -> Any:
        # By default numbers are read by C, which goes on behind the end of damaged bytes and can end the process.
        return super()._read_msg(decode_varint)

    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        self._buffer: bytearray = _Lenient(self._buffer)


class _LenientOnDemand:
    """A batch as aiokafka reads it, or leniently where it cannot."""

    def __init__(self, batch: Any, data: memoryview) -> None:
        self._batch = batch
        self._data = data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        with _parsing():
            return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
        with _parsing():
            return self._read()

    def _read(self) -> Iterator[Any]:
        light = None if read_records is None else read_records(self._data)
        if light is not None:
            return iter(light)
        try:
            return iter(list(self._batch))
        except (UnicodeDecodeError, CorruptRecordException) as error:
            # aiokafka without its extensions says of such a name that the record is corrupt.
            if isinstance(error, UnicodeDecodeError) or isinstance(error.__cause__, UnicodeDecodeError):
                return iter(list(_LenientBatch(bytearray(self._data))))
            raise


class LenientRecords:
    """What was fetched of a partition, in the place of aiokafka's `MemoryRecords`."""

    def __init__(self, data: bytes) -> None:
        with _parsing():
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

    def next_batch(self) -> _LenientOnDemand | None:
        """Return the next batch, None where there is none."""
        with _parsing():
            batch = self._records.next_batch()
            if batch is None:
                return None
            part = self._parts._next_slice
            self._parts._cache_next()
        return _LenientOnDemand(batch, part)


# -- records whose headers nobody asked for
#
# aiokafka makes a record of all its headers. A light record reads them when they are asked for, and is handed over as
# it is.

_consumer_record = fetcher.PartitionRecords._consumer_record


def _light_record(self: fetcher.PartitionRecords, tp: TopicPartition, record: Any) -> Any:
    if type(record) is not LightRecord:
        return _consumer_record(self, tp, record)
    record.topic, record.partition = tp
    return record


# -- fetchers that end
#
# Where a partition gets another leader, aiokafka can ask twice at once for its committed offset. Where there is none,
# and no rule for a reset, both answers set an error, and its fetcher dies of an assertion at the second. Only a log
# says so: the consumer returns nothing from then on. Here the first error stands, and `fetcher_error` says what ended
# a fetcher.

_set_error = fetcher.Fetcher._set_error


def _set_first_error(self: fetcher.Fetcher, tp: TopicPartition, error: BaseException) -> None:
    if tp not in self._records:
        _set_error(self, tp, error)


def fetcher_error(consumer: AIOKafkaConsumer) -> BaseException | None:
    """Return what ended a consumer's fetcher: `getmany` does not raise it, and waits for what nobody fetches."""
    found = consumer._fetcher
    return None if found is None else error_of(found.error_future)


def patch_fetchers() -> None:
    """Let all consumers of this process read records with such headers, and outlive a second error."""
    fetcher.MemoryRecords = LenientRecords
    fetcher.Fetcher._set_error = _set_first_error
    fetcher.PartitionRecords._consumer_record = _light_record


# -- clients that cannot start
#
# A client asks the first broker that it reaches for the others. Cancelled meanwhile, it forgets that connection, which
# stays open. Only this first connection is made without `on_close`.

_bootstrap, _create_conn = client.AIOKafkaClient.bootstrap, client.create_conn
_first: ContextVar[list[Any]] = ContextVar("_first")


async def _create_known_conn(*args: Any, **more: Any) -> Any:
    made = await _create_conn(*args, **more)
    if "on_close" not in more:
        _first.get([]).append(made)
    return made


async def _bootstrap_or_close(self: client.AIOKafkaClient) -> None:
    made: list[Any] = []
    token = _first.set(made)
    try:
        await _bootstrap(self)
    except BaseException:
        for connection in made:
            connection.close()
        raise
    finally:
        _first.reset(token)


client.create_conn = _create_known_conn
client.AIOKafkaClient.bootstrap = _bootstrap_or_close


@contextlib.asynccontextmanager
async def connected(made: Client) -> AsyncIterator[Client]:
    """Start a client and stop it in the end, also where it cannot start: its own `async with` then leaves it open."""
    try:
        await made.start()
        # A task of a consumer that is cancelled before it ran raises that at whoever stops the consumer.
        await asyncio.sleep(0)
        yield made
    finally:
        await (made.close() if isinstance(made, AIOKafkaAdminClient) else made.stop())


# -- consumers: topics, positions, offsets with metadata, members of a group


def assignment_of(consumer: AIOKafkaConsumer) -> Any:
    """Return what is assigned now: another object whenever the group has assigned anew, which no public API shows."""
    subscription = consumer._subscription.subscription
    return None if subscription is None else subscription.assignment


Positions = Mapping[TopicPartition, tuple[int | None, int | None]]


def positions_of(assignment: Any) -> Positions:
    """Return where each partition is, and how it would be reset.

    `getmany` moves the position of each partition that it empties, and raises at the first one that it cannot read:
    records in hand by then are lost unless positions are restored. The public `position` waits for a reset.
    """
    states = {} if assignment is None else assignment._tp_state
    return {tp: (state._position, state._reset_strategy) for tp, state in states.items()}


def restore_positions(consumer: AIOKafkaConsumer, assignment: Any, positions: Positions) -> None:
    """Put partitions back to where they were."""
    for tp, (at, strategy) in positions.items():
        state = assignment.state_value(tp)
        if state._position == at:
            continue
        if at is None:
            # It had no position yet, and is reset again; what was fetched meanwhile has none either.
            consumer._fetcher._records.pop(tp, None)
            state.await_reset(strategy)
        else:
            consumer.seek(tp, at)


def position_of(consumer: AIOKafkaConsumer, tp: TopicPartition) -> int | None:
    """Return where a partition is, None where it has no position yet."""
    assignment = assignment_of(consumer)
    state = None if assignment is None else assignment.state_value(tp)
    at: int | None = None if state is None else state._position
    return at


def position_and_end(consumer: AIOKafkaConsumer, tp: TopicPartition) -> tuple[int, int] | None:
    """Return where a partition is and the last stable offset last fetched, None where it was not fetched yet."""
    assignment = assignment_of(consumer)
    state = None if assignment is None else assignment.state_value(tp)
    if state is None or not state.has_valid_position or state.lso is None:
        return None
    return state._position, state.lso


def reset_to_beginning(consumer: AIOKafkaConsumer, tp: TopicPartition) -> None:
    """Have a partition without a committed offset begin at its first record, where `auto_offset_reset` is none."""
    assignment_of(consumer).state_value(tp).await_reset(OffsetResetStrategy.EARLIEST)


async def committed_with_metadata(
    consumer: AIOKafkaConsumer, tps: Sequence[TopicPartition]
) -> dict[TopicPartition, OffsetAndMetadata]:
    """Return the group's offsets with their metadata.

    The public `committed` leaves the metadata out, and the admin client overlooks a coordinator that moved.
    """
    found: dict[TopicPartition, OffsetAndMetadata] = await consumer._coordinator.fetch_committed_offsets(list(tps))
    return found


async def learn_topics(consumer: AIOKafkaConsumer, topics: Collection[str]) -> None:
    """Ask for topics at once: a consumer that is assigned nothing asks for each by itself, once it needs it."""
    await consumer._client.set_topics(topics)


async def cluster_of(consumer: AIOKafkaConsumer) -> Any:
    """Return the cluster's metadata: a consumer knows no topic before it is assigned one, and then waits for it."""
    return await consumer._client.fetch_all_metadata()


def watch_member(
    consumer: AIOKafkaConsumer, met: Callable[[BaseException], None], ended: Callable[[BaseException], None]
) -> None:
    """Report what the group's member meets, and what ends it.

    aiokafka raises it only to a caller that fetches, and before the group is joined nothing does.
    """
    coordinator = consumer._coordinator
    push = coordinator._push_error_to_user

    def pushed(error: BaseException) -> Any:
        met(error)
        return push(error)

    def over(task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            ended(error)

    coordinator._push_error_to_user = pushed
    coordinator._coordination_task.add_done_callback(over)


def request_rejoin(consumer: AIOKafkaConsumer) -> None:
    """Join the group anew, in the consumer's loop; no public API does."""
    consumer._coordinator.request_rejoin()


# -- producers: why a transaction ended, and closing in time

# The broker is done with a transaction's markers within a few milliseconds; aiokafka asks again after 20.
sender.BACKOFF_OVERRIDE = 0.003
# Connections that are being closed.
_closing: set[asyncio.Future[Any]] = set()


@contextlib.contextmanager
def transaction_errors(producer: AIOKafkaProducer) -> Iterator[None]:
    """Raise why a transaction ended where aiokafka's sender met an error and ended it.

    aiokafka then raises only that there is no transaction; whether another has taken the id stands in its sender.
    """
    try:
        yield
    except (IllegalOperation, AssertionError) as error:
        raise producer_error(producer) or KafkaError(f"the transaction ended early: {error}") from error


def producer_error(producer: AIOKafkaProducer) -> BaseException | None:
    """Return what ended a producer or its transaction, if anything did, and retrieve what else failed by it."""
    waiting = [batch._drain_waiter for some in producer._message_accumulator._batches.values() for batch in some]
    ends = (producer._sender.sender_task, producer._txn_manager._transaction_waiter)
    found = [error_of(future) for future in (*ends, *waiting) if future is not None]
    return next((x for x in found if x is not None), None)


def error_of(future: asyncio.Future[Any]) -> BaseException | None:
    """Return what a future failed with. asyncio logs the failures that nothing retrieves."""
    return future.exception() if future.done() and not future.cancelled() else None


async def abandon(producer: AIOKafkaProducer, seconds: float) -> None:
    """Close what a producer holds whose `stop` hangs: it waits for batches that a broker never acknowledges."""
    task = producer._sender.sender_task
    if task is not None:
        task.cancel()
    # In a task of its own, which goes on where this one is cancelled again.
    closing = asyncio.ensure_future(producer.client.close())
    _closing.add(closing)
    closing.add_done_callback(_closing.discard)
    closing.add_done_callback(error_of)
    await asyncio.wait([closing], timeout=seconds)
