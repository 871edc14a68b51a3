"""Facts that are corrected: a revised statement keeps its day, a closing is taken back, parts of a payment go back."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import permutations

import pytest
from msgspec.structs import replace

from schemas import events as ev
from state.policy import Charges
from state.policy_packs.loader import default_book
from tests.support.account_events import AccountEvents, at
from tests.support.agent_driver import AccountDriver, only
from tests.support.policies import policy


def card(story: AccountEvents) -> ev.AccountOpened:
    return story.opened(product="credit_card")


def days(driver: AccountDriver, *kinds: type[ev.Event]) -> list[tuple[str, str]]:
    """Return what stands of some kinds, as (day, kind)."""
    found = [e for kind in kinds for e in driver.standing_of(kind)]
    return sorted((str(e.business_date), type(e).__name__) for e in found)  # type: ignore[attr-defined]


def test_a_statement_corrected_under_a_plan_stays_in_it() -> None:
    story, driver = AccountEvents(), AccountDriver()
    # Billed on day 9 and corrected on day 25; the plan of day 15 took it over.
    driver.feed(card(story), story.billed(1, 9, 40, 30_000), *story.closes(0, 14))
    driver.feed(story.plan(15, (45, 15_000), (76, 15_000)), *story.closes(15, 24))
    driver.feed(replace(story.billed(1, 25, 40, 29_000), revision=1), *story.closes(25, 42))
    (adjusted,) = driver.standing_of(ev.PlanScheduleAdjusted)
    assert adjusted.difference == -1_000  # type: ignore[attr-defined]
    assert [r.plan for r in driver.states["A1"].receivables] == [True, True]
    assert days(driver, ev.InstalmentMissed, ev.DelinquencyChanged) == []


def test_a_late_statement_once_corrected_is_not_missed_earlier() -> None:
    story, driver = AccountEvents(), AccountDriver()
    driver.feed(card(story), *story.closes(0, 19), story.billed(1, 20, 10, 30_000), *story.closes(20, 29))
    first = days(driver, ev.InstalmentMissed, ev.DelinquencyChanged)
    assert first == [("2026-01-21", "DelinquencyChanged"), ("2026-01-21", "InstalmentMissed")]
    driver.feed(replace(story.billed(1, 30, 10, 29_000), revision=1), *story.closes(30, 31))
    assert days(driver, ev.InstalmentMissed, ev.DelinquencyChanged) == first


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_a_statement_counts_from_its_first_revision(order: tuple[int, ...]) -> None:
    story = AccountEvents()
    forms = [replace(story.billed(1, on, 10, 30_000 - n), revision=n) for n, on in enumerate((20, 25, 23))]
    driver = AccountDriver()
    driver.feed(card(story), *story.closes(0, 30), *(forms[n] for n in order), *(forms[n] for n in order))
    driver.feed(*story.closes(31, 31))
    (missed,) = driver.standing_of(ev.InstalmentMissed)
    assert (missed.business_date, missed.overdue_amount) == (date(2026, 1, 21), 29_998)  # type: ignore[attr-defined]
    assert not driver.rejected_events


def test_a_correction_without_its_statement_appears_by_its_due() -> None:
    story, driver = AccountEvents(), AccountDriver()
    driver.feed(card(story), replace(story.billed(1, 20, 10, 30_000), revision=1), *story.closes(0, 30))
    assert days(driver, ev.InstalmentMissed) == [("2026-01-12", "InstalmentMissed")]


# -- closed and reopened


def closed(story: AccountEvents, on: int, reason: str = "sold", hour: int = 9) -> ev.AccountClosed:
    day = story.day(on)
    return ev.AccountClosed(
        event_id=f"x{on}", occurred_at=at(day, hour), source="t", account_id="A1", reason=reason, closed_on=day
    )


def reopened(story: AccountEvents, on: int, hour: int = 15) -> ev.AccountReopened:
    day = story.day(on)
    return ev.AccountReopened(
        event_id=f"r{on}", occurred_at=at(day, hour), source="t", account_id="A1", reason="mistake", reopened_on=day
    )


@pytest.mark.parametrize("late", [False, True])
def test_a_closing_that_is_taken_back_on_the_same_day_never_was(late: bool) -> None:
    story, driver = AccountEvents(), AccountDriver()
    facts = [closed(story, 10), reopened(story, 10)]
    driver.feed(story.opened(31), *story.closes(0, 9), *facts[: 1 if late else 2], *story.closes(10, 12), *facts)
    driver.feed(*story.closes(13, 40))
    assert days(driver, ev.AccountEnded, ev.AccountRestored, ev.InputNotApplied, ev.CollectionStopped) == []
    assert days(driver, ev.InstalmentMissed) == [("2026-02-02", "InstalmentMissed")]


def test_an_account_reopened_and_closed_on_one_day_is_closed() -> None:
    story, driver = AccountEvents(), AccountDriver()
    driver.feed(story.opened(31), closed(story, 5), reopened(story, 10), closed(story, 10, "settled"))
    driver.feed(*story.closes(0, 40))
    assert days(driver, ev.AccountEnded, ev.AccountRestored, ev.InstalmentMissed) == [
        ("2026-01-06", "AccountEnded"),
        ("2026-01-11", "AccountEnded"),
        ("2026-01-11", "AccountRestored"),
    ]


def test_reopening_an_account_that_never_closed_is_answered() -> None:
    story, driver = AccountEvents(), AccountDriver()
    driver.feed(story.opened(31), reopened(story, 10), closed(story, 11), *story.closes(0, 40))
    (answer,) = driver.standing_of(ev.InputNotApplied)
    assert (answer.code, answer.fact_id) == ("not_closed", "2026-01-11")  # type: ignore[attr-defined]
    assert days(driver, ev.AccountEnded) == [("2026-01-12", "AccountEnded")]


def test_collection_that_goes_on_at_a_reopening_says_so() -> None:
    story, driver = AccountEvents(), AccountDriver()
    driver.feed(story.opened(5), closed(story, 10), reopened(story, 20), *story.closes(0, 30))
    assert [e.reason for e in driver.standing_of(ev.CollectionResumed)] == ["reopened"]  # type: ignore[attr-defined]


# -- parts of a payment


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_what_is_left_of_a_payment_is_what_its_parts_left(order: tuple[int, ...]) -> None:
    story = AccountEvents()
    undone = story.reversed(35, "P1")
    facts = [
        replace(undone, reversal_id="part", amount=4_000, event_id="u1"),
        replace(undone, event_id="u2"),
        replace(undone, reversal_id="another", amount=1_000, event_id="u3"),
    ]
    driver = AccountDriver()
    driver.feed(story.opened(31), story.paid(31, 10_000, "P1"), *story.closes(0, 34), *(facts[n] for n in order))
    driver.feed(*story.closes(35, 40))
    assert driver.states["A1"].received == 0
    assert days(driver, ev.InputNotApplied) == []


# -- raised again


@pytest.mark.parametrize("fee", [0, 600])
def test_a_paid_instalment_that_is_raised_is_late_from_then(fee: int) -> None:
    story = AccountEvents()
    driver = AccountDriver(policy(charges=Charges(late_fee_flat=fee, cap_bps=2_400)))
    raised = ev.InstalmentAdjusted(
        event_id="a", occurred_at=at(story.day(20)), source="t", account_id="A1", adjustment_id="a1", number=1,
        effective_on=story.day(20), principal=5_000, interest=0, fees=0, penalty=0, reason="correction",
    )  # fmt: skip
    driver.feed(story.opened(10, 60), story.paid(12, 10_000), raised, *story.closes(0, 22))
    missed = [(str(e.business_date), str(e.due_on)) for e in driver.standing_of(ev.InstalmentMissed)]  # type: ignore[attr-defined]
    assert missed == [("2026-01-12", "2026-01-11"), ("2026-01-22", "2026-01-21")]
    assert driver.standing_of(ev.DelinquencyChanged)[-1].days_past_due == 1  # type: ignore[attr-defined]


# -- sent again


def again(fact: ev.Event, hours: int) -> ev.Event:
    """Return the same statement, as a system that sends all of it every night makes it."""
    return replace(fact, event_id=f"{fact.event_id}-{hours}", occurred_at=fact.occurred_at + timedelta(hours=hours))


def adjustment(story: AccountEvents) -> ev.InstalmentAdjusted:
    return ev.InstalmentAdjusted(
        event_id="adj", occurred_at=at(story.day(20)), source="t", account_id="A1", adjustment_id="a1", number=1,
        effective_on=story.day(15), principal=-1_000, interest=0, fees=0, penalty=0, reason="goodwill",
    )  # fmt: skip


def lasting(driver: AccountDriver) -> dict[str, object]:
    """Return the account's state but for what the planner was told last, which goes by when facts came."""
    state = driver.states["A1"]
    return {f: getattr(state, f) for f in state.__struct_fields__ if f != "last_workout_signal"}


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("first", [1, -1])
def test_a_repetition_with_another_time_counts_by_the_earliest(first: int, late: bool) -> None:
    story = AccountEvents()
    facts = [
        story.billed(1, 20, 30, 30_000),
        story.promised(33, 40, 500),
        story.reviewed(35, "recognise"),
        ev.PaymentFailed(
            event_id="f", occurred_at=at(story.day(34)), source="t", account_id="A1", payment_id="P9", amount=500,
            reason="insufficient_funds",
        ),
    ]  # fmt: skip
    sent = [e for fact in facts for e in (fact, again(fact, 24))[::first]]
    once, twice = AccountDriver(), AccountDriver()
    closes = list(story.closes(0, 45))
    for driver, events in ((once, facts), (twice, sent)):
        driver.feed(card(story), *closes[: 46 if late else 0], *events, *closes, *story.closes(46, 46))
    assert (twice.standing(), twice.rejected_events) == (once.standing(), [])


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("kind", ["opening", "statement", "payment", "hold", "adjustment"])
def test_a_contradiction_between_repetitions_never_stands(kind: str, late: bool) -> None:
    story = AccountEvents()
    opened = story.opened(10, 40, 70)
    said: ev.Event
    other: ev.Event
    match kind:
        case "opening":
            said, other = opened, replace(opened, annual_rate_bps=0, principal=29_000)
        case "statement":
            said = story.billed(7, 12, 14, 3_000)
            other = replace(said, principal=9_000)
        case "payment":
            said = story.paid(12, 4_000)
            other = replace(said, amount=12_000)
        case "hold":
            said = story.hold(8, 20)
            other = replace(said, from_on=story.day(12))
        case _:
            said = adjustment(story)
            other = replace(said, principal=-9_000)
    other, first = again(other, -2), again(said, -4)
    alone = AccountDriver()
    alone.feed(opened, first, *story.closes(0, 31))
    for order in permutations((said, other, first)):
        driver = AccountDriver()
        before = list(story.closes(0, 30 if late else 0))
        # Of several openings the first one that comes opens the account.
        driver.feed(order[0] if kind == "opening" else opened, *before)
        driver.feed(*order, *story.closes(len(before), 31))
        assert driver.standing() == alone.standing()
        assert lasting(driver) == lasting(alone)
        assert len({e.event_id for e in driver.outputs}) == len(driver.outputs)


def test_a_second_call_under_the_id_of_another_is_no_repetition() -> None:
    story, driver = AccountEvents(), AccountDriver()
    call = story.contact(5)
    driver.feed(story.opened(31), call, again(call, 3), *story.closes(0, 6))
    assert [type(e) for e in driver.rejected_events] == [ev.ContactAttempted]


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize(("first", "second"), [("a", "b"), ("b", "a")])
def test_a_promise_can_be_moved_on_the_day_it_was_made(first: str, second: str, late: bool) -> None:
    story, driver = AccountEvents(), AccountDriver()
    made = replace(story.promised(12, 15, 4_000), promise_id=first)
    moved = replace(again(made, 3), promise_id=second, due_on=story.day(20), replaces=first)
    closes = list(story.closes(0, 25))
    driver.feed(story.opened(10), *closes[: 15 if late else 0], moved, made, *closes)
    assert days(driver, ev.InputNotApplied) == []
    broken = [(str(e.business_date), e.promise_id) for e in driver.standing_of(ev.PromiseBroken)]  # type: ignore[attr-defined]
    assert broken == [("2026-01-22", second)]


# -- openings that are corrected


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_money_of_another_currency_counts_in_no_order(order: tuple[int, ...]) -> None:
    story, driver = AccountEvents(), AccountDriver(default_book())
    wrong = story.opened(5, 36, amount=10_000)
    right = replace(wrong, event_id="e0", occurred_at=at(date(2025, 12, 31)), currency="EUR", jurisdiction="DE")
    paid = story.paid(6, 10_000)
    given = (wrong, right, paid)
    for number in order:
        driver.feed(given[number], *story.closes(10 + number, 10 + number))
    driver.feed(*story.closes(13, 20))
    assert driver.states["A1"].received == 0
    assert paid in driver.rejected_events
    assert days(driver, ev.InstalmentMissed, ev.InstalmentCaughtUp) == [("2026-01-07", "InstalmentMissed")]
    # Another fact of a closed day has it all worked out again, and refuses nothing once more.
    refused = len(driver.rejected_events)
    driver.feed(story.paid(12, 10_000, currency="EUR"), *story.closes(21, 21))
    assert (driver.states["A1"].received, len(driver.rejected_events)) == (10_000, refused)


def test_a_debt_of_another_borrower_is_taken_from_the_first() -> None:
    story, driver = AccountEvents(), AccountDriver(default_book())
    opened = story.opened(5, 36, 67, amount=100_000)
    driver.feed(opened, *story.closes(0, 40))
    right = replace(opened, event_id="e0", occurred_at=at(date(2025, 12, 31)), borrower_id="B9")
    outputs = driver.feed(right)
    (ended,) = only(outputs, ev.WorkoutEnded)
    (asked,) = only(outputs, ev.WorkoutRequested)
    assert (ended.borrower_id, ended.reason, asked.borrower_id) == ("B1", "no_party", "B9")


def test_a_debt_is_told_anew_by_the_opening_that_stands() -> None:
    story, driver = AccountEvents(), AccountDriver(default_book())
    opened = story.opened(5, 36, 67, amount=100_000)
    driver.feed(opened, *story.closes(0, 40))
    right = replace(opened, event_id="e0", occurred_at=at(date(2025, 12, 31)), currency="EUR", jurisdiction="DE")
    (asked,) = only(driver.feed(right), ev.WorkoutRequested)
    assert (asked.debt.currency, asked.debt.jurisdiction, asked.trigger) == ("EUR", "DE", "changed")
    assert only(driver.feed(opened, right), ev.WorkoutRequested) == []


def test_positions_of_one_event_id_are_told_apart() -> None:
    story, driver = AccountEvents(), AccountDriver()
    position = ev.OpeningPosition(
        event_id="position-A1", occurred_at=at(story.day(0)), source="test", account_id="A1", borrower_id="B1",
        product="personal_loan", jurisdiction="CN", currency="CNY", opened_on=story.day(-90), as_of=story.day(0),
        annual_rate_bps=0, principal=20_000, instalments=(),
        plan=ev.PositionPlan(
            plan_id="plan1", activated_on=story.day(-5), annual_rate_bps=0,
            instalments=(ev.PositionInstalment(number=1, due_on=story.day(30), principal=20_000, interest=0, fees=0),),
        ),
    )  # fmt: skip
    assert position.plan is not None
    lower = replace(position.plan.instalments[0], principal=15_000)
    corrected = replace(position, revision=1, plan=replace(position.plan, instalments=(lower,)))
    told = only(driver.feed(position, *story.closes(1, 2), corrected, replace(position, revision=2)), ev.PlanProgressed)
    assert [e.instalment for e in told] == [20_000, 15_000, 20_000]
    assert len({e.event_id for e in told}) == 3


@pytest.mark.parametrize("closed", [False, True], ids=["open day", "closed days"])
def test_a_reversal_from_before_the_account_is_answered(closed: bool) -> None:
    story, driver = AccountEvents(), AccountDriver()
    returned = replace(story.reversed(0, "p-unknown"), reversed_on=story.day(-12))
    facts = [story.opened(30), returned]
    driver.feed(*facts, *story.closes(0, 9)) if not closed else driver.feed(facts[0], *story.closes(0, 9), returned)
    driver.feed(*story.closes(10, 10))
    (answer,) = driver.standing_of(ev.InputNotApplied)
    assert (answer.business_date, answer.code, answer.fact_id) == (story.day(0), "unknown_payment", "p-unknown")  # type: ignore[attr-defined]


def test_a_revision_from_before_the_account_counts() -> None:
    story, driver = AccountEvents(), AccountDriver()
    revised = ev.ScheduleRevised(
        event_id="s1", occurred_at=at(story.day(-9)), source="test", account_id="A1", revision=1,
        effective_on=story.day(-9), reason="prepaid",
        instalments=(ev.Instalment(number=9, due_on=story.day(20), principal=7_000, interest=0, fees=0),),
    )  # fmt: skip
    driver.feed(story.opened(-5, 5), revised, *story.closes(0, 22))
    assert [(e.number, e.overdue_amount) for e in driver.standing_of(ev.InstalmentMissed)] == [(9, 7_000)]
