"""Erasure: what is personal goes, what the law makes one keep stays, and nothing that comes in later brings it back."""

from __future__ import annotations

from itertools import permutations

import msgspec
from msgspec.structs import replace

from agents.erasure import scrubbed
from schemas import events as ev
from state.pack import default_book
from tests.agents.planner_desk import PlannerDesk, Teller, at, closes, day_of, only

BOOK = default_book()
ODD = 7_391_734
WORDS = "lost the job at the mill"


def told() -> tuple[PlannerDesk, Teller]:
    """Return a borrower of whom much is known."""
    desk, teller = PlannerDesk(BOOK), Teller()
    desk.feed(
        teller.granted(0),
        teller.report(0, income=ODD, region="ODD-region", employment="ODD-work", spending={"ODD-spending": ODD}),
        teller.learned(0, "how_plans_work"),
        teller.request(0, product="credit_card"),
        *closes([0]),
    )
    return desk, teller


def accepted(desk: PlannerDesk, teller: Teller, on: int = 1) -> ev.OfferAnswered:
    """Return the acceptance of the open offer by telephone."""
    offer = desk.offer()
    return teller.answer(
        on,
        offer.offer_id,
        "accepted",
        option_id=offer.lead_option_id,
        channel="hotline",
        recording_ref="ODD-recording",
        comment=WORDS,
        rating=1,
    )


def completed(on: int, plan: ev.PlanActivated) -> ev.PlanProgressed:
    """Return the end of a plan that was paid to the last."""
    return ev.PlanProgressed(
        event_id=f"progress-{on}",
        occurred_at=at(on),
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


def held(desk: PlannerDesk) -> bytes:
    """Return all that is kept of a borrower: the state, and all facts."""
    kept = msgspec.msgpack.encode(desk.state) + msgspec.msgpack.encode(list(desk.facts.values()))
    # A figure of every option, whoever is offered it.
    return kept.replace(b"distressed_obligation_bps", b"")


def erasures(desk: PlannerDesk) -> list[ev.PersonalDataErased]:
    found: list[ev.PersonalDataErased] = only(desk.outputs, ev.PersonalDataErased)
    return found


def test_nothing_that_was_said_of_a_borrower_is_kept_after_his_erasure() -> None:
    desk, teller = told()
    refused = teller.answer(1, desk.offer().offer_id, "countered", "income_change", "distress", counter_amount=ODD)
    desk.feed(refused)
    assert held(desk).count(msgspec.msgpack.encode(ODD)) >= 3
    desk.feed(teller.erasure(2))
    left = held(desk)
    for value in (ODD, "ODD", "distress", "income_change"):
        assert msgspec.msgpack.encode(value) not in left, value
        assert str(value).encode() not in left, value
    # Nor what his refusals have taught.
    assert desk.state is not None
    assert (desk.state.too_high, desk.state.max_term, desk.state.ceiling) == (0, 0, (0, ""))
    (proof,) = erasures(desk)
    assert (proof.reports, proof.answers, proof.consents, proof.education) == (1, 1, 1, 1)
    # Income, expenses, household, region, spending.
    assert proof.readings == 5
    assert proof.recordings_kept == 0


def test_the_recording_of_an_oral_agreement_stays_until_its_debt_is_settled() -> None:
    desk, teller = told()
    answer = accepted(desk, teller)
    desk.feed(answer)
    (plan,) = only(desk.outputs, ev.PlanActivated)
    desk.feed(teller.erasure(2))
    kept = desk.facts[f"feedback:{answer.feedback_id}"]
    assert isinstance(kept, ev.OfferAnswered)
    assert (kept.recording_ref, kept.comment, kept.rating) == ("ODD-recording", None, None)
    assert erasures(desk)[-1].recordings_kept == 1
    desk.feed(completed(9, plan))
    assert b"ODD-recording" not in held(desk)
    assert (erasures(desk)[-1].answers, erasures(desk)[-1].recordings_kept) == (1, 0)
    # Said once, however often the plan is heard of.
    count = len(erasures(desk))
    desk.feed(completed(10, plan))
    assert len(erasures(desk)) == count


def test_what_comes_again_or_late_after_an_erasure_resurrects_nothing_in_any_order() -> None:
    for order in permutations(range(4)):
        desk, teller = told()
        offer = desk.offer().offer_id
        late = [
            teller.report(1, income=ODD, region="ODD-late"),
            teller.granted(1),
            teller.learned(1, "ODD-item"),
            teller.answer(1, offer, "declined", "distress", comment=WORDS, rating=1),
        ]
        again = teller.answer(1, offer, "declined", "income_change", comment=WORDS)
        desk.feed(again, teller.erasure(3), *closes([3]))
        before = len(erasures(desk))
        desk.feed(again, *(late[n] for n in order), again, *closes([4]))
        left = held(desk)
        for mark in (b"ODD", WORDS.encode(), b"distress", b"income_change", msgspec.msgpack.encode(ODD)):
            assert mark not in left, (order, mark)
        assert desk.refused == []
        assert desk.state is not None
        assert not desk.state.readings
        assert not desk.state.distressed
        assert len(erasures(desk)) == before


def test_an_agreement_that_is_heard_of_after_the_erasure_keeps_its_recording_and_nothing_else() -> None:
    desk, teller = told()
    answer = accepted(desk, teller, 1)
    desk.feed(teller.erasure(2), answer)
    kept = desk.facts[f"feedback:{answer.feedback_id}"]
    assert isinstance(kept, ev.OfferAnswered)
    assert (kept.comment, kept.rating, kept.reasons) == (None, None, ())


def test_the_proof_of_an_erasure_holds_nothing_personal_and_says_what_stays() -> None:
    desk, teller = told()
    desk.feed(teller.erasure(1))
    text = msgspec.json.encode(erasures(desk))
    assert str(ODD).encode() not in text
    assert b"ODD" not in text
    assert erasures(desk)[0].kept
    assert erasures(desk)[0].caused_by in {e.event_id for e in desk.facts.values()}


def test_what_has_nothing_personal_is_left_as_it_is() -> None:
    request = Teller().request(0)
    assert scrubbed(request) is request
    report = replace(Teller().report(0), monthly_income=None, monthly_expenses=None, household_size=None)
    assert scrubbed(report) == report
