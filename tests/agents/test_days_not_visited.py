"""Which days an account happens to be visited on changes nothing that it reports."""

from __future__ import annotations

import random
from copy import copy
from datetime import timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from test_account_orders import LAST, books, histories, in_time

from agents.account.agent import AccountAgent
from agents.base import DecisionContext, Step
from schemas import events as ev
from state.account import AccountHead, AccountState
from state.policy import PolicyBook
from tests.support.account_events import AccountEvents
from tests.support.agent_driver import AccountDriver


class DailyAgent(AccountAgent):
    """The account agent, but every account is due on every day."""

    def due(self, state: AccountState) -> int | None:
        return state.folded_through + 1

    def close(self, state: AccountState, day: ev.DayClosed, context: DecisionContext) -> Step[AccountState]:
        visited = copy(state)
        # The day itself is folded though nothing asks for it, unless an opening position stands at its close.
        today = day.business_date.toordinal()
        visited.next_fold_on = max(state.folded_through + 1, min(visited.next_fold_on or today, today))
        return super().close(visited, day, context)

    def needs_policy_refold(self, state: AccountState | AccountHead, policies: PolicyBook, through: int) -> bool:
        return True


@settings(max_examples=250, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(p=books(), events=histories())
def test_an_account_that_is_visited_daily_reports_the_same(p, events) -> None:  # type: ignore[no-untyped-def]
    arrivals = in_time([*events, *AccountEvents().closes(1, LAST + 200)])
    lazy, daily = AccountDriver(p), AccountDriver(p)
    daily.agent = DailyAgent()
    lazy.feed(*arrivals)
    daily.feed(*arrivals)
    assert lazy.standing() == daily.standing()
    assert lazy.visits <= daily.visits


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(
    p=books(),
    events=histories(),
    days=st.sets(st.integers(0, LAST + 50), min_size=1, max_size=8),
    seed=st.integers(0, 2**32),
)
def test_an_inert_event_on_any_day_changes_nothing_else(p, events, days, seed) -> None:  # type: ignore[no-untyped-def]
    """A contact that the borrower made has no effect on an account, but visits it."""
    closes = [*AccountEvents().closes(1, LAST + 100)]
    story = AccountEvents("A1")
    story._ids = 10_000
    inert = [answered(story.contact(day)) for day in sorted(days)]
    plain, visited = AccountDriver(p), AccountDriver(p)
    rng = random.Random(seed)
    late = {e.event_id: timedelta(days=rng.choice((0, 0, 3, 20))) for e in (*events, *inert)}

    def arriving(*some: ev.Event) -> list[ev.Event]:
        return sorted(some, key=lambda e: (e.occurred_at + late.get(e.event_id, timedelta()), e.event_id))

    plain.feed(*arriving(*events, *closes))
    visited.feed(*arriving(*events, *inert, *closes))
    assert without_contacts(visited) == without_contacts(plain)


def without_contacts(driver: AccountDriver) -> list[ev.Event]:
    """Return the outputs, ids and all."""
    return [e for e in driver.outputs if not isinstance(e, ev.ContactRecorded)]


def answered(contact: ev.ContactAttempted) -> ev.ContactAttempted:
    return replace(contact, direction="inbound", outcome="reached")
