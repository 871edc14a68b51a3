"""What is shown of an account is as of the last closed day, whenever it was visited last."""

from __future__ import annotations

import random
from datetime import date

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_account_orders import LAST, _disordered, books, histories, in_time, plain

from agents.account.corrections import EMITTED
from agents.account.day import outstanding_on
from agents.account.fold import advance
from agents.account.opening import replay_facts
from agents.account.rules import Rules
from agents.account.view import Aging, aging, as_closed, as_of, next_steps
from agents.amounts import whole
from console.account_page import account_details, account_summary
from schemas import events as ev
from state.account import AccountState
from state.policy import BadDebt, Delinquency
from state.portfolio import Portfolio
from streams.views.view import account_shown, account_view, outstanding
from tests.support.account_events import AccountEvents, at
from tests.support.agent_driver import AccountDriver
from tests.support.policies import policy


def rules_of(driver: AccountDriver) -> Rules:
    state = driver.states["A1"]
    return driver.agent.rules(driver.book, state)


def folded_daily(driver: AccountDriver, closed: int) -> AccountState:
    """Return the account folded anew from its facts, with every single day visited."""
    rules = rules_of(driver)
    s = replay_facts({k: e for k, e in driver.facts_by_key["A1"].items() if not k.startswith(EMITTED)}, lambda _: rules)
    for day in range(s.opened_on, closed + 1):
        advance(s, rules, day)
        if s.folded_through < day:
            s.next_fold_on = day
            advance(s, rules, day)
    return s


@settings(max_examples=120, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(p=books(), events=histories(), seed=st.integers(0, 2**32))
def test_the_view_of_a_closed_day_equals_daily_folding(p, events, seed):  # type: ignore[no-untyped-def]
    rng, driver, kept = random.Random(seed), AccountDriver(p), list[tuple[Aging, AccountState]]()
    closes = list(AccountEvents().closes(1, LAST))
    arrivals = _disordered(rng, events, closes) if rng.random() < 0.5 else in_time([*events, *rng.sample(closes, 80)])
    for event in arrivals:
        driver.feed(event)
        state, closed = driver.states.get("A1"), driver.closed.toordinal() if driver.closed else 0
        if state is None or not state.opened_on <= closed or rng.random() > 0.1:
            continue
        before = plain(state)
        shown, daily = plain(as_of(state, rules_of(driver), closed)), plain(folded_daily(driver, closed))
        assert plain(state) == before
        for what_was_published in ("provisional_events", "last_workout_signal"):
            del shown[what_was_published], daily[what_was_published]
        assert shown == daily, closed
        kept.append((aging(state, rules_of(driver)), state))
    for terms, state in kept:
        # What is kept beside a copy ages it exactly, until it is visited next.
        changes = [first for first, _ in driver.book.later if first > state.folded_through]
        until = min([driver.agent.due(state) or state.folded_through + 60, *changes])
        for day in range(state.folded_through, until):
            s = as_of(state, rules_of(driver), day)
            owed = outstanding_on(as_closed(s), s.closed_on or day)
            aged = (s.days_past_due, s.days_past_due_material, s.overdue_amount, owed.interest, owed.fees)
            assert terms.on(day) == aged, date.fromordinal(day)


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(p=books(), events=histories())
def test_gauges_ignore_measures_of_days_not_visited(p, events):  # type: ignore[no-untyped-def]
    driver = AccountDriver(p)
    for event in in_time([*events, *AccountEvents().closes(1, LAST)]):
        driver.feed(event)
        if isinstance(event, ev.DayClosed) and event.business_date.day % 7 == 0:
            lazy, shown = Portfolio(driver.book), Portfolio(driver.book)
            lazy.move(None, driver.states["A1"])
            shown.move(None, as_of(driver.states["A1"], rules_of(driver), event.business_date.toordinal()))
            assert lazy.copy() == shown.copy(), event.business_date


def test_an_account_that_is_ahead_of_the_day_is_shown_as_it_is() -> None:
    driver, story = AccountDriver(), AccountEvents()
    driver.feed(story.opened(30), *story.closes(1, 35))
    state = driver.states["A1"]
    assert plain(as_of(state, rules_of(driver), state.folded_through - 3)) == plain(state)


def test_what_waits_for_its_day_is_no_part_of_the_view() -> None:
    driver, story = AccountDriver(), AccountEvents()
    driver.feed(story.opened(30, 60), *story.closes(1, 40), story.paid(41, 10_000))
    shown = as_of(driver.states["A1"], rules_of(driver), driver.closed.toordinal())  # type: ignore[union-attr]
    assert (shown.days_past_due, shown.overdue_amount, shown.received) == (10, 10_000, 0)
    assert [item.fact.amount for item in shown.pending] == [10_000]  # type: ignore[union-attr]
    assert [type(e) for e in shown.provisional_events] == [ev.InstalmentCaughtUp, ev.DelinquencyChanged]


def lacks(driver: AccountDriver) -> dict[str, bool]:
    """Return which conditions of the next step are met at the last close."""
    shown = as_of(driver.states["A1"], rules_of(driver), driver.closed.toordinal())  # type: ignore[union-attr]
    found = next_steps(shown, rules_of(driver))
    return {c.need: c.met for c in found[0].conditions} if found else {}


def test_what_a_candidate_lacks_is_met_one_by_one() -> None:
    rules = policy(
        delinquency=Delinquency(material_absolute=15_000, pausing_holds=("dispute",)),
        bad_debt=BadDebt(
            "test", missed_at_least=2, attempts_at_least=1, blocking_holds=("dispute",), recognition="review"
        ),
    )
    driver, story = AccountDriver(rules), AccountEvents()
    driver.feed(story.opened(30, 60, 90), *story.closes(1, 35))
    assert lacks(driver) == {"late": False, "attempts": False, "material": False, "no_blocking_hold": True}
    driver.feed(story.hold(36, 70), *story.closes(36, 69))
    assert lacks(driver) == {"late": False, "attempts": False, "material": True, "no_blocking_hold": False}
    driver.feed(*story.closes(70, 71))
    assert lacks(driver) == {"late": True, "attempts": False, "material": True, "no_blocking_hold": True}
    driver.feed(story.contact(72), *story.closes(72, 75))
    assert driver.states["A1"].bad_debt == "candidate"
    assert lacks(driver) == {"review": False}
    driver.feed(story.reviewed(76, "reject"), *story.closes(76, 80))
    assert lacks(driver) == {
        "late": True,
        "attempts": True,
        "material": True,
        "no_blocking_hold": True,
        "not_rejected": False,
    }
    driver.feed(story.paid(81, 30_000), *story.closes(81, 82))
    assert lacks(driver) == {"late": False, "attempts": False, "material": False, "no_blocking_hold": True}


@settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(p=books(), events=histories())
def test_an_account_goes_on_exactly_when_nothing_is_lacking(p, events):  # type: ignore[no-untyped-def]
    driver = AccountDriver(p)
    reviews = {e.occurred_at.date() for e in events if isinstance(e, ev.BadDebtReviewed)}
    for event in in_time([*events, *AccountEvents().closes(1, LAST)]):
        driver.feed(event)
        if isinstance(event, ev.DayClosed) and event.business_date not in reviews:
            # Whose conditions are all met at a close has taken the step at this close.
            shown = as_of(driver.states["A1"], rules_of(driver), event.business_date.toordinal())
            for step in next_steps(shown, rules_of(driver)):
                assert not all(c.met for c in step.conditions), step


@pytest.mark.parametrize(
    ("reason", "owed"), [("repaid", 0), ("settled", 0), ("opened_in_error", 0), ("sold", 10_000), ("moved", 10_000)]
)
def test_a_closed_account_shows_what_is_left_and_nothing_late(reason: str, owed: int) -> None:
    driver, story = AccountDriver(), AccountEvents()
    # 10,000 and 500 of interest for each of three months; the interest of the last was paid in advance.
    opened = story.opened(10, 41, 72, interest=500)
    paid = [story.paid(12, 21_000 if owed else 21_900)] if reason != "opened_in_error" else []
    closed = ev.AccountClosed(
        event_id="x", occurred_at=at(story.day(15)), source="t", account_id="A1", reason=reason, closed_on=story.day(15)
    )
    if reason == "repaid":
        paid = [story.paid(12, 31_000)]
    driver.feed(opened, *paid, closed, *story.closes(0, 100))
    (ended,) = driver.standing_of(ev.AccountEnded)
    shown = as_of(driver.states["A1"], rules_of(driver), story.day(100).toordinal())
    page = account_details(shown, rules_of(driver), [], shown.folded_through)
    if reason not in ("settled", "opened_in_error"):
        assert whole(ended.outstanding) == owed  # type: ignore[attr-defined]
    assert sum(page["owed"].values()) == owed
    assert account_summary(shown, rules_of(driver), shown.folded_through)["owed"] == owed
    assert (page["next"], page["to_come"], page["status"]["bucket"]) == (None, 0, "current")
    assert page["instalments"] == []
    kept = account_view(driver.states["A1"], aging(driver.states["A1"], rules_of(driver)), 0)
    view = account_shown(kept.fields, {"0": str(story.day(100).toordinal())})
    assert (outstanding(view), kept.scores) == (owed, {})


def test_a_bad_debt_that_was_sold_is_in_no_index() -> None:
    driver, story = AccountDriver(), AccountEvents()
    closed = ev.AccountClosed(
        event_id="x", occurred_at=at(story.day(50)), source="t", account_id="A1", reason="sold", closed_on=story.day(50)
    )
    driver.feed(story.opened(5), story.reviewed(40, "charge_off"), closed, *story.closes(0, 60))
    kept = account_view(driver.states["A1"], aging(driver.states["A1"], rules_of(driver)), 0)
    assert (kept.fields["bucket"], kept.fields["overdue_since"], kept.scores) == ("current", "0", {})


def test_conditions_of_a_candidate_are_shown_without_arrears() -> None:
    rules = policy(bad_debt=BadDebt("test"), delinquency=Delinquency(tolerance_absolute=100))
    driver, story = AccountDriver(rules), AccountEvents()
    driver.feed(story.opened(5), story.paid(5, 9_950), *story.closes(0, 20))
    shown = as_of(driver.states["A1"], rules_of(driver), story.day(20).toordinal())
    assert (shown.overdue_amount, shown.overdue_since) == (50, 0)
    # 50 are more than 0, and more than 0 % of what is owed.
    assert lacks(driver) == {"late": False, "attempts": False, "material": True, "no_blocking_hold": True}
