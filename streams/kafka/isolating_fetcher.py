"""Takes what a consumer has fetched, so that what cannot be read of one partition costs the others nothing.

aiokafka's `getmany` moves the position of each partition that it empties, and raises at the first one that it cannot
read: what it had in hand by then is gone, though its positions say that it was given. Here every position goes back to
what was really given, whatever is raised. Where records are damaged, each partition is then read by itself: the others
go on, and it shows which one it is.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Any
from weakref import WeakSet

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import (
    ConsumerStoppedError,
    CorruptRecordException,
    KafkaError,
    RecordTooLargeError,
    UnsupportedCodecError,
)

from schemas.errors import FatalError, ReprieveError
from streams.kafka.compat import assignment_of, fetcher_error, position_of, positions_of, restore_positions
from streams.kafka.metrics import UNREADABLE
from streams.kafka.retry import permanent_error
from streams.redaction import describe_error
from streams.settings import Settings

log: Any = structlog.get_logger(__name__)

Fetched = dict[TopicPartition, list[Any]]
# Takes what is there: of which partitions, how long to wait in seconds, how many records at most.
Take = Callable[[Collection[TopicPartition], float, int | None], Awaitable[Fetched]]

# Seconds for which each partition is read by itself after something could not be read, and between two such looks.
_ALONE, _LOOK = 2.0, 0.05
# What a fetch may meet: damage, brokers that are away or refuse, and the consumer's end. All else is a defect.
_EXPECTED = (KafkaError, ConsumerStoppedError, OSError, TimeoutError, ReprieveError)


def is_damage(error: BaseException) -> bool:
    """Say whether an error is about the bytes of records, of which `compat` makes CorruptRecordException."""
    return isinstance(error, (CorruptRecordException, RecordTooLargeError))


def unreadable_partitions() -> str | None:
    """Return which partitions of this process cannot be read now, None where there are none."""
    names = sorted({partition_name(tp) for fetching in _all for tp in list(fetching.damaged)})
    return f"{', '.join(names)} cannot be read" if names else None


def partition_name(tp: TopicPartition) -> str:
    """Return a partition's name for people."""
    return f"{tp.topic}/{tp.partition}"


@dataclass(slots=True)
class _Damage:
    """at: the position behind which it lies. since, again: when it was found, when it is looked at again."""

    at: int | None
    since: float
    again: float
    pause: float


class PartitionIsolatingFetcher:
    """What one consumer fetches; it is asked for records here only.

    take: how the consumer is asked, where not by its own `getmany`. lasting: whether damage that outlasts
    `health.stall_seconds` is FatalError; else it is told of, and the other partitions go on.
    """

    def __init__(
        self, consumer: AIOKafkaConsumer, settings: Settings, take: Take | None = None, *, lasting: bool = True
    ) -> None:
        self._consumer = consumer
        self._settings = settings
        self._take = take or self._getmany
        self._patience = settings.health.stall_seconds if lasting else float("inf")
        self._pauses = settings.kafka.retry_pause_seconds, settings.kafka.retry_pause_max_seconds
        # By partition, what cannot be read.
        self.damaged: dict[TopicPartition, _Damage] = {}
        self._alone_until = float("-inf")
        _all.add(self)

    async def getmany(self, *tps: TopicPartition, timeout: float, most: int | None = None) -> Fetched:
        """Return what was fetched of partitions, all that are assigned where none is named.

        timeout: seconds to wait for something. most: how many records at most. Raises FatalError where damage lasts,
        and what aiokafka raises, but nothing that was not returned counts as given.
        """
        if not self.damaged and time.monotonic() > self._alone_until:
            try:
                return await self._taken(tps, timeout, most)
            except Exception as error:
                if not is_damage(error) and not isinstance(error, UnsupportedCodecError):
                    raise
                # Nobody says of which partition it is; that shows when each is read by itself.
                self._alone_until = time.monotonic() + _ALONE
        return await self._one_by_one(tps or sorted(self._consumer.assignment()), timeout, most)

    def close(self) -> None:
        """Forget what could not be read, as the consumer ends or its partitions are others'."""
        for tp in list(self.damaged):
            self._forget(tp)

    async def _one_by_one(self, tps: Collection[TopicPartition], timeout: float, most: int | None) -> Fetched:
        found: Fetched = {}
        room = most
        for tp in self.damaged.keys() - self._consumer.assignment():
            self._forget(tp)
        for tp in tps:
            known = self.damaged.get(tp)
            if room == 0 or (known is not None and time.monotonic() < known.again):
                continue
            try:
                got = await self._taken([tp], 0, room)
            except Exception as error:
                if isinstance(error, UnsupportedCodecError):
                    place = f"{partition_name(tp)} from offset {position_of(self._consumer, tp)} on"
                    final = permanent_error(self._settings, f"reading {place}", error)
                    raise error if final is None else final from error
                if is_damage(error):
                    self._found(tp, error)
                elif not found:
                    raise
                else:
                    # It comes again, and then there is nothing in hand.
                    return found
                continue
            found |= got
            room = None if room is None else room - sum(map(len, got.values()))
            if known is not None and position_of(self._consumer, tp) != known.at:
                self._mended(tp)
        if not found:
            await asyncio.sleep(min(timeout, _LOOK))
        return found

    def _found(self, tp: TopicPartition, error: Exception) -> None:
        """Take notice that a partition cannot be read. Raises FatalError where that has lasted for too long."""
        now, at = time.monotonic(), position_of(self._consumer, tp)
        first, longest = self._pauses
        known = self.damaged.setdefault(tp, _Damage(at, now, now, first))
        if known.at != at:
            known.at, known.since, known.pause = at, now, first
        self._alone_until = now + _ALONE
        cause, lasted = describe_error(error), now - known.since
        UNREADABLE.labels(topic=tp.topic, partition=tp.partition).set(1)
        log.error(
            "records_unreadable", topic=tp.topic, partition=tp.partition, offset=at, error=cause, seconds=round(lasted)
        )
        if lasted > self._patience:
            raise FatalError(
                f"What Kafka has of {partition_name(tp)} from offset {at} on cannot be read, for {lasted:.0f} s now "
                f"({cause}). Nothing was passed over, and nothing that was committed is lost. Let a replica that is "
                "whole lead that partition, or bring its log back, and start this again."
            ) from error
        known.again = now + known.pause
        known.pause = min(known.pause * 2, longest)

    def _mended(self, tp: TopicPartition) -> None:
        self._forget(tp)
        log.info("records_readable_again", topic=tp.topic, partition=tp.partition)

    def _forget(self, tp: TopicPartition) -> None:
        del self.damaged[tp]
        UNREADABLE.labels(topic=tp.topic, partition=tp.partition).set(0)

    # -- positions

    async def _getmany(self, tps: Collection[TopicPartition], timeout: float, most: int | None) -> Fetched:
        got: Fetched = await self._consumer.getmany(*tps, timeout_ms=int(timeout * 1000), max_records=most)
        return got

    async def _taken(self, tps: Collection[TopicPartition], timeout: float, most: int | None) -> Fetched:
        """Take what is there; where that raises, all positions are as they were.

        Raises FatalError where the code is at fault, and no broker and no record.
        """
        ended = fetcher_error(self._consumer)
        if ended is not None:
            raise FatalError(
                f"Kafka's client has ended fetching ({describe_error(ended.__cause__ or ended)}). Nothing was passed "
                "over, and nothing that was committed is lost. Start this again; where it comes again, report it."
            ) from ended
        assignment = self.assignment
        positions = positions_of(assignment)
        try:
            return await self._take(tps, timeout, most)
        except Exception as error:
            # Where partitions were assigned anew meanwhile, whoever has them begins at what is committed.
            if assignment is not None and self.assignment is assignment:
                restore_positions(self._consumer, assignment, positions)
                if isinstance(error, RecordTooLargeError) and len(error.args) > 2:
                    # aiokafka has passed over it already.
                    self._consumer.seek(TopicPartition(*error.args[1]), error.args[2])
            if isinstance(error, _EXPECTED):
                raise
            raise FatalError(
                f"Fetching records failed ({describe_error(error)}). This is a fault of Reprieve or of its Kafka "
                "client, not of a broker or a disk. Nothing was passed over, and nothing that was committed is lost. "
                "Install the versions that requirements.lock names; where they are installed, report this."
            ) from error

    @property
    def assignment(self) -> Any:
        """What is assigned now, as aiokafka keeps it: another object whenever the group has given anew."""
        return assignment_of(self._consumer)


_all: WeakSet[PartitionIsolatingFetcher] = WeakSet()
