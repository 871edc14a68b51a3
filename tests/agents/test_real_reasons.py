"""The reason that is given for an offer is the reason: too little to need a plan, unknown means, what comes first."""

from __future__ import annotations

from datetime import date

import pytest
from msgspec.structs import replace
from test_figures import PLACE, days, means, offers

from agents.learner.estimates import PriorEstimate
from agents.learner.ranking import Ranking, RankingContext
from agents.planner.agent import PlannerAgent
from agents.planner.options import build_options
from schemas import events as ev
from state.affordability import RepaymentCapacity
from state.policy import PolicyBook
from state.policy_packs.loader import default_book
from tests.support.account_events import AccountEvents
from tests.support.agent_driver import PlannerDriver, names, only
from tests.support.borrower_events import BorrowerEvents, closes, day_of

HOUSE = default_book().policy_for("CN", "personal_loan")
LEAST, TOKEN = HOUSE.options.minimum_instalment, HOUSE.options.token_payment


def small(principal: int, limit: int, surplus: int) -> tuple[str, tuple[str, ...]]:
    """Return the kind of the offer, and why it is none with options, of a debt of a size."""
    debt = BorrowerEvents().request(0, principal=principal).debt
    found = build_options([debt], RepaymentCapacity(surplus, limit, "CNY"), HOUSE, day_of(31), PriorEstimate())
    return found.kind, found.reasons


def test_a_small_debt_can_be_paid_at_once() -> None:
    story = AccountEvents(start=date(2025, 12, 10))
    debt = story.opened(31, amount=900, annual_rate_bps=1_200, **PLACE)
    close = days(story, date(2026, 1, 10), date(2026, 2, 9), date(2026, 2, 10))
    (offer,) = offers([debt, *means(date(2025, 12, 11)), *close])
    assert (offer.kind, offer.options) == ("pay_in_full", ())
    assert offer.message.startswith("You owe 9.00\u00a0€. You can afford to pay it at once, so no plan is needed.")
    assert not any("No plan" in text or "no plan that" in text for text in (offer.message, *offer.reasons))


@pytest.mark.parametrize(
    ("principal", "limit", "surplus", "kind", "reasons"),
    [
        # No instalment may be below 100.00. Of less than that there is no plan; it can be paid at once, or it cannot.
        (10_000, 40_000, 100_000, "plan", ()),
        (9_000, 40_000, 100_000, "pay_in_full", ("payable_at_once",)),
        (9_000, 9_000, 100_000, "pay_in_full", ("payable_at_once",)),
        (9_000, 8_999, 22_500, "token", ("below_minimum_instalment",)),
        (1_000_000, 9_999, 25_000, "token", ("nothing_affordable",)),
        # Over five years this takes 210.00 a month at the least: what could be granted is not affordable.
        (1_000_000, 15_000, 40_000, "token", ("nothing_affordable",)),
        (400_000, 9_900, 24_750, "token", ("below_minimum_instalment",)),
        (400_000, 1_000, 4_000, "moratorium", ("nothing_affordable",)),
    ],
)
def test_each_reason_by_its_edges(
    principal: int, limit: int, surplus: int, kind: str, reasons: tuple[str, ...]
) -> None:
    assert (LEAST, TOKEN) == (10_000, 5_000)
    assert small(principal, limit, surplus) == (kind, reasons)


def test_a_growing_debt_payable_at_once_is_offered_a_plan() -> None:
    driver, teller = PlannerDriver(), BorrowerEvents()
    driver.feed(teller.granted(0), teller.report(0), teller.request(0, principal=9_000), *closes([0]))
    assert driver.offer().kind == "pay_in_full"
    driver.feed(teller.request(1, principal=900_000))
    assert names(driver.close(1)) == ["OfferWithdrawn", "OfferPublished", "DecisionLogged"]
    assert driver.offer().options


def test_unknown_means_are_asked_for_and_said_to_be_unknown() -> None:
    place = {"jurisdiction": "JP", "currency": "JPY"}
    for report, codes in (
        ({"income": None, "monthly_expenses": 5}, ("income_unknown",)),
        ({"monthly_expenses": None}, ("expenses_unknown",)),
        ({"monthly_expenses": 0}, ("expenses_unknown",)),
        ({"income": None, "monthly_expenses": None}, ("income_unknown", "expenses_unknown")),
    ):
        driver, teller = PlannerDriver(), BorrowerEvents()
        driver.feed(teller.granted(0), teller.report(0, currency="JPY", **report), teller.request(0, **place))
        driver.close(0)
        assert (driver.offer().kind, only(driver.outputs, ev.DecisionLogged)[-1].reasons) == ("referral", codes)
        assert any("interview" in said for said in driver.offer().support)


def test_a_currency_without_a_floor_is_flagged() -> None:
    driver, teller = PlannerDriver(), BorrowerEvents()
    request = teller.request(0, jurisdiction="JP", currency="JPY")
    driver.feed(teller.granted(0), teller.report(0, currency="JPY"), request, *closes([0]))
    assert driver.offer().kind == "plan"
    assert only(driver.outputs, ev.DecisionLogged)[-1].assumed == ("household_floor", "other_debt_payments")


def test_an_assumed_income_is_never_shown_as_means() -> None:
    rules = replace(HOUSE.affordability, assumed_income_multiple_bps=11_000)
    driver, teller = (
        PlannerDriver(PolicyBook("assuming", lambda *_: replace(HOUSE, affordability=rules))),
        BorrowerEvents(),
    )
    driver.feed(teller.request(0, contract_instalment=137_000), *closes([0]))
    # 150,700 less the floor of 150,000 leaves next to nothing, by an income of which nobody knows.
    assert driver.offer().kind == "referral"
    assert only(driver.outputs, ev.DecisionLogged)[-1].reasons == ("income_unknown",)


class _Last:
    """A ranker that leads with what no reason speaks of."""

    def rank(self, context: RankingContext) -> Ranking:
        order = tuple(sorted((o.option_id for o in context.options), reverse=True))
        return Ranking(order, order[0] if order else None, 1.0, "last-1", context.seed)


@pytest.mark.parametrize("reasons", [("rate",), ("too_high",), ("too_high", "rate"), ("too_long", "rate")])
def test_what_is_said_of_the_first_option_is_true_whoever_ranks(reasons: tuple[ev.AnswerReason, ...]) -> None:
    for ranker in (None, _Last()):
        driver, teller = PlannerDriver(), BorrowerEvents()
        driver.agent = PlannerAgent(ranker)
        driver.feed(teller.granted(0), teller.report(0), teller.request(0), *closes([0]))
        offer = driver.offer()
        driver.feed(teller.answer(1, offer.offer_id, "declined", *reasons), *closes(range(1, 12)))
        codes = only(driver.outputs, ev.DecisionLogged)[-1].reasons
        after = driver.offer()
        assert after.offer_id != offer.offer_id
        if "rate" in codes:
            assert after.options[0].total_cost == min(o.total_cost for o in after.options)
        if "lowest_possible" in codes and after.options:
            assert after.options[0].instalment_amount == min(o.instalment_amount for o in after.options)
        assert after.options == () or after.options[0].option_id == after.recommended_option_id


def test_a_counter_offer_is_refused_for_its_real_reason() -> None:
    driver, teller = PlannerDriver(), BorrowerEvents()
    driver.feed(teller.granted(0), teller.report(0), teller.request(0), *closes([0]))
    # Without the consent the income is not known any more.
    driver.feed(teller.withdrawn(1), teller.answer(1, driver.offer().offer_id, "countered", counter_amount=100))
    assert (driver.offer().kind, only(driver.outputs, ev.DecisionLogged)[-1].reasons) == (
        "referral",
        ("income_unknown",),
    )
