"""When an offer is made, withdrawn, replaced, held back or run out, and what it says."""

from __future__ import annotations

from itertools import pairwise

import pytest
from msgspec.structs import replace

from agents.base import derived_id
from agents.learner.ranking import Ranking, RankingContext
from agents.planner.agent import PlannerAgent
from agents.planner.assessment import joint_policy
from schemas import events as ev
from state.policy import PolicyBook
from state.policy_packs.loader import default_book
from tests.support.agent_driver import PlannerDriver, names, only
from tests.support.borrower_events import BorrowerEvents, closes, day_of, instant_of

BOOK = default_book()
HOUSE = BOOK.policy_for("CN", "personal_loan")


def desk_with_offer(**debt: object) -> tuple[PlannerDriver, BorrowerEvents]:
    driver, teller = PlannerDriver(BOOK), BorrowerEvents()
    driver.feed(teller.granted(0), teller.report(0), teller.request(0, **debt), *closes([0]))
    return driver, teller


def test_an_offer_comes_at_the_close_with_its_decision() -> None:
    driver, teller = PlannerDriver(BOOK), BorrowerEvents()
    assert driver.feed(teller.granted(0), teller.report(0), teller.request(0)) == []
    offer, decision = driver.close(0)
    assert isinstance(offer, ev.OfferPublished)
    assert isinstance(decision, ev.DecisionLogged)
    assert (offer.kind, offer.sequence, offer.tone, offer.currency) == ("plan", 1, "neutral", "CNY")
    assert (offer.business_date, offer.expires_on) == (day_of(0), day_of(14))
    assert offer.offer_id == derived_id(f"day-{day_of(0)}", "offer", "B1") == decision.offer_id
    assert decision.chosen == offer.recommended_option_id == offer.options[0].option_id
    assert set(decision.feasible) == {o.option_id for o in offer.options}
    assert decision.propensity == 1.0
    assert {c.verdict for c in decision.candidates} > {"kept"}
    assert len(decision.features_hash) == 64


def test_all_troubled_accounts_of_one_day_get_one_joint_offer() -> None:
    driver, teller = PlannerDriver(BOOK), BorrowerEvents()
    driver.feed(
        teller.granted(0), teller.report(0), teller.request(0, "A2"), teller.request(0, "A1", principal=300_000)
    )
    (offer,) = only(driver.close(0), ev.OfferPublished)
    assert offer.account_ids == ("A1", "A2")
    for option in offer.options:
        assert [s.account_id for s in option.shares] == ["A1", "A2"]


def test_the_lowest_instalment_leads() -> None:
    driver, _ = desk_with_offer()
    offer = driver.offer()
    assert offer.options[0].instalment_amount == min(o.instalment_amount for o in offer.options)


def test_a_ranker_decides_on_the_order_and_is_logged() -> None:
    class Backwards:
        def rank(self, context: RankingContext) -> Ranking:
            order = tuple(reversed([o.option_id for o in context.options]))
            return Ranking(order, order[0], 0.25, "backwards-7", context.seed)

    driver, teller = PlannerDriver(BOOK), BorrowerEvents()
    driver.agent = PlannerAgent(Backwards())
    driver.feed(teller.granted(0), teller.report(0), teller.request(0))
    offer, decision = driver.close(0)
    assert isinstance(offer, ev.OfferPublished)
    assert isinstance(decision, ev.DecisionLogged)
    assert offer.options[0].instalment_amount == max(o.instalment_amount for o in offer.options)
    assert (decision.model_version, decision.propensity) == ("backwards-7", 0.25)
    assert 0 <= decision.seed < 2**63


def test_without_income_a_person_and_income_are_asked_for() -> None:
    driver, teller = PlannerDriver(BOOK), BorrowerEvents()
    driver.feed(teller.request(0))
    offer, decision = driver.close(0)
    assert isinstance(offer, ev.OfferPublished)
    assert isinstance(decision, ev.DecisionLogged)
    assert (offer.kind, offer.options, offer.recommended_option_id, decision.chosen) == ("referral", (), None, None)
    assert decision.reasons == ("income_unknown",)
    assert "budget_basics" in offer.education


def test_a_known_income_turns_a_referral_into_a_plan() -> None:
    driver, teller = PlannerDriver(BOOK), BorrowerEvents()
    driver.feed(teller.request(0), *closes([0, 1, 2]))
    assert driver.feed(teller.granted(3), teller.report(3)) == []
    withdrawn, offer, _ = driver.close(3)
    assert isinstance(withdrawn, ev.OfferWithdrawn)
    assert withdrawn.reason == "affordability_changed"
    assert isinstance(offer, ev.OfferPublished)
    assert (offer.kind, offer.sequence) == ("plan", 2)


def test_a_withdrawn_consent_withdraws_its_offer() -> None:
    driver, teller = desk_with_offer()
    driver.feed(teller.withdrawn(1))
    withdrawn, offer, _ = driver.close(1)
    assert isinstance(withdrawn, ev.OfferWithdrawn)
    assert isinstance(offer, ev.OfferPublished)
    assert (withdrawn.reason, offer.kind) == ("affordability_changed", "referral")


def test_a_debt_that_only_aged_leaves_the_offer_standing() -> None:
    driver, teller = desk_with_offer()
    driver.feed(teller.request(2, days_past_due=65, missed=3, interest=40_000, penalty=9_000, overdue_amount=190_000))
    assert driver.run(1, 13) == []


@pytest.mark.parametrize("principal", [880_000, 1_120_000])
def test_a_principal_moved_by_a_tenth_gets_a_new_offer(principal: int) -> None:
    driver, teller = desk_with_offer()
    driver.feed(teller.request(2, principal=principal))
    withdrawn, offer, _ = driver.run(1, 2)
    assert isinstance(withdrawn, ev.OfferWithdrawn)
    assert isinstance(offer, ev.OfferPublished)
    assert withdrawn.reason == "debts_changed"


def test_another_account_behind_joins_a_new_offer_at_the_close() -> None:
    driver, teller = desk_with_offer()
    driver.feed(teller.request(2, "A2"))
    withdrawn, offer, _ = driver.run(1, 2)
    assert isinstance(withdrawn, ev.OfferWithdrawn)
    assert isinstance(offer, ev.OfferPublished)
    assert (withdrawn.reason, offer.account_ids) == ("debts_changed", ("A1", "A2"))


def test_an_account_that_needs_no_plan_withdraws_its_offer() -> None:
    driver, teller = PlannerDriver(BOOK), BorrowerEvents()
    driver.feed(teller.granted(0), teller.report(0), teller.request(0), teller.request(0, "A2"), *closes([0]))
    (withdrawn,) = driver.feed(teller.ended(1, "A2"))
    assert isinstance(withdrawn, ev.OfferWithdrawn)
    assert (withdrawn.reason, withdrawn.business_date) == ("debts_changed", day_of(1))
    (offer, _) = driver.close(1)
    assert isinstance(offer, ev.OfferPublished)
    assert offer.account_ids == ("A1",)


def test_two_ends_at_one_close_withdraw_alike_in_any_order() -> None:
    found = []
    for order in ((0, 1), (1, 0)):
        driver, teller = PlannerDriver(BOOK), BorrowerEvents()
        driver.feed(teller.granted(0), teller.report(0), teller.request(0), teller.request(0, "A2"), *closes([0]))
        ends = (teller.ended(1, "A1", "plans_used_up"), teller.ended(1, "A2", "closed"))
        found.append(driver.feed(*(ends[n] for n in order)) + driver.run(1, 3))
    assert names(found[0]) == ["OfferWithdrawn"]
    assert found[0] == found[1]


def test_two_paid_accounts_withdraw_their_offer_once() -> None:
    found = []
    for order in ((0, 1), (1, 0)):
        driver, teller = PlannerDriver(BOOK), BorrowerEvents()
        driver.feed(teller.granted(0), teller.report(0), teller.request(0), teller.request(0, "A2"), *closes([0]))
        ends = [replace(teller.ended(1, name), caused_by=f"pay-{name}") for name in ("A1", "A2")]
        found += driver.feed(*(ends[n] for n in order))
    first, second = found
    assert first.event_id == second.event_id
    assert replace(first, caused_by="") == replace(second, caused_by="")


def test_the_only_account_of_an_offer_says_why_it_is_withdrawn() -> None:
    driver, teller = desk_with_offer()
    (withdrawn,) = driver.feed(teller.ended(1, reason="less_behind"))
    assert isinstance(withdrawn, ev.OfferWithdrawn)
    assert withdrawn.reason == "less_behind"


def test_a_borrower_without_troubled_accounts_gets_nothing() -> None:
    driver, teller = desk_with_offer()
    assert names(driver.feed(teller.ended(1))) == ["OfferWithdrawn"]
    driver.feed(teller.report(2, 2_000_000))
    assert driver.run(1, 40) == []
    assert driver.agent.due(driver.state) is None


def test_a_lower_income_withdraws_an_offer_that_it_cannot_carry() -> None:
    driver, teller = desk_with_offer()
    driver.feed(teller.report(1, 520_000))
    withdrawn, offer, _ = driver.close(1)
    assert isinstance(withdrawn, ev.OfferWithdrawn)
    assert isinstance(offer, ev.OfferPublished)
    assert withdrawn.reason == "affordability_changed"
    assert all(o.instalment_amount <= 40_000 for o in offer.options)


def test_only_a_much_higher_income_replaces_after_the_pause() -> None:
    driver, teller = desk_with_offer()
    driver.feed(teller.report(1, 930_000))
    assert driver.run(1, 8) == []
    driver, teller = desk_with_offer()
    driver.feed(teller.report(1, 1_500_000))
    assert driver.run(1, 6) == []
    assert names(driver.close(7)) == ["OfferWithdrawn", "OfferPublished", "DecisionLogged"]


def test_unanswered_offers_follow_after_doubling_pauses() -> None:
    driver, _ = desk_with_offer()
    driver.run(1, 400)
    made = [(e.business_date - day_of(0)).days for e in only(driver.outputs, ev.OfferPublished)]
    expired = [(e.business_date - day_of(0)).days for e in only(driver.outputs, ev.OfferExpired)]
    assert len(made) == HOUSE.offers.max_in_episode == len(expired)
    assert [e - m for m, e in zip(made, expired, strict=True)] == [HOUSE.offers.open_days] * 6
    assert [m - e for m, e in zip(made[1:], expired, strict=False)] == [7, 7 * 2, 7 * 4, 7 * 8, 7 * 16]


def test_a_new_episode_counts_anew_but_a_broken_plan_does_not() -> None:
    driver, teller = desk_with_offer()
    driver.feed(teller.ended(1), *closes([1]), teller.request(50), *closes([50]))
    assert driver.offer().sequence == 1
    offer = driver.offer()
    driver.feed(teller.answer(51, offer.offer_id, "accepted", option_id=offer.recommended_option_id))
    driver.feed(teller.ended(51, reason="plan_active"), *closes([51]))
    driver.feed(teller.request(120, plans_broken=1), *closes([120]))
    assert driver.offer().sequence == 2
    assert [plan.ended for plan in driver.state.plans.values()] == [True]


@pytest.mark.parametrize("kind", ["bankruptcy", "deceased", "breathing_space"])
def test_a_hold_on_the_person_forbids_an_offer_for_any_account(kind: ev.HoldKind) -> None:
    driver, teller = desk_with_offer()
    driver.feed(teller.request(1, "A2", holds=(kind,)))
    (withdrawn,) = driver.close(1)
    assert isinstance(withdrawn, ev.OfferWithdrawn)
    assert driver.run(2, 60) == []


@pytest.mark.parametrize("kind", ["dispute", "fraud"])
def test_a_hold_on_an_account_leaves_it_out_of_the_offer(kind: ev.HoldKind) -> None:
    driver, teller = PlannerDriver(BOOK), BorrowerEvents()
    driver.feed(teller.granted(0), teller.report(0), teller.request(0), teller.request(0, "A2"), *closes([0]))
    driver.feed(teller.request(1, "A2", holds=(kind,)))
    withdrawn, offer, _ = driver.close(1)
    assert isinstance(withdrawn, ev.OfferWithdrawn)
    assert isinstance(offer, ev.OfferPublished)
    assert (withdrawn.reason, offer.account_ids) == ("hold", ("A1",))


def test_a_vulnerable_borrower_is_referred_once() -> None:
    driver, teller = desk_with_offer()
    driver.feed(teller.request(1, holds=("vulnerability",)))
    withdrawn, offer, _ = driver.close(1)
    assert isinstance(withdrawn, ev.OfferWithdrawn)
    assert isinstance(offer, ev.OfferPublished)
    assert (withdrawn.reason, offer.kind, offer.tone, offer.options) == ("vulnerability", "referral", "supportive", ())
    assert "call" not in offer.contact.channels
    assert offer.contact.channels
    assert driver.run(2, 29) == []


def test_after_vulnerability_plans_come_softly_or_not_at_all() -> None:
    driver, teller = desk_with_offer()
    driver.feed(teller.request(1, holds=("vulnerability",)), *closes([1]))
    driver.feed(teller.request(5))
    assert driver.run(2, 29) == []
    assert only(driver.run(30, 45), ev.OfferPublished)[0].kind == "plan"


def test_one_currency_is_settled_after_the_other() -> None:
    driver, teller = PlannerDriver(BOOK), BorrowerEvents()
    driver.feed(teller.granted(0), teller.report(0), teller.report(0, kind="bureau", currency="USD"))
    driver.feed(teller.request(0, "A1", days_past_due=40))
    driver.feed(teller.request(0, "A2", days_past_due=90, currency="USD", jurisdiction="US"), *closes([0]))
    first = driver.offer()
    assert (first.currency, first.account_ids) == ("USD", ("A2",))
    driver.feed(teller.request(1, "A1", days_past_due=120))
    assert driver.close(1) == []
    driver.feed(teller.answer(2, first.offer_id, "accepted", option_id=first.recommended_option_id), *closes([2]))
    assert (driver.offer().currency, driver.offer().account_ids) == ("CNY", ("A1",))


def test_debts_in_a_currency_without_a_known_income_come_last() -> None:
    driver, teller = PlannerDriver(BOOK), BorrowerEvents()
    driver.feed(teller.granted(0), teller.report(0, currency="CNY"))
    driver.feed(teller.request(0, "A2", days_past_due=90, currency="USD", jurisdiction="US"), *closes([0]))
    assert (driver.offer().kind, driver.offer().currency) == ("referral", "USD")
    driver.feed(teller.request(1, "A1", days_past_due=40), *closes([1]))
    assert (driver.offer().kind, driver.offer().currency) == ("plan", "CNY")


def test_what_an_active_plan_asks_for_is_not_offered_twice() -> None:
    driver, teller = desk_with_offer()
    offer = driver.offer()
    dearest = max(offer.options, key=lambda o: o.instalment_amount)
    driver.feed(teller.answer(1, offer.offer_id, "accepted", option_id=dearest.option_id))
    driver.feed(teller.request(2, "A2"), *closes([1, 2]))
    surplus = 900_000 - 420_000 - dearest.instalment_amount
    limit = surplus * HOUSE.affordability.alpha_bps // 10_000
    assert driver.offer().account_ids == ("A2",)
    assert all(o.instalment_amount <= limit for o in driver.offer().options)


def test_a_request_from_before_a_plan_is_no_new_request() -> None:
    driver, teller = desk_with_offer()
    offer = driver.offer()
    driver.feed(teller.answer(3, offer.offer_id, "accepted", option_id=offer.recommended_option_id))
    assert driver.feed(teller.request(3), *closes([3, 4, 20])) == []


def test_policy_says_what_is_disclosed_in_which_language() -> None:
    driver, _ = desk_with_offer(product="credit_card", penalty=12_345)
    offer = driver.offer()
    assert tuple(offer.disclosures) == BOOK.policy_for("CN", "credit_card").offers.stated
    assert offer.locale == "zh"
    assert "违约金123.45" in offer.disclosures["balance_structure_currency"]
    last = offer.options[0].instalments[-1].due_on
    assert f"{last.year}年{last.month}月{last.day}日" in offer.disclosures["method_currency_dates_amounts"]


def test_the_borrowers_own_language_and_time_zone_count() -> None:
    driver, teller = PlannerDriver(BOOK), BorrowerEvents()
    report = teller.report(0, locale="en-GB", time_zone="America/New_York")
    driver.feed(teller.granted(0), report, teller.request(0, product="credit_card"), *closes([0]))
    offer = driver.offer()
    assert offer.locale == "en"
    assert "penalties" in offer.disclosures["balance_structure_currency"]
    assert offer.contact.time_zone == "America/New_York"
    # The close is at 18:00 in New York, so the borrower may be reached at once, until 22:00.
    assert (offer.contact.not_before, offer.contact.not_after) == (instant_of(0, 23), instant_of(1, 3))


def test_a_completed_education_item_is_not_sent_again() -> None:
    driver, teller = PlannerDriver(BOOK), BorrowerEvents()
    driver.feed(
        teller.granted(0), teller.report(0), teller.learned(0, "how_plans_work"), teller.request(0), *closes([0])
    )
    assert driver.offer().education == ("credit_record",)


def test_an_erasure_drops_personal_data_and_the_offer_at_once() -> None:
    driver, teller = desk_with_offer()
    withdrawn, erased = driver.feed(teller.erasure(1))
    assert isinstance(withdrawn, ev.OfferWithdrawn)
    assert isinstance(erased, ev.PersonalDataErased)
    assert withdrawn.reason == "erasure"
    assert driver.state.readings == ()
    for fact in driver.facts.values():
        if isinstance(fact, ev.ProfileReported):
            assert (fact.monthly_income, fact.monthly_expenses, fact.household_size) == (None, None, None)
    assert only(driver.close(1), ev.OfferPublished)[0].kind == "referral"
    assert driver.state.cases.keys() == {"A1"}


def test_after_an_erasure_only_new_grants_count() -> None:
    driver, teller = desk_with_offer()
    before = [teller.granted(1), teller.report(1)]
    driver.feed(teller.erasure(1), *closes([1]))
    driver.feed(*before, teller.report(2), *closes([2]))
    assert driver.offer().kind == "referral"
    driver.feed(teller.granted(3), teller.report(3), *closes([3]))
    assert driver.offer().kind == "plan"


def test_the_same_id_with_other_content_is_refused() -> None:
    driver, teller = desk_with_offer()
    report = teller.report(1)
    driver.feed(report)
    before = driver.state
    driver.feed(replace(report, monthly_income=1, occurred_at=instant_of(1, 12)))
    assert driver.rejection_codes == ["conflicting_duplicate"]
    assert driver.state == before


def test_a_report_of_the_future_is_refused() -> None:
    driver, teller = desk_with_offer()
    driver.feed(teller.report(1, as_of=day_of(3)))
    assert driver.rejection_codes == ["out_of_range"]
    assert driver.close(1) == []


def test_several_policies_are_met_by_the_strictest_of_each() -> None:
    card, loan, euro = (BOOK.policy_for(*k) for k in (("CN", "credit_card"), ("CN", "personal_loan"), ("DE", "loan")))
    short = replace(euro, plans=replace(euro.plans, max_term_months=24))
    joint = joint_policy([loan, card, short])
    assert joint.plans.max_term_months == 24
    assert joint.offers.oral_needs_recording
    assert set(joint.offers.disclosures) == {*card.offers.disclosures, *loan.offers.disclosures}
    assert joint.contacts.from_hour == max(p.contacts.from_hour for p in (loan, card, short))
    assert joint_policy([loan, loan]) is loan


def test_referrals_use_up_no_plans_of_an_episode() -> None:
    driver, teller = PlannerDriver(BOOK), BorrowerEvents()
    driver.feed(teller.request(0))
    driver.run(0, 300)
    made = only(driver.outputs, ev.OfferPublished)
    assert [o.kind for o in made] == ["referral"] * HOUSE.offers.max_in_episode
    assert {(b.business_date - a.business_date).days for a, b in pairwise(made)} == {14 + 7}
    driver.feed(teller.granted(301), teller.report(301), *closes([301]))
    assert (driver.offer().kind, driver.offer().sequence) == ("plan", 7)


def test_no_instalment_is_due_while_a_long_offer_is_still_open() -> None:
    policy = replace(HOUSE, offers=replace(HOUSE.offers, open_days=40))
    driver, teller = PlannerDriver(PolicyBook("long", lambda *_: policy)), BorrowerEvents()
    driver.feed(teller.granted(0), teller.report(0), teller.request(0), *closes([0]))
    assert driver.offer().expires_on == day_of(40)
    assert {o.instalments[0].due_on for o in driver.offer().options} == {day_of(41)}


def test_a_debt_that_is_written_off_for_good_is_not_negotiated() -> None:
    driver, teller = PlannerDriver(BOOK), BorrowerEvents()
    driver.feed(teller.granted(0), teller.report(0), teller.request(0, bad_debt="terminated"))
    assert driver.run(0, 30) == []


def test_the_later_of_two_requests_of_a_day_counts() -> None:
    driver, teller = PlannerDriver(BOOK), BorrowerEvents()
    driver.feed(teller.granted(0), teller.report(0), teller.request(3), teller.request(3, holds=("dispute",)))
    driver.feed(teller.request(2), teller.ended(2))
    assert driver.run(3, 30) == []
    assert driver.state.cases.keys() == {"A1"}


def test_words_at_the_instant_of_an_erasure_are_dropped() -> None:
    driver, teller = desk_with_offer()
    driver.feed(teller.answer(0, driver.offer().offer_id, "declined", "distress"))
    driver.feed(teller.erasure(1), teller.granted(1), teller.report(1))
    assert (driver.state.readings, driver.state.consents) == ((), ())
    later = only(driver.run(1, 60), ev.OfferPublished)
    assert [(o.kind, o.tone) for o in later[:1]] == [("referral", "neutral")]
    assert (later[0].business_date - day_of(0)).days >= HOUSE.offers.distress_pause_days


def test_policies_without_a_common_hour_use_the_first() -> None:
    early = replace(HOUSE, contacts=replace(HOUSE.contacts, from_hour=6, to_hour=9))
    late = replace(HOUSE, contacts=replace(HOUSE.contacts, from_hour=18, to_hour=21))
    assert joint_policy([early, late]).contacts == early.contacts


def test_a_referral_turns_supportive_and_is_not_repeated() -> None:
    driver, teller = PlannerDriver(BOOK), BorrowerEvents()
    driver.feed(teller.request(0), *closes([0]))
    driver.feed(teller.request(1, holds=("vulnerability",)))
    withdrawn, offer, _ = driver.close(1)
    assert isinstance(withdrawn, ev.OfferWithdrawn)
    assert isinstance(offer, ev.OfferPublished)
    assert (withdrawn.reason, offer.tone) == ("vulnerability", "supportive")
    driver.feed(teller.request(2, "A2", principal=300_000))
    assert driver.run(2, 29) == []


def test_a_referral_is_not_sent_again_because_the_debt_moved() -> None:
    driver, teller = PlannerDriver(BOOK), BorrowerEvents()
    driver.feed(teller.request(0), *closes([0]), teller.request(2, principal=2_000_000))
    assert driver.run(1, 13) == []


def test_an_assumed_income_makes_a_plan_where_policy_allows() -> None:
    rules = replace(HOUSE.affordability, assumed_income_multiple_bps=120_000)
    book = PolicyBook("assuming", lambda *_: replace(HOUSE, affordability=rules))
    driver, teller = PlannerDriver(book), BorrowerEvents()
    driver.feed(teller.request(0), *closes([0]))
    assert driver.offer().kind == "plan"
    # Two earn and spend: of what twelve instalments of 600.00 leave after the floor for one, four tenths.
    assert all(o.instalment_amount <= (60_000 * 12 - 150_000) * 4 // 10 for o in driver.offer().options)
    assert not any("afford" in text for o in driver.offer().options for text in (*o.reasons, *driver.offer().reasons))
