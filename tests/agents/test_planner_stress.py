"""A planner under stress: many accounts, many answers, answers that contradict each other, figures that are absurd."""

from __future__ import annotations

import pytest

from agents.input_limits import MAX_AMOUNT
from schemas import events as ev
from schemas.codec import Codec
from tests.support.agent_driver import PlannerDriver, only
from tests.support.borrower_events import CONSENT, BorrowerEvents


def troubled(accounts: int = 1, income: int | None = 900_000, **more: object) -> tuple[PlannerDriver, BorrowerEvents]:
    """Return the driver and the teller of a borrower for whom an offer was decided."""
    driver, teller = PlannerDriver(), BorrowerEvents()
    driver.feed(teller.granted(0), teller.report(0, income=income, **more))
    driver.feed(*[teller.request(0, f"A{n:03d}", principal=1_000_000 // accounts) for n in range(accounts)])
    driver.close(0)
    return driver, teller


def test_two_hundred_accounts_get_one_offer_whose_shares_add_up() -> None:
    driver, teller = troubled(200, income=10_000_000)
    offer = driver.offer()
    assert len(offer.account_ids) == 200
    for option in offer.options:
        assert len(option.shares) == 200
        assert sum(share.financed for share in option.shares) == sum(i.principal for i in option.instalments)
        assert option.instalment_amount == max(i.amount for i in option.instalments)
    assert Codec().decode(Codec().encode(offer)) == offer
    said = driver.feed(teller.answer(1, offer.offer_id, "accepted", option_id=offer.recommended_option_id))
    assert len(only(said, ev.PlanActivated)) == 200


def test_ten_thousand_answers_to_one_offer_are_one_refusal() -> None:
    driver, teller = troubled()
    first = driver.offer()
    declined = teller.answer(1, first.offer_id, "declined", "too_high")
    driver.feed(declined, *[declined] * 5_000)
    assert driver.rejection_codes == []
    once = driver.state
    driver.feed(*[teller.answer(1, first.offer_id, "declined", "too_high") for _ in range(5_000)])
    offers = only(driver.outputs, ev.OfferPublished)
    assert len(offers) == 2
    assert once is not None
    assert driver.state is not None
    # What is said of an offer that is no longer the last tightens nothing twice.
    assert driver.state.ceiling == once.ceiling


def test_the_first_of_contradictory_answers_stands() -> None:
    driver, teller = troubled()
    offer = driver.offer()
    driver.feed(
        teller.answer(1, offer.offer_id, "accepted", option_id=offer.recommended_option_id, feedback_id="f-1"),
        teller.answer(1, offer.offer_id, "declined", "too_high", feedback_id="f-1"),
        teller.answer(1, offer.offer_id, "declined", "too_high", feedback_id="f-2"),
        teller.answer(1, offer.offer_id, "accepted", option_id=offer.options[-1].option_id, feedback_id="f-3"),
    )
    assert driver.rejection_codes == ["conflicting_duplicate"]
    assert [plan.option_id for plan in only(driver.outputs, ev.PlanActivated)] == [offer.recommended_option_id]


def test_every_reason_at_once_leads_to_a_person_and_no_plan() -> None:
    driver, teller = troubled()
    offer = driver.offer()
    reasons: tuple[ev.AnswerReason, ...] = (
        "too_high", "too_long", "rate", "income_change", "dispute", "distress", "distrust", "other",
    )  # fmt: skip
    driver.feed(teller.answer(1, offer.offer_id, "countered", *reasons * 30, counter_amount=1))
    driver.run(1, 20)
    after = [o for o in only(driver.outputs, ev.OfferPublished) if o.offer_id != offer.offer_id]
    assert after
    assert all(not o.options for o in after)


@pytest.mark.parametrize("counter", [1, MAX_AMOUNT])
def test_a_counter_offer_of_any_size_is_met_within_limits(counter: int) -> None:
    driver, teller = troubled()
    offer = driver.offer()
    driver.feed(teller.answer(1, offer.offer_id, "countered", counter_amount=counter))
    driver.run(1, 10)
    assert driver.rejection_codes == []
    most = max(o.instalment_amount for o in offer.options)
    for made in only(driver.outputs, ev.OfferPublished):
        assert all(o.instalment_amount <= max(most, 1_000_000) for o in made.options)


ABSURD: dict[str, tuple[int | None, dict[str, object]]] = {
    "all the money there may be": (MAX_AMOUNT, {"monthly_expenses": 0, "household_size": 1}),
    "all expenses": (1, {"monthly_expenses": MAX_AMOUNT, "other_debt_payments": MAX_AMOUNT}),
    "nothing at all": (0, {"monthly_expenses": 0, "household_size": None}),
    "fifty mouths": (900_000, {"household_size": 50}),
    "spending beyond income": (
        900_000,
        {"monthly_expenses": None, "spending": {f"c{n}": MAX_AMOUNT for n in range(30)}},
    ),
    "a place that is none": (900_000, {"region": "\u202eMars", "time_zone": "Mars/Phobos", "locale": "tlh"}),
    "a score of nothing real": (900_000, {"credit_score": 2**31 - 1}),
}


@pytest.mark.parametrize(("income", "more"), ABSURD.values(), ids=ABSURD.keys())
def test_absurd_means_lead_to_fitting_options_or_a_person(income: int, more: dict[str, object]) -> None:
    driver, _ = troubled(1, income, **more)
    offer = driver.offer()
    expenses = int(str(more.get("monthly_expenses") or 0)) + int(str(more.get("other_debt_payments") or 0))
    surplus = max(0, (income or 0) - expenses)
    assert all(option.instalment_amount <= surplus * 4 // 10 for option in offer.options)
    assert Codec().decode(Codec().encode(offer)) == offer


def test_means_beyond_any_are_refused() -> None:
    driver, teller = PlannerDriver(), BorrowerEvents()
    driver.feed(
        teller.granted(0), teller.report(0, income=MAX_AMOUNT + 1), teller.report(0, spending={"rent": 2**63 - 1})
    )
    assert driver.rejection_codes == ["out_of_range", "out_of_range"]


def test_consent_that_goes_to_and_fro_ends_as_it_was_said_last() -> None:
    driver, teller = troubled()
    assert driver.offer().options
    for hour in range(0, 22, 2):
        driver.feed(*[teller.granted(1, hour=hour), teller.withdrawn(1, hour=hour + 1)] * 100)
    driver.close(1)
    assert not driver.offer().options
    driver.feed(*[teller.withdrawn(2, hour=8), teller.granted(2, hour=9)] * 100, teller.withdrawn(2, hour=7))
    # What was reported before is deleted, so it is to be reported anew.
    driver.feed(teller.report(2))
    driver.run(2, 12)
    assert driver.offer().options
    assert driver.state is not None
    assert [c.consent_id for c in driver.state.consents] == [CONSENT]
