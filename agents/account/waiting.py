"""The facts of an account that wait for their day: a part of the state that a runtime stores as rows of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple, cast

from msgspec.structs import replace

from agents.account.deferral import DEFERRED, deferred_to
from agents.account.facts import pending_order
from agents.base import DecisionContext, Glimpse
from schemas import events as ev
from state.account import AccountFact, AccountState, AccountTerms, Pending, packed_terms
from state.storage import head_in, is_present, terms_in

glimpse: Callable[[bytes, bytes], Glimpse | None] | None
try:
    # Where it was built, which is optional.
    from agents.account.payment_reader import glimpse
except ImportError:
    glimpse = None


class DeferralTerms(NamedTuple):
    """What of an account says whether a fact merely waits: its terms, and what its policy goes by."""

    terms: AccountTerms
    jurisdiction: str
    product: str
    currency: str


@lru_cache(4_096)
def _terms(packed: bytes, jurisdiction: str, product: str, currency: str) -> DeferralTerms:
    """Return terms. A portfolio has many accounts with the same, which are then one object."""
    return DeferralTerms(AccountTerms.read(packed), jurisdiction, product, currency)


class WaitingAccountFacts:
    """`agents.base.WaitingFacts` of accounts: `pending` of the state."""

    kinds = DEFERRED
    glimpsed: type[ev.Event] = ev.PaymentReceived

    def __init__(self) -> None:
        self.glimpse = glimpse

    def of(self, state: AccountState) -> Sequence[Pending]:
        """Return the facts that wait, in the order in which they are folded."""
        return state.pending

    def without(self, state: AccountState) -> AccountState:
        """Return the state without the facts that wait. The state itself is not changed."""
        return replace(state, pending=()) if state.pending else state

    def joined(self, state: AccountState, facts: Iterable[tuple[int, ev.Event]]) -> AccountState:
        """Return the state with more facts that wait, each with its day."""
        pending = [*state.pending, *(Pending(day, cast(AccountFact, fact)) for day, fact in facts)]
        if len(pending) > 1:
            pending.sort(key=pending_order)
        return replace(state, pending=tuple(pending))

    def is_same(self, state: AccountState, other: AccountState) -> bool:
        """Return whether two states differ in nothing but the facts that wait."""
        if state.folded_through != other.folded_through:
            return False
        return replace(state, pending=other.pending) == other

    def has_folded(self, state: AccountState, day: int) -> bool:
        """Return whether the facts of a day are in the state, so that none of them waits."""
        return day <= state.folded_through

    def terms_of(self, state: AccountState) -> DeferralTerms:
        """Return by what it is judged whether a fact of an account merely waits."""
        return _terms(packed_terms(state), state.jurisdiction, state.product, state.currency)

    def terms_in(self, data: bytes) -> DeferralTerms | None:
        """Return the same of a packed state, None where it is in an older layout. The state is not unpacked."""
        if not is_present(data, AccountState):
            return None
        head = head_in(data, AccountState)
        return _terms(terms_in(data), head.jurisdiction, head.product, head.currency)

    def deferral(self, context: DecisionContext) -> Callable[[DeferralTerms, int, ev.Event], int]:
        """Return what says for which day (ordinal) a new fact merely waits, 0 where `handle` has to decide on it.

        It is called with how many facts of the account wait, at most. It raises InvalidEventError.
        """
        closed = context.open_day - 1
        policy_for = context.policies.in_force_on(context.open_day).policy_for

        def defers(terms: DeferralTerms, waiting: int, event: ev.Event) -> int:
            found, jurisdiction, product, currency = terms
            most_ahead = policy_for(jurisdiction, product, currency).most_days_ahead
            return deferred_to(found, waiting, event, closed, most_ahead)

        return defers


WAITING = WaitingAccountFacts()
