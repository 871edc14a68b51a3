"""The local runtime: the agents in one process over an embedded durable log, exactly once.

Records that came in are processed in the order of their arrival. What an agent says goes to the log, and on
to those agents that take it, until nothing is left to take; then the next record. A batch of records, all
that came of them, and the position behind them are one transaction: a crash loses and doubles nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from msgspec import Struct

from agents.base import Step
from schemas import events as ev
from schemas.codec import Codec
from schemas.errors import BadInput, Fatal, ReprieveError, UnknownAccount
from schemas.topics import TOPIC_OF, key_of
from state.policy import PolicyBook
from streams.at_work import Agents, agents_at_work
from streams.desk import Desk, fewer_collections, read_back, written
from streams.local.erasing import folded, overwritten
from streams.local.journal import Journal
from streams.local.opening import owned, vault_in
from streams.local.record import Given, Summary, Unfit, letter_of, read_record, row_of
from streams.local.rewrapping import rewrap
from streams.local.store import Row, Store
from streams.policies import Policies
from streams.privacy.log import LogSeal
from streams.privacy.quiet import told
from streams.privacy.vault import Vault

BATCH = 10_000
CLOCK = (ev.DayClosed, ev.PolicyChanged)


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
    ) -> None:
        self._store = store
        self.vault = vault
        store.seal = LogSeal(vault)
        self._codec = Codec()
        self._batch = batch
        self._desks = [Desk(agent, kind, store, book, cached, vault) for agent, kind in agents]
        self._takers: dict[type[ev.Event], list[Desk[Any]]] = {
            kind: [d for d in self._desks if kind in d.agent.accepts] for kind in TOPIC_OF
        }
        owned(store, book)
        folded(store)
        rewrap(store, self._codec, vault, self._desks)
        self._journal = Journal(store, self._codec)
        self._done, self.closed_through, self._parked = self._reached()
        self._policies = Policies(book, store)
        self._recall()
        self._said: list[ev.Event] = []
        # Borrowers of whom the batch erased what was personal.
        self._erased: set[str] = set()
        self._summary = Summary()

    @classmethod
    def open(cls, folder: Path | None, book: PolicyBook, **options: int) -> LocalRuntime:
        """Open a data directory (None: in memory) with Reprieve's own agents.

        What is personal is sealed there, under master keys that a new directory gets.
        Raises Fatal where another process has it, where it was made under another policy book, or where its master
        keys are gone.
        """
        store = Store(folder)
        try:
            vault = None if folder is None else vault_in(folder, store)
            return cls(store, agents_at_work(), book, vault=vault, **options)
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
        """Process all that came in and is not processed yet. Raises Fatal where going on would be wrong."""
        self._summary = Summary()
        self._said = []
        with fewer_collections():
            self._run(progress)
        return self._summary

    def _run(self, progress: Callable[[Summary], None] | None) -> None:
        while rows := self._store.inbound_after(self._done, self._batch):
            try:
                with self._store.transaction():
                    self._process(rows)
                    overwritten(self._store, self._codec, self.vault, self._erased)
                    self._erased = set()
                folded(self._store)
            except BaseException:
                self._forget()
                raise
            if progress is not None:
                progress(self._summary)

    def feed(self, events: Iterable[ev.Event]) -> list[ev.Event]:
        """Publish events, process them, and return all that was said."""
        self.publish(events)
        self.run()
        return self._said

    def _reached(self) -> tuple[int, date | None, set[str]]:
        """Return how far the store has come: the position, the closed day, and the keys for which records wait."""
        closed = self._store.meta("closed_through")
        day = date.fromisoformat(closed) if closed else None
        return int(self._store.meta("done") or 0), day, self._store.parked_keys()

    def _recall(self) -> None:
        """Take up the policies, and what the learner told last."""
        for desk in self._desks:
            desk.adopt(self._policies.book)
        told = self._store.meta("learned")
        if told is not None:
            for desk in self._desks:
                desk.learn(read_back(told))

    def _forget(self) -> None:
        """Go back to what the store holds, since a batch did not happen."""
        for desk in self._desks:
            desk.forget()
        self._erased = set()
        self._journal.reload()
        self._done, self.closed_through, self._parked = self._reached()
        self._policies.recall()
        self._recall()

    def _process(self, rows: Sequence[Row]) -> None:
        given: list[Given | Unfit] = []
        for row in rows:
            try:
                event = read_record(row, self._codec, self.vault)
                if isinstance(event, CLOCK) and not self._policies.check(event, self.closed_through):
                    continue
            except BadInput as bad:
                given.append(Unfit(row, bad))
                continue
            if isinstance(event, CLOCK):
                self._all(given)
                given = []
                self._one(Given(row, event, ""), self._tick)
            else:
                given.append(Given(row, event, (row[3] or b"").decode()))
        self._all(given)
        for desk in self._desks:
            desk.flush()
        self._journal.flush()
        self._done = rows[-1][0]
        self._store.set_meta("done", str(self._done))
        self._summary.read += len(rows)

    def _all(self, given: Sequence[Given | Unfit]) -> None:
        for desk in self._desks:
            mine = [g for g in given if isinstance(g, Given) and desk in self._takers[type(g.event)]]
            desk.read_ahead([(g.key, desk.id_of(g.key, g.event)) for g in mine])
        for g in given:
            if isinstance(g, Given):
                self._one(g, self._take)
            else:
                self._refuse(g.row, g.bad, read=False)

    def _one(self, given: Given, act: Callable[[Given], None]) -> None:
        """Process one record to the end; anything but a ReprieveError names the record it stopped at."""
        try:
            act(given)
        except ReprieveError:
            raise
        except Exception as error:
            _, topic, offset, *_ = given.row
            raise Fatal(
                f"Processing {type(given.event).__name__} at {topic}/{offset} failed with {told(error, given.event)}. "
                f"Nothing of its batch was kept; the record stays where it is. This is a fault of Reprieve."
            ) from error

    def _take(self, given: Given) -> None:
        """Let agents take an event, and then what they say, until nothing is left to take."""
        follow = self._offer(given)
        if follow:
            waiting = deque(follow)
            while waiting:
                waiting.extend(self._offer(waiting.popleft()))

    def _offer(self, given: Given) -> Sequence[Given]:
        """Offer one event to the agents that take it; returns what is to be taken next."""
        event, key = given.event, given.key
        follow: Sequence[Given] = ()
        for desk in self._takers[type(event)]:
            try:
                step = desk.decide(key, event, self.closed_through)
            except UnknownAccount:
                self._park(given.row, key)
                continue
            except BadInput as bad:
                self._refuse(given.row, bad)
                continue
            if step.outputs or step.refused:
                follow = [*follow, *self._publish_step(step, given.row)]
            if step.erased:
                self._erased.add(key)
            if key in self._parked and isinstance(event, ev.AccountOpened):
                follow = [*follow, *self._unparked(key)]
        return follow

    def _publish_step(self, step: Step[Any], cause: Row) -> list[Given]:
        """Say what an agent says; returns those events that an agent takes."""
        follow = []
        for event in step.outputs:
            row = self._say(event, cause)
            if isinstance(event, ev.ModelUpdated):
                self._store.set_meta("learned", written(event))
                self._recall()
            if self._takers[type(event)]:
                follow.append(Given(row, event, key_of(event) or ""))
        for refusal in step.refused:
            row = row_of(refusal.event, self._codec)
            self._refuse(row, BadInput(refusal.code, refusal.message), refusal.event.event_id)
        return follow

    def _tick(self, given: Given) -> None:
        if isinstance(given.event, ev.PolicyChanged):
            self._policies.take(given.event)
            self._recall()
            return
        day = given.event
        assert isinstance(day, ev.DayClosed)
        if self.closed_through is not None and day.business_date <= self.closed_through:
            return
        for desk in self._desks:
            follow: list[Given] = []
            for steps in desk.close_day(day, self.closed_through, BATCH):
                for step in steps:
                    follow += self._publish_step(step, given.row)
            for item in follow:
                self._take(item)
        self.closed_through = day.business_date
        self._store.set_meta("closed_through", day.business_date.isoformat())
        if self._parked:
            wait = self._policies.house(self.closed_through).unknown_account_wait_days
            expired = self._store.overdue(day.business_date.toordinal(), wait)
            for position in expired:
                row = self._store.record(position)
                self._refuse(row, UnknownAccount((row[3] or b"").decode(errors="replace")))
            self._store.unpark(expired)
            self._parked = self._store.parked_keys()

    # -- what goes out

    def _say(self, event: ev.Event, cause: Row) -> Row:
        self._said.append(event)
        self._summary.said += 1
        return self._journal.say(event, cause)

    def _refuse(self, row: Row, bad: BadInput, identity: str = "", *, read: bool = True) -> None:
        self._summary.refused += 1
        self._say(letter_of(row, bad, identity, self.vault, read=read), row)

    def _park(self, row: Row, key: str) -> None:
        self._store.park(row[0], key, self._policies.deadline(self.closed_through))
        self._parked.add(key)

    def _unparked(self, key: str) -> list[Given]:
        positions = self._store.parked(key)
        self._store.unpark(positions)
        self._parked.discard(key)
        rows = [self._store.record(position) for position in positions]
        return [Given(row, read_record(row, self._codec, self.vault), key) for row in rows]

    # -- what is known

    def replayed(self) -> set[str]:
        """Return the ids of the dead letters that were sent in again."""
        return self._store.replayed()

    def outputs(self, topic: str, after: int = -1) -> Iterator[tuple[int, ev.Event]]:
        """Yield a topic's events with their offsets, behind an offset."""
        for _, _, offset, _, value, *_ in self._store.of_topic(topic, after + 1):
            yield offset, self._codec.decode(value or b"")

    def state(self, agent: str, key: str) -> Struct | None:
        """Return the state that an agent keeps of a key."""
        return self._desk(agent).state(key)

    def keys(self, agent: str) -> list[str]:
        """Return all keys of which an agent keeps a state, sorted."""
        return self._store.keys(agent)

    def history(self, agent: str, key: str) -> list[tuple[str, ev.Event]]:
        """Return the facts that an agent recorded for a key."""
        return self._desk(agent).history(key)

    def _desk(self, agent: str) -> Desk[Any]:
        return next(d for d in self._desks if d.agent.name == agent)
