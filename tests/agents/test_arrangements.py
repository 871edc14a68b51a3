"""Arrangements for a time: what they do to lateness, class, stage, standing, collection and charges, by place."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from agents.account.signals import debt_of
from agents.planner.options import build_options
from schemas import events as ev
from state.affordability import RepaymentCapacity
from state.policy import Arrangements, Charges
from state.policy_packs.loader import default_book
from tests.support.account_events import AccountEvents
from tests.support.agent_driver import AccountDriver, PlannerDriver, names, only
from tests.support.borrower_events import BorrowerEvents, day_of
from tests.support.policies import book_of, policy

BOOK = default_book()
CURRENCY = {"CN": "CNY", "DE": "EUR", "GB": "GBP", "US": "USD"}
# Five instalments of 100.00 on days 30 to 150; the first two are missed, and on day 70 an arrangement begins.
DUES, BEGINS, LASTS = (30, 60, 90, 120, 150), 70, 90


@dataclass
class Life:
    """One account in a place."""

    place: str

    def __post_init__(self) -> None:
        self.events = AccountEvents()
        self.driver = AccountDriver(BOOK)
        kind = {"jurisdiction": self.place, "currency": CURRENCY[self.place]}
        self.driver.feed(self.events.opened(*DUES, **kind))
        self.closed = 0

    def through(self, day: int, *facts: ev.Event) -> list[ev.Event]:
        """Feed facts and close days."""
        outputs = self.driver.feed(*facts, *self.events.closes(self.closed + 1, day))
        self.closed = day
        return outputs

    def agree(self, *asks: tuple[int, int], loss: int = 0) -> None:
        """Agree on day BEGINS on a holiday, or on token payments."""
        made = self.events.arrangement(BEGINS, LASTS, *asks, loss=loss)
        self.through(BEGINS, replace(made, currency=CURRENCY[self.place]))

    def pay(self, day: int, amount: int) -> None:
        """Pay on a day."""
        self.through(day, replace(self.events.paid(day, amount), currency=CURRENCY[self.place]))

    @property
    def state(self):  # type: ignore[no-untyped-def]
        """The account as it was visited last."""
        return self.driver.states["A1"]

    def debt(self) -> ev.Debt:
        """The debt at the last close."""
        rules = self.driver.agent.rules(BOOK, self.state)
        return debt_of(self.state, rules, self.events.day(self.closed).toordinal())

    def class_(self) -> str:
        """The worst name of its classes."""
        changes = self.driver.standing_of(ev.ClassificationChanged)
        return changes[-1].to if changes else "best"


TOKENS = ((BEGINS + 20, 500), (BEGINS + 50, 500), (BEGINS + 80, 500))
# Place, type, loss in basis points: days past due on day 150 (after day 30: 120), class, stage, standing.
TABLE = [
    ("CN", (), 0, 0, "special_mention", 2, "restructured"),
    ("CN", TOKENS, 0, 0, "special_mention", 2, "restructured"),
    ("DE", (), 0, 0, "best", 2, "restructured"),
    ("DE", TOKENS, 0, 0, "best", 2, "restructured"),
    ("DE", TOKENS, 101, 0, "default", 2, "restructured"),
    ("GB", (), 0, 120, "best", 3, "restructured"),
    ("GB", TOKENS, 0, 120, "best", 3, "restructured"),
    ("US", (), 0, 120, "loss", 3, "defaulted"),
    ("US", TOKENS, 0, 120, "loss", 3, "defaulted"),
]


@pytest.mark.parametrize(("place", "asks", "loss", "late", "class_", "stage", "standing"), TABLE)
def test_the_table_of_types_and_places(
    place: str, asks: tuple[tuple[int, int], ...], loss: int, late: int, class_: str, stage: int, standing: str
) -> None:
    life = Life(place)
    life.agree(*asks, loss=loss)
    for day, amount in asks:
        life.pay(day, amount)
    life.through(150)
    s = life.state
    # Token payments pay 15.00 of the oldest instalment, which stays the oldest.
    assert (life.debt().days_past_due, life.class_(), s.ifrs9_stage, s.credit_standing) == (
        late,
        class_,
        stage,
        standing,
    )
    assert s.collection_stopped
    assert not [e for e in life.driver.standing_of(ev.ChargeAccrued) if e.business_date > life.events.day(BEGINS)]
    kept = life.driver.standing_of(ev.PlanInstalmentKept)
    assert [e.number for e in kept] == [1, 2, 3][: len(asks)]
    # It is kept to its last day, and ends behind it; the contract is late again, by its own days or by the new ones.
    life.through(BEGINS + LASTS + 1)
    if place != "US":
        assert names(life.driver.standing_of(ev.PlanEnded)) == ["PlanEnded"]
    assert life.debt().days_past_due == (1 if place in ("CN", "DE") else BEGINS + LASTS + 1 - 30)
    assert not life.driver.standing_of(ev.PlanBroken)


@pytest.mark.parametrize("place", CURRENCY)
def test_token_payments_that_are_missed_break_it(place: str) -> None:
    life = Life(place)
    life.agree(*TOKENS)
    life.through(BEGINS + 56)
    (broken,) = life.driver.standing_of(ev.PlanBroken)
    assert (broken.reason, broken.kept, broken.missed) == ("missed", 0, 2)
    # What it deferred is as late as it would have been without it.
    assert life.debt().days_past_due == BEGINS + 56 - 30
    assert not life.state.collection_stopped


@pytest.mark.parametrize("asks", [(), TOKENS])
@pytest.mark.parametrize("place", CURRENCY)
def test_a_review_is_asked_for_on_its_day(place: str, asks: tuple[tuple[int, int], ...]) -> None:
    life = Life(place)
    life.agree(*asks)
    for day, amount in asks[:2]:
        life.pay(day, amount)
    life.through(BEGINS + LASTS - 22)
    (request,) = only(life.through(BEGINS + LASTS - 21), ev.WorkoutRequested)
    assert request.trigger == "review_due"
    assert life.state.plan is not None


def test_a_plan_agreed_at_the_review_takes_its_place() -> None:
    life = Life("DE")
    life.agree()
    day = BEGINS + LASTS - 10
    plan = replace(life.events.plan(day, (day + 30, 25_000), (day + 60, 25_000)), currency="EUR")
    life.through(day, plan)
    (replaced,) = life.driver.standing_of(ev.PlanReplaced)
    assert (replaced.plan_id, replaced.by_plan_id) == ("pause", "plan1")
    assert not life.driver.standing_of(ev.PlanBroken)
    assert sum(r.principal for r in life.state.receivables if r.plan) == 50_000
    # If that breaks, what the holiday put off is late from the day on which it was replaced.
    life.through(day + 66 + 30)
    assert life.driver.standing_of(ev.PlanBroken)
    assert life.debt().days_past_due == life.closed - day


def test_a_holiday_worked_by_hand() -> None:
    """Two instalments of 100.00 are late when it begins; nothing is charged, and it costs no days."""
    p = policy(
        charges=Charges(penalty_rate_bps=3_650, late_fee_flat=700, cap_bps=10_000),
        arrangements=Arrangements(days_past_due="deferred"),
    )
    events, driver = AccountEvents(), AccountDriver(book_of(p))
    driver.feed(events.opened(30, 60, 90), *events.closes(1, 70))
    # Late fees of 7.00 on days 31 and 61. Penalty interest is 0.1 % a day: of 100.00 for 40 days and for 10, by day 70.
    driver.feed(events.arrangement(70, 30), *events.closes(71, 100))
    assert driver.states["A1"].charged == 2 * 700 + 40 * 10 + 10 * 10
    # The third fell due on day 90, was put off to day 100, and is missed on day 101: a late fee.
    driver.feed(*events.closes(101, 101))
    s = driver.states["A1"]
    assert s.charged == 1_900 + 700
    assert (s.days_past_due, s.received, s.owed().principal) == (1, 0, 30_000)
    # All three instalments of 100.00 bear penalty interest again, from day 102 on.
    driver.feed(*events.closes(102, 110))
    driver.feed(events.paid(110, 100), *events.closes(111, 111))
    assert driver.states["A1"].charged == 1_900 + 700 + 9 * 30


def test_three_tokens_worked_by_hand() -> None:
    life = Life("GB")
    life.agree(*TOKENS)
    life.pay(BEGINS + 20, 1_200)
    # 12.00 are two payments of 5.00, the second ahead of its day, and 2.00 of the third.
    assert [(a.paid, a.kept) for a in life.state.plan.asks] == [(500, True), (500, True), (200, False)]
    assert life.state.receivables[0].principal == 10_000 - 1_200
    life.pay(BEGINS + 80, 300)
    assert [e.number for e in life.driver.standing_of(ev.PlanInstalmentKept)] == [1, 2, 3]
    assert life.state.paid.total() == 1_500


@given(
    st.lists(st.integers(0, 6), min_size=3, max_size=3),
    st.sampled_from(["run_on", "deferred"]),
    st.integers(0, 400),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_who_pays_what_is_asked_keeps_it(delays: list[int], days: str, more: int) -> None:
    p = policy(arrangements=Arrangements(days_past_due=days))  # type: ignore[arg-type]
    events, driver = AccountEvents(), AccountDriver(book_of(p))
    paid = [events.paid(due + min(late, 5), amount + more) for (due, amount), late in zip(TOKENS, delays, strict=True)]
    driver.feed(events.opened(*DUES), events.arrangement(BEGINS, LASTS, *TOKENS), *paid, *events.closes(1, 200))
    assert not driver.standing_of(ev.PlanInstalmentMissed)
    assert not driver.standing_of(ev.PlanBroken)
    assert len(driver.standing_of(ev.PlanEnded)) == 1
    s = driver.states["A1"]
    assert s.paid.total() + s.credit == s.received == 1_500 + 3 * more


@pytest.mark.parametrize(
    "wrong",
    [
        {"ends_on": None},
        {"review_on": None},
        {"ends_on": AccountEvents().day(BEGINS)},
        {"review_on": AccountEvents().day(BEGINS + LASTS + 1)},
        {"arrangement": "payment_holiday"},
        {"arrangement": "repayment"},
    ],
)
def test_an_arrangement_without_its_terms_is_refused(wrong: dict[str, object]) -> None:
    events, driver = AccountEvents(), AccountDriver()
    made = replace(events.arrangement(BEGINS, LASTS, *TOKENS), **wrong)
    driver.feed(events.opened(*DUES), made)
    assert driver.rejection_codes == ["out_of_range"]


# -- the planner


@given(
    principal=st.integers(1, 5_000_000),
    surplus=st.integers(-50_000, 200_000),
    place=st.sampled_from(sorted(CURRENCY)),
    accounts=st.integers(1, 3),
)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_known_means_always_get_something_affordable(principal: int, surplus: int, place: str, accounts: int) -> None:
    teller, currency = BorrowerEvents(), CURRENCY[place]
    debts = [
        teller.request(0, f"A{n}", jurisdiction=place, currency=currency, principal=principal).debt
        for n in range(accounts)
    ]
    limit = max(0, surplus) * 4_000 // 10_000
    rules = BOOK.policy_for(place, "personal_loan", currency)
    found = build_options(debts, RepaymentCapacity(surplus, limit, currency), rules, day_of(31))
    assert found.options or found.kind == "pay_in_full"
    for option in found.options:
        assert all(i.amount <= limit for i in option.instalments)
        assert option.instalment_amount == max((i.amount for i in option.instalments), default=0)
        if option.arrangement != "repayment":
            assert option.review_on is not None
            assert option.ends_on is not None
            assert day_of(31) - option.review_on <= date.resolution
            assert option.review_on < option.ends_on
            assert all(i.due_on <= option.ends_on for i in option.instalments)
            assert all(sum(i.amount for i in s.instalments) <= principal for s in option.shares)


def test_a_holiday_is_offered_accepted_and_reviewed() -> None:
    driver, teller = PlannerDriver(), BorrowerEvents()
    means = {"income": 300_000, "monthly_expenses": 400_000}
    driver.feed(teller.granted(0), teller.report(0, **means), teller.request(0))
    driver.close(0)
    offer = driver.offer()
    assert (offer.kind, [o.arrangement for o in offer.options]) == ("moratorium", ["payment_holiday"])
    (option,) = offer.options
    driver.feed(teller.answer(1, offer.offer_id, "accepted", option_id=option.option_id))
    (plan,) = only(driver.outputs, ev.PlanActivated)
    assert (plan.arrangement, plan.instalments, plan.ends_on) == ("payment_holiday", (), option.ends_on)
    assert "penalties" in plan.clauses["fees_and_interest_going_on"] or "罚息" in str(plan.clauses)
    review = (plan.review_on - day_of(0)).days  # type: ignore[operator]
    assert not only(driver.run(1, review - 1), ev.OfferPublished)
    driver.feed(teller.request(review, trigger_="review_due"))
    again = only(driver.close(review), ev.OfferPublished)
    assert [o.arrangement for o in again[0].options] == ["payment_holiday"]
    # It stands while what comes next is open, and is no broken plan.
    assert driver.state.plans["A1"].runs(day_of(review).toordinal())


def test_a_token_that_is_too_high_is_met_with_a_holiday() -> None:
    driver, teller = PlannerDriver(), BorrowerEvents()
    driver.feed(teller.granted(0), teller.report(0, income=440_000), teller.request(0))
    driver.close(0)
    offer = driver.offer()
    assert (offer.kind, offer.recommended_option_id) == ("token", "token-3m")
    driver.feed(teller.answer(1, offer.offer_id, "declined", "too_high", option_id="token-3m"))
    assert [o.arrangement for o in driver.offer().options] == ["payment_holiday"]


def test_where_no_arrangement_is_permitted_the_reason_is_given() -> None:
    rules = BOOK.policy_for("CN", "personal_loan", "CNY")
    debt = BorrowerEvents().request(0).debt
    none = replace(rules, arrangements=replace(rules.arrangements, offered=()))
    found = build_options([debt], RepaymentCapacity(-1, 0, "CNY"), none, day_of(31))
    assert (found.kind, found.options, found.reasons) == (
        "referral",
        (),
        ("no_surplus", "arrangement_not_permitted"),
    )
    # The nearest permitted one is offered, and the decision says why the other is not.
    near = build_options([debt], RepaymentCapacity(-1, 0, "CNY"), rules, day_of(31))
    assert [(c.option_id, c.verdict) for c in near.candidates] == [
        ("token-3m", "not_affordable"),
        ("payment_holiday-3m", "kept"),
    ]


def test_an_accepted_arrangement_teaches_the_learner_nothing() -> None:
    driver, teller = PlannerDriver(), BorrowerEvents()
    driver.feed(teller.granted(0), teller.report(0, income=100_000), teller.request(0))
    driver.close(0)
    option = driver.offer().options[0]
    driver.feed(teller.answer(1, driver.offer().offer_id, "accepted", option_id=option.option_id))
    driver.run(1, 30)
    assert driver.evidence == []
