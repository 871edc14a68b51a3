"""What one agent keeps: its states and facts, read ahead for a batch and written once at its end."""

from __future__ import annotations

import gc
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from typing import Generic, Protocol, TypeVar

import msgspec
from msgspec import Struct

from agents.base import Agent, Environment, Step
from schemas import events as ev
from state.learning import Learned
from state.policy import PolicyBook
from state.storage import pack, unpack
from streams.privacy.sealed import SEALED, SealedRows
from streams.privacy.vault import Vault

S = TypeVar("S", bound=Struct)

# Keys hold no control characters, so a fact's id is its key and fact key with one between.
SEPARATOR, AFTER_SEPARATOR = "\x1f", "\x20"

_encode = msgspec.msgpack.Encoder().encode
read_fact = msgspec.msgpack.Decoder(ev.AnyEvent).decode


def written(update: ev.ModelUpdated) -> str:
    """Return what the learner told as text, to be kept beside the states."""
    return msgspec.json.encode(update).decode()


def read_back(text: str) -> Learned:
    """Return what the learner told last, from its text."""
    return Learned(msgspec.json.decode(text, type=ev.ModelUpdated))


def fact_id(key: str, fact_key: str) -> str:
    """Return the id under which a key's fact is stored."""
    return key + SEPARATOR + fact_key


class Keeping(Protocol):
    """Where desks keep their rows: states by agent and key, facts by agent and id."""

    def states(self, agent: str, keys: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        """Yield the stored states of keys; those that have none are left out."""
        ...

    def due(self, agent: str, through: int) -> list[str]:
        """Return the keys that are due by a day, sorted; it costs what is due, not what is kept."""
        ...

    def keys(self, agent: str) -> list[str]:
        """Return all keys that have a state, sorted."""
        ...

    def put_states(self, rows: Iterable[tuple[str, str, bytes, int | None]]) -> None:
        """Store states by agent and key, with the day when each is due; the latest of a key stands."""
        ...

    def known(self, agent: str, ids: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        """Yield those facts that are recorded, by id."""
        ...

    def facts(self, agent: str, key: str) -> list[tuple[str, bytes]]:
        """Return all facts of a key by fact key, in the order of these."""
        ...

    def put_facts(self, rows: Iterable[tuple[str, str, bytes]]) -> None:
        """Record facts by agent and id; one that exists is replaced."""
        ...


class Desk(Generic[S]):
    """An agent with its part of the store. States live in a bounded cache, the least recently used leave.

    vault: seals the rows of agents that keep personal data; None leaves them in the clear.
    """

    # Told of each state that a step leaves, with what was there before it.
    watch: Callable[[S | None, S], None] | None = None

    def __init__(
        self,
        agent: Agent[S],
        kind: type[S],
        store: Keeping,
        book: PolicyBook,
        cached: int,
        vault: Vault | None = None,
    ) -> None:
        self.agent = agent
        self._kind = kind
        self._sealed = SealedRows(store, vault) if agent.name in SEALED else None
        self._store: Keeping = store if self._sealed is None else self._sealed
        self._cached = cached
        self._states: OrderedDict[str, S] = OrderedDict()
        self._dirty: dict[str, S] = {}
        # Keys that the batch asked for and that have no state.
        self._absent: set[str] = set()
        self._known: dict[str, ev.Event | None] = {}
        self._facts: dict[str, dict[str, ev.Event]] = {}
        # Keys of which the batch erased what is personal.
        self.erased: set[str] = set()
        self._environment = Environment(book)

    def learn(self, learned: Learned) -> None:
        """Let decisions go by what the learner told last."""
        self._environment.learned = learned

    def adopt(self, book: PolicyBook) -> None:
        """Let decisions go by another book."""
        self._environment.policies = book

    # -- a batch

    def id_of(self, key: str, event: ev.Event) -> str:
        """Return the id under which an event is a fact of a key."""
        return fact_id(key, self.agent.fact_key(event))

    def read_ahead(self, asked: Sequence[tuple[str, str]]) -> None:
        """Read the states and known facts that a batch will ask for, by key and fact id."""
        if not asked:
            return
        ids = sorted({name for _, name in asked})
        self._known = dict.fromkeys(ids)
        for name, value in self._store.known(self.agent.name, ids):
            self._known[name] = read_fact(value)
        self._read_states({key for key, _ in asked})

    def _read_states(self, keys: Iterable[str]) -> None:
        # Not a difference of sets: that visits every state in the cache, where these are a few.
        missing = sorted({key for key in keys if key not in self._states})
        for key, value in self._store.states(self.agent.name, missing):
            self._states[key] = unpack(value, self._kind)
        self._absent.update(key for key in missing if key not in self._states)

    def decide(self, key: str, event: ev.Event, closed_through: date | None, name: str | None = None) -> Step[S]:
        """Return the agent's step on an event, taken down. name: its fact id, where that is known."""
        env = self._environment
        env.closed_through = closed_through
        env.known = self._lookup(name or self.id_of(key, event))
        env.history = lambda: self.history(key)
        env.fact = lambda name: self._lookup(fact_id(key, name))
        step = self.agent.handle(self.state(key), event, env)
        self._note(key, step)
        return step

    def close_day(self, day: ev.DayClosed, closed_through: date | None, page: int) -> Iterator[list[Step[S]]]:
        """Let the agent close a day for every key for which it matters, in the order of keys.

        Yields the steps of at most `page` keys at a time, written down; the keys of earlier pages are due no more,
        so a close that ends between pages is taken up where it was.
        """
        self.flush()
        through = day.business_date.toordinal()
        env = self._environment
        env.closed_through = closed_through
        env.known = None
        due = self._store.due(self.agent.name, through)
        keys, others = due, env.policies.changes(env.open_day - 1, through) and self.agent.daily
        known = set(due) if others else set()
        if others:
            keys = self._store.keys(self.agent.name)
        for start in range(0, len(keys), page):
            here = keys[start : start + page]
            self._read_states(here)
            if others:
                here = self._concerned(here, known, through)
            steps = []
            for key in here:
                env.history = lambda key=key: self.history(key)  # type: ignore[misc]
                env.fact = lambda name, key=key: self._lookup(fact_id(key, name))
                step = self.agent.close(self._states[key], day, env)
                self._note(key, step)
                steps.append(step)
            self.flush()
            yield steps

    def rewrap(self, page: int) -> Iterator[None]:
        """Have data keys that an older master key wraps wrapped by the current one, up to `page` keys at a time.

        Yields where some were written; those that were look out of date no more, so it can end between pages.
        """
        if self._sealed is None:
            return
        name = self.agent.name
        keys = self._store.keys(name)
        for start in range(0, len(keys), page):
            old = self._sealed.outdated(name, keys[start : start + page])
            if old:
                self._read_states(old)
                self._dirty.update((key, self._states[key]) for key in old)
                self.flush()
                yield

    def _concerned(self, keys: Sequence[str], due: Collection[str], through: int) -> list[str]:
        """Return of keys those that are due, or that a change of policy concerns."""
        policies, outdated = self._environment.policies, self.agent.outdated
        return [key for key in keys if key in due or outdated(self._states[key], policies, through)]

    def _note(self, key: str, step: Step[S]) -> None:
        if self.watch is not None:
            self.watch(self._states.get(key), step.state)
        self._states[key] = self._dirty[key] = step.state
        for fact_key, event in step.facts:
            self._facts.setdefault(key, {})[fact_key] = event
            self._known[fact_id(key, fact_key)] = event
        if step.erased:
            self.erased.add(key)

    def _lookup(self, name: str) -> ev.Event | None:
        if name not in self._known:
            found = next(self._store.known(self.agent.name, [name]), None)
            self._known[name] = None if found is None else read_fact(found[1])
        return self._known[name]

    # -- what is kept

    def state(self, key: str) -> S | None:
        """Return a key's state, None where it has none."""
        state = self._states.get(key)
        if state is None and key not in self._absent:
            row = next(self._store.states(self.agent.name, [key]), None)
            if row is None:
                return None
            state = self._states[key] = unpack(row[1], self._kind)
        return state

    def history(self, key: str) -> list[tuple[str, ev.Event]]:
        """Return all facts recorded for a key, in the order of their fact keys."""
        stored: dict[str, ev.Event] = {k: read_fact(v) for k, v in self._store.facts(self.agent.name, key)}
        return sorted((stored | self._facts.get(key, {})).items())

    def flush(self) -> None:
        """Write what changed: each state once, each fact once."""
        name, due = self.agent.name, self.agent.due
        for key in sorted(self.erased):
            self._renew(key)
        if self._dirty:
            self._store.put_states((name, key, pack(s), due(s)) for key, s in sorted(self._dirty.items()))
            for key in self._dirty:
                self._states.move_to_end(key)
            self._dirty = {}
        if self._facts:
            self._store.put_facts(
                (name, fact_id(key, fact_key), _encode(event))
                for key, facts in sorted(self._facts.items())
                for fact_key, event in facts.items()
            )
            self._facts = {}
        self._known = {}
        self._absent = set()
        self.erased = set()
        while len(self._states) > self._cached:
            self._states.popitem(last=False)

    def _renew(self, key: str) -> None:
        """Have all that is kept of a key written anew, under another data key; the one before is destroyed by that."""
        if self._sealed is not None:
            self._facts[key] = dict(self.history(key))
            self._sealed.renew(self.agent.name, key)

    def forget(self) -> None:
        """Drop what a batch that did not happen left."""
        self._states.clear()
        self._dirty, self._facts, self._known = {}, {}, {}
        self._absent, self.erased = set(), set()
        if self._sealed is not None:
            self._sealed.forget()


@contextmanager
def fewer_collections() -> Iterator[None]:
    """Let Python look for garbage cycles rarely: states are many and long-lived, and make none."""
    before = gc.get_threshold()
    gc.set_threshold(200_000, 20, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)
