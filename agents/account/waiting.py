"""The facts of an account that wait for their day: a part of the state that a runtime stores as rows of their own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import cast

from msgspec.structs import replace

from agents.account.deferral import deferred_to
from agents.account.facts import pending_order
from agents.base import DecisionContext
from schemas import events as ev
from state.account import AccountFact, AccountState, Pending, terms_of


class WaitingAccountFacts:
    """`agents.base.WaitingFacts` of accounts: `pending` of the state."""

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

    def defers(self, state: AccountState, waiting: int, event: ev.Event, context: DecisionContext) -> int:
        """Return the day (ordinal) for which a new fact merely waits, 0 where `handle` has to decide on it.

        waiting: how many facts wait beside those in the state. Raises InvalidEventError.
        """
        book = context.policies.in_force_on(context.open_day)
        most_ahead = book.policy_for(state.jurisdiction, state.product, state.currency).most_days_ahead
        waiting += len(state.pending)
        return deferred_to(terms_of(state), waiting, event, context.open_day - 1, most_ahead)


WAITING = WaitingAccountFacts()
