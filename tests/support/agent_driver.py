"""Drives an agent in tests as a runtime does: it records facts, parks events of unknown keys, and closes days."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from typing import Any, Generic, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from agents.account.agent import AccountAgent
from agents.base import Agent, DecisionContext, Step
from agents.planner.agent import PlannerAgent
from schemas import events as ev
from schemas.errors import InvalidEventError, UnknownAccountError
from state.account import AccountState
from state.borrower import BorrowerState
from state.learning import ModelSnapshot
from state.policy import Policy, PolicyBook
from state.policy_packs.loader import default_book
from state.storage import pack, unpack
from tests.support.borrower_events import closes
from tests.support.policies import book_of

S = TypeVar("S", bound=Struct)
E = TypeVar("E", bound=ev.Event)


class AgentDriver(Generic[S]):
    """One agent with its states and facts, by key. A state is packed and unpacked after each step.

    visits: how often a close visited a key. refolds: how often the agent read a history.
    """

    def __init__(self, agent: Agent[S], kind: type[S], book: PolicyBook, learned: ModelSnapshot | None = None) -> None:
        self.agent = agent
        self.book = book
        self.learned = learned
        self.states: dict[str, S] = {}
        self.facts_by_key: dict[str, dict[str, ev.Event]] = {}
        self.outputs: list[ev.Event] = []
        self.rejected_events: list[ev.Event] = []
        self.rejection_codes: list[str] = []
        self.parked: dict[str, list[ev.Event]] = {}
        self.closed: date | None = None
        self.visits = 0
        self.refolds = 0
        self._kind = kind

    def key_of(self, event: ev.Event) -> str:
        """Return the key of an event; without an override there is one key."""
        return ""

    def feed(self, *events: ev.Event) -> list[ev.Event]:
        """Feed events in this order; return the outputs."""
        before = len(self.outputs)
        for event in events:
            if isinstance(event, ev.DayClosed):
                self.close_day(event)
            else:
                self.handle(event)
        return self.outputs[before:]

    def context(self, key: str = "", event: ev.Event | None = None) -> DecisionContext:
        """Return what the agent may know when it decides on an event, or on a close."""
        facts = self.facts_by_key.setdefault(key, {})
        known = None if event is None else facts.get(self.agent.fact_key(event))

        def history() -> list[tuple[str, ev.Event]]:
            self.refolds += 1
            return sorted(facts.items())

        return DecisionContext(self.book, self.closed, known, history, self.learned, facts.get)

    def handle(self, event: ev.Event) -> None:
        """Let the agent decide on an event; reject it, or park it until its key is known."""
        key = self.key_of(event)
        try:
            step = self.agent.handle(self.states.get(key), event, self.context(key, event))
        except UnknownAccountError:
            self.parked.setdefault(key, []).append(event)
        except InvalidEventError as error:
            self.reject(event, error)
        else:
            self.apply(key, step)
            if isinstance(event, ev.AccountOpened):
                self.release_parked(key)

    def release_parked(self, key: str) -> None:
        """Handle the events that wait for a key."""
        for event in self.parked.pop(key, []):
            self.handle(event)

    def reject(self, event: ev.Event, error: InvalidEventError) -> None:
        """Record a rejected event."""
        self.rejected_events.append(event)
        self.rejection_codes.append(error.code)

    def close_day(self, event: ev.DayClosed) -> None:
        """Visit the keys for which a close matters; a repeated close has no effect."""
        if self.closed is not None and event.business_date <= self.closed:
            return
        through = event.business_date.toordinal()
        for key, state in sorted(self.states.items()):
            due = self.agent.due(state)
            if (due is not None and due <= through) or self.agent.needs_policy_refold(state, self.book, through):
                self.visits += 1
                self.apply(key, self.agent.close(state, event, self.context(key)))
        self.closed = event.business_date

    def apply(self, key: str, step: Step[S]) -> None:
        """Store a step's state and facts, and record its outputs."""
        self.states[key] = unpack(pack(step.state), self._kind)
        self.facts_by_key.setdefault(key, {}).update(step.facts)
        self.outputs += step.outputs
        self.rejected_events += [refusal.event for refusal in step.refused]


class SingleKeyDriver(AgentDriver[S]):
    """A driver of one key."""

    @property
    def state(self) -> Any:
        """The state of the key, None before its first event."""
        return self.states.get("")

    @property
    def facts(self) -> dict[str, ev.Event]:
        """The facts of the key."""
        return self.facts_by_key.setdefault("", {})


class AccountDriver(AgentDriver[AccountState]):
    """Accounts."""

    agent: AccountAgent

    def __init__(self, policies: Policy | PolicyBook | None = None) -> None:
        super().__init__(
            AccountAgent(), AccountState, policies if isinstance(policies, PolicyBook) else book_of(policies)
        )

    def key_of(self, event: ev.Event) -> str:
        """Return the account's id."""
        key: str = event.account_id  # type: ignore[attr-defined]
        return key

    def standing(self) -> list[ev.Event]:
        """Return the outputs that no correction supersedes, without envelopes, sorted."""
        gone = {e.supersedes for e in self.outputs if isinstance(e, ev.EventSuperseded)}
        internal = ev.EventSuperseded | ev.WorkoutRequested | ev.WorkoutEnded | ev.PlanProgressed | ev.PartyNoted
        stands = [bare(e) for e in self.outputs if e.event_id not in gone and not isinstance(e, internal)]
        return sorted(stands, key=repr)

    def standing_of(self, kind: type[E]) -> list[E]:
        """Return the standing outputs of a type, by business date."""
        return sorted((e for e in self.standing() if isinstance(e, kind)), key=lambda e: e.business_date)  # type: ignore[attr-defined]


class PlannerDriver(SingleKeyDriver[BorrowerState]):
    """One borrower. evidence and unapplied: outputs to the learner, and codes of answers that were not applied."""

    agent: PlannerAgent

    def __init__(self, book: PolicyBook | None = None, learned: ModelSnapshot | None = None) -> None:
        super().__init__(PlannerAgent(), BorrowerState, book or default_book(), learned)
        self.evidence: list[ev.OfferOutcomeReported] = []
        self.unapplied: list[str] = []

    def apply(self, key: str, step: Step[BorrowerState]) -> None:
        """Store a step; evidence and answers without effect are recorded apart from the other outputs."""
        super().apply(key, without_reports(step))
        self.evidence += only(step.outputs, ev.OfferOutcomeReported)
        self.unapplied += [e.code for e in only(step.outputs, ev.AnswerNotApplied)]

    def close(self, *offsets: int) -> list[ev.Event]:
        """Close days."""
        return self.feed(*closes(offsets))

    def run(self, first: int, last: int) -> list[ev.Event]:
        """Close every day from first to last."""
        return self.close(*range(first, last + 1))

    def offer(self) -> ev.OfferPublished:
        """Return the last offer."""
        return next(e for e in reversed(self.outputs) if isinstance(e, ev.OfferPublished))


def without_reports(step: Step[BorrowerState]) -> Step[BorrowerState]:
    """Return a step without evidence and answers that were not applied."""
    outputs = [e for e in step.outputs if not isinstance(e, ev.OfferOutcomeReported | ev.AnswerNotApplied)]
    return Step(step.state, outputs, step.facts, step.refused, step.erased)


def bare(event: ev.Event) -> ev.Event:
    """Return an output without its id, time and cause."""
    return replace(event, event_id="", occurred_at=datetime(1970, 1, 1, 9, tzinfo=UTC), caused_by="")


def only(outputs: Iterable[ev.Event], kind: type[E]) -> list[E]:
    """Return the outputs of a type."""
    return [e for e in outputs if isinstance(e, kind)]


def names(outputs: Sequence[ev.Event]) -> list[str]:
    """Return the types' names, in order."""
    return [type(e).__name__ for e in outputs]
