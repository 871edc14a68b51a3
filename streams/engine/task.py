"""A stream task: one partition of the inputs of all agents. It knows no broker, no database and no clock.

A driver hands it records, and commits what comes of them (`TaskOutput` and the rows of its stores) at once. On Kafka
agents that take each other's events do so through topics, since an output belongs to another partition as often as
not; a driver with one partition hands outputs back by `process_output`, within the same commit.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import Any

import structlog
from msgspec.structs import replace

from agents.base import Glimpse, Step
from agents.planner.erasure import emptied
from schemas import events as ev
from schemas.codec import Codec, headers_for
from schemas.errors import InvalidEventError, UnknownAccountError
from schemas.topics import PERSONAL_TOPICS, TOPIC_OF, TOPICS, key_of
from state.borrower import BorrowerState
from state.learning import ModelSnapshot
from state.policy import PolicyBook
from state.portfolio import Portfolio
from streams.engine.agent_store import decode_model, encode_model
from streams.engine.agent_task import AgentTask, topic_priority
from streams.engine.dead_letters import QUARANTINED, dead_letter
from streams.engine.deserializer import read_event
from streams.engine.output import Erasure, OutputRecord, Record, StoredRecord, TaskOutput, headers_of
from streams.engine.partitioning import partition_of, wrong_partition
from streams.engine.policies import Policies
from streams.engine.portfolio import load_portfolio, store_portfolio
from streams.engine.quarantine import (
    LIMIT,
    AgentError,
    HeldItem,
    Quarantine,
    close_of,
    is_of_agent,
    place_of,
)
from streams.engine.state_store import TaskStore
from streams.redaction import redacted
from streams.security.dead_letters import seal_dead_letter
from streams.security.field_encryption import decrypt_fields
from streams.security.key_check import check_keys, mark_rewrapped, needs_rewrap
from streams.security.sealed_rows import SEALED
from streams.security.vault import Vault
from streams.state_rows import fact_id
from streams.traceparent import Untraced

log: Any = structlog.get_logger(__name__)

_MODEL = "learned"
# Those by which personal data go at once, also while their borrower's key is in quarantine.
_ERASING = frozenset({ev.ErasureRequested, ev.ConsentWithdrawn})
# Those for which records wait.
_OPENING = frozenset({ev.AccountOpened, ev.OpeningPosition})


@dataclass(slots=True)
class InboundRecord:
    """A record that an agent takes, with its key, its event, and the id of the fact that the event is.

    event: None where it was not decoded. fact_id: empty where it is not known. signature: `AskedFact`'s.
    """

    record: Record
    key: str
    event: ev.Event | None
    agent_task: AgentTask
    fact_id: str
    signature: Hashable = None


@dataclass(slots=True)
class RejectedRecord:
    """A record that is unfit for its topic, and why."""

    record: Record
    error: InvalidEventError


class StreamTask:
    """One partition of the inputs of agents.

    store: what belongs to the task as a whole. prefix: of the deployment's topics. source: names the driver in dead
    letters. rekey: a record on a wrong partition is sent on to the right one, not dead-lettered. portfolio: keep up
    what the accounts come to.
    """

    def __init__(
        self,
        partition: int,
        partitions: int,
        agent_tasks: Sequence[AgentTask],
        store: TaskStore,
        book: PolicyBook,
        codec: Codec,
        *,
        prefix: str,
        source: str = "reprieve.kafka",
        rekey: bool = False,
        vault: Vault | None = None,
        tracer: Untraced | None = None,
        portfolio: bool = True,
        quarantine_limit: int = LIMIT,
    ) -> None:
        self.partition = partition
        self.partitions = partitions
        self.agent_tasks = agent_tasks
        self.store = store
        self.output = TaskOutput()
        self.tracer = tracer or Untraced()
        self.policies = Policies(book, store)
        self.quarantine = Quarantine(store, vault, quarantine_limit)
        self._codec = codec
        self._prefix = prefix
        self._source = source
        self._rekey = rekey
        self._vault = vault
        self._wire = None if vault is None else vault.wire
        self._agent_task_of = {kind: agent_task for agent_task in agent_tasks for kind in agent_task.agent.accepts}
        # By topic, by what events of one kind are judged without being decoded, where that was compiled.
        self._glimpsed: dict[str, tuple[AgentTask, Callable[[bytes, bytes], Glimpse | None]]] = {}
        for agent_task in agent_tasks:
            waiting = agent_task.agent.waiting
            if waiting is not None and waiting.glimpse is not None:
                self._glimpsed[TOPIC_OF[waiting.glimpsed].name] = agent_task, waiting.glimpse
            if agent_task.name in SEALED:
                check_keys(agent_task.rows, vault)
        topics = sorted({topic for agent_task in agent_tasks for topic in agent_task.topics})
        # The topics that come from outside, and those by which agents reach each other.
        self.inputs = [topic for topic in topics if TOPICS[topic].inbound]
        self.internal_topics = [topic for topic in topics if not TOPICS[topic].inbound]
        account = next((x for x in agent_tasks if x.name == "account"), None)
        self._counted = account if portfolio else None
        self._load()
        self.committed_portfolio = self.portfolio.copy()

    def _load(self) -> None:
        """Go by what the stores have."""
        stored, book = self.store.meta(_MODEL), self.policies.book
        # What the learner published last.
        self.model = None if stored is None else decode_model(stored)
        # What the accounts come to, as it was last committed.
        self.portfolio = Portfolio(book) if self._counted is None else load_portfolio(self._counted, self.store, book)
        self._decide_by_present()

    # -- records

    def process_batch(self, records: Mapping[str, Sequence[Record]]) -> None:
        """Decide on records by topic, without its prefix; `output` has what comes of them."""
        topics = sorted(records, key=topic_priority)
        for _ in self.process((topic, record) for topic in topics for record in records[topic]):
            pass
        for topic in topics:
            self.output.consume(topic, records[topic])
        self.flush()

    def process(self, records: Iterable[tuple[str, Record]]) -> Iterator[None]:
        """Decide on records, each with its topic without prefix, in their order; yields behind each one."""
        given = [found for topic, record in records if (found := self._deserialize(topic, record)) is not None]
        asked: dict[AgentTask, list[InboundRecord]] = {agent_task: [] for agent_task in self.agent_tasks}
        for item in given:
            if isinstance(item, InboundRecord) and item.fact_id:
                asked[item.agent_task].append(item)
        for agent_task, some in asked.items():
            agent_task.store.read_ahead(some, agent_task.closed_through, self._event_of)
        quarantine, self_contained = self.quarantine, self._codec.self_contained
        for item in given:
            if isinstance(item, RejectedRecord):
                self.refuse(item.record, item.error)
            elif (
                not item.fact_id
                or quarantine.held
                or quarantine.expected
                or not item.agent_task.store.defer(item, self_contained(item.record.value or b""))
            ):
                self._decide(item.record, item.key, self._event_of(item), item.agent_task, item.fact_id)
            yield

    def _event_of(self, item: InboundRecord) -> ev.Event:
        return item.event or self.read(item.record.topic.removeprefix(self._prefix), item.record)

    def process_output(self, record: Record, event: ev.Event) -> None:
        """Decide on an event that this task has published, as its input."""
        if isinstance(event, ev.ModelUpdated):
            self.learn(event)
            return
        agent_task = self._agent_task_of.get(type(event))
        if agent_task is not None:
            self._decide(record, (record.key or b"").decode(), event, agent_task)

    def takes(self, event: ev.Event) -> bool:
        """Say whether `process_output` does anything with an event."""
        return type(event) in self._agent_task_of or isinstance(event, ev.ModelUpdated)

    def flush(self) -> None:
        """Have the stores hold all that was decided."""
        for agent_task in self.agent_tasks:
            agent_task.store.flush()

    def read(self, topic: str, record: Record) -> ev.Event:
        """Return the event of a record. topic: without prefix.

        Raises InvalidEventError where it is unfit for its topic.
        """
        event = read_event(topic, record.key, record.value, self._codec)
        return decrypt_fields(event, self._wire) if topic in PERSONAL_TOPICS else event

    def unknown_schemas(self, values: Iterable[bytes]) -> list[bytes]:
        """Return of values one of each schema that the registry has to be asked for before they are read."""
        needs_schema = self._codec.needs_schema
        return list({value[:5]: value for value in values if needs_schema(value)}.values())

    def _deserialize(self, topic: str, record: Record) -> InboundRecord | RejectedRecord | None:
        """Return a record with its event; None where no agent takes it."""
        glimpsed = self._glimpsed.get(topic)
        if glimpsed is not None and record.key and record.value:
            agent_task, glimpse = glimpsed
            avro = self._codec.self_contained(record.value)
            seen = None if avro is None else glimpse(record.key, avro)
            if seen is not None:
                key, fact_key, signature = seen
                return InboundRecord(record, key, None, agent_task, fact_id(key, fact_key), signature)
        try:
            event = self.read(topic, record)
        except InvalidEventError as bad:
            return RejectedRecord(record, bad)
        found = self._agent_task_of.get(type(event))
        if found is None:
            return None
        key = (record.key or b"").decode()
        try:
            name = found.store.id_of(key, event)
        except Exception:
            # It fails again where the agent decides, which knows what to do.
            name = ""
        return InboundRecord(record, key, event, found, name)

    def _decide(
        self, record: Record, key: str, event: ev.Event, agent_task: AgentTask, fact_id: str | None = None
    ) -> None:
        """Decide on an event. Raises AgentError, which names the record, where its agent fails."""
        quarantine = self.quarantine
        # A key that has a state was found to belong here when it came first.
        if (
            self.partitions > 1
            and agent_task.store.state(key) is None
            and partition_of(key.encode(), self.partitions) != self.partition
        ):
            self._misplaced(record, key)
            return
        if (quarantine.held or quarantine.expected) and self._held_back(record, key, event, agent_task):
            return
        self._apply(record, key, event, agent_task, fact_id)

    def _apply(
        self, record: Record, key: str, event: ev.Event, agent_task: AgentTask, fact_id: str | None = None
    ) -> None:
        try:
            if not self._take(record, key, event, agent_task, fact_id):
                return
        except Exception as error:
            if not is_of_agent(error, agent_task.store.faults):
                raise
            place = place_of(record)
            raise AgentError(
                agent_task.name,
                key,
                place,
                error,
                f"Processing {type(event).__name__} at {place} failed with {redacted(error)}. It is of {key}, which "
                f"the {agent_task.name} agent has closed through {agent_task.closed_through or 'no day'}. Nothing of "
                "its batch was kept; the record stays where it is.",
            ) from error
        if type(event) in _OPENING and key in self.store.parked_keys:
            self._unpark(key)

    def _take(self, record: Record, key: str, event: ev.Event, agent_task: AgentTask, fact_id: str | None) -> bool:
        """Let an agent decide, and publish what it did; returns whether it took the event."""
        try:
            step = agent_task.store.decide(key, event, agent_task.closed_through, fact_id)
        except UnknownAccountError:
            self.store.park(key, record, self.policies.deadline(agent_task.closed_through))
            return False
        except InvalidEventError as bad:
            self.refuse(record, bad, read=True)
            return False
        if step.outputs or step.refused:
            self._emit_step(step, key, record)
        if step.facts:
            self.output.recorded.append(event)
        if step.erased:
            agent_task.rows.erase(key)
            self.output.erasures.append(Erasure(event, step.state))
        return True

    def _misplaced(self, record: Record, key: str) -> None:
        place = partition_of(key.encode(), self.partitions)
        if self._rekey:
            topic = record.topic.removeprefix(self._prefix)
            self.output.records.append(OutputRecord(topic, place, record.key, record.value, record.headers))
        else:
            self.refuse(record, wrong_partition(record.topic, key, self.partition, place), read=True)

    # -- records that wait for their account

    def parked_values(self) -> Iterator[bytes]:
        """Yield the values of all records that wait, for an account or a release."""
        for key in self.store.parked_keys:
            yield from (record.value or b"" for record, _ in self.store.parked(key))
        yield from self.quarantine.values()

    def _unpark(self, key: str) -> None:
        waited = self.store.parked(key)
        self.store.unpark(key)
        for record, _ in waited:
            event = self._codec.decode(record.value or b"")
            self._decide(record, key, event, self._agent_task_of[type(event)])

    def _expire(self, closed_through: date | None, day: int) -> None:
        """Dead-letter what has waited through its day, but for keys in quarantine."""
        held = self.quarantine.keys(self.agent_tasks[0].name)
        for key in sorted(self.store.parked_keys):
            if key not in held:
                self._expire_key(key, closed_through, day)

    def _expire_key(self, key: str, closed_through: date | None, day: int) -> None:
        """Dead-letter what has waited through its day; what came before any day was closed gets its deadline."""
        wait = self.policies.default_policy(closed_through).unknown_account_wait_days
        waited = self.store.parked(key)
        if any(deadline is None or deadline < day for _, deadline in waited):
            self.store.unpark(key)
            for record, deadline in waited:
                if deadline is not None and deadline < day:
                    self.refuse(record, UnknownAccountError(key), read=True)
                else:
                    self.store.park(key, record, deadline or day + wait)

    # -- what was learned

    def learn_records(self, records: Sequence[Record]) -> None:
        """Take what the learner published; decisions go by it from now on."""
        for record in records:
            try:
                event = self.read("learning", record)
            except InvalidEventError as bad:
                self.refuse(record, bad)
                continue
            assert isinstance(event, ev.ModelUpdated)
            self.learn(event)
        self.output.offsets["learning"] = records[-1].offset + 1

    def learn(self, update: ev.ModelUpdated) -> None:
        """Let decisions go by a model from now on."""
        self.store.set_meta(_MODEL, encode_model(update))
        self.model = ModelSnapshot(update)
        self._decide_by_present()

    def _decide_by_present(self) -> None:
        """Let decisions go by the policies and the model of now."""
        for agent_task in self.agent_tasks:
            agent_task.store.decide_by(self.policies.book, self.model)

    # -- the clock

    @property
    def closed_through(self) -> date | None:
        """The last business date that an agent has closed."""
        return max((x.closed_through for x in self.agent_tasks if x.closed_through is not None), default=None)

    def validate_control_event(self, record: Record) -> ev.DayClosed | ev.PolicyChanged | ev.QuarantineReleased | None:
        """Return what a record of the clock asks for, None where that was done.

        Raises InvalidEventError where it may not be.
        """
        event = self.read("clock", record)
        assert isinstance(event, ev.DayClosed | ev.PolicyChanged | ev.QuarantineReleased)
        return event if self.policies.check(event, self.closed_through) else None

    def change_policies(self, change: ev.PolicyChanged) -> None:
        """Go by other policies, from their day on."""
        self.policies.take(change)
        self._decide_by_present()
        self.portfolio.adopt(self.policies.book)

    def close(self, agent_task: AgentTask, record: Record, day: ev.DayClosed, page: int) -> Iterator[None]:
        """Close a business date for one agent, a page of keys at a time.

        Where it yields, the batch may be committed, and the close goes on behind it; so no close is too large for
        a transaction. What is left in the batch at its end is the last page, and that the day is closed.
        """
        if agent_task.has_closed(day.business_date):
            return
        held, waits = self._hold_back_close(agent_task, record, day), 0
        for steps in agent_task.store.close_day(day, agent_task.closed_through, page, held):
            for key, step in steps:
                self._emit_close(step, key, agent_task, record, day)
            # Some keys of a page may turn out not to be due.
            waits += len(steps)
            if waits >= page:
                waits = 0
                yield
        if self._vault is not None and agent_task.name in SEALED and needs_rewrap(agent_task.rows, self._vault):
            # The first close under a new master key: once all rows are wrapped by it, an older one can be given up.
            yield from agent_task.store.rewrap(page)
            self.quarantine.rewrap()
            mark_rewrapped(agent_task.rows, self._vault)
        if agent_task is self.agent_tasks[0]:
            # It is the accounts' agent that records wait for.
            self._expire(agent_task.closed_through, day.business_date.toordinal())
        agent_task.close_through(day.business_date)

    def _emit_close(self, step: Step[Any], key: str, agent_task: AgentTask, record: Record, day: ev.DayClosed) -> None:
        try:
            if step.outputs or step.refused:
                self._emit_step(step, "", record)
        except Exception as error:
            if not is_of_agent(error, agent_task.store.faults):
                raise
            raise agent_task.store.failed(key, day, error) from error
        if step.erased:
            agent_task.rows.erase(key)
            self.output.erasures.append(Erasure(day, step.state))

    # -- keys in quarantine

    def _held_back(self, record: Record, key: str, event: ev.Event, agent_task: AgentTask) -> bool:
        """Let a record wait for the release of its key, which goes into quarantine here where its agent fails on it."""
        name = agent_task.name
        error = self.quarantine.expected_at(name, key, place_of(record))
        if (name, key) not in self.quarantine.held:
            if error is None:
                return False
            self._hold(name, key, record, place_of(record), error)
        elif error is None and type(event) in _ERASING:
            self._overtake(record, key, event, agent_task)
            return True
        left = self._emptied(record, key, agent_task)
        if left is not None:
            place = (record.topic, record.partition, record.offset, record.key)
            record = StoredRecord(*place, left, (), record.timestamp)
        self._add_held(record, key, agent_task)
        return True

    def _overtake(self, record: Record, key: str, event: ev.Event, agent_task: AgentTask) -> None:
        """Let an erasure or a withdrawal come before all that waits for its key, and empty what waits by it.

        Where the agent fails on it too, it waits as well.
        """
        first = next(self.quarantine.items(agent_task.name, key), None)
        with self._as_decided(agent_task):
            if first is not None:
                self._decide_as_of(agent_task, *first)
            self._apply(record, key, event, agent_task)
        self.quarantine.change_values(agent_task.name, key, lambda held: self._emptied(held, key, agent_task))
        self.store.erase(key)

    def _emptied(self, record: Record, key: str, agent_task: AgentTask) -> bytes | None:
        """Return what may be stored of a record that waits after erasures and withdrawals; None where all of it may."""
        state = agent_task.store.state(key)
        topic = record.topic.removeprefix(self._prefix)
        if not isinstance(state, BorrowerState) or topic not in PERSONAL_TOPICS:
            return None
        event = self.read(topic, record)
        left = emptied(event, state)
        if isinstance(event, ev.OfferAnswered) and isinstance(left, ev.OfferAnswered) and event.answer == "accepted":
            # Whether the recording of an agreement is needed is decided with it.
            left = replace(left, recording_ref=event.recording_ref)
        return None if left == event else self._codec.encode(left, record.topic)

    def _hold_back_close(self, agent_task: AgentTask, record: Record, day: ev.DayClosed) -> Collection[str]:
        """Let a close wait for the release of keys; returns those in quarantine. Each close waits once."""
        name, place, at = agent_task.name, close_of(day.business_date), day.business_date
        for key in self.quarantine.expected_keys(name, place):
            if (name, key) not in self.quarantine.held:
                self._hold(name, key, record, place, self.quarantine.expected_at(name, key, place) or "")
        keys = sorted(self.quarantine.keys(name))
        for key in keys:
            if self.quarantine.held[name, key].last_day < at.toordinal():
                self._add_held(record, key, agent_task, at)
        return keys

    def _add_held(self, record: Record, key: str, agent_task: AgentTask, day: date | None = None) -> None:
        model, taken = self.store.meta(_MODEL), self.policies.taken
        self.quarantine.add(agent_task.name, key, record, agent_task.closed_through, taken, model, day)

    def _hold(self, agent: str, key: str, record: Record, place: str, error: str) -> None:
        self.quarantine.hold(agent, key, record, place, error)
        log.error("quarantined", agent=agent, key=key, place=place, error=error)
        self._report_held(agent, key, record, place, f"The {agent} agent failed on {key} at {place}: {error}.")

    def _report_held(self, agent: str, key: str, record: Record, identity: str, what: str) -> None:
        """Dead-letter a record that stays in the quarantine, which has its bytes."""
        place = (record.topic.removeprefix(self._prefix), record.partition, record.offset)
        bad = InvalidEventError(
            QUARANTINED,
            f"{what} This is a fault of Reprieve. The key is in quarantine: its records wait in order, and other keys "
            f"go on. Once it is mended: reprieve quarantine release {key}.",
        )
        letter = dead_letter(
            self._source, place, key.encode(), None, (), record.timestamp, bad, f"{agent}/{key}/{identity}"
        )
        self._emit_dead_letter(letter, self.tracer.carried(record))

    def release(self, event: ev.QuarantineReleased, record: Record) -> None:
        """Repeat all that waits for a key, as it would have been decided when it came; no key waits twice.

        Where its agent fails again the key stays in quarantine, and nothing of this is kept.
        """
        agent_task = next((x for x in self.agent_tasks if x.name == event.agent), None)
        if agent_task is None or (event.agent, event.key) not in self.quarantine.held:
            return
        name, key, place = event.agent, event.key, f"release/{place_of(record)}"
        error = self.quarantine.expected_at(name, key, place)
        if error is not None:
            self.quarantine.note_error(name, key, error)
            log.error("release_failed", agent=name, key=key, error=error)
            self._report_held(
                name, key, record, place, f"The {name} agent failed on {key} as it was released: {error}."
            )
            return
        # Stores hold what the batch decided before: a fault of this key is of its release from here on.
        self.flush()
        try:
            with self._as_decided(agent_task):
                for item, model in self.quarantine.take(name, key):
                    self._decide_as_of(agent_task, item, model)
                    self._repeat(agent_task, key, item)
                agent_task.store.flush()
            if name in SEALED:
                self.store.erase(key)
        except AgentError as fault:
            if (fault.agent, fault.key) == (name, key):
                fault.place = place
            raise
        except Exception as failure:
            if not is_of_agent(failure, agent_task.store.faults):
                raise
            raise AgentError(name, key, place, failure, f"Releasing {key} failed.") from failure
        log.info("quarantine_released", agent=name, key=key)

    @contextmanager
    def _as_decided(self, agent_task: AgentTask) -> Iterator[None]:
        """Go by the present again behind it, whatever `_decide_as_of` did within."""
        closed_through, book = agent_task.closed_through, self.policies.book
        try:
            yield
        finally:
            agent_task.closed_through, self.policies.book = closed_through, book
            self._decide_by_present()

    def _decide_as_of(self, agent_task: AgentTask, item: HeldItem, model: str | None) -> None:
        """Let decisions go by the day, the policies and the model of when an item came."""
        agent_task.closed_through = None if item.closed_through is None else date.fromordinal(item.closed_through)
        self.policies.book = self.policies.book_after(item.policies)
        agent_task.store.decide_by(self.policies.book, None if model is None else decode_model(model))

    def _repeat(self, agent_task: AgentTask, key: str, item: HeldItem) -> None:
        record = item.record
        topic = record.topic.removeprefix(self._prefix)
        event = self.read(topic, record)
        if item.day is None:
            self._apply(record, key, event, agent_task)
            return
        assert isinstance(event, ev.DayClosed)
        step = agent_task.store.close_key(key, event, agent_task.closed_through)
        if step is not None:
            self._emit_close(step, key, agent_task, record, event)
        if agent_task is self.agent_tasks[0] and key in self.store.parked_keys:
            self._expire_key(key, agent_task.closed_through, item.day)

    # -- a batch that is abandoned

    def rollback(self, output: TaskOutput, fault: AgentError | None = None) -> None:
        """Go back to what a batch began with, and expect a fault where it is processed again.

        The rows of the stores are rolled back before. Raises FatalError where no more keys may be in quarantine.
        """
        self.output = output
        for agent_task in self.agent_tasks:
            agent_task.forget()
        self.policies.recall()
        self.quarantine.load()
        self._load()
        if fault is not None:
            self.quarantine.expect(fault)

    # -- what goes out

    def broadcast(self, event: ev.Event, trace: bytes | None = None) -> None:
        """Publish an event to every partition of its topic."""
        topic = TOPIC_OF[type(event)].name
        value = self._codec.encode(event, self._prefix + topic)
        self.output.records.append(OutputRecord(topic, None, None, value, headers_for(event, trace), event))

    def _emit_step(self, step: Step[Any], key: str, cause: Record) -> None:
        trace = self.tracer.carried(cause)
        for event in step.outputs:
            if TOPIC_OF[type(event)].key is None:
                self.broadcast(event, trace)
            else:
                self._emit(event, key, trace)
        for refusal in step.refused:
            event = refusal.event
            topic = TOPIC_OF[type(event)].name
            named = key_of(event)
            # A refused event of the agents' own is of the account's, whose topics hold nothing personal.
            self._emit_dead_letter(
                dead_letter(
                    self._source,
                    (topic, self.partition, -1),
                    None if named is None else named.encode(),
                    self._codec.encode(event, self._prefix + topic),
                    (),
                    int(event.occurred_at.timestamp() * 1000),
                    InvalidEventError(refusal.code, refusal.message),
                    refusal.identity,
                ),
                trace,
            )

    def _emit(self, event: ev.Event, key: str, trace: bytes | None) -> None:
        topic = TOPIC_OF[type(event)].name
        named = key_of(event) or ""
        raw = named.encode()
        partition = self.partition if named == key else partition_of(raw, self.partitions)
        value = self._codec.encode(event, self._prefix + topic)
        self.output.records.append(OutputRecord(topic, partition, raw, value, headers_for(event, trace), event))

    def refuse(self, record: Record, bad: InvalidEventError, *, read: bool = False) -> None:
        """Dead-letter a record. read: its event was understood, by its topic's rules."""
        place = (record.topic.removeprefix(self._prefix), record.partition, record.offset)
        headers, identity = headers_of(record), "/".join(map(str, place))
        letter = dead_letter(self._source, place, record.key, record.value, headers, record.timestamp, bad, identity)
        self._emit_dead_letter(seal_dead_letter(letter, self._vault, read=read), self.tracer.carried(record))

    def _emit_dead_letter(self, letter: ev.DeadLetter, trace: bytes | None) -> None:
        self.output.dead_lettered[letter.code] += 1
        first = (letter.topic, letter.partition, letter.offset, trace)
        self.output.first_dead_lettered.setdefault(letter.code, first)
        value = self._codec.encode(letter, self._prefix + "dead-letters")
        headers = headers_for(letter, trace)
        self.output.records.append(OutputRecord("dead-letters", self.partition, letter.key, value, headers, letter))

    # -- a commit

    def prepare_commit(self) -> TaskOutput:
        """Have the stores hold all that is to be committed; returns what is to be published with it."""
        if self.portfolio.changed:
            store_portfolio(self.portfolio, self.store)
        return self.output

    def post_commit(self) -> None:
        """Begin another batch; the one before was committed."""
        self.output = TaskOutput()
        self.quarantine.expected.clear()
        if self.portfolio.changed:
            self.portfolio.changed = False
            self.committed_portfolio = self.portfolio.copy()
