"""What one agent keeps: its states and facts, read ahead for a batch and written once at its end."""

from __future__ import annotations

import gc
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from functools import partial
from typing import Generic, TypeVar

import msgspec
from msgspec import Struct

from agents.base import Agent, DecisionContext, Step
from schemas import events as ev
from schemas import resolution
from state.learning import ModelSnapshot
from state.policy import PolicyBook
from state.storage import pack, unpack
from streams.engine.quarantine import AgentError, close_of, is_of_agent
from streams.engine.state_store import StateRows, StateStore, fact_id
from streams.redaction import redacted
from streams.security.sealed_rows import SEALED, SealedRows
from streams.security.vault import Vault

S = TypeVar("S", bound=Struct)

_encode = msgspec.msgpack.Encoder().encode
read_fact = resolution.aliased_decoder(msgspec.msgpack.Decoder(ev.AnyEvent).decode, msgspec.msgpack.decode, _encode)


def encode_model(update: ev.ModelUpdated) -> str:
    """Return what the learner told as text, to be kept beside the states."""
    return msgspec.json.encode(update).decode()


def decode_model(text: str) -> ModelSnapshot:
    """Return what the learner told last, from its text."""
    return ModelSnapshot(msgspec.json.decode(text, type=ev.ModelUpdated))


class AgentStateStore(Generic[S]):
    """An agent with its part of the store. States live in a bounded cache, the least recently used leave.

    vault: seals the rows of agents that keep personal data; None leaves them in the clear.
    """

    # Told of each state that a step leaves, with what was there before it.
    watch: Callable[[S | None, S], None] | None = None

    def __init__(
        self,
        agent: Agent[S],
        kind: type[S],
        store: StateStore,
        book: PolicyBook,
        cached: int,
        vault: Vault | None = None,
    ) -> None:
        self.agent = agent
        self._kind = kind
        self._sealed = SealedRows(store, vault) if agent.name in SEALED else None
        self._store: StateRows = store if self._sealed is None else self._sealed
        self.faults = store.faults
        self._cached = cached
        self._states: OrderedDict[str, S] = OrderedDict()
        self._dirty: dict[str, S] = {}
        # Keys that the batch asked for and that have no state.
        self._absent: set[str] = set()
        # Facts that the batch recorded, by key and fact key. The store does not have them before the flush.
        self._facts: dict[str, dict[str, ev.Event]] = {}
        # What the store had under fact ids that the batch asked for, None where it had nothing.
        self._stored: dict[str, ev.Event | None] = {}
        # Keys of which the batch erased what is personal.
        self.erased: set[str] = set()
        self._policies = book
        self._model: ModelSnapshot | None = None

    def decide_by(self, book: PolicyBook, model: ModelSnapshot | None) -> None:
        """Let decisions go by a book, and by what the learner published last."""
        self._policies, self._model = book, model

    # -- a batch

    def id_of(self, key: str, event: ev.Event) -> str:
        """Return the id under which an event is a fact of a key."""
        return fact_id(key, self.agent.fact_key(event))

    def read_ahead(self, asked: Sequence[tuple[str, str]]) -> None:
        """Read the states and known facts that a batch will ask for, by key and fact id.

        It only saves single reads: a batch may read ahead as often as it likes, or not at all.
        """
        if not asked:
            return
        ids = sorted({name for _, name in asked if name not in self._stored})
        self._stored.update(dict.fromkeys(ids))
        for name, value in self._store.known(self.agent.name, ids):
            self._stored[name] = read_fact(value)
        self._read_states({key for key, _ in asked})

    def _read_states(self, keys: Iterable[str]) -> None:
        # Not a difference of sets: that visits every state in the cache, where these are a few.
        missing = sorted({key for key in keys if key not in self._states})
        for key, value in self._store.states(self.agent.name, missing):
            self._states[key] = unpack(value, self._kind)
        self._absent.update(key for key in missing if key not in self._states)

    def decide(self, key: str, event: ev.Event, closed_through: date | None, name: str | None = None) -> Step[S]:
        """Return the agent's step on an event, taken down. name: its fact id, where that is known."""
        existing = self._lookup(key, name or self.id_of(key, event))
        context = self._context(key, closed_through, existing)
        step = self.agent.handle(self.state(key), event, context)
        self._note(key, step)
        return step

    def close_day(
        self, day: ev.DayClosed, closed_through: date | None, page: int, held: Collection[str] = ()
    ) -> Iterator[list[tuple[str, Step[S]]]]:
        """Let the agent close a day for every key for which it matters, in the order of keys, but for those held.

        Yields the steps of at most `page` keys at a time, written down; the keys of earlier pages are due no more,
        so a close that ends between pages is taken up where it was. Raises AgentError where the agent fails.
        """
        self.flush()
        through = day.business_date.toordinal()
        opened = closed_through.toordinal() if closed_through else 0
        due = self._store.due(self.agent.name, through)
        if held:
            due = [key for key in due if key not in held]
        keys, others = due, self._policies.changes_between(opened, through) and self.agent.daily
        known = set(due) if others else set()
        if others:
            keys = [key for key in self._store.keys(self.agent.name) if key not in held]
        for start in range(0, len(keys), page):
            here = keys[start : start + page]
            self._read_states(here)
            steps = [
                (key, step)
                for key in here
                if (step := self._close(key, day, closed_through, is_due=not others or key in known)) is not None
            ]
            self.flush()
            yield steps

    def close_key(self, key: str, day: ev.DayClosed, closed_through: date | None) -> Step[S] | None:
        """Let the agent close a day for one key, as `close_day` does; None where it does not matter for it."""
        state, through = self.state(key), day.business_date.toordinal()
        if state is None:
            return None
        due = self.agent.due(state)
        is_due = due is not None and due <= through
        opened = closed_through.toordinal() if closed_through else 0
        if not is_due and not (self._policies.changes_between(opened, through) and self.agent.daily):
            return None
        return self._close(key, day, closed_through, is_due=is_due)

    def _close(self, key: str, day: ev.DayClosed, closed_through: date | None, *, is_due: bool) -> Step[S] | None:
        """Let the agent close a day for a key that is due, or that a change of policy concerns; None for others."""
        state = self._states[key]
        try:
            if not is_due and not self.agent.needs_policy_refold(state, self._policies, day.business_date.toordinal()):
                return None
            step = self.agent.close(state, day, self._context(key, closed_through))
        except Exception as error:
            if not is_of_agent(error, self.faults):
                raise
            raise self.failed(key, day, error) from error
        self._note(key, step)
        return step

    def failed(self, key: str, day: ev.DayClosed, error: Exception) -> AgentError:
        """Return what to raise where the agent fails on a close."""
        at, words = day.business_date, redacted(error)
        return AgentError(
            self.agent.name,
            key,
            close_of(at),
            error,
            f"Closing {at} failed in the {self.agent.name} agent at {key}: {words}. Nothing of this step was kept, and "
            "the close stays where it is.",
        )

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

    def _note(self, key: str, step: Step[S]) -> None:
        if self.watch is not None:
            self.watch(self._states.get(key), step.state)
        self._states[key] = self._dirty[key] = step.state
        for fact_key, event in step.facts:
            self._facts.setdefault(key, {})[fact_key] = event
        if step.erased:
            self.erased.add(key)

    def _context(self, key: str, closed_through: date | None, existing: ev.Event | None = None) -> DecisionContext:
        return DecisionContext(
            self._policies,
            closed_through,
            existing,
            partial(self.history, key),
            self._model,
            partial(self._fact, key),
        )

    def _fact(self, key: str, fact_key: str) -> ev.Event | None:
        return self._lookup(key, fact_id(key, fact_key))

    def _lookup(self, key: str, name: str) -> ev.Event | None:
        """Return a key's fact by its id: what the batch recorded comes before what is stored."""
        recorded = self._facts.get(key)
        if recorded is not None and (fact := recorded.get(name[len(key) + 1 :])) is not None:
            return fact
        if name not in self._stored:
            found = next(self._store.known(self.agent.name, [name]), None)
            self._stored[name] = None if found is None else read_fact(found[1])
        return self._stored[name]

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
        name = self.agent.name
        for key in sorted(self.erased):
            self._renew(key)
        if self._dirty:
            self._store.put_states(self._state_rows())
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
        self._stored = {}
        self._absent = set()
        self.erased = set()
        while len(self._states) > self._cached:
            self._states.popitem(last=False)

    def _state_rows(self) -> Iterator[tuple[str, str, bytes, int | None]]:
        """Yield the rows of states that changed. Raises AgentError where a state cannot be stored."""
        name, due = self.agent.name, self.agent.due
        for key, state in sorted(self._dirty.items()):
            try:
                row = (name, key, pack(state), due(state))
            except Exception as error:
                if not is_of_agent(error, self.faults):
                    raise
                words = f"Storing the state of {key} of the {name} agent failed with {redacted(error)}."
                raise AgentError(name, key, None, error, f"{words} Nothing of its batch was kept.") from error
            yield row

    def forget(self) -> None:
        """Drop what a batch decided that is abandoned; agents may have changed any state that is in memory."""
        self._states.clear()
        self._dirty, self._facts, self._stored = {}, {}, {}
        self._absent, self.erased = set(), set()
        if self._sealed is not None:
            self._sealed.forget()

    def _renew(self, key: str) -> None:
        """Have all that is kept of a key written anew, under another data key; the one before is destroyed by that."""
        if self._sealed is not None:
            self._facts[key] = dict(self.history(key))
            self._sealed.renew(self.agent.name, key)


@contextmanager
def fewer_collections() -> Iterator[None]:
    """Let Python look for garbage cycles rarely: states are many and long-lived, and make none."""
    before = gc.get_threshold()
    gc.set_threshold(200_000, 20, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)
