"""The one shape of an agent: a key's state and an event in, a step out.

A runtime owns reading, storing and sending; an agent owns the decision. Nothing here or
in an agent reads a clock, draws chance or does I/O: the business date, the policies and
the key's history are handed in.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from hashlib import sha1
from typing import Any, Generic, Protocol, TypedDict, TypeVar
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from schemas.events import DayClosed, Event
from state.learning import ModelSnapshot
from state.policy import PolicyBook

S = TypeVar("S")

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NAMESPACE = UUID("6d3c1c5e-0d3a-5c0b-9a55-7e7121e50001")
# Version 5 and the RFC's variant, in the bits that belong to them.
_CLEARED = ~(0xF << 76 | 0x3 << 62)
_VERSION_5 = 0x5 << 76 | 0x2 << 62


def day_identity(day: DayClosed) -> str:
    """Return the natural identity of the close of a business date: a repeated DayClosed of it has no effect."""
    return f"day-{day.business_date}"


def derived_id(cause: str, kind: str, *parts: object) -> str:
    """Return the id of what an event causes: the same for the same cause, kind and parts.

    cause: the natural identity of what caused it, never its event_id, which two facts may share by a sender's fault;
    or the id of an event of our own.

    It is uuid5 of these under our namespace (RFC 9562), made without the UUID object, which costs ten times
    as much as the hash.
    """
    name = "|".join((cause, kind, *map(str, parts)))
    digest = sha1(NAMESPACE.bytes + name.encode(), usedforsecurity=False).digest()[:16]
    hexed = (int.from_bytes(digest, "big") & _CLEARED | _VERSION_5).to_bytes(16, "big").hex()
    return f"{hexed[:8]}-{hexed[8:12]}-{hexed[12:16]}-{hexed[16:20]}-{hexed[20:]}"


class EventHeader(TypedDict):
    """The fields that all events about a business date have in common."""

    event_id: str
    occurred_at: datetime
    source: str
    business_date: date
    caused_by: str


def _no_history() -> Sequence[tuple[str, Event]]:
    return ()


def _no_fact(fact_key: str) -> Event | None:
    return None


class DecisionContext(Struct, frozen=True):
    """What a decision may know beside the state and the event; each decision has one of its own.

    policies: the rules, by jurisdiction and product.
    closed_through: the last business date that is closed for this key's partition, None before the first.
    existing_fact: the fact already recorded under the event's `fact_key`, None where there is none.
    load_history: reads all facts recorded for the key, in the order of their fact keys; dear, so called only
        where an event changes what was true on a closed day.
    model: what the learner published last, None before it published anything.
    get_fact: reads the fact recorded under a fact key of the same key, None where there is none.
    """

    policies: PolicyBook
    closed_through: date | None = None
    existing_fact: Event | None = None
    load_history: Callable[[], Sequence[tuple[str, Event]]] = _no_history
    model: ModelSnapshot | None = None
    get_fact: Callable[[str], Event | None] = _no_fact

    @property
    def open_day(self) -> int:
        """The business date (ordinal) that is open, by whose rules what comes in is judged."""
        return (self.closed_through.toordinal() if self.closed_through else 0) + 1

    def on(self, day: int) -> DecisionContext:
        """Return this with the policies that apply on a business date (ordinal)."""
        return replace(self, policies=self.policies.in_force_on(day)) if self.policies.later else self


@dataclass(slots=True)
class Refusal:
    """An input that was accepted before and turns out not to stand; it becomes a dead letter.

    identity: the natural identity of the event.
    """

    event: Event
    identity: str
    code: str
    message: str


@dataclass(slots=True)
class Step(Generic[S]):
    """What an agent decided: the key's new state, what to publish, and which facts to record.

    facts: (fact key, event) to record with the state; a fact key that exists is replaced.
    erased: what was personal of the key is gone from its state and facts, and is to go from wherever they are stored.
    """

    state: S
    outputs: Sequence[Event] = ()
    facts: Sequence[tuple[str, Event]] = ()
    refused: Sequence[Refusal] = ()
    erased: bool = False


class WaitingFact(Protocol):
    """A fact that waits for the close of the day (proleptic ordinal) from which it counts."""

    @property
    def day(self) -> int:
        """Return that day."""
        ...

    @property
    def fact(self) -> Event:
        """Return the fact, which is stored under its fact key."""
        ...


# Of an event that was not decoded: its key, its fact key, and what else of it says whether it merely waits.
Glimpse = tuple[str, str, Hashable]


class WaitingFacts(Protocol[S]):
    """How a state holds the facts that wait for their day. A runtime stores these as rows of their own.

    kinds: the events that may merely wait for their day. Whether one does is judged by a few terms of the state, which
    no fact that waits changes; many keys may have the same terms, as one object. glimpsed: the kind of which `glimpse`
    reads what it takes to judge, from the key and the value (in single-object framing) of a record; it says None where
    the event has to be decoded, and is None where it was not compiled. Two events of which it reads the same but for
    their ids are judged alike.
    """

    kinds: frozenset[type[Event]]
    glimpsed: type[Event]
    glimpse: Callable[[bytes, bytes], Glimpse | None] | None

    def of(self, state: S) -> Sequence[WaitingFact]:
        """Return the facts that wait, a tuple that stays the same while none comes or goes."""
        ...

    def without(self, state: S) -> S:
        """Return the state without the facts that wait. The state itself is not changed."""
        ...

    def joined(self, state: S, facts: Iterable[tuple[int, Event]]) -> S:
        """Return the state with more facts that wait, each with its day."""
        ...

    def is_same(self, state: S, other: S) -> bool:
        """Return whether two states differ in nothing but the facts that wait."""
        ...

    def has_folded(self, state: S, day: int) -> bool:
        """Return whether the facts of a day are in the state, so that none of them waits."""
        ...

    def terms_of(self, state: S) -> Hashable:
        """Return the terms of a state."""
        ...

    def terms_in(self, data: bytes) -> Hashable | None:
        """Return the terms of a packed state without unpacking it, None where it is in an older layout."""
        ...

    def deferral(self, context: DecisionContext) -> Callable[[Any, int, Event], int]:
        """Return what says for which day (ordinal) an event merely waits, 0 where `handle` has to decide on it.

        It is called with the terms, with how many facts of the key wait, at most, and with an event of which no fact is
        recorded under its fact key. context: of any such event; its fact is of no account.
        """
        ...


class Agent(Protocol[S]):
    """A stateful agent. `S` is a msgspec.Struct: the runtime stores it with `state.storage`.

    waiting: how its states hold the facts that wait for their day; None where none does. daily: its states are folded
    day by day, so that a change of policy may concern any of them.
    """

    name: str
    daily: bool
    accepts: frozenset[type[Event]]

    @property
    def waiting(self) -> WaitingFacts[S] | None:
        """Return how its states hold the facts that wait for their day."""
        ...

    def fact_key(self, event: Event) -> str:
        """Return the event's identity within its key, by its natural id (payment_id, hold_id, …)."""
        ...

    def due(self, state: S) -> int | None:
        """Return the proleptic ordinal of the next business date whose close matters, None for never."""
        ...

    def needs_policy_refold(self, state: S, policies: PolicyBook, through: int) -> bool:
        """Say whether a state has to be looked at by a business date (ordinal) since policies changed, due or not.

        The head of its layout (`state.storage.head_in`), where there is one, says it as well as the state.
        """
        ...

    def handle(self, state: S | None, event: Event, context: DecisionContext) -> Step[S]:
        """Decide on an event. Raises `schemas.errors.InvalidEventError` where the event breaks a rule."""
        ...

    def close(self, state: S, day: DayClosed, context: DecisionContext) -> Step[S]:
        """Decide on the close of a business date; called only where `due` <= that date."""
        ...
