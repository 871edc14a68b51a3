"""All tasks of a worker, and the standbys that it keeps for others: opened, stopped, and fed."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import structlog
from aiokafka import TopicPartition

from schemas.codec import Codec
from schemas.errors import FatalError
from state.policy import PolicyBook
from streams.engine.agent_task import input_topics
from streams.engine.agents import all_agents
from streams.engine.output import Record
from streams.folder_lock import lock_folder
from streams.kafka.changelog_format import changelog_topic
from streams.kafka.committer import OffsetClient, TransactionalCommitter
from streams.kafka.deployment import Deployment
from streams.kafka.gauges import GAUGES
from streams.kafka.metrics import TASKS
from streams.kafka.restore import ChangelogReader, Standby, open_store
from streams.kafka.retry import retry_until_available
from streams.kafka.rocksdb_store import RocksDBStore
from streams.kafka.task_executor import TaskExecutor
from streams.kafka.task_start import make_task, resume
from streams.kafka.transactions import FencedError, fencing_remedy
from streams.security.vault import Vault
from streams.settings import Settings
from streams.shutdown import cancel_and_wait
from streams.tracing import tracing_of

log: Any = structlog.get_logger(__name__)

# How long a batch may take to be committed when the task is to be given up.
_PATIENCE = 5.0
# How often tasks may be fenced in a row, and how long to wait before the group is asked: a take-over under way
# ends meanwhile.
_MOST_FENCED, _REJOIN_SECONDS = 10, 1.0


class TaskManager:
    """The tasks of a worker.

    failed: told what ended a task that should not have ended. rejoin: asks the group anew who has which partition.
    """

    # Seals rows that are personal; without it they are in the clear. Given before tasks are opened.
    vault: Vault | None = None
    # What the topics are by their ids, and who sees that they still are; given before tasks are opened.
    deployment: Deployment | None = None
    verified: Callable[[float], Awaitable[None]] | None = None

    def __init__(
        self,
        settings: Settings,
        book: PolicyBook,
        codec: Codec,
        failed: Callable[[BaseException], None],
        rejoin: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._book = book
        self._codec = codec
        self._failed = failed
        self._rejoin = rejoin
        self._agents = all_agents()
        self._executors: dict[int, TaskExecutor] = {}
        self._committers: dict[int, TransactionalCommitter] = {}
        self._stores: dict[tuple[str, int], RocksDBStore] = {}
        self._standby: Standby | None = None
        self._probe: OffsetClient | None = None
        self._lock: IO[str] | None = None
        self._opening: asyncio.Task[None] | None = None
        # How often tasks were fenced without having committed anything.
        self._fenced = 0
        self._room = asyncio.Event()
        # Whether all that was assigned is open, how often was fetched, and who reads changelogs back.
        self.opened = False
        self._left = time.monotonic()
        self._looks = 0
        self._reader: ChangelogReader | None = None
        self.topics = tuple(
            dict.fromkeys(
                [t for agent, _ in self._agents for t in input_topics(agent)] + ["clock", "barriers", "learning"]
            )
        )
        GAUGES.watch(self)
        self._tracing = tracing_of(settings)
        self._names = {settings.topics.prefix + topic: topic for topic in self.topics}

    @property
    def input_names(self) -> list[str]:
        """The input topics, with their prefix."""
        return list(self._names)

    @property
    def changelog_names(self) -> list[str]:
        """The changelogs, with their prefix."""
        return [changelog_topic(self._settings, agent.name) for agent, _ in self._agents]

    # -- life

    def take_folder(self) -> None:
        """Take the data directory for this process. Raises FatalError where another has it."""
        self._lock = lock_folder(self._settings.worker.data_dir, "set worker.data_dir to another")

    async def open(self, actives: Iterable[int], standbys: Iterable[int]) -> bool:
        """Take these partitions, and keep the state of those warm; all tasks were stopped before.

        Every task is started anew, since another worker may have had it in the meantime. Returns whether it was
        done before `stop` was called.
        """
        self._opening = asyncio.create_task(self._open(actives, standbys))
        await asyncio.wait([self._opening])
        opened, self._opening = self._opening, None
        if opened.cancelled():
            return False
        opened.result()
        return True

    async def _open(self, actives: Iterable[int], standbys: Iterable[int]) -> None:
        if self._probe is None:
            probe = OffsetClient(self._settings)
            try:
                await retry_until_available(self._settings, "connecting", probe.start)
            except BaseException:
                await probe.stop()
                raise
            self._probe = probe
        if self.verified is not None:
            await self.verified(0)
        wanted, kept = sorted(set(actives)), sorted(set(standbys) - set(actives))
        await self._end_standby()
        for name, partition in list(self._stores):
            if partition not in {*wanted, *kept}:
                self._stores.pop((name, partition)).close()
        names = [agent.name for agent, _ in self._agents]
        self._committers = {
            p: TransactionalCommitter(self._settings, p, self._settings.topics.partitions, self._probe, names)
            for p in wanted
        }
        await asyncio.gather(*(committer.start() for committer in self._committers.values()))
        await self._restore(wanted)
        for partition in wanted:
            await self._begin(partition)
        if kept:
            self._standby = Standby(self._settings, self._places(kept), self._failed, self._ids())
            await retry_until_available(self._settings, "following changelogs", self._standby.start)
        TASKS.set(len(wanted))
        self.opened = True
        log.info("tasks_open", tasks=wanted, standbys=kept)

    async def stop(self) -> None:
        """Stop all tasks after their batch in hand; stores stay open, so that they can be taken up again."""
        self.opened = False
        self._left = time.monotonic()
        if self._opening is not None:
            await cancel_and_wait(self._opening)
        executors, self._executors = self._executors, {}
        await asyncio.gather(*(executor.stop(_PATIENCE) for executor in executors.values()))
        committers, self._committers = self._committers, {}
        await asyncio.gather(*(committer.stop() for committer in committers.values()))

    async def close(self) -> None:
        """Stop all tasks, and close all stores."""
        await self.stop()
        await self._end_standby()
        for store in self._stores.values():
            store.close()
        self._stores = {}
        if self._probe is not None:
            await self._probe.stop()
            self._probe = None
        if self._tracing is not None:
            await self._tracing.close()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    async def _end_standby(self) -> None:
        if self._standby is not None:
            standby, self._standby = self._standby, None
            self._take_in(await standby.stop())

    # -- state

    def _places(self, partitions: Iterable[int]) -> dict[TopicPartition, RocksDBStore]:
        """Return the stores of partitions by their changelogs, opened where they are not."""
        folder: Path = self._settings.worker.data_dir
        places = {}
        for partition in partitions:
            for agent, _ in self._agents:
                name = agent.name
                if (name, partition) not in self._stores:
                    self._stores[name, partition] = open_store(folder / f"{name}-{partition}")
                place = TopicPartition(changelog_topic(self._settings, name), partition)
                places[place] = self._stores[name, partition]
        return places

    def _ids(self) -> dict[str, str]:
        """Return the ids of changelogs by their name."""
        known = {} if self.deployment is None else self.deployment.topics
        return {name: known[name.removeprefix(self._settings.topics.prefix)] for name in self.changelog_names if known}

    def _take_in(self, places: Mapping[TopicPartition, RocksDBStore]) -> None:
        """Keep the stores that following the changelogs left, some of which may be new."""
        names = {changelog_topic(self._settings, agent.name): agent.name for agent, _ in self._agents}
        self._stores.update({(names[tp.topic], tp.partition): store for tp, store in places.items()})

    async def _restore(self, partitions: Sequence[int]) -> None:
        """Bring the stores of partitions to the end of their changelogs, however long the broker is away."""
        if partitions:
            began = time.monotonic()
            rows = await retry_until_available(self._settings, "restoring", lambda: self._read_back(partitions))
            log.info("restored", partitions=list(partitions), rows=rows, seconds=round(time.monotonic() - began, 3))

    async def _read_back(self, partitions: Sequence[int]) -> int:
        """Read changelogs into stores once; returns the rows read."""
        self._reader = reader = ChangelogReader(self._settings)
        places = self._places(partitions)
        try:
            await reader.start()
            ends = {tp: self._committers[tp.partition].fenced_end_offsets[tp.topic] + 1 for tp in places}
            await reader.assign(places, ends, self._ids())
            return await reader.restore(ends)
        finally:
            self._take_in(places)
            self._reader = None
            await reader.stop()

    async def _begin(self, partition: int) -> None:
        settings = self._settings
        share = max(settings.worker.cached_states // max(len(self._committers), 1), 1_000)
        tracer = None if self._tracing is None else self._tracing.tracer(partition)
        task, stores = make_task(
            settings, partition, self._agents, self._stores, self._book, self._codec, share, self.vault, tracer
        )
        committer = self._committers[partition]
        begin = await resume(task, stores, committer, self.topics, self.deployment)
        fetch_schema = None if settings.registry.url is None else self._fetch_schema
        if fetch_schema is not None:
            for value in task.unknown_schemas(task.parked_values()):
                await fetch_schema(value)
        executor = TaskExecutor(
            task, stores, committer, settings.worker.batch_records, self._ended, self._room.set, begin, fetch_schema
        )
        self._executors[partition] = executor
        executor.start()

    async def _fetch_schema(self, value: bytes) -> None:
        """Ask the registry for a value's schema, however long it is away."""
        ask = functools.partial(asyncio.to_thread, self._codec.fetch_schema, value)
        await retry_until_available(self._settings, "asking the registry for a schema", ask)

    def _ended(self, executor: TaskExecutor, error: BaseException) -> None:
        """Take notice that a task ended.

        One that was fenced says nothing of who has its partition now: another worker may, or nobody, where Kafka
        ended a transaction that took too long. The group knows.
        """
        if not isinstance(error, FencedError):
            self._failed(error)
            return
        log.warning("fenced", partition=executor.task.partition, reason=str(error))
        self._fenced = 0 if executor.commits else self._fenced + 1
        if self._fenced < _MOST_FENCED:
            asyncio.get_running_loop().call_later(_REJOIN_SECONDS, self._rejoin)
            return
        self._failed(
            FatalError(
                f"Tasks were fenced {self._fenced} times and could commit nothing in between: another program writes "
                f"under this worker's transactional ids. {fencing_remedy(self._settings)}"
            )
        )

    # -- what the fetcher asks and says

    def can_accept(self, tp: Any) -> bool:
        """Say whether its task can take more of a partition; what belongs to no task is always wanted."""
        if tp.topic not in self._names:
            return True
        executor = self._executors.get(tp.partition)
        return executor is not None and executor.queue.can_accept(self._names[tp.topic])

    def add_records(self, tp: Any, records: Sequence[Record]) -> bool:
        """Hand fetched records to their task; returns whether they belong to one."""
        if tp.topic not in self._names:
            return False
        executor = self._executors.get(tp.partition)
        if executor is not None and executor.queue.add_records(self._names[tp.topic], records):
            executor.wake()
        return True

    async def place_of(self, tp: Any, at: int) -> int | None:
        """Return where a task goes on in a partition that has nothing at `at`; None where no task has it any more.

        Raises FatalError where what it has not read is gone, or the log is of another past.
        """
        executor, committer = self._executors.get(tp.partition), self._committers.get(tp.partition)
        if tp.topic not in self._names or executor is None or committer is None:
            return None
        topic = self._names[tp.topic]
        # Behind it, where the group's offsets are older than what the task itself has noted.
        place = max(at, executor.queue.next_offset(topic))
        if self.verified is not None:
            await self.verified(0)
        await committer.check_offsets_available({topic: place})
        return place

    def update_positions(self, position: Callable[[str, int], tuple[int, int] | None]) -> None:
        """Tell tasks where the consumer stands, and where it last saw the end."""
        self._looks += 1
        for partition, executor in self._executors.items():
            found = {topic: position(name, partition) for name, topic in self._names.items()}
            executor.update_positions({topic: place for topic, place in found.items() if place is not None})

    def running(self) -> list[TaskExecutor]:
        """Return the tasks that run; one that was fenced is another's."""
        return [executor for executor in list(self._executors.values()) if executor.at_work]

    @property
    def ready(self) -> bool:
        """Whether all that was assigned is open and at work, standbys too."""
        warm = self._standby is None or self._standby.at_work
        return warm and self.opened and all(executor.at_work for executor in self._executors.values())

    def under_way(self) -> dict[str, int]:
        """Return what should move, by name with a number that changes when it does."""
        if self._opening is not None:
            return {"opening tasks": -1 if self._reader is None else self._reader.rows}
        if not self.opened:
            # A rebalance takes as long as the slowest member, and nobody tells whether the coordinator is away.
            patience = self._settings.worker.rebalance_timeout_seconds
            return {} if time.monotonic() - self._left < patience else {"joining the group": 0}
        waits = {f"partition {p}": executor.commits for p, executor in self._executors.items() if executor.waits}
        return waits | ({"fetching": self._looks} if self._executors else {})

    @property
    def closing(self) -> bool:
        """Whether a task waits to close a day."""
        return any(executor.queue.closing for executor in self._executors.values())

    async def wait_for_capacity(self, timeout: float) -> None:
        """Wait until a task has room for more, at most `timeout` seconds."""
        self._looks += 1
        self._room.clear()
        try:
            await asyncio.wait_for(self._room.wait(), timeout)
        except TimeoutError:
            return
