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
from schemas.errors import FatalError, InvalidEventError
from schemas.topics import TOPICS
from state.policy import PolicyBook
from streams.engine.agent_store import fewer_collections
from streams.engine.agent_task import AgentTask
from streams.engine.agents import Agents, all_agents
from streams.engine.day_close import Action, Barriers, DayClose, Phase
from streams.engine.output import TaskOutput
from streams.engine.quarantine import LIMIT, AgentError, Held
from streams.engine.task import StreamTask
from streams.local.erasure import Erased, note_erased, overwrite_erased, truncate_wal
from streams.local.log_writer import LogWriter
from streams.local.rewrap import rewrap
from streams.local.store import Store, faults_of_data
from streams.security.key_check import KEY_CHECK, check_keys
from streams.security.sealed_log import LogRecord, LogSeal
from streams.security.vault import Vault
from streams.security.vault_factory import local_vault

SOURCE = "reprieve.local"
BATCH = 10_000


@dataclass(slots=True)
class Summary:
    """What a run did: records read, events published, records refused."""

    read: int = 0
    published: int = 0
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
        _check_owner(store, book)
        truncate_wal(store)
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
        self._log = LogWriter(store, self._codec)
        self._done = int(store.meta("done") or 0)
        # Of what the batch published: the events, how many records are appended to the log, and which go back into the
        # task.
        self._published: list[ev.Event] = []
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
                vault = None if folder is None else _open_vault(folder, store)
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
        return self._log.append_events(events)

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
        return self._log.append_raw(topic, key, value, headers, timestamp, replay_of)

    # -- processing

    def run(self, published: Callable[[list[ev.Event]], None] | None = None) -> Summary:
        """Process all that came in and is not processed yet. Raises FatalError where going on would be wrong.

        published: called with what each batch published, once it is committed; nothing of it is kept.
        """
        self._summary = Summary()
        with fewer_collections(), faults_of_data(self._store.path):
            while records := self._store.inbound_after(self._done, self._batch):
                if not self._attempt(records):
                    continue
                self._done = records[-1].position
                truncate_wal(self._store)
                if published is not None:
                    published(self._published)
        return self._summary

    def _attempt(self, records: Sequence[LogRecord]) -> bool:
        """Process a batch and commit it; False where an agent failed: again then, with one more key in quarantine."""
        self._published = []
        try:
            with self._store.transaction():
                self._process(records)
                overwrite_erased(self._store, self._codec, self.vault, self._erased, records[-1].position)
            self._task.post_commit()
        except BaseException as error:
            self._log.reload()
            self._back.clear()
            if not isinstance(error, AgentError):
                self._task.rollback(TaskOutput())
                raise
            self._task.rollback(TaskOutput(), error)
            return False
        finally:
            self._erased = {}
        return True

    def feed(self, events: Iterable[ev.Event]) -> list[ev.Event]:
        """Publish events, process them, and return all that was published of them."""
        self.publish(events)
        found: list[ev.Event] = []
        self.run(found.extend)
        return found

    def _process(self, records: Sequence[LogRecord]) -> None:
        task = self._task
        self._appended = 0
        waiting: list[tuple[str, LogRecord]] = []
        for record in records:
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
        self._log.flush()
        self._store.set_meta("done", str(records[-1].position))
        self._summary.read += len(records)
        self._summary.published += len(task.output.records)
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
            held = self._log.hold(record, record.event)
            self._published.append(record.event)
            if self._task.takes(record.event):
                self._back.append((held, record.event))
        if output.erasures:
            for erasure in output.erasures:
                note_erased(self._erased, erasure.cause, erasure.state, self._log.position)
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
        for record in self._store.of_topic(topic, after + 1):
            yield record.offset, self._codec.decode(record.value or b"")

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


def _check_owner(store: Store, book: PolicyBook) -> None:
    """See that a directory is of a policy book. Raises FatalError where it is of another."""
    owner = store.meta("book")
    if owner is None:
        store.set_meta("book", book.name)
    elif owner != book.name:
        raise FatalError(
            f"The data directory was made under the policy {owner}, not {book.name}. Use --policy {owner}, "
            "publish the change as an event (`reprieve policy change`), or replay its events into another directory."
        )


def _open_vault(folder: Path, store: Store) -> Vault:
    """Return the vault of a data directory; one where nothing is sealed yet gets its master keys."""
    vault = local_vault(folder, new=store.meta(KEY_CHECK) is None)
    check_keys(store, vault)
    return vault
