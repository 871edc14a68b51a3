"""What each answer of a borrower changes, at once."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec.structs import replace

from schemas import events as ev
from state.policy import PolicyBook
from state.policy_packs.loader import default_book
from tests.support.agent_driver import PlannerDriver, names, only
from tests.support.borrower_events import BorrowerEvents, closes, day_of, instant_of

BOOK = default_book()
HOUSE = BOOK.policy_for("CN", "personal_loan")
NEXT = ["OfferWithdrawn", "OfferPublished", "DecisionLogged"]


def desk_with_offer(book: PolicyBook = BOOK, **debt: object) -> tuple[PlannerDriver, BorrowerEvents, ev.OfferPublished]:
    driver, teller = PlannerDriver(book), BorrowerEvents()
    driver.feed(teller.granted(0), teller.report(0), teller.request(0, **debt), *closes([0]))
    return driver, teller, driver.offer()


def test_accepting_activates_the_option_on_every_account() -> None:
    driver, teller = PlannerDriver(BOOK), BorrowerEvents()
    driver.feed(teller.granted(0), teller.report(0), teller.request(0), teller.request(0, "A2"), *closes([0]))
    offer = driver.offer()
    option = offer.options[1]
    plans = driver.feed(teller.answer(3, offer.offer_id, "accepted", option_id=option.option_id))
    assert names(plans) == ["PlanActivated", "PlanActivated"]
    for plan, share in zip(only(plans, ev.PlanActivated), option.shares, strict=True):
        assert (plan.account_id, plan.instalments, plan.waived) == (share.account_id, share.instalments, share.waived)
        assert (plan.activated_on, plan.offer_id, plan.option_id) == (day_of(3), offer.offer_id, option.option_id)
        assert plan.annual_rate_bps == share.annual_rate_bps
    assert plans[0].plan_id != plans[1].plan_id
    assert driver.run(1, 40) == []


def test_an_offer_can_be_accepted_through_its_last_day() -> None:
    driver, teller, offer = desk_with_offer()
    driver.run(1, 13)
    said = driver.feed(teller.answer(14, offer.offer_id, "accepted", option_id=offer.recommended_option_id))
    assert names(said) == ["PlanActivated"]


def test_an_answer_in_time_counts_though_received_later() -> None:
    driver, teller, offer = desk_with_offer()
    assert names(driver.run(1, 15)) == ["OfferExpired"]
    (plan,) = driver.feed(teller.answer(14, offer.offer_id, "accepted", option_id=offer.recommended_option_id))
    assert isinstance(plan, ev.PlanActivated)
    assert plan.activated_on == day_of(14)
    assert driver.run(16, 60) == []


def test_accepting_an_expired_offer_brings_a_fresh_one() -> None:
    driver, teller, offer = desk_with_offer()
    driver.run(1, 15)
    said = driver.feed(teller.answer(16, offer.offer_id, "accepted", option_id=offer.recommended_option_id))
    assert names(said) == ["OfferPublished", "DecisionLogged"]
    assert driver.outputs[-1].reasons == ("earlier_offer_ended",)


def test_a_late_acceptance_before_the_close_brings_a_fresh_one() -> None:
    driver, teller, offer = desk_with_offer()
    said = driver.feed(teller.answer(15, offer.offer_id, "accepted", option_id=offer.recommended_option_id))
    assert names(said) == ["OfferExpired", "OfferPublished", "DecisionLogged"]


def test_accepting_a_replaced_offer_activates_nothing() -> None:
    driver, teller, offer = desk_with_offer()
    driver.feed(teller.answer(1, offer.offer_id, "declined", "too_high"))
    assert driver.feed(teller.answer(2, offer.offer_id, "accepted", option_id=offer.recommended_option_id)) == []
    assert driver.state.open_offer().offer_id == driver.offer().offer_id != offer.offer_id


def test_changing_ones_mind_after_declining_brings_an_offer() -> None:
    driver, teller, offer = desk_with_offer()
    assert names(driver.feed(teller.answer(1, offer.offer_id, "declined"))) == ["OfferWithdrawn"]
    said = driver.feed(teller.answer(2, offer.offer_id, "accepted", option_id=offer.recommended_option_id))
    assert names(said) == ["OfferPublished", "DecisionLogged"]


def test_an_offer_cannot_be_accepted_twice() -> None:
    driver, teller, offer = desk_with_offer()
    first, second = (teller.answer(1, offer.offer_id, "accepted", option_id=o.option_id) for o in offer.options[:2])
    assert names(driver.feed(first, second)) == ["PlanActivated"]


def test_accepting_twice_brings_no_offer_for_other_debts() -> None:
    driver, teller = PlannerDriver(BOOK), BorrowerEvents()
    driver.feed(teller.granted(0), teller.report(0))
    driver.feed(teller.request(0), teller.request(0, "A2", currency="USD", jurisdiction="US"), *closes([0]))
    offer = driver.offer()
    first, second = (teller.answer(1, offer.offer_id, "accepted", option_id=o.option_id) for o in offer.options[:2])
    assert names(driver.feed(first, second)) == ["PlanActivated"]
    assert names(driver.close(1)) == ["OfferPublished", "DecisionLogged"]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"said": "accepted"}, "missing_option"),
        ({"said": "accepted", "option_id": "no-such"}, "unknown_option"),
        ({"said": "countered"}, "missing_counter_amount"),
        ({"said": "declined", "offer_id": "no-such"}, "unknown_offer"),
        ({"said": "accepted", "offer_id": "no-such", "option_id": "x"}, "unknown_offer"),
    ],
)
def test_an_impossible_answer_is_refused_and_changes_nothing(fields: dict[str, str], code: str) -> None:
    driver, teller, offer = desk_with_offer()
    before = driver.state
    answer = teller.answer(1, fields.pop("offer_id", offer.offer_id), fields.pop("said"), **fields)  # type: ignore[arg-type]
    assert driver.feed(answer) == []
    assert driver.rejection_codes == [code]
    assert driver.state == before
    assert driver.agent.fact_key(answer) not in driver.facts


def test_an_answer_to_another_borrowers_offer_is_refused() -> None:
    _, _, offer = desk_with_offer()
    other = PlannerDriver(BOOK)
    other.feed(BorrowerEvents("B2").answer(1, offer.offer_id, "accepted", option_id=offer.recommended_option_id))
    assert other.rejection_codes == ["unknown_offer"]
    assert other.state is None


def test_a_feedback_id_with_another_answer_is_refused() -> None:
    driver, teller, offer = desk_with_offer()
    answer = teller.answer(1, offer.offer_id, "declined", feedback_id="f1", comment="private words")
    driver.feed(answer)
    assert driver.feed(replace(answer, event_id="again", occurred_at=teller.erasure(2).occurred_at)) == []
    assert driver.rejection_codes == []
    driver.feed(
        replace(answer, answer="accepted", option_id=offer.recommended_option_id, occurred_at=instant_of(1, 12))
    )
    assert driver.rejection_codes == ["conflicting_duplicate"]
    assert driver.facts["feedback:f1"].comment is None  # type: ignore[attr-defined]


def test_too_high_lowers_what_the_next_options_ask_for() -> None:
    driver, teller, offer = desk_with_offer(principal=2_000_000)
    assert names(driver.feed(teller.answer(1, offer.offer_id, "declined", "too_high"))) == NEXT
    limit = (900_000 - 420_000) * (HOUSE.affordability.alpha_bps - HOUSE.affordability.alpha_step_bps) // 10_000
    before = max(o.instalment_amount for o in offer.options)
    assert before > limit >= max(o.instalment_amount for o in driver.offer().options)


def test_too_high_of_the_lowest_is_told_there_is_no_lower() -> None:
    driver, teller, offer = desk_with_offer()
    driver.feed(teller.answer(1, offer.offer_id, "declined", "too_high"))
    assert driver.outputs[-1].reasons == ("too_high", "lowest_possible")


def test_a_refused_amount_returns_only_if_nothing_is_lower() -> None:
    driver, teller, offer = desk_with_offer()
    highest = max(offer.options, key=lambda o: o.instalment_amount)
    driver.feed(teller.answer(1, offer.offer_id, "declined", "too_high", option_id=highest.option_id))
    lower = driver.offer()
    assert lower.options
    assert all(o.instalment_amount < highest.instalment_amount for o in lower.options)
    assert not any("最低" in said for said in lower.reasons)


def test_refusing_the_lowest_twice_refers_to_a_person() -> None:
    driver, teller, offer = desk_with_offer()
    driver.feed(teller.answer(1, offer.offer_id, "declined", "too_high"))
    lowest = driver.offer()
    assert [o.instalment_amount for o in lowest.options] == [offer.options[0].instalment_amount]
    assert "该方案的每期金额已是我们所能提供的最低金额。" in lowest.reasons
    driver.feed(teller.answer(2, lowest.offer_id, "declined", "too_high"))
    person = driver.offer()
    assert (person.kind, person.options) == ("referral", ())
    assert "您拒绝的金额已是我们所能提供的最低每期金额。" in person.reasons


def test_too_long_shortens_every_option_of_the_next_offer() -> None:
    driver, teller, offer = desk_with_offer()
    refused = max(offer.options, key=lambda o: o.term_months)
    answer = teller.answer(1, offer.offer_id, "declined", "too_long", option_id=refused.option_id)
    assert names(driver.feed(answer)) == NEXT
    assert max(o.term_months for o in driver.offer().options) < refused.term_months


def test_a_term_too_short_to_afford_is_given_up_with_a_reason() -> None:
    driver, teller, offer = desk_with_offer(principal=3_000_000)
    shortest = min(offer.options, key=lambda o: o.term_months)
    answer = teller.answer(1, offer.offer_id, "declined", "too_long", option_id=shortest.option_id)
    assert names(driver.feed(answer)) == ["OfferWithdrawn"]
    assert names(driver.run(1, 8)) == ["OfferPublished", "DecisionLogged"]
    assert driver.offer().kind == "plan"
    assert driver.outputs[-1].reasons == ("no_shorter_term",)


def test_the_rate_puts_the_lowest_total_cost_first() -> None:
    driver, teller, offer = desk_with_offer()
    assert names(driver.feed(teller.answer(1, offer.offer_id, "declined", "rate"))) == NEXT
    after = driver.offer()
    assert after.options[0].total_cost == min(o.total_cost for o in after.options)
    assert "interest_and_fees" in after.education


def test_distrust_is_met_with_explanations_once() -> None:
    driver, teller, offer = desk_with_offer()
    assert names(driver.feed(teller.answer(1, offer.offer_id, "declined", "distrust"))) == NEXT
    after = driver.offer()
    assert {"is_it_genuine", "how_we_calculate"} <= set(after.education)
    assert names(driver.feed(teller.answer(2, after.offer_id, "declined", "distrust"))) == ["OfferWithdrawn"]


def test_a_plain_no_brings_the_same_offer_after_the_pause() -> None:
    driver, teller, offer = desk_with_offer()
    (withdrawn,) = driver.feed(teller.answer(1, offer.offer_id, "declined"))
    assert isinstance(withdrawn, ev.OfferWithdrawn)
    assert withdrawn.reason == "declined"
    assert driver.run(1, 7) == []
    assert names(driver.close(8)) == ["OfferPublished", "DecisionLogged"]


def test_a_changed_income_counts_only_once_reported_anew() -> None:
    driver, teller, offer = desk_with_offer()
    assert names(driver.feed(teller.answer(1, offer.offer_id, "declined", "income_change"))) == NEXT
    asked = driver.offer()
    assert (asked.kind, driver.outputs[-1].reasons) == ("referral", ("income_change", "income_unknown"))
    assert driver.run(1, 2) == []
    driver.feed(teller.report(3, 700_000))
    assert names(driver.close(3)) == NEXT
    assert driver.offer().kind == "plan"


def test_distress_brings_a_person_a_softer_tone_and_a_pause() -> None:
    driver, teller, offer = desk_with_offer()
    assert names(driver.feed(teller.answer(1, offer.offer_id, "declined", "too_high", "distress"))) == NEXT
    after = driver.offer()
    assert (after.kind, after.tone, after.options) == ("referral", "supportive", ())
    assert "call" not in after.contact.channels
    assert "looking_after_yourself" in after.education
    assert names(driver.run(1, 30)) == ["OfferExpired"]
    later = only(driver.run(31, 60), ev.OfferPublished)
    assert [(o.kind, o.tone) for o in later[:1]] == [("plan", "supportive")]
    assert (later[0].business_date - day_of(1)).days >= HOUSE.offers.distress_pause_days


def test_a_dispute_stops_offers_until_it_is_resolved() -> None:
    driver, teller, offer = desk_with_offer()
    assert names(driver.feed(teller.answer(1, offer.offer_id, "declined", "dispute"))) == NEXT
    assert (driver.offer().kind, driver.outputs[-1].reasons) == ("referral", ("dispute",))
    driver.feed(teller.request(2, holds=("dispute",)))
    assert names(driver.run(1, 50)) == ["OfferWithdrawn"]
    driver.feed(teller.request(51))
    assert names(driver.close(51)) == ["OfferPublished", "DecisionLogged"]
    assert driver.offer().kind == "plan"


def test_a_dispute_resolved_within_the_pause_ends_it() -> None:
    driver, teller, offer = desk_with_offer()
    driver.feed(teller.answer(1, offer.offer_id, "declined", "dispute"))
    driver.feed(teller.request(2, holds=("dispute",)), *closes([2]), teller.request(4))
    assert only(driver.run(3, 4), ev.OfferPublished)[0].kind == "plan"


def test_a_counter_offer_that_can_be_met_leads_the_next_offer() -> None:
    driver, teller, offer = desk_with_offer()
    assert names(driver.feed(teller.answer(1, offer.offer_id, "countered", counter_amount=40_000))) == NEXT
    after = driver.offer()
    assert after.options[0].option_id == after.recommended_option_id
    assert 0 < after.options[0].instalment_amount <= 40_000
    assert after.options[0].instalment_amount not in {o.instalment_amount for o in offer.options}
    assert len(after.options) <= HOUSE.options.max_published
    assert (driver.outputs[-1].reasons, driver.outputs[-1].chosen) == (("counter_met",), after.recommended_option_id)


def test_an_unmet_counter_offer_is_answered_with_the_reason() -> None:
    driver, teller, offer = desk_with_offer()
    assert names(driver.feed(teller.answer(1, offer.offer_id, "countered", counter_amount=100))) == NEXT
    assert driver.outputs[-1].reasons == ("counter_too_low",)
    assert [o.option_id for o in driver.offer().options] == [o.option_id for o in offer.options]


def test_a_counter_offer_after_the_last_leaves_it_open() -> None:
    policy = replace(HOUSE, offers=replace(HOUSE.offers, max_in_episode=1))
    driver, teller, offer = desk_with_offer(PolicyBook("one", lambda *_: policy))
    assert driver.feed(teller.answer(1, offer.offer_id, "countered", counter_amount=40_000)) == []
    said = driver.feed(teller.answer(2, offer.offer_id, "accepted", option_id=offer.recommended_option_id))
    assert names(said) == ["PlanActivated"]


def test_no_answer_leaves_the_offer_open_and_counts_once() -> None:
    driver, teller, offer = desk_with_offer()
    said = [teller.answer(day, offer.offer_id, "no_answer") for day in (1, 2)]
    assert driver.feed(*said) == []
    assert driver.state.unanswered == 1
    driver.run(1, 14)
    assert driver.state.unanswered == 1
    assert driver.offer() == offer


@pytest.mark.parametrize("heard", range(1, 60))
def test_a_repeated_offer_ends_before_its_first_due_date(heard: int) -> None:
    driver, teller, offer = desk_with_offer(product="credit_card")
    answer = teller.answer(
        min(heard, 14), offer.offer_id, "accepted", option_id=offer.recommended_option_id, channel="hotline"
    )
    driver.run(1, heard - 1)
    driver.feed(answer)
    again = driver.offer()
    first_due = min(i.due_on for o in again.options for i in o.instalments)
    assert again.offer_id != offer.offer_id
    assert again.business_date < again.expires_on < first_due
    # Heard of early enough it is the same offer, and how far the debt moves counts from when that was made.
    assert (again.options[-1].instalments == offer.options[-1].instalments) == (
        again.expires_on - again.business_date > timedelta(0) and first_due == offer.options[0].instalments[0].due_on
    )


def test_the_end_of_a_dispute_does_not_end_a_distress_pause() -> None:
    until = {}
    for reasons in (("dispute",), ("distress",), ("dispute", "distress")):
        driver, teller, offer = desk_with_offer()
        driver.feed(teller.answer(1, offer.offer_id, "declined", *reasons), *closes([1]))
        driver.feed(teller.request(2, holds=("dispute",)), *closes([2]))
        driver.feed(teller.request(5, holds=()))
        said = [e for e in driver.run(5, 60) if isinstance(e, ev.OfferPublished) and e.options]
        until[reasons] = said[0].business_date if said else None
    assert until["dispute",] == day_of(5)
    assert until["dispute", "distress"] == until["distress",]
    assert until["distress",] is None or until["distress",] > day_of(20)


def test_an_oral_agreement_without_recording_is_offered_again() -> None:
    driver, teller, offer = desk_with_offer(product="credit_card")
    chosen = offer.options[2].option_id
    spoken = teller.answer(1, offer.offer_id, "accepted", option_id=chosen, channel="hotline")
    assert names(driver.feed(spoken)) == NEXT
    again = driver.offer()
    assert (again.recommended_option_id, again.options[0]) == (chosen, offer.options[2])
    assert driver.outputs[-1].reasons == ("recording_missing",)
    recorded = teller.answer(2, again.offer_id, "accepted", option_id=chosen, channel="hotline", recording_ref="tape/9")
    (plan,) = driver.feed(recorded)
    assert isinstance(plan, ev.PlanActivated)
    # Where a recording is kept is personal, and a plan is read by bureaus and notification services.
    assert plan.recording_ref is None
    assert "tape/9" in {getattr(fact, "recording_ref", None) for fact in driver.facts.values()}


def test_an_oral_agreement_no_offer_can_confirm_is_reported() -> None:
    driver, teller, offer = desk_with_offer(product="credit_card")
    answer = teller.answer(14, offer.offer_id, "accepted", option_id=offer.recommended_option_id, channel="hotline")
    driver.run(1, 44)
    driver.state.plans_offered = driver.state.referrals = 99
    # Its first instalment is due, so it cannot be made again, and the episode has had its share of new offers.
    assert driver.feed(answer) == []
    assert driver.unapplied == ["not_recorded"]


def test_an_oral_agreement_stands_where_no_recording_is_needed() -> None:
    driver, teller, offer = desk_with_offer()
    spoken = teller.answer(1, offer.offer_id, "accepted", option_id=offer.recommended_option_id, channel="hotline")
    assert names(driver.feed(spoken)) == ["PlanActivated"]


def test_refusing_an_old_offer_is_heard_only_for_distress() -> None:
    driver, teller, offer = desk_with_offer(principal=2_000_000)
    driver.feed(teller.answer(1, offer.offer_id, "declined", "too_high"))
    assert driver.feed(teller.answer(2, offer.offer_id, "declined", "too_high", "too_long")) == []
    assert (driver.state.too_high, driver.state.max_term) == (1, 0)
    driver.feed(teller.answer(2, offer.offer_id, "declined", "distress"))
    assert driver.offer().tone == "supportive"


def test_one_account_can_make_a_joint_agreement_need_recording() -> None:
    driver, teller = PlannerDriver(BOOK), BorrowerEvents()
    driver.feed(teller.granted(0), teller.report(0))
    driver.feed(teller.request(0), teller.request(0, "A2", product="credit_card"), *closes([0]))
    offer = driver.offer()
    spoken = teller.answer(1, offer.offer_id, "accepted", option_id=offer.recommended_option_id, channel="hotline")
    assert names(driver.feed(spoken)) == NEXT


def test_a_referral_that_is_taken_up_needs_no_option() -> None:
    driver, teller = PlannerDriver(BOOK), BorrowerEvents()
    driver.feed(teller.request(0), *closes([0]))
    assert driver.feed(teller.answer(1, driver.offer().offer_id, "accepted")) == []
    assert driver.rejection_codes == []


def test_a_counter_offer_without_income_brings_no_new_referral() -> None:
    driver, teller = PlannerDriver(BOOK), BorrowerEvents()
    driver.feed(teller.request(0), *closes([0]))
    assert driver.feed(teller.answer(1, driver.offer().offer_id, "countered", counter_amount=40_000)) == []
    assert driver.state.open_offer() is not None


def test_a_declined_referral_of_a_pause_ends_it() -> None:
    driver, teller, offer = desk_with_offer()
    driver.feed(teller.answer(1, offer.offer_id, "declined", "distress"))
    said = driver.feed(teller.answer(2, driver.offer().offer_id, "declined"))
    assert names(said) == ["OfferWithdrawn"]
    assert driver.run(1, 30) == []
    assert names(driver.close(31)) == ["OfferPublished", "DecisionLogged"]


def test_distress_without_negotiable_debts_only_ends_the_offer() -> None:
    driver, teller, offer = desk_with_offer()
    driver.feed(teller.request(1, holds=("deceased",)))
    assert names(driver.feed(teller.answer(1, offer.offer_id, "declined", "distress"))) == ["OfferWithdrawn"]
    assert driver.run(1, 60) == []


def test_an_answer_activates_nothing_if_an_account_wants_none() -> None:
    driver, teller = PlannerDriver(BOOK), BorrowerEvents()
    driver.feed(teller.granted(0), teller.report(0), teller.request(0), teller.request(0, "A2"), *closes([0]))
    offer = driver.offer()
    driver.run(1, 14)
    driver.feed(teller.ended(15, "A2"), *closes([15]))
    said = driver.feed(teller.answer(14, offer.offer_id, "accepted", option_id=offer.recommended_option_id))
    assert names(said) == ["OfferPublished", "DecisionLogged"]
    assert driver.offer().account_ids == ("A1",)


def test_accepting_an_old_offer_on_the_last_day_leaves_the_new() -> None:
    driver, teller, offer = desk_with_offer()
    driver.feed(teller.answer(1, offer.offer_id, "declined", "too_high"))
    driver.run(1, 14)
    assert driver.feed(teller.answer(15, offer.offer_id, "accepted", option_id=offer.recommended_option_id)) == []


def test_too_high_with_a_counter_offer_leaves_alpha_as_it_is() -> None:
    driver, teller, offer = desk_with_offer()
    driver.feed(teller.answer(1, offer.offer_id, "countered", "too_high", counter_amount=40_000))
    assert max(o.instalment_amount for o in driver.offer().options) >= max(
        o.instalment_amount for o in offer.options[:3]
    )
    assert driver.state.too_high == 0


def test_an_acceptance_ends_the_count_of_silence() -> None:
    driver, teller, offer = desk_with_offer()
    driver.feed(teller.answer(1, offer.offer_id, "no_answer"))
    driver.feed(teller.answer(2, offer.offer_id, "accepted", option_id=offer.recommended_option_id), *closes([2]))
    driver.feed(teller.request(100, plans_broken=1), *closes([100]))
    assert names(driver.run(101, 120)) == ["OfferExpired"]
    assert names(driver.close(121)) == ["OfferPublished", "DecisionLogged"]


@pytest.mark.parametrize("recorded_at_once", [True, False])
def test_an_agreement_states_the_balance_of_its_offer(recorded_at_once: bool) -> None:
    driver, teller, offer = desk_with_offer(product="credit_card", interest=20_000)
    driver.feed(teller.request(1, product="credit_card", principal=1_050_000, interest=30_000), *closes([1]))
    assert driver.offer().offer_id == offer.offer_id
    spoken = {"option_id": offer.recommended_option_id, "channel": "hotline"}
    if recorded_at_once:
        spoken["recording_ref"] = "tape/1"
    said = driver.feed(teller.answer(2, offer.offer_id, "accepted", **spoken))
    if not recorded_at_once:
        spoken["recording_ref"] = "tape/2"
        assert driver.offer().balances == offer.balances
        said = driver.feed(teller.answer(3, driver.offer().offer_id, "accepted", **spoken))
    (plan,) = only(said, ev.PlanActivated)
    assert plan.balance == ev.Amounts(principal=1_000_000, interest=20_000)


def test_an_answer_without_effect_is_reported_with_the_reason() -> None:
    driver, teller, offer = desk_with_offer()
    chosen = {"option_id": offer.recommended_option_id}
    driver.feed(teller.answer(1, offer.offer_id, "no_answer"), teller.answer(1, offer.offer_id, "no_answer"))
    driver.feed(teller.answer(2, offer.offer_id, "accepted", **chosen))
    driver.feed(teller.answer(2, offer.offer_id, "accepted", **chosen), teller.answer(3, offer.offer_id, "declined"))
    driver.feed(teller.answer(3, offer.offer_id, "no_answer"))
    assert driver.unapplied == ["counted_before", "accepted_before", "offer_ended", "offer_ended"]

    driver, teller, offer = desk_with_offer()
    driver.feed(teller.answer(1, offer.offer_id, "declined", "dispute"))
    driver.feed(teller.answer(2, offer.offer_id, "accepted", **chosen))
    driver.feed(teller.answer(2, driver.offer().offer_id, "accepted"), teller.request(3, holds=("dispute",)))
    assert driver.unapplied == ["offer_open", "nothing_to_accept"]
    driver.close(3)
    driver.feed(teller.answer(4, offer.offer_id, "accepted", **chosen))
    assert driver.unapplied[2:] == ["no_offers_now"]

    driver, teller, offer = desk_with_offer()
    driver.feed(teller.request(1, holds=("bankruptcy",)), *closes([1]))
    driver.feed(teller.answer(2, offer.offer_id, "accepted", **chosen))
    assert driver.unapplied == ["nothing_to_offer"]


def test_an_answer_with_an_effect_is_not_said_to_have_none() -> None:
    for reasons in ((), ("too_high",), ("income_change",), ("distress",), ("dispute",), ("distrust",)):
        driver, teller, offer = desk_with_offer()
        driver.feed(teller.answer(1, offer.offer_id, "declined", *reasons))
        assert driver.unapplied == []
    driver, teller, offer = desk_with_offer()
    driver.feed(teller.answer(1, offer.offer_id, "countered", counter_amount=40_000))
    driver.feed(teller.answer(2, offer.offer_id, "declined", "income_change"))
    assert driver.unapplied == []
