"""What one agent keeps: its states and facts, read ahead for a batch and written once at its end."""

from __future__ import annotations

import gc
from array import array
from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

import msgspec
from msgspec import Struct

from agents.base import Agent, DecisionContext, Step, WaitingFact, WaitingFacts
from schemas import events as ev
from state.learning import ModelSnapshot
from state.policy import PolicyBook
from state.storage import day_in, head_in, is_present, pack, unpack
from streams.engine.quarantine import AgentError, close_of, is_of_agent
from streams.engine.state_store import StateStore
from streams.engine.stored_facts import encode_fact, read_fact, stored_as_it_came, waiting_day
from streams.redaction import redacted
from streams.security.sealed_rows import SEALED, SealedRows
from streams.security.vault import Vault
from streams.state_rows import SEPARATOR, StateRows, fact_id

S = TypeVar("S", bound=Struct)

# Terms that are cached for each state that may be: a key that waits needs no more, and has a fortieth of its bytes.
_TERMS_A_STATE = 4
# The last slot by which facts that wait are counted.
_SLOTS = 0xFFFF
# How many facts of a key may wait where events are judged alike, as if so many did.
_FEW = 1_000


def encode_model(update: ev.ModelUpdated) -> str:
    """Return what the learner told as text, to be kept beside the states."""
    return msgspec.json.encode(update).decode()


def decode_model(text: str) -> ModelSnapshot:
    """Return what the learner told last, from its text."""
    return ModelSnapshot(msgspec.json.decode(text, type=ev.ModelUpdated))


def join(waiting: WaitingFacts[S], state: S, facts: Iterable[bytes]) -> S:
    """Return a state that was stored without the facts that wait with those of its stored facts that do."""
    dated = ((waiting_day(value), value) for value in facts)
    left = [(day, read_fact(value)) for day, value in dated if day and not waiting.has_folded(state, day)]
    return waiting.joined(state, left) if left else state


class AskedFact(Protocol):
    """An event that a batch will ask for as a fact."""

    @property
    def key(self) -> str: ...
    @property
    def fact_id(self) -> str: ...
    @property
    def event(self) -> ev.Event | None:
        """The event, None where it was not decoded."""
        ...

    @property
    def signature(self) -> Hashable:
        """What was read of an event that was not decoded: those with the same are judged alike by the same terms."""
        ...


class AgentStateStore(Generic[S]):
    """An agent with its part of the store. States live in a bounded cache, the least recently used leave.

    A state in memory has the facts that wait for their day (`agents.base.WaitingFacts`). In the store these are rows
    of their own, each with its day, so that one more leaves the state's row as it is. That is written where something
    else of the state changed.

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
        # Keys of which the batch made another state, with the state that is stored, None where none is.
        self._changed: dict[str, S | None] = {}
        # Keys whose state is written whether it changed or not.
        self._rewritten: set[str] = set()
        # Keys in the cache whose stored state is in an older layout: the facts that wait are in it, and have no day.
        self._outdated: set[str] = set()
        # Keys that the batch asked for and that have no state.
        self._absent: set[str] = set()
        # Facts that the batch recorded, by key and fact key. The store does not have them before the flush.
        self._facts: dict[str, dict[str, ev.Event]] = {}
        # Facts that were deferred, as they are stored: by key, those of states in the cache that are not in them yet;
        # by id, those that the store does not have yet.
        self._arrived: dict[str, list[bytes]] = {}
        self._deferred: dict[str, bytes] = {}
        # What the store had under fact ids that the batch asked for, None where it had nothing.
        self._stored: dict[str, bytes | None] = {}
        # Terms by key, of states in the present layout.
        self._terms: dict[str, Hashable] = {}
        # By fact id, the events that were read ahead and merely wait, as far as nothing else comes of their key before:
        # the terms by which that was judged, and the day (ordinal).
        self._judged: dict[str, tuple[AskedFact, Hashable, int]] = {}
        # How many facts wait, by the hash of their keys, or more: no key has more than its slot. None: not counted yet.
        self._waiting_counts: array[int] | None = None
        # Keys of which the batch erased what is personal.
        self.erased: set[str] = set()
        self._policies = book
        self._model: ModelSnapshot | None = None

    def decide_by(self, book: PolicyBook, model: ModelSnapshot | None) -> None:
        """Let decisions go by a book, and by what the learner published last."""
        self._policies, self._model, self._judged = book, model, {}

    # -- a batch

    def id_of(self, key: str, event: ev.Event) -> str:
        """Return the id under which an event is a fact of a key."""
        return fact_id(key, self.agent.fact_key(event))

    def read_ahead(
        self, asked: Sequence[AskedFact], closed_through: date | None, decode: Callable[[Any], ev.Event]
    ) -> None:
        """Read what a batch will ask for: known facts, and states but where events merely wait.

        It saves single reads, and `defer` needs it; a batch may read ahead as often as it likes, or not at all.
        decode: returns the event of one that was not decoded.
        """
        if not asked:
            return
        self._put_deferred()
        ids = sorted({fact.fact_id for fact in asked if fact.fact_id not in self._stored})
        self._stored.update(dict.fromkeys(ids))
        self._stored.update(self._store.known(self.agent.name, ids))
        waiting = self.agent.waiting
        if waiting is None:
            self._read_states({fact.key for fact in asked})
        else:
            defers = waiting.deferral(DecisionContext(self._policies, closed_through))
            self._read_states(self._judge(waiting, asked, defers, decode))

    def _judge(
        self,
        waiting: WaitingFacts[S],
        asked: Sequence[AskedFact],
        defers: Callable[[Any, int, ev.Event], int],
        decode: Callable[[Any], ev.Event],
    ) -> set[str]:
        """Judge which events merely wait; returns the keys of the others, whose states are needed."""
        kinds, stored, recorded = waiting.kinds, self._stored, self._facts
        judged = self._judged = {}
        self._read_terms(waiting, {fact.key for fact in asked if fact.event is None or type(fact.event) in kinds})
        counts, terms_of = self._count_waiting(waiting), self._terms.get
        # By terms and by what was read of an event that was not decoded.
        verdicts: dict[tuple[int, Hashable], int] = {}
        others = set()
        for fact in asked:
            key, name, event = fact.key, fact.fact_id, fact.event
            terms, slot, day = terms_of(key), hash(key) & _SLOTS, 0
            new = stored[name] is None and (key not in recorded or name[len(key) + 1 :] not in recorded[key])
            if terms is not None and new and (event is None or type(event) in kinds):
                try:
                    if event is not None or counts[slot] > _FEW:
                        day = defers(terms, counts[slot], event or decode(fact))
                    else:
                        alike = id(terms), fact.signature
                        if alike not in verdicts:
                            verdicts[alike] = defers(terms, _FEW, decode(fact))
                        day = verdicts[alike]
                except Exception:
                    # It comes again where the agent decides.
                    day = 0
            if day:
                judged[name] = fact, terms, day
                counts[slot] += 1
            else:
                others.add(key)
        return others

    def _read_terms(self, waiting: WaitingFacts[S], keys: Iterable[str]) -> None:
        missing = []
        for key in keys:
            if key in self._terms or key in self._absent or key in self._outdated:
                continue
            if key in self._states:
                self._terms[key] = waiting.terms_of(self._states[key])
            else:
                missing.append(key)
        for key, value in self._store.states(self.agent.name, sorted(missing)):
            terms = waiting.terms_in(value)
            if terms is not None:
                self._terms[key] = terms

    def _count_waiting(self, waiting: WaitingFacts[S]) -> array[int]:
        """Return how many facts wait by slot, counted where they are not."""
        counts = self._waiting_counts
        if counts is None:
            counts = self._waiting_counts = array("q", bytes(8 * (_SLOTS + 1)))
            for key in self._store.waiting_keys(self.agent.name):
                counts[hash(key) & _SLOTS] += 1
            # Of these the store may not have all yet.
            for key in self._changed:
                counts[hash(key) & _SLOTS] += len(waiting.of(self._states[key]))
        return counts

    def _read_states(self, keys: Iterable[str]) -> None:
        # Not a difference of sets: that visits every state in the cache, where these are a few.
        missing = sorted({key for key in keys if key not in self._states})
        self._cache(self._store.states(self.agent.name, missing))
        self._absent.update(key for key in missing if key not in self._states)

    def _cache(self, rows: Iterable[tuple[str, bytes]]) -> None:
        """Take up stored states, each with its facts that wait."""
        waiting = self.agent.waiting
        # The day through which each state has its facts.
        present: dict[str, int] = {}
        for key, value in rows:
            self._states[key] = unpack(value, self._kind)
            if waiting is None:
                continue
            if is_present(value, self._kind):
                present[key] = day_in(value)
            else:
                self._outdated.add(key)
        if waiting is None or not present:
            return
        facts: dict[str, list[bytes]] = {}
        for name, value in self._store.waiting(self.agent.name, list(present), min(present.values())):
            facts.setdefault(name.partition(SEPARATOR)[0], []).append(value)
        for key, values in facts.items():
            self._states[key] = join(waiting, self._states[key], values)

    def defer(self, fact: AskedFact, avro: bytes | None) -> bool:
        """Record an event of which nothing comes but that it waits for its day; return whether it is one.

        It was read ahead. avro: its bytes in single-object framing, None where they are in none. The state is neither
        read nor touched: it takes up the fact when it is next asked for.
        """
        key, name = fact.key, fact.fact_id
        judged = self._judged.get(name)
        # Another event of its key may have come before it, and changed what it was judged by.
        if judged is None or judged[0] is not fact or judged[1] is not self._terms.get(key):
            return False
        day = judged[2]
        if avro is not None:
            value = stored_as_it_came(avro, day)
        else:
            # Only what is in single-object framing is not decoded.
            assert fact.event is not None
            value = encode_fact(fact.event, day)
        self._deferred[name] = value
        if key in self._states:
            self._arrived.setdefault(key, []).append(value)
        return True

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
        name, through = self.agent.name, day.business_date.toordinal()
        others = self._is_refolded(closed_through, through)
        keys = self._store.due(name, through)
        if others:
            keys = sorted({*keys, *self._refolded(through, page)})
        if held:
            keys = [key for key in keys if key not in held]
        for start in range(0, len(keys), page):
            here = keys[start : start + page]
            self._read_states(here)
            found = [(key, self._close(key, day, closed_through, others=others)) for key in here]
            self.flush()
            self._store.visited(name, here)
            yield [(key, step) for key, step in found if step is not None]

    def _refolded(self, through: int, page: int) -> Iterator[str]:
        """Yield the keys that a change of policies by a day (ordinal) concerns; no more is read than what says it."""
        name, concerns = self.agent.name, self.agent.needs_policy_refold
        keys = self._store.keys(name)
        for start in range(0, len(keys), page):
            for key, value in self._store.states(name, keys[start : start + page]):
                head = head_in(value, self._kind)
                try:
                    concerned = concerns(head, self._policies, through)
                except Exception:
                    # It fails again where the agent closes the day, which names the key.
                    concerned = True
                if concerned:
                    yield key

    def _is_refolded(self, closed_through: date | None, through: int) -> bool:
        """Return whether policies change by a day (ordinal), so that keys may be looked at that are not due."""
        opened = closed_through.toordinal() if closed_through else 0
        return self.agent.daily and self._policies.changes_between(opened, through)

    def close_key(self, key: str, day: ev.DayClosed, closed_through: date | None) -> Step[S] | None:
        """Let the agent close a day for one key, as `close_day` does; None where it does not matter for it."""
        if self.state(key) is None:
            return None
        others = self._is_refolded(closed_through, day.business_date.toordinal())
        return self._close(key, day, closed_through, others=others)

    def _close(self, key: str, day: ev.DayClosed, closed_through: date | None, *, others: bool) -> Step[S] | None:
        """Let the agent close a day for a key that is due, or (others) that a change of policy concerns; else None."""
        state, through = self.state(key), day.business_date.toordinal()
        assert state is not None
        try:
            due = self.agent.due(state)
            if (due is None or due > through) and not (
                others and self.agent.needs_policy_refold(state, self._policies, through)
            ):
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
                self._rewritten.update(old)
                self.flush()
                yield

    def _note(self, key: str, step: Step[S]) -> None:
        before = self._states.get(key)
        if self.watch is not None:
            self.watch(before, step.state)
        if step.state is not before:
            self._count_change(key, before, step.state)
            self._changed.setdefault(key, before)
            self._states[key] = step.state
        if step.state is not before or step.facts:
            self._terms.pop(key, None)
        for fact_key, event in step.facts:
            self._facts.setdefault(key, {})[fact_key] = event
        if step.erased:
            self.erased.add(key)

    def _count_change(self, key: str, before: S | None, after: S) -> None:
        waiting, counts = self.agent.waiting, self._waiting_counts
        if waiting is not None and counts is not None:
            # What waits in a state of an older layout was not counted.
            counted = () if before is None or key in self._outdated else waiting.of(before)
            counts[hash(key) & _SLOTS] += len(waiting.of(after)) - len(counted)

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
        if name in self._deferred:
            return read_fact(self._deferred[name])
        if name not in self._stored:
            found = next(self._store.known(self.agent.name, [name]), None)
            self._stored[name] = None if found is None else found[1]
        value = self._stored[name]
        return None if value is None else read_fact(value)

    # -- what is kept

    def state(self, key: str) -> S | None:
        """Return a key's state, None where it has none."""
        state = self._states.get(key)
        if state is not None and key in self._arrived and self.agent.waiting is not None:
            state = self._states[key] = join(self.agent.waiting, state, self._arrived.pop(key))
        if state is None and key not in self._absent:
            self._put_deferred()
            self._cache(self._store.states(self.agent.name, [key]))
            state = self._states.get(key)
        return state

    def history(self, key: str) -> list[tuple[str, ev.Event]]:
        """Return all facts recorded for a key, in the order of their fact keys."""
        self._put_deferred()
        stored: dict[str, ev.Event] = {k: read_fact(v) for k, v in self._store.facts(self.agent.name, key)}
        return sorted((stored | self._facts.get(key, {})).items())

    def flush(self) -> None:
        """Write what changed: each state once, each fact once."""
        name = self.agent.name
        for key in sorted(self.erased):
            self._renew(key)
        self._rewritten |= self.erased
        changed = sorted({*self._changed, *self._rewritten})
        written = [key for key in changed if self._is_written(key)]
        if written:
            self._store.put_states(self._state_rows(written))
        self._put_deferred()
        if self._facts or self._changed:
            ended: list[tuple[int, str]] = []
            self._store.put_facts(self._fact_rows(ended))
            if ended:
                self._store.end_waiting(name, ended)
        self._outdated.difference_update(written)
        for key in changed:
            self._states.move_to_end(key)
        self._changed, self._facts, self._stored = {}, {}, {}
        self._rewritten, self._absent, self.erased = set(), set(), set()
        while len(self._states) > self._cached:
            key, _ = self._states.popitem(last=False)
            self._outdated.discard(key)
            self._arrived.pop(key, None)
        while len(self._terms) > _TERMS_A_STATE * self._cached:
            del self._terms[next(iter(self._terms))]

    def _put_deferred(self) -> None:
        """Have the store hold the facts that were deferred."""
        if self._deferred:
            agent = self.agent.name
            self._store.put_facts((agent, name, value) for name, value in sorted(self._deferred.items()))
            self._stored.update(self._deferred)
            self._deferred = {}

    def _is_written(self, key: str) -> bool:
        """Return whether a state has to be written: something changed of it beside the facts that wait."""
        before, waiting = self._changed.get(key), self.agent.waiting
        if before is None or waiting is None or key in self._rewritten or key in self._outdated:
            return True
        return not waiting.is_same(before, self._states[key])

    def _state_rows(self, keys: Iterable[str]) -> Iterator[tuple[str, str, bytes, int | None]]:
        """Yield the rows of states. Raises AgentError where a state cannot be stored."""
        name, due, waiting = self.agent.name, self.agent.due, self.agent.waiting
        for key in keys:
            state = self._states[key]
            try:
                bare = state if waiting is None else waiting.without(state)
                row = (name, key, pack(bare), due(bare))
            except Exception as error:
                if not is_of_agent(error, self.faults):
                    raise
                words = f"Storing the state of {key} of the {name} agent failed with {redacted(error)}."
                raise AgentError(name, key, None, error, f"{words} Nothing of its batch was kept.") from error
            yield row

    def _fact_rows(self, ended: list[tuple[int, str]]) -> Iterator[tuple[str, str, bytes]]:
        """Yield the rows of facts that were recorded, or that wait for another day than is stored.

        ended: takes those, by day and id, that wait for a day no more.
        """
        name, waiting = self.agent.name, self.agent.waiting
        for key in sorted(self._facts.keys() | self._changed.keys()):
            written = self._facts.get(key, {})
            days: dict[str, int] = {}
            if waiting is not None:
                days, written, gone = self._waiting_days(waiting, key, written)
                ended += [(day, fact_id(key, fact_key)) for fact_key, day in gone]
            for fact_key, event in written.items():
                yield name, fact_id(key, fact_key), encode_fact(event, days.get(fact_key, 0))

    def _waiting_days(
        self, waiting: WaitingFacts[S], key: str, recorded: dict[str, ev.Event]
    ) -> tuple[dict[str, int], dict[str, ev.Event], list[tuple[str, int]]]:
        """Return what a batch changes of the facts of a key that wait.

        First the day of each that is written; then the facts that are written: those recorded, and those that wait for
        another day than is stored, or for none; then those that wait no more for the day under which they are stored.
        """
        after, fact_key = self._states[key], self.agent.fact_key
        before = self._changed.get(key, after)
        now = waiting.of(after)
        was: Sequence[WaitingFact] = () if before is None or key in self._outdated else waiting.of(before)
        if now is was and not (now and recorded):
            return {}, recorded, []
        folded = was[: len(was) - len(now)]
        if not recorded and was[len(folded) :] == now and all(waiting.has_folded(after, x.day) for x in folded):
            # As a close leaves them: the first ones are in the state.
            return {}, recorded, [(fact_key(item.fact), item.day) for item in folded]
        stored = {id(item) for item in was}
        moved = [item for item in now if id(item) not in stored]
        names = {id(event): name for name, event in recorded.items()}
        new = {names.get(id(item.fact)) or fact_key(item.fact): item for item in moved}
        days = {name: item.day for name, item in new.items()}
        if len(now) > len(moved) and not recorded.keys() <= days.keys():
            days |= {fact_key(item.fact): item.day for item in now}
        written = recorded if recorded.keys() >= new.keys() else {n: item.fact for n, item in new.items()} | recorded
        if len(now) == len(was) + len(moved):
            return days, written, []
        left, gone = {id(item) for item in now}, []
        for item in was:
            name = "" if id(item) in left else fact_key(item.fact)
            if name and days.get(name) != item.day:
                gone.append((name, item.day))
                if name not in days and not waiting.has_folded(after, item.day):
                    written = {name: item.fact} | written
        return days, written, gone

    def forget(self) -> None:
        """Drop what a batch decided that is abandoned; agents may have changed any state that is in memory."""
        self._states.clear()
        self._changed, self._facts, self._stored = {}, {}, {}
        self._arrived, self._deferred, self._terms, self._judged = {}, {}, {}, {}
        self._waiting_counts = None
        self._rewritten, self._outdated, self._absent, self.erased = set(), set(), set(), set()
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
