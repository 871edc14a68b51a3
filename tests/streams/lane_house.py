"""Lanes at work with no Kafka: real agents, lanes and runners over logs in memory, whose commits always succeed.

A lane that is opened anew begins at its committed offsets, on the rows that its store has, as after a take-over.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from schemas import events as ev
from schemas.codec import Codec
from schemas.topics import TOPIC_OF, key_of
from state.pack import default_book
from streams.at_work import agents_at_work
from streams.kafka.gauges import LaneGauges
from streams.kafka.lane import Lane
from streams.kafka.lane_rows import LaneRows
from streams.kafka.partitioning import partition_of
from streams.kafka.runner import Runner
from streams.kafka.seat import Seat, input_topics
from streams.kafka.store import PartitionStore
from streams.tracing import Untraced
from tests.streams.test_lane import Given

AGENTS = agents_at_work()
TOPICS = tuple(dict.fromkeys([t for a, _ in AGENTS for t in input_topics(a)] + ["clock", "barriers", "learning"]))


class Owner:
    """A worker: the lanes that it has."""

    def __init__(self) -> None:
        self.runners: dict[int, Runner] = {}
        self.gauges = LaneGauges()
        self.gauges.watch(self)

    def running(self) -> list[Runner]:
        """Return the lanes that run."""
        return list(self.runners.values())

    def values(self) -> dict[tuple[str, ...], float]:
        """Return what this worker tells of its lanes, by metric and labels."""
        families = self.gauges.collect()
        return {(s.name, *s.labels.values()): s.value for family in families for s in family.samples}


class House:
    """All partitions, their logs and stores, and the workers that have them. Its methods belong to one loop.

    batch: records a batch. most: how many are handed over at once, None for all that there are.
    """

    def __init__(self, folder: Path, partitions: int = 2, *, batch: int = 500, most: int | None = None) -> None:
        self.folder = folder
        self._batch, self._most = batch, most
        self.partitions = partitions
        self.logs: dict[tuple[str, int], list[Given]] = defaultdict(list)
        self.committed: dict[tuple[str, int], int] = {}
        self.failures: list[BaseException] = []
        self.book, self.codec = default_book(), Codec()
        # Makes what traces a lane, where a test asks for it.
        self.trace: Callable[[int], Untraced] | None = None
        self._stores: dict[tuple[str, int], PartitionStore] = {}
        self._at: dict[tuple[str, int], int] = {}
        self._clock = 0

    # -- what a runner asks of Kafka

    async def commit(self, lane: Lane) -> dict[str, int]:
        """Append what the batch says."""
        for saying in lane.batch.said:
            places = range(self.partitions) if saying.partition is None else (saying.partition,)
            for partition in places:
                self.append(saying.topic, partition, saying.key, saying.value, tuple(saying.headers))
        self.committed |= {(topic, lane.partition): offset for topic, offset in lane.batch.offsets.items()}
        return {seat.agent.name: len(self.committed) for seat in lane.seats}

    async def ends(self, topics: Sequence[str], partition: int) -> dict[str, int]:
        """Return the offsets behind the last records."""
        return {topic: len(self.logs[topic, partition]) for topic in topics}

    # -- records

    def append(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        headers: tuple[tuple[str, bytes], ...] = (),
    ) -> None:
        """Append a record."""
        log = self.logs[topic, partition]
        self._clock += 1
        log.append(Given(topic, len(log), key, value, partition, self._clock, headers))

    def set_clock(self, back: int) -> None:
        """Have the broker's clock go back by so many ms; it goes on by one a record."""
        self._clock = max(0, self._clock - back)

    def publish(self, events: Iterable[ev.Event], headers: tuple[tuple[str, bytes], ...] = ()) -> None:
        """Append events to their topics, a day's close to every partition."""
        for event in events:
            topic, key = TOPIC_OF[type(event)].name, key_of(event)
            value = self.codec.encode(event)
            if key is None:
                for partition in range(self.partitions):
                    self.append(topic, partition, None, value, headers)
            else:
                self.append(topic, partition_of(key.encode(), self.partitions), key.encode(), value, headers)

    def said(self, topic: str) -> list[tuple[Given, ev.Event]]:
        """Return the records of a topic with their events."""
        found = [record for (name, _), log in sorted(self.logs.items()) if name == topic for record in log]
        return [(record, self.codec.decode(record.value or b"")) for record in found]

    # -- lanes

    def open(self, owner: Owner, partition: int) -> None:
        """Let a worker take a partition."""
        for agent, _ in AGENTS:
            if (agent.name, partition) not in self._stores:
                self._stores[agent.name, partition] = PartitionStore(self.folder / f"{agent.name}-{partition}")
        seats = [
            Seat(agent, kind, LaneRows(self._stores[agent.name, partition]), self.book, 10_000)
            for agent, kind in AGENTS
        ]
        lane = Lane(partition, self.partitions, seats, self.book, self.codec, prefix="")
        if self.trace is not None:
            lane.tracer = self.trace(partition)
        begin = {topic: self.committed.get((topic, partition), 0) for topic in TOPICS}
        self._at |= {(topic, partition): offset for topic, offset in begin.items()}
        runner = Runner(lane, self, self._batch, lambda _, error: self.failures.append(error), lambda: None, begin)
        owner.runners[partition] = runner
        runner.start()

    async def leave(self, owner: Owner, partition: int) -> None:
        """Let a worker give a partition back."""
        await owner.runners.pop(partition).stop(5)

    async def settle(self, *owners: Owner) -> None:
        """Feed all lanes until all that there is, and all that comes of it, is committed."""
        while not self.failures:
            moved = [self._fed(partition, runner) for owner in owners for partition, runner in owner.runners.items()]
            await asyncio.sleep(0)
            runners = [runner for owner in owners for runner in owner.running()]
            if not any(moved) and not any(runner.waits or runner.closing for runner in runners):
                return
        raise self.failures[0]

    def _fed(self, partition: int, runner: Runner) -> bool:
        """Give a lane what it can take; returns whether there was anything."""
        moved = False
        for topic in TOPICS:
            place = (topic, partition)
            found = self.logs[place][self._at[place] :][: self._most]
            if found and runner.wants(topic):
                runner.give(topic, found)
                self._at[place] += len(found)
                moved = True
        runner.look({topic: (self._at[topic, partition], len(self.logs[topic, partition])) for topic in TOPICS})
        return moved

    def close(self) -> None:
        """Close all stores."""
        for store in self._stores.values():
            store.close()
