"""Accounts that are taken over: what their position does not say is not made up."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from msgspec.structs import replace

from agents.account.view import as_of
from schemas import events as ev
from state.policy import Arrangements, BadDebt, Classification, ClassThreshold
from tests.support.account_events import AccountEvents, at
from tests.support.agent_driver import AccountDriver
from tests.support.policies import book_of, policy

AS_OF = date(2026, 4, 1)


def taken_over(**more: object) -> ev.OpeningPosition:
    """Return a position with one instalment that is long past due."""
    fields: dict[str, object] = {
        "instalments": (ev.PositionInstalment(number=5, due_on=date(2025, 6, 1), principal=20_000, interest=0, fees=0),)
    } | more
    return ev.OpeningPosition(
        event_id="pos",
        occurred_at=at(AS_OF, 23),
        source="test",
        account_id="A1",
        borrower_id="B1",
        product="personal_loan",
        jurisdiction="CN",
        currency="CNY",
        opened_on=date(2024, 1, 1),
        as_of=AS_OF,
        annual_rate_bps=1_200,
        principal=100_000,
        **fields,
    )


def under_plan(first: int, kept: int, *dues: date, activated: date) -> ev.PositionPlan:
    """Return a plan whose instalments from a number on are unpaid, 10,000 and 100 of interest each."""
    return ev.PositionPlan(
        plan_id="plan1",
        offer_id="o1",
        activated_on=activated,
        annual_rate_bps=1_200,
        kept=kept,
        missed=0,
        paid=kept * 10_100,
        instalments=tuple(
            ev.PositionInstalment(number=first + n, due_on=due, principal=10_000, interest=100, fees=0)
            for n, due in enumerate(dues)
        ),
    )


@pytest.mark.parametrize(("days", "late"), [("run_on", 60 + 31), ("deferred", 0)])
def test_an_arrangement_that_is_taken_over_is_kept_and_ends(days: str, late: int) -> None:
    rules = policy(arrangements=Arrangements(days_past_due=days))  # type: ignore[arg-type]
    due = AS_OF - timedelta(days=60)
    arrangement = ev.PositionPlan(
        plan_id="token1",
        activated_on=AS_OF - timedelta(days=20),
        annual_rate_bps=1_200,
        kept=1,
        paid=500,
        instalments=(
            ev.PositionInstalment(number=2, due_on=AS_OF + timedelta(days=10), principal=500, interest=0, fees=0),
        ),
        arrangement="token",
        review_on=AS_OF + timedelta(days=20),
        ends_on=AS_OF + timedelta(days=40),
    )
    contract = (ev.PositionInstalment(number=5, due_on=due, principal=20_000, interest=0, fees=0),)
    paid = AccountEvents(start=AS_OF).paid(9, 500)
    driver = lived(taken_over(instalments=contract, plan=arrangement), 31, paid, driver=AccountDriver(book_of(rules)))
    state = driver.agent.rules(driver.book, driver.states["A1"])
    shown = as_of(driver.states["A1"], state, (AS_OF + timedelta(days=31)).toordinal())
    assert (shown.days_past_due, shown.receivables[0].principal, shown.plan.kept) == (late, 19_500, 2)  # type: ignore[union-attr]
    driver.feed(*AccountEvents(start=AS_OF).closes(32, 41))
    assert len(driver.standing_of(ev.PlanEnded)) == 1
    assert driver.states["A1"].days_past_due == (101 if days == "run_on" else 1)


def test_a_plan_taken_over_without_its_last_day_is_refused() -> None:
    wrong = replace(under_plan(1, 0, AS_OF, activated=AS_OF), arrangement="token")
    driver = lived(taken_over(plan=wrong), 1)
    assert driver.rejection_codes == ["out_of_range"]


def lived(
    position: ev.OpeningPosition, days: int, *facts: ev.Event, driver: AccountDriver | None = None
) -> AccountDriver:
    story, driver = AccountEvents(start=AS_OF), driver or AccountDriver()
    driver.feed(position, *facts, *story.closes(0, days))
    return driver


@pytest.mark.parametrize("since", [None, date(2026, 3, 20)])
def test_a_recovering_debt_lapses_without_a_known_payment(since: date | None) -> None:
    rules = policy(bad_debt=BadDebt("test", recovery_lapse_days=90))
    driver = lived(
        taken_over(bad_debt="recovering", bad_debt_on=since, standing="defaulted"), 120, driver=AccountDriver(rules)
    )
    (step,) = driver.standing_of(ev.BadDebtChanged)
    assert step.business_date == (since or AS_OF) + timedelta(days=91)  # type: ignore[attr-defined]
    assert step.reasons == ("no payment for 91 days",)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("first", "kept", "activated", "interest"),
    [
        # Three were kept, so the one before was due on 1 April: a day of thirty.
        (4, 3, date(2026, 1, 1), 3),
        # Nothing is said to be kept, but the numbers begin with 4.
        (4, 0, date(2026, 1, 1), 3),
        # It is the plan's first: from its activation on, 91 days of 120.
        (1, 0, date(2026, 1, 1), 76),
        # A month before the first would be before the plan.
        (2, 1, date(2026, 4, 1), 3),
    ],
)
def test_settling_a_plan_taken_over_owes_interest_since_due(
    first: int, kept: int, activated: date, interest: int
) -> None:
    plan = under_plan(first, kept, date(2026, 5, 1), date(2026, 6, 1), activated=activated)
    story = AccountEvents(start=AS_OF)
    driver = lived(taken_over(plan=plan, standing="restructured"), 3, story.paid(1, 20_000 + interest))
    (completed,) = driver.standing_of(ev.PlanCompleted)
    assert (completed.early, completed.interest_saved) == (True, 200 - interest)  # type: ignore[attr-defined]
    # A minor unit less settles nothing.
    short = lived(taken_over(plan=plan, standing="restructured"), 3, story.paid(1, 20_000 + interest - 1))
    assert short.standing_of(ev.PlanCompleted) == []


def test_a_plan_taken_over_in_grace_counts_from_its_end() -> None:
    rules = policy(
        classifications=(
            Classification("two", (ClassThreshold("good", 0), ClassThreshold("bad", 91)), after_plan_days=30),
        )
    )
    plan = under_plan(1, 0, date(2026, 7, 1), activated=date(2026, 3, 1))
    position = taken_over(plan=plan, standing="restructured", classes={"two": "bad"}, clean_since=date(2026, 3, 1))
    driver = lived(position, 92, driver=AccountDriver(rules))
    (better,) = driver.standing_of(ev.ClassificationChanged)
    assert better.business_date == date(2026, 7, 1)  # type: ignore[attr-defined]


def test_collection_stopped_elsewhere_resumes_on_its_reason() -> None:
    driver = lived(taken_over(collection_stopped=True, standing="arrears"), 2)
    assert [(str(e.business_date), e.reason) for e in driver.standing_of(ev.CollectionResumed)] == [
        ("2026-04-02", "taken_over")
    ]  # type: ignore[attr-defined]
