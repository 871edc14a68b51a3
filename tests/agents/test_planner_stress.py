"""A planner under stress: many accounts, many answers, answers that contradict each other, figures that are absurd."""

from __future__ import annotations

import pytest
from planner_desk import CONSENT, PlannerDesk, Teller, only

from agents.plausible import MOST
from schemas import events as ev
from schemas.codec import Codec


def troubled(accounts: int = 1, income: int | None = 900_000, **more: object) -> tuple[PlannerDesk, Teller]:
    """Return the desk and the teller of a borrower for whom an offer was decided."""
    desk, teller = PlannerDesk(), Teller()
    desk.feed(teller.granted(0), teller.report(0, income=income, **more))
    desk.feed(*[teller.request(0, f"A{n:03d}", principal=1_000_000 // accounts) for n in range(accounts)])
    desk.close(0)
    return desk, teller


def test_two_hundred_accounts_get_one_offer_whose_shares_add_up() -> None:
    desk, teller = troubled(200, income=10_000_000)
    offer = desk.offer()
    assert len(offer.account_ids) == 200
    for option in offer.options:
        assert len(option.shares) == 200
        assert sum(share.financed for share in option.shares) == sum(i.principal for i in option.instalments)
        assert option.instalment_amount == max(i.amount for i in option.instalments)
    assert Codec().decode(Codec().encode(offer)) == offer
    said = desk.feed(teller.answer(1, offer.offer_id, "accepted", option_id=offer.lead_option_id))
    assert len(only(said, ev.PlanActivated)) == 200


def test_ten_thousand_answers_to_one_offer_are_one_refusal_and_nothing_more() -> None:
    desk, teller = troubled()
    first = desk.offer()
    declined = teller.answer(1, first.offer_id, "declined", "too_high")
    desk.feed(declined, *[declined] * 5_000)
    assert desk.refused == []
    once = desk.state
    desk.feed(*[teller.answer(1, first.offer_id, "declined", "too_high") for _ in range(5_000)])
    offers = only(desk.outputs, ev.OfferPublished)
    assert len(offers) == 2
    assert once is not None
    assert desk.state is not None
    # What is said of an offer that is no longer the last tightens nothing twice.
    assert desk.state.ceiling == once.ceiling


def test_the_first_of_contradictory_answers_stands() -> None:
    desk, teller = troubled()
    offer = desk.offer()
    desk.feed(
        teller.answer(1, offer.offer_id, "accepted", option_id=offer.lead_option_id, feedback_id="f-1"),
        teller.answer(1, offer.offer_id, "declined", "too_high", feedback_id="f-1"),
        teller.answer(1, offer.offer_id, "declined", "too_high", feedback_id="f-2"),
        teller.answer(1, offer.offer_id, "accepted", option_id=offer.options[-1].option_id, feedback_id="f-3"),
    )
    assert desk.refused == ["conflicting_duplicate"]
    assert [plan.option_id for plan in only(desk.outputs, ev.PlanActivated)] == [offer.lead_option_id]


def test_every_reason_at_once_leads_to_a_person_and_no_plan() -> None:
    desk, teller = troubled()
    offer = desk.offer()
    reasons: tuple[ev.AnswerReason, ...] = (
        "too_high", "too_long", "rate", "income_change", "dispute", "distress", "distrust", "other",
    )  # fmt: skip
    desk.feed(teller.answer(1, offer.offer_id, "countered", *reasons * 30, counter_amount=1))
    desk.run(1, 20)
    after = [o for o in only(desk.outputs, ev.OfferPublished) if o.offer_id != offer.offer_id]
    assert after
    assert all(not o.options for o in after)


@pytest.mark.parametrize("counter", [1, MOST])
def test_a_counter_offer_of_any_size_is_met_within_what_may_be_granted(counter: int) -> None:
    desk, teller = troubled()
    offer = desk.offer()
    desk.feed(teller.answer(1, offer.offer_id, "countered", counter_amount=counter))
    desk.run(1, 10)
    assert desk.refused == []
    most = max(o.instalment_amount for o in offer.options)
    for made in only(desk.outputs, ev.OfferPublished):
        assert all(o.instalment_amount <= max(most, 1_000_000) for o in made.options)


ABSURD: dict[str, tuple[int | None, dict[str, object]]] = {
    "all the money there may be": (MOST, {"monthly_expenses": 0, "household_size": 1}),
    "all expenses": (1, {"monthly_expenses": MOST, "other_debt_payments": MOST}),
    "nothing at all": (0, {"monthly_expenses": 0, "household_size": None}),
    "fifty mouths": (900_000, {"household_size": 50}),
    "spending beyond income": (900_000, {"monthly_expenses": None, "spending": {f"c{n}": MOST for n in range(30)}}),
    "a place that is none": (900_000, {"region": "\u202eMars", "time_zone": "Mars/Phobos", "locale": "tlh"}),
    "a score of nothing real": (900_000, {"credit_score": 2**31 - 1}),
}


@pytest.mark.parametrize(("income", "more"), ABSURD.values(), ids=ABSURD.keys())
def test_absurd_means_lead_to_options_that_fit_them_or_to_a_person(income: int, more: dict[str, object]) -> None:
    desk, _ = troubled(1, income, **more)
    offer = desk.offer()
    expenses = int(str(more.get("monthly_expenses") or 0)) + int(str(more.get("other_debt_payments") or 0))
    surplus = max(0, (income or 0) - expenses)
    assert all(option.instalment_amount <= surplus * 4 // 10 for option in offer.options)
    assert Codec().decode(Codec().encode(offer)) == offer


def test_means_beyond_any_are_refused() -> None:
    desk, teller = PlannerDesk(), Teller()
    desk.feed(teller.granted(0), teller.report(0, income=MOST + 1), teller.report(0, spending={"rent": 2**63 - 1}))
    assert desk.refused == ["out_of_range", "out_of_range"]


def test_consent_that_goes_to_and_fro_ends_as_it_was_said_last() -> None:
    desk, teller = troubled()
    assert desk.offer().options
    for hour in range(0, 22, 2):
        desk.feed(*[teller.granted(1, hour=hour), teller.withdrawn(1, hour=hour + 1)] * 100)
    desk.close(1)
    assert not desk.offer().options
    desk.feed(*[teller.withdrawn(2, hour=8), teller.granted(2, hour=9)] * 100, teller.withdrawn(2, hour=7))
    desk.run(2, 12)
    assert desk.offer().options
    assert desk.state is not None
    assert [c.consent_id for c in desk.state.consents] == [CONSENT]
