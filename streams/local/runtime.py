"""The local runtime: a stream task in one process over an embedded durable log, exactly once.

It drives the engine with one partition. Records that came in are processed in the order of their arrival. What an agent
publishes goes to the log, and back into the task where an agent takes it, until nothing is left to take; then comes the
next record. A batch of records, all that came of them, and the position behind them are one transaction: a crash loses
and doubles nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from msgspec import Struct

from schemas import events as ev
from schemas.codec import Codec
from schemas.errors import InvalidEventError
from schemas.topics import TOPICS
from state.policy import PolicyBook
from streams.engine.agent_store import fewer_collections
from streams.engine.agent_task import AgentTask
from streams.engine.agents import Agents, all_agents
from streams.engine.day_close import Action, Barriers, DayClose, Phase
from streams.engine.output import TaskOutput
from streams.engine.quarantine import LIMIT, AgentError, Held
from streams.engine.task import StreamTask
from streams.local.erasing import Erased, folded, note_erased, overwritten
from streams.local.journal import Journal
from streams.local.opening import owned, vault_in
from streams.local.rewrapping import rewrap
from streams.local.store import LogRecord, Row, Store, faults_of_data
from streams.security.sealed_log import LogSeal
from streams.security.vault import Vault

SOURCE = "reprieve.local"
BATCH = 10_000


@dataclass(slots=True)
class Summary:
    """What a run did: records read, events said, records refused."""

    read: int = 0
    said: int = 0
    refused: int = 0


class LocalRuntime:
    """Agents over one store. Use as a context manager, or close it.

    A data directory belongs to one policy book; another one would give another history.
    """

    def __init__(
        self,
        store: Store,
        agents: Agents,
        book: PolicyBook,
        *,
        batch: int = BATCH,
        cached: int = 200_000,
        vault: Vault | None = None,
        quarantine_limit: int = LIMIT,
    ) -> None:
        self._store = store
        self.vault = vault
        store.seal = LogSeal(vault)
        self._codec = Codec()
        self._batch = batch
        owned(store, book)
        folded(store)
        self._task = StreamTask(
            0,
            1,
            [AgentTask(agent, kind, store, book, cached, vault) for agent, kind in agents],
            store,
            book,
            self._codec,
            prefix="",
            source=SOURCE,
            vault=vault,
            portfolio=False,
            quarantine_limit=quarantine_limit,
        )
        rewrap(store, self._codec, vault, [x.store for x in self._task.agent_tasks], self._task.quarantine)
        self._journal = Journal(store, self._codec)
        self._done = int(store.meta("done") or 0)
        self._said: list[ev.Event] = []
        # Of what the batch published: how many records are appended to the log, and which go back into the task.
        self._appended = 0
        self._back: list[tuple[LogRecord, ev.Event]] = []
        # Borrowers of whom the batch erased what was personal.
        self._erased: dict[str, Erased] = {}
        self._summary = Summary()

    @classmethod
    def open(cls, folder: Path | None, book: PolicyBook, **options: int) -> LocalRuntime:
        """Open a data directory (None: in memory) with Reprieve's own agents.

        What is personal is sealed there, under master keys that a new directory gets.
        Raises FatalError where another process has it, where it was made under another policy book, or where its master
        keys are gone.
        """
        store = Store(folder)
        try:
            with faults_of_data(store.path):
                vault = None if folder is None else vault_in(folder, store)
                return cls(store, all_agents(), book, vault=vault, **options)
        except BaseException:
            store.close()
            raise

    def __enter__(self) -> LocalRuntime:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the store."""
        self._store.close()

    # -- what comes in

    def publish(self, events: Iterable[ev.Event]) -> int:
        """Append events to their topics, durably; returns how many."""
        return self._journal.take_in(events)

    def publish_raw(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes]] = (),
        timestamp: int = 0,
        replay_of: str | None = None,
    ) -> int:
        """Append one record as it came, whatever it is; returns its offset.

        replay_of: the id of the dead letter that this sends in again, noted in the same transaction.
        """
        return self._journal.take_in_raw(topic, key, value, headers, timestamp, replay_of)

    # -- processing

    def run(self, progress: Callable[[Summary], None] | None = None) -> Summary:
        """Process all that came in and is not processed yet. Raises FatalError where going on would be wrong."""
        self._summary = Summary()
        self._said = []
        with fewer_collections(), faults_of_data(self._store.path):
            self._run(progress)
        return self._summary

    def _run(self, progress: Callable[[Summary], None] | None) -> None:
        while rows := self._store.inbound_after(self._done, self._batch):
            published = len(self._said)
            try:
                with self._store.transaction():
                    self._process(rows)
                    overwritten(self._store, self._codec, self.vault, self._erased, rows[-1][0])
                self._task.post_commit()
            except BaseException as error:
                self._journal.reload()
                self._back.clear()
                if not isinstance(error, AgentError):
                    self._task.rollback(TaskOutput())
                    raise
                # The same batch again, with one more key in quarantine.
                del self._said[published:]
                self._task.rollback(TaskOutput(), error)
                continue
            finally:
                self._erased = {}
            self._done = rows[-1][0]
            folded(self._store)
            if progress is not None:
                progress(self._summary)

    def feed(self, events: Iterable[ev.Event]) -> list[ev.Event]:
        """Publish events, process them, and return all that was said."""
        self.publish(events)
        self.run()
        return self._said

    def _process(self, rows: Sequence[Row]) -> None:
        task = self._task
        self._appended = 0
        waiting: list[tuple[str, LogRecord]] = []
        for row in rows:
            record = LogRecord(row)
            topic = TOPICS.get(record.topic)
            if topic is not None and topic.inbound and topic.name != "clock":
                waiting.append((topic.name, record))
                continue
            self._decide(waiting)
            waiting = []
            if topic is not None and topic.inbound:
                self._control(record)
            else:
                task.refuse(record, _unknown_topic(record.topic))
                self._append_outputs()
        self._decide(waiting)
        task.flush()
        task.prepare_commit()
        self._journal.flush()
        self._store.set_meta("done", str(rows[-1][0]))
        self._summary.read += len(rows)
        self._summary.said += len(task.output.records)
        self._summary.refused += task.output.dead_lettered.total()

    def _decide(self, records: Sequence[tuple[str, LogRecord]]) -> None:
        """Process records, and behind each one all that comes of it."""
        output = self._task.output
        for _ in self._task.process(records):
            if len(output.records) != self._appended or output.erasures:
                self._take_back()

    def _take_back(self) -> None:
        """Append what was published, and let the task process what an agent takes of it, until nothing is left."""
        self._append_outputs()
        # It grows meanwhile.
        for record, event in self._back:
            self._task.process_output(record, event)
            self._append_outputs()
        self._back.clear()

    def _append_outputs(self) -> None:
        """Append to the log what was published since, and note who was erased by it."""
        output = self._task.output
        while self._appended < len(output.records):
            record = output.records[self._appended]
            self._appended += 1
            # Only a record that is sent on as it came has no event, and there is no other partition to send it to.
            assert record.event is not None
            row = self._journal.publish(record, record.event)
            self._said.append(record.event)
            if self._task.takes(record.event):
                self._back.append((LogRecord(row), record.event))
        if output.erasures:
            for erasure in output.erasures:
                note_erased(self._erased, erasure.cause, erasure.state, self._journal.position)
            output.erasures.clear()

    def _control(self, record: LogRecord) -> None:
        """Do what a record of the clock asks for, when all before it was processed."""
        task = self._task
        try:
            command = task.validate_control_event(record)
        except InvalidEventError as bad:
            task.refuse(record, bad)
            self._append_outputs()
            return
        if command is None or (
            isinstance(command, ev.DayClosed) and all(x.has_closed(command.business_date) for x in task.agent_tasks)
        ):
            return
        if isinstance(command, ev.QuarantineReleased):
            task.release(command, record)
            self._take_back()
            return
        close = DayClose(record, record.position, command, task.agent_tasks, task.inputs, task.internal_topics)
        barriers = Barriers()
        while close.phase is not Phase.DONE:
            action = close.action(_ALL_READ, barriers, task.partitions)
            if isinstance(command, ev.PolicyChanged):
                task.change_policies(command)
            elif action is Action.REPORT_READY:
                barriers.note(close.report(task.partition))
            elif action is Action.CLOSE_AGENT:
                agent = close.agent
                assert agent is not None
                for _ in task.close(agent, record, command, BATCH):
                    self._append_outputs()
                self._take_back()
                barriers.note(close.report(task.partition, agent.name))
            close.done(action)

    # -- what is known

    @property
    def closed_through(self) -> date | None:
        """The last business date that is closed."""
        return self._task.closed_through

    def replayed(self) -> set[str]:
        """Return the ids of the dead letters that were sent in again."""
        return self._store.replayed()

    def outputs(self, topic: str, after: int = -1) -> Iterator[tuple[int, ev.Event]]:
        """Yield a topic's events with their offsets, behind an offset."""
        for _, _, offset, _, value, *_ in self._store.of_topic(topic, after + 1):
            yield offset, self._codec.decode(value or b"")

    @property
    def quarantined(self) -> dict[tuple[str, str], Held]:
        """The keys in quarantine, by agent and key."""
        return self._task.quarantine.held

    def quarantine_rows(self) -> list[tuple[int, bytes]]:
        """Return the rows of the quarantine, by number."""
        return list(self._store.quarantined())

    @property
    def policies(self) -> PolicyBook:
        """The policies by which it decides, with all changes."""
        return self._task.policies.book

    def state(self, agent: str, key: str) -> Struct | None:
        """Return the state that an agent keeps of a key."""
        found: Struct | None = self._agent_task(agent).store.state(key)
        return found

    def keys(self, agent: str) -> list[str]:
        """Return all keys of which an agent keeps a state, sorted."""
        return self._store.keys(agent)

    def history(self, agent: str, key: str) -> list[tuple[str, ev.Event]]:
        """Return the facts that an agent recorded for a key."""
        return self._agent_task(agent).store.history(key)

    def _agent_task(self, agent: str) -> AgentTask:
        return next(x for x in self._task.agent_tasks if x.name == agent)


class _AllRead:
    """How far one process has read, where a record is taken once all that comes of the one before is processed."""

    def is_past(self, topic: str, at: int) -> bool:
        """Say that nothing is left of a topic."""
        return True

    def has_read(self, topic: str, fence: int) -> bool:
        """Say that all of a topic was processed."""
        return True


_ALL_READ = _AllRead()


def _unknown_topic(topic: str) -> InvalidEventError:
    """Return why a record is rejected that stands on a topic which nothing reads."""
    names = ", ".join(t.name for t in TOPICS.values() if t.inbound)
    return InvalidEventError("unknown_topic", f"Nothing reads the topic {topic}. Send to one of {names}.")
