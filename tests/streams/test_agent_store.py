"""A desk knows what was recorded, wherever batches begin and end and however often it reads ahead."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from datetime import UTC, date, datetime
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from agents.base import DecisionContext, Step
from schemas import events as ev
from state.policy import PolicyBook
from state.policy_packs.loader import default_book
from streams.engine.agent_store import AgentStateStore, AskedFact

KEYS, NAMES = ("B1", "B2", "B3"), ("a", "b", "c")


class Counted(Struct):
    """What the agent keeps of a key: how many facts it took, and how often it was closed."""

    facts: int = 0
    closed: int = 0


class Counting:
    """An agent that counts facts; a recorded one is not counted again."""

    name = "counting"
    daily = False
    waiting = None
    accepts: frozenset[type[ev.Event]] = frozenset({ev.EducationCompleted})

    def fact_key(self, event: ev.Event) -> str:
        assert isinstance(event, ev.EducationCompleted)
        return f"item:{event.item_id}"

    def due(self, state: Counted) -> int | None:
        return state.closed + 1

    def needs_policy_refold(self, state: Counted, policies: PolicyBook, through: int) -> bool:
        return False

    def handle(self, state: Counted | None, event: ev.Event, context: DecisionContext) -> Step[Counted]:
        assert isinstance(event, ev.EducationCompleted)
        s = state or Counted()
        assert (
            context.existing_fact
            == context.get_fact(self.fact_key(event))
            == dict(context.load_history()).get(self.fact_key(event))
        )
        if context.existing_fact is not None:
            return Step(s)
        # One of the names asks for an erasure, which writes all that is kept of the key anew.
        facts = [(self.fact_key(event), event)]
        return Step(Counted(s.facts + 1, s.closed), (), facts, erased=event.item_id == "c")

    def close(self, state: Counted, day: ev.DayClosed, context: DecisionContext) -> Step[Counted]:
        return Step(Counted(state.facts, state.closed + 1))


class Asked(NamedTuple):
    """An event that a batch will ask for."""

    key: str
    fact_id: str
    event: ev.Event | None
    signature: Hashable = None


def decoded(fact: AskedFact) -> ev.Event:
    """Return the event of a fact that was asked for."""
    assert fact.event is not None
    return fact.event


class Rows:
    """Rows in memory."""

    faults: tuple[type[Exception], ...] = ()

    def __init__(self) -> None:
        self.kept: dict[str, tuple[bytes, int | None]] = {}
        self.recorded: dict[str, bytes] = {}

    def states(self, agent: str, keys: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        return iter([(key, self.kept[key][0]) for key in keys if key in self.kept])

    def waiting(self, agent: str, keys: Sequence[str], after: int) -> Iterator[tuple[str, bytes]]:
        return iter(())

    def waiting_keys(self, agent: str) -> Iterable[str]:
        return ()

    def visited(self, agent: str, keys: Sequence[str]) -> None:
        pass

    def end_waiting(self, agent: str, facts: Iterable[tuple[int, str]]) -> None:
        assert not list(facts)

    def due(self, agent: str, through: int) -> list[str]:
        return sorted(key for key, (_, due) in self.kept.items() if due is not None and due <= through)

    def keys(self, agent: str) -> list[str]:
        return sorted(self.kept)

    def put_states(self, rows: Iterable[tuple[str, str, bytes, int | None]]) -> None:
        self.kept |= {key: (value, due) for _, key, value, due in rows}

    def known(self, agent: str, ids: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        return iter([(name, self.recorded[name]) for name in ids if name in self.recorded])

    def facts(self, agent: str, key: str) -> list[tuple[str, bytes]]:
        found = [name.split("\x1f") for name in self.recorded]
        return sorted((fact, self.recorded[f"{owner}\x1f{fact}"]) for owner, fact in found if owner == key)

    def put_facts(self, rows: Iterable[tuple[str, str, bytes]]) -> None:
        self.recorded |= {name: value for _, name, value in rows}

    def erase(self, key: str) -> None:
        pass

    def meta(self, name: str) -> str | None:
        return None

    def set_meta(self, name: str, value: str) -> None:
        pass


def completed(key: str, name: str) -> ev.EducationCompleted:
    at = datetime(2026, 1, 5, tzinfo=UTC)
    return ev.EducationCompleted(event_id=name, occurred_at=at, source="test", borrower_id=key, item_id=name)


CLOSE = ev.DayClosed(
    event_id="d",
    occurred_at=datetime(2026, 1, 5, tzinfo=UTC),
    source="test",
    business_date=date(2026, 1, 5),
    calendar="none",
)
facts = st.tuples(st.sampled_from(KEYS), st.sampled_from(NAMES))
steps = st.one_of(
    st.tuples(st.just("take"), facts),
    st.tuples(st.just("ahead"), st.lists(facts, max_size=4)),
    st.tuples(st.sampled_from(["flush", "forget", "close"]), st.none()),
)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(steps=st.lists(steps, max_size=30), cached=st.sampled_from([0, 1, 100]))
def test_what_was_recorded_is_known_whenever_it_is_read(steps, cached):  # type: ignore[no-untyped-def]
    rows = Rows()
    desk = AgentStateStore(Counting(), Counted, rows, default_book(), cached)
    # The facts that are stored, and those of the batch in hand.
    stored, batch = set[tuple[str, str]](), set[tuple[str, str]]()
    for step, given_ in steps:
        if step == "take":
            desk.decide(given_[0], completed(*given_), None)
            batch.add(given_)
        elif step == "ahead":
            events = [(key, completed(key, name)) for key, name in given_]
            desk.read_ahead([Asked(key, desk.id_of(key, event), event) for key, event in events], None, decoded)
        elif step == "forget":
            # A batch that did not happen goes with the store that held it.
            desk = AgentStateStore(Counting(), Counted, rows, default_book(), cached)
            batch = set()
        else:
            for _ in desk.close_day(CLOSE, None, 1) if step == "close" else ():
                pass
            desk.flush()
            stored, batch = stored | batch, set()
        for key in KEYS:
            state = desk.state(key)
            assert (state.facts if state else 0) == len({fact for fact in stored | batch if fact[0] == key})
            assert len(desk.history(key)) == (state.facts if state else 0)
