"""Drives a stream task on Kafka: feeds it what was fetched, and makes each batch one transaction."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Protocol, TypeVar

from schemas import events as ev
from schemas.errors import InvalidEventError
from streams.engine.agent_task import AgentTask
from streams.engine.day_close import Action, Barriers, DayClose, Phase
from streams.engine.output import Record, TaskOutput
from streams.engine.quarantine import AgentError
from streams.engine.record_queue import RecordQueue
from streams.engine.task import StreamTask
from streams.kafka.metrics import BATCH_SECONDS, count_committed, see_learned, see_policies
from streams.kafka.store_transaction import TaskStores
from streams.shutdown import cancel_and_wait

T = TypeVar("T")

_BARRIERS = "barriers"
# How long a task that waits to close a day sleeps before it looks again.
_POLL = 0.005
# Stands behind the last page of a close.
_END = object()
# Seconds without anything to do after which a task notes that it has read past the markers of transactions.
_IDLE_COMMIT_SECONDS = 60.0


class Committer(Protocol):
    """What a task needs of Kafka."""

    async def commit(self, output: TaskOutput, stores: TaskStores) -> dict[str, int]:
        """Commit a batch, its records and its rows, however long it takes; returns the changelogs' ends by agent."""

    async def ends(self, topics: Sequence[str], partition: int) -> dict[str, int]:
        """Return the offsets behind the last records of topics, uncommitted ones too."""


class TaskExecutor:
    """The loop of one stream task. Whatever goes wrong in it goes to `failed`, once; then it has ended.

    stores: of the task. room: called when the task can accept more. begin: where it goes on, by topic; what lies before
    is not taken. fetch_schema: asks the registry, however long it is away, for the schema of a value that names an
    unknown one; None without a registry.
    """

    def __init__(
        self,
        task: StreamTask,
        stores: TaskStores,
        committer: Committer,
        batch_records: int,
        failed: Callable[[TaskExecutor, BaseException], None],
        room: Callable[[], None],
        begin: Mapping[str, int],
        fetch_schema: Callable[[bytes], Awaitable[None]] | None = None,
    ) -> None:
        self.task = task
        self.stores = stores
        self.queue = RecordQueue(batch_records, begin, task.inputs)
        self._committer = committer
        self._limit = batch_records
        self._failed = failed
        # Batches that were committed; when one last was, or nothing waited.
        self.commits = 0
        self._last_progress = time.monotonic()
        # Since when there has been nothing to do.
        self._idle = float("inf")
        self._room = room
        self._fetch_schema = fetch_schema
        self._close: DayClose[AgentTask] | None = None
        self._wake = asyncio.Event()
        self._stopping = False
        self._barriers = Barriers.of(task.store.meta(_BARRIERS))
        self._loop: asyncio.Task[None] | None = None
        if task.model is not None:
            see_learned(task.model.update)

    @property
    def at_work(self) -> bool:
        """Whether it was started and has not ended."""
        return self._loop is not None and not self._loop.done()

    @property
    def waits(self) -> bool:
        """Whether something waits that the task can go on with by itself."""
        if self._close is not None:
            return self._close.phase is not Phase.AWAIT_PEERS
        return bool(self.queue.closing or self.task.output.offsets or self.queue) or self.queue.behind()

    @property
    def commit_age(self) -> float:
        """Return the seconds since a batch was committed, while something waits or a day is being closed; else 0."""
        return time.monotonic() - self._last_progress if self.queue.closing or self.waits else 0.0

    def wake(self) -> None:
        """Have it look at its queue, to which something was added."""
        self._wake.set()

    def update_positions(self, positions: Mapping[str, tuple[int, int]]) -> None:
        """Note where the consumer stands, and the ends that it last saw, by topic; all before that was added."""
        self.queue.consumer_positions = positions
        if self.queue.closing or self.waits:
            self._idle = float("inf")
            self._wake.set()
            return
        self._last_progress = time.monotonic()
        self._idle = min(self._idle, self._last_progress)
        if self._last_progress - self._idle >= _IDLE_COMMIT_SECONDS:
            skipped = self.queue.skip_transaction_markers()
            self.task.output.offsets.update(skipped)
            if skipped:
                self._wake.set()

    # -- life

    def start(self) -> None:
        """Begin to work."""
        self._loop = asyncio.create_task(self._run(), name=f"task-{self.task.partition}")

    async def stop(self, patience: float) -> None:
        """End after the batch in hand; one that cannot be committed within `patience` seconds is dropped."""
        self._stopping = True
        self._wake.set()
        if self._loop is not None:
            _, late = await asyncio.wait([self._loop], timeout=patience)
            for loop in late:
                await cancel_and_wait(loop)

    async def _run(self) -> None:
        try:
            while not self._stopping:
                moved = await self._process()
                if self._close is None and self.queue.control_records:
                    await self._begin_close(*self.queue.take_control_record())
                if self._close is not None:
                    moved = await self._advance(self._close) or moved
                if not moved and self._close is None and self.task.output.offsets:
                    await self._commit()
                # Others have something to do too.
                await (asyncio.sleep(0) if moved else self._rest())
            if not self.queue.closing and not self.waits:
                self.task.output.offsets.update(self.queue.skip_transaction_markers())
                if self.task.output.offsets:
                    await self._commit()
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self._failed(self, error)

    async def _rest(self) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), _POLL if self._close else None)
        self._wake.clear()

    # -- batches

    async def _process(self) -> bool:
        """Process what may be taken; returns whether there was anything."""
        records = self.queue.take(None if self._close is None else self._close.at)
        self._room()
        if not records:
            return False
        with self.task.tracer.batch(records):
            await self._process_batch(records)
        return True

    async def _process_batch(self, records: dict[str, Sequence[Record]]) -> None:
        """Decide on records, and commit what comes of it."""
        task = self.task
        with BATCH_SECONDS.time(), task.tracer.step("decide"):
            if self._fetch_schema is not None:
                for value in task.unknown_schemas(r.value or b"" for some in records.values() for r in some):
                    await self._fetch_schema(value)
            barriers = records.pop(_BARRIERS, ())
            if barriers:
                self._note_barriers(barriers)
            learned = records.pop("learning", ())
            if learned:
                task.learn_records(learned)
                self.queue.processed("learning", learned)
                if task.model is not None:
                    see_learned(task.model.update)
            self._attempt(lambda: task.process_batch(records))
        # A barrier alone is committed with the step that it lets go on, or when there is nothing else to do; so is
        # what was learned.
        if records or (barriers and task.output.records):
            await self._commit()
        for topic, taken in records.items():
            self.queue.processed(topic, taken)

    def _attempt(self, act: Callable[[], T]) -> T:
        """Do something; where an agent fails on a key, do it again with that key in quarantine."""
        while True:
            output, rows = self.task.output.copy(), self.stores.savepoint()
            try:
                return act()
            except AgentError as fault:
                self.stores.rollback(rows)
                self.task.rollback(output, fault)

    async def _commit(self) -> None:
        task = self.task
        output = task.prepare_commit()
        with task.tracer.step("commit"):
            self.stores.apply(await self._committer.commit(output, self.stores))
        task.post_commit()
        self.commits += 1
        self._last_progress = time.monotonic()
        count_committed(output)

    # -- closing a day

    def _note_barriers(self, records: Sequence[Record]) -> None:
        for record in records:
            try:
                event = self.task.read(_BARRIERS, record)
            except InvalidEventError as bad:
                self.task.refuse(record, bad)
                continue
            assert isinstance(event, ev.BarrierReached)
            self._barriers.note(event)
        self.task.store.set_meta(_BARRIERS, self._barriers.text())
        self.task.output.offsets[_BARRIERS] = records[-1].offset + 1

    async def _begin_close(self, record: Record, at: int) -> None:
        command = None
        try:
            command = self.task.validate_control_event(record)
        except InvalidEventError as bad:
            self.task.refuse(record, bad)
        see_policies(self.task.policies)
        if command is None:
            await self._finish(record)
        elif isinstance(command, ev.QuarantineReleased):
            released = command
            self._attempt(lambda: self.task.release(released, record))
            await self._finish(record)
        else:
            task = self.task
            self._close = DayClose(record, at, command, task.agent_tasks, task.inputs, task.internal_topics)

    async def _finish(self, record: Record) -> None:
        """Count a record of the clock as consumed."""
        self._close = None
        self.task.output.consume("clock", [record])
        await self._commit()
        self.queue.processed("clock", [record])

    async def _advance(self, close: DayClose[AgentTask]) -> bool:
        """Go one step on with a day's close, if that can be; returns whether it could."""
        task = self.task
        action = close.action(self.queue, self._barriers, task.partitions)
        if action is Action.FENCE:
            close.fence = await self._committer.ends(close.topics, task.partition)
            action = close.action(self.queue, self._barriers, task.partitions)
        if action is Action.WAIT:
            return False
        if action is Action.CHANGE_POLICIES:
            assert isinstance(close.command, ev.PolicyChanged)
            task.change_policies(close.command)
        elif action is Action.REPORT_READY:
            task.broadcast(close.report(task.partition))
        elif action is Action.CLOSE_AGENT:
            assert isinstance(close.command, ev.DayClosed)
            agent = close.agent
            assert agent is not None
            if not await self._close_agent(agent, close.record, close.command):
                return False
            task.broadcast(close.report(task.partition, agent.name))
        close.done(action)
        await (self._finish(close.record) if close.phase is Phase.DONE else self._commit())
        return True

    async def _close_agent(self, agent: AgentTask, record: Record, day: ev.DayClosed) -> bool:
        """Close a day for an agent; returns whether it came to its end, which is left to be committed."""
        pages: Iterator[None] | None = None

        def next_page() -> bool:
            nonlocal pages
            if pages is None:
                pages = self.task.close(agent, record, day, self._limit)
            try:
                return next(pages, _END) is not _END
            except AgentError:
                # What was committed is due no more, so it begins anew.
                pages = None
                raise

        while self._attempt(next_page):
            await self._commit()
            if self._stopping:
                return False
        return True
