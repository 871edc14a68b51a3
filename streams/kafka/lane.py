"""A lane: one partition of all agents' inputs, decided in batches, with no Kafka in it.

A lane takes records, lets the agents decide, and gathers all that came of it in a batch; whoever drives it
makes the batch one transaction, and then says so. Agents that take each other's events do so through topics,
since what one says belongs to another partition as often as not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any

from agents.base import Step
from schemas import events as ev
from schemas.codec import Codec
from schemas.errors import BadInput, Fatal, ReprieveError, UnknownAccount
from schemas.headers import headers_for
from schemas.topics import PERSONAL_TOPICS, TOPIC_OF, key_of
from state.learning import Learned
from state.policy import PolicyBook
from streams.desk import read_back, written
from streams.kafka.batch import Batch, Record, Saying
from streams.kafka.business import HEARD, counts_of
from streams.kafka.metrics import see_learned
from streams.kafka.partitioning import partition_of, wrong_partition
from streams.kafka.rows import ParkedRecord, parked
from streams.kafka.seat import PORTFOLIO, Seat, counted, turn_of
from streams.letters import dead_letter
from streams.policies import Policies
from streams.privacy.check import check, note_rewrapped, to_rewrap
from streams.privacy.letters import sealed_letter
from streams.privacy.quiet import told
from streams.privacy.sealed import SEALED
from streams.privacy.vault import Vault
from streams.privacy.wire import unsealed
from streams.reading import read_event
from streams.tracing import Untraced

SOURCE = "reprieve.kafka"


class Lane:
    """One partition of the inputs of agents. `rekey`: a record on a wrong partition is sent on, not refused."""

    def __init__(
        self,
        partition: int,
        partitions: int,
        seats: Sequence[Seat],
        book: PolicyBook,
        codec: Codec,
        *,
        prefix: str,
        rekey: bool = False,
        vault: Vault | None = None,
    ) -> None:
        self.partition = partition
        self.partitions = partitions
        self.seats = seats
        self.batch = Batch()
        # Makes spans, where traces are asked for.
        self.tracer = Untraced()
        self._codec = codec
        self._prefix = prefix
        self._rekey = rekey
        self._policies = Policies(book, seats[0].rows)
        self._vault = vault
        self._wire = None if vault is None else vault.wire
        self._seat_of = {kind: seat for seat in seats for kind in seat.agent.accepts}
        for seat in seats:
            if seat.agent.name in SEALED:
                check(seat.rows, vault)
            seat.desk.adopt(self._policies.book)
        # What the accounts come to, and what it was when it was last committed.
        self.portfolio = counted(seats, self._policies.book)
        self.portfolio_then = self.portfolio.copy()
        learned = seats[0].rows.meta("learned")
        if learned is not None:
            self._learn(read_back(learned))

    # -- a batch

    def take(self, records: Mapping[str, Sequence[Record]]) -> None:
        """Decide on records by topic, without its prefix; the batch holds what comes of them."""
        topics = sorted(records, key=turn_of)
        given = [item for topic in topics for item in self._read_all(topic, records[topic])]
        asked: dict[Seat, list[tuple[str, str]]] = {seat: [] for seat in self.seats}
        for _, key, _, seat, name in given:
            asked[seat].append((key, name))
        # Once for the whole batch: reading ahead again would forget what the batch has recorded so far.
        for seat, some in asked.items():
            seat.desk.read_ahead(some)
        for record, key, event, seat, name in given:
            try:
                self._decide(record, key, event, seat, name)
            except ReprieveError:
                raise
            except Exception as error:
                raise Fatal(
                    f"Processing {type(event).__name__} at {record.topic}/{record.partition}/{record.offset} failed "
                    f"with {told(error, event)}. Nothing of its batch was kept; the record stays where it "
                    "is. This is a fault of Reprieve."
                ) from error
        for seat in self.seats:
            seat.desk.flush()

    def seal(self) -> None:
        """Let the batch hold what the accounts come to with it."""
        if self.portfolio.changed:
            self.seats[0].rows.set_meta(PORTFOLIO, self.portfolio.text())

    def settled(self, offsets: Mapping[str, int]) -> None:
        """Make the batch's rows final; it was committed. `offsets`: each agent's changelog behind the batch."""
        for seat in self.seats:
            if seat.rows.written:
                seat.rows.apply(offsets[seat.agent.name])
        self.batch = Batch()
        if self.portfolio.changed:
            self.portfolio.changed = False
            self.portfolio_then = self.portfolio.copy()

    def strange(self, values: Iterable[bytes]) -> list[bytes]:
        """Return of values one of each schema that the registry has to be asked for before they are read."""
        is_strange = self._codec.is_strange
        return list({value[:5]: value for value in values if is_strange(value)}.values())

    def _read_all(self, topic: str, records: Sequence[Record]) -> Iterator[tuple[Record, str, ev.Event, Seat, str]]:
        """Yield a topic's records that an agent takes, with key, event, seat and fact id; what is unfit is refused."""
        seat_of = self._seat_of
        for record in records:
            try:
                event = self.read(topic, record)
            except BadInput as bad:
                self.refuse(record, bad)
                continue
            seat = seat_of.get(type(event))
            if seat is not None:
                key = (record.key or b"").decode()
                yield record, key, event, seat, seat.desk.id_of(key, event)
        self.batch.offsets[topic] = records[-1].offset + 1
        self.batch.note(topic, records)

    def read(self, topic: str, record: Record) -> ev.Event:
        """Return the event of a record. Raises BadInput where it is unfit for its topic, named without prefix."""
        event = read_event(topic, record.key, record.value, self._codec)
        return unsealed(event, self._wire) if topic in PERSONAL_TOPICS else event

    def _decide(
        self, record: Record | ParkedRecord, key: str, event: ev.Event, seat: Seat, name: str | None = None
    ) -> None:
        desk = seat.desk
        # A key that has a state was found to belong here when it came first.
        if desk.state(key) is None and partition_of(key.encode(), self.partitions) != self.partition:
            self._misplaced(record, key)
            return
        try:
            step = desk.decide(key, event, seat.closed_through, name)
        except UnknownAccount:
            self._park(seat, record, key)
            return
        except BadInput as bad:
            self.refuse(record, bad, read=True)
            return
        if step.outputs or step.refused:
            self._say_step(step, key, record)
        if step.facts and type(event) in HEARD:
            self.batch.counted.update(counts_of(event))
        if step.erased:
            seat.rows.erase(key)
        if key in seat.rows.waiting and isinstance(event, ev.AccountOpened):
            self._unpark(seat, key)

    def _misplaced(self, record: Record | ParkedRecord, key: str) -> None:
        place = partition_of(key.encode(), self.partitions)
        if self._rekey:
            topic = record.topic.removeprefix(self._prefix)
            self.batch.said.append(Saying(topic, place, record.key, record.value, record.headers))
        else:
            self.refuse(record, wrong_partition(record.topic, key, self.partition, place), read=True)

    # -- what was learned

    def learn(self, records: Sequence[Record]) -> None:
        """Take what the learner told; decisions go by it from now on."""
        for record in records:
            try:
                event = self.read("learning", record)
            except BadInput as bad:
                self.refuse(record, bad)
                continue
            assert isinstance(event, ev.ModelUpdated)
            self.seats[0].rows.set_meta("learned", written(event))
            self._learn(Learned(event))
        self.batch.offsets["learning"] = records[-1].offset + 1

    def _learn(self, learned: Learned) -> None:
        see_learned(learned.update)
        for seat in self.seats:
            seat.desk.learn(learned)

    # -- a day's close

    @property
    def _closed(self) -> date | None:
        return max((s.closed_through for s in self.seats if s.closed_through is not None), default=None)

    def of_clock(self, record: Record) -> ev.DayClosed | ev.PolicyChanged | None:
        """Return what a record of the clock asks for, None where that was done. Raises BadInput where it may not be."""
        event = self.read("clock", record)
        assert isinstance(event, ev.DayClosed | ev.PolicyChanged)
        return event if self._policies.check(event, self._closed) else None

    def change(self, change: ev.PolicyChanged) -> None:
        """Go by other policies, from their day on."""
        self._policies.take(change)
        for seat in self.seats:
            seat.desk.adopt(self._policies.book)
        self.portfolio.adopt(self._policies.book)

    def close(self, seat: Seat, record: Record, day: ev.DayClosed, page: int) -> Iterator[None]:
        """Close a business date for one agent, a page of keys at a time.

        Where it yields, the batch is to be committed, and the close goes on behind it; so no close is too large for
        a transaction. What is left in the batch at its end is the last page, and that the day is closed.
        """
        if seat.closed_through is not None and day.business_date <= seat.closed_through:
            return
        for steps in seat.desk.close_day(day, seat.closed_through, page):
            for step in steps:
                if step.outputs or step.refused:
                    self._say_step(step, "", record)
            if len(steps) == page:
                yield
        if self._vault is not None and seat.agent.name in SEALED and to_rewrap(seat.rows, self._vault):
            # The first close under a new master key: once all rows are wrapped by it, an older one can be given up.
            yield from seat.desk.rewrap(page)
            note_rewrapped(seat.rows, self._vault)
        self._expire(seat, day.business_date.toordinal())
        seat.closed_through = day.business_date
        seat.rows.set_meta("closed_through", day.business_date.isoformat())

    def say_everywhere(self, event: ev.Event, trace: bytes | None = None) -> None:
        """Publish an event to every partition of its topic."""
        topic = TOPIC_OF[type(event)].name
        value = self._codec.encode(event, self._prefix + topic)
        self.batch.said.append(Saying(topic, None, None, value, headers_for(event, trace)))

    # -- records that wait for their account

    def parked_values(self) -> Iterator[bytes]:
        """Yield the values of all records that wait."""
        for seat in self.seats:
            for key in seat.rows.waiting:
                yield from (record.value or b"" for record in seat.rows.parked(key))

    def _park(self, seat: Seat, record: Record | ParkedRecord, key: str) -> None:
        seat.rows.park(key, parked(record, self._policies.deadline(seat.closed_through)))

    def _unpark(self, seat: Seat, key: str) -> None:
        waited = seat.rows.parked(key)
        seat.rows.unpark(key)
        for record in waited:
            event = self._codec.decode(record.value or b"")
            self._decide(record, key, event, self._seat_of[type(event)])

    def _expire(self, seat: Seat, day: int) -> None:
        wait = self._policies.house(seat.closed_through).unknown_account_wait_days
        for key in sorted(seat.rows.waiting):
            waited = seat.rows.parked(key)
            seat.rows.unpark(key)
            for record in waited:
                if record.deadline is not None and record.deadline < day:
                    self.refuse(record, UnknownAccount(key), read=True)
                else:
                    seat.rows.park(key, parked(record, record.deadline or day + wait))

    # -- what goes out

    def _say_step(self, step: Step[Any], key: str, cause: Record | ParkedRecord) -> None:
        trace = self.tracer.carried(cause)
        for event in step.outputs:
            if TOPIC_OF[type(event)].key is None:
                self.say_everywhere(event, trace)
            else:
                self._say(event, key, trace)
        for refusal in step.refused:
            event = refusal.event
            topic = TOPIC_OF[type(event)].name
            named = key_of(event)
            # A refused event of the agents' own is of the account's, whose topics hold nothing personal.
            self._send_letter(
                dead_letter(
                    SOURCE,
                    (topic, self.partition, -1),
                    None if named is None else named.encode(),
                    self._codec.encode(event, self._prefix + topic),
                    (),
                    int(event.occurred_at.timestamp() * 1000),
                    BadInput(refusal.code, refusal.message),
                    event.event_id,
                ),
                trace,
            )

    def _say(self, event: ev.Event, key: str, trace: bytes | None) -> None:
        topic = TOPIC_OF[type(event)].name
        named = key_of(event) or ""
        raw = named.encode()
        partition = self.partition if named == key else partition_of(raw, self.partitions)
        value = self._codec.encode(event, self._prefix + topic)
        self.batch.said.append(Saying(topic, partition, raw, value, headers_for(event, trace)))
        for found in counts_of(event):
            self.batch.counted[found] += 1

    def refuse(self, record: Record | ParkedRecord, bad: BadInput, *, read: bool = False) -> None:
        """Write a record to the dead letters. read: its event was understood, by its topic's rules."""
        place = (record.topic.removeprefix(self._prefix), record.partition, record.offset)
        headers = [(name, value or b"") for name, value in record.headers]
        identity = "/".join(map(str, place))
        letter = dead_letter(SOURCE, place, record.key, record.value, headers, record.timestamp, bad, identity)
        self._send_letter(sealed_letter(letter, self._vault, read=read), self.tracer.carried(record))

    def _send_letter(self, letter: ev.DeadLetter, trace: bytes | None) -> None:
        self.batch.refused[letter.code] += 1
        self.batch.first_refused.setdefault(letter.code, (letter.topic, letter.partition, letter.offset, trace))
        value = self._codec.encode(letter, self._prefix + "dead-letters")
        self.batch.said.append(Saying("dead-letters", self.partition, letter.key, value, headers_for(letter, trace)))
