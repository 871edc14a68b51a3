"""Kafka as a worker's lanes see it: transactions that are tried until their outcome is known, and offsets."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar
from uuid import uuid4
from weakref import WeakSet

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.structs import OffsetAndMetadata

from schemas.errors import Fatal, Transient
from streams.kafka.lane import Lane
from streams.kafka.metrics import BROKER_AWAY, COMMIT_RETRIES, COMMIT_SECONDS
from streams.kafka.progress import BEACON, NAME, Progress, words_between
from streams.kafka.transactions import DENIED, Fenced, Transactions
from streams.settings import Settings

log: Any = structlog.get_logger(__name__)
T = TypeVar("T")

# What a broker that is away, or changes its leader, makes aiokafka raise; and any other neighbour.
AWAY = (KafkaError, OSError, TimeoutError, Transient)


def rebalance_seconds(settings: Settings) -> float:
    """Return how long a rebalance of the group may take."""
    return max(60.0, settings.worker.session_timeout_seconds)


def changelog(settings: Settings, agent: str) -> str:
    """Return the changelog topic of an agent's states."""
    return f"{settings.topics.prefix}{agent}-changelog"


# Those that wait for a neighbour that does not answer.
_waiting: WeakSet[Pauses] = WeakSet()


def is_away() -> bool:
    """Say whether something waits for a broker, or another neighbour, that does not answer."""
    return bool(_waiting)


class Pauses:
    """Growing pauses between attempts."""

    def __init__(self, settings: Settings) -> None:
        self._first = settings.kafka.retry_pause_seconds
        self._most = settings.kafka.retry_pause_max_seconds
        self._next = self._first

    async def rest(self, doing: str, error: BaseException) -> None:
        """Sleep, longer each time, and say why."""
        log.warning("broker_away", doing=doing, error=f"{type(error).__name__}: {error}", retry_in_seconds=self._next)
        _waiting.add(self)
        BROKER_AWAY.set(self._next)
        await asyncio.sleep(self._next)
        self._next = min(self._next * 2, self._most)

    def over(self) -> None:
        """Begin with short pauses again."""
        self._next = self._first
        _waiting.discard(self)
        if not _waiting:
            BROKER_AWAY.set(0)


async def patiently(settings: Settings, doing: str, attempt: Callable[[], Awaitable[T]]) -> T:
    """Try until it is done, with growing pauses while the broker is away. What no repetition mends is raised."""
    pauses = Pauses(settings)
    try:
        while True:
            try:
                return await attempt()
            except DENIED as error:
                raise Fatal(
                    f"Kafka refuses this worker ({doing}): {type(error).__name__} {error}. See to kafka.sasl_username, "
                    "kafka.sasl_password and the rights that they have. Nothing that was committed is lost."
                ) from error
            except AWAY as error:
                await pauses.rest(doing, error)
    finally:
        pauses.over()


class Probe:
    """Asks Kafka for offsets, as a member of no group."""

    def __init__(self, settings: Settings) -> None:
        self._prefix = settings.topics.prefix
        self._group = settings.worker.application_id
        self._consumer = AIOKafkaConsumer(
            **settings.kafka.client_options(),
            group_id=self._group,
            enable_auto_commit=False,
            isolation_level="read_uncommitted",
        )

    async def start(self) -> None:
        """Connect."""
        await self._consumer.start()

    async def stop(self) -> None:
        """Disconnect."""
        await self._consumer.stop()

    async def ends(self, topics: Sequence[str], partition: int) -> dict[str, int]:
        """Return the offsets behind the last records, uncommitted ones too; topics without their prefix."""
        tps = [TopicPartition(self._prefix + topic, partition) for topic in topics]
        ends = await self._consumer.end_offsets(tps)
        return {topic: ends[tp] for topic, tp in zip(topics, tps, strict=True)}

    async def begins(self, topics: Sequence[str], partition: int) -> dict[str, int]:
        """Return the offsets of the first records that are still there."""
        tps = [TopicPartition(self._prefix + topic, partition) for topic in topics]
        begins = await self._consumer.beginning_offsets(tps)
        return {topic: begins[tp] for topic, tp in zip(topics, tps, strict=True)}

    async def committed(self, topics: Sequence[str], partition: int) -> dict[str, OffsetAndMetadata]:
        """Return what the group has committed, by topic without its prefix; topics without any are left out."""
        names = {TopicPartition(self._prefix + topic, partition): topic for topic in topics}
        # The public `committed` leaves out the word, and the admin client overlooks a coordinator that moved.
        found = await self._consumer._coordinator.fetch_committed_offsets(list(names))
        return {names[tp]: at for tp, at in found.items() if at.offset >= 0}


class LaneBroker:
    """Commits the batches of one lane; has its transactional id from `start` until `stop`."""

    def __init__(
        self, settings: Settings, partition: int, partitions: int, probe: Probe, agents: Sequence[str]
    ) -> None:
        self._settings = settings
        # The changelogs, that of the first agent first: it tells how far the lane has read.
        self._changelogs = [changelog(settings, agent) for agent in agents]
        self._partition = partition
        self._partitions = partitions
        self._probe = probe
        self._transactions: Transactions | None = None
        # Where each changelog has come to in truth.
        self.marks: dict[str, int] = {}
        # What the lane has read and the group does not know of.
        self.behind: dict[str, int] = {}
        # What the last transaction left, and up to where the first changelog is known.
        self._read = Progress("", {})
        self._known = 0

    async def start(self) -> None:
        """Fence whoever had the lane, and find where its changelogs end (`marks`)."""
        self._transactions = await patiently(self._settings, f"taking partition {self._partition}", self._fresh)

    async def _fresh(self) -> Transactions:
        fresh = Transactions(self._settings, self._partition, self._partitions)
        try:
            self.marks = await fresh.start(self._changelogs)
        except BaseException:
            await fresh.stop()
            raise
        return fresh

    async def take_up(self, topics: Sequence[str], read: Progress | None) -> dict[str, int]:
        """Return where the lane goes on in topics, `clock` among them.

        read: what its restored rows say. The group's offsets count where somebody has moved them further.
        Raises Fatal where records are gone before they were read, or offsets point behind the end.
        """
        found = await self._asked(lambda: self._probe.committed(topics, self._partition))
        self.behind = {
            topic: offset
            for topic, offset in ({} if read is None else read.offsets).items()
            if topic not in found or found[topic].offset < offset
        }
        found |= {topic: OffsetAndMetadata(offset, "") for topic, offset in self.behind.items()}
        begins = await self._begins(["clock"])
        await self.see_whether_there({topic: at.offset for topic, at in found.items()})
        clock = found.get("clock", OffsetAndMetadata(begins["clock"], ""))
        offsets = {"clock": clock.offset} | {topic: at.offset for topic, at in found.items()}
        self._read = Progress(clock.metadata if read is None else read.word, offsets)
        self._known = self.marks[self._changelogs[0]]
        return offsets

    async def see_whether_there(self, places: Mapping[str, int]) -> None:
        """See that what lies behind places is there, by topic.

        Raises Fatal where records are gone before they were read, or a place is behind a topic's end.
        """
        begins, ends = await self._begins(list(places)), await self.ends(list(places), self._partition)
        for topic, at in places.items():
            place = f"{self._settings.topics.prefix}{topic}/{self._partition}"
            if at < begins[topic]:
                raise Fatal(
                    f"{begins[topic] - at} records of {place} were deleted before they were read (offsets {at} to "
                    f"{begins[topic] - 1}). Publish them again, move the group's offset to {begins[topic]}, and "
                    "lengthen the topic's retention."
                )
            if at > ends[topic]:
                raise Fatal(
                    f"The group has read {place} up to {at}, but it ends at {ends[topic]}: the topic was restored to "
                    "an earlier state or made anew. Restore the group's offsets with it."
                )

    async def _begins(self, topics: Sequence[str]) -> dict[str, int]:
        return await self._asked(lambda: self._probe.begins(topics, self._partition))

    async def stop(self) -> None:
        """Let the lane go."""
        if self._transactions is not None:
            transactions, self._transactions = self._transactions, None
            await transactions.stop()

    async def ends(self, topics: Sequence[str], partition: int) -> dict[str, int]:
        """Return the offsets behind the last records of topics, uncommitted ones too."""
        return await self._asked(lambda: self._probe.ends(topics, partition))

    async def commit(self, lane: Lane) -> dict[str, int]:
        """Commit the lane's batch, once; returns the changelogs' ends by agent.

        While the broker is away the batch is held and tried again. Whether a transaction whose answer was lost
        has happened is told by the word that it would have left with the group's offsets. Raises Fenced where
        another worker has committed since: the batch was made of what is no longer so.
        """
        batch = lane.batch
        # By its word a transaction is known again; Kafka keeps it with each offset too.
        word = uuid4().hex
        read = Progress(word, self._read.offsets | batch.offsets)
        offsets = {"clock": read.offsets["clock"]} | batch.offsets
        lane.seats[0].rows.set_meta(NAME, read.text())
        rows = {changelog(self._settings, seat.agent.name): seat.rows.written for seat in lane.seats}
        changed = {topic: written.items() for topic, written in rows.items() if written}
        pauses = Pauses(self._settings)
        while True:
            assert self._transactions is not None
            try:
                with COMMIT_SECONDS.time():
                    ends = await self._transactions.commit(batch.said, changed, offsets, word)
                break
            except AWAY as error:
                COMMIT_RETRIES.inc()
                await self.stop()
                await pauses.rest(f"committing partition {self._partition}", error)
                # Asked before, so that whoever has the lane is not driven from it; and seen after, when nobody else
                # can commit any more.
                await self._see_who_committed(word)
                await self.start()
                if await self._has_happened(word):
                    ends = self._behind_beacons(lane)
                    break
        pauses.over()
        self._read = read
        self._known = ends[self._changelogs[0]]
        return {seat.agent.name: ends.get(changelog(self._settings, seat.agent.name), 0) for seat in lane.seats}

    def _behind_beacons(self, lane: Lane) -> dict[str, int]:
        """Return the changelogs' ends where a batch is followed by the row that `start` has written just now.

        That row is taken as the batch's last: by the row before its place a store is known again, and before the
        beacon there is only the transaction's marker.
        """
        key, value = BEACON
        for seat in lane.seats:
            if seat.rows.written:
                seat.rows.written[key] = value
        return {name: mark + 1 for name, mark in self.marks.items()}

    async def _see_who_committed(self, word: str) -> None:
        """Raise Fenced where the group has offsets that somebody else has committed."""
        found = await self._asked(lambda: self._probe.committed(["clock"], self._partition))
        last = found["clock"].metadata if "clock" in found else ""
        if last not in (word, self._read.word, ""):
            raise self._fenced()

    async def _has_happened(self, word: str) -> bool:
        """Say whether the transaction with a word was committed. Raises Fenced where somebody else's was."""
        topic = self._changelogs[0]
        place = TopicPartition(topic, self._partition)
        words = await self._asked(lambda: words_between(self._settings, place, self._known, self.marks[topic] + 1))
        if set(words) - {word}:
            raise self._fenced()
        return bool(words)

    def _fenced(self) -> Fenced:
        return Fenced(f"another worker has committed for partition {self._partition}")

    async def _asked(self, ask: Callable[[], Awaitable[T]]) -> T:
        return await patiently(self._settings, f"asking for offsets of partition {self._partition}", ask)
