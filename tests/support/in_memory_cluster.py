"""The test driver of the engine: real agents, stream tasks and executors over logs in memory, with no Kafka.

`stream_task` makes one task over RocksDB stores. `InMemoryCluster` stands for Kafka: its logs are the topics, a commit
appends what a batch published, and always succeeds. A task that is opened anew begins at its committed offsets, on the
rows that its stores have, as after a take-over.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from schemas import events as ev
from schemas.codec import Codec
from schemas.topics import TOPIC_OF, key_of
from state.account import AccountState
from state.policy import PolicyBook
from state.policy_packs.loader import default_book
from state.storage import unpack
from streams.engine.agent_task import AgentTask, input_topics
from streams.engine.agents import Agents, all_agents
from streams.engine.output import TaskOutput
from streams.engine.partitioning import partition_of
from streams.engine.task import StreamTask
from streams.kafka.gauges import TaskGauges
from streams.kafka.rocksdb_store import RocksDBStore
from streams.kafka.store_transaction import StoreTransaction, TaskStores
from streams.kafka.task_executor import TaskExecutor
from streams.security.vault import Vault
from streams.traceparent import Untraced

AGENTS = all_agents()
TOPICS = tuple(dict.fromkeys([t for a, _ in AGENTS for t in input_topics(a)] + ["clock", "barriers", "learning"]))


@dataclass
class InputRecord:
    """A record as a consumer hands it over."""

    topic: str
    offset: int
    key: bytes | None
    value: bytes | None
    partition: int = 0
    timestamp: int = 0
    headers: Sequence[tuple[str, bytes]] = ()


def record_of(event: ev.Event, offset: int) -> InputRecord:
    """Return an event's record."""
    return InputRecord(TOPIC_OF[type(event)].name, offset, (key_of(event) or "").encode(), Codec().encode(event))


def stream_task(
    stores: Mapping[str, RocksDBStore],
    agents: Agents = AGENTS,
    partition: int = 0,
    partitions: int = 1,
    *,
    book: PolicyBook | None = None,
    cached: int = 100,
    prefix: str = "",
    source: str = "reprieve.kafka",
    vault: Vault | None = None,
    tracer: Untraced | None = None,
    quarantine_limit: int = 100,
) -> tuple[StreamTask, TaskStores]:
    """Return a task over its agents' stores, and their rows in the middle of a batch."""
    book = book or default_book()
    rows = TaskStores({agent.name: StoreTransaction(stores[agent.name]) for agent, _ in agents})
    agent_tasks = [AgentTask(agent, kind, rows.agents[agent.name], book, cached, vault) for agent, kind in agents]
    task = StreamTask(
        partition,
        partitions,
        agent_tasks,
        rows.task,
        book,
        Codec(),
        prefix=prefix,
        source=source,
        vault=vault,
        tracer=tracer,
        quarantine_limit=quarantine_limit,
    )
    return task, rows


def account_states(task: StreamTask) -> Iterator[AccountState]:
    """Yield the states of all accounts of a task, as they are stored."""
    rows = task.agent_tasks[0].rows
    for _, state in rows.states("account", rows.keys("account")):
        yield unpack(state, AccountState)


class InMemoryWorker:
    """A worker: the tasks that it has."""

    def __init__(self) -> None:
        self.executors: dict[int, TaskExecutor] = {}
        self.gauges = TaskGauges()
        self.gauges.watch(self)

    def running(self) -> list[TaskExecutor]:
        """Return the tasks that run."""
        return list(self.executors.values())

    def values(self) -> dict[tuple[str, ...], float]:
        """Return what this worker reports of its tasks, by metric and labels."""
        families = self.gauges.collect()
        return {(s.name, *s.labels.values()): s.value for family in families for s in family.samples}


class InMemoryCluster:
    """All partitions, their logs and stores, and the workers that have them. Its methods belong to one loop.

    batch: records a batch. most: how many are handed over at once, None for all. source: of dead letters.
    """

    def __init__(
        self,
        folder: Path,
        partitions: int = 2,
        *,
        batch: int = 500,
        most: int | None = None,
        source: str = "reprieve.kafka",
        quarantine_limit: int = 100,
    ) -> None:
        self.folder = folder
        self._limit = quarantine_limit
        self._batch, self._most, self._source = batch, most, source
        self.partitions = partitions
        self.logs: dict[tuple[str, int], list[InputRecord]] = defaultdict(list)
        self.committed: dict[tuple[str, int], int] = {}
        self.failures: list[BaseException] = []
        self.book, self.codec = default_book(), Codec()
        # Makes what traces a task, where a test asks for it.
        self.trace: Callable[[int], Untraced] | None = None
        self._stores: dict[tuple[str, int], RocksDBStore] = {}
        self._at: dict[tuple[str, int], int] = {}
        self._clock = 0

    # -- records

    def append(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes]] = (),
        timestamp: int | None = None,
    ) -> None:
        """Append a record. timestamp: in ms, by the cluster's clock where it is left out."""
        log = self.logs[topic, partition]
        self._clock += 1
        at = self._clock if timestamp is None else timestamp
        log.append(InputRecord(topic, len(log), key, value, partition, at, headers))

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

    def said(self, topic: str) -> list[tuple[InputRecord, ev.Event]]:
        """Return the records of a topic with their events."""
        found = [record for (name, _), log in sorted(self.logs.items()) if name == topic for record in log]
        return [(record, self.codec.decode(record.value or b"")) for record in found]

    # -- tasks

    def open(self, owner: InMemoryWorker, partition: int) -> None:
        """Let a worker take a partition."""
        for agent, _ in AGENTS:
            if (agent.name, partition) not in self._stores:
                self._stores[agent.name, partition] = RocksDBStore(self.folder / f"{agent.name}-{partition}")
        task, rows = stream_task(
            {agent.name: self._stores[agent.name, partition] for agent, _ in AGENTS},
            partition=partition,
            partitions=self.partitions,
            book=self.book,
            cached=10_000,
            source=self._source,
            tracer=None if self.trace is None else self.trace(partition),
            quarantine_limit=self._limit,
        )
        begin = {topic: self.committed.get((topic, partition), 0) for topic in TOPICS}
        self._at |= {(topic, partition): offset for topic, offset in begin.items()}
        executor = TaskExecutor(
            task,
            rows,
            Partition(self, partition),
            self._batch,
            lambda _, error: self.failures.append(error),
            lambda: None,
            begin,
        )
        owner.executors[partition] = executor
        executor.start()

    async def leave(self, owner: InMemoryWorker, partition: int) -> None:
        """Let a worker give a partition back."""
        await owner.executors.pop(partition).stop(5)

    async def settle(self, *owners: InMemoryWorker) -> None:
        """Feed all tasks until all that there is, and all that comes of it, is committed."""
        while not self.failures:
            moved = [
                self.feed(partition, executor) for owner in owners for partition, executor in owner.executors.items()
            ]
            await asyncio.sleep(0)
            executors = [executor for owner in owners for executor in owner.running()]
            if not any(moved) and not any(executor.waits or executor.queue.closing for executor in executors):
                return
        raise self.failures[0]

    def feed(self, partition: int, executor: TaskExecutor) -> bool:
        """Give a task what it can accept; returns whether there was anything."""
        moved = False
        for topic in TOPICS:
            place = (topic, partition)
            found = self.logs[place][self._at[place] :][: self._most]
            if found and executor.queue.can_accept(topic):
                add_records(executor, topic, found)
                self._at[place] += len(found)
                moved = True
        executor.update_positions(
            {topic: (self._at[topic, partition], len(self.logs[topic, partition])) for topic in TOPICS}
        )
        return moved

    def close(self) -> None:
        """Close all stores."""
        for store in self._stores.values():
            store.close()


class Partition:
    """One partition of a cluster, as its task's committer."""

    def __init__(self, cluster: InMemoryCluster, partition: int) -> None:
        self._cluster, self._partition = cluster, partition

    async def commit(self, output: TaskOutput, stores: TaskStores) -> dict[str, int]:
        """Append what the batch publishes."""
        cluster = self._cluster
        for record in output.records:
            places = range(cluster.partitions) if record.partition is None else (record.partition,)
            for partition in places:
                cluster.append(record.topic, partition, record.key, record.value, tuple(record.headers))
        cluster.committed |= {(topic, self._partition): offset for topic, offset in output.offsets.items()}
        return dict.fromkeys(stores.agents, len(cluster.committed))

    async def ends(self, topics: Sequence[str], partition: int) -> dict[str, int]:
        """Return the offsets behind the last records."""
        return {topic: len(self._cluster.logs[topic, partition]) for topic in topics}


def add_records(executor: TaskExecutor, topic: str, records: Sequence[InputRecord]) -> None:
    """Hand fetched records to a task."""
    if executor.queue.add_records(topic, records):
        executor.wake()
