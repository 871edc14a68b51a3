"""All lanes of a worker, and the standbys that it keeps for others: opened, stopped, and fed."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import structlog
from aiokafka import TopicPartition

from schemas.codec import Codec
from schemas.errors import Fatal
from state.policy import PolicyBook
from streams.at_work import agents_at_work
from streams.endings import ended
from streams.folders import taken
from streams.kafka.batch import Record
from streams.kafka.broker import LaneBroker, Probe, changelog, patiently, rebalance_seconds
from streams.kafka.changelogs import ChangelogReader, Standby, open_store
from streams.kafka.gauges import GAUGES
from streams.kafka.lane import Lane
from streams.kafka.lane_rows import LaneRows
from streams.kafka.metrics import LANES
from streams.kafka.progress import NAME, Progress
from streams.kafka.runner import Runner
from streams.kafka.seat import Seat, input_topics
from streams.kafka.store import PartitionStore
from streams.kafka.transactions import Fenced
from streams.privacy.vault import Vault
from streams.settings import Settings
from streams.tracing import tracing_of

log: Any = structlog.get_logger(__name__)

# How long a batch may take to be committed when the lane is to be given up.
_PATIENCE = 5.0
# How often lanes may be fenced in a row, and how long to wait before the group is asked: a take-over under way
# ends meanwhile.
_MOST_FENCED, _REJOIN_SECONDS = 10, 1.0


class Lanes:
    """The lanes of a worker.

    failed: told what ended a lane that should not have ended. rejoin: asks the group anew who has which partition.
    """

    # Seals rows that are personal; without it they are in the clear. Given before lanes are opened.
    vault: Vault | None = None

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
        self._agents = agents_at_work()
        self._runners: dict[int, Runner] = {}
        self._brokers: dict[int, LaneBroker] = {}
        self._stores: dict[tuple[str, int], PartitionStore] = {}
        self._standby: Standby | None = None
        self._probe: Probe | None = None
        self._lock: IO[str] | None = None
        self._opening: asyncio.Task[None] | None = None
        # How often lanes were fenced without having committed anything.
        self._fenced = 0
        self._room = asyncio.Event()
        # Whether all that was assigned is open, how often was fetched, and who reads changelogs back.
        self.settled = False
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
        return [changelog(self._settings, agent.name) for agent, _ in self._agents]

    # -- life

    def take_folder(self) -> None:
        """Take the data directory for this process. Raises Fatal where another has it."""
        self._lock = taken(self._settings.worker.data_dir, "set worker.data_dir to another")

    async def open(self, actives: Iterable[int], standbys: Iterable[int]) -> bool:
        """Take these partitions, and keep the state of those warm; all lanes were stopped before.

        Every lane is started anew, since another worker may have had it in the meantime. Returns whether it was
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
            probe = Probe(self._settings)
            await patiently(self._settings, "connecting", probe.start)
            self._probe = probe
        wanted, kept = sorted(set(actives)), sorted(set(standbys) - set(actives))
        await self._end_standby()
        for name, partition in list(self._stores):
            if partition not in {*wanted, *kept}:
                self._stores.pop((name, partition)).close()
        names = [agent.name for agent, _ in self._agents]
        self._brokers = {
            p: LaneBroker(self._settings, p, self._settings.topics.partitions, self._probe, names) for p in wanted
        }
        await asyncio.gather(*(broker.start() for broker in self._brokers.values()))
        await self._restore(wanted)
        for partition in wanted:
            await self._begin(partition)
        if kept:
            self._standby = Standby(self._settings, self._places(kept), self._failed)
            await patiently(self._settings, "following changelogs", self._standby.start)
        LANES.set(len(wanted))
        self.settled = True
        log.info("lanes_open", lanes=wanted, standbys=kept)

    async def stop(self) -> None:
        """Stop all lanes after their batch in hand; stores stay open, so that they can be taken up again."""
        self.settled = False
        self._left = time.monotonic()
        if self._opening is not None:
            await ended(self._opening)
        runners, self._runners = self._runners, {}
        await asyncio.gather(*(runner.stop(_PATIENCE) for runner in runners.values()))
        brokers, self._brokers = self._brokers, {}
        await asyncio.gather(*(broker.stop() for broker in brokers.values()))

    async def close(self) -> None:
        """Stop all lanes, and close all stores."""
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

    def _places(self, partitions: Iterable[int]) -> dict[TopicPartition, PartitionStore]:
        """Return the stores of partitions by their changelogs, opened where they are not."""
        folder: Path = self._settings.worker.data_dir
        places = {}
        for partition in partitions:
            for agent, _ in self._agents:
                name = agent.name
                if (name, partition) not in self._stores:
                    self._stores[name, partition] = open_store(folder / f"{name}-{partition}")
                place = TopicPartition(changelog(self._settings, name), partition)
                places[place] = self._stores[name, partition]
        return places

    def _take_in(self, places: Mapping[TopicPartition, PartitionStore]) -> None:
        """Keep the stores that following the changelogs left, some of which may be new."""
        names = {changelog(self._settings, agent.name): agent.name for agent, _ in self._agents}
        self._stores.update({(names[tp.topic], tp.partition): store for tp, store in places.items()})

    async def _restore(self, partitions: Sequence[int]) -> None:
        """Bring the stores of partitions to the end of their changelogs, however long the broker is away."""
        if partitions:
            began = time.monotonic()
            rows = await patiently(self._settings, "restoring", lambda: self._read_back(partitions))
            log.info("restored", partitions=list(partitions), rows=rows, seconds=round(time.monotonic() - began, 3))

    async def _read_back(self, partitions: Sequence[int]) -> int:
        """Read changelogs into stores once; returns the rows read."""
        self._reader = reader = ChangelogReader(self._settings)
        places = self._places(partitions)
        try:
            await reader.start()
            ends = {tp: self._brokers[tp.partition].marks[tp.topic] + 1 for tp in places}
            await reader.follow(places, ends)
            return await reader.catch_up(ends)
        finally:
            self._take_in(places)
            self._reader = None
            await reader.stop()

    async def _begin(self, partition: int) -> None:
        settings = self._settings
        share = max(settings.worker.cached_states // max(len(self._brokers), 1), 1_000)
        seats = [
            Seat(agent, kind, LaneRows(self._stores[agent.name, partition]), self._book, share, self.vault)
            for agent, kind in self._agents
        ]
        lane = Lane(
            partition,
            settings.topics.partitions,
            seats,
            self._book,
            self._codec,
            prefix=settings.topics.prefix,
            rekey=settings.worker.wrong_partition == "rekey",
            vault=self.vault,
        )
        if self._tracing is not None:
            lane.tracer = self._tracing.lane(partition)
        broker = self._brokers[partition]
        begin = await broker.take_up(self.topics, Progress.of(seats[0].rows.meta(NAME)))
        # Committed when there is nothing else to commit, so that nobody thinks that the lane lags.
        lane.batch.offsets.update(broker.behind)
        meet = None if settings.registry.url is None else self._meet
        if meet is not None:
            for value in lane.strange(lane.parked_values()):
                await meet(value)
        runner = Runner(lane, broker, settings.worker.batch_records, self._ended, self._room.set, begin, meet)
        self._runners[partition] = runner
        runner.start()

    async def _meet(self, value: bytes) -> None:
        """Ask the registry for a value's schema, however long it is away."""
        ask = functools.partial(asyncio.to_thread, self._codec.meet, value)
        await patiently(self._settings, "asking the registry for a schema", ask)

    def _ended(self, runner: Runner, error: BaseException) -> None:
        """Take notice that a lane ended.

        One that was fenced says nothing of who has its partition now: another worker may, or nobody, where Kafka
        ended a transaction that took too long. The group knows.
        """
        if not isinstance(error, Fenced):
            self._failed(error)
            return
        log.warning("fenced", partition=runner.lane.partition, reason=str(error))
        self._fenced = 0 if runner.commits else self._fenced + 1
        if self._fenced < _MOST_FENCED:
            asyncio.get_running_loop().call_later(_REJOIN_SECONDS, self._rejoin)
            return
        self._failed(
            Fatal(
                f"Lanes were fenced {self._fenced} times and could commit nothing in between: another program writes "
                "under this worker's transactional ids. Give each deployment its own worker.application_id."
            )
        )

    # -- what the fetcher asks and says

    def wants(self, tp: Any) -> bool:
        """Say whether its lane can take more of a partition; what belongs to no lane is always wanted."""
        if tp.topic not in self._names:
            return True
        runner = self._runners.get(tp.partition)
        return runner is not None and runner.wants(self._names[tp.topic])

    def give(self, tp: Any, records: Sequence[Record]) -> bool:
        """Hand fetched records to their lane; returns whether there was one."""
        if tp.topic not in self._names:
            return False
        runner = self._runners.get(tp.partition)
        if runner is not None:
            runner.give(self._names[tp.topic], records)
        return True

    async def place_of(self, tp: Any, at: int) -> int | None:
        """Return where a lane goes on in a partition that has nothing at `at`; None where no lane has it any more.

        Raises Fatal where what it has not read is gone, or the log is of another past.
        """
        runner, broker = self._runners.get(tp.partition), self._brokers.get(tp.partition)
        if tp.topic not in self._names or runner is None or broker is None:
            return None
        topic = self._names[tp.topic]
        # Behind it, where the group's offsets are older than what the lane itself has noted.
        place = max(at, runner.next_of(topic))
        await broker.see_whether_there({topic: place})
        return place

    def look(self, position: Callable[[str, int], tuple[int, int] | None]) -> None:
        """Tell lanes where the consumer stands, and where it last saw the end."""
        self._looks += 1
        for partition, runner in self._runners.items():
            found = {topic: position(name, partition) for name, topic in self._names.items()}
            runner.look({topic: place for topic, place in found.items() if place is not None})

    def running(self) -> list[Runner]:
        """Return the lanes that run; one that was fenced is another's."""
        return [runner for runner in list(self._runners.values()) if runner.at_work]

    @property
    def ready(self) -> bool:
        """Whether all that was assigned is open and at work, standbys too."""
        warm = self._standby is None or self._standby.at_work
        return warm and self.settled and all(runner.at_work for runner in self._runners.values())

    def under_way(self) -> dict[str, int]:
        """Return what should move, by name with a number that changes when it does."""
        if self._opening is not None:
            return {"opening lanes": -1 if self._reader is None else self._reader.rows}
        if not self.settled:
            # A rebalance takes as long as the slowest member, and nobody tells whether the coordinator is away.
            patience = rebalance_seconds(self._settings)
            return {} if time.monotonic() - self._left < patience else {"joining the group": 0}
        waits = {f"partition {p}": runner.commits for p, runner in self._runners.items() if runner.waits}
        return waits | ({"fetching": self._looks} if self._runners else {})

    @property
    def closing(self) -> bool:
        """Whether a lane waits to close a day."""
        return any(runner.closing for runner in self._runners.values())

    async def room(self, timeout: float) -> None:
        """Wait until a lane has room for more, at most `timeout` seconds."""
        self._looks += 1
        self._room.clear()
        try:
            await asyncio.wait_for(self._room.wait(), timeout)
        except TimeoutError:
            return
