"""Erasure: what is personal goes, what the law makes one keep stays, and nothing that comes in later brings it back."""

from __future__ import annotations

from itertools import permutations

import msgspec
from msgspec.structs import replace

from agents.planner.erasure import scrubbed
from schemas import events as ev
from state.policy_packs.loader import default_book
from tests.support.agent_driver import PlannerDriver, only
from tests.support.borrower_events import BorrowerEvents, closes, day_of, instant_of

BOOK = default_book()
ODD = 7_391_734
WORDS = "lost the job at the mill"


def told() -> tuple[PlannerDriver, BorrowerEvents]:
    """Return a borrower of whom much is known."""
    driver, teller = PlannerDriver(BOOK), BorrowerEvents()
    driver.feed(
        teller.granted(0),
        teller.report(0, income=ODD, region="ODD-region", employment="ODD-work", spending={"ODD-spending": ODD}),
        teller.learned(0, "how_plans_work"),
        teller.request(0, product="credit_card"),
        *closes([0]),
    )
    return driver, teller


def accepted(driver: PlannerDriver, teller: BorrowerEvents, on: int = 1) -> ev.OfferAnswered:
    """Return the acceptance of the open offer by telephone."""
    offer = driver.offer()
    return teller.answer(
        on,
        offer.offer_id,
        "accepted",
        option_id=offer.recommended_option_id,
        channel="hotline",
        recording_ref="ODD-recording",
        comment=WORDS,
        rating=1,
    )


def completed(on: int, plan: ev.PlanActivated) -> ev.PlanProgressed:
    """Return the end of a plan that was paid to the last."""
    return ev.PlanProgressed(
        event_id=f"progress-{on}",
        occurred_at=instant_of(on),
        source="test",
        account_id=plan.account_id,
        borrower_id=plan.borrower_id,
        business_date=day_of(on),
        caused_by=f"close-{on}",
        plan_id=plan.plan_id,
        offer_id=plan.offer_id,
        outcome="completed",
        number=0,
    )


def held(driver: PlannerDriver) -> bytes:
    """Return all that is kept of a borrower: the state, and all facts."""
    kept = msgspec.msgpack.encode(driver.state) + msgspec.msgpack.encode(list(driver.facts.values()))
    # A figure of every option, whoever is offered it.
    return kept.replace(b"distressed_obligation_bps", b"")


def erasures(driver: PlannerDriver) -> list[ev.PersonalDataErased]:
    found: list[ev.PersonalDataErased] = only(driver.outputs, ev.PersonalDataErased)
    return found


def test_nothing_said_of_a_borrower_is_kept_after_erasure() -> None:
    driver, teller = told()
    refused = teller.answer(1, driver.offer().offer_id, "countered", "income_change", "distress", counter_amount=ODD)
    driver.feed(refused)
    assert held(driver).count(msgspec.msgpack.encode(ODD)) >= 3
    driver.feed(teller.erasure(2))
    left = held(driver)
    for value in (ODD, "ODD", "distress", "income_change"):
        assert msgspec.msgpack.encode(value) not in left, value
        assert str(value).encode() not in left, value
    # Nor what his refusals have taught.
    assert driver.state is not None
    assert (driver.state.too_high, driver.state.max_term, driver.state.ceiling) == (0, 0, (0, ""))
    (proof,) = erasures(driver)
    assert (proof.reports, proof.answers, proof.consents, proof.education) == (1, 1, 1, 1)
    # Income, expenses, household, region, spending.
    assert proof.readings == 5
    assert proof.recordings_kept == 0


def test_a_recording_stays_until_its_debt_is_settled() -> None:
    driver, teller = told()
    answer = accepted(driver, teller)
    driver.feed(answer)
    (plan,) = only(driver.outputs, ev.PlanActivated)
    driver.feed(teller.erasure(2))
    kept = driver.facts[f"feedback:{answer.feedback_id}"]
    assert isinstance(kept, ev.OfferAnswered)
    assert (kept.recording_ref, kept.comment, kept.rating) == ("ODD-recording", None, None)
    assert erasures(driver)[-1].recordings_kept == 1
    driver.feed(completed(9, plan))
    assert b"ODD-recording" not in held(driver)
    assert (erasures(driver)[-1].answers, erasures(driver)[-1].recordings_kept) == (1, 0)
    # Said once, however often the plan is heard of.
    count = len(erasures(driver))
    driver.feed(completed(10, plan))
    assert len(erasures(driver)) == count


def test_late_or_repeated_events_resurrect_nothing() -> None:
    for order in permutations(range(4)):
        driver, teller = told()
        offer = driver.offer().offer_id
        late = [
            teller.report(1, income=ODD, region="ODD-late"),
            teller.granted(1),
            teller.learned(1, "ODD-item"),
            teller.answer(1, offer, "declined", "distress", comment=WORDS, rating=1),
        ]
        again = teller.answer(1, offer, "declined", "income_change", comment=WORDS)
        driver.feed(again, teller.erasure(3), *closes([3]))
        before = len(erasures(driver))
        driver.feed(again, *(late[n] for n in order), again, *closes([4]))
        left = held(driver)
        for mark in (b"ODD", WORDS.encode(), b"distress", b"income_change", msgspec.msgpack.encode(ODD)):
            assert mark not in left, (order, mark)
        assert driver.rejection_codes == []
        assert driver.state is not None
        assert not driver.state.readings
        assert not driver.state.distressed
        assert len(erasures(driver)) == before


def test_an_agreement_heard_of_late_keeps_only_its_recording() -> None:
    driver, teller = told()
    answer = accepted(driver, teller, 1)
    driver.feed(teller.erasure(2), answer)
    kept = driver.facts[f"feedback:{answer.feedback_id}"]
    assert isinstance(kept, ev.OfferAnswered)
    assert (kept.comment, kept.rating, kept.reasons) == (None, None, ())


def test_the_proof_of_an_erasure_holds_nothing_personal() -> None:
    driver, teller = told()
    driver.feed(teller.erasure(1))
    text = msgspec.json.encode(erasures(driver))
    assert str(ODD).encode() not in text
    assert b"ODD" not in text
    assert erasures(driver)[0].kept
    assert erasures(driver)[0].caused_by in {e.event_id for e in driver.facts.values()}


def test_what_has_nothing_personal_is_left_as_it_is() -> None:
    request = BorrowerEvents().request(0)
    assert scrubbed(request) is request
    report = replace(BorrowerEvents().report(0), monthly_income=None, monthly_expenses=None, household_size=None)
    assert scrubbed(report) == report
