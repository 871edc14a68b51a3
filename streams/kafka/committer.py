"""Kafka as a worker's tasks see it: transactions that are tried until their outcome is known, and offsets."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import TypeVar
from uuid import uuid4

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import OffsetAndMetadata
from msgspec import json

from schemas.errors import FatalError
from streams.engine.output import TaskOutput
from streams.kafka.changelog_format import BATCH_END, COMMIT_MARKER, COMMIT_MARKER_ROW, CommitMarker, changelog_topic
from streams.kafka.committed_reader import CommittedReader
from streams.kafka.compat import committed_with_metadata
from streams.kafka.metrics import COMMIT_RETRIES, COMMIT_SECONDS
from streams.kafka.retry import RETRIABLE_ERRORS, Backoff, retry_until_available
from streams.kafka.store_transaction import TaskStores
from streams.kafka.transactions import FencedError, TransactionalProducer
from streams.settings import Settings

T = TypeVar("T")


class OffsetClient:
    """Asks Kafka for offsets, as a member of no group, however long the broker is away; topics without their prefix."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._consumer = AIOKafkaConsumer(
            **settings.kafka.client_options(),
            group_id=settings.worker.application_id,
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
        """Return the offsets behind the last records, uncommitted ones too."""
        return await self._ask(topics, partition, self._consumer.end_offsets)

    async def begins(self, topics: Sequence[str], partition: int) -> dict[str, int]:
        """Return the offsets of the first records that are still there."""
        return await self._ask(topics, partition, self._consumer.beginning_offsets)

    async def committed(self, topics: Sequence[str], partition: int) -> dict[str, OffsetAndMetadata]:
        """Return what the group has committed; topics without any are left out."""
        found = await self._ask(topics, partition, lambda tps: committed_with_metadata(self._consumer, tps))
        return {topic: at for topic, at in found.items() if at.offset >= 0}

    async def _ask(
        self,
        topics: Sequence[str],
        partition: int,
        ask: Callable[[list[TopicPartition]], Awaitable[Mapping[TopicPartition, T]]],
    ) -> dict[str, T]:
        names = {TopicPartition(self._settings.topics.prefix + topic, partition): topic for topic in topics}
        doing = f"asking for offsets of partition {partition}"
        found = await retry_until_available(self._settings, doing, lambda: ask(list(names)))
        return {names[tp]: at for tp, at in found.items()}


class TransactionalCommitter:
    """Commits the batches of one task; has its transactional id from `start` until `stop`."""

    def __init__(
        self, settings: Settings, partition: int, partitions: int, probe: OffsetClient, agents: Sequence[str]
    ) -> None:
        self._settings = settings
        # The changelogs, that of the first agent first: it tells how far the task has read.
        self._changelogs = [changelog_topic(settings, agent) for agent in agents]
        self._partition = partition
        self._partitions = partitions
        self._probe = probe
        self._transactions: TransactionalProducer | None = None
        # Where each changelog has come to in truth.
        self.fenced_end_offsets: dict[str, int] = {}
        # What the task has read and the group does not know of.
        self.behind: dict[str, int] = {}
        # What the last transaction left, and up to where the first changelog is known.
        self._read = CommitMarker("", {})
        self._known_end = 0

    async def start(self) -> None:
        """Fence whoever had the task, and find where its changelogs end (`fenced_end_offsets`)."""
        self._transactions = await retry_until_available(
            self._settings, f"taking partition {self._partition}", self._fresh
        )

    async def _fresh(self) -> TransactionalProducer:
        fresh = TransactionalProducer(self._settings, self._partition, self._partitions)
        try:
            self.fenced_end_offsets = await fresh.start(self._changelogs)
        except BaseException:
            await fresh.stop()
            raise
        return fresh

    async def resume_offsets(
        self, topics: Sequence[str], read: CommitMarker | None, remade: Collection[str] = ()
    ) -> dict[str, int]:
        """Return where the task goes on in topics, `clock` among them.

        read: what its restored rows say. The group's offsets count where somebody has moved them further.
        remade: topics that were made anew, of which no offset counts; they are read from their first record on.
        Raises FatalError where records are gone before they were read, or offsets point behind the end.
        """
        found = await self._probe.committed(topics, self._partition)
        if remade:
            begins = await self._probe.begins(list(remade), self._partition)
            first = {topic: OffsetAndMetadata(at, "") for topic, at in begins.items()}
            if "clock" in first and "clock" in found:
                # The word of the last transaction stands with it.
                first["clock"] = OffsetAndMetadata(first["clock"].offset, found["clock"].metadata)
            read = (
                None
                if read is None
                else CommitMarker(read.transaction_token, read.offsets | {t: at.offset for t, at in first.items()})
            )
            found |= first
        self.behind = {
            topic: offset
            for topic, offset in ({} if read is None else read.offsets).items()
            if topic not in found or found[topic].offset < offset
        } | {topic: found[topic].offset for topic in remade}
        found |= {topic: OffsetAndMetadata(offset, "") for topic, offset in self.behind.items()}
        begins = await self._probe.begins(["clock"], self._partition)
        await self.check_offsets_available({topic: at.offset for topic, at in found.items()})
        clock = found.get("clock", OffsetAndMetadata(begins["clock"], ""))
        offsets = {"clock": clock.offset} | {topic: at.offset for topic, at in found.items()}
        self._read = CommitMarker(clock.metadata if read is None else read.transaction_token, offsets)
        self._known_end = self.fenced_end_offsets[self._changelogs[0]]
        return offsets

    async def check_offsets_available(self, places: Mapping[str, int]) -> None:
        """See that what lies behind places is there, by topic.

        Raises FatalError where records are gone before they were read, or a place is behind a topic's end.
        """
        topics = list(places)
        begins = await self._probe.begins(topics, self._partition)
        ends = await self._probe.ends(topics, self._partition)
        for topic, at in places.items():
            place = f"{self._settings.topics.prefix}{topic}/{self._partition}"
            if at < begins[topic]:
                raise FatalError(
                    f"{begins[topic] - at} records of {place} were deleted before they were read (offsets {at} to "
                    f"{begins[topic] - 1}). Publish them again, move the group's offset to {begins[topic]}, and "
                    "lengthen the topic's retention."
                )
            if at > ends[topic]:
                raise FatalError(
                    f"This deployment has read {place} up to {at}, but it ends at {ends[topic]}: the topic was "
                    "restored to an earlier state, or has lost its end (an unclean election). Where it was restored, "
                    'restore all topics with it, see "Kafka was restored to an earlier day" in docs/operations.md; '
                    'else see "A topic was made anew" there.'
                )

    async def stop(self) -> None:
        """Let the task go."""
        if self._transactions is not None:
            transactions, self._transactions = self._transactions, None
            await transactions.stop()

    async def ends(self, topics: Sequence[str], partition: int) -> dict[str, int]:
        """Return the offsets behind the last records of topics, uncommitted ones too."""
        return await self._probe.ends(topics, partition)

    async def commit(self, output: TaskOutput, stores: TaskStores) -> dict[str, int]:
        """Commit a batch, once; returns the changelogs' ends by agent.

        While the broker is away the batch is held and tried again. Whether a transaction whose answer was lost
        has happened is told by the token that it would have left with the group's offsets. Raises FencedError where
        another worker has committed since: the batch was made of what is no longer so.
        """
        # By its token a transaction is known again; Kafka keeps it with each offset too.
        token = uuid4().hex
        read = CommitMarker(token, self._read.offsets | output.offsets)
        offsets = {"clock": read.offsets["clock"]} | output.offsets
        stores.task.set_meta(COMMIT_MARKER, read.text())
        # The last row, by which a store is known again: of another past with the same events it is another.
        stores.append(BATCH_END, token.encode())
        written = stores.written
        changed = {changelog_topic(self._settings, agent): rows.items() for agent, rows in written.items()}
        backoff = Backoff(self._settings)
        while True:
            assert self._transactions is not None
            try:
                with COMMIT_SECONDS.time():
                    ends = await self._transactions.commit(output.records, changed, offsets, token)
                break
            except RETRIABLE_ERRORS as error:
                COMMIT_RETRIES.inc()
                await self.stop()
                await backoff.wait(f"committing partition {self._partition}", error)
                # Asked before, so that whoever has the task is not driven from it; and seen after, when nobody else
                # can commit any more.
                await self._see_who_committed(token)
                await self.start()
                if await self._has_happened(token):
                    # The row that `start` has written just now is taken as the batch's last: by the row before its
                    # place a store is known again, and before the fence there is only the transaction's marker.
                    stores.append(*self._transactions.fence)
                    ends = {name: mark + 1 for name, mark in self.fenced_end_offsets.items()}
                    break
        backoff.reset()
        self._read = read
        self._known_end = ends[self._changelogs[0]]
        return {agent: ends[changelog_topic(self._settings, agent)] for agent in written}

    async def _see_who_committed(self, word: str) -> None:
        """Raise FencedError where the group has offsets that somebody else has committed."""
        found = await self._probe.committed(["clock"], self._partition)
        last = found["clock"].metadata if "clock" in found else ""
        if last not in (word, self._read.transaction_token, ""):
            raise self._fenced()

    async def _has_happened(self, word: str) -> bool:
        """Say whether the transaction with a word was committed. Raises FencedError where somebody else's was."""
        topic = self._changelogs[0]
        place = TopicPartition(topic, self._partition)
        words = await retry_until_available(
            self._settings,
            f"reading who committed for partition {self._partition}",
            lambda: committed_tokens(self._settings, place, self._known_end, self.fenced_end_offsets[topic] + 1),
        )
        if set(words) - {word}:
            raise self._fenced()
        return bool(words)

    def _fenced(self) -> FencedError:
        return FencedError(f"another worker has committed for partition {self._partition}")


async def committed_tokens(settings: Settings, place: TopicPartition, begin: int, end: int) -> list[str]:
    """Return the tokens of the transactions committed between two offsets of a changelog.

    `end` must lie behind a record that was taken. Raises what aiokafka raises while the broker is away.
    """
    reader = CommittedReader(settings, reset="earliest")
    found: list[str] = []
    try:
        await reader.start()
        reader.assign([place])
        reader.seek(place, begin)
        while await reader.is_behind({place: end}):
            for records in (await reader.read()).values():
                rows = [r.value for r in records if r.key == COMMIT_MARKER_ROW and begin <= r.offset < end]
                found += [json.decode(value, type=CommitMarker).transaction_token for value in rows]
    finally:
        await reader.stop()
    return found
